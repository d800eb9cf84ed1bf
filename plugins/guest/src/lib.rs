//! What the shipped plugins share: the step types, errors that explain themselves, waiting by
//! evidence, and time.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod bindings;
mod error;
pub mod time;
mod wait;

pub use bindings::lockkeeper::step::{progress, timer, types};
pub use wait::{Attempt, Backoff, LONG, SHORT, until, until_settled};
