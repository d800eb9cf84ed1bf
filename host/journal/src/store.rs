//! The journal on one `SQLite` file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::chain::GENESIS;
use crate::durable::Edge;
use crate::error::{LookupError, OpenError, StorageCause, StorageFault, VerifyError};
use crate::lookup::WORKFLOW_DIGEST;
use crate::model::{History, NewRun, Run, RunFilter, RunList, RunSummary};
use crate::rows::{self, Append, Head};
use crate::witness::Witness;
use crate::worker::Worker;
use crate::{lookup, schema};

/// A journal file. Clones share its two threads; the file is closed when the last one is gone.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    path: PathBuf,
    pub(crate) writer: Worker,
    /// Started by the first who reads.
    reader: OnceLock<Result<Worker, StorageFault>>,
    open_reader: OpenReader,
    pub(crate) witness: Arc<Witness>,
}

type OpenReader = fn(&Path) -> Result<Connection, OpenError>;

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.inner.path).finish()
    }
}

impl Store {
    /// Opens the journal at `path`, and makes it and its folder if they are not there. Several
    /// processes may have it open; every run has one holder. Blocks for a few milliseconds.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        Self::over(path, schema::open_writer(path)?, schema::open_reader)
    }

    /// Opens the journal at `path` for its history: one that lies where this user may not write can be
    /// read all the same, and gives a fault to whoever writes.
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        match Self::open(path) {
            Err(OpenError::Storage(fault)) if fault.cause == StorageCause::ReadOnly => {}
            opened => return opened,
        }
        let writer = schema::open_read_only(path)?;
        Self::over(path, writer, schema::open_read_only)
    }

    fn over(path: &Path, writer: Connection, open_reader: OpenReader) -> Result<Self, OpenError> {
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                witness: Arc::new(Witness::beside(path)),
                writer: Worker::writer(writer, path)?,
                reader: OnceLock::new(),
                open_reader,
            }),
        })
    }

    /// The journal file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The runs that `filter` lets through.
    pub async fn runs(&self, filter: RunFilter) -> Result<RunList, StorageFault> {
        let witness = Arc::clone(&self.inner.witness);
        let work = move |connection: &Connection| {
            let heads = rows::heads(connection)?;
            let mut list = RunList {
                damaged: lookup::lost(&heads, &witness),
                ..RunList::default()
            };
            for head in heads {
                if filter.limit.is_some_and(|limit| list.runs.len() >= limit) {
                    break;
                }
                match lookup::describe(connection, &head)? {
                    Ok(run) if filter.lets_through(&run.summary) => list.runs.push(run.summary),
                    Ok(_) => {}
                    Err(damage) => list.damaged.push(damage),
                }
            }
            Ok(Ok(list))
        };
        self.read("list the runs", work).await
    }

    /// The run whose id is `asked`, or the only one whose id begins with it.
    pub async fn run(&self, asked: &str) -> Result<Run, LookupError> {
        let asked = asked.to_owned();
        let witness = Arc::clone(&self.inner.witness);
        let work = move |connection: &Connection| match lookup::find(connection, &asked, &witness)?
        {
            Ok(head) => Ok(lookup::describe(connection, &head)?.map_err(LookupError::Damaged)),
            Err(error) => Ok(Err(error)),
        };
        self.read("look up a run", work).await
    }

    /// The record of a run (by id or prefix), as far as it is intact.
    pub async fn history(&self, asked: &str) -> Result<History, LookupError> {
        let asked = asked.to_owned();
        let witness = Arc::clone(&self.inner.witness);
        let work = move |connection: &Connection| match lookup::find(connection, &asked, &witness)?
        {
            Ok(head) => {
                let (entries, damage) = rows::load(connection, &head, &witness)?;
                Ok(Ok(History { entries, damage }))
            }
            Err(error) => Ok(Err(error)),
        };
        self.read("read a run's record", work).await
    }

    /// Checks the record of one run (by its id), or of all: the hash chain, the places where the
    /// file says the same twice, and for all runs also the file's own structure.
    pub async fn verify(&self, run: Option<&str>) -> Result<(), VerifyError> {
        let run = run.map(ToOwned::to_owned);
        let witness = Arc::clone(&self.inner.witness);
        let work = move |connection: &Connection| {
            let mut heads = rows::heads(connection)?;
            let mut lost = lookup::lost(&heads, &witness);
            if let Some(id) = &run {
                heads.retain(|head| head.id == *id);
                lost.retain(|damage| damage.run == *id);
            }
            if let Some(damage) = lost.into_iter().next() {
                return Ok(Err(VerifyError::Damaged(damage)));
            }
            for head in &heads {
                if let Err(damage) = lookup::verify(connection, head, &witness)? {
                    return Ok(Err(VerifyError::Damaged(damage)));
                }
            }
            if run.is_none() {
                let found: String =
                    connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
                return Ok(Ok(Some(found)));
            }
            Ok(Ok(None))
        };
        match self.read("verify the journal", work).await? {
            None => Ok(()),
            Some(found) if found == "ok" => Ok(()),
            Some(found) => Err(VerifyError::Storage(StorageFault {
                what: "verify the journal".to_owned(),
                path: self.inner.path.clone(),
                said: found,
                cause: StorageCause::Damaged,
            })),
        }
    }

    /// Waits until everything that was queued is written, so that it outlives the process.
    pub async fn flushed(&self) -> Result<(), StorageFault> {
        let nothing = |_: &Connection| Ok(Ok(()));
        let writer = &self.inner.writer;
        writer
            .run("write what is queued", Edge::Cheap, nothing)
            .await
    }

    pub(crate) async fn read<T, E>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageFault> + Send + 'static,
    {
        // What is read is one state of the file, whatever is appended meanwhile.
        let snapshot = |connection: &Connection| {
            let transaction = connection.unchecked_transaction()?;
            let result = work(&transaction)?;
            transaction.finish()?;
            Ok(result)
        };
        let Inner {
            path,
            reader,
            open_reader,
            ..
        } = &*self.inner;
        let reader = reader.get_or_init(|| {
            let open = *open_reader;
            Worker::reader(path, move |path| {
                open(path).map_err(|error| match error {
                    OpenError::Storage(fault) => fault,
                    // It was a journal when the writer opened it.
                    changed => StorageFault {
                        what: "open the journal".to_owned(),
                        path: path.to_owned(),
                        said: changed.to_string(),
                        cause: StorageCause::Damaged,
                    },
                })
            })
        });
        match reader {
            Ok(reader) => reader.run(what, Edge::Cheap, snapshot).await,
            Err(fault) => Err(fault.clone().into()),
        }
    }
}

/// Numbers up to `used` belong to runs that there were, even if nothing is left of them.
pub(crate) fn create(
    connection: &Connection,
    id: &str,
    new: &NewRun,
    used: i64,
) -> rusqlite::Result<Head> {
    connection
        .prepare_cached(
            "INSERT INTO runs (number, id, undoes, head_seq, head_hash, fence)
             SELECT max(coalesce(max(number), 0), ?4) + 1, ?1, ?2, 0, ?3, 0 FROM runs",
        )?
        .execute(params![id, new.undoes(), GENESIS, used])?;
    let mut head = rows::head_at(connection, connection.last_insert_rowid())?;
    let digest = new.workflow_digest();
    connection
        .prepare_cached("INSERT OR IGNORE INTO sources (digest, text) VALUES (?1, ?2)")?
        .execute(params![digest, new.workflow_source])?;
    let mut facts = serde_json::to_value(new)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    if let Some(facts) = facts.as_object_mut() {
        facts.insert(WORKFLOW_DIGEST.to_owned(), Value::from(digest));
    }
    rows::append(
        connection,
        &mut head,
        Append::own(rows::CREATED, &facts, &Value::Null),
    )?;
    Ok(head)
}

impl RunFilter {
    fn lets_through(&self, run: &RunSummary) -> bool {
        self.workflow
            .as_ref()
            .is_none_or(|name| *name == run.workflow)
            && self.status.is_none_or(|status| status == run.status)
    }
}
