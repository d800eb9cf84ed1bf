//! Secrets across a crash: encrypted beside the journal, under a key that lies apart from it.
//!
//! Each run has a key of its own, in a folder of key files that only this user can read; the
//! journal holds ciphertext. The key is destroyed when the run ends, and with it every secret.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use lockkeeper_cloud::SecretString;
use lockkeeper_journal::Lease;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::secrets::SealedStore;

/// A folder of key files, mode 0700, apart from the journal.
#[derive(Clone, Debug)]
pub struct KeyRing {
    folder: PathBuf,
}

/// Why a key could not be made, read or destroyed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {error}\n  next:   make the folder writable and private to this user (mode 700), or set LOCKKEEPER_KEYS to one that is", .path.display())]
pub struct KeyError {
    what: &'static str,
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// 32 bytes that are wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

impl KeyRing {
    /// The key ring in `folder`, which is made when the first key is.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The key called `name`, made when there is none.
    pub fn key(&self, name: &str) -> Result<Key, KeyError> {
        if let Some(key) = self.existing(name)? {
            return Ok(key);
        }
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |error| KeyError { what, path, error }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(failed("make the key folder", &self.folder))?;
        let mut key: Key = Zeroizing::new([0; 32]);
        let path = self.path(name);
        fill(key.as_mut_slice()).map_err(failed("make key", &path))?;
        match self.publish(&key, &path) {
            Ok(()) => Ok(key),
            // Another one was faster: that is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.key(name),
            Err(error) => Err(failed("write key", &path)(error)),
        }
    }

    /// Puts a key where it belongs, unless there is one. It is whole by the time it is there, since
    /// this process may be killed at any moment.
    fn publish(&self, key: &Key, path: &Path) -> io::Result<()> {
        let mut own = [0; 8];
        fill(&mut own)?;
        let own = format!("{:016x}.unfinished", u64::from_be_bytes(own));
        let unfinished = self.folder.join(own);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        let published = file
            .write_all(key.as_slice())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::hard_link(&unfinished, path));
        std::fs::remove_file(&unfinished)?;
        published?;
        self.sync()
    }

    /// Puts on disk which keys there are.
    fn sync(&self) -> io::Result<()> {
        std::fs::File::open(&self.folder)?.sync_all()
    }

    /// The key called `name`, if it has not been destroyed.
    pub fn existing(&self, name: &str) -> Result<Option<Key>, KeyError> {
        let path = self.path(name);
        let failed = |error| KeyError {
            what: "read key",
            path: path.clone(),
            error,
        };
        let metadata = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        if metadata.mode() & 0o077 != 0 {
            return Err(failed(io::Error::other("other users can read it")));
        }
        let bytes = Zeroizing::new(std::fs::read(&path).map_err(failed)?);
        let key = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| failed(io::Error::other("it is not 32 bytes long")))?;
        Ok(Some(Zeroizing::new(key)))
    }

    /// Destroys the key called `name`, for good; one that is gone is no error.
    pub fn destroy(&self, name: &str) -> Result<(), KeyError> {
        let path = self.path(name);
        match std::fs::remove_file(&path).and_then(|()| self.sync()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeyError {
                what: "destroy key",
                path,
                error,
            }),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| io::Error::other("the system gives no randomness"))
}

/// The sealed secrets of one run.
pub struct Vault {
    lease: Arc<Lease>,
    keys: KeyRing,
}

impl Vault {
    /// The vault of the run that `lease` holds, under the run's own key in `keys`, which is made
    /// for the first secret.
    pub fn new(lease: Arc<Lease>, keys: KeyRing) -> Self {
        Self { lease, keys }
    }

    fn cipher(key: &Key) -> Result<LessSafeKey, String> {
        UnboundKey::new(&CHACHA20_POLY1305, key.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| "the key does not fit the cipher".to_owned())
    }

    /// What binds a ciphertext to its place, so that it cannot be moved to another.
    fn place(&self, name: &str) -> Aad<String> {
        Aad::from(format!("{}\n{name}", self.lease.run_id()))
    }
}

#[async_trait]
impl SealedStore for Vault {
    async fn put(&self, name: &str, value: &SecretString) -> Result<(), String> {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce).map_err(|error| error.to_string())?;
        let mut sealed = Zeroizing::new(value.expose().as_bytes().to_vec());
        let key = self
            .keys
            .key(self.lease.run_id())
            .map_err(|error| error.to_string())?;
        let tag = Self::cipher(&key)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                self.place(name),
                sealed.as_mut_slice(),
            )
            .map_err(|_| "the secret could not be encrypted".to_owned())?;
        let blob = [nonce.as_slice(), sealed.as_slice(), tag.as_ref()].concat();
        self.lease
            .seal_put(name, blob)
            .await
            .map_err(|error| error.to_string())
    }

    async fn get(&self, name: &str) -> Result<Option<SecretString>, String> {
        let Some(blob) = self
            .lease
            .seal_get(name)
            .await
            .map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let damaged = || format!("the sealed secret {name} is damaged, or its key is another's");
        let (nonce, sealed) = blob.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let Some(key) = self
            .keys
            .existing(self.lease.run_id())
            .map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let key = Self::cipher(&key)?;
        let opened = key
            .open_in_place(nonce, self.place(name), sealed.as_mut_slice())
            .map_err(|_| damaged())?;
        let text = std::str::from_utf8(opened).map_err(|_| damaged())?;
        Ok(Some(SecretString::new(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_key_is_whole_whenever_it_is_there_and_the_same_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::new(folder.path().join("keys"));
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let name = round.to_string();
                        barrier.wait();
                        let key = keys.key(&name).unwrap();
                        assert_eq!(keys.existing(&name).unwrap().unwrap(), key);
                    }
                });
            }
        });
        let files = std::fs::read_dir(&keys.folder).unwrap();
        assert_eq!(files.count(), 50, "the keys and nothing else");
        for file in std::fs::read_dir(&keys.folder).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        keys.destroy("7").unwrap();
        keys.destroy("7").unwrap();
        assert!(keys.existing("7").unwrap().is_none());
    }
}
