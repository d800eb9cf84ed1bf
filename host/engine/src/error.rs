//! Why the engine could not begin or go on.

use lockkeeper_gate::{Halt, KeyError, ListenerError};
use lockkeeper_journal::{AcquireError, Fault, LookupError, StorageFault};
use lockkeeper_workflow::Diagnostic;

use crate::lock::LockError;
use crate::report::StepReport;

/// Why a run, plan, undo or comparison could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The inputs are wrong, or a value of the file cannot be evaluated.
    #[error("{} problem(s) in the workflow's values", .0.len())]
    Values(Vec<Diagnostic>),
    /// Another process has the run.
    #[error(transparent)]
    Held(AcquireError),
    /// There is no such run.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The journal failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
    /// The journal stopped the run.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The run pinned other files than those that are there now.
    #[error(
        "run {run} began with another {what}\n  next:   put back the one it began with, or start a new run"
    )]
    Changed {
        /// The run.
        run: String,
        /// What changed: the workflow, or a plugin.
        what: String,
    },
    /// A key could not be made, read or destroyed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The workflow's lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The event stream is broken.
    #[error(transparent)]
    Events(#[from] ListenerError),
    /// A service refused a read.
    #[error(transparent)]
    Service(#[from] Box<lockkeeper_cloud::Failure>),
    /// The gate halted what was no run.
    #[error(transparent)]
    Halted(Halt),
    /// A plugin failed in a plan.
    #[error("step `{step}` cannot be planned")]
    Unplannable {
        /// The step.
        step: String,
        /// The steps as far as the plan went, with what this one failed with.
        steps: Vec<StepReport>,
    },
    /// The run is not one that this can be done to.
    #[error("{0}")]
    NotApplicable(String),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<lockkeeper_cloud::Failure> for EngineError {
    fn from(failure: lockkeeper_cloud::Failure) -> Self {
        if failure.is_stopped() {
            return Self::Halted(Halt::Cancelled);
        }
        Self::Service(Box::new(failure))
    }
}

impl From<AcquireError> for EngineError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Storage(fault) => Self::Storage(fault),
            other => Self::Held(other),
        }
    }
}
