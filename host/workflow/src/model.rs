//! What a workflow file says, once it has been read.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockkeeper_types::{Field, Type, Value};
use regex::Regex;

use crate::expr::Expr;
use crate::source::{Source, Span, Spanned};

/// A workflow: its inputs, its steps in the order they are written, and its outputs.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// The language edition, `lockkeeper = 1`.
    pub edition: u32,
    /// Its name, unique among a project's workflows.
    pub name: Spanned<String>,
    /// One line for lists and headings.
    pub title: Option<String>,
    /// A paragraph for its page.
    pub description: Option<String>,
    /// Seconds that a whole run may take.
    pub timeout: Option<u64>,
    /// One run per key at a time; see [`Workflow::evaluate_lock`].
    pub lock: Option<Node>,
    /// Who answers for it, such as `group:data-platform`.
    pub owners: Vec<String>,
    /// What a person or CI may set.
    pub inputs: Vec<Input>,
    /// The steps, as written; see [`Workflow::order`] for what waits for what.
    pub steps: Vec<Step>,
    /// What a run lists at its end.
    pub outputs: Vec<Output>,
    /// The file.
    pub source: Arc<Source>,
}

/// An input, or a field of an input that is a record.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, in `snake_case`.
    pub name: Spanned<String>,
    /// Its type; fields of records are in [`fields`](Input::fields) too, with their constraints.
    pub kind: Spanned<Type>,
    /// What text must match.
    pub pattern: Option<Spanned<Regex>>,
    /// What must hold of `self`.
    pub check: Option<Expr>,
    /// The value when none is given: a literal or an expression over `run` and `target`.
    pub default: Option<Node>,
    /// What to tell the person who sets it.
    pub help: Option<String>,
    /// The fields, when `kind` is a record or a list or option of one.
    pub fields: Vec<Input>,
}

impl Input {
    /// Whether a run cannot start without it.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.kind.is_optional()
    }
}

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, in `snake_case`.
    pub name: Spanned<String>,
    /// The plugin that it runs.
    pub plugin: Spanned<String>,
    /// One line for plans and progress.
    pub title: Option<String>,
    /// Whether it runs at all.
    pub when: Option<Expr>,
    /// Steps it waits for although no data flows.
    pub after: Vec<Spanned<String>>,
    /// How its calls are tried again.
    pub retry: Retry,
    /// Seconds it may take.
    pub timeout: Option<u64>,
    /// How it waits for what it made to be seen everywhere.
    pub settle: Option<Settle>,
    /// What must hold of its outputs, which are `self`.
    pub expect: Vec<Expr>,
    /// How it is taken back.
    pub undo: Undo,
    /// The plugin's inputs.
    pub with: Record,
    /// The fields of the plugin's result; empty until [`load`](crate::load) has found the plugin.
    pub outputs: Vec<Field>,
}

/// How often, and how fast, a step's calls are tried again. `Retry-After` always wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first one counted.
    pub max: u32,
    /// How the pause grows.
    pub backoff: Backoff,
    /// Milliseconds before the second try.
    pub first: u64,
    /// Milliseconds that no pause exceeds.
    pub cap: u64,
    /// Classes of errors worth another try.
    pub on: Vec<ErrorClass>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 5,
            backoff: Backoff::Exponential,
            first: 1_000,
            cap: 60_000,
            on: vec![
                ErrorClass::Throttled,
                ErrorClass::Unavailable,
                ErrorClass::NotYetVisible,
            ],
        }
    }
}

/// How a pause between tries grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Twice the last pause.
    Exponential,
    /// Always the same pause.
    Constant,
}

/// The class of a failed call, as the plugins' error variant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// There is no such object.
    NotFound,
    /// Too many requests.
    Throttled,
    /// Written a moment ago and not seen everywhere yet.
    NotYetVisible,
    /// The service cannot be reached or has failed.
    Unavailable,
    /// Somebody else changed it.
    Conflict,
    /// Not allowed.
    Denied,
    /// The request makes no sense to the service.
    Invalid,
    /// Anything else.
    Other,
}

impl ErrorClass {
    /// The name that WIT and workflow files give it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Throttled => "throttled",
            Self::NotYetVisible => "not-yet-visible",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }
}

/// Waiting until a new object is seen everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Reads in a row that must see it.
    pub reads: u32,
    /// Seconds to wait at most.
    pub timeout: u64,
}

/// How a step is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undo {
    /// By the inverse of each call.
    #[default]
    Inverse,
    /// It stays.
    Keep,
}

/// A named output of the workflow.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name, in `snake_case`.
    pub name: Spanned<String>,
    /// What it says.
    pub value: Node,
}

/// A value in the file that may hold expressions, and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub template: Template,
    /// Where it stands.
    pub span: Span,
}

/// A value that may hold expressions.
#[derive(Clone, Debug)]
pub enum Template {
    /// A value without any expression.
    Literal(Value),
    /// `"${ expr }"`, which keeps the type of the expression.
    Expr(Expr),
    /// Text with expressions in it.
    Text(Vec<Piece>),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Record(Record),
}

/// A part of a text.
#[derive(Clone, Debug)]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// `${ expr }`, formatted to text.
    Expr(Expr),
}

/// A table of templates, with a guard of its own when it has a `when`.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it does not hold, the record is absent.
    pub when: Option<Expr>,
    /// The fields in the order they are written.
    pub fields: Vec<(Spanned<String>, Node)>,
    /// Where the table stands; for a step without `with`, its header.
    pub span: Span,
}

impl Workflow {
    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| *step.name == name)
    }

    /// The input of that name.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| *input.name == name)
    }

    /// The steps that each step waits for, by name: those that its expressions refer to and those
    /// in `after`. A checked workflow has no cycle in it.
    pub fn order(&self) -> BTreeMap<&str, Vec<&str>> {
        crate::order::order(self)
    }
}
