//! The audit log: a line per event that matters to a reviewer, each bound to the one before.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockkeeper_gate::{Event, Listener, ListenerError, Outcome};
use lockkeeper_types::Value;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::exit::{Exit, Problem};

/// What the first line is bound to.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Appends to the audit log. Several processes may; each line is appended under a file lock.
pub(crate) struct Audit {
    path: PathBuf,
    actor: String,
    target: String,
    end: Mutex<End>,
    /// Of each run that is gone on with or taken back: what the log held of its calls by then.
    held: Mutex<HashMap<String, HashSet<String>>>,
}

/// The log, and its last line as this process left it.
struct End {
    file: File,
    /// The file's length after that line; another one means that somebody else wrote meanwhile.
    length: u64,
    seq: u64,
    digest: String,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    run: String,
    event: Value,
}

impl End {
    /// Finds the last line again, unless it is the one this process wrote. Under the file's lock.
    ///
    /// A line that was cut short, by a full disk or the loss of power, is ended and stays where it
    /// is: nothing is ever taken out of the log. It is no link of the chain, which goes on from the
    /// last whole line.
    fn catch_up(&mut self) -> io::Result<()> {
        let mut length = self.file.metadata()?.len();
        if length == self.length {
            return Ok(());
        }
        if is_torn(&mut self.file, length)? {
            self.file.write_all(b"\n")?;
            length += 1;
        }
        (self.seq, self.digest) = match last_whole(&mut self.file, length)? {
            None => (0, GENESIS.to_owned()),
            Some((seq, line)) => (seq, digest(&line)),
        };
        self.length = length;
        Ok(())
    }

    /// Writes `line`, which `seq` numbers. One that is cut short is found at the next.
    fn write(&mut self, line: &str, seq: u64) -> io::Result<()> {
        let digest = digest(line);
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes())?;
        self.length += line.len() as u64;
        (self.seq, self.digest) = (seq, digest);
        Ok(())
    }
}

impl Audit {
    /// Opens the log at `path`, on behalf of `actor` at `target`.
    pub(crate) fn open(path: &Path, actor: &str, target: &str) -> Result<Self, Problem> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(|error| {
                Problem::new(
                    Exit::Failed,
                    format!("cannot open the audit log {}: {error}", path.display()),
                )
                .help("make the state folder writable; nothing runs that is not audited")
            })?;
        Ok(Self {
            path: path.to_owned(),
            actor: actor.to_owned(),
            target: target.to_owned(),
            end: Mutex::new(End {
                file,
                length: 0,
                seq: 0,
                digest: GENESIS.to_owned(),
            }),
            held: Mutex::default(),
        })
    }

    /// What the log holds of the calls of `run`, but for what was uncertain.
    fn calls_of(&self, run: &str) -> io::Result<HashSet<String>> {
        let mut calls = HashSet::new();
        for line in BufReader::new(File::open(&self.path)?).split(b'\n') {
            let Ok(Line { run: of, event, .. }) = serde_json::from_slice(&line?) else {
                continue;
            };
            let is = |name: &str| event.get(name).and_then(Value::as_str);
            if of == run && is("mark").is_some() && is("outcome") != Some("unknown") {
                calls.insert(event.to_string());
            }
        }
        Ok(calls)
    }

    /// Whether the log held this call of `run` before this process went on with it.
    fn holds(&self, run: &str, event: &Value) -> bool {
        self.lock_held()
            .get(run)
            .is_some_and(|calls| calls.contains(&event.to_string()))
    }

    fn lock_held(&self) -> MutexGuard<'_, HashMap<String, HashSet<String>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line, `late` if what it tells of may be long past.
    fn append(&self, run: &str, step: Option<&str>, event: &Event, late: bool) -> io::Result<()> {
        let told = serde_json::to_value(event)?;
        if self.holds(run, &told) {
            return Ok(());
        }
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.file.lock()?;
        let appended = (|| {
            end.catch_up()?;
            let seq = end.seq + 1;
            let mut line = json!({
                "v": 1,
                "seq": seq,
                "time": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
                "actor": self.actor,
                "pid": std::process::id(),
                "target": self.target,
                "run": run,
                "step": step,
                "event": told,
                "prev": end.digest,
            });
            if let (true, Some(line)) = (late, line.as_object_mut()) {
                line.insert("late".to_owned(), true.into());
            }
            end.write(&line.to_string(), seq)
        })();
        end.file.unlock()?;
        appended?;
        // The journal has synced the intent itself by now; the log is synced where a run ends, and
        // where something was refused or is uncertain.
        if matches!(
            event,
            Event::RunEnd { .. }
                | Event::CallOutcome {
                    outcome: Outcome::Denied | Outcome::Unknown,
                    ..
                }
        ) {
            end.file.sync_data()?;
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> ListenerError {
        let path = self.path.display();
        ListenerError(format!("cannot write the audit log {path}: {error}"))
    }
}

/// Whether a log of `length` bytes ends within a line.
fn is_torn(file: &mut File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(false);
    };
    let mut end = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut end)?;
    Ok(end != *b"\n")
}

/// The last whole line of a log of `length` bytes, read from its end, and its number.
fn last_whole(file: &mut File, length: u64) -> io::Result<Option<(u64, String)>> {
    // A line is a few hundred bytes; a window that holds none whole is widened.
    let mut window = 16 * 1024;
    loop {
        let start = length.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let lines: Vec<Vec<u8>> = BufReader::new(&mut *file)
            .split(b'\n')
            .collect::<Result<_, _>>()?;
        let found = lines.into_iter().rev().find_map(|line| {
            let Line { seq, .. } = serde_json::from_slice(&line).ok()?;
            Some((seq, String::from_utf8(line).ok()?))
        });
        if found.is_some() || start == 0 {
            return Ok(found);
        }
        window *= 4;
    }
}

fn digest(line: &str) -> String {
    format!("{:x}", Sha256::digest(line))
}

impl Listener for Audit {
    fn hear(&self, run: &str, step: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        let matters = match event {
            Event::CallIntent(_)
            | Event::CallOutcome { .. }
            | Event::RunStart { .. }
            | Event::RunEnd { .. } => true,
            Event::StepStart { .. }
            | Event::StepProgress { .. }
            | Event::StepNote { .. }
            | Event::Waiting { .. }
            | Event::StepComplete { .. }
            | Event::StepSkipped { .. }
            | Event::StepFailed { .. } => false,
        };
        if !matters || run == "plan" {
            return Ok(());
        }
        self.append(run, step, event, false)
            .map_err(|error| self.broken(&error))
    }

    fn recall(&self, run: &str, recorded: &[(String, Event)]) -> Result<(), ListenerError> {
        let calls = self.calls_of(run).map_err(|error| self.broken(&error))?;
        // What the journal lost with the process is done and told again; it is in the log once.
        self.lock_held().insert(run.to_owned(), calls);
        recorded
            .iter()
            .try_for_each(|(step, event)| self.append(run, Some(step), event, true))
            .map_err(|error| self.broken(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_bound_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        // Two processes at once, and a third that comes back.
        let one = Audit::open(&path, "ana@contoso.com", "sim").unwrap();
        let other = Audit::open(&path, "bob@contoso.com", "sim").unwrap();
        for (audit, status) in [
            (&one, "failed"),
            (&one, "succeeded"),
            (&other, "cancelled"),
            (&one, "failed"),
        ] {
            audit
                .hear(
                    "7Q3M",
                    None,
                    &Event::RunEnd {
                        status: status.to_owned(),
                    },
                )
                .unwrap();
            audit
                .hear(
                    "7Q3M",
                    None,
                    &Event::StepProgress {
                        message: "x".into(),
                    },
                )
                .unwrap();
        }
        assert_eq!(chained(&path), 4);
    }

    /// Checks the chain, and gives how many lines it has; what is no whole line is no part of it.
    fn chained(path: &Path) -> usize {
        let text = std::fs::read_to_string(path).unwrap();
        let (mut count, mut prev) = (0, GENESIS.to_owned());
        for line in text.lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            count += 1;
            assert_eq!(value["seq"], count as u64);
            assert_eq!(value["prev"], prev);
            prev = digest(line);
        }
        count
    }

    fn end(audit: &Audit) {
        let event = Event::RunEnd {
            status: "failed".to_owned(),
        };
        audit.hear("7Q3M", None, &event).unwrap();
    }

    #[test]
    fn a_line_that_was_cut_short_stays_and_breaks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let open = || Audit::open(&path, "ana@contoso.com", "sim").unwrap();
        let audit = open();
        end(&audit);
        end(&audit);
        let whole = std::fs::read_to_string(&path).unwrap();
        let second = whole.lines().nth(1).unwrap();
        // Cut at every byte, longer than any window, and twice in a row. What lacks its end only
        // is whole.
        let long = "x".repeat(100_000);
        let torn = (1..second.len()).map(|cut| &second[..cut]);
        for torn in torn.chain([long.as_str(), "x\n{\"v\":1", "\0\0\0"]) {
            std::fs::write(&path, format!("{whole}{torn}")).unwrap();
            end(&open());
            // This process is at work already when another one's line is cut short.
            end(&audit);
            assert_eq!(chained(&path), 4, "{torn}");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&format!("{whole}{torn}\n")), "{text}");
        }
        std::fs::write(&path, whole.trim_end()).unwrap();
        end(&open());
        assert_eq!(chained(&path), 3);
        std::fs::write(&path, "{\"v\":1,").unwrap();
        end(&open());
        assert_eq!(chained(&path), 1);
    }
}
