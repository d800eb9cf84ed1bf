//! The whole program from the outside: the onboarding of a service principal on the simulator,
//! what is refused on its way, what never leaks, and what bad input gets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]
#![allow(unreachable_pub, reason = "the modules are one program's own")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod bad_input;
mod cloud;
mod commands;
mod diagnostics;
mod done;
mod forged;
mod grants;
mod identities;
mod interrupted;
mod leaks;
mod needles;
mod refused;
mod refused_storage;
mod services;
mod spy;
