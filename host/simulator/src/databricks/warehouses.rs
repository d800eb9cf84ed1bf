//! SQL warehouses and the statements they run (reference/databricks.md, section 14).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use super::caller::Caller;
use super::errors::Refusal;
use super::permissions::{self, Object, WAREHOUSES};
use super::request::{Answer, Field as _, Request, done, ok};
use super::sql_engine::{Engine, SqlFault, Table};

/// A SQL warehouse.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Warehouse {
    pub(super) name: String,
    pub(super) creator: String,
    pub(super) is_running: bool,
}

/// A statement that has been run.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Statement {
    creator: String,
    /// What a read of it answers.
    reply: Value,
}

fn may(state: &State, caller: &Caller, id: &str, level: &str) -> bool {
    permissions::allows(state, caller.id, &Object::new(&WAREHOUSES, id), level)
}

fn permitted<'a>(
    state: &'a State,
    caller: &Caller,
    id: &str,
    level: &str,
) -> Result<&'a Warehouse, Refusal> {
    let warehouse = state
        .warehouses
        .get(id)
        .ok_or_else(|| Refusal::missing(format!("SQL warehouse {id} does not exist.")))?;
    if may(state, caller, id, level) {
        return Ok(warehouse);
    }
    Err(Refusal::denied(format!(
        "{} does not have {level} permission on SQL warehouse {id}",
        caller.name
    )))
}

fn render(id: &str, warehouse: &Warehouse) -> Value {
    json!({
        "id": id,
        "name": warehouse.name,
        "state": if warehouse.is_running { "RUNNING" } else { "STOPPED" },
        "warehouse_type": "PRO",
        "enable_serverless_compute": true,
        "cluster_size": "2X-Small",
        "min_num_clusters": 1,
        "max_num_clusters": 1,
        "auto_stop_mins": 10,
        "creator_name": warehouse.creator,
    })
}

/// `GET /api/2.0/sql/warehouses`: those the caller sees.
pub(super) fn list(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let warehouses: Vec<Value> = state
        .warehouses
        .iter()
        .filter(|(id, _)| may(state, caller, id, "CAN_VIEW"))
        .map(|(id, warehouse)| render(id, warehouse))
        .collect();
    ok(json!({ "warehouses": warehouses }))
}

/// `GET /api/2.0/sql/warehouses/{id}`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let id = request.parameter("id");
    ok(render(
        id,
        permitted(&state.databricks, caller, id, "CAN_VIEW")?,
    ))
}

/// `POST /api/2.0/sql/warehouses/{id}/start`
pub(super) fn start(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    switch(request, state, caller, "CAN_USE", true)
}

/// `POST /api/2.0/sql/warehouses/{id}/stop`
pub(super) fn stop(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    switch(request, state, caller, "CAN_MANAGE", false)
}

fn switch(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
    level: &str,
    is_running: bool,
) -> Answer {
    let id = request.parameter("id");
    permitted(&state.databricks, caller, id, level)?;
    if let Some(warehouse) = state.databricks.warehouses.get_mut(id) {
        warehouse.is_running = is_running;
    }
    done()
}

#[derive(Deserialize)]
struct Execute {
    warehouse_id: String,
    statement: String,
    wait_timeout: Option<String>,
    format: Option<String>,
    disposition: Option<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
    row_limit: Option<usize>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

/// `POST /api/2.0/sql/statements`. A failing statement is 200 with the state FAILED.
pub(super) fn execute(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Execute = request.json()?;
    permitted(&state.databricks, caller, &body.warehouse_id, "CAN_USE")?;
    let wait = body.wait_timeout.as_deref().unwrap_or("10s");
    let seconds = wait
        .strip_suffix('s')
        .and_then(|text| text.parse::<u32>().ok());
    if !seconds.is_some_and(|seconds| seconds == 0 || (5..=50).contains(&seconds)) {
        return Err(Refusal::invalid(format!(
            "wait_timeout must be 0s or between 5s and 50s, not {wait}."
        )));
    }
    let is_inline = body
        .disposition
        .as_deref()
        .is_none_or(|text| text == "INLINE");
    if !is_inline
        || body
            .format
            .as_deref()
            .is_some_and(|text| text != "JSON_ARRAY")
    {
        return Err(Refusal::invalid(
            "The simulator answers with the format JSON_ARRAY and the disposition INLINE only.",
        ));
    }
    let parameters: BTreeMap<String, String> = body
        .parameters
        .into_iter()
        .map(|parameter| (parameter.name, parameter.value.unwrap_or_default()))
        .collect();
    let ran = Engine::new().and_then(|engine| engine.run(&body.statement, &parameters));
    let id = request.world.guid();
    let reply = match ran {
        Ok(table) => succeeded(&id, table.unwrap_or_default(), body.row_limit),
        Err(fault) => failed(&id, &fault),
    };
    let databricks = &mut state.databricks;
    if let Some(warehouse) = databricks.warehouses.get_mut(&body.warehouse_id) {
        warehouse.is_running = true;
    }
    databricks.statements.insert(
        id.clone(),
        Statement {
            creator: caller.name.clone(),
            reply: reply.clone(),
        },
    );
    if seconds == Some(0) {
        return ok(json!({ "statement_id": id, "status": { "state": "PENDING" } }));
    }
    ok(reply)
}

fn succeeded(id: &str, mut table: Table, limit: Option<usize>) -> Value {
    if let Some(limit) = limit.filter(|limit| table.rows.len() > *limit) {
        table.rows.truncate(limit);
        table.truncated = true;
    }
    let columns: Vec<Value> = table
        .columns
        .iter()
        .enumerate()
        .map(|(position, column)| {
            json!({
                "name": column.name,
                "position": position,
                "type_name": column.type_name,
                "type_text": column.type_name,
            })
        })
        .collect();
    let rows = table.rows.len();
    json!({
        "statement_id": id,
        "status": { "state": "SUCCEEDED" },
        "manifest": {
            "format": "JSON_ARRAY",
            "schema": { "column_count": columns.len(), "columns": columns },
            "total_chunk_count": 1,
            "total_row_count": rows,
            "truncated": table.truncated,
            "chunks": [{ "chunk_index": 0, "row_offset": 0, "row_count": rows }],
        },
        "result": { "chunk_index": 0, "row_offset": 0, "row_count": rows, "data_array": table.rows },
    })
}

fn failed(id: &str, fault: &SqlFault) -> Value {
    json!({
        "statement_id": id,
        "status": {
            "state": "FAILED",
            "error": { "error_code": "BAD_REQUEST", "message": fault.message },
            "sql_state": match fault.class {
                "PARSE_SYNTAX_ERROR" => "42601",
                "TABLE_OR_VIEW_NOT_FOUND" => "42P01",
                "UNRESOLVED_COLUMN" => "42703",
                "UNRESOLVED_ROUTINE" => "42883",
                "UNBOUND_SQL_PARAMETER" => "42P02",
                "UNSUPPORTED_FEATURE" => "0A000",
                _ => "XX000",
            },
        },
    })
}

fn own<'a>(request: &Request, state: &'a State, caller: &Caller) -> Result<&'a Statement, Refusal> {
    let id = request.parameter("statement");
    state
        .statements
        .get(id)
        .filter(|statement| caller.admin || statement.creator == caller.name)
        .ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                format!("The statement {id} was not found."),
            )
        })
}

/// `GET /api/2.0/sql/statements/{statement}`
pub(super) fn get_statement(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    ok(own(request, &state.databricks, caller)?.reply.clone())
}

/// `GET /api/2.0/sql/statements/{statement}/result/chunks/{chunk}`
pub(super) fn get_chunk(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let statement = own(request, &state.databricks, caller)?;
    match (request.parameter("chunk"), statement.reply.field("result")) {
        ("0", result @ Value::Object(_)) => ok(result.clone()),
        (chunk, _) => Err(Refusal::invalid(format!("There is no chunk {chunk}."))),
    }
}

/// `POST /api/2.0/sql/statements/{statement}/cancel`: too late, since statements run at once.
pub(super) fn cancel_statement(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
) -> Answer {
    own(request, &state.databricks, caller)?;
    done()
}
