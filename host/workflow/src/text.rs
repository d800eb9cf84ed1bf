//! The strings of a TOML file and where each of their characters stands.

use std::sync::Arc;

use crate::source::{Source, Span};

/// A string value.
pub(crate) struct Text<'a> {
    pub(crate) source: &'a Arc<Source>,
    pub(crate) value: &'a str,
    /// The whole literal with its quotes.
    pub(crate) whole: Span,
    /// Where the value starts in the file, if each of its bytes is a byte of the file.
    base: Option<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(source: &'a Arc<Source>, value: &'a str, whole: Span) -> Self {
        let raw = source.text.get(whole.clone()).unwrap_or_default();
        let quotes = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quotes| raw.starts_with(quotes))
            .map_or(0, str::len);
        let inner = raw
            .get(quotes..raw.len().saturating_sub(quotes))
            .unwrap_or_default();
        let (inner, newline) = match inner.strip_prefix('\n') {
            Some(rest) if quotes == 3 => (rest, 1),
            _ => (inner, 0),
        };
        let base = (inner == value).then_some(whole.start + quotes + newline);
        Self {
            source,
            value,
            whole,
            base,
        }
    }

    /// Where a range of the value stands in the file; the whole literal when escapes stand between.
    pub(crate) fn span(&self, range: Span) -> Span {
        match self.base {
            Some(base) => base + range.start..base + range.end,
            None => self.whole.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, value: &str, range: Span) -> String {
        let source = Source::new("a.toml", text);
        let start = text.find(['"', '\'']).unwrap();
        let whole = start..text.trim_end().len();
        let span = Text::new(&source, value, whole).span(range);
        text[span].to_owned()
    }

    #[test]
    fn characters_are_found_in_every_kind_of_string() {
        assert_eq!(place("a = \"one two\"\n", "one two", 4..7), "two");
        assert_eq!(place("a = 'one two'\n", "one two", 4..7), "two");
        assert_eq!(place("a = '''\none two'''\n", "one two", 4..7), "two");
        assert_eq!(place("a = \"\"\"one two\"\"\"\n", "one two", 4..7), "two");
    }

    #[test]
    fn escapes_fall_back_to_the_whole_literal() {
        assert_eq!(
            place("a = \"one\\ttwo\"\n", "one\ttwo", 4..7),
            "\"one\\ttwo\""
        );
    }
}
