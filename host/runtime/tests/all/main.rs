//! Runs small plugins, friendly and hostile, through the whole runtime.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are not in test functions, where clippy allows these"
)]

mod cache;
mod contract;
mod forge;
mod guest;
mod host;
mod hostile;
mod load;
mod malformed;
mod replay;
mod values;
