//! The durable record of runs: what was asked, what was answered, and who may go on.
//!
//! The workflow core knows only [`Durable`]; [`Store`] is the implementation on one `SQLite` file.

mod chain;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod durable;
mod error;
mod holder;
mod id;
mod invocation;
mod lease;
mod lookup;
mod memory;
mod model;
mod rows;
mod schema;
mod sealed;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod witness;
mod worker;

pub use durable::{Durable, Edge, Entry, Finished, Recorded, Slept, Started, StepEnd};
pub use error::{
    AcquireError, Damage, Fault, LookupError, OpenError, StorageCause, StorageFault, VerifyError,
};
pub use holder::{HEARTBEAT, LEASE_TIMEOUT};
pub use lease::Lease;
pub use memory::Memory;
pub use model::{
    Ending, History, Holder, JournalEntry, Mode, NewRun, Run, RunFilter, RunList, RunSummary,
    Status,
};
pub use store::Store;
