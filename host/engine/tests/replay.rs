//! A run that is gone on with: a plugin that waits long is unloaded and run again from its record,
//! and one that asks for something else than is recorded is stopped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on panics"
)]

#[path = "../../runtime/tests/all/guest.rs"]
#[allow(dead_code, reason = "what other tests build is not built here")]
mod guest;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockkeeper_cloud::{Cloud, Credentials, SecretSource, SecretString, Target};
use lockkeeper_engine::{Catalogue, Component, Engine, EngineError, RunReport, RunResult};
use lockkeeper_gate::{Cancellation, Event, KeyRing, Listener, ListenerError, Policy};
use lockkeeper_journal::{
    Durable as _, Edge, Entry, Fault, Holder, JournalEntry, Mode, NewRun, Started, Store,
};
use lockkeeper_runtime::{Runtime, RuntimeOptions};
use lockkeeper_workflow::{Source, Workflow};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const WORKFLOW: &str = "lockkeeper = 1\n[workflow]\nname = \"waits\"\ntitle = \"Waits\"\n\n[steps.wait]\nplugin = \"waiting\"\n";

const IMPORTS: &str = r#"
(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))
(import "lockkeeper:step/timer@0.1.0" "sleep" (func $sleep (param i64)))
"#;

/// Counts the notes that are heard.
#[derive(Default)]
struct Notes(Mutex<usize>);

impl Listener for Notes {
    fn hear(&self, _: &str, _: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        *self.0.lock().unwrap() += usize::from(matches!(event, Event::StepNote { .. }));
        Ok(())
    }
}

/// A process that works in `folder`.
struct Process {
    engine: Engine,
    workflow: Workflow,
    notes: Arc<Notes>,
}

impl Process {
    /// Its plugin notes, sleeps so many seconds, and notes again.
    async fn start(folder: &Path, seconds: u64) -> Self {
        let bytes = guest::plain(
            "import lockkeeper:step/progress@0.1.0; import lockkeeper:step/timer@0.1.0;",
            IMPORTS,
            &format!(
                "(call $note (i32.const 0) (i32.const 1)) (call $sleep (i64.const {seconds}))
                 (call $note (i32.const 0) (i32.const 2)) (i32.const 0)"
            ),
        );
        let component = Component {
            name: "waiting".to_owned(),
            bytes: bytes.into(),
        };
        let runtime = Runtime::new(RuntimeOptions {
            cache: Some(folder.join("cache")),
        })
        .unwrap();
        let policy = Policy::parse(&json!({})).unwrap();
        let catalogue = Catalogue::load(&runtime, vec![component], policy).unwrap();
        let source = Arc::new(Source {
            path: "waits.toml".to_owned(),
            text: WORKFLOW.to_owned(),
        });
        let workflow = lockkeeper_workflow::load(&source, &catalogue)
            .unwrap()
            .workflow;
        // Nothing is ever sent to it.
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
        let notes = Arc::new(Notes::default());
        let engine = Engine {
            catalogue,
            cloud: Cloud::connect(target).await.unwrap(),
            target: "sim".to_owned(),
            actor: "ana@contoso.com".to_owned(),
            store: Store::open(folder.join("journal.db")).unwrap(),
            keys: KeyRing::new(folder.join("keys")),
            locks: folder.join("locks"),
            listeners: vec![notes.clone()],
            cancellation: Cancellation::default(),
        };
        Self {
            engine,
            workflow,
            notes,
        }
    }

    fn heard(&self) -> usize {
        *self.notes.0.lock().unwrap()
    }

    async fn entries(&self, run: &str) -> Vec<JournalEntry> {
        self.engine.store.history(run).await.unwrap().entries
    }

    /// Cancels once a sleep is recorded of the only run.
    async fn cancel_in_its_sleep(&self) {
        loop {
            let runs = self
                .engine
                .store
                .runs(lockkeeper_journal::RunFilter::default())
                .await;
            for run in runs.unwrap().runs {
                if self
                    .entries(&run.id)
                    .await
                    .iter()
                    .any(|entry| entry.kind == "sleep")
                {
                    return self.engine.cancellation.cancel();
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn begin_and_cancel(&self) -> RunReport {
        let given = BTreeMap::new();
        let run = self.engine.run(&self.workflow, &given);
        tokio::join!(run, self.cancel_in_its_sleep()).0.unwrap()
    }
}

fn of_step<'a>(entries: &'a [JournalEntry], kind: &str) -> Vec<&'a JournalEntry> {
    entries
        .iter()
        .filter(|entry| entry.address == "wait#1" && entry.kind == kind)
        .collect()
}

#[tokio::test]
async fn a_long_sleep_can_be_cancelled_and_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), 3600).await;
    let report = first.begin_and_cancel().await;
    assert_eq!(report.result, RunResult::Cancelled);
    let before = first.entries(&report.run).await;
    drop(first);

    let second = Process::start(folder.path(), 3600).await;
    let again = second.engine.resume(&second.workflow, &report.run);
    let again = tokio::join!(again, second.cancel_in_its_sleep()).0.unwrap();
    assert_eq!(again.result, RunResult::Cancelled);
    let after = second.entries(&report.run).await;
    assert_eq!(of_step(&before, "sleep"), of_step(&after, "sleep"));
    assert_eq!(of_step(&after, "sleep").len(), 1);
    assert_eq!(second.heard(), 0, "the first note is on record");
}

#[tokio::test]
async fn a_sleep_that_no_clock_can_tell_the_end_of_is_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), u64::MAX).await;
    let report = process.begin_and_cancel().await;
    assert_eq!(report.result, RunResult::Cancelled);
    let entries = process.entries(&report.run).await;
    assert_eq!(of_step(&entries, "sleep").len(), 1);
}

#[tokio::test]
async fn after_a_long_sleep_the_plugin_runs_on_from_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), 16).await;
    let report = process
        .engine
        .run(&process.workflow, &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(report.result, RunResult::Succeeded, "{:?}", report.error);
    let entries = process.entries(&report.run).await;
    assert_eq!(of_step(&entries, "note").len(), 2);
    assert_eq!(process.heard(), 2, "each note is told once");
    let sleeps = of_step(&entries, "sleep");
    assert_eq!(sleeps.len(), 1);
    let due = OffsetDateTime::parse(sleeps[0].value.as_str().unwrap(), &Rfc3339).unwrap();
    assert!(OffsetDateTime::now_utc() >= due);
}

#[tokio::test]
async fn a_replay_that_asks_for_something_else_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), 1).await;
    // The record of another program with the same plugins: it began with a write.
    let digest = process
        .engine
        .catalogue
        .plugin("waiting")
        .unwrap()
        .signature()
        .digest
        .clone();
    let new = NewRun {
        workflow: "waits".to_owned(),
        title: "Waits".to_owned(),
        actor: "ana@contoso.com".to_owned(),
        target: "sim".to_owned(),
        inputs: json!({}),
        workflow_source: WORKFLOW.to_owned(),
        plugin_digests: BTreeMap::from([("waiting".to_owned(), digest)]),
        seed: [0; 32],
        started_at: OffsetDateTime::now_utc(),
        mode: Mode::Run,
        parent: None,
        adopts: BTreeMap::default(),
    };
    let holder = Holder::this_process("ana@contoso.com");
    let lease = process.engine.store.begin(new, holder).await.unwrap();
    let run = lease.run_id().to_owned();
    {
        let mut whole = lease.invocation("");
        let Started::Open(mut step) = whole.start_step("wait#1").await.unwrap() else {
            panic!("it has not ended")
        };
        let entry = Entry {
            kind: "intent",
            fingerprint: "entra/applications.create 0123456789abcdef",
            edge: Edge::Durable,
            facts: json!({
                "operation": "entra/applications.create",
                "class": "create",
                "object": { "kind": "application", "key": "x", "name": "x" },
                "mark": "", "digest": "0123456789abcdef",
            }),
        };
        step.effect(
            entry,
            Box::pin(async { Ok(json!({ "sent": { "before": null } })) }),
        )
        .await
        .unwrap();
    }
    drop(lease);
    let before = process.entries(&run).await.len();

    let stopped = process
        .engine
        .resume(&process.workflow, &run)
        .await
        .unwrap_err();
    let EngineError::Journal(Fault::Diverged {
        recorded, asked, ..
    }) = &stopped
    else {
        panic!("{stopped}")
    };
    assert_eq!(
        recorded,
        "intent entra/applications.create 0123456789abcdef"
    );
    assert_eq!(asked, "note step/progress.note");
    let said = stopped.to_string();
    assert!(said.contains(recorded) && said.contains(asked), "{said}");
    assert!(
        said.contains("wait#1") && said.contains("nothing was sent"),
        "{said}"
    );
    assert_eq!(process.heard(), 0);
    // Only that it was taken is new.
    assert_eq!(process.entries(&run).await.len(), before + 1);
}
