//! Journals that were cut short or changed.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::{Journal, put};
use crate::{AcquireError, Edge, Ending, JournalEntry, Store};

/// A journal's files as they are when the process is killed, and what its run's record is.
struct Killed {
    files: Vec<(&'static str, Vec<u8>)>,
    run: String,
    entries: Vec<JournalEntry>,
}

const FILE: &str = "journal.db";
const LOG: &str = "journal.db-wal";
const HEADS: &str = "journal.db-heads";

async fn killed(checkpointed: bool) -> Killed {
    let journal = Journal::new();
    let run = journal.begin().await;
    let lease = journal.acquire(&run).await;
    let mut invocation = lease.invocation("");
    for n in 0..40 {
        let value = json!({ "n": n, "text": "y".repeat(n * 9) });
        put(&mut invocation, &format!("e{n}"), Edge::Durable, value)
            .await
            .unwrap();
    }
    lease.finish(Ending::Failed, Value::Null).await.unwrap();
    if checkpointed {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        journal.raw().query_row(sql, [], |_| Ok(())).unwrap();
    }
    let history = journal.store().history(&run).await.unwrap();
    assert_eq!(history.damage, None);
    let read = |name| {
        (
            name,
            std::fs::read(journal.folder.path().join(name)).unwrap(),
        )
    };
    Killed {
        files: [FILE, LOG, HEADS].map(read).to_vec(),
        run,
        entries: history.entries,
    }
}

impl Killed {
    fn file(&self, name: &str) -> &[u8] {
        let (_, bytes) = self.files.iter().find(|(file, _)| *file == name).unwrap();
        bytes
    }

    /// Opens a copy in which `name` holds `bytes`, and checks what holds for any damage. Gives
    /// whether all is as it was.
    async fn open_with(&self, name: &str, bytes: Option<&[u8]>, note: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        for (file, original) in &self.files {
            let bytes = if *file == name {
                bytes
            } else {
                Some(original.as_slice())
            };
            if let Some(bytes) = bytes {
                std::fs::write(folder.path().join(file), bytes).unwrap();
            }
        }
        self.open(&folder.path().join(FILE), note).await
    }

    async fn open(&self, path: &Path, note: &str) -> bool {
        let store = match Store::open(path) {
            Ok(store) => store,
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(path.to_str().unwrap()), "{note}: {text}");
                assert!(text.contains("next:"), "{note}: {text}");
                return false;
            }
        };
        let verified = store.verify(None).await;
        let whole = match store.history(&self.run).await {
            Ok(history) => {
                let intact = history.entries.len();
                assert_eq!(history.entries, self.entries[..intact], "{note}");
                if let Some(damage) = &history.damage {
                    assert!(damage.first_bad <= intact as u64 + 1, "{note}: {damage}");
                    assert!(verified.is_err(), "{note}: {damage}");
                } else {
                    assert_eq!(intact, self.entries.len(), "{note}: a silent loss");
                }
                history.damage.is_none()
            }
            Err(error) => {
                assert!(verified.is_err(), "{note}: {error}, but all verifies");
                false
            }
        };
        match store.acquire(&self.run, Journal::holder()).await {
            Ok(_) => assert!(whole, "{note}: a damaged run goes on"),
            // What is left may end where this process still had the run.
            Err(AcquireError::Held { .. }) => assert!(!whole, "{note}: nobody holds it"),
            Err(error) => assert!(error.to_string().contains("next:"), "{note}: {error}"),
        }
        whole && verified.is_ok()
    }
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_wherever_it_matters() {
    let killed = killed(true).await;
    assert!(killed.open_with("", None, "untouched").await);
    let original = killed.file(FILE);
    let mut noticed = 0;
    let offsets: Vec<_> = (0..100).chain((100..original.len()).step_by(101)).collect();
    for offset in &offsets {
        let mut bytes = original.to_vec();
        bytes[*offset] ^= 1 << (offset % 8);
        let note = format!("byte {offset}");
        noticed += usize::from(!killed.open_with(FILE, Some(&bytes), &note).await);
    }
    // The rest is free space in pages, which holds nothing.
    assert!(
        noticed * 4 > offsets.len(),
        "{noticed} of {}",
        offsets.len()
    );
}

#[tokio::test]
async fn a_journal_cut_short_is_read_up_to_the_cut() {
    let killed = killed(true).await;
    let original = killed.file(FILE);
    for length in (1..original.len()).step_by(1999) {
        let note = format!("cut to {length} bytes");
        assert!(
            !killed
                .open_with(FILE, Some(&original[..length]), &note)
                .await,
            "{note}"
        );
    }
}

#[tokio::test]
async fn a_damaged_or_lost_log_is_not_taken_for_an_unfinished_write() {
    let killed = killed(false).await;
    assert!(killed.open_with("", None, "untouched").await);
    let original = killed.file(LOG);
    let mut noticed = 0;
    let offsets: Vec<_> = (0..original.len()).step_by(6007).collect();
    for offset in &offsets {
        let mut bytes = original.to_vec();
        bytes[*offset] ^= 0x10;
        let note = format!("byte {offset} of the log");
        noticed += usize::from(!killed.open_with(LOG, Some(&bytes), &note).await);
        let note = format!("log cut to {offset} bytes");
        killed
            .open_with(LOG, Some(&original[..*offset]), &note)
            .await;
    }
    assert_eq!(noticed, offsets.len(), "each frame is part of the record");
    assert!(!killed.open_with(LOG, None, "lost log").await);
}

#[tokio::test]
async fn a_damaged_or_lost_witness_accuses_nobody() {
    let killed = killed(true).await;
    let original = killed.file(HEADS);
    for offset in 0..original.len() {
        let mut bytes = original.to_vec();
        bytes[offset] ^= 4;
        assert!(killed.open_with(HEADS, Some(&bytes), "witness").await);
        assert!(
            killed
                .open_with(HEADS, Some(&original[..offset]), "cut")
                .await
        );
    }
    assert!(killed.open_with(HEADS, None, "lost witness").await);
}

#[tokio::test]
async fn damage_says_what_where_and_what_next() {
    let journal = Journal::new();
    let run = journal.begin().await;
    drop(journal.acquire(&run).await);
    let sql = "UPDATE entries SET facts = '{}' WHERE key & 0xffffffff = 2";
    journal.raw().execute(sql, []).unwrap();
    let history = journal.store().history(&run).await.unwrap();
    assert_eq!(history.entries.len(), 1);
    let text = history.damage.unwrap().to_string();
    for part in [
        run.as_str(),
        "from entry 2 on",
        "its hash",
        "entry 1 before it is intact",
        "backup",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let Err(error) = journal.store().acquire(&run, Journal::holder()).await else {
        panic!("a damaged run goes on");
    };
    assert_eq!(error.to_string(), text);
}

/// A journal on disk with one run of entries, made once.
static SAMPLE: LazyLock<Killed> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(killed(true))
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_changed_byte_in_a_row_breaks_the_chain(
        seq in 1_i64..=43,
        column in prop::sample::select(vec![
            "address", "kind", "fingerprint", "facts", "value", "time", "hash",
        ]),
        at: prop::sample::Index,
        to: u8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, SAMPLE.file(FILE)).unwrap();
        let raw = rusqlite::Connection::open(&path).unwrap();
        let find = format!("SELECT CAST({column} AS BLOB) FROM entries WHERE key & 0xffffffff = ?1");
        let original: Vec<u8> = raw.query_row(&find, [seq], |row| row.get(0)).unwrap();
        prop_assume!(!original.is_empty());
        let mut changed = original.clone();
        changed[at.index(original.len())] = to;
        let kind = if column == "hash" { "BLOB" } else { "TEXT" };
        let set = format!(
            "UPDATE entries SET {column} = CAST(?2 AS {kind}) WHERE key & 0xffffffff = ?1"
        );
        raw.execute(&set, rusqlite::params![seq, changed]).unwrap();
        drop(raw);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let verified = runtime.block_on(async { Store::open(&path).unwrap().verify(None).await });
        prop_assert_eq!(verified.is_ok(), changed == original);
    }
}
