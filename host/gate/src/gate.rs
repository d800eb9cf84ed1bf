//! One step's way through the gate: policy, then journal, then the service, then audit.

mod mark;
mod own;
mod patience;
mod planned;
mod read;
mod record;
mod run;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockkeeper_cloud::{Class as FailureClass, Cloud, Failure};
use lockkeeper_journal::{Durable, Fault};
use lockkeeper_types::Value;
use serde_json::json;
use time::OffsetDateTime;

pub use record::{Ended, Intent, recorded};
pub use run::{Mode, RunGate};

use crate::call::Call;
use crate::definition::own_failure;
use crate::event::{CallEvent, Event, ListenerError};
use crate::operation::{Class, Object, Observed};
use crate::operations;
use crate::policy::{Grants, Use};
use crate::watch::Watch;
use record::no_such;

/// What ends a step from the gate's side.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal refused: divergence, a lost lease, a full disk.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The audit, or another listener, could not take an event.
    #[error("the event stream is broken, so nothing more may be sent: {0}")]
    Events(#[from] ListenerError),
    /// The run was asked to stop.
    #[error("stopped before the next call, as asked")]
    Cancelled,
    /// The step waits so long that its plugin is unloaded; run it again then.
    #[error("waits until {until}")]
    Suspended {
        /// When to run it again.
        until: OffsetDateTime,
    },
    /// A call was sent and nobody can tell whether the service acted.
    #[error("whether `{operation}` on {object} was done cannot be told: {failure}")]
    Unknown {
        /// The operation.
        operation: String,
        /// What it is about.
        object: String,
        /// What the last look gave.
        failure: Box<Failure>,
    },
}

/// The write of a step that is under way: its intent is on disk, its outcome is not.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Mutex<Option<CallEvent>>>);

impl UnderWay {
    fn set(&self, write: Option<CallEvent>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = write;
    }

    /// How a step ends that is given up now, if a write is under way: not for good, since whoever
    /// goes on with the run finds out what became of the write.
    pub fn given_up(&self) -> Option<Halt> {
        let write = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let failure = own_failure(
            FailureClass::Unavailable,
            &write.operation,
            "StepTimeout",
            "the step's time was up before its outcome was known",
        );
        Some(Halt::Unknown {
            operation: write.operation,
            object: write.object.shown(),
            failure: Box::new(failure),
        })
    }
}

/// After creating something, reads this often in a row must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// How many reads in a row.
    pub reads: u32,
    /// How long to try.
    pub timeout: Duration,
}

/// One attempt of one step, at the gate.
pub struct StepGate {
    run: Arc<RunGate>,
    /// The target, as this step's requests reach it.
    cloud: Cloud,
    step: String,
    grants: Grants,
    settle: Option<Settle>,
    deadline: Instant,
    durable: Box<dyn Durable>,
    replaying: bool,
    used: Use,
    seen: HashMap<Object, Observed>,
    position: u64,
    changes: u64,
    notes: Vec<String>,
    under_way: UnderWay,
}

impl StepGate {
    /// The gate for one attempt of `step`, whose calls `durable` records.
    pub fn new(
        run: Arc<RunGate>,
        step: &str,
        grants: Grants,
        settle: Option<Settle>,
        deadline: Instant,
        durable: Box<dyn Durable>,
    ) -> Self {
        let watch = Watch {
            cancellation: run.cancellation.clone(),
            events: run.events.clone(),
            step: step.to_owned(),
            requests: match &run.mode {
                Mode::Plan(plan) => plan.requests().clone(),
                Mode::Apply => Arc::default(),
            },
        };
        Self {
            cloud: run
                .cloud
                .observed_by(Arc::new(watch), Some(deadline.into())),
            run,
            step: step.to_owned(),
            grants,
            settle,
            deadline,
            durable,
            replaying: false,
            used: Use::default(),
            seen: HashMap::new(),
            position: 0,
            changes: 0,
            notes: Vec::new(),
            under_way: UnderWay::default(),
        }
    }

    /// The write that is under way, also when the gate itself is busy with it.
    pub fn under_way(&self) -> UnderWay {
        self.under_way.clone()
    }

    /// How many writes the step has made that changed something.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What the plugin noted.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The attempt's record, at its first entry again.
    pub fn rewind(mut self) -> Box<dyn Durable> {
        self.durable.rewind();
        self.durable
    }

    /// Passes one call. The inner result is for the plugin, in the shape of `step/types.error`;
    /// a [`Halt`] ends the step.
    pub async fn call(
        &mut self,
        operation: &str,
        arguments: Value,
    ) -> Result<Result<Value, Value>, Halt> {
        if self.run.cancellation.is_set() {
            return Err(Halt::Cancelled);
        }
        self.position += 1;
        let result = match operation {
            "step/progress.report" => return self.report(&arguments).map(Ok),
            "step/progress.note" => return self.note(&arguments).await.map(Ok),
            "step/timer.sleep" => return self.sleep(&arguments).await.map(Ok),
            "step/timer.now" => return self.now().await.map(Ok),
            _ => match operations::find(operation) {
                None => Err(no_such(operation)),
                Some(definition) => {
                    let call = Call {
                        operation: operation.to_owned(),
                        arguments,
                    };
                    match &self.run.clone().mode {
                        Mode::Plan(plan) => self.plan(plan, definition, &call).await,
                        Mode::Apply if definition.class() == Class::Read => {
                            self.read(definition, &call).await?
                        }
                        Mode::Apply => self.write(definition, &call).await?,
                    }
                }
            },
        };
        match result {
            Err(failure) if self.run.has_stopped(&failure) => {
                Err(self.halted(failure.to_string())?)
            }
            result => Ok(result.map_err(|failure| error_value(&failure))),
        }
    }

    /// What a fault in the record of a call means.
    fn faulted(&self, fault: Fault) -> Result<Halt, ListenerError> {
        match fault {
            // The effect had to wait, and nobody wanted to wait any more.
            Fault::Stopped(why) if self.run.cancellation.is_set() => self.halted(why),
            fault => Ok(Halt::Journal(fault)),
        }
    }

    /// The halt of a call that waited when the run was asked to stop. Its end is not recorded: whoever resumes the run
    /// finds out what became of it, as after a crash.
    fn halted(&self, why: String) -> Result<Halt, ListenerError> {
        let note = Event::StepNote { message: why };
        self.run.events.tell(Some(&self.step), &note)?;
        Ok(Halt::Cancelled)
    }

    fn mark(&self) -> String {
        let run = format!("{}{}", self.durable.run_id(), self.run.journal);
        mark::mark(&run, self.durable.address(), self.position)
    }
}

/// A failure in the shape of `step/types.error`.
pub fn error_value(failure: &Failure) -> Value {
    let case = match failure.class {
        FailureClass::NotFound => "not-found",
        FailureClass::Conflict => "conflict",
        FailureClass::Denied | FailureClass::Unauthenticated => "denied",
        FailureClass::Throttled => "throttled",
        FailureClass::NotYetVisible => "not-yet-visible",
        FailureClass::Unavailable => "unavailable",
        FailureClass::Invalid => "invalid",
        FailureClass::Other => "other",
    };
    json!({ case: {
        "service": failure.service,
        "operation": failure.operation,
        "status": failure.status.unwrap_or_default(),
        "code": failure.code,
        "message": failure.message,
        "request_id": failure.request_id.clone().unwrap_or_default(),
    }})
}
