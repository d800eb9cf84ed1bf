//! What ends a run from the host's side, carried through wasmtime as an error.

use std::fmt;

use crate::{Limit, Mismatch};

/// An error that this crate raised itself while a plugin ran.
#[derive(Debug)]
pub(crate) enum Stop {
    Limit(Limit),
    Mismatch(Mismatch),
    /// The reason is with the host.
    Halted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => limit.fmt(f),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Halted => f.write_str("the host ended the run"),
        }
    }
}

impl std::error::Error for Stop {}
