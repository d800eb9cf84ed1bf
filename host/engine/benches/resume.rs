//! How long a person waits when a run of 10,000 recorded calls is resumed: from opening the
//! journal to the first call that is live.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot set itself up has nothing to measure"
)]

#[path = "../../runtime/tests/all/guest.rs"]
mod guest;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use divan::Bencher;
use lockkeeper_cloud::{Cloud, Credentials, SecretSource, SecretString, Target};
use lockkeeper_engine::{Catalogue, Component, Engine, RunReport, RunResult};
use lockkeeper_gate::{Cancellation, Event, KeyRing, Listener, ListenerError, Policy};
use lockkeeper_journal::Store;
use lockkeeper_runtime::{Runtime, RuntimeOptions};
use lockkeeper_workflow::{Source, Workflow};
use serde_json::json;

/// Two steps of 5,000 calls, as one step may make no more than 10,000. Neither ever ends.
const WORKFLOW: &str = "lockkeeper = 1\n[workflow]\nname = \"bench\"\ntitle = \"Bench\"\n\n[steps.a]\nplugin = \"noting\"\n[steps.b]\nplugin = \"noting\"\n";
const CALLS: u32 = 10_000;

fn main() {
    divan::main();
}

/// Stops the run at the n-th call that is live.
struct StopAfter {
    left: AtomicU32,
    cancellation: Cancellation,
}

impl Listener for StopAfter {
    fn hear(&self, _: &str, _: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        if matches!(event, Event::StepNote { .. }) && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.cancellation.cancel();
        }
        Ok(())
    }
}

/// A plugin that makes one call after another.
fn noting() -> Vec<u8> {
    guest::plain(
        "import lockkeeper:step/progress@0.1.0;",
        r#"(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))"#,
        "(loop $again (call $note (i32.const 0) (i32.const 10)) (br $again)) (i32.const 0)",
    )
}

fn engine(folder: &Path, cloud: &Cloud, runtime: &Runtime, live_calls: u32) -> (Engine, Workflow) {
    let component = Component {
        name: "noting".to_owned(),
        bytes: noting().into(),
    };
    let policy = Policy::parse(&json!({})).unwrap();
    let catalogue = Catalogue::load(runtime, vec![component], policy).unwrap();
    let source = Arc::new(Source {
        path: "bench.toml".to_owned(),
        text: WORKFLOW.to_owned(),
    });
    let workflow = lockkeeper_workflow::load(&source, &catalogue)
        .unwrap()
        .workflow;
    let cancellation = Cancellation::default();
    let stop = StopAfter {
        left: live_calls.into(),
        cancellation: cancellation.clone(),
    };
    let engine = Engine {
        catalogue,
        cloud: cloud.clone(),
        target: "sim".to_owned(),
        actor: "ana@contoso.com".to_owned(),
        store: Store::open(folder.join("journal.db")).unwrap(),
        keys: KeyRing::new(folder.join("keys")),
        locks: folder.join("locks"),
        listeners: vec![Arc::new(stop)],
        cancellation,
    };
    (engine, workflow)
}

fn cancelled(report: &RunReport) {
    assert_eq!(report.result, RunResult::Cancelled, "{:?}", report.error);
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn to_the_first_live_call(bencher: Bencher<'_, '_>) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(RuntimeOptions {
        cache: Some(folder.path().join("cache")),
    })
    .unwrap();
    // Notes stay in the journal, so nothing is ever sent to this target.
    let target = Target {
        tenant_id: Some("11111111-2222-4333-8444-555555555555".to_owned()),
        workspace: Some("https://adb-4242424242424242.2.azuredatabricks.net".to_owned()),
        credentials: Credentials::ClientSecret {
            client_id: Some("0a0a0a0a-0000-4000-8000-000000000002".to_owned()),
            secret: Some(SecretSource::Value(SecretString::new(
                "not-a-real-secret".to_owned(),
            ))),
        },
        ..Target::default()
    };
    let cloud = tokio.block_on(Cloud::connect(target)).unwrap();
    let run = {
        let (engine, workflow) = engine(folder.path(), &cloud, &runtime, CALLS);
        let report = tokio
            .block_on(engine.run(&workflow, &BTreeMap::new()))
            .unwrap();
        cancelled(&report);
        report.run
    };
    bencher.bench_local(|| {
        let (engine, workflow) = engine(folder.path(), &cloud, &runtime, 1);
        let report = tokio.block_on(engine.resume(&workflow, &run)).unwrap();
        cancelled(&report);
    });
}
