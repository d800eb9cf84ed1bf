//! Values cross the boundary whole, in both directions, or with an error that says where not.

use lockkeeper_runtime::{Budget, Ended, StepError};
use lockkeeper_types::{Value, secret};
use serde_json::json;

use crate::guest::{MEMORY, component, plain};
use crate::host::{Halt, Recorder, load, run_with, seed};

/// Gives its inputs to `reflect` and returns what that answers.
fn mirror() -> Vec<u8> {
    component(
        "use lockkeeper:step/types@0.1.0.{step-error};
         use lockkeeper:test/probe@0.1.0.{all};
         import lockkeeper:test/probe@0.1.0;
         export run: func(inputs: all) -> result<all, step-error>;",
        &format!(
            r#"(import "lockkeeper:test/probe@0.1.0" "reflect" (func $reflect (param i32 i32)))
               {MEMORY}
               (func (export "run") (param $inputs i32) (result i32)
                 (local $answer i32)
                 (local.set $answer (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 4096)))
                 (call $reflect (local.get $inputs) (local.get $answer))
                 (local.get $answer))"#
        ),
    )
}

fn all() -> Value {
    json!({
        "truth": true,
        "a": 255, "b": -128, "c": 65535, "d": -32768,
        "e": 4_294_967_295_u32, "f": -2_147_483_648,
        "g": u64::MAX, "h": i64::MIN,
        "single": 0.5, "double": 1.0e300, "letter": "ß", "text": "zwölf \"Boxkämpfer\"\n\u{0}",
        "texts": ["", "one"], "some": 7, "none": null,
        "inner": { "long_name": "x", "size": null },
        "pair": ["left", 1], "pairs": [["k", "v"], ["k2", "v2"]],
        "colour": "dark-blue", "mode": ["can-read", "can-run"],
        "shapes": ["point", { "circle": 3 }, { "named-box": "b" }],
        "good": { "ok": 1 }, "bad": { "err": "no" }, "done": "ok",
        "secret": secret("step/1"), "secrets": [secret("step/2"), secret("step/3")],
        "id": "00000000-0000-0000-0000-000000000001", "ids": ["x", "y"],
        "wait": 7_776_000, "at": "2026-01-02T03:04:05Z",
        "maybe_id": "z",
    })
}

fn echo() -> Recorder {
    Recorder::answering(|_, arguments| Ok(Ok(arguments["all"].clone())))
}

#[tokio::test]
async fn every_type_goes_there_and_back() {
    let ran = run_with(&mirror(), echo(), all(), &Budget::default()).await;
    let [(operation, arguments)] = ran.host.calls.as_slice() else {
        panic!("{:?}", ran.host)
    };
    assert_eq!(operation, "test/probe.reflect");
    assert_eq!(*arguments, json!({ "all": all() }));
    match ran.ended {
        Ended::Outputs(outputs) => assert_eq!(outputs, all()),
        other => panic!("{other:?}"),
    }
    assert!(ran.used.fuel > 0);
    assert_eq!(ran.used.host_calls, 1);
    assert!(ran.used.memory_peak >= 65_536);
}

/// Field, value, and where in it and how it does not fit.
const MISFITS: &str = r#"
e       | null                           | e`: expected u32, got nothing
a       | 256                            | a`: expected u8, got the number 256
b       | -129                           | b`: expected s8, got the number -129
e       | 1.5                            | e`: expected u32, got the number 1.5
h       | 18446744073709551615           | h`: expected s64, got the number 18446744073709551615
single  | 1e300                          | single`: expected f64, got the number 1e+300
letter  | "ab"                           | letter`: expected one character, got text of another length
text    | 5                              | text`: expected string, got the number 5
text    | {"$secret": "step/1"}          | text`: expected string, got a secret
texts   | ["a", 1]                       | texts[1]`: expected string, got the number 1
inner   | {"size": 1}                    | inner.long_name`: expected string, got nothing
inner   | {"long_name": "", "longer": 1} | inner`: expected only long_name, size, got a field `longer` too
pairs   | [["a", "b"], ["a"]]            | pairs[1]`: expected tuple<string, string>, got a list of 1
colour  | "dark_blue"                    | colour`: expected enum { red, dark-blue }, got another name
mode    | ["can-fly"]                    | mode`: expected flags { can-read, can-write, can-run }, got another name
shapes  | [{"circle": "x"}]              | shapes[0].circle`: expected u32, got text
shapes  | [{"point": 1}]                 | shapes[0].point`: expected nothing, got the number 1
shapes  | ["circle"]                     | shapes[0].circle`: expected u32, got nothing
shapes  | ["square"]                     | shapes[0]`: expected variant { point, circle, named-box }, got another case
good    | {"maybe": 1}                   | good`: expected `ok` or `err`, got another case
secret  | "sesame"                       | secret`: expected secret, got text
secrets | [{"$secret": "a", "b": 1}]     | secrets[0]`: expected secret, got a record
id      | {"application_id": "x"}        | id`: expected application-id, got a record
wait    | "90d"                          | wait`: expected duration, got text
"#;

#[tokio::test]
async fn optional_fields_may_be_left_out_and_no_others() {
    let plugin = load(&mirror());
    let mut inputs = all();
    inputs.as_object_mut().unwrap().remove("none");
    let ran = plugin
        .run(echo(), inputs, &Budget::default(), seed(1))
        .await;
    assert!(matches!(ran.ended, Ended::Outputs(outputs) if outputs == all()));

    for misfit in MISFITS.trim().lines() {
        let [field, value, message] = misfit.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{misfit}")
        };
        let mut inputs = all();
        inputs[field.trim()] = serde_json::from_str(value).unwrap();
        let ran = plugin
            .run(echo(), inputs, &Budget::default(), seed(1))
            .await;
        match ran.ended {
            Ended::Interface(mismatch) => {
                assert_eq!(mismatch.to_string(), format!("inputs, at `{message}"));
            }
            other => panic!("{field}: {other:?}"),
        }
        assert!(ran.host.calls.is_empty());
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_type_is_the_hosts_error() {
    let host = Recorder::answering(|_, arguments| {
        let mut all = arguments["all"].clone();
        all["inner"]["size"] = json!(300);
        Ok(Ok(all))
    });
    let ran = run_with(&mirror(), host, all(), &Budget::default()).await;
    match ran.ended {
        Ended::Interface(mismatch) => assert_eq!(
            mismatch.to_string(),
            "answer of `test/probe.reflect`, at `inner.size`: expected u8, got the number 300"
        ),
        other => panic!("{other:?}"),
    }
}

fn failing() -> Vec<u8> {
    plain(
        "import lockkeeper:test/probe@0.1.0;",
        r#"(import "lockkeeper:test/probe@0.1.0" "fail" (func $fail (param i32)))"#,
        "(call $fail (i32.const 512)) (i32.const 512)",
    )
}

#[tokio::test]
async fn a_step_error_comes_back_safe_to_print() {
    let raised = json!({
        "error": { "not-yet-visible": {
            "service": "databricks", "operation": "databricks/jobs.create", "status": 404,
            "code": "RESOURCE_DOES_NOT_EXIST", "message": "no\n\u{1b}[2Jprincipal", "request_id": "r-1",
        } },
        "cause": "replication", "help": null,
    });
    let host = Recorder::answering(move |_, _| Ok(Err(raised.clone())));
    let ran = run_with(&failing(), host, json!(null), &Budget::default()).await;
    let Ended::Failed(StepError {
        class,
        failure,
        cause,
        help,
    }) = ran.ended
    else {
        panic!("{:?}", ran.ended)
    };
    assert_eq!(class, "not-yet-visible");
    assert_eq!(failure.status, 404);
    assert_eq!(failure.message, "no\\n\\u{1b}[2Jprincipal");
    assert_eq!(failure.request_id, "r-1");
    assert_eq!(cause.as_deref(), Some("replication"));
    assert_eq!(help, None);
}

#[tokio::test]
async fn the_host_can_end_a_run_and_is_given_back() {
    let host = Recorder::answering(|_, _| Err(Halt("suspended")));
    let ran = run_with(&failing(), host, json!(null), &Budget::default()).await;
    assert!(matches!(ran.ended, Ended::Halted(Halt("suspended"))));
    assert_eq!(ran.host.calls, [("test/probe.fail".to_owned(), json!({}))]);
}

#[tokio::test]
async fn calls_come_in_the_plugins_order_with_their_arguments() {
    let bytes = plain(
        "import lockkeeper:step/progress@0.1.0; import lockkeeper:step/timer@0.1.0;",
        r#"(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))
           (import "lockkeeper:step/timer@0.1.0" "sleep" (func $sleep (param i64)))
           (import "lockkeeper:step/timer@0.1.0" "now" (func $now (param i32)))
           (data (i32.const 1024) "hello")"#,
        "(call $note (i32.const 1024) (i32.const 5))
         (call $sleep (i64.const 90))
         (call $now (i32.const 512))
         (call $note (i32.load (i32.const 512)) (i32.load (i32.const 516)))
         (i32.const 0)",
    );
    let host = Recorder::answering(|operation, _| {
        Ok(Ok(match operation {
            "step/timer.now" => json!("2026-01-02T03:04:05Z"),
            _ => Value::Null,
        }))
    });
    let ran = run_with(&bytes, host, json!({}), &Budget::default()).await;
    assert!(matches!(&ran.ended, Ended::Outputs(outputs) if *outputs == json!({})));
    let expected = [
        ("step/progress.note", json!({ "message": "hello" })),
        ("step/timer.sleep", json!({ "length": 90 })),
        ("step/timer.now", json!({})),
        (
            "step/progress.note",
            json!({ "message": "2026-01-02T03:04:05Z" }),
        ),
    ];
    let calls: Vec<_> = ran
        .host
        .calls
        .iter()
        .map(|(name, args)| (name.as_str(), args.clone()))
        .collect();
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn a_number_that_is_none_cannot_leave() {
    let bytes = component(
        "use lockkeeper:step/types@0.1.0.{step-error};
         record outputs { ratio: f64 }
         export run: func() -> result<outputs, step-error>;",
        &format!(
            r#"{MEMORY}
               (func (export "run") (result i32)
                 (f64.store (i32.const 520) (f64.div (f64.const 0) (f64.const 0)))
                 (i32.const 512))"#
        ),
    );
    let ran = run_with(&bytes, Recorder::silent(), json!({}), &Budget::default()).await;
    match ran.ended {
        Ended::Interface(mismatch) => assert_eq!(
            mismatch.to_string(),
            "outputs, at `ratio`: expected a finite number, got NaN"
        ),
        other => panic!("{other:?}"),
    }
}
