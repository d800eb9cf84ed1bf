//! Secrets are handles: they can be passed on and labelled, and nothing else.

use lockkeeper_runtime::{Budget, Ended, LimitKind};
use lockkeeper_types::secret;
use serde_json::json;

use crate::guest::plain;
use crate::host::{Recorder, run_with};

const IMPORTS: &str = r#"
(import "lockkeeper:test/probe@0.1.0" "make" (func $make (result i32)))
(import "lockkeeper:test/probe@0.1.0" "take" (func $take (param i32)))
(import "lockkeeper:test/probe@0.1.0" "give" (func $give (param i32)))
(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))
(import "lockkeeper:step/types@0.1.0" "[method]secret.label" (func $label (param i32 i32)))
(import "lockkeeper:step/types@0.1.0" "[resource-drop]secret" (func $drop (param i32)))
"#;

fn guest(body: &str) -> Vec<u8> {
    let world = "import lockkeeper:test/probe@0.1.0; import lockkeeper:step/progress@0.1.0; import lockkeeper:step/types@0.1.0;";
    plain(
        world,
        IMPORTS,
        &format!("(local $secret i32) {body} (i32.const 0)"),
    )
}

fn maker() -> Recorder {
    let mut made = 0;
    Recorder::answering(move |operation, _| {
        Ok(Ok(if operation == "test/probe.make" {
            made += 1;
            secret(&format!("step/{made}"))
        } else {
            json!(null)
        }))
    })
}

#[tokio::test]
async fn a_secret_is_lent_labelled_and_given_away() {
    let bytes = guest(
        "(local.set $secret (call $make))
         (call $take (local.get $secret))
         (call $take (local.get $secret))
         (call $label (local.get $secret) (i32.const 512))
         (call $note (i32.load (i32.const 512)) (i32.load (i32.const 516)))
         (call $give (local.get $secret))",
    );
    let ran = run_with(&bytes, maker(), json!({}), &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
    let calls: Vec<_> = ran
        .host
        .calls
        .iter()
        .map(|(name, args)| (name.as_str(), args.clone()))
        .collect();
    let value = json!({ "value": secret("step/1") });
    assert_eq!(
        calls,
        [
            ("test/probe.make", json!({})),
            ("test/probe.take", value.clone()),
            ("test/probe.take", value.clone()),
            (
                "step/progress.note",
                json!({ "message": "label of step/1" })
            ),
            ("test/probe.give", value),
        ]
    );
}

/// Each of these uses a handle that is not there; none may reach the host.
#[tokio::test]
async fn forged_and_stale_handles_trap() {
    let cases = [
        ("made up", "(call $take (i32.const 5))", 0),
        ("zero", "(call $take (i32.const 0))", 0),
        (
            "label of nothing",
            "(call $label (i32.const 9) (i32.const 512))",
            0,
        ),
        (
            "used after it was given away",
            "(local.set $secret (call $make)) (call $give (local.get $secret)) (call $take (local.get $secret))",
            2,
        ),
        (
            "dropped twice",
            "(local.set $secret (call $make)) (call $drop (local.get $secret)) (call $drop (local.get $secret))",
            1,
        ),
    ];
    for (name, body, calls) in cases {
        let ran = run_with(&guest(body), maker(), json!({}), &Budget::default()).await;
        let Ended::Trap(trap) = ran.ended else {
            panic!("{name}: {:?}", ran.ended)
        };
        assert!(trap.message.contains("handle index"), "{name}: {trap}");
        assert_eq!(ran.host.calls.len(), calls, "{name}");
    }
}

#[tokio::test]
async fn handles_that_are_never_dropped_meet_a_limit() {
    let bytes = guest("(loop $again (drop (call $make)) (br $again))");
    let ran = run_with(&bytes, maker(), json!({}), &Budget::default()).await;
    let Ended::Limit(limit) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Handles, 1_000));
    assert!(ran.used.host_calls <= 1_001);

    let bytes = guest(
        "(local $count i32)
         (loop $again
           (call $drop (call $make))
           (local.set $count (i32.add (local.get $count) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $count) (i32.const 3000))))",
    );
    let ran = run_with(&bytes, maker(), json!({}), &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
    assert_eq!(ran.used.host_calls, 3_000);
}
