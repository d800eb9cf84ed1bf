//! What the shipped plugins share: the step types, errors that explain themselves, waiting by
//! evidence, and time.

mod bindings;
mod error;
pub mod time;
mod wait;

pub use bindings::lockkeeper::step::{progress, timer, types};
pub use wait::{Attempt, Backoff, LONG, SHORT, until, until_settled};
