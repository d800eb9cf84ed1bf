//! What can go wrong with the record, said so that a person knows what to do next.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::model::{Holder, Status};

/// Why a durable operation did not give a value.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The program asks for something else than it asked when the run was recorded.
    #[error(
        "run {run}{}: entry {position} was `{recorded}` when it was recorded, and is now `{asked}`; \
         the same workflow and plugins must ask the same on resume, so nothing was sent",
        at(.address)
    )]
    Diverged {
        /// The run.
        run: String,
        /// The step attempt, or empty.
        address: String,
        /// Counted from 1 within the invocation.
        position: u64,
        /// Kind and fingerprint in the record.
        recorded: String,
        /// Kind and fingerprint now.
        asked: String,
    },
    /// Another process has taken the run over, so this one may not go on with it.
    #[error("run {run} was taken over by {holder}; this process stops, nothing more is sent")]
    Fenced {
        /// The run.
        run: String,
        /// Who has it now.
        holder: String,
    },
    /// The record could not be written or read.
    #[error(transparent)]
    Storage(#[from] StorageFault),
    /// The run was asked to stop.
    #[error("the run was cancelled")]
    Cancelled,
    /// The caller could not go on for a reason of its own, which must not be recorded.
    #[error("{0}")]
    Stopped(String),
}

fn at(address: &str) -> String {
    if address.is_empty() {
        String::new()
    } else {
        format!(", {address}")
    }
}

/// The storage below the journal failed: what was tried, where, what was said, why, what next.
#[derive(Clone, Debug, Error)]
#[error("cannot {what} in {}: {said}\n  likely: {}\n  next:   {}", .path.display(), .cause.likely(), .cause.next())]
pub struct StorageFault {
    /// What was tried, in words.
    pub what: String,
    /// The journal file.
    pub path: PathBuf,
    /// What the storage said.
    pub said: String,
    /// What sort of failure it is.
    pub cause: StorageCause,
}

/// Sorts of storage failure that call for different next steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageCause {
    /// No space left.
    Full,
    /// The file, its folder or the file system does not take writes.
    ReadOnly,
    /// The file's contents are damaged.
    Damaged,
    /// Another process held the file for too long.
    Busy,
    /// The operating system refused otherwise.
    Io,
    /// The journal's thread has ended, or SQLite refused what this program asked: a mistake here.
    Internal,
}

impl StorageCause {
    fn likely(self) -> &'static str {
        match self {
            Self::Full => "the disk, or the quota of this user on it, is full",
            Self::ReadOnly => "this user may not write to the file or to the folder it is in",
            Self::Damaged => "the file was cut short or changed by something else than lockkeeper",
            Self::Busy => "another lockkeeper process is writing, or hangs, on a slow disk",
            Self::Io => "the disk or the network file system fails",
            Self::Internal => "a mistake in lockkeeper",
        }
    }

    fn next(self) -> &'static str {
        match self {
            Self::Full => "free some space, then resume the run",
            Self::ReadOnly => {
                "give this user write access to both, or choose another folder for the journal"
            }
            Self::Damaged => {
                "keep a copy of the file and of those beside it, verify the journal to see which \
                 entries are intact, and restore the rest from a backup"
            }
            Self::Busy => "wait for the other process or end it, then try again",
            Self::Io => "look at the system's log, then resume the run",
            Self::Internal => "report it with this text",
        }
    }

    fn of(error: &rusqlite::Error) -> Self {
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // There is no room for the index of the write-ahead log.
            Some(_) if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly
            }
            // No code: a column of another type or not UTF-8; SQLite found the row, its bytes are wrong.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => Self::Damaged,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => Self::Io,
            Some(_) => Self::Internal,
        }
    }
}

impl StorageFault {
    pub(crate) fn new(what: impl Into<String>, path: &Path, error: &rusqlite::Error) -> Self {
        Self {
            what: what.into(),
            path: path.to_owned(),
            said: error.to_string(),
            cause: StorageCause::of(error),
        }
    }
}

/// Why a journal could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It was written by a newer program.
    #[error(
        "the journal {} has format {found}, written by lockkeeper {written_by}; \
         this is lockkeeper {}, which knows formats up to {known}\n  \
         next:   install lockkeeper {written_by} or newer",
        .path.display(), env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The journal file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
        /// The version to install.
        written_by: String,
    },
    /// It is some other file.
    #[error(
        "{} is not a lockkeeper journal, or its first bytes are damaged\n  \
         next:   choose another path, or restore it from a backup",
        .path.display()
    )]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
}

/// Why a run was not found.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No run has this id or prefix.
    #[error("there is no run `{asked}`\n  next:   list the runs")]
    Unknown {
        /// What was asked.
        asked: String,
    },
    /// Several runs begin with it.
    #[error("`{asked}` could be any of {}\n  next:   say more of the id", .candidates.join(", "))]
    Ambiguous {
        /// What was asked.
        asked: String,
        /// The runs that begin with it, at most ten.
        candidates: Vec<String>,
    },
    /// The run's first entry, which says what it is, is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
}

/// Why a run could not be taken.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// A living process has it.
    #[error(
        "run {run} is held by {holder}, heard of {heard_seconds_ago} s ago\n  next:   wait for it, or end that process"
    )]
    Held {
        /// The run.
        run: String,
        /// Who has it.
        holder: Box<Holder>,
        /// Seconds since its last heartbeat.
        heard_seconds_ago: i64,
    },
    /// It has ended for good.
    #[error("run {run} has ended for good ({status}); there is nothing to go on with")]
    Ended {
        /// The run.
        run: String,
        /// How it ended.
        status: Status,
    },
    /// An undo of it began and did not end well, so its record no longer says what is there.
    #[error(
        "run {run} was taken back in part by undo {undo}\n  next:   go on with {undo}, or undo {run} once more"
    )]
    TakenBack {
        /// The run.
        run: String,
        /// The latest undo of it.
        undo: String,
    },
    /// Its record does not verify, so going on could repeat what was done.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// No such run.
    #[error("there is no run `{run}`\n  next:   list the runs")]
    Unknown {
        /// The id.
        run: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
}

/// Where a run's record stops being what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the record of run {run} is damaged from entry {first_bad} on: {what}; {} before it {} intact\n  \
     next:   keep a copy of the journal, and restore it from a backup; the run cannot go on from here",
    match .first_bad { 0 | 1 => "nothing".to_owned(), 2 => "entry 1".to_owned(), n => format!("entries 1 to {}", n - 1) },
    if *.first_bad == 2 { "is" } else { "are" }
)]
pub struct Damage {
    /// The run.
    pub run: String,
    /// The first entry that is not intact, counted from 1.
    pub first_bad: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Why a verification did not succeed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The record differs from what was recorded.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
}
