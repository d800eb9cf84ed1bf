//! A finding about a workflow file or its run, as data.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::source::{Source, Span};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It may run.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A finding: what is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `LK0203`; [`explain`](crate::explain) has a page on it.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line without a period.
    pub message: String,
    /// The file that the spans are in; none for a finding about the command line.
    pub source: Option<Arc<Source>>,
    /// The exact characters it is about.
    pub span: Span,
    /// What is said beside the span.
    pub label: String,
    /// Other places that matter.
    pub labels: Vec<Label>,
    /// Facts, each its own `= note:` line.
    pub notes: Vec<String>,
    /// What to do, each its own `= help:` line.
    pub help: Vec<String>,
    /// Edits that would mend it.
    pub suggestions: Vec<Suggestion>,
}

/// A place in the file and what it has to do with the finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// An edit that would mend the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Why, such as `an output with a similar name exists`.
    pub message: String,
    /// What to replace; an empty span inserts.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
}

impl Diagnostic {
    /// An error at a place in the file.
    pub fn error(
        code: &'static str,
        source: &Arc<Source>,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            source: Some(Arc::clone(source)),
            span,
            label: String::new(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            suggestions: Vec::new(),
        }
    }

    /// An error that is not about a file, such as a wrong argument.
    pub fn without_source(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            source: None,
            span: 0..0,
            label: String::new(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            suggestions: Vec::new(),
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says something beside the span.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds an edit that would mend it. An edit of something inside a string whose escapes hide
    /// its exact place is dropped: it would replace the whole string.
    #[must_use]
    pub fn suggest(
        mut self,
        message: impl Into<String>,
        span: Span,
        replacement: impl Into<String>,
    ) -> Self {
        let replacement = replacement.into();
        let quote = self
            .source
            .as_ref()
            .and_then(|source| source.text.get(span.start..)?.chars().next())
            .filter(|first| matches!(first, '"' | '\''));
        if quote.is_none_or(|quote| replacement.starts_with(quote)) {
            self.suggestions.push(Suggestion {
                message: message.into(),
                span,
                replacement,
            });
        }
        self
    }

    /// Whether nothing may run because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]: {}",
            self.severity.as_str(),
            self.code,
            self.message
        )?;
        if let Some(source) = &self.source {
            let (line, column) = source.position(self.span.start);
            write!(f, " ({}:{line}:{column})", source.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// A span as the JSON output gives it.
struct Place<'a>(&'a Source, &'a Span);

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (line, column) = self.0.position(self.1.start);
        let mut place = serializer.serialize_struct("span", 4)?;
        place.serialize_field("line", &line)?;
        place.serialize_field("column", &column)?;
        place.serialize_field("byte_start", &self.1.start)?;
        place.serialize_field("byte_end", &self.1.end)?;
        place.end()
    }
}

/// `{code, severity, message, file, span{line,column,byte_start,byte_end}, label, labels[], notes[],
/// help[], suggestions[]}`; `file` and `span` are null for a finding about no file.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.source.as_deref();
        let place = |span| source.map(|source| Place(source, span));
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|label| serde_json::json!({ "span": place(&label.span), "text": label.text }))
            .collect();
        let suggestions: Vec<_> = self
            .suggestions
            .iter()
            .map(|edit| {
                serde_json::json!({
                    "message": edit.message,
                    "span": place(&edit.span),
                    "replacement": edit.replacement,
                })
            })
            .collect();
        let mut out = serializer.serialize_struct("diagnostic", 10)?;
        out.serialize_field("code", self.code)?;
        out.serialize_field("severity", self.severity.as_str())?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("file", &source.map(|source| &source.path))?;
        out.serialize_field("span", &place(&self.span))?;
        out.serialize_field("label", &self.label)?;
        out.serialize_field("labels", &labels)?;
        out.serialize_field("notes", &self.notes)?;
        out.serialize_field("help", &self.help)?;
        out.serialize_field("suggestions", &suggestions)?;
        out.end()
    }
}

/// All findings about a file, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn in_file_order(mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|one| (one.span.start, one.span.end));
        Self(found)
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
