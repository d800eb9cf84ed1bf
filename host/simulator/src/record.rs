//! The record of requests: which, never what was in them.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use crate::store::{StoreError, io_error};

/// The file of all requests in a state folder.
pub(crate) const REQUESTS: &str = "requests.jsonl";

/// One request as it is remembered: no header values, no bodies, no secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Counts up from 1 over all starts on a folder.
    pub seq: u64,
    /// When the request arrived, RFC 3339.
    pub time: String,
    /// The service that answered.
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// The host the client named.
    pub host: String,
    /// The path and query.
    pub path: String,
    /// The status sent, or none when the connection was cut instead.
    pub status: Option<u16>,
    /// The client id or user principal name in the bearer token, if any.
    pub caller: Option<String>,
    /// The request id the service answered with.
    pub request_id: String,
    /// Time from the whole request to the reply, in milliseconds.
    pub duration_ms: u64,
    /// The name of the fault that was injected, if any.
    pub fault: Option<String>,
}

/// Who made a request, for the record: a service whose tokens are its own puts this into the
/// extensions of its reply.
#[derive(Clone, Debug)]
pub struct Caller(pub String);

/// The requests of this process in memory, and those of all on disk.
pub(crate) struct Recorder(Mutex<Held>);

struct Held {
    next: u64,
    records: Vec<RequestRecord>,
    file: File,
}

impl Recorder {
    /// Opens the record in a folder, to be continued.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(REQUESTS);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(io_error("open the request record", &path))?;
        let earlier = BufReader::new(&mut file).lines().count();
        Ok(Self(Mutex::new(Held {
            next: earlier as u64 + 1,
            records: Vec::new(),
            file,
        })))
    }

    /// Adds a record, numbering it. Losing a line of the file is no reason to fail a request, so
    /// a failed append is let go; the record in memory has it.
    pub(crate) fn add(&self, mut record: RequestRecord) {
        let mut held = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        record.seq = held.next;
        held.next += 1;
        if let Ok(mut line) = serde_json::to_vec(&record) {
            line.push(b'\n');
            let _lost = held.file.write_all(&line);
        }
        held.records.push(record);
    }

    pub(crate) fn list(&self) -> Vec<RequestRecord> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .records
            .clone()
    }
}
