//! A journal in a folder of its own, for this crate's tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Durable, Edge, Entry, Fault, Holder, Lease, Mode, NewRun, Recorded, Store};

/// The folder goes when it is dropped.
pub(crate) struct Journal {
    store: Store,
    pub(crate) folder: tempfile::TempDir,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("journal.db")).unwrap();
        Self { store, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn holder() -> Holder {
        Holder::this_process("ana@contoso.com")
    }

    pub(crate) fn new_run() -> NewRun {
        NewRun {
            workflow: "onboard".into(),
            title: "Onboard an application".into(),
            actor: "ana@contoso.com".into(),
            target: "dev".into(),
            inputs: json!({ "app_name": "etl" }),
            workflow_source: "name = \"onboard\"\n".into(),
            plugin_digests: BTreeMap::from([("register".into(), "ab".repeat(32))]),
            seed: [7; 32],
            started_at: OffsetDateTime::UNIX_EPOCH,
            mode: Mode::Run,
            parent: None,
            adopts: BTreeMap::new(),
        }
    }

    /// A run that nobody holds.
    pub(crate) async fn begin(&self) -> String {
        self.record(Self::new_run()).await
    }

    /// The same for a run of another kind.
    pub(crate) async fn record(&self, new: NewRun) -> String {
        let lease = self.store.begin(new, Self::holder()).await.unwrap();
        let run = lease.run_id().to_owned();
        drop(lease);
        self.store.at_rest(&run).await.unwrap();
        run
    }

    pub(crate) async fn acquire(&self, run: &str) -> Lease {
        self.store.acquire(run, Self::holder()).await.unwrap()
    }

    /// A connection past the store, as another program would have it.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection
            .busy_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        connection
    }

    /// The holder of a run is not heard of any more.
    pub(crate) fn kill_holder(&self, run: &str) {
        let sql = "UPDATE runs SET heartbeat = 0 WHERE id = ?1";
        self.raw().execute(sql, [run]).unwrap();
    }
}

/// Records `value` at the next position.
pub(crate) async fn put(
    invocation: &mut dyn Durable,
    fingerprint: &str,
    edge: Edge,
    value: Value,
) -> Result<Recorded, Fault> {
    let entry = Entry {
        kind: "outcome",
        fingerprint,
        edge,
        facts: json!({ "class": "read" }),
    };
    invocation
        .effect(entry, Box::pin(async { Ok(value) }))
        .await
}
