//! Reading and appending entries, and nothing else of the file.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::chain::{GENESIS, Hash, Row, canonical, hex};
use crate::error::Damage;
use crate::model::{Holder, JournalEntry};
use crate::schema::SEQ_BITS;
use crate::witness::Witness;

/// Entry kinds that the journal writes itself, without a position.
pub(crate) const CREATED: &str = "run.created";
pub(crate) const ACQUIRED: &str = "run.acquired";
pub(crate) const ENDED: &str = "run.ended";

/// A run's row: what changes of it.
pub(crate) struct Head {
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) ended_seq: Option<u64>,
    pub(crate) fence: u64,
    pub(crate) holder: Option<Holder>,
    pub(crate) heartbeat: Option<i64>,
}

const HEAD: &str =
    "SELECT number, id, head_seq, head_hash, ended_seq, fence, holder, heartbeat FROM runs";

fn head(row: &rusqlite::Row<'_>) -> rusqlite::Result<Head> {
    let holder: Option<String> = row.get(6)?;
    Ok(Head {
        number: row.get(0)?,
        id: row.get(1)?,
        seq: row.get(2)?,
        hash: row.get(3)?,
        ended_seq: row.get(4)?,
        fence: row.get(5)?,
        // A holder that cannot be read cannot be alive for us.
        holder: holder.and_then(|text| serde_json::from_str(&text).ok()),
        heartbeat: row.get(7)?,
    })
}

pub(crate) fn head_of(connection: &Connection, id: &str) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached(&format!("{HEAD} WHERE id = ?1"))?
        .query_row([id], head)
        .optional()
}

pub(crate) fn head_at(connection: &Connection, number: i64) -> rusqlite::Result<Head> {
    connection
        .prepare_cached(&format!("{HEAD} WHERE number = ?1"))?
        .query_row([number], head)
}

/// The latest undo of a run.
pub(crate) fn undo_of(connection: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT id FROM runs WHERE undoes = ?1 ORDER BY number DESC LIMIT 1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// A run, the run that it takes back, and the undos of either.
pub(crate) fn family(connection: &Connection, id: &str) -> rusqlite::Result<Vec<Head>> {
    let mut statement = connection.prepare_cached(&format!(
        "{HEAD} WHERE id IN (?1, (SELECT undoes FROM runs WHERE id = ?1))
            OR undoes IN (?1, (SELECT undoes FROM runs WHERE id = ?1))"
    ))?;
    statement.query_map([id], head)?.collect()
}

/// All runs, the newest first.
pub(crate) fn heads(connection: &Connection) -> rusqlite::Result<Vec<Head>> {
    let mut statement = connection.prepare_cached(&format!("{HEAD} ORDER BY number DESC"))?;
    statement.query_map([], head)?.collect()
}

fn key(number: i64, seq: u64) -> i64 {
    (number << SEQ_BITS) | i64::try_from(seq).unwrap_or(i64::MAX)
}

/// What is to be appended.
pub(crate) struct Append {
    pub(crate) address: String,
    pub(crate) position: Option<u64>,
    pub(crate) kind: String,
    pub(crate) fingerprint: String,
    pub(crate) facts: String,
    pub(crate) value: String,
}

impl Append {
    /// One of the journal's own entries.
    pub(crate) fn own(kind: &str, facts: &Value, value: &Value) -> Self {
        Self {
            address: String::new(),
            position: None,
            kind: kind.to_owned(),
            fingerprint: String::new(),
            facts: canonical(facts),
            value: canonical(value),
        }
    }
}

/// Appends an entry after `head` and moves `head` to it.
pub(crate) fn append(
    connection: &Connection,
    head: &mut Head,
    entry: Append,
) -> rusqlite::Result<()> {
    let row = Row {
        run: head.id.clone(),
        seq: head.seq + 1,
        address: entry.address,
        position: entry.position,
        kind: entry.kind,
        fingerprint: entry.fingerprint,
        facts: entry.facts,
        value: entry.value,
        time: now(),
    };
    let hash = row.hash(&head.hash);
    connection
        .prepare_cached(
            "INSERT INTO entries
               (key, address, position, kind, fingerprint, facts, value, time, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            key(head.number, row.seq),
            row.address,
            row.position,
            row.kind,
            row.fingerprint,
            row.facts,
            row.value,
            row.time,
            hash
        ])?;
    connection
        .prepare_cached("UPDATE runs SET head_seq = ?2, head_hash = ?3 WHERE number = ?1")?
        .execute(params![head.number, row.seq, hash])?;
    head.seq = row.seq;
    head.hash = hash;
    Ok(())
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    // Only years before 0 or after 9999 have no RFC 3339 form.
    now.format(&Rfc3339).unwrap_or_default()
}

/// A run's entries as far as they are intact, and what is wrong after them.
pub(crate) fn load(
    connection: &Connection,
    head: &Head,
    witness: &Witness,
) -> rusqlite::Result<(Vec<JournalEntry>, Option<Damage>)> {
    let (entries, damage) = load_up_to(connection, head, u64::MAX)?;
    let found = entries.len() as u64;
    let gone = witness.of(head).and_then(|seen| {
        let index = usize::try_from(seen.seq).ok()?.checked_sub(1)?;
        match entries.get(index) {
            None => Some(seen.damage(found + 1)),
            Some(entry) if entry.hash != hex(&seen.hash) => Some(seen.damage(seen.seq)),
            Some(_) => None,
        }
    });
    Ok((entries, damage.or(gone)))
}

/// The same, but of the first `most` entries only.
pub(crate) fn load_up_to(
    connection: &Connection,
    head: &Head,
    most: u64,
) -> rusqlite::Result<(Vec<JournalEntry>, Option<Damage>)> {
    let mut entries = Vec::new();
    let mut prev = GENESIS;
    let mut statement = connection.prepare_cached(
        "SELECT key, address, position, kind, fingerprint, facts, value, time, hash
         FROM entries WHERE key > ?1 AND key <= ?2 ORDER BY key",
    )?;
    let last = key(head.number, most.min((1 << SEQ_BITS) - 1));
    let mut rows = statement.query([key(head.number, 0), last])?;
    let damage = |seq: u64, what: String| Damage {
        run: head.id.clone(),
        first_bad: seq,
        what,
    };
    loop {
        let seq = entries.len() as u64 + 1;
        let read = match rows.next() {
            Ok(None) => break,
            Ok(Some(row)) => read(row, head, seq, &prev),
            Err(error) => Err(error),
        };
        match read {
            Ok(Ok((entry, hash))) => {
                prev = hash;
                entries.push(entry);
            }
            Ok(Err(what)) => return Ok((entries, Some(damage(seq, what)))),
            Err(error) if is_damage(&error) => {
                return Ok((entries, Some(damage(seq, error.to_string()))));
            }
            Err(error) => return Err(error),
        }
    }
    let found = entries.len() as u64;
    let expected = head.seq.min(most);
    let wrong = if found != expected {
        Some(damage(
            found.min(expected) + 1,
            format!("the run has {expected} entries, but {found} are there"),
        ))
    } else if most >= head.seq && prev != head.hash {
        Some(damage(
            found.max(1),
            "the run's row names another last entry".to_owned(),
        ))
    } else {
        None
    };
    Ok((entries, wrong))
}

/// SQLite calls the file corrupt, or a column is of another type than was written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        None | Some(DatabaseCorrupt | NotADatabase)
    )
}

type Read = Result<(JournalEntry, Hash), String>;

fn read(row: &rusqlite::Row<'_>, head: &Head, seq: u64, prev: &Hash) -> rusqlite::Result<Read> {
    let found: i64 = row.get(0)?;
    if found != key(head.number, seq) {
        return Ok(Err("it is missing".to_owned()));
    }
    let stored = Row {
        run: head.id.clone(),
        seq,
        address: row.get(1)?,
        position: row.get(2)?,
        kind: row.get(3)?,
        fingerprint: row.get(4)?,
        facts: row.get(5)?,
        value: row.get(6)?,
        time: row.get(7)?,
    };
    let recorded: Hash = row.get(8)?;
    let hash = stored.hash(prev);
    if hash != recorded {
        return Ok(Err("its hash is not that of its contents".to_owned()));
    }
    let (Ok(facts), Ok(value)) = (
        serde_json::from_str(&stored.facts),
        serde_json::from_str(&stored.value),
    ) else {
        return Ok(Err("its facts or its value are not JSON".to_owned()));
    };
    let entry = JournalEntry {
        seq,
        address: stored.address,
        position: stored.position,
        kind: stored.kind,
        fingerprint: stored.fingerprint,
        facts,
        value,
        time: stored.time,
        prev: hex(prev),
        hash: hex(&hash),
    };
    Ok(Ok((entry, hash)))
}

/// One entry out of the middle: facts, value and time, unverified, for lists.
pub(crate) fn facts_value_time(
    connection: &Connection,
    head: &Head,
    seq: u64,
) -> rusqlite::Result<Option<(String, String, String)>> {
    connection
        .prepare_cached("SELECT facts, value, time FROM entries WHERE key = ?1")?
        .query_row([key(head.number, seq)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
}
