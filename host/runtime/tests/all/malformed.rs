//! Bytes that are almost a plugin: an error each time, never a panic.

use lockkeeper_runtime::{Runtime, RuntimeOptions};

use crate::guest::plain;

fn sample() -> Vec<u8> {
    plain(
        "import lockkeeper:step/timer@0.1.0;",
        r#"(import "lockkeeper:step/timer@0.1.0" "sleep" (func $sleep (param i64)))"#,
        "(call $sleep (i64.const 1)) (i32.const 0)",
    )
}

#[test]
fn truncations() {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let bytes = sample();
    runtime.load("guest", &bytes).unwrap();
    let loaded = (0..bytes.len())
        .filter(|length| runtime.load("guest", &bytes[..*length]).is_ok())
        .count();
    // Cut exactly before one of the sections that say nothing of it, it is whole.
    assert!(loaded <= 3, "{loaded} of {}", bytes.len());
}

#[test]
fn bit_flips() {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let bytes = sample();
    // xorshift64: the same flips on every machine.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut flipped = bytes.clone();
        for _ in 0..=next(4) {
            flipped[next(bytes.len())] ^= 1 << next(8);
        }
        match runtime.load("guest", &flipped) {
            Ok(_) => {}
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
    // Flips in names and docs leave a plugin; most others must not.
    assert!(refused > 800, "{refused}");
}
