//! What the readers of all parts share: entries, keys, texts, durations and expressions.

use toml_edit::{Item, TableLike};

use super::{Entry, Reader};
use crate::diagnostic::Diagnostic;
use crate::expr::Expr;
use crate::literal;
use crate::names::{is_snake_case, listed, nearest, to_snake_case};
use crate::source::{Source, Span, Spanned};
use crate::text::Text;

impl Reader<'_> {
    pub(super) fn span(&self, item: &Item) -> Span {
        let end = self.source.text.len();
        item.span().unwrap_or(end..end)
    }

    pub(super) fn entry<'t>(&self, table: &'t dyn TableLike, key: &str) -> Option<Entry<'t>> {
        let (key, item) = table.get_key_value(key)?;
        (!item.is_none()).then(|| Entry {
            key: Spanned::new(
                key.get().to_owned(),
                key.span().unwrap_or_else(|| self.span(item)),
            ),
            item,
        })
    }

    pub(super) fn entries<'t>(&self, table: &'t dyn TableLike) -> Vec<Entry<'t>> {
        table
            .iter()
            .filter_map(|(key, _)| self.entry(table, key))
            .collect()
    }

    /// The entries of a table of the root; none if it is missing or no table.
    pub(super) fn entries_of<'t>(&mut self, root: &'t dyn TableLike, key: &str) -> Vec<Entry<'t>> {
        let Some(entry) = self.entry(root, key) else {
            return Vec::new();
        };
        match self.table(&entry, &format!("`{key}`")) {
            Some(table) => self.entries(table),
            None => Vec::new(),
        }
    }

    pub(super) fn table<'t>(&mut self, entry: &Entry<'t>, what: &str) -> Option<&'t dyn TableLike> {
        let table = entry.item.as_table_like();
        if table.is_none() {
            let span = self.span(entry.item);
            self.found.push(
                Diagnostic::error(
                    "LK0103",
                    self.source,
                    span,
                    format!("{what} must be a table, not {}", a(entry.item.type_name())),
                )
                .label("a table is expected here"),
            );
        }
        table
    }

    pub(super) fn wrong_type(&mut self, entry: &Entry<'_>, wanted: &str) {
        let span = self.span(entry.item);
        let found = entry.item.type_name();
        self.found.push(
            Diagnostic::error(
                "LK0103",
                self.source,
                span,
                format!("`{}` must be {wanted}, not {}", entry.key.value, a(found)),
            )
            .label(format!("{wanted} is expected here")),
        );
    }

    /// Refuses keys that are not `known`; those in `planned` are said to be not supported yet.
    pub(super) fn keys(
        &mut self,
        table: &dyn TableLike,
        place: &str,
        known: &[&str],
        planned: &[&str],
    ) {
        for entry in self.entries(table) {
            let name = entry.key.value.as_str();
            if known.contains(&name) {
                continue;
            }
            let span = entry.key.span.clone();
            if planned.contains(&name) {
                self.planned(span, &format!("`{name}`"), "key");
                continue;
            }
            let found = Diagnostic::error(
                "LK0102",
                self.source,
                span.clone(),
                format!("{place} has no key `{name}`"),
            )
            .label("unknown key");
            let found = match nearest(name, known.iter().copied()) {
                Some(near) => found.suggest("a key with a similar name exists", span, near),
                None => found.note(format!("the keys are {}", listed(known.iter().copied()))),
            };
            self.found.push(found);
        }
    }

    /// Refuses a part of the language that this program does not carry out yet.
    fn planned(&mut self, span: Span, part: &str, kind: &str) {
        self.found.push(
            Diagnostic::error(
                "LK0105",
                self.source,
                span,
                format!("{part} is not supported yet"),
            )
            .label(format!("this program cannot do what this {kind} asks for"))
            .help("take it out; a run that left it unheeded would do less than the file says"),
        );
    }

    pub(super) fn check_name(&mut self, name: &Spanned<String>, what: &str) {
        if is_snake_case(name) {
            return;
        }
        let found = Diagnostic::error(
            "LK0107",
            self.source,
            name.span.clone(),
            format!("`{}` cannot be the name of {what}", name.value),
        )
        .label("names are lower-case words joined by `_`");
        let found = if name.contains('-') {
            found.note("an expression would read `-` as a subtraction")
        } else {
            found
        };
        self.found.push(found.suggest(
            "use this name, here and wherever it is referred to",
            name.span.clone(),
            to_snake_case(name),
        ));
    }

    pub(super) fn text(&mut self, table: &dyn TableLike, key: &str) -> Option<Spanned<String>> {
        let entry = self.entry(table, key)?;
        self.text_of(&entry)
    }

    fn text_of(&mut self, entry: &Entry<'_>) -> Option<Spanned<String>> {
        if let Some(text) = entry.item.as_str() {
            return Some(Spanned::new(text.to_owned(), self.span(entry.item)));
        }
        self.wrong_type(entry, "text");
        None
    }

    pub(super) fn texts(&mut self, table: &dyn TableLike, key: &str) -> Vec<Spanned<String>> {
        let Some(entry) = self.entry(table, key) else {
            return Vec::new();
        };
        let texts = entry.item.as_array().map(|array| {
            array
                .iter()
                .map(|value| {
                    let span = value.span().unwrap_or_else(|| self.span(entry.item));
                    value
                        .as_str()
                        .map(|text| Spanned::new(text.to_owned(), span))
                })
                .collect::<Option<Vec<_>>>()
        });
        if let Some(Some(texts)) = texts {
            return texts;
        }
        self.wrong_type(&entry, "a list of texts");
        Vec::new()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(table, key)?;
        self.word_of(&text, key, words)
    }

    /// One of a few words; those in `planned` are said to be not supported yet.
    pub(super) fn supported_word<T: Copy>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        words: &[(&str, T)],
        planned: &[&str],
    ) -> Option<T> {
        let text = self.text(table, key)?;
        if planned.contains(&text.value.as_str()) {
            self.planned(
                text.span.clone(),
                &format!("`{key} = \"{}\"`", *text),
                "value",
            );
            return None;
        }
        self.word_of(&text, key, words)
    }

    pub(super) fn word_of<T: Copy>(
        &mut self,
        text: &Spanned<String>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*meaning);
        }
        let known = || words.iter().map(|(word, _)| *word);
        let found = Diagnostic::error(
            "LK0209",
            self.source,
            text.span.clone(),
            format!("`{key}` cannot be `{}`", text.value),
        )
        .label(format!("one of {} is expected", listed(known())));
        let found = match nearest(text, known()) {
            Some(near) => found.suggest(
                "a similar one exists",
                text.span.clone(),
                format!("\"{near}\""),
            ),
            None => found,
        };
        self.found.push(found);
        None
    }

    pub(super) fn count(&mut self, table: &dyn TableLike, key: &str) -> Option<u32> {
        let entry = self.entry(table, key)?;
        let count = entry
            .item
            .as_integer()
            .and_then(|count| u32::try_from(count).ok());
        if entry.item.is_integer() && count.is_none_or(|count| count == 0) {
            let span = self.span(entry.item);
            self.found.push(
                Diagnostic::error(
                    "LK0209",
                    self.source,
                    span,
                    format!("`{key}` cannot be {}", entry.item.to_string().trim()),
                )
                .label("a whole number from 1 is expected"),
            );
            return None;
        }
        if count.is_none() {
            self.wrong_type(&entry, "a whole number");
        }
        count
    }

    pub(super) fn seconds(&mut self, table: &dyn TableLike, key: &str) -> Option<u64> {
        self.duration(table, key, literal::seconds)
    }

    pub(super) fn milliseconds(&mut self, table: &dyn TableLike, key: &str) -> Option<u64> {
        self.duration(table, key, literal::milliseconds)
    }

    fn duration(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        read: fn(&str) -> Option<u64>,
    ) -> Option<u64> {
        let text = self.text(table, key)?;
        let length = read(&text);
        if key == "timeout" && length == Some(0) {
            self.found.push(
                Diagnostic::error(
                    "LK0209",
                    self.source,
                    text.span.clone(),
                    "`timeout` cannot be no time at all",
                )
                .label("leave it out, or give it time"),
            );
            return None;
        }
        if length.is_none() {
            self.found.push(
                Diagnostic::error(
                    "LK0209",
                    self.source,
                    text.span.clone(),
                    format!("`{}` is not a length of time", text.value),
                )
                .label("a number and a unit are expected, such as `90d`, `24h`, `15m` or `30s`, and `36500d` at most"),
            );
        }
        length
    }

    /// A bare expression.
    pub(super) fn expression(&mut self, table: &dyn TableLike, key: &str) -> Option<Expr> {
        let entry = self.entry(table, key)?;
        let value = entry.item.as_value();
        let Some((text, span)) = value.and_then(|value| value.as_str().zip(value.span())) else {
            self.wrong_type(&entry, "an expression in quotes");
            return None;
        };
        self.expression_in(text, span)
    }

    pub(super) fn expression_in(&mut self, value: &str, span: Span) -> Option<Expr> {
        let text = Text::new(self.source, value, span.clone());
        let trimmed = value.trim();
        if trimmed.starts_with("${") && trimmed.ends_with('}') {
            self.found.push(
                Diagnostic::error(
                    "LK0108",
                    self.source,
                    span.clone(),
                    "this key takes a bare expression",
                )
                .label("`${ }` is only for values")
                .suggest(
                    "leave `${ }` out",
                    span,
                    format!(
                        "\"{}\"",
                        trimmed
                            .trim_start_matches("${")
                            .trim_end_matches('}')
                            .trim()
                    ),
                ),
            );
            return None;
        }
        match Expr::parse(&text, 0..value.len()) {
            Ok(expr) => Some(expr),
            Err(found) => {
                self.found.push(*found);
                None
            }
        }
    }

    /// The whole header of a table, when a key stands in one.
    pub(super) fn header(&self, key: &Span) -> Span {
        header(self.source, key)
    }
}

/// The whole header `[steps.register]` of a table, when its key stands in one; else the key.
pub(crate) fn header(source: &Source, key: &Span) -> Span {
    let text = source.text.as_str();
    let before = text.get(..key.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text.get(line_start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    match line
        .trim_start()
        .strip_prefix('[')
        .and_then(|_| line.find(']'))
    {
        Some(close) if line_start + close >= key.end => line_start + indent..line_start + close + 1,
        _ => key.clone(),
    }
}

/// `an integer`, `a string`
fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}
