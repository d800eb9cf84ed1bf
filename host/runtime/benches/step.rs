//! What a step costs beside the cloud's own time: a fresh store, an instance, one run.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot set itself up has nothing to measure"
)]

#[path = "../tests/all/guest.rs"]
mod guest;

use std::convert::Infallible;
use std::time::SystemTime;

use async_trait::async_trait;
use divan::Bencher;
use lockkeeper_runtime::{Budget, Host, Runtime, RuntimeOptions, Seed};
use lockkeeper_types::Value;
use serde_json::json;

fn main() {
    divan::main();
}

struct Trivial;

#[async_trait]
impl Host for Trivial {
    type Halt = Infallible;

    async fn call(&mut self, _: &str, _: Value) -> Result<Result<Value, Value>, Infallible> {
        Ok(Ok(Value::Null))
    }

    fn label(&self, secret: &str) -> String {
        secret.to_owned()
    }
}

fn run(bencher: Bencher<'_, '_>, calls: u32) {
    let bytes = guest::plain(
        "import lockkeeper:step/progress@0.1.0;",
        r#"(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))"#,
        &format!(
            "(local $left i32)
             (local.set $left (i32.const {calls}))
             (block $done (loop $again
               (br_if $done (i32.eqz (local.get $left)))
               (call $note (i32.const 0) (i32.const 10))
               (local.set $left (i32.sub (local.get $left) (i32.const 1)))
               (br $again)))
             (i32.const 0)"
        ),
    );
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let plugin = runtime.load("bench", &bytes).unwrap();
    let budget = Budget::default();
    let seed = Seed {
        bytes: [0; 32],
        started_at: SystemTime::UNIX_EPOCH,
    };
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    bencher.bench_local(|| {
        tokio
            .block_on(plugin.run(Trivial, json!({}), &budget, seed))
            .used
    });
}

/// A plugin that returns at once.
#[divan::bench]
fn empty_step(bencher: Bencher<'_, '_>) {
    run(bencher, 0);
}

/// The same, with host calls.
#[divan::bench(args = [1, 100])]
fn host_calls(bencher: Bencher<'_, '_>, calls: u32) {
    run(bencher, calls);
}

/// Compiling a small component, without a cache.
#[divan::bench(sample_count = 10)]
fn load(bencher: Bencher<'_, '_>) {
    let bytes = guest::plain("", "", "(i32.const 0)");
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    bencher.bench_local(|| runtime.load("bench", &bytes).unwrap());
}
