//! A second, tiny file that remembers which entry of each run was last promised to be on disk.
//!
//! `SQLite` takes a write-ahead log that ends early for the end of an unfinished write, and goes
//! on without what came after. That is right after a loss of power, and wrong when the log was
//! damaged or lost, or the journal was put back from an older copy: a resumed run would then
//! repeat what it did. The witness tells the two apart. It is written after the fsync and is
//! never synced itself, so it can be behind the journal, but never ahead of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::chain::Hash;
use crate::rows::Head;

/// One slot per run, by its number: seq, hash, and a check over both and the run's id.
const SLOT: usize = 8 + 32 + 24;

pub(crate) struct Witness {
    /// None where it cannot be opened: then nothing is known.
    file: Option<File>,
}

impl Witness {
    /// The witness beside the journal at `path`.
    pub(crate) fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-heads");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        Self {
            file: options.open(name).ok(),
        }
    }

    /// Remembers that `head` is on disk.
    pub(crate) fn note(&self, head: &Head) {
        if let Some(file) = &self.file {
            // Where it cannot be written, less can be noticed later; nothing else depends on it.
            let _ = file.write_all_at(&slot(&head.id, head.seq, &head.hash), offset(head));
        }
    }

    /// The last entry that is known to have been on disk, and its hash.
    pub(crate) fn of(&self, head: &Head) -> Option<(u64, Hash)> {
        let mut found = [0; SLOT];
        let file = self.file.as_ref()?;
        file.read_exact_at(&mut found, offset(head)).ok()?;
        let (seq, rest) = found.split_first_chunk()?;
        let (hash, _) = rest.split_first_chunk()?;
        let seq = u64::from_le_bytes(*seq);
        // A slot of another run, or a damaged one, says nothing.
        (slot(&head.id, seq, hash) == found).then_some((seq, *hash))
    }
}

fn offset(head: &Head) -> u64 {
    (head.number.unsigned_abs() - 1) * SLOT as u64
}

fn slot(id: &str, seq: u64, hash: &Hash) -> [u8; SLOT] {
    let mut sha = Sha256::new();
    sha.update(seq.to_le_bytes());
    sha.update(hash);
    sha.update(id);
    let check: Hash = sha.finalize().into();
    let bytes = seq.to_le_bytes().into_iter().chain(*hash).chain(check);
    let mut slot = [0; SLOT];
    for (to, from) in slot.iter_mut().zip(bytes) {
        *to = from;
    }
    slot
}
