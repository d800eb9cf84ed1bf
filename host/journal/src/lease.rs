//! The right to advance one run, held by one process at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::durable::{Durable, Edge};
use crate::error::{AcquireError, Fault, StorageCause, StorageFault};
use crate::holder::{is_alive, now_ms};
use crate::invocation::Invocation;
use crate::model::{Ending, Holder, JournalEntry, NewRun, Status};
use crate::rows::{self, Append, Head};
use crate::store::{self, Store};
use crate::witness::Witness;
use crate::{id, lookup};

/// What work on the file gives, or the fault with which it is refused.
type Refusable<T> = rusqlite::Result<Result<T, Fault>>;

/// The right to advance a run, until it is dropped, the run ends, or another process takes over
/// because this one was not heard of for [`LEASE_TIMEOUT`](crate::LEASE_TIMEOUT). Its token is
/// checked with every entry, so a holder that was taken over cannot write any more.
pub struct Lease {
    pub(crate) shared: Arc<Shared>,
}

/// What a lease and its invocations have in common.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) run: String,
    number: i64,
    token: u64,
    recording: Mutex<Recording>,
}

/// What is recorded of each invocation, verified when the run was acquired and kept up to date by
/// the writer's thread.
#[derive(Default)]
pub(crate) struct Recording {
    tracks: HashMap<String, Track>,
}

/// One invocation's entries in the order of their positions.
#[derive(Default)]
pub(crate) struct Track {
    pub(crate) past: Vec<Past>,
    /// How many invocations of this address were made; only the latest may append.
    pub(crate) latest: u64,
}

/// A recorded entry as a replay needs it.
#[derive(Clone)]
pub(crate) struct Past {
    pub(crate) kind: String,
    pub(crate) fingerprint: String,
    pub(crate) value: Value,
}

impl Recording {
    fn new(entries: Vec<JournalEntry>) -> Self {
        let mut recording = Self::default();
        for entry in entries.into_iter().filter(|entry| entry.position.is_some()) {
            recording.track(&entry.address).past.push(Past {
                kind: entry.kind,
                fingerprint: entry.fingerprint,
                value: entry.value,
            });
        }
        recording
    }

    pub(crate) fn track(&mut self, address: &str) -> &mut Track {
        self.tracks.entry(address.to_owned()).or_default()
    }
}

impl Store {
    /// Records a new run durably, held by `holder` from the start. Its id is of 4 to 6 letters and
    /// digits and unique in this file. An undo is refused while another process advances the run
    /// that it takes back, or takes it back as well.
    pub async fn begin(&self, new: NewRun, holder: Holder) -> Result<Lease, AcquireError> {
        const WHAT: &str = "record a new run";
        let path = self.path().to_owned();
        let witness = Arc::clone(&self.inner.witness);
        let work = move |connection: &Connection| {
            if let Some(undoes) = new.undoes()
                && let Some(held) = held(connection, undoes)?
            {
                return Ok(Err(held));
            }
            let taken = |id: &str| rows::head_of(connection, id).map(|head| head.is_some());
            let Some(id) = id::fresh(taken)? else {
                return Ok(Err(StorageFault {
                    what: WHAT.to_owned(),
                    path,
                    said: "no free run id was found".to_owned(),
                    cause: StorageCause::Internal,
                }
                .into()));
            };
            let mut head = store::create(connection, &id, &new, witness.slots())?;
            hold(connection, &mut head, &holder)?;
            Ok(Ok(head))
        };
        let head = self.inner.writer.run(WHAT, Edge::Durable, work).await?;
        Ok(Lease::new(self, head, Recording::default()))
    }

    /// Refuses while a process advances the run with id `run`, or takes it back.
    pub async fn at_rest(&self, run: &str) -> Result<(), AcquireError> {
        let run = run.to_owned();
        self.flushed().await?;
        self.read("read who has a run", move |connection| {
            Ok(held(connection, &run)?.map_or(Ok(()), Err))
        })
        .await
    }

    /// Takes the run with id `run` for `holder`. The record is verified first: a damaged one is
    /// readable, but cannot be gone on with. A run that failed or was cancelled is open again.
    pub async fn acquire(&self, run: &str, holder: Holder) -> Result<Lease, AcquireError> {
        // A lease that was dropped here may still be waiting to be given up.
        self.flushed().await?;
        loop {
            let id = run.to_owned();
            let witness = Arc::clone(&self.inner.witness);
            let verified = self
                .read("read a run's record", move |connection| {
                    verified(connection, &id, &witness)
                })
                .await?;
            let (head_seq, entries) = verified;
            let (id, holder) = (run.to_owned(), holder.clone());
            let acquired = self
                .inner
                .writer
                .run("take a run", Edge::Cheap, move |connection| {
                    take(connection, &id, head_seq, &holder)
                })
                .await?;
            // Another process has added to the record since it was read: read it again.
            let Some(head) = acquired else {
                continue;
            };
            return Ok(Lease::new(self, head, Recording::new(entries)));
        }
    }
}

/// Why nobody else may advance `run` now: a living process advances it, or takes it back.
fn held(connection: &Connection, run: &str) -> rusqlite::Result<Option<AcquireError>> {
    let mut family = rows::family(connection, run)?.into_iter();
    Ok(family.find_map(|head| {
        let holder = head
            .holder
            .filter(|holder| is_alive(holder, head.heartbeat))?;
        let last_beat = head.heartbeat.unwrap_or_default();
        Some(AcquireError::Held {
            run: head.id,
            holder: Box::new(holder),
            heard_seconds_ago: (now_ms() - last_beat).max(0) / 1000,
        })
    }))
}

/// The run's row, if it is free to be taken.
fn free(connection: &Connection, run: &str) -> rusqlite::Result<Result<Head, AcquireError>> {
    let Some(head) = rows::head_of(connection, run)? else {
        return Ok(Err(AcquireError::Unknown {
            run: run.to_owned(),
        }));
    };
    if let Some(held) = held(connection, run)? {
        return Ok(Err(held));
    }
    let status = match lookup::undone(connection, run)? {
        Some(status) => Some(status),
        None => match lookup::ended(connection, &head)? {
            Ok(ended) => ended
                .map(|ended| Status::from(ended.ending))
                .filter(|status| *status == Status::Succeeded),
            Err(damage) => return Ok(Err(damage.into())),
        },
    };
    let run = run.to_owned();
    if let Some(status) = status {
        return Ok(Err(AcquireError::Ended { run, status }));
    }
    let undo = rows::undo_of(connection, &run)?;
    Ok(undo.map_or(Ok(head), |undo| Err(AcquireError::TakenBack { run, undo })))
}

type Verified = (u64, Vec<JournalEntry>);

fn verified(
    connection: &Connection,
    run: &str,
    witness: &Witness,
) -> rusqlite::Result<Result<Verified, AcquireError>> {
    let head = match free(connection, run)? {
        Ok(head) => head,
        Err(refusal) => {
            let lost = witness.all().into_iter().find(|seen| seen.run == run);
            return Ok(Err(match (refusal, lost) {
                (AcquireError::Unknown { .. }, Some(seen)) => seen.damage(1).into(),
                (refusal, _) => refusal,
            }));
        }
    };
    match lookup::verify(connection, &head, witness)? {
        Ok(entries) => Ok(Ok((head.seq, entries))),
        Err(damage) => Ok(Err(damage.into())),
    }
}

fn take(
    connection: &Connection,
    run: &str,
    head_seq: u64,
    holder: &Holder,
) -> rusqlite::Result<Result<Option<Head>, AcquireError>> {
    let mut head = match free(connection, run)? {
        Ok(head) => head,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if head.seq != head_seq {
        return Ok(Ok(None));
    }
    hold(connection, &mut head, holder)?;
    Ok(Ok(Some(head)))
}

/// Gives the run to `holder`, whose token is the new fence.
fn hold(connection: &Connection, head: &mut Head, holder: &Holder) -> rusqlite::Result<()> {
    head.fence += 1;
    connection
        .prepare_cached(
            "UPDATE runs SET fence = ?2, holder = ?3, heartbeat = ?4, ended_seq = NULL
             WHERE number = ?1",
        )?
        .execute(params![
            head.number,
            head.fence,
            json!(holder).to_string(),
            now_ms()
        ])?;
    let facts = json!({ "holder": holder, "fence": head.fence });
    rows::append(
        connection,
        head,
        Append::own(rows::ACQUIRED, &facts, &Value::Null),
    )
}

impl Lease {
    fn new(store: &Store, head: Head, recording: Recording) -> Self {
        Self {
            shared: Arc::new(Shared {
                store: store.clone(),
                run: head.id,
                number: head.number,
                token: head.fence,
                recording: Mutex::new(recording),
            }),
        }
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.shared.run
    }

    /// The invocation at `address`: `register#1`, or empty for the run itself. An earlier one of
    /// the same address cannot record any more.
    pub fn invocation(&self, address: &str) -> impl Durable + use<> {
        Invocation::new(Arc::clone(&self.shared), address)
    }

    /// Tells that this process is alive; to be called every [`HEARTBEAT`](crate::HEARTBEAT).
    /// [`Fault::Fenced`] if another has taken over.
    pub async fn beat(&self) -> Result<(), Fault> {
        let number = self.shared.number;
        self.shared
            .write(
                "tell that the run goes on",
                Edge::Cheap,
                move |connection, _| {
                    connection
                        .prepare_cached("UPDATE runs SET heartbeat = ?2 WHERE number = ?1")?
                        .execute(params![number, now_ms()])?;
                    Ok(Ok(()))
                },
            )
            .await
    }

    /// Records durably how the run ended, and gives it up. Tasks that still hold an invocation of
    /// it find themselves fenced.
    pub async fn finish(&self, ending: Ending, outcome: Value) -> Result<(), Fault> {
        let number = self.shared.number;
        self.shared
            .write(
                "record how the run ended",
                Edge::Durable,
                move |connection, head| {
                    let facts = lookup::ended_facts(ending);
                    rows::append(connection, head, Append::own(rows::ENDED, &facts, &outcome))?;
                    connection
                        .prepare_cached(
                            "UPDATE runs SET ended_seq = ?2, fence = fence + 1, holder = NULL
                         WHERE number = ?1",
                        )?
                        .execute(params![number, head.seq])?;
                    Ok(Ok(()))
                },
            )
            .await
    }
}

impl Drop for Lease {
    /// Gives the run up without waiting, so that it shows as interrupted at once.
    fn drop(&mut self) {
        let (number, token) = (self.shared.number, self.shared.token);
        let release = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "UPDATE runs SET fence = fence + 1, holder = NULL
                     WHERE number = ?1 AND fence = ?2",
                )?
                .execute(params![number, token])?;
            Ok(Ok::<_, StorageFault>(()))
        };
        let writer = &self.shared.store.inner.writer;
        writer.queue("give up a run", Edge::Cheap, release, |()| ());
    }
}

impl Shared {
    pub(crate) fn recording(&self) -> MutexGuard<'_, Recording> {
        // Nothing that holds the lock can panic half-way through a change.
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes if this lease still has the run.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection, &mut Head) -> Refusable<T> + Send + 'static,
    ) -> Result<T, Fault> {
        self.write_then(what, edge, work, |_| ()).await
    }

    /// The same, and calls `then` once it is committed, even if nobody waits for it any more.
    pub(crate) async fn write_then<T: Send + 'static>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection, &mut Head) -> Refusable<T> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Fault> {
        let witness = Arc::clone(&self.store.inner.witness);
        let committed = move |(value, head): &(T, Head)| {
            if edge == Edge::Durable {
                witness.note(head);
            }
            then(value);
        };
        let writer = &self.store.inner.writer;
        let work = self.fenced(work);
        let (value, _) = writer.run_then(what, edge, work, committed).await?;
        Ok(value)
    }

    /// The same without waiting for it: [`Edge::Cheap`].
    pub(crate) fn queue<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection, &mut Head) -> Refusable<T> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) {
        let writer = &self.store.inner.writer;
        let work = self.fenced(work);
        writer.queue(what, Edge::Cheap, work, |(value, _)| then(value));
    }

    /// `work`, if this lease still has the run when it is its turn.
    fn fenced<T, W>(&self, work: W) -> impl FnOnce(&Connection) -> Refusable<(T, Head)> + use<T, W>
    where
        W: FnOnce(&Connection, &mut Head) -> Refusable<T>,
    {
        let (number, token) = (self.number, self.token);
        move |connection| {
            let mut head = rows::head_at(connection, number)?;
            if head.fence == token {
                Ok(work(connection, &mut head)?.map(|value| (value, head)))
            } else {
                Ok(Err(Fault::Fenced {
                    run: head.id,
                    holder: head
                        .holder
                        .map_or_else(|| "nobody: it was given up".to_owned(), |h| h.to_string()),
                }))
            }
        }
    }
}
