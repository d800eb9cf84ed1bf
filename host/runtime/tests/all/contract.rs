//! What a component says of itself.

use lockkeeper_runtime::{Budget, Ended};
use lockkeeper_types::{Field, Type};
use serde_json::json;

use crate::guest::{MEMORY, component, plain};
use crate::host::{Recorder, load, seed};

#[test]
fn the_world_is_the_manifest() {
    let bytes = component(
        "use lockkeeper:step/types@0.1.0.{step-error, secret, application-id, duration};
         import lockkeeper:step/timer@0.1.0;
         record inputs {
           /// Who it is
           /// for.
           application-id: application-id,
           valid-for: option<duration>,
         }
         record outputs {
           /// The new secret.
           secret: option<secret>,
         }
         export run: func(inputs: inputs) -> result<outputs, step-error>;",
        &format!(
            r#"(import "lockkeeper:step/timer@0.1.0" "sleep" (func (param i64)))
               {MEMORY}
               (func (export "run") (param i32 i32 i32 i64) (result i32) (i32.const 0))"#
        ),
    );
    let plugin = load(&bytes);
    let signature = plugin.signature();
    assert_eq!(signature.plugin, "guest");
    assert_eq!(signature.digest.len(), 64);
    assert_eq!(signature.docs.as_deref(), Some("What the guest does."));
    let field = |name: &str, kind, docs: Option<&str>| Field {
        name: name.into(),
        kind,
        docs: docs.map(Into::into),
    };
    assert_eq!(
        signature.inputs,
        [
            field(
                "application_id",
                Type::Id("application-id".into()),
                Some("Who it is for.")
            ),
            field("valid_for", Type::Option(Box::new(Type::Duration)), None),
        ]
    );
    assert_eq!(
        signature.outputs,
        [field(
            "secret",
            Type::Option(Box::new(Type::Secret)),
            Some("The new secret.")
        )]
    );
    let [timer] = signature.imports.as_slice() else {
        panic!("{:?}", signature.imports)
    };
    assert_eq!(
        (timer.interface.as_str(), timer.version.as_str()),
        ("step/timer", "0.1.0")
    );
    assert_eq!(timer.functions, ["sleep"]);
}

const ADOPTING: &str = "
    use lockkeeper:step/types@0.1.0.{step-error};
    import lockkeeper:step/progress@0.1.0;
    record inputs { name: string }
    export run: func(inputs: inputs) -> result<_, step-error>;
    export adopt: func(inputs: inputs, id: string) -> result<_, step-error>;";

/// Notes the name and the id that it is given.
fn adopting() -> Vec<u8> {
    component(
        ADOPTING,
        &format!(
            r#"(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))
               {MEMORY}
               (func (export "run") (param i32 i32) (result i32) (i32.const 0))
               (func (export "adopt") (param i32 i32 i32 i32) (result i32)
                 (call $note (local.get 0) (local.get 1))
                 (call $note (local.get 2) (local.get 3))
                 (i32.const 0))"#
        ),
    )
}

#[tokio::test]
async fn a_plugin_may_adopt() {
    let plugin = load(&adopting());
    assert!(plugin.signature().adopts);
    let inputs = json!({ "name": "etl" });
    let (host, budget) = (Recorder::silent(), Budget::default());
    let ran = plugin
        .adopt(host, inputs, "7".to_owned(), &budget, seed(7))
        .await;
    let Ended::Outputs(outputs) = ran.ended else {
        panic!("{:?}", ran.ended)
    };
    assert_eq!(outputs, json!({}));
    let notes: Vec<_> = ran
        .host
        .calls
        .iter()
        .map(|call| &call.1["message"])
        .collect();
    assert_eq!(notes, ["etl", "7"]);

    let without = load(&plain("", "", "(i32.const 0)"));
    assert!(!without.signature().adopts);
}

#[test]
fn a_plugin_may_take_and_give_nothing() {
    let plugin = load(&plain("", "", "(i32.const 0)"));
    let signature = plugin.signature();
    assert!(
        signature.inputs.is_empty() && signature.outputs.is_empty() && signature.imports.is_empty()
    );
}
