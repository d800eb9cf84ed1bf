//! The Rust side of this plugin's world.

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
    path: [
        "../../wit/step",
        "../../wit/entra",
        "../../wit/databricks",
        "wit",
    ],
    world: "lockkeeper:%import/%import",
    with: {
        "lockkeeper:step/types@0.1.0": lockkeeper_guest::types,
        "lockkeeper:step/progress@0.1.0": lockkeeper_guest::progress,
        "lockkeeper:step/timer@0.1.0": lockkeeper_guest::timer,
    },
    generate_all,
});

use super::Import;
export!(Import with_types_in self);
