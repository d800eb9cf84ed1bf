//! The whole program from the outside: a plan cannot write and is what a run then does, an undo
//! takes back exactly what a run did, what others made is adopted, drift is named, and waits are
//! shown and bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod adopt;
mod adopt_refused;
mod drift;
mod exact;
mod hostile;
mod saved;
mod shown;
mod undo;
mod undo_foreign;
mod waits;
mod world;
