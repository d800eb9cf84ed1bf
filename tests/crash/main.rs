//! What a run survives: the death of its process at every point, a cloud that fails, a second
//! process, a full disk, a damaged record, changed plugins.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]
#![allow(
    clippy::print_stdout,
    reason = "how many points there were and how long they took is for people"
)]
#![allow(unreachable_pub, reason = "the modules are one program's own")]

#[path = "../support/mod.rs"]
mod support;

mod audited;
mod changed;
mod chaos;
mod cloud;
mod damage;
mod death;
mod every_point;
mod full_disk;
mod secrets;
mod signals;
mod stage;
mod together;
