//! [`Durable`] in memory, for plans and tests: it forgets when it is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::durable::{Durable, Entry, Recorded, STEP_ENDED, Started, step_started};
use crate::error::Fault;

/// Runs in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    runs: Arc<Mutex<HashMap<String, Record>>>,
}

#[derive(Debug, Default)]
struct Record {
    tracks: HashMap<String, Vec<Past>>,
    /// How many invocations there were: of each address only the latest may go on, and none that
    /// is older than the latest of the run itself.
    made: u64,
    latest: HashMap<String, u64>,
}

#[derive(Clone, Debug)]
struct Past {
    kind: String,
    fingerprint: String,
    value: Value,
}

impl Memory {
    /// The invocation of the run `run` itself, new or from its record. All earlier invocations of
    /// the run and its steps are fenced, as those of a killed process are.
    pub fn invocation(&self, run: &str) -> impl Durable + use<> {
        self.make(run, "")
    }

    /// What is recorded for `address`, as kind, fingerprint and value.
    pub fn recorded(&self, run: &str, address: &str) -> Vec<(String, String, Value)> {
        self.with(run, |record| {
            let past = record.tracks.get(address).into_iter().flatten().cloned();
            past.map(|past| (past.kind, past.fingerprint, past.value))
                .collect()
        })
    }

    fn make(&self, run: &str, address: &str) -> Invocation {
        let number = self.with(run, |record| {
            record.made += 1;
            record.latest.insert(address.to_owned(), record.made);
            record.made
        });
        Invocation {
            memory: self.clone(),
            run: run.to_owned(),
            address: address.to_owned(),
            number,
            done: 0,
        }
    }

    fn with<T>(&self, run: &str, use_record: impl FnOnce(&mut Record) -> T) -> T {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        use_record(runs.entry(run.to_owned()).or_default())
    }
}

struct Invocation {
    memory: Memory,
    run: String,
    address: String,
    number: u64,
    done: usize,
}

impl Invocation {
    fn past(&self) -> Result<Option<Past>, Fault> {
        self.memory.with(&self.run, |record| {
            let latest = |address: &str| record.latest.get(address).copied().unwrap_or_default();
            if latest("") > self.number || latest(&self.address) > self.number {
                return Err(Fault::Fenced {
                    run: self.run.clone(),
                    holder: "a newer invocation".to_owned(),
                });
            }
            let track = record.tracks.get(&self.address);
            Ok(track.and_then(|past| past.get(self.done)).cloned())
        })
    }
}

#[async_trait]
impl Durable for Invocation {
    fn run_id(&self) -> &str {
        &self.run
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn rewind(&mut self) {
        self.done = 0;
    }

    async fn effect<'a>(
        &mut self,
        entry: Entry<'a>,
        effect: BoxFuture<'a, Result<Value, Fault>>,
    ) -> Result<Recorded, Fault> {
        if let Some(past) = self.past()? {
            if past.kind != entry.kind || past.fingerprint != entry.fingerprint {
                return Err(Fault::Diverged {
                    run: self.run.clone(),
                    address: self.address.clone(),
                    position: self.done as u64 + 1,
                    recorded: format!("{} {}", past.kind, past.fingerprint),
                    asked: format!("{} {}", entry.kind, entry.fingerprint),
                });
            }
            self.done += 1;
            return Ok(Recorded {
                value: past.value,
                replayed: true,
            });
        }
        let value = effect.await?;
        self.past()?;
        self.memory.with(&self.run, |record| {
            let track = record.tracks.entry(self.address.clone()).or_default();
            track.push(Past {
                kind: entry.kind.to_owned(),
                fingerprint: entry.fingerprint.to_owned(),
                value: value.clone(),
            });
        });
        self.done += 1;
        Ok(Recorded {
            value,
            replayed: false,
        })
    }

    async fn start_step(&mut self, address: &str) -> Result<Started, Fault> {
        let ready = Box::pin(async { Ok(Value::Null) });
        self.effect(step_started(address), ready).await?;
        let ended = self.memory.with(&self.run, |record| {
            let past = record.tracks.get(&self.address).into_iter().flatten();
            past.skip(self.done).any(|past| {
                past.kind == STEP_ENDED && past.value.get("address") == Some(&address.into())
            })
        });
        Ok(if ended {
            Started::Finished
        } else {
            Started::Open(Box::new(self.memory.make(&self.run, address)))
        })
    }
}
