//! ARM.
use crate::{World, wire::{Incoming, Reply}};
pub(crate) fn handle(_world: &World, _incoming: &Incoming) -> Reply { Reply::empty(501) }
