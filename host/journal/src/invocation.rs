//! [`Durable`] on the journal file.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use rusqlite::Connection;
use serde_json::Value;

use crate::chain::canonical;
use crate::durable::{Durable, Edge, Entry, Recorded, STEP_ENDED, Started, step_started};
use crate::error::Fault;
use crate::lease::{Past, Shared};
use crate::rows::{self, Append, Head};

pub(crate) struct Invocation {
    shared: Arc<Shared>,
    address: String,
    /// How many invocations of this address there were when this one was made.
    generation: u64,
    /// How many operations are done.
    done: u64,
    /// Whether the record is known to hold all that it may answer from. It is not when an
    /// invocation follows another of its address or goes back, nor after an operation was dropped
    /// half-way: what was queued may be waiting then.
    settled: bool,
}

impl Invocation {
    pub(crate) fn new(shared: Arc<Shared>, address: &str) -> Self {
        let generation = {
            let mut recording = shared.recording();
            let track = recording.track(address);
            track.latest += 1;
            track.latest
        };
        Self {
            shared,
            address: address.to_owned(),
            generation,
            done: 0,
            settled: generation == 1,
        }
    }

    /// What is recorded at the next position, if anything; it has to be what is asked.
    async fn replay(&mut self, kind: &str, fingerprint: &str) -> Result<Option<Value>, Fault> {
        if !self.settled {
            // The writer takes tasks in order, so what was queued before is done after this.
            self.shared
                .write("read a run's record", Edge::Cheap, |_, _| Ok(Ok(())))
                .await?;
        }
        let past = {
            let mut recording = self.shared.recording();
            let index = usize::try_from(self.done).unwrap_or(usize::MAX);
            recording.track(&self.address).past.get(index).cloned()
        };
        let Some(past) = past else {
            self.settled = false;
            return Ok(None);
        };
        if past.kind != kind || past.fingerprint != fingerprint {
            return Err(Fault::Diverged {
                run: self.shared.run.clone(),
                address: self.address.clone(),
                position: self.done + 1,
                recorded: format!("{} {}", past.kind, past.fingerprint),
                asked: format!("{kind} {fingerprint}"),
            });
        }
        self.settled = true;
        self.done += 1;
        Ok(Some(past.value))
    }

    /// Records `value` at the next position and gives it as a replay would give it.
    async fn record(&mut self, entry: &Entry<'_>, value: &Value) -> Result<Value, Fault> {
        // Asked now and not when it is written: what the latest invocation answers from holds all
        // that was queued before it was made.
        if self.shared.recording().track(&self.address).latest != self.generation {
            return Err(Fault::Stopped(format!(
                "{} of run {} was started again meanwhile",
                self.address, self.shared.run
            )));
        }
        let text = canonical(value);
        // What is given now must be what a replay reads, to the last bit of a float.
        let value: Value = serde_json::from_str(&text).map_err(|error| {
            Fault::Stopped(format!("cannot record `{}`: {error}", entry.fingerprint))
        })?;
        let append = Append {
            address: self.address.clone(),
            position: Some(self.done + 1),
            kind: entry.kind.to_owned(),
            fingerprint: entry.fingerprint.to_owned(),
            facts: canonical(&entry.facts),
            value: text,
        };
        let past = Past {
            kind: entry.kind.to_owned(),
            fingerprint: entry.fingerprint.to_owned(),
            value: value.clone(),
        };
        let (shared, address) = (Arc::clone(&self.shared), self.address.clone());
        let append = move |connection: &Connection, head: &mut Head| {
            rows::append(connection, head, append)?;
            Ok(Ok(()))
        };
        let then = move |(): &()| shared.recording().track(&address).past.push(past);
        let what = "record an entry";
        match entry.edge {
            Edge::Durable => {
                self.shared
                    .write_then(what, entry.edge, append, then)
                    .await?;
            }
            Edge::Cheap => self.shared.queue(what, append, then),
        }
        self.done += 1;
        self.settled = true;
        Ok(value)
    }

    fn step_has_ended(&self, address: &str) -> bool {
        let mut recording = self.shared.recording();
        let past = &recording.track(&self.address).past;
        past.iter()
            .skip(usize::try_from(self.done).unwrap_or(usize::MAX))
            .any(|past| {
                past.kind == STEP_ENDED && past.value.get("address") == Some(&address.into())
            })
    }
}

#[async_trait]
impl Durable for Invocation {
    fn run_id(&self) -> &str {
        &self.shared.run
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn rewind(&mut self) {
        self.done = 0;
        self.settled = false;
    }

    async fn effect<'a>(
        &mut self,
        entry: Entry<'a>,
        effect: BoxFuture<'a, Result<Value, Fault>>,
    ) -> Result<Recorded, Fault> {
        if let Some(value) = self.replay(entry.kind, entry.fingerprint).await? {
            return Ok(Recorded {
                value,
                replayed: true,
            });
        }
        let value = effect.await?;
        Ok(Recorded {
            value: self.record(&entry, &value).await?,
            replayed: false,
        })
    }

    async fn start_step(&mut self, address: &str) -> Result<Started, Fault> {
        let ready = Box::pin(async { Ok(Value::Null) });
        self.effect(step_started(address), ready).await?;
        if self.step_has_ended(address) {
            return Ok(Started::Finished);
        }
        let child = Self::new(Arc::clone(&self.shared), address);
        Ok(Started::Open(Box::new(child)))
    }
}
