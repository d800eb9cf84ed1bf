//! Runs SQL: every script gets a fresh database in memory, cut off from files.

use std::collections::BTreeMap;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, Statement};
use serde_json::{Value, json};

/// A statement is stopped after so many thousand steps of SQLite's machine; seconds at most.
const MOST_STEPS: u32 = 100_000;
/// Rows kept of one result.
const MOST_ROWS: usize = 10_000;

/// A result: columns with their SQL types, and cells as text.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Whether rows were left off.
    pub(super) truncated: bool,
}

/// A column of a result.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_name: &'static str,
}

impl Table {
    /// A table of one text column.
    pub(super) fn of_lines(name: &str, lines: impl IntoIterator<Item = String>) -> Self {
        Self {
            columns: vec![Column {
                name: name.to_owned(),
                type_name: "STRING",
            }],
            rows: lines.into_iter().map(|line| vec![Some(line)]).collect(),
            truncated: false,
        }
    }

    /// The table as JSON text.
    pub(super) fn to_json(&self) -> String {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": column.type_name }))
            .collect();
        json!({ "columns": columns, "rows": self.rows }).to_string()
    }
}

/// A refused or failed statement.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SqlFault {
    /// The error class, like `PARSE_SYNTAX_ERROR`.
    pub(super) class: &'static str,
    /// The whole message, beginning with the class in brackets.
    pub(super) message: String,
}

impl SqlFault {
    fn new(class: &'static str, reason: &str) -> Self {
        Self {
            class,
            message: format!("[{class}] {reason}"),
        }
    }

    fn of(fault: &rusqlite::Error) -> Self {
        let reason = match fault {
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
            other => other.to_string(),
        };
        let class = if reason.contains("syntax error")
            || reason.contains("incomplete input")
            || reason.contains("unrecognized token")
        {
            "PARSE_SYNTAX_ERROR"
        } else if reason.contains("no such table") {
            "TABLE_OR_VIEW_NOT_FOUND"
        } else if reason.contains("no such column") {
            "UNRESOLVED_COLUMN"
        } else if reason.contains("no such function") {
            "UNRESOLVED_ROUTINE"
        } else if reason.contains("not authorized") {
            "UNSUPPORTED_FEATURE"
        } else {
            "EXECUTION_ERROR"
        };
        Self::new(class, &reason)
    }
}

/// A database in memory that one notebook or statement works in.
pub(super) struct Engine(Connection);

impl Engine {
    /// An empty database.
    pub(super) fn new() -> Result<Self, SqlFault> {
        let connection = Connection::open_in_memory().map_err(|fault| SqlFault::of(&fault))?;
        connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Pragma { .. } => {
                Authorization::Deny
            }
            _ => Authorization::Allow,
        }));
        Ok(Self(connection))
    }

    /// Runs all statements of a script; gives the last one's result, none if the script is empty.
    pub(super) fn run(
        &self,
        script: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<Table>, SqlFault> {
        let mut steps = 0;
        self.0.progress_handler(
            1000,
            Some(move || {
                steps += 1;
                steps > MOST_STEPS
            }),
        );
        let mut batch = Batch::new(&self.0, script);
        let mut last = None;
        while let Some(mut statement) = batch.next().map_err(|fault| SqlFault::of(&fault))? {
            bind(&mut statement, parameters)?;
            last = Some(collect(&mut statement).map_err(|fault| SqlFault::of(&fault))?);
        }
        Ok(last)
    }
}

/// Gives the named parameters (`:name`) of a statement their values.
fn bind(
    statement: &mut Statement<'_>,
    parameters: &BTreeMap<String, String>,
) -> Result<(), SqlFault> {
    for index in 1..=statement.parameter_count() {
        let name = statement
            .parameter_name(index)
            .map(|name| name.trim_start_matches([':', '@', '$']).to_owned())
            .unwrap_or_default();
        let value = parameters.get(&name).ok_or_else(|| {
            SqlFault::new(
                "UNBOUND_SQL_PARAMETER",
                &format!("Found the unbound parameter: {name}. Please give it a value."),
            )
        })?;
        statement
            .raw_bind_parameter(index, value)
            .map_err(|fault| SqlFault::of(&fault))?;
    }
    Ok(())
}

fn collect(statement: &mut Statement<'_>) -> rusqlite::Result<Table> {
    let names: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut types = vec!["VOID"; names.len()];
    let mut table = Table::default();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if table.rows.len() == MOST_ROWS {
            table.truncated = true;
            break;
        }
        let mut cells = Vec::with_capacity(names.len());
        for (index, known) in types.iter_mut().enumerate() {
            let value = row.get_ref(index)?;
            *known = wider(known, value);
            cells.push(match value {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string()),
                ValueRef::Real(number) => Some(number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            });
        }
        table.rows.push(cells);
    }
    table.columns = names
        .into_iter()
        .zip(types)
        .map(|(name, type_name)| Column { name, type_name })
        .collect();
    Ok(table)
}

/// The type of a column that had `known` so far and has this value too.
fn wider(known: &'static str, value: ValueRef<'_>) -> &'static str {
    let found = match value {
        ValueRef::Null => return known,
        ValueRef::Integer(number) if i32::try_from(number).is_ok() => "INT",
        ValueRef::Integer(_) => "BIGINT",
        ValueRef::Real(_) => "DOUBLE",
        ValueRef::Text(_) => "STRING",
        ValueRef::Blob(_) => "BINARY",
    };
    match (known, found) {
        ("VOID", found) => found,
        (known, found) if known == found => known,
        ("INT", "BIGINT") | ("BIGINT", "INT") => "BIGINT",
        ("INT" | "BIGINT", "DOUBLE") | ("DOUBLE", "INT" | "BIGINT") => "DOUBLE",
        _ => "STRING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<Option<Table>, SqlFault> {
        Engine::new().unwrap().run(script, &BTreeMap::new())
    }

    #[test]
    fn select_1_is_computed() {
        let table = run("-- Databricks notebook source\nSELECT 1")
            .unwrap()
            .unwrap();
        assert_eq!(table.rows, [[Some("1".to_owned())]]);
        assert_eq!(
            table.columns[0],
            Column {
                name: "1".into(),
                type_name: "INT"
            }
        );
        let table =
            run("CREATE TABLE t (a); INSERT INTO t VALUES (2), (3); SELECT sum(a) s FROM t;")
                .unwrap()
                .unwrap();
        assert_eq!(table.rows, [[Some("5".to_owned())]]);
        assert_eq!(run("-- nothing").unwrap(), None);
    }

    #[test]
    fn faults_have_their_class() {
        assert_eq!(run("SELEC 1").unwrap_err().class, "PARSE_SYNTAX_ERROR");
        assert_eq!(
            run("SELECT * FROM absent").unwrap_err().class,
            "TABLE_OR_VIEW_NOT_FOUND"
        );
        assert_eq!(run("SELECT :x").unwrap_err().class, "UNBOUND_SQL_PARAMETER");
    }

    #[test]
    fn files_are_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        for script in ["ATTACH '{}' AS x", "VACUUM INTO '{}'"] {
            assert!(
                run(&script.replace("{}", &file.display().to_string())).is_err(),
                "{script}"
            );
        }
        assert!(run("PRAGMA temp_store_directory = '/'").is_err());
        assert!(!file.exists());
    }

    #[test]
    fn an_endless_statement_is_stopped() {
        let fault = run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
            .unwrap_err();
        assert_eq!(fault.class, "EXECUTION_ERROR");
    }
}
