//! Keeps compiled plugins on disk, in a folder that only this user can reach.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{StartError, artifact};

/// A folder of compiled plugins, checked.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder if need be, and refuses one that others can reach.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StartError> {
        let checked = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::symlink_metadata(&folder));
        let what = match checked {
            Err(error) => {
                return Err(StartError::Folder {
                    path: folder,
                    error,
                });
            }
            Ok(found) if !found.is_dir() => "is a link",
            Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
                "belongs to another user"
            }
            Ok(found) if found.mode() & 0o077 != 0 => "can be reached by other users",
            Ok(_) => return Ok(Self { folder }),
        };
        Err(StartError::Unsafe { path: folder, what })
    }

    /// The compiled component with this digest, if it is kept and whole.
    pub(crate) fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = self.file(engine, digest);
        // The check of the artifact itself: version, settings, target and sections. One that is
        // cut or of another version is compiled anew.
        file.is_file().then(|| artifact::open(engine, &file).ok())?
    }

    /// Keeps a compiled component.
    pub(crate) fn keep(
        &self,
        engine: &Engine,
        digest: &str,
        component: &Component,
    ) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let bytes = component.serialize().map_err(io::Error::other)?;
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = self.file(engine, digest);
        let temporary = self
            .folder
            .join(format!("{digest}.{}.{unique}.new", process::id()));
        let written = write(&temporary, &bytes).and_then(|()| fs::rename(&temporary, file));
        if written.is_err() {
            // Best effort: the error that matters is the one of the write.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// By component, and by everything that compiling depends on.
    fn file(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder
            .join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_folder_that_others_can_reach_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let open = temporary.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(open.clone()).unwrap_err().to_string();
        assert!(error.contains("can be reached by other users"), "{error}");

        fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
        Cache::open(open.clone()).unwrap();

        let link = temporary.path().join("link");
        symlink(&open, &link).unwrap();
        let error = Cache::open(link).unwrap_err().to_string();
        assert!(error.contains("is a link"), "{error}");
    }

    #[test]
    fn a_new_folder_is_private() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/b");
        Cache::open(folder.clone()).unwrap();
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    }
}
