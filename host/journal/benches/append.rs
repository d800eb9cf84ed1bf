//! How fast entries are appended and replayed. How large they are is a test: `a_call_is_small`.

use std::collections::BTreeMap;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lockkeeper_journal::{Durable, Edge, Entry, Holder, Lease, Mode, NewRun, Store};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// One run in a journal in a temporary folder. Where that is in memory, set `TMPDIR` to a disk.
struct Bench {
    runtime: Runtime,
    store: Store,
    run: String,
    _folder: tempfile::TempDir,
}

impl Bench {
    #[allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("journal.db")).unwrap();
        let new = NewRun {
            workflow: "bench".into(),
            title: "Bench".into(),
            actor: "ana@contoso.com".into(),
            target: "dev".into(),
            inputs: Value::Null,
            workflow_source: String::new(),
            plugin_digests: BTreeMap::new(),
            seed: [0; 32],
            started_at: time::OffsetDateTime::UNIX_EPOCH,
            mode: Mode::Run,
            parent: None,
            adopts: BTreeMap::default(),
        };
        let holder = Holder::this_process("bench");
        let lease = runtime.block_on(store.begin(new, holder)).unwrap();
        let run = lease.run_id().to_owned();
        Self {
            runtime,
            store,
            run,
            _folder: folder,
        }
    }

    #[allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
    fn lease(&self) -> Lease {
        let holder = Holder::this_process("bench");
        self.runtime
            .block_on(self.store.acquire(&self.run, holder))
            .unwrap()
    }
}

/// Records `calls` calls: an intent with typical facts, and an outcome.
#[allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
async fn record(invocation: &mut dyn Durable, edge: Edge, calls: usize) {
    for call in 0..calls {
        let fingerprint = format!("databricks/jobs.create etl-demo-smoke-{call} sha256:9f1ce2a7");
        for (kind, value) in [
            ("intent", Value::Null),
            (
                "outcome",
                json!({ "ok": { "job_id": call, "name": "etl-demo-smoke" } }),
            ),
        ] {
            let facts = json!({
                "class": "create", "mark": "lk-7q3m-job-1", "target": "workspace dev",
                "arguments": { "name": "etl-demo-smoke", "run_as": "6f0e…c1" },
            });
            let entry = Entry {
                kind,
                fingerprint: &fingerprint,
                edge,
                facts,
            };
            let effect = Box::pin(async { Ok(value) });
            black_box(invocation.effect(entry, effect).await.unwrap());
        }
    }
}

/// Waits for what was queued: tasks are carried out in the order they come.
#[allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
async fn written(lease: &Lease) {
    lease.beat().await.unwrap();
}

const CALLS: usize = 100;

/// One step, calls one after another.
#[divan::bench(args = [Edge::Cheap, Edge::Durable], sample_count = 10)]
fn in_series(bencher: Bencher<'_, '_>, edge: Edge) {
    let bench = Bench::new();
    let lease = bench.lease();
    let mut invocation = lease.invocation("s#1");
    bencher.counter(ItemsCount::new(2 * CALLS)).bench_local(|| {
        bench.runtime.block_on(async {
            record(&mut invocation, edge, CALLS).await;
            written(&lease).await;
        });
    });
}

/// Sixteen steps at once, which share commits.
#[divan::bench(args = [Edge::Cheap, Edge::Durable], sample_count = 10)]
fn sixteen_at_once(bencher: Bencher<'_, '_>, edge: Edge) {
    let bench = Bench::new();
    let lease = bench.lease();
    let mut invocations: Vec<_> = (0..16)
        .map(|n| lease.invocation(&format!("s{n}#1")))
        .collect();
    bencher
        .counter(ItemsCount::new(2 * CALLS * invocations.len()))
        .bench_local(|| {
            let steps = invocations.iter_mut();
            let steps = steps.map(|invocation| record(invocation, edge, CALLS));
            bench.runtime.block_on(async {
                futures::future::join_all(steps).await;
                written(&lease).await;
            });
        });
}

/// Taking up a run with 10,000 entries and replaying them all.
#[divan::bench(sample_count = 10)]
fn replay_ten_thousand(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let replay = || {
        let lease = bench.lease();
        let mut invocation = lease.invocation("");
        bench.runtime.block_on(async {
            record(&mut invocation, Edge::Cheap, 5_000).await;
            written(&lease).await;
        });
    };
    replay();
    bencher
        .counter(ItemsCount::new(10_000_usize))
        .bench_local(replay);
}
