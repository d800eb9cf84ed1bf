//! The state folder: one file replaced atomically, and the seal over secret values in it.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{State, World};

const STATE: &str = "state.json";
const LOCK: &str = "lock";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error("the simulator's state folder {folder} is in use by another process; stop that one or choose another folder", folder = .0.display())]
    InUse(PathBuf),
    /// The file is not a state this version wrote.
    #[error("the simulator's state file {file} is damaged or was written by another version ({reason}); remove the file to begin anew", file = .file.display())]
    Damaged {
        /// The state file.
        file: PathBuf,
        /// Where reading stopped.
        reason: String,
    },
    /// The operating system refused.
    #[error("the simulator could not {what} {path}: {reason}", path = .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
}

/// A held state folder.
pub(crate) struct Store {
    folder: PathBuf,
    /// Held open for its advisory lock, which the operating system drops with the process.
    _lock: File,
}

impl Store {
    /// Makes the folder if needed and takes it for this process.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(io_error("make the state folder", folder))?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error("open the lock file", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
            Err(TryLockError::Error(reason)) => Err(io_error("lock", &path)(reason)),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The saved state, or none in a new folder.
    pub(crate) fn load(&self) -> Result<Option<State>, StoreError> {
        let file = self.folder.join(STATE);
        match fs::read(&file) {
            Ok(bytes) => decode(&bytes)
                .map(Some)
                .map_err(|reason| StoreError::Damaged {
                    file,
                    reason: reason.to_string(),
                }),
            Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(reason) => Err(io_error("read", &file)(reason)),
        }
    }

    /// Replaces the saved state. The rename is atomic, so a reader after a crash finds the old
    /// state or the new one; no flush to the device is asked for, because only the death of the
    /// process is guarded against, not that of the machine.
    pub(crate) fn save(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.folder.join(STATE);
        let fresh = self.folder.join("state.json.new");
        File::create(&fresh)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(io_error("write", &fresh))?;
        fs::rename(&fresh, &file).map_err(io_error("replace", &file))
    }
}

/// Removes the state and the record of requests, once nobody holds the folder.
pub(crate) fn reset(folder: &Path) -> Result<(), StoreError> {
    let _held = Store::open(folder)?;
    for name in [STATE, crate::record::REQUESTS] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &path)(reason));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn encode(state: &State) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(state)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<State, serde_json::Error> {
    serde_json::from_slice(bytes)
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |reason| StoreError::Io {
        what,
        path: path.clone(),
        reason,
    }
}

/// The key that seals secret values; it lives in memory only.
pub struct SealKey(LessSafeKey);

/// A sealed value did not open, or a value could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open with this key")]
pub struct SealError;

impl SealKey {
    /// A key from its 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes).map_err(|_| SealError)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a value under a fresh random nonce.
    pub fn seal(&self, value: &str) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| SealError)?;
        let mut sealed = value.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(|_| SealError)?;
        Ok(Sealed {
            sealed: BASE64_STANDARD.encode([nonce.as_slice(), &sealed].concat()),
        })
    }

    /// Opens a sealed value.
    pub fn open(&self, sealed: &Sealed) -> Result<Zeroizing<String>, SealError> {
        let bytes = BASE64_STANDARD
            .decode(&sealed.sealed)
            .map_err(|_| SealError)?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let opened = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::empty(),
                &mut rest,
            )
            .map_err(|_| SealError)?;
        let text = std::str::from_utf8(opened).map_err(|_| SealError)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// A secret value as it may lie in the state: encrypted with ChaCha20-Poly1305.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Nonce, ciphertext and tag, in base64.
    sealed: String,
}

impl Sealed {
    /// Seals a value with the world's key.
    pub fn new(world: &World, value: &str) -> Result<Self, SealError> {
        world.seal_key().seal(value)
    }

    /// Opens the value with the world's key.
    pub fn open(&self, world: &World) -> Result<Zeroizing<String>, SealError> {
        world.seal_key().open(self)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// A secret value of which only the SHA-256 digest is kept: enough to recognise it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// The digest, in base64.
    sha256: String,
}

impl Hashed {
    /// The digest of a value with enough entropy not to be guessed.
    pub fn of(value: &str) -> Self {
        Self {
            sha256: BASE64_STANDARD.encode(Sha256::digest(value)),
        }
    }

    /// Whether the value is the one that was hashed.
    pub fn matches(&self, value: &str) -> bool {
        *self == Self::of(value)
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_with_its_key_only() {
        let key = SealKey::new(&[1; 32]).unwrap();
        let sealed = key.seal("not-a-real-secret").unwrap();
        assert_eq!(key.open(&sealed).unwrap().as_str(), "not-a-real-secret");
        assert!(
            !serde_json::to_string(&sealed)
                .unwrap()
                .contains("not-a-real")
        );
        assert_eq!(
            SealKey::new(&[2; 32]).unwrap().open(&sealed),
            Err(SealError)
        );
        assert_ne!(key.seal("not-a-real-secret").unwrap(), sealed);
    }

    #[test]
    fn a_folder_is_held_by_one_store() {
        let folder = tempfile::tempdir().unwrap();
        let held = Store::open(folder.path()).unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::InUse(_))
        ));
        drop(held);
        assert!(Store::open(folder.path()).is_ok());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(STATE), b"{\"entra\":").unwrap();
        let refused = Store::open(folder.path()).unwrap().load().err().unwrap();
        assert!(refused.to_string().contains("state.json"), "{refused}");
    }

    #[test]
    fn a_full_disk_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("state.json.new")).unwrap();
        let refused = store.save(b"{}").unwrap_err();
        assert!(refused.to_string().contains("state.json.new"), "{refused}");
    }
}
