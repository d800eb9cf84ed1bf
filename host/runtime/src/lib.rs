//! Runs plugins: Wasm components in fresh, bounded stores, converted by their own types.
//!
//! ```text
//! bytes ─▶ Runtime::load ─▶ Plugin (signature, compiled) ─▶ Plugin::run(host, inputs, …) ─▶ Ran
//!                                                              │ every imported operation
//!                                                              ▼
//!                                                      Host::call(name, value)
//! ```
//!
//! Nothing here knows an operation: a plugin's own imports say which it can call and with which
//! types, so that adding one to a WIT package needs no change in this crate.

mod artifact;
mod budget;
mod cache;
mod contract;
mod docs;
mod ended;
mod engine;
mod host;
mod kind;
mod link;
mod load_error;
mod plugin;
mod runtime;
mod shape;
mod stop;
mod store;
mod value;
mod verdict;
mod wasi;

pub use budget::{Budget, Limit, LimitKind, Used};
pub use ended::{Ended, Failure, Log, Mismatch, Ran, StepError, Trap};
pub use host::Host;
pub use load_error::{LoadError, Problem, StartError};
pub use plugin::{Plugin, Seed};
pub use runtime::{Runtime, RuntimeOptions};
