//! What a run survives: the death of its process at every point, a cloud that fails, a second
//! process, a full disk, a damaged record, changed plugins.

#[path = "../support/mod.rs"]
mod support;

mod changed;
mod chaos;
mod cloud;
mod damage;
mod death;
mod every_point;
mod secrets;
mod signals;
mod stage;
mod together;
