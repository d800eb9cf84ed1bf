//! The Rust side of `lockkeeper:step`, which the plugins' own bindings refer to.

#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    reason = "wit-bindgen writes this module"
)]

wit_bindgen::generate!({
    path: ["../../wit/step", "wit"],
    world: "lockkeeper:guest/guest",
    generate_all,
    generate_unused_types: true,
});
