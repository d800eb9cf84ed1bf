//! Loads compiled plugins from files: the only unsafe code of the host.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// The compiled component in the file, if it is one of this engine's.
///
/// The file is machine code that will run as this user. Only [`crate::cache::Cache`] may call
/// this, for a file in a folder that it has checked.
#[allow(
    unsafe_code,
    reason = "wasmtime cannot check machine code; the caller's folder is readable and writable by this user alone"
)]
pub(crate) fn open(engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is in a folder that only this user can write to (checked when the cache was
    // opened), where files appear only by the renaming of a whole artifact of this very engine.
    unsafe { Component::deserialize_file(engine, file) }
}
