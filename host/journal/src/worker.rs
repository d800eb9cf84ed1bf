//! The two threads that talk to `SQLite`, so that no async task ever waits in a system call.
//!
//! The writer takes all tasks that are waiting into one transaction, so that concurrent appends
//! share one fsync. In WAL mode a commit with `synchronous=FULL` ends with an fsync of the WAL
//! file, and so also puts every earlier commit on disk; one with `NORMAL` only hands its pages to
//! the operating system, which keeps them when the process dies, but not when power is lost
//! (<https://sqlite.org/pragma.html#pragma_synchronous>). So one connection switches between the
//! two, by whether any task of the batch asked for [`Edge::Durable`].

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::durable::Edge;
use crate::error::{StorageCause, StorageFault};

/// How many tasks share one transaction at most; it bounds how long the first one waits.
const BATCH: usize = 256;

/// One use of a connection. Nothing of it stays if `work` fails.
trait Task: Send {
    fn what(&self) -> &'static str;
    fn edge(&self) -> Edge;
    fn is_awaited(&self) -> bool;
    fn work(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn done(self: Box<Self>, outcome: Result<(), StorageFault>);
}

/// `work` gives a value or a refusal; `then` is called once the value is committed, even if
/// nobody waits for it any more.
struct Use<T, E, W, C> {
    what: &'static str,
    edge: Edge,
    work: Option<W>,
    then: C,
    result: Option<Result<T, E>>,
    /// None where nobody waits for the answer.
    reply: Option<oneshot::Sender<Result<T, E>>>,
}

impl<T, E, W, C> Task for Use<T, E, W, C>
where
    T: Send,
    E: From<StorageFault> + Send,
    W: FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send,
    C: FnOnce(&T) + Send,
{
    fn what(&self) -> &'static str {
        self.what
    }

    fn edge(&self) -> Edge {
        self.edge
    }

    fn is_awaited(&self) -> bool {
        self.reply.is_some()
    }

    fn work(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<(), StorageFault>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => return,
            (Err(fault), _) => Err(fault.into()),
        };
        if let Ok(value) = &result {
            (self.then)(value);
        }
        if let Some(reply) = self.reply {
            // The asker may be gone: an operation can be dropped at any await.
            let _ = reply.send(result);
        }
    }
}

/// A thread that owns a connection and carries out tasks in the order they come.
pub(crate) struct Worker {
    path: PathBuf,
    tasks: Option<mpsc::Sender<Box<dyn Task>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// A thread that commits what it does, in groups.
    pub(crate) fn writer(connection: Connection, path: &Path) -> Result<Self, StorageFault> {
        let mut writer = Writer {
            connection,
            path: path.to_owned(),
            synchronous: Edge::Cheap,
            broken: None,
        };
        Self::start("journal-writer", path, move |tasks| {
            while let Ok(first) = tasks.recv() {
                let mut batch = vec![first];
                batch.extend(tasks.try_iter().take(BATCH - 1));
                writer.commit(batch);
            }
        })
    }

    /// A thread that reads beside the writer, over a connection that it opens itself.
    pub(crate) fn reader(
        path: &Path,
        open: impl FnOnce(&Path) -> Result<Connection, StorageFault> + Send + 'static,
    ) -> Result<Self, StorageFault> {
        let file = path.to_owned();
        Self::start("journal-reader", path, move |tasks| {
            let connection = open(&file);
            while let Ok(mut task) = tasks.recv() {
                let outcome = match &connection {
                    Ok(connection) => task
                        .work(connection)
                        .map_err(|error| StorageFault::new(task.what(), &file, &error)),
                    Err(fault) => Err(fault.clone()),
                };
                task.done(outcome);
            }
        })
    }

    fn start(
        name: &str,
        path: &Path,
        run: impl FnOnce(mpsc::Receiver<Box<dyn Task>>) + Send + 'static,
    ) -> Result<Self, StorageFault> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(receiver))
            .map_err(|error| StorageFault {
                what: "start the journal's thread".to_owned(),
                path: path.to_owned(),
                said: error.to_string(),
                cause: StorageCause::Io,
            })?;
        Ok(Self {
            path: path.to_owned(),
            tasks: Some(sender),
            thread: Some(thread),
        })
    }

    /// Carries out `work`; its value is given once it is as safe as `edge` asks.
    pub(crate) async fn run<T, E>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageFault> + Send + 'static,
    {
        self.run_then(what, edge, work, |_| ()).await
    }

    /// The same, and calls `then` on the thread after the commit.
    pub(crate) async fn run_then<T, E>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageFault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(what, edge, work, then, Some(reply));
        answer.await.unwrap_or_else(|_| {
            Err(E::from(StorageFault {
                what: what.to_owned(),
                path: self.path.clone(),
                said: "the journal's thread has ended".to_owned(),
                cause: StorageCause::Internal,
            }))
        })
    }

    /// Queues the same without waiting for it. If it fails nothing that comes later is carried
    /// out either, so that whoever waits next learns of it.
    pub(crate) fn queue<T, E>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<StorageFault> + Send + 'static,
    {
        self.send(what, edge, work, then, None);
    }

    fn send<T, E>(
        &self,
        what: &'static str,
        edge: Edge,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, E>> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
        reply: Option<oneshot::Sender<Result<T, E>>>,
    ) where
        T: Send + 'static,
        E: From<StorageFault> + Send + 'static,
    {
        let task: Box<dyn Task> = Box::new(Use {
            what,
            edge,
            work: Some(work),
            then,
            result: None,
            reply,
        });
        // A task that finds no thread is dropped, and with it `reply`: the answer says so.
        if let Some(tasks) = &self.tasks {
            let _ = tasks.send(task);
        }
    }
}

impl Drop for Worker {
    /// Waits for what is queued, so that the file is closed when its owner is gone.
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // The thread dropping its own worker would wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

struct Writer {
    connection: Connection,
    path: PathBuf,
    /// As the connection is set: [`Edge::Cheap`] when it is opened.
    synchronous: Edge,
    /// After a failed fsync the kernel may have dropped the pages and a second one would succeed
    /// all the same; and after a failed task that nobody waited for, what comes later would follow
    /// a gap. So nothing is promised any more until the journal is opened again.
    broken: Option<StorageFault>,
}

impl Writer {
    fn commit(&mut self, mut batch: Vec<Box<dyn Task>>) {
        let mut faults: Vec<Option<StorageFault>> = batch.iter().map(|_| None).collect();
        let outcome = match &self.broken {
            Some(fault) => Err(fault.clone()),
            None => self.transact(&mut batch, &mut faults).map_err(|error| {
                let fault = StorageFault::new("write", &self.path, &error);
                let is_lost = batch.iter().any(|task| !task.is_awaited());
                if fault.cause == StorageCause::Io || is_lost {
                    self.broken = Some(fault.clone());
                }
                fault
            }),
        };
        for (task, fault) in batch.into_iter().zip(faults) {
            let outcome = fault.map_or_else(|| outcome.clone(), Err);
            let outcome = outcome.map_err(|fault| StorageFault {
                what: task.what().to_owned(),
                ..fault
            });
            task.done(outcome);
        }
    }

    fn transact(
        &mut self,
        batch: &mut [Box<dyn Task>],
        faults: &mut [Option<StorageFault>],
    ) -> rusqlite::Result<()> {
        let durable = batch.iter().any(|task| task.edge() == Edge::Durable);
        self.set_synchronous(if durable { Edge::Durable } else { Edge::Cheap })?;
        let mut transaction =
            Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        for (task, fault) in batch.iter_mut().zip(faults) {
            let savepoint = transaction.savepoint()?;
            match task.work(&savepoint) {
                Ok(()) => savepoint.commit()?,
                // SQLite has rolled everything back by itself, or what follows builds on this:
                // nothing of the batch is left.
                Err(error) if savepoint.is_autocommit() || !task.is_awaited() => return Err(error),
                Err(error) => {
                    *fault = Some(StorageFault::new(task.what(), &self.path, &error));
                    savepoint.finish()?;
                }
            }
        }
        transaction.commit()
    }

    fn set_synchronous(&mut self, edge: Edge) -> rusqlite::Result<()> {
        if self.synchronous != edge {
            let level = match edge {
                Edge::Durable => "FULL",
                Edge::Cheap => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.synchronous = edge;
        }
        Ok(())
    }
}
