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
use crate::error::Damage;
use crate::rows::Head;

/// One slot per run, by its number: seq, hash, id filled up with zeros, and a check over these.
const SLOT: usize = 8 + 32 + ID + 16;
const ID: usize = 8;

pub(crate) struct Witness {
    /// None where it cannot be opened: then nothing is known.
    file: Option<File>,
}

/// What is known to have been on disk of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The run's id.
    pub(crate) run: String,
    /// Its last entry.
    pub(crate) seq: u64,
    /// The hash of that entry.
    pub(crate) hash: Hash,
}

impl Seen {
    /// The damage if the record is intact only before `first_bad`.
    pub(crate) fn damage(&self, first_bad: u64) -> Damage {
        Damage {
            run: self.run.clone(),
            first_bad,
            what: format!(
                "{} entries were on disk; the journal was put back from an older copy, or its \
                 `-wal` file was damaged or lost",
                self.seq
            ),
        }
    }
}

impl Witness {
    /// The witness beside the journal at `path`.
    pub(crate) fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-heads");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options.open(&name).or_else(|_| File::open(&name));
        Self { file: file.ok() }
    }

    /// Remembers that `head` is on disk.
    pub(crate) fn note(&self, head: &Head) {
        if let Some(file) = &self.file {
            let offset = head.number.unsigned_abs().saturating_sub(1) * SLOT as u64;
            // Where it cannot be written, less can be noticed later; nothing else depends on it.
            let _ = file.write_all_at(&slot(&head.id, head.seq, &head.hash), offset);
        }
    }

    /// What is known of each run, in no order.
    pub(crate) fn all(&self) -> Vec<Seen> {
        (1..=self.slots())
            .filter_map(|number| self.at(number))
            .collect()
    }

    /// What is known of the run with this head.
    pub(crate) fn of(&self, head: &Head) -> Option<Seen> {
        let seen = self.at(head.number)?;
        (seen.run == head.id).then_some(seen)
    }

    /// The highest run number that there was.
    pub(crate) fn slots(&self) -> i64 {
        let length = self.file.as_ref().and_then(|file| file.metadata().ok());
        let slots = length.map_or(0, |length| length.len().div_ceil(SLOT as u64));
        i64::try_from(slots).unwrap_or(0)
    }

    fn at(&self, number: i64) -> Option<Seen> {
        let offset = number.unsigned_abs().checked_sub(1)? * SLOT as u64;
        let mut found = [0; SLOT];
        let file = self.file.as_ref()?;
        file.read_exact_at(&mut found, offset).ok()?;
        let (seq, rest) = found.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (id, _) = rest.split_first_chunk::<ID>()?;
        let id = std::str::from_utf8(id).ok()?.trim_end_matches('\0');
        let seq = u64::from_le_bytes(*seq);
        // A damaged slot says nothing.
        (seq > 0 && slot(id, seq, hash) == found).then(|| Seen {
            run: id.to_owned(),
            seq,
            hash: *hash,
        })
    }
}

fn slot(id: &str, seq: u64, hash: &Hash) -> [u8; SLOT] {
    let padded = id.bytes().chain(std::iter::repeat(0)).take(ID);
    let mut bytes: Vec<u8> = seq
        .to_le_bytes()
        .into_iter()
        .chain(*hash)
        .chain(padded)
        .collect();
    let check: Hash = Sha256::digest(&bytes).into();
    bytes.extend(check);
    let mut slot = [0; SLOT];
    for (to, from) in slot.iter_mut().zip(bytes) {
        *to = from;
    }
    slot
}
