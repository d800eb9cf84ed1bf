//! Who may advance a run, and how it stands.

use serde_json::{Value, json};

use crate::testing::{Journal, put};
use crate::{
    AcquireError, Edge, Ending, Fault, LookupError, Mode, NewRun, RunFilter, Status, Store,
};

async fn status(journal: &Journal, run: &str) -> Status {
    journal.store().run(run).await.unwrap().summary.status
}

#[tokio::test]
async fn a_run_goes_through_its_states() {
    let journal = Journal::new();
    let run = journal.begin().await;
    assert_eq!(status(&journal, &run).await, Status::Interrupted);
    let lease = journal.acquire(&run).await;
    assert_eq!(status(&journal, &run).await, Status::Running);
    lease.beat().await.unwrap();
    drop(lease);
    let lease = journal.acquire(&run).await;
    lease
        .finish(Ending::Failed, json!({ "step": "job" }))
        .await
        .unwrap();
    let found = journal.store().run(&run).await.unwrap();
    assert_eq!(found.summary.status, Status::Failed);
    assert_eq!(found.summary.outcome, Some(json!({ "step": "job" })));
    assert!(found.summary.ended_at.is_some());
    assert_eq!(found.beginning, Journal::new_run());

    let lease = journal.acquire(&run).await;
    assert_eq!(status(&journal, &run).await, Status::Running);
    lease.finish(Ending::Succeeded, Value::Null).await.unwrap();
    let again = journal.store().acquire(&run, Journal::holder()).await;
    assert!(matches!(
        again,
        Err(AcquireError::Ended {
            status: Status::Succeeded,
            ..
        })
    ));
    journal.store().verify(Some(&run)).await.unwrap();
}

#[tokio::test]
async fn a_run_that_was_taken_back_is_undone() {
    let journal = Journal::new();
    let run = journal.begin().await;
    journal
        .acquire(&run)
        .await
        .finish(Ending::Failed, Value::Null)
        .await
        .unwrap();
    let undo = NewRun {
        mode: Mode::Undo,
        parent: Some(run.clone()),
        ..Journal::new_run()
    };
    let undo = journal.record(undo).await;
    for ending in [Ending::Failed, Ending::Succeeded] {
        assert_eq!(status(&journal, &run).await, Status::Failed);
        journal
            .acquire(&undo)
            .await
            .finish(ending, Value::Null)
            .await
            .unwrap();
    }
    assert_eq!(status(&journal, &run).await, Status::Undone);
    let again = journal.store().acquire(&run, Journal::holder()).await;
    assert!(matches!(
        again,
        Err(AcquireError::Ended {
            status: Status::Undone,
            ..
        })
    ));
}

#[tokio::test]
async fn a_run_of_which_a_part_was_taken_back_is_partly_undone() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let finish = async |run: &str, ending| {
        let lease = journal.acquire(run).await;
        lease.finish(ending, Value::Null).await.unwrap();
    };
    finish(&run, Ending::Succeeded).await;
    for (ending, expected) in [
        (Ending::Partly, Status::PartlyUndone),
        (Ending::Failed, Status::PartlyUndone),
        (Ending::Succeeded, Status::Undone),
        (Ending::Partly, Status::Undone),
    ] {
        let undo = NewRun {
            mode: Mode::Undo,
            parent: Some(run.clone()),
            ..Journal::new_run()
        };
        let undo = journal.record(undo).await;
        finish(&undo, ending).await;
        assert_eq!(status(&journal, &run).await, expected, "after {ending:?}");
        let again = journal.store().acquire(&run, Journal::holder()).await;
        assert!(
            matches!(again, Err(AcquireError::Ended { status, .. }) if status == expected),
            "its record no longer says what is there"
        );
    }
}

#[tokio::test]
async fn a_living_holder_keeps_others_out() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let _lease = journal.acquire(&run).await;
    let elsewhere = Store::open(journal.path()).unwrap();
    let Err(error) = elsewhere.acquire(&run, Journal::holder()).await else {
        panic!("two processes hold one run");
    };
    assert!(matches!(error, AcquireError::Held { .. }));
    let text = error.to_string();
    assert!(text.contains("ana@contoso.com (process "), "{text}");
    assert!(text.contains(&run), "{text}");
}

#[tokio::test]
async fn a_run_and_its_undos_are_advanced_by_one_process_at_a_time() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let undo = || NewRun {
        mode: Mode::Undo,
        parent: Some(run.clone()),
        ..Journal::new_run()
    };
    let elsewhere = Store::open(journal.path()).unwrap();
    let held = |refused: Result<crate::Lease, AcquireError>, by: &str| {
        assert!(
            matches!(&refused, Err(AcquireError::Held { run, .. }) if run == by),
            "{:?}",
            refused.err()
        );
    };

    let running = journal.acquire(&run).await;
    held(elsewhere.begin(undo(), Journal::holder()).await, &run);
    assert!(elsewhere.at_rest(&run).await.is_err());
    assert_eq!(
        elsewhere
            .runs(RunFilter::default())
            .await
            .unwrap()
            .runs
            .len(),
        1
    );
    drop(running);
    journal
        .store()
        .begin(Journal::new_run(), Journal::holder())
        .await
        .unwrap();
    journal.store().at_rest(&run).await.unwrap();

    let undoing = journal
        .store()
        .begin(undo(), Journal::holder())
        .await
        .unwrap();
    let first = undoing.run_id().to_owned();
    held(elsewhere.acquire(&run, Journal::holder()).await, &first);
    held(elsewhere.begin(undo(), Journal::holder()).await, &first);
    undoing
        .finish(Ending::Cancelled, Value::Null)
        .await
        .unwrap();
    let second = journal
        .store()
        .begin(undo(), Journal::holder())
        .await
        .unwrap();
    held(
        elsewhere.acquire(&first, Journal::holder()).await,
        second.run_id(),
    );
}

#[tokio::test]
async fn a_run_whose_undo_began_is_not_gone_on_with() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let undo = journal
        .record(NewRun {
            mode: Mode::Undo,
            parent: Some(run.clone()),
            ..Journal::new_run()
        })
        .await;
    let Err(error) = journal.store().acquire(&run, Journal::holder()).await else {
        panic!("its record no longer says what is there");
    };
    assert!(matches!(error, AcquireError::TakenBack { .. }));
    assert!(
        error.to_string().contains(&format!("go on with {undo}")),
        "{error}"
    );
    journal.acquire(&undo).await;
}

#[tokio::test]
async fn a_killed_run_is_interrupted_and_can_be_taken() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let old = journal.acquire(&run).await;
    let mut stale = old.invocation("");
    put(&mut stale, "a", Edge::Durable, json!(1)).await.unwrap();
    journal.kill_holder(&run);
    assert_eq!(status(&journal, &run).await, Status::Interrupted);

    let elsewhere = Store::open(journal.path()).unwrap();
    let new = elsewhere.acquire(&run, Journal::holder()).await.unwrap();
    let fault = put(&mut stale, "b", Edge::Durable, json!(2))
        .await
        .unwrap_err();
    assert!(matches!(fault, Fault::Fenced { .. }), "{fault}");
    assert!(matches!(old.beat().await, Err(Fault::Fenced { .. })));
    drop(old);
    assert_eq!(status(&journal, &run).await, Status::Running);

    let mut invocation = new.invocation("");
    let recorded = put(&mut invocation, "a", Edge::Durable, json!(3))
        .await
        .unwrap();
    assert_eq!((recorded.value, recorded.replayed), (json!(1), true));
    new.finish(Ending::Succeeded, Value::Null).await.unwrap();
    let fault = put(&mut invocation, "b", Edge::Durable, json!(4))
        .await
        .unwrap_err();
    assert!(matches!(fault, Fault::Fenced { .. }), "{fault}");
    elsewhere.verify(None).await.unwrap();
}

#[tokio::test]
async fn of_many_that_resume_a_run_one_wins() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let stores: Vec<_> = (0..4)
        .map(|_| Store::open(journal.path()).unwrap())
        .collect();
    let attempts = stores
        .iter()
        .map(|store| store.acquire(&run, Journal::holder()));
    let attempts = futures::future::join_all(attempts).await;
    let won = attempts.iter().filter(|attempt| attempt.is_ok()).count();
    assert_eq!(won, 1);
    for lost in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        assert!(matches!(lost, AcquireError::Held { .. }), "{lost}");
    }
}

#[tokio::test]
async fn the_latest_invocation_of_a_step_wins() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut first = lease.invocation("x#1");
    put(&mut first, "a", Edge::Cheap, json!(1)).await.unwrap();
    let mut second = lease.invocation("x#1");
    let fault = put(&mut first, "b", Edge::Durable, json!(2))
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("started again"), "{fault}");
    assert!(
        put(&mut second, "a", Edge::Cheap, json!(3))
            .await
            .unwrap()
            .replayed
    );
}

#[tokio::test]
async fn runs_are_found_by_prefix_and_filter() {
    let journal = Journal::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(journal.begin().await);
    }
    let other = NewRun {
        workflow: "other".into(),
        ..Journal::new_run()
    };
    let other = journal.record(other).await;
    let raw = journal.raw();
    for (id, name) in ids.iter().zip(["7Q2K", "7Q3M", "0AAA"]) {
        raw.execute("UPDATE runs SET id = ?2 WHERE id = ?1", [id.as_str(), name])
            .unwrap();
    }
    let ambiguous = journal.store().history("7q").await.unwrap_err();
    let LookupError::Ambiguous { candidates, .. } = ambiguous else {
        panic!("{ambiguous}");
    };
    assert_eq!(candidates, ["7Q2K", "7Q3M"]);
    for unknown in ["", "9", "7Q2KX", "%"] {
        let missing = journal.store().run(unknown).await;
        assert!(
            matches!(missing, Err(LookupError::Unknown { .. })),
            "{unknown}"
        );
    }
    let found = journal
        .store()
        .run(&other[..3].to_lowercase())
        .await
        .unwrap();
    assert_eq!(found.summary.id, other);

    let filter = RunFilter {
        workflow: Some("other".into()),
        status: Some(Status::Interrupted),
        limit: Some(5),
    };
    let list = journal.store().runs(filter).await.unwrap();
    assert_eq!(list.runs.len(), 1);
    assert_eq!(list.runs[0].id, other);
    assert_eq!(
        list.damaged.len(),
        3,
        "their ids were changed behind the journal's back"
    );
}

#[tokio::test]
async fn sealed_secrets_are_kept_and_destroyed() {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let sealed = b"sealed: not-a-real-secret".to_vec();
    lease.seal_put("register#1/4", vec![1]).await.unwrap();
    lease
        .seal_put("register#1/4", sealed.clone())
        .await
        .unwrap();
    assert_eq!(
        lease.seal_get("register#1/4").await.unwrap(),
        Some(sealed.clone())
    );
    assert_eq!(lease.seal_get("other").await.unwrap(), None);
    assert_eq!(journal.store().seal_destroy(&run).await.unwrap(), 1);
    assert_eq!(lease.seal_get("register#1/4").await.unwrap(), None);
}
