//! Journals of other programs and other versions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::testing::{Journal, put};
use crate::{
    Durable, Edge, Ending, Holder, Mode, NewRun, OpenError, Slept, Started, Status, StepEnd, Store,
};

fn file(folder: &Path, sql: &str) -> std::path::PathBuf {
    let path = folder.join("journal.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    path
}

#[test]
fn a_newer_journal_is_refused_with_the_version_to_install() {
    let journal = Journal::new();
    let sql = "PRAGMA user_version = 7; UPDATE about SET value = '3.2.1' WHERE key = 'written_by'";
    journal.raw().execute_batch(sql).unwrap();
    let error = Store::open(journal.path()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 7,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("install lockkeeper 3.2.1"), "{text}");
    assert!(text.contains("format 7"), "{text}");
}

#[test]
fn another_programs_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)",
    );
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::NotAJournal { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "not a database, but long enough to be looked at".repeat(9),
    )
    .unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::NotAJournal { .. }), "{error}");
}

/// The journal of format 1 that `golden/v1.sql` was dumped from; a replay asks the same.
async fn scenario(store: &Store, run: &str) -> Result<(), crate::Fault> {
    let holder = Holder {
        pid: 4242,
        host: "laptop".into(),
        machine: "an earlier boot".into(),
        actor: "ana@contoso.com".into(),
    };
    let lease = store.acquire(run, holder).await.unwrap();
    let mut invocation = lease.invocation("");
    let recorded = put(
        &mut invocation,
        "clock",
        Edge::Cheap,
        json!({ "b": 1.5, "a": [] }),
    )
    .await?;
    assert_eq!(recorded.value, json!({ "a": [], "b": 1.5 }));
    if let Started::Open(mut step) = invocation.start_step("register#1").await? {
        put(
            &mut *step,
            "entra/applications.create etl",
            Edge::Durable,
            json!("id-1"),
        )
        .await?;
    }
    let end = StepEnd {
        address: "register#1".into(),
        outcome: json!({ "application_id": "id-1" }),
    };
    let finished = invocation.next_step(Box::pin(async { Ok(end) })).await?;
    assert_eq!(finished.end.outcome, json!({ "application_id": "id-1" }));
    let slept = invocation.sleep(std::time::Duration::ZERO).await?;
    assert_eq!(slept, Slept::Done);
    let Started::Open(mut step) = invocation.start_step("job#1").await? else {
        panic!("the step has not ended");
    };
    put(
        &mut *step,
        "databricks/jobs.create etl-smoke",
        Edge::Durable,
        json!(991),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_journal_of_format_1_keeps_replaying() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), include_str!("../../tests/golden/v1.sql"));
    let store = Store::open(&path).unwrap();
    store.verify(None).await.unwrap();
    let list = store.runs(crate::RunFilter::default()).await.unwrap();
    let id = &list.runs[0].id;
    let run = store.run(id).await.unwrap();
    assert_eq!(run.summary.status, Status::Interrupted);
    assert_eq!(run.beginning, Journal::new_run());
    let before = run.summary.entries;
    scenario(&store, id).await.unwrap();
    let history = store.history(id).await.unwrap();
    assert_eq!(
        history.entries.len() as u64,
        before + 1,
        "only `run.acquired` is new"
    );
    let lease = store.acquire(id, Journal::holder()).await.unwrap();
    lease.finish(Ending::Succeeded, json!({})).await.unwrap();
    store.verify(None).await.unwrap();
}

#[tokio::test]
async fn what_a_run_adopts_is_recorded_and_nothing_more_of_one_that_adopts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), include_str!("../../tests/golden/v1.sql"));
    let store = Store::open(&path).unwrap();
    let first = async |id: &str| store.history(id).await.unwrap().entries[0].facts.clone();
    let old = store.runs(crate::RunFilter::default()).await.unwrap();
    let plain = store.begin(Journal::new_run(), Journal::holder());
    let plain = plain.await.unwrap();
    assert_eq!(first(plain.run_id()).await, first(&old.runs[0].id).await);

    let adoption = NewRun {
        mode: Mode::Adopt,
        adopts: BTreeMap::from([("job".into(), "991".into())]),
        ..Journal::new_run()
    };
    let begun = store.begin(adoption.clone(), Journal::holder());
    let begun = begun.await.unwrap();
    let id = begun.run_id();
    let recorded = first(id).await;
    assert_eq!(recorded["mode"], "adopt");
    assert_eq!(recorded["adopts"], json!({ "job": "991" }));
    let run = store.run(id).await.unwrap();
    assert_eq!(run.beginning, adoption);
    assert_eq!(run.summary.mode, Mode::Adopt);
}

#[tokio::test]
async fn this_program_still_writes_format_1() {
    let journal = Journal::new();
    let run = journal.begin().await;
    scenario(journal.store(), &run).await.unwrap();
    if let Some(to) = std::env::var_os("BLESS") {
        journal
            .raw()
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        std::fs::copy(journal.path(), to).unwrap();
    }
    let shape = |connection: &rusqlite::Connection| {
        let sql = "SELECT name, sql FROM sqlite_schema ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        rows.collect::<Result<Vec<(String, Option<String>)>, _>>()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let golden = file(folder.path(), include_str!("../../tests/golden/v1.sql"));
    let golden = rusqlite::Connection::open(golden).unwrap();
    assert_eq!(
        shape(&journal.raw()),
        shape(&golden),
        "a change needs a new format"
    );
}
