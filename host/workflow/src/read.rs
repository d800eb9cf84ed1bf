//! Reading a file: TOML to [`Workflow`], with every problem of its shape.

mod input;
mod kind;
mod step;
mod template;

use std::sync::Arc;

use toml_edit::{Document, Item, TableLike};

use crate::check::Broken;
use crate::diagnostic::Diagnostic;
use crate::expr::Expr;
use crate::literal;
use crate::model::{Node, Output, Workflow};
use crate::names::{is_snake_case, listed, nearest, to_snake_case};
use crate::source::{Source, Span, Spanned};
use crate::text::Text;

/// The language edition that this program reads.
const EDITION: i64 = 1;

/// The workflow as far as it can be read, and what is wrong with the file's shape.
///
/// Names whose meaning could not be read are told apart, so that using them is no second mistake.
pub(crate) fn read(source: &Arc<Source>) -> (Option<Workflow>, Broken, Vec<Diagnostic>) {
    let document = match Document::parse(source.text.as_str()) {
        Ok(document) => document,
        Err(error) => return (None, Broken::new(), vec![syntax(source, &error)]),
    };
    let mut reader = Reader {
        source,
        broken: Broken::new(),
        found: Vec::new(),
    };
    let workflow = reader.workflow(document.as_table());
    (Some(workflow), reader.broken, reader.found)
}

fn syntax(source: &Arc<Source>, error: &toml_edit::TomlError) -> Diagnostic {
    let end = source.text.len();
    let span = error.span().unwrap_or(end..end);
    // An empty span cannot be pointed at; the character before it can.
    let span = if span.is_empty() && span.start > 0 {
        let before = source.text.get(..span.start).unwrap_or_default();
        let last = before.trim_end_matches(['\n', '\r']);
        let width = last.chars().next_back().map_or(0, char::len_utf8);
        last.len() - width..last.len()
    } else {
        span
    };
    let mut lines = error.message().lines();
    let first = lines.next().unwrap_or("cannot be read");
    let rest: Vec<_> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let found = Diagnostic::error("LK0101", source, span, format!("this is not TOML: {first}"))
        .label("here");
    rest.into_iter().fold(found, Diagnostic::note)
}

/// Reads the parts of a file and collects what is wrong with them.
struct Reader<'a> {
    source: &'a Arc<Source>,
    broken: Broken,
    found: Vec<Diagnostic>,
}

/// A key and the value under it.
struct Entry<'a> {
    key: Spanned<String>,
    item: &'a Item,
}

impl<'a> Reader<'a> {
    fn workflow(&mut self, root: &'a dyn TableLike) -> Workflow {
        self.keys(
            root,
            "a workflow file",
            &["lockkeeper", "workflow", "inputs", "steps", "outputs"],
            &["approvals", "notify"],
        );
        self.edition(root);
        let start = 0..self.source.text.lines().next().map_or(0, str::len);
        let about = if let Some(about) = self.entry(root, "workflow") {
            self.table(&about, "`[workflow]`")
        } else {
            self.found.push(
                Diagnostic::error(
                    "LK0106",
                    self.source,
                    start.clone(),
                    "`[workflow]` is missing",
                )
                .label("this file has no `[workflow]` table")
                .help("add `[workflow]` with a `name`"),
            );
            None
        };
        let mut workflow = Workflow {
            edition: 1,
            name: Spanned::new(String::new(), start),
            title: None,
            description: None,
            timeout: None,
            lock: None,
            owners: Vec::new(),
            inputs: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
            source: Arc::clone(self.source),
        };
        if let Some(about) = about {
            self.about(root, about, &mut workflow);
        }
        workflow.inputs = self
            .entries_of(root, "inputs")
            .into_iter()
            .filter_map(|entry| {
                let input = self.input(&entry);
                if input.is_none() {
                    self.broken.insert(format!("inputs.{}", entry.key.value));
                }
                input
            })
            .collect();
        workflow.steps = self
            .entries_of(root, "steps")
            .into_iter()
            .filter_map(|entry| {
                let step = self.step(&entry);
                if step.is_none() {
                    self.broken.insert(format!("steps.{}", entry.key.value));
                }
                step
            })
            .collect();
        workflow.outputs = self
            .entries_of(root, "outputs")
            .into_iter()
            .filter_map(|entry| self.output(entry))
            .collect();
        workflow
    }

    fn edition(&mut self, root: &dyn TableLike) {
        let Some(entry) = self.entry(root, "lockkeeper") else {
            let first = 0..self.source.text.lines().next().map_or(0, str::len);
            self.found.push(
                Diagnostic::error(
                    "LK0104",
                    self.source,
                    first,
                    "the language edition is missing",
                )
                .label("`lockkeeper = 1` is expected before anything else")
                .suggest(
                    "say which edition the file is written in",
                    0..0,
                    "lockkeeper = 1\n",
                ),
            );
            return;
        };
        let span = self.span(entry.item);
        match entry.item.as_integer() {
            Some(EDITION) => {}
            Some(newer) if newer > EDITION => self.found.push(
                Diagnostic::error(
                    "LK0104",
                    self.source,
                    span,
                    format!("this file is written in edition {newer} of the language"),
                )
                .label(format!("this program reads edition {EDITION}"))
                .help("a newer lockkeeper reads it"),
            ),
            Some(_) => self.found.push(
                Diagnostic::error(
                    "LK0104",
                    self.source,
                    span.clone(),
                    "there is no such edition",
                )
                .label("the first edition is 1")
                .suggest("use edition 1", span, "1"),
            ),
            None => {
                self.wrong_type(&entry, "a whole number");
            }
        }
    }

    fn about(&mut self, root: &dyn TableLike, about: &'a dyn TableLike, workflow: &mut Workflow) {
        const KEYS: [&str; 6] = ["name", "title", "description", "timeout", "lock", "owners"];
        self.keys(about, "`[workflow]`", &KEYS, &[]);
        match self.text(about, "name") {
            Some(name) => workflow.name = name,
            None if about.contains_key("name") => {}
            None => {
                let span = self
                    .entry(root, "workflow")
                    .map_or(0..0, |entry| self.header(&entry.key.span));
                self.found.push(
                    Diagnostic::error("LK0106", self.source, span, "the workflow has no `name`")
                        .label("`name` is missing here"),
                );
            }
        }
        workflow.title = self.text(about, "title").map(|text| text.value);
        workflow.description = self.text(about, "description").map(|text| text.value);
        workflow.timeout = self.seconds(about, "timeout");
        workflow.owners = self
            .texts(about, "owners")
            .into_iter()
            .map(|owner| owner.value)
            .collect();
        workflow.lock = self
            .entry(about, "lock")
            .and_then(|entry| self.text_node(&entry));
    }

    fn output(&mut self, entry: Entry<'a>) -> Option<Output> {
        self.check_name(&entry.key, "an output");
        let value = self.node(&entry)?;
        Some(Output {
            name: entry.key,
            value,
        })
    }

    /// A value that must be text, perhaps with expressions in it.
    fn text_node(&mut self, entry: &Entry<'a>) -> Option<Node> {
        if entry.item.is_str() {
            return self.node(entry);
        }
        self.wrong_type(entry, "text");
        None
    }

    // What the readers of the parts share.

    fn span(&self, item: &Item) -> Span {
        let end = self.source.text.len();
        item.span().unwrap_or(end..end)
    }

    fn entry<'t>(&self, table: &'t dyn TableLike, key: &str) -> Option<Entry<'t>> {
        let (key, item) = table.get_key_value(key)?;
        (!item.is_none()).then(|| Entry {
            key: Spanned::new(
                key.get().to_owned(),
                key.span().unwrap_or_else(|| self.span(item)),
            ),
            item,
        })
    }

    fn entries<'t>(&self, table: &'t dyn TableLike) -> Vec<Entry<'t>> {
        table
            .iter()
            .filter_map(|(key, _)| self.entry(table, key))
            .collect()
    }

    /// The entries of a table of the root; none if it is missing or no table.
    fn entries_of<'t>(&mut self, root: &'t dyn TableLike, key: &str) -> Vec<Entry<'t>> {
        let Some(entry) = self.entry(root, key) else {
            return Vec::new();
        };
        match self.table(&entry, &format!("`{key}`")) {
            Some(table) => self.entries(table),
            None => Vec::new(),
        }
    }

    fn table<'t>(&mut self, entry: &Entry<'t>, what: &str) -> Option<&'t dyn TableLike> {
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

    fn wrong_type(&mut self, entry: &Entry<'_>, wanted: &str) {
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
    fn keys(&mut self, table: &dyn TableLike, place: &str, known: &[&str], planned: &[&str]) {
        for entry in self.entries(table) {
            let name = entry.key.value.as_str();
            if known.contains(&name) {
                continue;
            }
            let span = entry.key.span.clone();
            if planned.contains(&name) {
                self.found.push(
                    Diagnostic::error(
                        "LK0105",
                        self.source,
                        span,
                        format!("`{name}` is not supported yet"),
                    )
                    .label("this program cannot do what this key asks for")
                    .help(
                        "take it out; a run that left it unheeded would do less than the file says",
                    ),
                );
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

    fn check_name(&mut self, name: &Spanned<String>, what: &str) {
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

    fn text(&mut self, table: &dyn TableLike, key: &str) -> Option<Spanned<String>> {
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

    fn texts(&mut self, table: &dyn TableLike, key: &str) -> Vec<Spanned<String>> {
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
    fn word<T: Copy>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(table, key)?;
        self.word_of(&text, key, words)
    }

    fn word_of<T: Copy>(
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

    fn count(&mut self, table: &dyn TableLike, key: &str) -> Option<u32> {
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

    fn seconds(&mut self, table: &dyn TableLike, key: &str) -> Option<u64> {
        self.duration(table, key, literal::seconds)
    }

    fn milliseconds(&mut self, table: &dyn TableLike, key: &str) -> Option<u64> {
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
        if length.is_none() {
            self.found.push(
                Diagnostic::error(
                    "LK0209",
                    self.source,
                    text.span.clone(),
                    format!("`{}` is not a length of time", text.value),
                )
                .label("a number and a unit are expected, such as `90d`, `24h`, `15m` or `30s`"),
            );
        }
        length
    }

    /// A bare expression.
    fn expression(&mut self, table: &dyn TableLike, key: &str) -> Option<Expr> {
        let entry = self.entry(table, key)?;
        let value = entry.item.as_value();
        let Some((text, span)) = value.and_then(|value| value.as_str().zip(value.span())) else {
            self.wrong_type(&entry, "an expression in quotes");
            return None;
        };
        self.expression_in(text, span)
    }

    fn expression_in(&mut self, value: &str, span: Span) -> Option<Expr> {
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
    fn header(&self, key: &Span) -> Span {
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
