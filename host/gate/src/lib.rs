//! The gate: every effect is a call that passes policy, journal and audit here.

mod call;
mod cancellation;
pub mod definition;
mod event;
mod gate;
mod names;
pub mod operation;
pub mod operations;
mod plan;
mod policy;
mod sealing;
mod secrets;
mod undo;
mod watch;

pub use call::Call;
pub use cancellation::Cancellation;
pub use definition::Definition;
pub use event::{CallEvent, Event, Events, Listener, ListenerError, Outcome};
pub use gate::{Ended, Halt, Intent, Mode, RunGate, Settle, StepGate, error_value, recorded};
pub use operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
pub use plan::{Change, Plan, PlannedCall};
pub use policy::{Denial, Grants, Policy, PolicyError, Remedy};
pub use sealing::{Key, KeyError, KeyRing, Vault};
pub use secrets::{SealedStore, SecretRef, Secrets};
pub use undo::{Open, Record, Written};
pub use watch::Requests;
