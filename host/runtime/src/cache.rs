//! Keeps compiled plugins and their signatures on disk, in a folder that only this user can reach.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use lockkeeper_types::Signature;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{StartError, artifact};

/// A folder of compiled plugins, checked.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// Tells this program from every other build of it, which may read a component otherwise. None
    /// where the system does not say.
    program: Option<u64>,
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
            Ok(_) => {
                let program = program();
                return Ok(Self { folder, program });
            }
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
        let bytes = component.serialize().map_err(io::Error::other)?;
        self.put(&self.file(engine, digest), &bytes)
    }

    /// The signature of the component with this digest, if this program has read it before.
    pub(crate) fn signature(&self, digest: &str) -> Option<Signature> {
        let kept = fs::read(self.signature_file(digest)?).ok()?;
        let signature: Signature = serde_json::from_slice(&kept).ok()?;
        (signature.digest == digest).then_some(signature)
    }

    /// Keeps a signature.
    pub(crate) fn keep_signature(&self, signature: &Signature) -> io::Result<()> {
        match self.signature_file(&signature.digest) {
            Some(file) => self.put(&file, &serde_json::to_vec(signature)?),
            None => Ok(()),
        }
    }

    fn put(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}.{unique}.new", process::id()));
        let written = write(&temporary, bytes).and_then(|()| fs::rename(&temporary, file));
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

    /// By component and program.
    fn signature_file(&self, digest: &str) -> Option<PathBuf> {
        let program = self.program?;
        Some(self.folder.join(format!("{digest}-{program:016x}.json")))
    }
}

/// A hash of where this program lies, its length, and when it was written.
fn program() -> Option<u64> {
    let path = std::env::current_exe().ok()?;
    let found = fs::metadata(&path).ok()?;
    let mut hasher = DefaultHasher::new();
    (path, found.len(), found.modified().ok()?).hash(&mut hasher);
    Some(hasher.finish())
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
