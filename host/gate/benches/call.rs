//! What the gate and the journal add to a call: the same operation alone, and through both.
//!
//! The journal lies in a temporary folder. Where that is in memory, set `TMPDIR` to a disk.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot set itself up has nothing to measure"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lockkeeper_cloud::{Cloud, Credentials, Endpoints, SecretSource, SecretString, Target};
use lockkeeper_gate::{
    Cancellation, Context, Events, Grants, Mode, RunGate, Secrets, StepGate, operations,
};
use lockkeeper_journal::{Holder, Lease, NewRun, Store};
use lockkeeper_simulator::{Options, Profile, Running};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// A simulator, a client of it, and one run in a journal on disk.
struct Bench {
    runtime: Runtime,
    store: Store,
    run: String,
    gate: Arc<RunGate>,
    _simulator: Running,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secret = "not-a-real-operator-secret".to_owned();
        let simulator = runtime
            .block_on(lockkeeper_simulator::start(Options {
                folder: folder.path().join("simulator"),
                seal_key: [7; 32].into(),
                operator_secret: secret.clone().into(),
                profile: Profile::Instant,
                seed: 1,
                https_port: 0,
                http_port: 0,
            }))
            .unwrap();
        let operator = simulator.operator();
        let target = Target {
            tenant_id: Some(operator.tenant_id),
            workspace: Some(operator.workspace_url),
            credentials: Credentials::ClientSecret {
                client_id: Some(operator.client_id),
                secret: Some(SecretSource::Value(SecretString::new(secret))),
            },
            databricks_rate: std::num::NonZeroU32::new(1_000_000),
            endpoints: Some(Endpoints {
                resolve_to: simulator.https_address(),
                ca_pem: simulator.ca_pem().to_owned(),
            }),
            ..Target::default()
        };
        let cloud = runtime.block_on(Cloud::connect(target)).unwrap();
        let store = Store::open(folder.path().join("journal.db")).unwrap();
        let new = NewRun {
            workflow: "bench".into(),
            title: "Bench".into(),
            actor: "ana@contoso.com".into(),
            target: "sim".into(),
            inputs: Value::Null,
            workflow_source: String::new(),
            plugin_digests: BTreeMap::new(),
            seed: [0; 32],
            started_at: time::OffsetDateTime::UNIX_EPOCH,
            mode: lockkeeper_journal::Mode::Run,
            parent: None,
            adopts: BTreeMap::default(),
        };
        let holder = Holder::this_process("bench");
        let lease = runtime.block_on(store.begin(new, holder)).unwrap();
        let run = lease.run_id().to_owned();
        let gate = Arc::new(RunGate::new(
            &cloud,
            Secrets::in_memory(),
            Events::new(&run, &[]),
            Mode::Apply,
            Cancellation::default(),
        ));
        Self {
            runtime,
            store,
            run,
            gate,
            _simulator: simulator,
            _folder: folder,
        }
    }

    fn lease(&self) -> Lease {
        let holder = Holder::this_process("bench");
        self.runtime
            .block_on(self.store.acquire(&self.run, holder))
            .unwrap()
    }

    fn step(&self, lease: &Lease) -> StepGate {
        StepGate::new(
            self.gate.clone(),
            "step",
            Grants::everything("bench"),
            None,
            Instant::now() + Duration::from_hours(1),
            Box::new(lease.invocation("step#1")),
        )
    }

    /// An operation as its definition sends it. The gate sends no more: it looks at an object
    /// before its first write to it only.
    fn alone(&self, bencher: Bencher<'_, '_>, operation: &str, arguments: &Value) {
        let definition = operations::find(operation).unwrap();
        let context = Context {
            cloud: &self.gate.cloud,
            secrets: &self.gate.secrets,
            mark: "run/step#1/1",
        };
        bencher.bench_local(|| {
            let sent = self.runtime.block_on(definition.send(arguments, &context));
            sent.unwrap()
        });
    }

    fn through_the_gate(&self, bencher: Bencher<'_, '_>, operation: &str, arguments: &Value) {
        let lease = self.lease();
        let mut step = self.step(&lease);
        bencher.bench_local(|| {
            let called = self
                .runtime
                .block_on(step.call(operation, arguments.clone()));
            called.unwrap().unwrap()
        });
    }
}

const READ: &str = "databricks/clusters.list-spark-versions";
const WRITE: &str = "databricks/secrets.put-text";
const NOTE: &str = "step/progress.note";

fn secret() -> Value {
    json!({ "scope": "bench", "key": "account", "text": "stdemo" })
}

fn with_scope() -> Bench {
    let bench = Bench::new();
    let scope = operations::find("databricks/secret-scopes.create").unwrap();
    let context = Context {
        cloud: &bench.gate.cloud,
        secrets: &bench.gate.secrets,
        mark: "run/step#1/0",
    };
    let arguments = json!({ "name": "bench", "key_vault": null });
    bench
        .runtime
        .block_on(scope.send(&arguments, &context))
        .unwrap();
    bench
}

/// What the gate and the journal cost a call that goes nowhere.
#[divan::bench]
fn note(bencher: Bencher<'_, '_>) {
    Bench::new().through_the_gate(bencher, NOTE, &json!({ "message": "Made the job" }));
}

#[divan::bench]
fn read_alone(bencher: Bencher<'_, '_>) {
    Bench::new().alone(bencher, READ, &json!({}));
}

#[divan::bench]
fn read_through_the_gate(bencher: Bencher<'_, '_>) {
    Bench::new().through_the_gate(bencher, READ, &json!({}));
}

#[divan::bench]
fn write_alone(bencher: Bencher<'_, '_>) {
    with_scope().alone(bencher, WRITE, &secret());
}

/// Two entries on disk: the intent before the request leaves, the outcome before the plugin goes on.
#[divan::bench]
fn write_through_the_gate(bencher: Bencher<'_, '_>) {
    with_scope().through_the_gate(bencher, WRITE, &secret());
}

/// Answering 10,000 recorded reads, from taking up the run to the last of them.
#[divan::bench(sample_count = 10)]
fn replay_ten_thousand_reads(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let replay = || {
        let lease = bench.lease();
        let mut step = bench.step(&lease);
        bench.runtime.block_on(async {
            for _ in 0..10_000 {
                black_box(step.call(READ, json!({})).await.unwrap().unwrap());
            }
        });
    };
    replay();
    bencher
        .counter(ItemsCount::new(10_000_usize))
        .bench_local(replay);
}
