//! Why a plugin cannot be loaded, before any of its code runs.

use std::path::PathBuf;

use thiserror::Error;

/// A plugin that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("plugin `{plugin}` cannot be loaded: {problem}")]
pub struct LoadError {
    /// The name it was to be loaded as.
    pub plugin: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The bytes are something else.
    #[error(
        "it is {0}, not a WebAssembly component; a plugin is built with `--target wasm32-wasip2`"
    )]
    NotComponent(&'static str),
    /// It is beyond a cap that keeps loading cheap.
    #[error("it has {found} {what}, more than the {allowed} that a plugin may have")]
    TooLarge {
        /// What of it.
        what: &'static str,
        /// The cap.
        allowed: u64,
        /// What it has.
        found: u64,
    },
    /// It uses a feature that plugins may not use.
    #[error("it uses {0}, which plugins cannot use here")]
    Feature(&'static str),
    /// It is not valid.
    #[error("the component is not valid: {0}")]
    Malformed(String),
    /// It imports what no plugin gets.
    #[error("it imports `{import}`; {why}")]
    Import {
        /// The import's full name.
        import: String,
        /// Why it does not get it, and what to do instead.
        why: String,
    },
    /// Its `run` is not what a plugin exports.
    #[error("{0}; a plugin exports `run: func(inputs: …) -> result<…, step-error>`")]
    Contract(String),
}

impl Problem {
    /// The code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotComponent(_) => "LK9530",
            Self::TooLarge { .. } => "LK9531",
            Self::Feature(_) => "LK9532",
            Self::Malformed(_) => "LK9533",
            Self::Import { .. } => "LK9534",
            Self::Contract(_) => "LK9535",
        }
    }
}

/// Why the runtime itself cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// wasmtime refuses the settings, as on a platform it has no compiler for.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The folder for compiled plugins cannot be made or read.
    #[error("the folder for compiled plugins, {}, cannot be used: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Somebody else could put machine code into the folder.
    #[error(
        "the folder for compiled plugins, {}, {what}; what is in it runs as this user, so make it a folder of your own with `chmod 700`",
        path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}
