//! Many writers, and appends that share a commit.

use std::sync::Arc;

use serde_json::json;

use crate::testing::{Journal, put};
use crate::{Edge, Store};

const STEPS: usize = 16;
const ENTRIES: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_steps_keep_their_order_in_one_chain() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let steps = (0..STEPS).map(|step| {
        let mut invocation = lease.invocation(&format!("s{step}#1"));
        tokio::spawn(async move {
            for n in 0..ENTRIES {
                let edge = if n % 3 == 0 {
                    Edge::Durable
                } else {
                    Edge::Cheap
                };
                put(&mut invocation, &format!("e{n}"), edge, json!(n))
                    .await
                    .unwrap();
            }
        })
    });
    for step in futures::future::join_all(steps).await {
        step.unwrap();
    }
    journal.store().verify(None).await.unwrap();
    let history = journal.store().history(&run).await.unwrap();
    for step in 0..STEPS {
        let address = format!("s{step}#1");
        let of_step = history
            .entries
            .iter()
            .filter(|entry| entry.address == address);
        let order: Vec<_> = of_step.map(|entry| entry.value.clone()).collect();
        assert_eq!(order, (0..ENTRIES).map(|n| json!(n)).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_write_to_one_file() {
    let journal = Arc::new(Journal::new());
    let writers = (0..4).map(|_| {
        let store = Store::open(journal.path()).unwrap();
        tokio::spawn(async move {
            let (new, holder) = (Journal::new_run(), Journal::holder());
            let lease = store.begin(new, holder).await.unwrap();
            let mut invocation = lease.invocation("");
            for n in 0..ENTRIES {
                put(&mut invocation, "e", Edge::Durable, json!(n))
                    .await
                    .unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    journal.store().verify(None).await.unwrap();
    let list = journal
        .store()
        .runs(crate::RunFilter::default())
        .await
        .unwrap();
    let entries: Vec<_> = list.runs.iter().map(|run| run.entries).collect();
    assert_eq!(entries, [ENTRIES as u64 + 2; 4]);
}

/// A process that is killed leaves the file as it is at that moment. So a copy of the folder after
/// a durable entry is what a new process would find.
#[tokio::test]
async fn a_copy_at_any_moment_has_all_up_to_the_last_durable_entry() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut invocation = lease.invocation("");
    for n in 0..20 {
        let edge = if n % 3 == 2 {
            Edge::Durable
        } else {
            Edge::Cheap
        };
        put(&mut invocation, &format!("e{n}"), edge, json!(n))
            .await
            .unwrap();
        if edge == Edge::Cheap {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        // The shared memory file belongs to living processes; a new one makes its own.
        for suffix in ["", "-wal", "-heads"] {
            let name = format!("journal.db{suffix}");
            std::fs::copy(journal.folder.path().join(&name), copy.path().join(&name)).unwrap();
        }
        let path = copy.path().join("journal.db");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute("UPDATE runs SET heartbeat = 0", [])
            .unwrap();
        let store = Store::open(&path).unwrap();
        let lease = store.acquire(&run, Journal::holder()).await.unwrap();
        let mut resumed = lease.invocation("");
        for past in 0..=n {
            let recorded = put(&mut resumed, &format!("e{past}"), edge, json!("new")).await;
            assert_eq!(recorded.unwrap().value, json!(past));
        }
        let live = put(&mut resumed, "next", edge, json!("new")).await.unwrap();
        assert!(!live.replayed);
    }
}
