//! What a run, or a step of it, came to: the stable shape of `--output json`.

use std::collections::BTreeMap;

use lockkeeper_types::Value;
use lockkeeper_workflow::Diagnostic;
use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The run's id.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// The target's name.
    pub target: String,
    /// How it ended.
    pub result: RunResult,
    /// The steps, in the order of the file.
    pub steps: Vec<StepReport>,
    /// The workflow's outputs; only a run that succeeded has them.
    #[serde(default)]
    pub outputs: serde_json::Map<String, Value>,
    /// For an adoption: the id of each object that the steps were to take over, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adopted: BTreeMap<String, String>,
    /// What stopped the run, where it was not a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same with its place in the workflow, where it was an expression.
    #[serde(skip)]
    pub finding: Option<Box<Diagnostic>>,
}

impl RunReport {
    /// Says that an expression stopped the run.
    pub(crate) fn stopped_by(&mut self, finding: Box<Diagnostic>) {
        self.result = RunResult::Failed;
        let mut error = finding.message.clone();
        if !finding.label.is_empty() {
            error.push_str(&format!(": {}", finding.label));
        }
        if let Some(source) = &finding.source {
            let (line, column) = source.position(finding.span.start);
            error.push_str(&format!(" ({}:{line}:{column})", source.path));
        }
        self.error = Some(format!("{}: {error}", finding.code));
        self.finding = Some(finding);
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// Every step did.
    Succeeded,
    /// A step failed, or the outcome of a call is unknown; the run can be resumed.
    Failed,
    /// It was asked to stop; the run can be resumed.
    Cancelled,
    /// The workflow's time was up; the run can be resumed.
    TimedOut,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step's name.
    pub id: String,
    /// Its plugin.
    pub plugin: String,
    /// How it ended.
    pub result: StepResult,
    /// Its outputs; `null` unless it succeeded. A secret is only its name.
    pub outputs: Value,
    /// What the plugin thought worth keeping: what was already there, what was changed.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How many writes changed something.
    #[serde(default)]
    pub changes: u64,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepFailure>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// It did what it should.
    Succeeded,
    /// It failed.
    Failed,
    /// Its `when` did not hold.
    Skipped,
    /// The run ended before its turn.
    NotRun,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// The `LK` code that `lockkeeper explain` knows.
    pub code: String,
    /// What happened, in one line.
    pub message: String,
    /// The error's class, where a call failed: `denied`, `not-found`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The operation that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The service's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_code: Option<String>,
    /// The HTTP status, where there was a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The service's request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What it most likely means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl StepFailure {
    /// A failure that no service gave.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            class: None,
            operation: None,
            service_code: None,
            status: None,
            request_id: None,
            cause: None,
            help: None,
        }
    }
}
