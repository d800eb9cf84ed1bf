//! Runs: starting, reading, cancelling, repairing (reference/databricks.md, section 12).

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::State;
use super::caller::Caller;
use super::errors::Refusal;
use super::job_settings::{self, list as elements};
use super::jobs::{self, long_id, permitted};
use super::request::{Answer, Field as _, Request, done, int64, millis, ok};
use super::run_as::{self, RunAs};
use super::run_schedule::{active_runs, advance, most_runs};
use super::run_states::{Ending, Phase, Repair, Run, TaskRun};
use super::run_views::{page_url, render, render_task};

const LONGEST_TOKEN: usize = 64;

fn missing(id: i64) -> Refusal {
    Refusal::invalid(format!("Run {id} does not exist."))
}

/// Refuses callers without this level on the run's job; a run without a job is its creator's.
pub(super) fn require(
    state: &State,
    caller: &Caller,
    run: &Run,
    level: &str,
) -> Result<(), Refusal> {
    match run.job_id.filter(|job| state.jobs.contains_key(job)) {
        Some(job) => permitted(state, caller, job, level).map(|_| ()),
        None if caller.admin || caller.name == run.creator => Ok(()),
        None => Err(Refusal::denied(format!(
            "User {} does not have View or Admin or Manage Run or Owner permissions on run",
            caller.name
        ))),
    }
}

/// The run, unless it was deleted.
pub(super) fn find(state: &State, id: i64) -> Result<&Run, Refusal> {
    state
        .runs
        .get(&id)
        .filter(|run| !run.deleted)
        .ok_or_else(|| missing(id))
}

/// A body that names a run.
#[derive(Deserialize)]
pub(super) struct RunId {
    #[serde(deserialize_with = "int64")]
    pub(super) run_id: i64,
}

/// The run that already has this idempotency token.
fn repeated(
    state: &State,
    job_id: Option<i64>,
    token: Option<&str>,
) -> Result<Option<i64>, Refusal> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    if token.len() > LONGEST_TOKEN {
        return Err(Refusal::invalid(format!(
            "The idempotency token is longer than {LONGEST_TOKEN} characters."
        )));
    }
    let found = state
        .runs
        .iter()
        .find(|(_, run)| run.job_id == job_id && run.idempotency_token.as_deref() == Some(token));
    match found {
        Some((id, run)) if run.deleted => Err(Refusal::invalid(format!(
            "The run {id} that this idempotency token was used for has been deleted."
        ))),
        found => Ok(found.map(|(id, _)| *id)),
    }
}

/// What a new run is made of.
struct Plan {
    job_id: Option<i64>,
    number_in_job: u64,
    name: String,
    run_as: RunAs,
    settings: Value,
    parameters: Value,
    token: Option<String>,
    /// The keys of the tasks to run; all when empty.
    only: Vec<String>,
    queue: bool,
}

fn accept(request: &Request, state: &mut crate::State, caller: &Caller, plan: Plan) -> i64 {
    let (world, now) = (&request.world, request.now());
    let is_full = plan
        .job_id
        .is_some_and(|job| active_runs(&state.databricks, job, now) >= most_runs(&plan.settings));
    let tasks = elements(&plan.settings, "tasks")
        .iter()
        .filter_map(|task| task.field("task_key").as_str())
        .filter(|key| plan.only.is_empty() || plan.only.iter().any(|wanted| wanted == key))
        .map(|key| TaskRun {
            run_id: long_id(world),
            key: key.to_owned(),
            attempt: 0,
            course: None,
            retries: 0,
            retry_at: None,
        })
        .collect();
    let id = long_id(world);
    state.databricks.runs.insert(
        id,
        Run {
            job_id: plan.job_id,
            number_in_job: plan.number_in_job,
            name: plan.name,
            creator: caller.name.clone(),
            identity: plan.run_as,
            settings: plan.settings,
            parameters: plan.parameters,
            idempotency_token: plan.token,
            accepted: now,
            started: (!is_full).then_some(now),
            skipped: is_full && !plan.queue,
            tasks,
            repairs: Vec::new(),
            deleted: false,
        },
    );
    advance(world, state);
    id
}

fn wants_queue(body: &Value) -> Option<bool> {
    body.field("queue").field("enabled").as_bool()
}

/// `POST jobs/run-now`. Nobody needs a role on the service principal for this, only on the job.
pub(super) fn run_now(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        #[serde(deserialize_with = "int64")]
        job_id: i64,
        idempotency_token: Option<String>,
        #[serde(default)]
        job_parameters: Value,
        #[serde(default)]
        notebook_params: Value,
        #[serde(default)]
        only: Vec<String>,
        #[serde(default)]
        queue: Value,
    }
    advance(&request.world, state);
    let body: Body = request.json()?;
    let databricks = &state.databricks;
    let job = permitted(databricks, caller, body.job_id, "CAN_MANAGE_RUN")?;
    let known = repeated(
        databricks,
        Some(body.job_id),
        body.idempotency_token.as_deref(),
    )?;
    if let Some(id) = known {
        let number = databricks.runs.get(&id).map(|run| run.number_in_job);
        return ok(json!({ "run_id": id, "number_in_job": number }));
    }
    let parameters = [&body.job_parameters, &body.notebook_params]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>();
    let number = job.runs + 1;
    let plan = Plan {
        job_id: Some(body.job_id),
        number_in_job: number,
        name: job
            .settings
            .field("name")
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        run_as: jobs::effective_run_as(databricks, body.job_id, job),
        settings: job.settings.clone(),
        parameters: Value::Object(parameters),
        token: body.idempotency_token,
        only: body.only,
        queue: wants_queue(&json!({ "queue": body.queue }))
            .or_else(|| wants_queue(&job.settings))
            .unwrap_or(false),
    };
    if let Some(job) = state.databricks.jobs.get_mut(&body.job_id) {
        job.runs = number;
    }
    let id = accept(request, state, caller, plan);
    ok(json!({ "run_id": id, "number_in_job": number }))
}

/// `POST jobs/runs/submit`
pub(super) fn submit(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let body: Value = request.json()?;
    let databricks = &state.databricks;
    if elements(&body, "tasks").is_empty() {
        return Err(Refusal::invalid("Missing required field: tasks"));
    }
    job_settings::validate(databricks, caller, &body)?;
    if job_settings::has_cycle(&body) {
        return Err(Refusal::invalid(
            "The run's tasks depend on each other in a cycle.",
        ));
    }
    let token = body.field("idempotency_token").as_str();
    if let Some(id) = repeated(databricks, None, token)? {
        return ok(json!({ "run_id": id }));
    }
    let run_as = match body.field("run_as") {
        Value::Null => RunAs {
            kind: caller.kind,
            name: caller.name.clone(),
        },
        requested => run_as::bind(request, databricks, caller, requested)?,
    };
    let plan = Plan {
        job_id: None,
        number_in_job: 1,
        name: body
            .field("run_name")
            .as_str()
            .unwrap_or("Untitled")
            .to_owned(),
        run_as,
        token: token.map(str::to_owned),
        settings: job_settings::with_defaults(body),
        parameters: json!({}),
        only: Vec::new(),
        queue: false,
    };
    ok(json!({ "run_id": accept(request, state, caller, plan) }))
}

/// `GET jobs/runs/get?run_id=`: a run, or one task of it by the task's own run id.
pub(super) fn get(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let state = &state.databricks;
    let id = request.required_id("run_id")?;
    let now = request.now();
    if let Ok(run) = find(state, id) {
        require(state, caller, run, "CAN_VIEW")?;
        let mut body = render(state, id, run, now);
        if request.path.starts_with("/api/2.2/")
            && let Some(next) = jobs::cut(request, Some(&mut body), &["tasks"])
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("next_page_token".into(), json!(next));
        }
        return ok(body);
    }
    let (run, task) = find_task(state, id)?;
    require(state, caller, run, "CAN_VIEW")?;
    ok(render_task(state, run, task, now))
}

fn find_task(state: &State, id: i64) -> Result<(&Run, &TaskRun), Refusal> {
    state
        .runs
        .values()
        .filter(|run| !run.deleted)
        .find_map(|run| Some((run, run.tasks.iter().find(|task| task.run_id == id)?)))
        .ok_or_else(|| missing(id))
}

/// `GET jobs/runs/get-output?run_id=`: of one task.
pub(super) fn get_output(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let state = &state.databricks;
    let id = request.required_id("run_id")?;
    let now = request.now();
    let (run, task) = match find(state, id) {
        Ok(run) => {
            require(state, caller, run, "CAN_VIEW")?;
            let [task] = run.tasks.as_slice() else {
                return Err(Refusal::invalid(
                    "Retrieving the output of runs with multiple tasks is not supported. Please retrieve the output of each individual task run instead.",
                ));
            };
            (run, task)
        }
        Err(_) => find_task(state, id)?,
    };
    require(state, caller, run, "CAN_VIEW")?;
    let mut body = json!({ "metadata": render_task(state, run, task, now) });
    let Some(fields) = body.as_object_mut() else {
        return ok(body);
    };
    if let Some(outcome) = task.ended(now) {
        let output = &outcome.output;
        if output.of_sql_task {
            let link = page_url(state, run, task.run_id);
            fields.insert(
                "sql_output".into(),
                json!({ "query_output": { "output_link": link } }),
            );
            fields.insert("logs".into(), json!(output.result));
            fields.insert("logs_truncated".into(), json!(output.truncated));
        } else if let Some(result) = &output.result {
            fields.insert(
                "notebook_output".into(),
                json!({ "result": result, "truncated": output.truncated }),
            );
        } else {
            fields.insert("notebook_output".into(), json!({}));
        }
        if let Some(error) = &output.error {
            fields.insert("error".into(), json!(error));
        }
        if let Some(trace) = &output.error_trace {
            fields.insert("error_trace".into(), json!(trace));
        }
    }
    ok(body)
}

/// `GET jobs/runs/list`
pub(super) fn list(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let state = &state.databricks;
    let now = request.now();
    let number = |name: &str| {
        request
            .query(name)
            .and_then(|text| text.parse::<i64>().ok())
    };
    let job = number("job_id");
    if let Some(job) = job {
        permitted(state, caller, job, "CAN_VIEW")?;
    }
    let mut runs: Vec<(i64, &Run)> = state
        .runs
        .iter()
        .map(|(id, run)| (*id, run))
        .filter(|(_, run)| !run.deleted && (job.is_none() || run.job_id == job))
        .filter(|(_, run)| job.is_some() || require(state, caller, run, "CAN_VIEW").is_ok())
        .filter(|(_, run)| {
            let is_final = run.phase(now).is_final();
            let unwanted = if is_final {
                "active_only"
            } else {
                "completed_only"
            };
            !request.flag(unwanted)
        })
        .filter(|(_, run)| match request.query("run_type") {
            Some("JOB_RUN") => run.job_id.is_some(),
            Some("SUBMIT_RUN") => run.job_id.is_none(),
            Some("WORKFLOW_RUN") => false,
            _ => true,
        })
        .filter(|(_, run)| {
            let start = millis(run.accepted);
            number("start_time_from").is_none_or(|from| start >= from)
                && number("start_time_to").is_none_or(|to| start <= to)
        })
        .collect();
    runs.sort_by_key(|(_, run)| std::cmp::Reverse((run.accepted, run.number_in_job)));
    let rendered = runs
        .into_iter()
        .map(|(id, run)| {
            let mut body = render(state, id, run, now);
            if !request.flag("expand_tasks")
                && let Some(fields) = body.as_object_mut()
            {
                fields.remove("tasks");
            }
            body
        })
        .collect();
    ok(jobs::page(
        request,
        "runs",
        rendered,
        request.page_size("limit", 25, 25),
    ))
}

/// `POST jobs/runs/delete`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let body: RunId = request.json()?;
    let run = find(&state.databricks, body.run_id)?;
    require(&state.databricks, caller, run, "CAN_MANAGE")?;
    if !run.phase(request.now()).is_final() {
        return Err(Refusal::invalid_state(format!(
            "Cannot delete active run {}. Please cancel it first.",
            body.run_id
        )));
    }
    if let Some(run) = state.databricks.runs.get_mut(&body.run_id) {
        run.deleted = true;
    }
    done()
}

/// `POST jobs/runs/repair`: runs failed or chosen tasks of a finished run again.
pub(super) fn repair(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        #[serde(deserialize_with = "int64")]
        run_id: i64,
        #[serde(default)]
        rerun_tasks: Vec<String>,
        #[serde(default)]
        rerun_all_failed_tasks: bool,
        latest_repair_id: Option<i64>,
    }
    advance(&request.world, state);
    let body: Body = request.json()?;
    let now = request.now();
    let run = find(&state.databricks, body.run_id)?;
    require(&state.databricks, caller, run, "CAN_MANAGE_RUN")?;
    if !run.phase(now).is_final() || run.phase(now) == Phase::Skipped {
        return Err(Refusal::invalid_state(format!(
            "Run {} cannot be repaired in its present state.",
            body.run_id
        )));
    }
    if run.repairs.last().map(|repair| repair.id) != body.latest_repair_id {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_PARAMETER_VALUE",
            "latest_repair_id must be the id of the latest repair of the run.",
        ));
    }
    let is_chosen = |task: &TaskRun| {
        let failed = task.course.as_ref().is_none_or(|course| {
            !matches!(
                course.outcome.ending,
                Ending::Success | Ending::Excluded | Ending::Disabled
            )
        });
        body.rerun_tasks.contains(&task.key) || (body.rerun_all_failed_tasks && failed)
    };
    if !run.tasks.iter().any(is_chosen) {
        return Err(Refusal::invalid("No task of the run is to be run again."));
    }
    let id = long_id(&request.world);
    if let Some(run) = state.databricks.runs.get_mut(&body.run_id) {
        let mut task_run_ids = Vec::new();
        for task in run.tasks.iter_mut().filter(|task| is_chosen(task)) {
            task.run_id = long_id(&request.world);
            task.attempt += 1;
            task.course = None;
            task.retries = 0;
            task.retry_at = None;
            task_run_ids.push(task.run_id);
        }
        run.repairs.push(Repair {
            id,
            started: now,
            task_run_ids,
        });
    }
    advance(&request.world, state);
    ok(json!({ "repair_id": id }))
}
