//! What the gate refuses without the service, in a run and in a plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_gate::{Cancellation, Events, Grants, Mode, Plan, RunGate, Secrets, StepGate};
use lockkeeper_journal::Memory;
use lockkeeper_types::unknown;
use serde_json::json;
use time::OffsetDateTime;

use crate::common::Clouds;

fn gate(clouds: &Clouds, mode: Mode) -> StepGate {
    let run = Arc::new(RunGate::new(
        &clouds.cloud(),
        Secrets::in_memory(),
        Events::new("run", &[]),
        mode,
        Cancellation::default(),
    ));
    let deadline = Instant::now() + Duration::from_mins(1);
    let durable = Box::new(Memory::default().invocation("step#1"));
    let everything = Grants::everything("test");
    StepGate::new(run, "step", everything, None, deadline, durable)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_placeholder_is_never_sent() {
    let clouds = Clouds::start().await;
    let mut gate = gate(&clouds, Mode::Apply);
    let id = unknown::placeholder("register", "application_id");
    for operation in [
        "entra/service-principals.find",
        "entra/service-principals.create",
    ] {
        let arguments = json!({ "application_id": format!("{id}/x") });
        let refused = gate.call(operation, arguments).await.unwrap().unwrap_err();
        let failure = &refused["invalid"];
        assert_eq!(failure["code"], "PlaceholderInCall", "{refused}");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains("step `register`"), "{message}");
    }
    assert_eq!(gate.changes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_refuses_what_the_run_would_and_no_more() {
    let clouds = Clouds::start().await;
    let notebook = json!({ "path": "/Shared/a/x", "language": "sql", "source": "SELECT 1" });
    let mkdirs = "databricks/workspace-objects.mkdirs";
    clouds.send(mkdirs, json!({ "path": "/Shared/a" })).await;
    let write = "databricks/workspace-objects.write-notebook";
    clouds.send(write, notebook).await;

    let plan = || Mode::Plan(Box::new(Plan::new(OffsetDateTime::now_utc())));
    let delete = "databricks/workspace-objects.delete";
    let folder = json!({ "path": "/Shared/a" });
    let refused = gate(&clouds, plan()).call(delete, folder.clone()).await;
    let refused = refused.unwrap().unwrap_err();
    let code = &refused["conflict"]["code"];
    assert_eq!(code, "DIRECTORY_NOT_EMPTY", "{refused}");

    let mut emptied = gate(&clouds, plan());
    for arguments in [json!({ "path": "/Shared/a/x" }), folder] {
        emptied.call(delete, arguments).await.unwrap().unwrap();
    }
    assert_eq!(emptied.changes(), 2);
}
