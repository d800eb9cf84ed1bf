//! Runs of jobs (reference/databricks.md, 12.3 and 12.4). State of a job's runs: [`Runs`].

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_types::{Value, unknown};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job_settings::TASK;
use super::jobs::number;
use super::{get, post, text};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    id: String,
    task: String,
    state: String,
    finished: bool,
    outcome: String,
    code: String,
    message: String,
    url: String,
}

impl Run {
    fn of(id: &str, run: &Value) -> Self {
        let at = |value: &Value, pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let tasks = run.get("tasks").and_then(Value::as_array);
        let tasks = tasks.map(Vec::as_slice).unwrap_or_default();
        let own = tasks
            .iter()
            .find(|task| text(task, "task_key").as_deref() == Some(TASK));
        let task = own.or(tasks.first()).unwrap_or(&Value::Null);

        let (status, phase) = (at(run, "/status/state"), at(run, "/state/life_cycle_state"));
        let finished = if status.is_empty() {
            ["TERMINATED", "SKIPPED", "INTERNAL_ERROR"].contains(&phase.as_str())
        } else {
            status == "TERMINATED"
        };
        let code = at(run, "/status/termination_details/code");
        let result = at(run, "/state/result_state");
        let outcome = match (finished, result.is_empty()) {
            (false, _) => String::new(),
            (true, false) => result,
            // Without a result the way it ended is all there is: `SUCCESS`, `SKIPPED`, ….
            (true, true) => first([&code, &phase]),
        };
        Self {
            id: id.to_owned(),
            task: text(task, "run_id").unwrap_or_else(|| id.to_owned()),
            state: first([&status, &phase]),
            finished,
            code: first([&code, &outcome]),
            outcome,
            message: message(
                &first([
                    &at(run, "/state/state_message"),
                    &at(run, "/status/termination_details/message"),
                ]),
                &at(task, "/state/state_message"),
            ),
            url: at(run, "/run_page_url"),
        }
    }
}

fn first<const N: usize>(texts: [&String; N]) -> String {
    texts
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_default()
}

/// The run's message, or its task's where the run only repeats it.
fn message(run: &str, task: &str) -> String {
    let repeats = run.is_empty() || run.contains("failed with message:");
    if repeats && !task.is_empty() {
        task.to_owned()
    } else {
        run.to_owned()
    }
}

/// A job's runs, as far as starting one changes them.
#[derive(Serialize, Deserialize)]
struct Runs {
    latest: String,
}

/// Starts a run, once: a repeat of the same call gets the same run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunNow {
    id: String,
}

#[async_trait]
impl Write for RunNow {
    const NAME: &'static str = "databricks/jobs.run-now";
    const CLASS: Class = Class::Start;
    type Output = String;

    fn object(&self) -> Object {
        Object::new("runs of job", &self.id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        let request = get(Self::NAME, "/api/2.2/jobs/runs/list")?
            .query("job_id", &self.id)
            .query("limit", "1");
        let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
            return Ok(None);
        };
        let latest = reply
            .body
            .pointer("/runs/0")
            .and_then(|run| text(run, "run_id"));
        Ok(latest.and_then(|latest| state::of(&Runs { latest })))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let body = json!({
            "job_id": number(Self::NAME, &self.id)?,
            "idempotency_token": wire::token(context.mark),
        });
        let request = post(Self::NAME, "/api/2.2/jobs/run-now", body)?.idempotent(true);
        let reply = context.cloud.send(&request).await?;
        text(&reply.body, "run_id")
            .ok_or_else(|| wire::unexpected(Self::NAME, "it holds no run_id"))
    }

    fn preview(&self, _: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        placeholders.make("run_id")
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(&Runs {
            latest: output.clone(),
        })
    }

    fn inverse(&self, _: Option<&Value>, _: &Self::Output) -> Inverse {
        Inverse::Impossible("a run that was started stays in the job's history")
    }
}

/// How a run is doing.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetRun {
    id: String,
}

#[async_trait]
impl Read for GetRun {
    const NAME: &'static str = "databricks/jobs.get-run";
    type Output = Run;

    fn object(&self) -> Object {
        Object::new("run", &self.id)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        number(Self::NAME, &self.id)?;
        let request = get(Self::NAME, "/api/2.2/jobs/runs/get")?.query("run_id", &self.id);
        match context.cloud.send(&request).await {
            Ok(reply) => Ok(Run::of(&self.id, &reply.body)),
            Err(failure) if wire::is_missing(&failure) => Err(Failure {
                class: FailureClass::NotFound,
                ..failure
            }),
            Err(failure) => Err(failure),
        }
    }

    /// A run that a plan would start is taken to end well, so that the plan can go on.
    fn planned(&self, _: Option<&Value>, _: &Placeholders<'_>) -> Result<Self::Output, Failure> {
        if unknown::source(&self.id).is_none() {
            return Err(wire::not_there(Self::NAME, &format!("run {}", self.id)));
        }
        Ok(Run {
            id: self.id.clone(),
            task: self.id.clone(),
            state: "TERMINATED".to_owned(),
            finished: true,
            outcome: "SUCCESS".to_owned(),
            code: "SUCCESS".to_owned(),
            message: String::new(),
            url: self.id.clone(),
        })
    }
}

/// What a task gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunOutput {
    result: String,
    truncated: bool,
    error: String,
    error_trace: String,
}

/// What a finished task gave.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetOutput {
    task: String,
}

#[async_trait]
impl Read for GetOutput {
    const NAME: &'static str = "databricks/jobs.get-output";
    type Output = RunOutput;

    fn object(&self) -> Object {
        Object::new("run output", &self.task)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        number(Self::NAME, &self.task)?;
        let request = get(Self::NAME, "/api/2.2/jobs/runs/get-output")?.query("run_id", &self.task);
        let output = match context.cloud.send(&request).await {
            Ok(reply) => reply.body,
            Err(failure) if wire::is_missing(&failure) => {
                return Err(Failure {
                    class: FailureClass::NotFound,
                    ..failure
                });
            }
            Err(failure) => return Err(failure),
        };
        let notebook = output.get("notebook_output").unwrap_or(&Value::Null);
        Ok(RunOutput {
            result: text(notebook, "result").unwrap_or_default(),
            truncated: notebook
                .get("truncated")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            error: text(&output, "error").unwrap_or_default(),
            error_trace: text(&output, "error_trace").unwrap_or_default(),
        })
    }

    fn planned(&self, _: Option<&Value>, _: &Placeholders<'_>) -> Result<Self::Output, Failure> {
        let step = unknown::source(&self.task)
            .ok_or_else(|| wire::not_there(Self::NAME, &format!("run {}", self.task)))?;
        Ok(RunOutput {
            result: unknown::placeholder(step, "result"),
            truncated: false,
            error: String::new(),
            error_trace: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, taken_back};

    #[test]
    fn a_planned_run_ends_well() {
        let run_now = RunNow { id: "7".to_owned() };
        let id = run_now.preview(None, &PLACEHOLDERS);
        assert!(matches!(
            taken_back(&run_now, None, &id),
            Inverse::Impossible(_)
        ));
        let run = GetRun { id: id.clone() }
            .planned(None, &PLACEHOLDERS)
            .unwrap();
        assert!(run.finished);
        assert_eq!((run.outcome.as_str(), &run.id), ("SUCCESS", &id));
        let output = GetOutput { task: run.task }
            .planned(None, &PLACEHOLDERS)
            .unwrap();
        assert_eq!(unknown::source(&output.result), Some("step"));
        assert_eq!(
            GetRun { id: "8".to_owned() }
                .planned(None, &PLACEHOLDERS)
                .unwrap_err()
                .class,
            FailureClass::NotFound
        );
    }

    #[test]
    fn a_run_that_goes_on_has_no_outcome() {
        let run = Run::of(
            "1",
            &json!({
                "status": { "state": "TERMINATING" },
                "state": { "life_cycle_state": "TERMINATING", "result_state": "SUCCESS" },
                "tasks": [{ "run_id": 2, "task_key": "main" }],
                "run_page_url": "https://example/run",
            }),
        );
        assert_eq!(
            (run.state.as_str(), run.finished, run.outcome.as_str()),
            ("TERMINATING", false, "")
        );
        assert_eq!(
            (run.task.as_str(), run.url.as_str()),
            ("2", "https://example/run")
        );
    }

    #[test]
    fn both_generations_of_the_state_tell_how_it_ended() {
        let new = json!({
            "status": { "state": "TERMINATED", "termination_details": {
                "code": "RUN_EXECUTION_ERROR", "type": "CLIENT_ERROR" } },
            "state": { "life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED",
                "state_message": "Task main failed with message: no right to read it." },
            "tasks": [{ "run_id": 2, "task_key": "main",
                "state": { "state_message": "no right to read it" } }],
        });
        let run = Run::of("1", &new);
        assert_eq!(
            (run.outcome.as_str(), run.code.as_str()),
            ("FAILED", "RUN_EXECUTION_ERROR")
        );
        assert_eq!(run.message, "no right to read it");

        let old = json!({ "state": { "life_cycle_state": "SKIPPED" } });
        let run = Run::of("1", &old);
        assert!(run.finished);
        assert_eq!(
            (run.state.as_str(), run.outcome.as_str()),
            ("SKIPPED", "SKIPPED")
        );
        assert_eq!(run.task, "1");
    }
}
