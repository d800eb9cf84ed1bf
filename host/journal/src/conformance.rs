//! What every [`Durable`] has to do, as tests that any implementation can be put to.

#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests: they fail by panicking"
)]

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Durable, Edge, Entry, Fault, Recorded, Slept, Started, StepEnd};

/// An implementation under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Begins a new run and gives its id.
    async fn begin(&self) -> String;

    /// The invocation of the run itself, in a new process: whatever had the run before is killed,
    /// or is fenced from here on.
    async fn enter(&self, run: &str) -> Box<dyn Durable>;
}

/// All laws.
pub async fn all(subject: &dyn Subject) {
    what_is_recorded_happens_once(subject).await;
    every_boundary_can_be_the_last(subject).await;
    an_intent_tells_a_repeat(subject).await;
    a_divergence_names_both_and_does_nothing(subject).await;
    a_fault_records_nothing(subject).await;
    a_dropped_operation_has_happened_or_not(subject).await;
    the_newest_process_wins(subject).await;
    a_value_is_the_same_live_and_replayed(subject).await;
    a_sleep_ends_when_it_was_to_end(subject).await;
    steps_end_in_the_recorded_order(subject).await;
    runs_and_steps_are_apart(subject).await;
    a_rewound_invocation_answers_from_its_record(subject).await;
}

/// Going back to the first position does nothing again.
pub async fn a_rewound_invocation_answers_from_its_record(subject: &dyn Subject) {
    let log = Mutex::new(Vec::new());
    let run = subject.begin().await;
    let mut invocation = subject.enter(&run).await;
    for round in 0..3 {
        let first = logged(&mut *invocation, &log, "first").await.unwrap();
        assert_eq!(first.replayed, round > 0);
        logged(&mut *invocation, &log, "second").await.unwrap();
        invocation.rewind();
    }
    assert_eq!(log.lock().unwrap().len(), 2, "each happens once");
}

fn entry(fingerprint: &str) -> Entry<'_> {
    Entry {
        kind: "outcome",
        fingerprint,
        edge: Edge::Cheap,
        facts: json!({ "class": "read" }),
    }
}

/// An effect that counts in `log` how often it happens.
async fn logged(
    invocation: &mut dyn Durable,
    log: &Mutex<Vec<String>>,
    what: &str,
) -> Result<Recorded, Fault> {
    let effect = async {
        log.lock().unwrap().push(what.to_owned());
        Ok(json!({ "did": what }))
    };
    invocation.effect(entry(what), Box::pin(effect)).await
}

/// An effect is polled once, and answered from the record ever after.
pub async fn what_is_recorded_happens_once(subject: &dyn Subject) {
    let run = subject.begin().await;
    let log = Mutex::new(Vec::new());
    for round in 0..3 {
        let mut invocation = subject.enter(&run).await;
        assert_eq!(invocation.run_id(), run);
        assert_eq!(invocation.address(), "");
        for what in ["a", "b", "b"] {
            let recorded = logged(&mut *invocation, &log, what).await.unwrap();
            assert_eq!(recorded.value, json!({ "did": what }));
            assert_eq!(recorded.replayed, round > 0);
        }
    }
    assert_eq!(*log.lock().unwrap(), ["a", "b", "b"]);
}

/// A small workflow of two steps, stopped by a fault once `budget` effects have happened.
async fn workflow(
    invocation: &mut dyn Durable,
    log: &Mutex<Vec<String>>,
    budget: usize,
) -> Result<Vec<Value>, Fault> {
    let mut seen = Vec::new();
    let budgeted = async |invocation: &mut dyn Durable, what: String| {
        let effect = async {
            let mut log = log.lock().unwrap();
            if log.len() >= budget {
                return Err(Fault::Cancelled);
            }
            log.push(what.clone());
            Ok(json!(what))
        };
        let recorded = invocation.effect(entry(&what), Box::pin(effect)).await;
        recorded.map(|recorded| recorded.value)
    };
    seen.push(budgeted(invocation, "first".to_owned()).await?);
    let mut open = Vec::new();
    for address in ["x#1", "y#1"] {
        if let Started::Open(step) = invocation.start_step(address).await? {
            open.push(step);
        }
    }
    for _ in 0..2 {
        let completion = async {
            let mut step = open.pop().unwrap();
            let mut sum = Vec::new();
            for part in 0..3 {
                let what = format!("{} {part}", step.address());
                sum.push(budgeted(&mut *step, what).await?);
            }
            Ok(StepEnd {
                address: step.address().to_owned(),
                outcome: json!(sum),
            })
        };
        let finished = invocation.next_step(Box::pin(completion)).await?;
        seen.push(json!([finished.end.address, finished.end.outcome]));
    }
    seen.push(budgeted(invocation, "last".to_owned()).await?);
    Ok(seen)
}

/// Killed after any number of effects, a run ends as one that was never killed.
pub async fn every_boundary_can_be_the_last(subject: &dyn Subject) {
    let run = subject.begin().await;
    let log = Mutex::new(Vec::new());
    let mut invocation = subject.enter(&run).await;
    let whole = workflow(&mut *invocation, &log, usize::MAX).await.unwrap();
    let effects = log.lock().unwrap().clone();
    assert_eq!(effects.len(), 8);
    for first in 0..effects.len() {
        for second in first..effects.len() {
            let run = subject.begin().await;
            let log = Mutex::new(Vec::new());
            for budget in [first, second] {
                let mut invocation = subject.enter(&run).await;
                let cut = workflow(&mut *invocation, &log, budget).await;
                assert!(matches!(cut, Err(Fault::Cancelled)), "{cut:?}");
            }
            let mut invocation = subject.enter(&run).await;
            let seen = workflow(&mut *invocation, &log, usize::MAX).await.unwrap();
            assert_eq!(seen, whole);
            assert_eq!(*log.lock().unwrap(), effects, "each effect happened once");
        }
    }
}

/// A process that was killed between intent and outcome leaves an intent that says so.
pub async fn an_intent_tells_a_repeat(subject: &dyn Subject) {
    let run = subject.begin().await;
    let intent = || Entry {
        kind: "intent",
        edge: Edge::Durable,
        ..entry("entra/applications.create")
    };
    let ready = || Box::pin(async { Ok(Value::Null) });
    let mut invocation = subject.enter(&run).await;
    let first = invocation.effect(intent(), ready()).await.unwrap();
    assert!(!first.replayed);
    let sent = Box::pin(async { Err(Fault::Stopped("killed after the request".into())) });
    let outcome = invocation.effect(entry("outcome"), sent).await;
    assert!(outcome.is_err());
    let mut invocation = subject.enter(&run).await;
    let second = invocation.effect(intent(), ready()).await.unwrap();
    assert!(second.replayed);
    let looked_up = Box::pin(async { Ok(json!("adopted")) });
    let outcome = invocation.effect(entry("outcome"), looked_up).await;
    assert!(!outcome.unwrap().replayed);
}

/// Asking something else than was recorded is a fault that names both, again and again.
pub async fn a_divergence_names_both_and_does_nothing(subject: &dyn Subject) {
    let run = subject.begin().await;
    let log = Mutex::new(Vec::new());
    let mut invocation = subject.enter(&run).await;
    logged(&mut *invocation, &log, "a").await.unwrap();
    logged(&mut *invocation, &log, "b").await.unwrap();
    for _ in 0..2 {
        let mut invocation = subject.enter(&run).await;
        logged(&mut *invocation, &log, "a").await.unwrap();
        let fault = logged(&mut *invocation, &log, "c").await.unwrap_err();
        let Fault::Diverged {
            position,
            recorded,
            asked,
            ..
        } = fault
        else {
            panic!("{fault}");
        };
        assert_eq!(position, 2);
        assert_eq!(
            (recorded.as_str(), asked.as_str()),
            ("outcome b", "outcome c")
        );
    }
    assert_eq!(*log.lock().unwrap(), ["a", "b"]);
}

/// An effect that ends in a fault runs again, in this process or the next.
pub async fn a_fault_records_nothing(subject: &dyn Subject) {
    let run = subject.begin().await;
    let log = Mutex::new(Vec::new());
    let mut invocation = subject.enter(&run).await;
    for _ in 0..2 {
        let fails = Box::pin(async { Err(Fault::Stopped("not now".into())) });
        let fault = invocation.effect(entry("a"), fails).await.unwrap_err();
        assert!(matches!(fault, Fault::Stopped(_)), "{fault}");
    }
    assert!(!logged(&mut *invocation, &log, "a").await.unwrap().replayed);
    let mut invocation = subject.enter(&run).await;
    assert!(logged(&mut *invocation, &log, "a").await.unwrap().replayed);
}

/// An operation can be dropped at any await. The same invocation can then go on.
pub async fn a_dropped_operation_has_happened_or_not(subject: &dyn Subject) {
    for polls in 0..4 {
        let run = subject.begin().await;
        let log = Mutex::new(Vec::new());
        let mut invocation = subject.enter(&run).await;
        logged(&mut *invocation, &log, "a").await.unwrap();
        {
            let mut operation = pin!(logged(&mut *invocation, &log, "b"));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if let Poll::Ready(recorded) = operation.as_mut().poll(&mut context) {
                    recorded.unwrap();
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let happened = log.lock().unwrap().len() > 1;
        let mut invocation = subject.enter(&run).await;
        logged(&mut *invocation, &log, "a").await.unwrap();
        let recorded = logged(&mut *invocation, &log, "b").await.unwrap();
        assert!(happened || !recorded.replayed);
        let times = log
            .lock()
            .unwrap()
            .iter()
            .filter(|what| *what == "b")
            .count();
        assert_eq!(times, 1 + usize::from(happened && !recorded.replayed));
    }
    let run = subject.begin().await;
    let mut invocation = subject.enter(&run).await;
    for _ in 0..2 {
        let never = invocation.effect(entry("a"), Box::pin(std::future::pending()));
        let timeout = tokio::time::timeout(Duration::from_millis(5), never).await;
        assert!(timeout.is_err());
    }
    let log = Mutex::new(Vec::new());
    assert!(!logged(&mut *invocation, &log, "a").await.unwrap().replayed);
}

/// Of two processes that advance one run, only the later one can record.
pub async fn the_newest_process_wins(subject: &dyn Subject) {
    let run = subject.begin().await;
    let log = Mutex::new(Vec::new());
    let mut older = subject.enter(&run).await;
    logged(&mut *older, &log, "a").await.unwrap();
    let Started::Open(mut older_step) = older.start_step("x#1").await.unwrap() else {
        panic!("the step has not ended");
    };
    let mut newer = subject.enter(&run).await;
    for fenced in [&mut older, &mut older_step] {
        // Nobody may wait for a cheap one, but the durable one after it cannot be had.
        let _ = logged(&mut **fenced, &log, "b").await;
        let durable = Entry {
            edge: Edge::Durable,
            ..entry("c")
        };
        let effect = Box::pin(async { Ok(Value::Null) });
        let fault = fenced.effect(durable, effect).await.unwrap_err();
        assert!(matches!(fault, Fault::Fenced { .. }), "{fault}");
    }
    assert!(logged(&mut *newer, &log, "a").await.unwrap().replayed);
    let Started::Open(mut newer_step) = newer.start_step("x#1").await.unwrap() else {
        panic!("the step has not ended");
    };
    for own in [&mut newer, &mut newer_step] {
        let b = logged(&mut **own, &log, "b").await.unwrap();
        assert!(!b.replayed, "the older process recorded nothing more");
    }
}

/// What an effect gives is, bit by bit and in the same order, what a replay gives.
pub async fn a_value_is_the_same_live_and_replayed(subject: &dyn Subject) {
    let run = subject.begin().await;
    let value = json!({
        "z": [0.1 + 0.2, 1.0e300, 5e-324, -0.0, 2.225_073_858_507_201e-308],
        "a": { "y": u64::MAX, "x": i64::MIN, "\u{1f600}": "\u{0}\u{7f}\n\"\\", "\u{ff}": null },
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut invocation = subject.enter(&run).await;
        let value = value.clone();
        let effect = Box::pin(async { Ok(value) });
        let recorded = invocation.effect(entry("a"), effect).await.unwrap();
        seen.push(recorded.value.to_string());
    }
    assert_eq!(seen.first(), seen.last());
}

/// The end of a wait is recorded once.
pub async fn a_sleep_ends_when_it_was_to_end(subject: &dyn Subject) {
    let run = subject.begin().await;
    let hour = Duration::from_hours(1);
    let before = OffsetDateTime::now_utc();
    let mut invocation = subject.enter(&run).await;
    let first = invocation.sleep(hour).await.unwrap();
    let Slept::Until(due) = first else {
        panic!("an hour is past at once");
    };
    assert!(due >= before + hour && due <= OffsetDateTime::now_utc() + hour);
    assert_eq!(invocation.sleep(Duration::ZERO).await.unwrap(), Slept::Done);
    let mut invocation = subject.enter(&run).await;
    assert_eq!(invocation.sleep(hour).await.unwrap(), first);
    let fault = invocation.sleep(hour).await.unwrap_err();
    assert!(matches!(fault, Fault::Diverged { .. }), "{fault}");
}

/// Steps that ended are not open again, and end in the recorded order.
pub async fn steps_end_in_the_recorded_order(subject: &dyn Subject) {
    let run = subject.begin().await;
    let mut invocation = subject.enter(&run).await;
    for address in ["x#1", "y#1", "z#1"] {
        let started = invocation.start_step(address).await.unwrap();
        assert!(matches!(started, Started::Open(step) if step.address() == address));
    }
    for address in ["z#1", "x#1"] {
        let end = StepEnd {
            address: address.to_owned(),
            outcome: json!({ "of": address }),
        };
        let completion = Box::pin(async { Ok(end) });
        let finished = invocation.next_step(completion).await.unwrap();
        assert_eq!(finished.end.address, address);
        assert!(!finished.replayed);
    }
    let mut invocation = subject.enter(&run).await;
    for address in ["x#1", "y#1", "z#1"] {
        let started = invocation.start_step(address).await.unwrap();
        assert_eq!(matches!(started, Started::Open(_)), address == "y#1");
    }
    for address in ["z#1", "x#1"] {
        let completion = Box::pin(std::future::pending());
        let finished = invocation.next_step(completion).await.unwrap();
        assert_eq!(finished.end.address, address);
        assert_eq!(finished.end.outcome, json!({ "of": address }));
        assert!(finished.replayed);
    }
    let fault = Box::pin(async { Err(Fault::Cancelled) });
    let cancelled = invocation.next_step(fault).await;
    assert!(matches!(cancelled, Err(Fault::Cancelled)));
}

/// Invocations have positions of their own.
pub async fn runs_and_steps_are_apart(subject: &dyn Subject) {
    let log = Mutex::new(Vec::new());
    let mut runs = Vec::new();
    for _ in 0..2 {
        let run = subject.begin().await;
        for _ in 0..2 {
            let mut invocation = subject.enter(&run).await;
            for address in ["x#1", "x#2"] {
                let Started::Open(mut step) = invocation.start_step(address).await.unwrap() else {
                    panic!("the step has not ended");
                };
                assert_eq!(step.run_id(), run);
                logged(&mut *step, &log, address).await.unwrap();
            }
        }
        runs.push(run);
    }
    assert_ne!(runs.first(), runs.last());
    assert_eq!(*log.lock().unwrap(), ["x#1", "x#2", "x#1", "x#2"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::testing::Journal;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct InMemory {
        memory: Memory,
        runs: AtomicU32,
    }

    #[async_trait]
    impl Subject for InMemory {
        async fn begin(&self) -> String {
            self.runs.fetch_add(1, Ordering::Relaxed).to_string()
        }

        async fn enter(&self, run: &str) -> Box<dyn Durable> {
            Box::new(self.memory.invocation(run))
        }
    }

    #[tokio::test]
    async fn in_memory() {
        all(&InMemory::default()).await;
    }

    /// Every entry to a run is by another process, as far as the file can tell.
    struct OnDisk {
        journal: Journal,
        leases: Mutex<Vec<crate::Lease>>,
    }

    #[async_trait]
    impl Subject for OnDisk {
        async fn begin(&self) -> String {
            self.journal.begin().await
        }

        async fn enter(&self, run: &str) -> Box<dyn Durable> {
            self.journal.kill_holder(run);
            let lease = self.journal.store().acquire(run, Journal::holder()).await;
            let lease = lease.unwrap();
            let invocation = lease.invocation("");
            self.leases.lock().unwrap().push(lease);
            Box::new(invocation)
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_disk() {
        let subject = OnDisk {
            journal: Journal::new(),
            leases: Mutex::default(),
        };
        all(&subject).await;
        subject.journal.store().verify(None).await.unwrap();
    }
}
