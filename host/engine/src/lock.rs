//! One run per key at a time: a workflow's `lock`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// How often a queued run looks whether its turn has come.
const POLL: Duration = Duration::from_millis(250);

/// A held lock; dropping it lets the next run in. The operating system does so for a process
/// that is killed.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot lock {}: {error}", .path.display())]
pub struct LockError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

impl Lock {
    /// Takes the lock called `key` in `folder` for `run`, queueing behind whoever has it;
    /// `queued` is told once, with that run's id.
    pub async fn take(
        folder: &Path,
        key: &str,
        run: &str,
        queued: impl FnOnce(&str),
    ) -> Result<Self, LockError> {
        let path = folder.join(format!("{:x}.lock", Sha256::digest(key)));
        let failed = |error| LockError {
            path: path.clone(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut queued = Some(queued);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    if let Some(queued) = queued.take() {
                        let mut holder = String::new();
                        file.rewind()
                            .and_then(|()| file.read_to_string(&mut holder))
                            .map_err(failed)?;
                        queued(holder.trim());
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(run.as_bytes()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_run_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), "k", "A1", |_| panic!("nobody has it"))
            .await
            .unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let path = folder.path().to_owned();
        let second = tokio::spawn(async move {
            Lock::take(&path, "k", "B2", |holder| {
                tell.send(holder.to_owned()).unwrap();
            })
            .await
        });
        while told.try_recv().is_err() {
            assert!(!second.is_finished());
            tokio::task::yield_now().await;
        }
        drop(first);
        second.await.unwrap().unwrap();
        Lock::take(folder.path(), "other", "C3", |_| panic!("another key"))
            .await
            .unwrap();
    }
}
