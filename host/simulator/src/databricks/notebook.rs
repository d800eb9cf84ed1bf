//! Executes a notebook: SQL cells on the SQL engine, Python cells as far as `python` goes.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::notebook_source::{Cell, Language, cells};
use super::python;
use super::secrets;
use super::sql_engine::{Engine, Table};
use super::storage_access::{Conf, Storage};
use crate::World;

/// Bytes kept of a result.
const LARGEST: usize = 5 * 1024 * 1024;

/// Why a notebook stopped before its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// `dbutils.notebook.exit`.
    Exit(String),
    /// A fault: what `error` and `error_trace` of the run's output say.
    Fault { error: String, trace: String },
}

impl Stop {
    /// A fault whose trace is its message.
    pub(super) fn fault(error: impl Into<String>) -> Self {
        let error = error.into();
        Self::Fault {
            trace: error.clone(),
            error,
        }
    }
}

/// What a notebook may reach while it runs.
pub(super) struct Session<'a> {
    pub(super) world: &'a World,
    pub(super) state: &'a crate::State,
    /// The identity that the job runs as, id and name.
    pub(super) identity: (u64, &'a str),
    pub(super) conf: Conf,
    pub(super) storage: Storage,
    pub(super) parameters: BTreeMap<String, String>,
    engine: Engine,
    fetched: Vec<Zeroizing<String>>,
}

impl<'a> Session<'a> {
    /// A session with its own empty database.
    pub(super) fn new(
        world: &'a World,
        state: &'a crate::State,
        identity: (u64, &'a str),
        parameters: BTreeMap<String, String>,
    ) -> Result<Self, Stop> {
        Ok(Self {
            world,
            state,
            identity,
            conf: Conf::new(),
            storage: Storage::default(),
            parameters,
            engine: Engine::new().map_err(|fault| Stop::fault(fault.message))?,
            fetched: Vec::new(),
        })
    }

    /// Runs a SQL script. Reading storage needs the storage role, like any other way.
    pub(super) fn sql(&self, script: &str) -> Result<Option<Table>, Stop> {
        if let Some(url) = abfss(script) {
            self.storage
                .files(self.world, self.state, url)
                .map_err(Stop::fault)?;
            return Err(Stop::fault(
                "The simulator does not read files in SQL; use spark.read in a Python cell.",
            ));
        }
        self.engine
            .run(script, &self.parameters)
            .map_err(|fault| Stop::fault(fault.message))
    }

    /// `dbutils.secrets.get`, as the identity that the job runs as.
    pub(super) fn secret(&mut self, scope: &str, key: &str) -> Result<String, Stop> {
        let value = secrets::resolve_text(self.world, self.state, self.identity, scope, key)
            .map_err(|refusal| Stop::Fault {
                error: format!(
                    "Py4JJavaError: An error occurred while calling o1.get: {}",
                    refusal.summary()
                ),
                trace: format!(
                    "com.databricks.common.client.DatabricksServiceHttpClientException: {}",
                    refusal.summary()
                ),
            })?;
        self.fetched.push(value.clone());
        Ok(value.to_string())
    }

    /// Replaces the secrets that the notebook has fetched.
    fn redacted(&self, text: String) -> String {
        self.fetched
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| {
                text.replace(secret.as_str(), "[REDACTED]")
            })
    }
}

fn abfss(script: &str) -> Option<&str> {
    let from = script
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .find_map(|line| line.find("abfss://").and_then(|at| line.get(at..)))?;
    from.split(['\'', '`', '"', ' ', ')']).next()
}

/// What a notebook leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub(super) result: Option<String>,
    pub(super) truncated: bool,
}

/// Runs all cells. The result is what the notebook exits with, else the last SQL cell's table as
/// JSON text (the simulator's own choice; Databricks shows that table only in the notebook).
pub(super) fn run(
    session: &mut Session<'_>,
    language: Language,
    source: &str,
) -> Result<Output, Stop> {
    let outcome = run_cells(session, language, source);
    match outcome {
        Ok(result) | Err(Stop::Exit(result)) => {
            let mut result = session.redacted(result);
            let truncated = result.len() > LARGEST;
            if truncated {
                let end = (0..=LARGEST).rev().find(|at| result.is_char_boundary(*at));
                result.truncate(end.unwrap_or(0));
            }
            Ok(Output {
                result: (!result.is_empty()).then_some(result),
                truncated,
            })
        }
        Err(Stop::Fault { error, trace }) => Err(Stop::Fault {
            error: session.redacted(error),
            trace: session.redacted(trace),
        }),
    }
}

fn run_cells(session: &mut Session<'_>, language: Language, source: &str) -> Result<String, Stop> {
    let mut last = String::new();
    let mut variables = python::Variables::new();
    for cell in cells(language, source) {
        match cell {
            Cell::Prose => {}
            Cell::Code(Language::Sql, script) => {
                if let Some(table) = session.sql(&script)? {
                    last = table.to_json();
                }
            }
            Cell::Code(Language::Python, code) => python::run(session, &mut variables, &code)?,
            Cell::Code(other, _) => {
                return Err(Stop::fault(format!(
                    "The simulator does not run {other:?}; use SQL or Python."
                )));
            }
            Cell::Foreign(magic) => {
                return Err(Stop::fault(format!(
                    "The simulator does not run %{magic} cells; use SQL or Python."
                )));
            }
        }
    }
    Ok(last)
}
