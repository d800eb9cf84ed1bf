//! The journal file's tables, and which formats this program knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::error::{OpenError, StorageCause, StorageFault};

/// The newest format that this program reads, and the one it writes; kept in `user_version`.
pub(crate) const FORMAT: u32 = 1;

/// What tells a journal from other `SQLite` files: `LKJR`, kept in `application_id`.
const APPLICATION: u32 = 0x4c4b_4a52;

/// How long a process waits for another that writes to the same file.
const BUSY: Duration = Duration::from_secs(10);

/// An entry's key holds the run's number and the entry's number in it, so that a run's entries lie
/// side by side and are found without an index that could be damaged apart from them.
pub(crate) const SEQ_BITS: u32 = 32;

const TABLES: &str = "
    CREATE TABLE about (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE runs (
        number    INTEGER PRIMARY KEY,  -- in the order of creation
        id        TEXT    NOT NULL UNIQUE,
        undoes    TEXT,                 -- the run that it takes back, for an undo
        head_seq  INTEGER NOT NULL,     -- the last entry, and its hash
        head_hash BLOB    NOT NULL,
        ended_seq INTEGER,              -- the entry that says how it ended, if it has
        fence     INTEGER NOT NULL,     -- grows with every holder
        holder    TEXT,                 -- JSON
        heartbeat INTEGER               -- milliseconds since 1970
    ) STRICT;
    CREATE INDEX undos ON runs (undoes) WHERE undoes IS NOT NULL;
    CREATE TABLE entries (
        key         INTEGER PRIMARY KEY, -- run number * 2^32 + seq
        address     TEXT    NOT NULL,
        position    INTEGER,
        kind        TEXT    NOT NULL,
        fingerprint TEXT    NOT NULL,
        facts       TEXT    NOT NULL,    -- canonical JSON
        value       TEXT    NOT NULL,    -- canonical JSON
        time        TEXT    NOT NULL,    -- RFC 3339
        hash        BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE sources (
        digest TEXT PRIMARY KEY,         -- SHA-256 of the text
        text   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sealed (
        run        INTEGER NOT NULL,
        name       TEXT    NOT NULL,
        ciphertext BLOB    NOT NULL,
        PRIMARY KEY (run, name)
    ) STRICT, WITHOUT ROWID;
";

/// Opens the connection that writes, and makes the tables in a new file.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    create_private(path)?;
    let fault = |error| open_error(path, &error);
    let mut connection = Connection::open(path).map_err(fault)?;
    configure(&connection).map_err(fault)?;
    if application(&connection).map_err(fault)? == 0 && is_empty(&connection).map_err(fault)? {
        // First, so that the tables are made in the log, which needs no sync of its own.
        write_ahead(&connection, path)?;
        create(&mut connection).map_err(fault)?;
    }
    check(&connection, path)?;
    write_ahead(&connection, path)?;
    Ok(connection)
}

/// Has the file written by way of a write-ahead log.
fn write_ahead(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error| open_error(path, &error);
    // SQLite answers with the mode it is in, which is another one where shared memory is not to
    // be had, as on some network file systems.
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(fault)?;
    if mode != "wal" {
        return Err(StorageFault {
            what: "open the journal".to_owned(),
            path: path.to_owned(),
            said: format!("the file system has no write-ahead log: journal mode is {mode}"),
            cause: StorageCause::Io,
        }
        .into());
    }
    Ok(())
}

/// Opens a connection that only reads, beside the writer.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let fault = |error| open_error(path, &error);
    let connection = Connection::open(path).map_err(fault)?;
    configure(&connection).map_err(fault)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(fault)?;
    Ok(connection)
}

/// Opens a connection to a journal that lies where this user may not write.
///
/// Where a write-ahead log lies beside it, `SQLite` reads both as long as it finds the log's index too
/// (<https://sqlite.org/wal.html#read_only_databases>). A journal that was closed has none; then nothing
/// is left to read but the file itself, which nobody changes: so it needs no locks.
pub(crate) fn open_read_only(path: &Path) -> Result<Connection, OpenError> {
    let fault = |error| open_error(path, &error);
    let log = std::fs::metadata(beside(path, "-wal"));
    let immutable = log.map_or(true, |log| log.len() == 0);
    let uri = format!(
        "file:{}?mode=ro&immutable={}",
        uri_path(path),
        u8::from(immutable)
    );
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).map_err(fault)?;
    configure(&connection).map_err(fault)?;
    check(&connection, path)?;
    Ok(connection)
}

/// The file beside the journal whose name ends so.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path as the part of a URI that it is (RFC 3986, 3.3).
fn uri_path(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotAJournal {
            path: path.to_owned(),
        },
        _ => StorageFault::new("open the journal", path, error).into(),
    }
}

/// The record names people and objects, so only its owner may read it. `SQLite` gives the files
/// beside it the same mode.
fn create_private(path: &Path) -> Result<(), StorageFault> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| options.open(path))
        .map(|_| ())
        .map_err(|error| StorageFault {
            what: "open the journal".to_owned(),
            path: path.to_owned(),
            said: error.to_string(),
            cause: match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    StorageCause::ReadOnly
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    StorageCause::Full
                }
                _ => StorageCause::Io,
            },
        })
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Where fsync does not reach the disk's platter by itself (macOS), ask for it.
    connection.pragma_update(None, "fullfsync", true)?;
    // The writer asks for more where something has to be on disk.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // A destroyed secret leaves no bytes in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

fn application(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(sql, [], |row| {
        row.get::<_, u32>(0).map(|tables| tables == 0)
    })
}

/// Two processes may come here at once: the second finds the tables of the first.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&transaction)? {
        transaction.execute_batch(TABLES)?;
        transaction.execute(
            "INSERT INTO about (key, value) VALUES ('written_by', ?1)",
            [env!("CARGO_PKG_VERSION")],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()
}

fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error| open_error(path, &error);
    if application(connection).map_err(fault)? != APPLICATION {
        return Err(OpenError::NotAJournal {
            path: path.to_owned(),
        });
    }
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fault)?;
    if found > FORMAT {
        // The table `about` is part of every format, for this question.
        let written_by: Option<String> = connection
            .query_row(
                "SELECT value FROM about WHERE key = 'written_by'",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(fault)?;
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
            written_by: written_by.unwrap_or_else(|| "of a later date".to_owned()),
        });
    }
    if found < FORMAT {
        return Err(StorageFault {
            what: "open the journal".to_owned(),
            path: path.to_owned(),
            said: format!("it says that it has format {found}, which never was"),
            cause: StorageCause::Damaged,
        }
        .into());
    }
    Ok(())
}
