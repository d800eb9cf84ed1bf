//! What a journal says of runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// What is known of a run when it begins, fixed for its life: a resume uses the same workflow,
/// plugins, inputs and seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: String,
    /// What people call it.
    pub title: String,
    /// Who started it, such as `ana@contoso.com`.
    pub actor: String,
    /// The target's name.
    pub target: String,
    /// The inputs as a JSON object; secrets are handles or left out.
    pub inputs: Value,
    /// The workflow file's text; the record pins its digest.
    #[serde(skip)]
    pub workflow_source: String,
    /// SHA-256 of each plugin's component, in lower-case hexadecimal, by plugin name.
    pub plugin_digests: BTreeMap<String, String>,
    /// What the randomness that plugins see is derived from. Not a secret.
    #[serde(with = "hex_seed")]
    pub seed: [u8; 32],
    /// The time that the run's plugins see as its start (UTC).
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Whether it runs, adopts or takes back.
    pub mode: Mode,
    /// For an undo: the run that it takes back.
    pub parent: Option<String>,
    /// For an adoption: the id of each object that is taken over, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adopts: BTreeMap<String, String>,
}

impl NewRun {
    /// The run that it takes back, for an undo.
    pub(crate) fn undoes(&self) -> Option<&str> {
        self.parent.as_deref().filter(|_| self.mode == Mode::Undo)
    }

    /// SHA-256 of the workflow file, in lower-case hexadecimal.
    pub fn workflow_digest(&self) -> String {
        crate::chain::digest(&self.workflow_source)
    }
}

mod hex_seed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::chain::hex(seed))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        crate::chain::unhex(&text).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It carries out a workflow.
    Run,
    /// It takes existing objects into the care of a workflow's steps.
    Adopt,
    /// It takes back what its parent did.
    Undo,
}

/// Who advances a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Tells apart boots and process namespaces in which pids mean different processes; empty
    /// where the system does not say, and then only the heartbeat counts.
    pub machine: String,
    /// On whose behalf.
    pub actor: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {} on {})", self.actor, self.pid, self.host)
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A living process advances it.
    Running,
    /// It has not ended and nobody advances it: it can be resumed.
    Interrupted,
    /// It ended well.
    Succeeded,
    /// A step failed; it can be resumed or undone.
    Failed,
    /// It was asked to stop; it can be resumed or undone.
    Cancelled,
    /// Another run has taken back a part of it; a later undo takes back the rest.
    PartlyUndone,
    /// Another run has taken it back.
    Undone,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::PartlyUndone => "partly undone",
            Self::Undone => "undone",
        })
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All is done. The run cannot be taken up again.
    Succeeded,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Cancelled,
    /// All that was asked of an undo is done, and that was only a part of the run that it takes back.
    Partly,
}

impl From<Ending> for Status {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Succeeded | Ending::Partly => Self::Succeeded,
            Ending::Failed => Self::Failed,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

/// A run as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run's id.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// The workflow's name.
    pub workflow: String,
    /// What people call it.
    pub title: String,
    /// Who started it.
    pub actor: String,
    /// The target's name.
    pub target: String,
    /// Whether it runs, adopts or takes back.
    pub mode: Mode,
    /// For an undo: the run that it takes back.
    pub parent: Option<String>,
    /// When it began (UTC).
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended (UTC), if it has.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// What it ended with, in the engine's form.
    pub outcome: Option<Value>,
    /// How many entries its record has.
    pub entries: u64,
    /// Who advances it, or did when it was interrupted.
    pub holder: Option<Holder>,
}

/// A run with all that it began with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// As lists show it.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// What it began with.
    pub beginning: NewRun,
}

/// The answer to [`Store::runs`](crate::Store::runs).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunList {
    /// The runs, the newest first.
    pub runs: Vec<RunSummary>,
    /// Runs of which the record no longer says what they are.
    #[serde(skip)]
    pub damaged: Vec<crate::Damage>,
}

/// Which runs to list; the newest come first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only those of this workflow.
    pub workflow: Option<String>,
    /// Only those that stand so.
    pub status: Option<Status>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// One line of a run's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// Counted from 1 within the run.
    pub seq: u64,
    /// The step attempt, or empty for the run itself.
    pub address: String,
    /// Counted from 1 within the invocation; none for the journal's own entries.
    pub position: Option<u64>,
    /// `intent`, `outcome`, `sleep`, … or the journal's own `run.created`, `run.acquired`,
    /// `run.ended`.
    pub kind: String,
    /// What was asked.
    pub fingerprint: String,
    /// What people and audit read of it.
    pub facts: Value,
    /// What a replay is answered with.
    pub value: Value,
    /// When it was recorded (UTC, RFC 3339 with milliseconds).
    pub time: String,
    /// The entry before it, or zeros: SHA-256 in lower-case hexadecimal.
    pub prev: String,
    /// This entry: SHA-256 over `prev` and the entry, in lower-case hexadecimal.
    pub hash: String,
}

/// A run's record, as far as it is intact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// The intact entries, in order.
    pub entries: Vec<JournalEntry>,
    /// What is wrong after them, if anything.
    #[serde(skip)]
    pub damage: Option<crate::Damage>,
}
