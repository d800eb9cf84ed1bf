//! Runs and their tasks as replies show them (reference/databricks.md, section 12.4).

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::State;
use super::request::millis;
use super::run_schedule::task_settings;
use super::run_states::{self, Run, TaskRun};

/// In milliseconds.
fn duration(from: OffsetDateTime, to: OffsetDateTime) -> i64 {
    i64::try_from((to - from).whole_milliseconds()).unwrap_or(i64::MAX)
}

/// The run's page for people.
pub(super) fn page_url(state: &State, run: &Run, id: i64) -> String {
    format!(
        "https://{}/?o={}#job/{}/run/{id}",
        state.workspace.host,
        state.workspace.id,
        run.job_id.unwrap_or(id)
    )
}

/// A task of a run, with its settings.
pub(super) fn render_task(state: &State, run: &Run, task: &TaskRun, now: OffsetDateTime) -> Value {
    let (legacy, status) = run_states::render(&task.phase(run.started.is_some(), now));
    let mut body = task_settings(run, &task.key).clone();
    let Some(fields) = body.as_object_mut() else {
        return body;
    };
    let times = task.course.as_ref();
    let ended = times.filter(|course| now >= course.ends);
    for (name, value) in [
        ("run_id", json!(task.run_id)),
        ("task_key", json!(task.key)),
        ("attempt_number", json!(task.attempt)),
        ("run_page_url", json!(page_url(state, run, task.run_id))),
        (
            "start_time",
            json!(times.map_or(0, |course| millis(course.begins))),
        ),
        (
            "end_time",
            json!(ended.map_or(0, |course| millis(course.ends))),
        ),
        (
            "setup_duration",
            json!(ended.map_or(0, |course| duration(course.begins, course.runs))),
        ),
        (
            "execution_duration",
            json!(ended.map_or(0, |course| duration(course.runs, course.terminates))),
        ),
        (
            "cleanup_duration",
            json!(ended.map_or(0, |course| duration(course.terminates, course.ends))),
        ),
        ("state", legacy),
        ("status", status),
    ] {
        fields.insert(name.into(), value);
    }
    if let Some(id) = times.and_then(|course| course.outcome.cluster_id.as_ref()) {
        fields.insert(
            "cluster_instance".into(),
            json!({ "cluster_id": id, "spark_context_id": "0" }),
        );
    }
    body
}

/// A whole run.
pub(super) fn render(state: &State, id: i64, run: &Run, now: OffsetDateTime) -> Value {
    let (legacy, status) = run.render_state(now);
    let is_final = run.phase(now).is_final();
    let end = run
        .tasks
        .iter()
        .filter_map(|task| task.course.as_ref().map(|course| course.ends))
        .max()
        .unwrap_or(run.accepted);
    let start = run.started.unwrap_or(run.accepted);
    let tasks: Vec<Value> = run
        .tasks
        .iter()
        .map(|task| render_task(state, run, task, now))
        .collect();
    let history: Vec<Value> = run
        .repairs
        .iter()
        .map(|repair| json!({ "type": "REPAIR", "id": repair.id, "start_time": millis(repair.started), "task_run_ids": repair.task_run_ids }))
        .collect();
    let mut body = json!({
        "run_id": id,
        "job_run_id": id,
        "number_in_job": run.number_in_job,
        "original_attempt_run_id": id,
        "attempt_number": 0,
        "creator_user_name": run.creator,
        "run_name": run.name,
        "run_page_url": page_url(state, run, id),
        "run_type": if run.job_id.is_some() { "JOB_RUN" } else { "SUBMIT_RUN" },
        "trigger": "ONE_TIME",
        "format": "MULTI_TASK",
        "start_time": millis(start),
        "end_time": if is_final { millis(end) } else { 0 },
        "setup_duration": 0,
        "execution_duration": 0,
        "cleanup_duration": 0,
        "queue_duration": duration(run.accepted, start),
        "run_duration": if is_final { duration(start, end.max(start)) } else { 0 },
        "state": legacy,
        "status": status,
        "overriding_parameters": { "notebook_params": run.parameters },
        "tasks": tasks,
    });
    if let Some(fields) = body.as_object_mut() {
        if let Some(job) = run.job_id {
            fields.insert("job_id".into(), json!(job));
        }
        if !history.is_empty() {
            fields.insert("repair_history".into(), json!(history));
        }
    }
    body
}
