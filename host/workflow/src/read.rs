//! Reading a file: TOML to [`Workflow`], with every problem of its shape.

mod input;
mod kind;
mod part;
mod step;
mod template;

pub(crate) use part::header;

use std::collections::BTreeSet;
use std::sync::Arc;

use toml_edit::{Document, Item, TableLike};

use crate::check::Broken;
use crate::diagnostic::Diagnostic;
use crate::model::{Node, Output, Workflow};
use crate::source::{Source, Spanned};

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

/// The plugins of all steps, as far as they are written as text.
pub(crate) fn plugin_names(source: &Source) -> Option<BTreeSet<String>> {
    let document = Document::parse(source.text.as_str()).ok()?;
    let steps = document.get("steps").and_then(Item::as_table_like);
    let steps = steps.into_iter().flat_map(TableLike::iter);
    Some(
        steps
            .filter_map(|(_, step)| step.get("plugin")?.as_str())
            .map(str::to_owned)
            .collect(),
    )
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
            Some(name) => {
                if name.trim().is_empty() {
                    self.found.push(
                        Diagnostic::error(
                            "LK0209",
                            self.source,
                            name.span.clone(),
                            "`name` cannot be empty",
                        )
                        .label("the workflow's name is expected here"),
                    );
                }
                workflow.name = name;
            }
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
}
