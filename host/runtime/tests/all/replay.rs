//! The same plugin with the same seed does the same, every time.

use lockkeeper_runtime::{Budget, Ended};
use serde_json::{Value, json};

use crate::guest::{MEMORY, component, plain};
use crate::host::{Recorder, load, run, seed};

/// Returns a random number, the wall clock twice, and the monotonic clock around an hour's sleep.
fn gambler() -> Vec<u8> {
    component(
        "use lockkeeper:step/types@0.1.0.{step-error};
         import wasi:random/random@0.2.6;
         import wasi:clocks/wall-clock@0.2.6;
         import wasi:clocks/monotonic-clock@0.2.6;
         record outputs { random: u64, seconds: u64, nanos: u32, later: u32, before: u64, after: u64, count: u32 }
         export run: func() -> result<outputs, step-error>;",
        &format!(
            r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
               (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
               (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
               (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
               (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
               (global $count (mut i32) (i32.const 0))
               {MEMORY}
               (func (export "run") (result i32)
                 (i64.store (i32.const 520) (call $random))
                 (call $wall (i32.const 256))
                 (i64.store (i32.const 528) (i64.load (i32.const 256)))
                 (i32.store (i32.const 536) (i32.load (i32.const 264)))
                 (call $wall (i32.const 256))
                 (i32.store (i32.const 540) (i32.load (i32.const 264)))
                 (i64.store (i32.const 544) (call $now))
                 (call $block (call $sleep (i64.const 3600000000000)))
                 (i64.store (i32.const 552) (call $now))
                 (global.set $count (i32.add (global.get $count) (i32.const 1)))
                 (i32.store (i32.const 560) (global.get $count))
                 (i32.const 512))"#
        ),
    )
}

#[tokio::test]
async fn clock_and_randomness_come_from_the_seed() {
    let plugin = load(&gambler());
    let mut outputs = Vec::new();
    for byte in [1, 1, 2] {
        let ran = plugin
            .run(
                Recorder::silent(),
                json!({}),
                &Budget::default(),
                seed(byte),
            )
            .await;
        match ran.ended {
            Ended::Outputs(value) => outputs.push((value, ran.used)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(outputs[0], outputs[1]);
    let (first, other) = (&outputs[0].0, &outputs[2].0);
    assert_ne!(first["random"], other["random"]);
    let without_random = |value: &Value| {
        let mut value = value.clone();
        value["random"] = Value::Null;
        value
    };
    assert_eq!(
        without_random(first),
        json!({
            "random": null, "seconds": 1_700_000_000, "nanos": 1_000, "later": 2_000,
            // An hour passes in no time; nothing of a run's memory is left for the next.
            "before": 3_000, "after": 3_600_000_004_000_u64, "count": 1,
        })
    );
    assert_eq!(without_random(first), without_random(other));
}

#[tokio::test]
async fn randomness_is_capped() {
    let bytes = plain(
        "import wasi:random/random@0.2.6;",
        r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))"#,
        "(call $bytes (i64.const 1000000000) (i32.const 512)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let Ended::Trap(trap) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert!(trap.message.contains("exceeds limit 65536"), "{trap}");
}
