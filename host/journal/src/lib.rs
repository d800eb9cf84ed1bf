//! The durable record of runs: what was asked, what was answered, and who may go on.
//!
//! The workflow core knows only [`Durable`]; [`Store`] is the implementation on one `SQLite` file.

mod durable;
mod error;
mod model;

pub use durable::{Durable, Edge, Entry, Finished, Recorded, Slept, Started, StepEnd};
pub use error::{
    AcquireError, Damage, Fault, LookupError, OpenError, StorageCause, StorageFault, VerifyError,
};
pub use model::{
    Ending, History, Holder, JournalEntry, Mode, NewRun, Run, RunFilter, RunSummary, Status,
};
