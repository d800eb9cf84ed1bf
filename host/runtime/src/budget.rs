//! What one run of a plugin may use, and how it is said that it wanted more.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run of a plugin may use. Every limit is on; the defaults fit steps in Rust, and in
/// JavaScript or Python once their runtimes get the memory they start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Units of wasmtime fuel, about one per instruction: the limit that gives the same verdict
    /// on every machine.
    pub fuel: u64,
    /// Time spent in the plugin's own code. Time in host calls is the host's and not counted.
    pub time: Duration,
    /// Bytes of all linear memories together.
    pub memory: u64,
    /// Elements of all tables together.
    pub table: u64,
    /// Component-model handles that are open at once.
    pub handles: usize,
    /// Calls to the host.
    pub host_calls: u64,
    /// Bytes that one host call may carry, arguments and answer each.
    pub host_call_bytes: usize,
    /// Bytes that all host calls of the run may carry, arguments and answers.
    pub host_bytes: usize,
    /// Bytes of the outputs or the error that `run` returns.
    pub result_bytes: usize,
    /// Bytes of standard output and error that are kept; the rest is dropped and counted.
    pub log_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            time: Duration::from_secs(10),
            memory: 64 << 20,
            table: 100_000,
            handles: 1_000,
            host_calls: 10_000,
            host_call_bytes: 4 << 20,
            host_bytes: 64 << 20,
            result_bytes: 1 << 20,
            log_bytes: 64 << 10,
        }
    }
}

/// What a run used of its [`Budget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Units of fuel.
    pub fuel: u64,
    /// The most bytes that its memories had.
    pub memory_peak: u64,
    /// Calls to the host.
    pub host_calls: u64,
}

/// Which limit of a [`Budget`] ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// [`Budget::fuel`]
    Fuel,
    /// [`Budget::time`], in milliseconds
    Time,
    /// [`Budget::memory`]
    Memory,
    /// [`Budget::table`]
    Table,
    /// [`Budget::handles`]
    Handles,
    /// [`Budget::host_call_bytes`]
    HostCallBytes,
    /// [`Budget::host_calls`]
    HostCalls,
    /// [`Budget::host_bytes`]
    HostBytes,
    /// [`Budget::result_bytes`]
    ResultSize,
    /// The call stack, whose size is the same for every plugin.
    Stack,
}

impl LimitKind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; 10] = [
        Self::Fuel,
        Self::Time,
        Self::Memory,
        Self::Table,
        Self::Handles,
        Self::HostCallBytes,
        Self::HostCalls,
        Self::ResultSize,
        Self::Stack,
        Self::HostBytes,
    ];

    /// The code of the error.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fuel => "LK9501",
            Self::Time => "LK9502",
            Self::Memory => "LK9503",
            Self::Table => "LK9504",
            Self::Handles => "LK9505",
            Self::HostCallBytes => "LK9506",
            Self::HostCalls => "LK9507",
            Self::ResultSize => "LK9508",
            Self::Stack => "LK9509",
            Self::HostBytes => "LK9510",
        }
    }

    fn noun(self) -> (&'static str, &'static str) {
        match self {
            Self::Fuel => ("computation", "units of fuel"),
            Self::Time => ("time in its own code", "ms"),
            Self::Memory => ("memory", "bytes"),
            Self::Table => ("table space", "elements"),
            Self::Handles => ("open handles", "handles"),
            Self::HostCallBytes => ("data in one host call", "bytes"),
            Self::HostCalls => ("host calls", "calls"),
            Self::HostBytes => ("data in its host calls together", "bytes"),
            Self::ResultSize => ("data in its result", "bytes"),
            Self::Stack => ("call stack", "bytes"),
        }
    }
}

/// A limit that ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which one.
    pub kind: LimitKind,
    /// What the budget allows, in the unit of the kind.
    pub allowed: u64,
    /// What the plugin had used or asked for when it was stopped, where that is known exactly.
    pub used: Option<u64>,
}

impl Limit {
    pub(crate) fn new(kind: LimitKind, allowed: impl Amount, used: Option<u64>) -> Self {
        Self {
            kind,
            allowed: allowed.amount(),
            used,
        }
    }
}

pub(crate) trait Amount {
    fn amount(self) -> u64;
}

impl Amount for u64 {
    fn amount(self) -> u64 {
        self
    }
}

impl Amount for usize {
    fn amount(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = self.kind.noun();
        write!(
            f,
            "the plugin needs more {what} than it may have: {} {unit} allowed",
            self.allowed
        )?;
        match self.used {
            Some(used) => write!(f, ", {used} used or asked for"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Limit {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_limit_has_its_own_code_and_says_cap_and_use() {
        let codes: BTreeSet<_> = LimitKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), LimitKind::ALL.len());
        let limit = Limit::new(LimitKind::Memory, 4_u64 << 20, Some(5 << 20));
        assert_eq!(
            limit.to_string(),
            "the plugin needs more memory than it may have: 4194304 bytes allowed, 5242880 used or asked for"
        );
    }
}
