//! How a run ended, and what it left behind.

use std::collections::BTreeMap;
use std::fmt;

use lockkeeper_types::{Value, clean};
use serde::{Deserialize, Serialize};

use crate::{Limit, Used};

/// A run that is over. Its store is gone; only this is left.
#[derive(Debug)]
pub struct Ran<H: crate::Host> {
    /// The host, given back.
    pub host: H,
    /// How it ended.
    pub ended: Ended<H::Halt>,
    /// What it used.
    pub used: Used,
    /// What it wrote to standard output and error.
    pub log: Log,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended<Halt> {
    /// The plugin returned its outputs: an object by [`Signature::outputs`](lockkeeper_types::Signature::outputs).
    Outputs(Value),
    /// The plugin returned its error.
    Failed(StepError),
    /// The host ended the run from within a call.
    Halted(Halt),
    /// The plugin wanted more than its budget.
    Limit(Limit),
    /// The plugin broke off: a panic, a forged handle, an exit, memory out of bounds.
    Trap(Trap),
    /// A value did not fit its type, so that it could not cross the boundary.
    Interface(Mismatch),
}

/// `lockkeeper:step/types.step-error`, each text made safe to print on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The case of `error`: `not-found`, `conflict`, ….
    pub class: String,
    /// What the service said.
    pub failure: Failure,
    /// What it most likely means.
    pub cause: Option<String>,
    /// What to do next.
    pub help: Option<String>,
}

/// `lockkeeper:step/types.failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `graph`, `databricks`, … or `lockkeeper`.
    pub service: String,
    /// `databricks/jobs.create`.
    pub operation: String,
    /// The HTTP status, 0 when there was no reply.
    pub status: u16,
    /// The service's own error code.
    pub code: String,
    /// The service's message.
    pub message: String,
    /// The service's request id, empty when it gave none.
    pub request_id: String,
}

impl StepError {
    /// From the value of a `step-error`, whose type was checked when the plugin was loaded.
    pub(crate) fn from_value(value: Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Raised {
            error: BTreeMap<String, Failure>,
            cause: Option<String>,
            help: Option<String>,
        }
        let Raised { error, cause, help } = serde_json::from_value(value).ok()?;
        let (class, failure) = error.into_iter().next()?;
        Some(Self {
            class,
            failure: Failure {
                service: line(&failure.service),
                operation: line(&failure.operation),
                status: failure.status,
                code: line(&failure.code),
                message: line(&failure.message),
                request_id: line(&failure.request_id),
            },
            cause: cause.as_deref().map(line),
            help: help.as_deref().map(line),
        })
    }
}

/// A text of the plugin's, as it can be shown.
fn line(text: &str) -> String {
    clean(text, 2_000)
}

/// A plugin that broke off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// What happened, on one line.
    pub message: String,
    /// The plugin's functions that were running, innermost first, as its name section calls them.
    pub backtrace: Vec<String>,
}

impl Trap {
    /// The code of the error.
    pub const CODE: &'static str = "LK9520";
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin broke off: {}", self.message)?;
        match self.backtrace.first() {
            Some(function) => write!(f, ", in {function}"),
            None => Ok(()),
        }
    }
}

/// A value that did not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Which value: `inputs`, `outputs`, `arguments of …`, `answer of …`.
    pub of: String,
    /// Where in it: `secret_days`, `grants[3].role`; empty for the value itself.
    pub path: String,
    /// The type, as WIT writes it, or the rule.
    pub expected: String,
    /// What kind of value was there. Never its text, which may be a person's data.
    pub got: String,
}

impl Mismatch {
    /// The code of the error.
    pub const CODE: &'static str = "LK9521";
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of)?;
        if !self.path.is_empty() {
            write!(f, ", at `{}`", self.path)?;
        }
        write!(f, ": expected {}, got {}", self.expected, self.got)
    }
}

/// What a plugin wrote to standard output and error, in the order it wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Its lines, control characters escaped, long lines cut.
    pub lines: Vec<String>,
    /// How many bytes were dropped because the budget was used up.
    pub dropped: u64,
}
