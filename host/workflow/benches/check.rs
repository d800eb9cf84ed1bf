//! How long a person waits for `lockkeeper workflow check`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use lockkeeper_workflow::Source;

fn main() {
    divan::main();
}

#[divan::bench]
fn onboard(bencher: divan::Bencher<'_, '_>) {
    let source = Source::new("onboard.toml", include_str!("../tests/golden/onboard.toml"));
    bencher.bench(|| common::load(&source));
}
