//! Plugins that want too much: each ends with the code of its limit, and the next run works.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockkeeper_runtime::{Budget, Ended, Host, Limit, LimitKind, Plugin, Ran, Runtime};
use lockkeeper_types::Value;
use serde_json::json;
use tokio::sync::Notify;

use crate::guest::{MEMORY, component, plain};
use crate::host::{Recorder, load, run, run_with, seed};

const NOTE: &str = "import lockkeeper:step/progress@0.1.0;";
const NOTE_CORE: &str =
    r#"(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))"#;

fn limit(ran: &Ran<Recorder>) -> Limit {
    match &ran.ended {
        Ended::Limit(limit) => *limit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn spin_forever() {
    let bytes = plain("", "", "(loop $again (br $again)) (i32.const 0)");
    let budget = Budget {
        fuel: 1_000_000,
        ..Budget::default()
    };
    let first = run(&bytes, &budget).await;
    assert_eq!(limit(&first).kind.code(), "LK9501");
    assert_eq!(limit(&first).allowed, 1_000_000);
    assert_eq!(first.used, run(&bytes, &budget).await.used);
}

#[tokio::test]
async fn spin_beyond_its_time() {
    let bytes = plain("", "", "(loop $again (br $again)) (i32.const 0)");
    let budget = Budget {
        fuel: u64::MAX,
        time: Duration::from_millis(50),
        ..Budget::default()
    };
    let limit = limit(&run(&bytes, &budget).await);
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Time, 50));
}

#[tokio::test]
async fn others_run_while_a_plugin_spins() {
    let bytes = plain("", "", "(loop $again (br $again)) (i32.const 0)");
    let budget = Budget {
        fuel: u64::MAX,
        time: Duration::from_millis(100),
        ..Budget::default()
    };
    let spinning = run(&bytes, &budget);
    let other = async {
        let mut turns = 0;
        loop {
            turns += 1;
            tokio::task::yield_now().await;
            if turns == 3 {
                return turns;
            }
        }
    };
    let (ran, turns) = tokio::join!(spinning, other);
    assert_eq!(limit(&ran).kind, LimitKind::Time);
    assert_eq!(turns, 3);
}

#[tokio::test]
async fn memory_bomb() {
    let bytes = plain(
        "",
        "",
        "(loop $again (drop (memory.grow (i32.const 16))) (br $again)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let limit = limit(&ran);
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Memory, 64 << 20));
    assert_eq!(limit.used, Some((64 << 20) + 65_536));
    assert!(ran.used.memory_peak <= 64 << 20);
}

#[tokio::test]
async fn memory_minimum_beyond_the_budget() {
    let memory =
        r#"(memory (export "memory") 100) (func (export "run") (result i32) (i32.const 0))"#;
    let bytes = component(
        "use lockkeeper:step/types@0.1.0.{step-error}; export run: func() -> result<_, step-error>;",
        &format!(
            r#"{memory} (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#
        ),
    );
    let budget = Budget {
        memory: 1 << 20,
        ..Budget::default()
    };
    let limit = limit(&run(&bytes, &budget).await);
    assert_eq!(
        (limit.kind, limit.used),
        (LimitKind::Memory, Some(100 * 65_536))
    );
}

#[tokio::test]
async fn table_bomb() {
    let bytes = plain(
        "",
        "(table $table 1 funcref)",
        "(loop $again (drop (table.grow $table (ref.null func) (i32.const 10000))) (br $again)) (i32.const 0)",
    );
    let limit = limit(&run(&bytes, &Budget::default()).await);
    assert_eq!((limit.kind.code(), limit.allowed), ("LK9504", 100_000));
}

#[tokio::test]
async fn deep_recursion() {
    let bytes = plain(
        "",
        "",
        "(drop (call $run)) (drop (call $run)) (i32.const 0)",
    );
    assert_eq!(
        limit(&run(&bytes, &Budget::default()).await).kind.code(),
        "LK9509"
    );
}

#[tokio::test]
async fn giant_string() {
    // The length alone must end it: 64 MiB minus a page, of zeros.
    let bytes = plain(
        NOTE,
        NOTE_CORE,
        "(drop (memory.grow (i32.const 1000)))
         (call $note (i32.const 0) (i32.const 65000000)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    assert_eq!(limit(&ran).kind.code(), "LK9506");
    assert_eq!(limit(&ran).allowed, 4 << 20);
    assert!(ran.host.calls.is_empty());
}

#[tokio::test]
async fn string_outside_of_memory() {
    let bytes = plain(
        NOTE,
        NOTE_CORE,
        "(call $note (i32.const 65530) (i32.const 100)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Trap(_)), "{:?}", ran.ended);
    assert!(ran.host.calls.is_empty());
}

#[tokio::test]
async fn bad_text() {
    let bytes = plain(
        NOTE,
        &format!(r#"{NOTE_CORE} (data (i32.const 1024) "\ff\fe")"#),
        "(call $note (i32.const 1024) (i32.const 2)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let Ended::Trap(trap) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert!(trap.message.contains("utf-8"), "{trap}");
    assert!(ran.host.calls.is_empty());
}

/// Returns `length` zeros as text.
fn returning(length: u32) -> Vec<u8> {
    component(
        "use lockkeeper:step/types@0.1.0.{step-error};
         record outputs { text: string }
         export run: func() -> result<outputs, step-error>;",
        &format!(
            r#"{MEMORY}
               (func (export "run") (result i32)
                 (drop (memory.grow (i32.const 900)))
                 (i32.store (i32.const 516) (i32.const 65536))
                 (i32.store (i32.const 520) (i32.const {length}))
                 (i32.const 512))"#
        ),
    )
}

#[tokio::test]
async fn huge_result() {
    for length in [1_100_000, 50_000_000] {
        let limit = limit(&run(&returning(length), &Budget::default()).await);
        assert_eq!(
            (limit.kind.code(), limit.allowed),
            ("LK9508", 1 << 20),
            "{length}"
        );
    }
    let ran = run(&returning(1_000_000), &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
}

#[tokio::test]
async fn call_flood() {
    let bytes = plain(
        NOTE,
        NOTE_CORE,
        "(loop $again (call $note (i32.const 0) (i32.const 0)) (br $again)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let limit = limit(&ran);
    assert_eq!((limit.kind.code(), limit.used), ("LK9507", Some(10_001)));
    assert_eq!(ran.host.calls.len(), 10_000);
}

#[tokio::test]
async fn a_flood_of_large_calls() {
    // The same megabyte again and again costs the plugin nothing, and the host a megabyte each time.
    let bytes = plain(
        NOTE,
        NOTE_CORE,
        "(drop (memory.grow (i32.const 20)))
         (loop $again (call $note (i32.const 0) (i32.const 1000000)) (br $again)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let limit = limit(&ran);
    assert_eq!((limit.kind.code(), limit.allowed), ("LK9510", 64 << 20));
    assert_eq!(ran.host.calls.len(), 67);
}

#[tokio::test]
async fn log_flood() {
    let bytes = plain(
        "import wasi:cli/stdout@0.2.6; import wasi:io/streams@0.2.6;",
        r#"(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
           (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
           (data (i32.const 1024) "a line of the log\n")"#,
        "(local $out i32) (local $count i32)
         (local.set $out (call $stdout))
         (loop $again
           (call $write (local.get $out) (i32.const 1024) (i32.const 18) (i32.const 512))
           (local.set $count (i32.add (local.get $count) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $count) (i32.const 10000))))
         (i32.load8_u (i32.const 512)) (if (then unreachable))
         (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
    assert_eq!(ran.log.dropped, 180_000 - 65_536);
    assert_eq!(ran.log.lines[0], "a line of the log");
}

#[tokio::test]
async fn a_panic_says_where() {
    let bytes = plain(
        "",
        "(func $deep_inside unreachable)",
        "(call $deep_inside) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let Ended::Trap(trap) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert_eq!(trap.backtrace, ["deep_inside", "run"]);
    assert_eq!(
        trap.to_string(),
        "the plugin broke off: it panicked or aborted; its log may say why, in deep_inside"
    );
}

#[tokio::test]
async fn an_exit_is_no_result() {
    let bytes = plain(
        "import wasi:cli/exit@0.2.6;",
        r#"(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))"#,
        "(call $exit (i32.const 0)) (i32.const 0)",
    );
    let ran = run(&bytes, &Budget::default()).await;
    let Ended::Trap(trap) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert_eq!(trap.message, "it exited with status 0 instead of returning");
}

#[tokio::test]
async fn an_answer_is_bounded_too() {
    let bytes = plain(
        "import lockkeeper:step/timer@0.1.0;",
        r#"(import "lockkeeper:step/timer@0.1.0" "now" (func $now (param i32)))"#,
        "(call $now (i32.const 512)) (i32.const 0)",
    );
    let host = Recorder::answering(|_, _| Ok(Ok(Value::String("x".repeat(5 << 20)))));
    let ran = run_with(&bytes, host, json!({}), &Budget::default()).await;
    assert_eq!(limit(&ran).kind, LimitKind::HostCallBytes);
}

/// A host whose calls never end; it says when one begins.
struct Stuck(Arc<Notify>);

#[async_trait]
impl Host for Stuck {
    type Halt = Infallible;

    async fn call(&mut self, _: &str, _: Value) -> Result<Result<Value, Value>, Infallible> {
        self.0.notify_one();
        pending().await
    }

    fn label(&self, secret: &str) -> String {
        secret.to_owned()
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_is_gone_at_once() {
    let plugin = load(&plain(
        NOTE,
        NOTE_CORE,
        "(call $note (i32.const 0) (i32.const 0)) (i32.const 0)",
    ));
    let held = Arc::new(Notify::new());
    let host = Stuck(Arc::clone(&held));
    // As the engine has it: on a task of its own, which needs a future that can move.
    let task = tokio::spawn({
        let plugin = plugin.clone();
        async move {
            plugin
                .run(host, json!({}), &Budget::default(), seed(1))
                .await
                .used
        }
    });
    held.notified().await;
    assert_eq!(Arc::strong_count(&held), 2);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 1);
    let ran = plugin
        .run(Recorder::silent(), json!({}), &Budget::default(), seed(1))
        .await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
}

#[test]
fn a_runtime_and_its_plugins_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Runtime>();
    shared::<Plugin>();
}
