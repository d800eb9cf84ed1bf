//! What the disk refuses.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::testing::{Journal, put};
use crate::{Durable, Edge, Entry, Fault, OpenError, StorageCause, Store};

/// `SQLite` answers a file that may not grow as it answers a full disk.
async fn may_grow_by(journal: &Journal, pages: i64) {
    let work = move |connection: &rusqlite::Connection| {
        let now: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let set = format!("PRAGMA max_page_count = {}", now.saturating_add(pages));
        connection.query_row(&set, [], |_| Ok(()))?;
        Ok(Ok::<_, Fault>(()))
    };
    let writer = &journal.store().inner.writer;
    writer.run("test", Edge::Cheap, work).await.unwrap();
}

async fn entries(journal: &Journal, run: &str) -> usize {
    journal.store().history(run).await.unwrap().entries.len()
}

#[tokio::test]
async fn a_full_disk_lets_no_intent_pass() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut invocation = lease.invocation("");
    let before = entries(&journal, &run).await;
    may_grow_by(&journal, 2).await;
    let large = "x".repeat(1000);
    let mut recorded = 0;
    let fault = loop {
        assert!(recorded < 100, "the disk is never full");
        match put(&mut invocation, &large, Edge::Durable, json!(recorded)).await {
            Ok(_) => recorded += 1,
            Err(fault) => break fault,
        }
    };
    let Fault::Storage(storage) = &fault else {
        panic!("{fault}");
    };
    assert_eq!(storage.cause, StorageCause::Full);
    let text = fault.to_string();
    for part in [
        "cannot record an entry in",
        "journal.db",
        "is full",
        "free some space",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let history = journal.store().history(&run).await.unwrap();
    assert_eq!(history.entries.len(), before + recorded);
    assert_eq!(history.damage, None);

    // Space was made: the same operation goes on where it stopped.
    may_grow_by(&journal, 1000).await;
    let next = put(&mut invocation, &large, Edge::Durable, json!("next"))
        .await
        .unwrap();
    assert!(!next.replayed);
    journal.store().verify(None).await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_leaves_no_gap() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut invocation = lease.invocation("");
    let small = |n: usize| format!("e{n}");
    for n in 0..3 {
        put(&mut invocation, &small(n), Edge::Cheap, json!(n))
            .await
            .unwrap();
    }
    lease.beat().await.unwrap();
    may_grow_by(&journal, 2).await;
    let huge = "x".repeat(100_000);
    put(&mut invocation, &small(3), Edge::Cheap, json!(huge))
        .await
        .unwrap();
    // It would fit, but what it follows is not there.
    let fault = put(&mut invocation, &small(4), Edge::Durable, json!(4))
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("is full"), "{fault}");
    let still = put(&mut invocation, &small(4), Edge::Durable, json!(4)).await;
    assert!(still.is_err());

    let path = journal.path();
    drop((invocation, lease));
    journal.kill_holder(&run);
    let reopened = Store::open(path).unwrap();
    let lease = reopened.acquire(&run, Journal::holder()).await.unwrap();
    let mut resumed = lease.invocation("");
    for n in 0..5 {
        let recorded = put(&mut resumed, &small(n), Edge::Durable, json!("again"))
            .await
            .unwrap();
        assert_eq!(recorded.replayed, n < 3, "{n}");
    }
    reopened.verify(None).await.unwrap();
}

#[tokio::test]
async fn one_entry_that_does_not_fit_fails_alone() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let before = entries(&journal, &run).await;
    may_grow_by(&journal, 8).await;
    let mut invocations: Vec<_> = (0..9)
        .map(|n| lease.invocation(&format!("s{n}#1")))
        .collect();
    let huge = "x".repeat(1_000_000);
    let puts = invocations.iter_mut().enumerate().map(|(n, invocation)| {
        let value = if n == 4 { json!(huge) } else { json!(n) };
        put(invocation, "e", Edge::Durable, value)
    });
    let results = futures::future::join_all(puts).await;
    assert!(results[4].is_err());
    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(entries(&journal, &run).await, before + succeeded);
    journal.store().verify(None).await.unwrap();
}

/// A folder that this user may not write to. Root may write everywhere but to a kernel's folder.
fn read_only(folder: &Path) -> PathBuf {
    let mut permissions = std::fs::metadata(folder).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o555);
    std::fs::set_permissions(folder, permissions).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        PathBuf::from("/sys")
    } else {
        folder.to_owned()
    }
}

#[test]
fn a_read_only_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = read_only(folder.path()).join("journal.db");
    let error = Store::open(&path).unwrap_err();
    let OpenError::Storage(fault) = &error else {
        panic!("{error}");
    };
    assert_eq!(fault.cause, StorageCause::ReadOnly, "{error}");
    let text = error.to_string();
    for part in [path.to_str().unwrap(), "may not write", "another folder"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn the_journal_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/journal.db");
    let store = Store::open(&path).unwrap();
    store
        .begin(Journal::new_run(), Journal::holder())
        .await
        .unwrap();
    for suffix in ["", "-wal", "-shm", "-heads"] {
        let name = format!("{}{suffix}", path.display());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&name).unwrap());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_call_is_small() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut invocation = lease.invocation("job#1");
    let calls = 200;
    for call in 0..calls {
        let facts = json!({
            "class": "create", "mark": "lk-7q3m-job-1", "target": "workspace dev",
            "arguments": { "name": "etl-demo-smoke", "run_as": "6f0e…c1" },
        });
        let fingerprint = format!("databricks/jobs.create etl-demo-smoke-{call} sha256:9f1ce2a7");
        for (kind, value) in [
            ("intent", json!(null)),
            ("outcome", json!({ "job_id": call })),
        ] {
            let entry = Entry {
                kind,
                fingerprint: &fingerprint,
                edge: Edge::Cheap,
                facts: facts.clone(),
            };
            let effect = Box::pin(async { Ok(value) });
            invocation.effect(entry, effect).await.unwrap();
        }
    }
    lease.beat().await.unwrap();
    let raw = journal.raw();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let size = std::fs::metadata(journal.path()).unwrap().len();
    assert!(size / calls < 1024, "{} bytes a call", size / calls);
}
