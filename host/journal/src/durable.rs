//! The one trait through which runs and steps reach their durable record.
//!
//! An *invocation* is a run, or one attempt of one step. It records a sequence of entries; the n-th
//! entry has position n. When the program is started again after a crash, the same code asks for
//! the same entries in the same order and is answered from the record, until it reaches the first
//! position that is not recorded: from there on it is live.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Fault;

const SLEEP: &str = "sleep";
const STEP_STARTED: &str = "step.started";
pub(crate) const STEP_ENDED: &str = "step.ended";

/// One invocation. `&mut self` means one durable operation at a time, checked by the compiler;
/// what runs at once runs as steps.
///
/// Every method may be dropped at any await: the operation has then happened or not, and asking
/// again at the same position tells which. What is recorded never holds a secret.
///
/// [`sleep`](Durable::sleep) and [`next_step`](Durable::next_step) are built on effects; an engine
/// that has timers and children of its own does them otherwise.
#[async_trait]
pub trait Durable: Send {
    /// The run's id.
    fn run_id(&self) -> &str;

    /// Which step and attempt this is, such as `register#1`; empty for the run itself.
    fn address(&self) -> &str;

    /// Goes back to the first position, as after a restart: what is recorded is answered from the
    /// record again. A caller that unloads its code while it waits does this before it runs it anew.
    fn rewind(&mut self);

    /// Answers from the record if this position is recorded; else awaits `effect`, records its
    /// value and returns it. A recorded `effect` is dropped without being polled.
    ///
    /// An effect that ends in a fault records nothing, so that it runs again at the next attempt;
    /// what a service refused is therefore a value, not a fault.
    ///
    /// An intent is an effect that is ready at once, recorded with [`Edge::Durable`] before the
    /// request is sent. If the intent comes back `replayed` and the effect after it is polled,
    /// then an earlier process may or may not have sent the request.
    async fn effect<'a>(
        &mut self,
        entry: Entry<'a>,
        effect: BoxFuture<'a, Result<Value, Fault>>,
    ) -> Result<Recorded, Fault>;

    /// Records when a wait of `length` ends, once. It does not wait: the caller does, until the
    /// time it is given, which is the same time after a restart.
    async fn sleep(&mut self, length: Duration) -> Result<Slept, Fault> {
        let fingerprint = format!("{} ms", length.as_millis());
        let entry = Entry {
            kind: SLEEP,
            fingerprint: &fingerprint,
            edge: Edge::Cheap,
            facts: Value::Null,
        };
        let effect = async move {
            let due = time::Duration::try_from(length)
                .ok()
                .and_then(|length| OffsetDateTime::now_utc().checked_add(length));
            due.and_then(|due| due.format(&Rfc3339).ok())
                .map(Value::from)
                .ok_or_else(|| Fault::Stopped(format!("{length:?} is too long to sleep")))
        };
        let recorded = self.effect(entry, Box::pin(effect)).await?;
        let due = recorded.value.as_str().unwrap_or_default();
        let due = OffsetDateTime::parse(due, &Rfc3339)
            .map_err(|_| Fault::Stopped(format!("the recorded time `{due}` cannot be read")))?;
        Ok(if due <= OffsetDateTime::now_utc() {
            Slept::Done
        } else {
            Slept::Until(due)
        })
    }

    /// Records that the step attempt at `address` is started, and gives its invocation.
    /// [`Started::Finished`] if its end is already recorded: nothing has to run, and
    /// [`next_step`](Durable::next_step) will deliver its outcome in the recorded order.
    async fn start_step(&mut self, address: &str) -> Result<Started, Fault>;

    /// Which of the started steps finishes next: from the record, or else `completion`, the first
    /// of the caller's running tasks to end. The order is recorded before it is returned, so that
    /// a replay sees the steps end in the same order. A fault in `completion` records nothing.
    async fn next_step<'a>(
        &mut self,
        completion: BoxFuture<'a, Result<StepEnd, Fault>>,
    ) -> Result<Finished, Fault> {
        // Which step it will be is not known when it is asked, so the fingerprint cannot say it.
        let entry = Entry {
            kind: STEP_ENDED,
            fingerprint: "next",
            edge: Edge::Cheap,
            facts: Value::Null,
        };
        let effect = async move {
            let end = completion.await?;
            Ok(json!({ "address": end.address, "outcome": end.outcome }))
        };
        let mut recorded = self.effect(entry, Box::pin(effect)).await?;
        let address = recorded.value.get("address").and_then(Value::as_str);
        let address = address.unwrap_or_default().to_owned();
        let outcome = recorded.value.get_mut("outcome").map(Value::take);
        Ok(Finished {
            end: StepEnd {
                address,
                outcome: outcome.unwrap_or_default(),
            },
            replayed: recorded.replayed,
        })
    }
}

/// What is about to be recorded.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What sort of entry it is, for people and filters: `intent`, `outcome`, `clock`, `random`.
    pub kind: &'a str,
    /// What is asked, so that a replay can tell whether it asks the same: operation, target and a
    /// digest of the arguments, readable by people.
    pub fingerprint: &'a str,
    /// When the entry has to be on disk.
    pub edge: Edge,
    /// What people and audit read of it, redacted: effect class, mark, arguments with a digest.
    /// A replay does not compare facts.
    pub facts: Value,
}

/// The entry that says that a step attempt is started.
pub(crate) fn step_started(address: &str) -> Entry<'_> {
    Entry {
        kind: STEP_STARTED,
        fingerprint: address,
        edge: Edge::Cheap,
        facts: Value::Null,
    }
}

/// When an entry has to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Before the operation returns, past the loss of power. For intents, and for outcomes that
    /// cannot be looked up again.
    Durable,
    /// In its place before every later entry, and on disk with the next durable one. The
    /// operation does not wait for it, so that what nothing durable followed may be lost with the
    /// process; a failure to record it is the next durable operation's.
    Cheap,
}

/// The answer to [`Durable::effect`].
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What the effect gave.
    pub value: Value,
    /// Whether it came from the record, that is, from an earlier process.
    pub replayed: bool,
}

/// The answer to [`Durable::sleep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// The time is past.
    Done,
    /// The caller has to wait until then (UTC).
    Until(OffsetDateTime),
}

/// The answer to [`Durable::start_step`].
pub enum Started {
    /// The step attempt has to run, with this invocation.
    Open(Box<dyn Durable>),
    /// Its end is recorded.
    Finished,
}

/// How one step attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnd {
    /// Which step and attempt, as given to [`Durable::start_step`].
    pub address: String,
    /// Its outputs or its error, in the caller's form.
    pub outcome: Value,
}

/// The answer to [`Durable::next_step`].
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Which step attempt ended, and how.
    pub end: StepEnd,
    /// Whether it came from the record.
    pub replayed: bool,
}
