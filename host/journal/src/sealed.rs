//! Sealed secrets: bytes that the journal keeps and cannot read.

use rusqlite::{OptionalExtension, params};

use crate::durable::Edge;
use crate::error::{Fault, StorageFault};
use crate::lease::Lease;
use crate::store::Store;

impl Lease {
    /// Keeps `ciphertext` for this run under `name`, durably; what was there is replaced.
    pub async fn seal_put(&self, name: &str, ciphertext: Vec<u8>) -> Result<(), Fault> {
        let name = name.to_owned();
        self.shared
            .write(
                "keep a sealed secret",
                Edge::Durable,
                move |connection, head| {
                    connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO sealed (run, name, ciphertext) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![head.number, name, ciphertext])?;
                    Ok(Ok(()))
                },
            )
            .await
    }

    /// What was kept for this run under `name`, if anything.
    pub async fn seal_get(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let (run, name) = (self.shared.run.clone(), name.to_owned());
        let read = move |connection: &rusqlite::Connection| {
            let found = connection
                .prepare_cached(
                    "SELECT ciphertext FROM sealed JOIN runs ON number = run
                     WHERE id = ?1 AND name = ?2",
                )?
                .query_row(params![run, name], |row| row.get(0))
                .optional()?;
            Ok(Ok(found))
        };
        self.shared.store.read("read a sealed secret", read).await
    }
}

impl Store {
    /// Destroys all that is kept for the run with id `run`, and gives how many there were. It is on
    /// disk with the next durable entry: what was kept is of no use once its key is destroyed.
    pub async fn seal_destroy(&self, run: &str) -> Result<usize, StorageFault> {
        let run = run.to_owned();
        let destroy = move |connection: &rusqlite::Connection| {
            let destroyed = connection
                .prepare_cached(
                    "DELETE FROM sealed WHERE run = (SELECT number FROM runs WHERE id = ?1)",
                )?
                .execute([run])?;
            Ok(Ok(destroyed))
        };
        let writer = &self.inner.writer;
        writer
            .run("destroy sealed secrets", Edge::Cheap, destroy)
            .await
    }
}
