//! The one event stream of a run: progress, audit and machine-readable output all listen to it.

use std::sync::Arc;
use std::time::Duration;

use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::operation::{Class, Object};

/// Something that happened in a run. Holds no secret.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run begins, or goes on.
    RunStart {
        /// The workflow's name.
        workflow: String,
        /// The target's name.
        target: String,
        /// Who runs it.
        actor: String,
        /// Whether it goes on after a crash or a failure.
        resumed: bool,
    },
    /// A step begins.
    StepStart {
        /// Its plugin.
        plugin: String,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// A step says what it is doing right now.
    StepProgress {
        /// In the plugin's words.
        message: String,
    },
    /// A step says something worth keeping.
    StepNote {
        /// In the plugin's words.
        message: String,
    },
    /// The gate waits before it asks a service again.
    Waiting {
        /// The operation.
        operation: String,
        /// Why: a retry class and what the service said.
        reason: String,
        /// For how long.
        #[serde(serialize_with = "seconds")]
        delay: Duration,
    },
    /// A call is about to leave, its intent on disk.
    CallIntent(CallEvent),
    /// A call has its outcome, or was refused.
    CallOutcome {
        /// The call.
        #[serde(flatten)]
        call: CallEvent,
        /// `done`, `failed`, `denied` or `unknown`.
        outcome: Outcome,
        /// The service's code, when it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The service's request id, when it failed and gave one.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    /// A step ended well.
    StepComplete {
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        duration: Duration,
        /// Its outputs; a secret is only its name.
        outputs: Value,
        /// How many objects it wrote.
        changes: u64,
    },
    /// A step was not run.
    StepSkipped {
        /// Why.
        reason: String,
    },
    /// A step failed, or its attempt did.
    StepFailed {
        /// The failure, in one line.
        message: String,
        /// Whether another attempt follows.
        retried: bool,
    },
    /// The run ended.
    RunEnd {
        /// `succeeded`, `failed`, `cancelled`.
        status: String,
    },
}

/// One call, as events tell of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallEvent {
    /// The operation.
    pub operation: String,
    /// What recovery does with it.
    pub class: Class,
    /// What it is about.
    pub object: Object,
    /// Its mark.
    pub mark: String,
    /// SHA-256 of operation and arguments.
    pub digest: String,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The service did it.
    Done,
    /// The service refused, or could not be reached.
    Failed,
    /// The operator's grants refuse it; nothing left the host.
    Denied,
    /// It was sent, and whether the service did it cannot be told.
    Unknown,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Listens to events. An error ends the run before its next effect: an audit that cannot be
/// written stops the work.
pub trait Listener: Send + Sync {
    /// Takes one event of `run` and, where it belongs to one, `step`.
    fn hear(&self, run: &str, step: Option<&str>, event: &Event) -> Result<(), ListenerError>;

    /// Takes the steps' calls that are on record of `run`, which a process that died may have left
    /// untold. What keeps no log of its own need not care.
    fn recall(&self, _run: &str, _recorded: &[(String, Event)]) -> Result<(), ListenerError> {
        Ok(())
    }
}

/// Why a listener could not take an event.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ListenerError(pub String);

/// The event stream of one run.
#[derive(Clone)]
pub struct Events {
    run: String,
    listeners: Arc<[Arc<dyn Listener>]>,
}

impl Events {
    /// The stream of `run`, heard by `listeners` in order.
    pub fn new(run: &str, listeners: &[Arc<dyn Listener>]) -> Self {
        Self {
            run: run.to_owned(),
            listeners: listeners.into(),
        }
    }

    /// Tells every listener.
    pub fn tell(&self, step: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        self.listeners
            .iter()
            .try_for_each(|listener| listener.hear(&self.run, step, event))
    }

    /// Has every listener compare what it heard with what is on record.
    pub fn recall(&self, recorded: &[(String, Event)]) -> Result<(), ListenerError> {
        self.listeners
            .iter()
            .try_for_each(|listener| listener.recall(&self.run, recorded))
    }
}
