//! Exit codes, and the errors that end the program with them.

use lockkeeper_engine::EngineError;
use lockkeeper_gate::Halt;
use lockkeeper_journal::{AcquireError, Fault, LookupError, OpenError, StorageCause, StorageFault};
use lockkeeper_workflow::Diagnostic;

/// How the program ends; `lockkeeper explain exit-codes` prints the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed, not otherwise classified.
    Failed = 1,
    /// The invocation or the workflow file is wrong; nothing ran.
    Usage = 2,
    /// Not signed in, or the identity lacks a right.
    SignIn = 3,
    /// A step failed; the run can be resumed or undone.
    Step = 4,
    /// Refused by policy.
    Policy = 5,
    /// No such workflow, run or plugin.
    NotFound = 6,
    /// Changes are pending, or drift was found.
    Pending = 7,
    /// Cancelled.
    Cancelled = 8,
    /// Timed out.
    TimedOut = 9,
    /// Another process has the run.
    Locked = 11,
    /// An undo left objects behind.
    LeftBehind = 12,
    /// The journal does not verify.
    Damaged = 13,
    /// A mistake in lockkeeper.
    Internal = 255,
}

/// What ends the program before it is done.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    /// What was tried and what happened; empty when everything is said already.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// Mistakes in a workflow file.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Problem {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            help: None,
            diagnostics: Vec::new(),
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Everything is said already; only the exit code is left.
    pub(crate) fn said(exit: Exit) -> Self {
        Self::new(exit, "")
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(Exit::Internal, error.to_string())
    }
}

impl From<Vec<Diagnostic>> for Problem {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            ..Self::said(Exit::Usage)
        }
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        let exit = match &error {
            LookupError::Unknown { .. } | LookupError::Ambiguous { .. } => Exit::NotFound,
            LookupError::Damaged(_) => Exit::Damaged,
            LookupError::Storage(fault) => of_storage(fault),
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::NotAJournal { .. } => Exit::Damaged,
            OpenError::Storage(fault) => of_storage(fault),
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

fn of_storage(fault: &StorageFault) -> Exit {
    match fault.cause {
        StorageCause::Damaged => Exit::Damaged,
        _ => Exit::Failed,
    }
}

fn of_journal(fault: &Fault) -> Exit {
    match fault {
        Fault::Fenced { .. } => Exit::Locked,
        Fault::Storage(fault) => of_storage(fault),
        _ => Exit::Failed,
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Values(diagnostics) => diagnostics.into(),
            EngineError::Lookup(error) => error.into(),
            EngineError::Held(error) => {
                let exit = match &error {
                    AcquireError::Held { .. } => Exit::Locked,
                    AcquireError::Damaged(_) => Exit::Damaged,
                    AcquireError::Ended { .. } | AcquireError::TakenBack { .. } => Exit::Usage,
                    _ => Exit::Failed,
                };
                Self::new(exit, message)
            }
            EngineError::Changed { .. } | EngineError::NotApplicable(_) => {
                Self::new(Exit::Usage, message)
            }
            EngineError::Journal(fault) | EngineError::Halted(Halt::Journal(fault)) => {
                Self::new(of_journal(&fault), message)
            }
            EngineError::Storage(fault) => Self::new(of_storage(&fault), message),
            EngineError::Halted(Halt::Cancelled) => Self::new(Exit::Cancelled, message),
            EngineError::Unplannable { .. } => Self::new(Exit::Step, message),
            EngineError::Internal(_) => Self::new(Exit::Internal, message),
            EngineError::Service(failure) => {
                let exit = match failure.class {
                    lockkeeper_cloud::Class::Unauthenticated | lockkeeper_cloud::Class::Denied => {
                        Exit::SignIn
                    }
                    _ => Exit::Failed,
                };
                Self::new(exit, message)
            }
            EngineError::Key(_)
            | EngineError::Lock(_)
            | EngineError::Events(_)
            | EngineError::Halted(_) => Self::new(Exit::Failed, message),
        }
    }
}
