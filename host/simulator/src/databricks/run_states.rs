//! A run and its tasks over time (reference/databricks.md, section 12.4).
//!
//! What a task will come to is computed once, when it begins; what it shows follows from the
//! clock alone, so a restart changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::request::Field as _;
use super::run_as::RunAs;
use crate::Profile;

/// A run of a job, or of tasks submitted once.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Run {
    /// None for a submitted run.
    pub(super) job_id: Option<i64>,
    pub(super) number_in_job: u64,
    pub(super) name: String,
    pub(super) creator: String,
    /// Whom it runs as.
    pub(super) identity: RunAs,
    /// The job's settings when the run was accepted.
    pub(super) settings: Value,
    /// Parameters of this run, over those of the tasks.
    pub(super) parameters: Value,
    pub(super) idempotency_token: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) accepted: OffsetDateTime,
    /// None while it waits for other runs of its job.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) started: Option<OffsetDateTime>,
    /// Too many runs, and no queue.
    pub(super) skipped: bool,
    pub(super) tasks: Vec<TaskRun>,
    pub(super) repairs: Vec<Repair>,
    /// Kept so that its idempotency token stays used.
    pub(super) deleted: bool,
}

/// A task of a run.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct TaskRun {
    pub(super) run_id: i64,
    pub(super) key: String,
    pub(super) attempt: u64,
    /// None until the tasks before it have ended, and between attempts.
    pub(super) course: Option<Course>,
    /// How often it has been tried again, since the run began or was repaired.
    #[serde(default)]
    pub(super) retries: u64,
    /// When the attempt that it waits for may begin.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) retry_at: Option<OffsetDateTime>,
}

/// When a task does what, and what it comes to.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Course {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) begins: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) runs: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) terminates: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) ends: OffsetDateTime,
    pub(super) outcome: Outcome,
}

/// What a task comes to.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    pub(super) message: String,
    pub(super) output: Output,
    /// The cluster it ran on, or tried to.
    pub(super) cluster_id: Option<String>,
    /// Whether Entra gave the run's Spark configuration a token for storage.
    pub(super) storage_token_obtained: bool,
}

/// How a task ends.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Success,
    /// Its code failed.
    Failed,
    /// It never came to run code; the termination code says why.
    CannotStart(String),
    TimedOut,
    Canceled,
    UpstreamFailed,
    UpstreamCanceled,
    /// Its `run_if` did not hold.
    Excluded,
    Disabled,
}

/// What a task leaves to be read.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub(super) struct Output {
    pub(super) result: Option<String>,
    pub(super) truncated: bool,
    pub(super) error: Option<String>,
    pub(super) error_trace: Option<String>,
    /// Whether the result is a SQL task's, not a notebook's.
    pub(super) of_sql_task: bool,
}

/// A repair of a run.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Repair {
    pub(super) id: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) started: OffsetDateTime,
    pub(super) task_run_ids: Vec<i64>,
}

impl Outcome {
    /// An ending without output.
    pub(super) fn bare(ending: Ending, message: impl Into<String>) -> Self {
        Self {
            ending,
            message: message.into(),
            output: Output::default(),
            cluster_id: None,
            storage_token_obtained: false,
        }
    }
}

/// How long the phases of a task take.
fn phases(profile: Profile) -> [Duration; 3] {
    match profile {
        Profile::Instant => [Duration::ZERO; 3],
        Profile::Typical | Profile::Flapping => [4, 2, 1].map(Duration::seconds),
        Profile::Slow => [240, 30, 15].map(Duration::seconds),
    }
}

/// How long it takes to clean up after a task that ran.
pub(super) fn cleanup(profile: Profile) -> Duration {
    let [.., cleanup] = phases(profile);
    cleanup
}

impl Course {
    /// The course of a task that begins now and will have this outcome. `timeout` is in seconds;
    /// 0 is none.
    pub(super) fn new(
        profile: Profile,
        begins: OffsetDateTime,
        mut outcome: Outcome,
        timeout: i64,
    ) -> Self {
        let [setup, execution, cleanup] = phases(profile);
        let never = !matches!(
            outcome.ending,
            Ending::Success | Ending::Failed | Ending::CannotStart(_)
        );
        let (setup, execution, cleanup) = match outcome.ending {
            _ if never => (Duration::ZERO, Duration::ZERO, Duration::ZERO),
            Ending::CannotStart(_) => (setup, Duration::ZERO, Duration::ZERO),
            _ => (setup, execution, cleanup),
        };
        let mut course = Self {
            begins,
            runs: begins + setup,
            terminates: begins + setup + execution,
            ends: begins + setup + execution + cleanup,
            outcome: Outcome::bare(Ending::TimedOut, ""),
        };
        let limit = begins + Duration::seconds(timeout);
        if timeout > 0 && course.terminates > limit {
            course.runs = course.runs.min(limit);
            course.terminates = limit;
            course.ends = limit;
            outcome = Outcome {
                cluster_id: outcome.cluster_id,
                ..Outcome::bare(
                    Ending::TimedOut,
                    format!("Timed out after {timeout} seconds."),
                )
            };
        }
        course.outcome = outcome;
        course
    }
}

/// What a run or a task shows at some time.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Phase {
    Blocked,
    WaitingForRetry,
    Queued,
    Pending,
    Running,
    /// The result is already known.
    Terminating(Ending, String),
    Terminated(Ending, String),
    /// A whole run that was skipped.
    Skipped,
}

impl Phase {
    /// Whether nothing changes any more.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Terminated(..) | Self::Skipped)
    }
}

impl TaskRun {
    /// What the task shows; `started` says whether its run has begun.
    pub(super) fn phase(&self, started: bool, now: OffsetDateTime) -> Phase {
        let Some(course) = &self.course else {
            return match (started, self.retry_at) {
                (false, _) => Phase::Queued,
                (true, Some(_)) => Phase::WaitingForRetry,
                (true, None) => Phase::Blocked,
            };
        };
        let (ending, message) = (&course.outcome.ending, &course.outcome.message);
        if now >= course.ends {
            Phase::Terminated(ending.clone(), message.clone())
        } else if now >= course.terminates {
            Phase::Terminating(ending.clone(), message.clone())
        } else if now >= course.runs {
            Phase::Running
        } else {
            Phase::Pending
        }
    }

    /// The task's ending, once it has ended.
    pub(super) fn ended(&self, now: OffsetDateTime) -> Option<&Outcome> {
        let course = self.course.as_ref()?;
        (now >= course.ends).then_some(&course.outcome)
    }
}

impl Run {
    /// What the run as a whole shows.
    pub(super) fn phase(&self, now: OffsetDateTime) -> Phase {
        if self.skipped {
            return Phase::Skipped;
        }
        let shown = |task: &TaskRun| {
            let again = self.next_attempt(task).is_some();
            match task.phase(self.started.is_some(), now) {
                Phase::Terminating(..) if again => Phase::Running,
                Phase::Terminated(..) if again => Phase::WaitingForRetry,
                phase => phase,
            }
        };
        let phases: Vec<Phase> = self.tasks.iter().map(shown).collect();
        if phases.iter().all(Phase::is_final) {
            let (ending, message) = self.ending();
            return Phase::Terminated(ending, message);
        }
        if self.started.is_none() {
            return Phase::Queued;
        }
        let is_closing =
            |phase: &Phase| phase.is_final() || matches!(phase, Phase::Terminating(..));
        if phases.iter().all(is_closing) {
            let (ending, message) = self.ending();
            return Phase::Terminating(ending, message);
        }
        let is_idle = |phase: &Phase| matches!(phase, Phase::Pending | Phase::Blocked);
        if phases.iter().all(is_idle) {
            return Phase::Pending;
        }
        let is_waiting = |phase: &Phase| *phase == Phase::WaitingForRetry;
        let is_still = |phase: &Phase| phase.is_final() || *phase == Phase::Blocked;
        if phases.iter().any(is_waiting) && phases.iter().all(|p| is_still(p) || is_waiting(p)) {
            return Phase::WaitingForRetry;
        }
        Phase::Running
    }

    /// When a task whose present attempt fails may be tried again; none when it is not.
    pub(super) fn next_attempt(&self, task: &TaskRun) -> Option<OffsetDateTime> {
        let settings = super::run_schedule::task_settings(self, &task.key);
        let course = task.course.as_ref()?;
        let is_failure = match course.outcome.ending {
            Ending::Failed | Ending::CannotStart(_) => true,
            Ending::TimedOut => settings.field("retry_on_timeout") == true,
            _ => false,
        };
        let most = settings.field("max_retries").as_i64().unwrap_or(0);
        // Below zero there is no limit.
        let has_more = u64::try_from(most).map_or(true, |most| task.retries < most);
        let pause = settings.field("min_retry_interval_millis").as_i64();
        (is_failure && has_more)
            .then(|| course.ends + Duration::milliseconds(pause.unwrap_or(0).max(0)))
    }

    /// What all tasks together come to: the tasks that no other task waits for decide.
    fn ending(&self) -> (Ending, String) {
        let outcomes = || {
            self.tasks
                .iter()
                .filter_map(|task| Some((task, &task.course.as_ref()?.outcome)))
        };
        if let Some((_, outcome)) =
            outcomes().find(|(_, outcome)| outcome.ending == Ending::Canceled)
        {
            return (Ending::Canceled, outcome.message.clone());
        }
        let is_fault = |ending: &Ending| {
            matches!(
                ending,
                Ending::Failed | Ending::CannotStart(_) | Ending::TimedOut
            )
        };
        let is_leaf = |key: &str| {
            !super::job_settings::list(&self.settings, "tasks")
                .iter()
                .any(|task| {
                    super::job_settings::list(task, "depends_on")
                        .iter()
                        .any(|other| other.field("task_key") == key)
                })
        };
        let leaves_fine = outcomes()
            .filter(|(task, _)| is_leaf(&task.key))
            .all(|(_, outcome)| {
                matches!(
                    outcome.ending,
                    Ending::Success | Ending::Excluded | Ending::Disabled
                )
            });
        match outcomes().find(|(_, outcome)| is_fault(&outcome.ending)) {
            Some((task, outcome)) if !leaves_fine => {
                let message = format!(
                    "Task {} failed with message: {}.",
                    task.key,
                    outcome.message.trim_end_matches('.')
                );
                (outcome.ending.clone(), message)
            }
            _ => (Ending::Success, String::new()),
        }
    }

    /// Whether some task failed although the run as a whole did not.
    fn has_failures(&self) -> bool {
        self.tasks.iter().any(|task| {
            task.course.as_ref().is_some_and(|course| {
                matches!(
                    course.outcome.ending,
                    Ending::Failed | Ending::CannotStart(_)
                )
            })
        })
    }

    /// Both forms of the run's state, as fields of a reply.
    pub(super) fn render_state(&self, now: OffsetDateTime) -> (Value, Value) {
        let phase = self.phase(now);
        let (mut state, mut status) = render(&phase);
        match &phase {
            // The run's life cycle is an internal error also when only code failed (12.4).
            Phase::Terminated(Ending::Failed, _) => {
                set(&mut state, "life_cycle_state", json!("INTERNAL_ERROR"));
            }
            Phase::Terminated(Ending::Success, _) if self.has_failures() => {
                set(&mut state, "result_state", json!("SUCCESS_WITH_FAILURES"));
                set(
                    &mut status,
                    "termination_details",
                    json!({ "code": "SUCCESS_WITH_FAILURES", "type": "SUCCESS", "message": "" }),
                );
            }
            _ => {}
        }
        (state, status)
    }
}

fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.into(), value);
    }
}

/// The legacy `state` and the newer `status` of a phase.
pub(super) fn render(phase: &Phase) -> (Value, Value) {
    let simple = |life_cycle: &str, state: &str| {
        (
            json!({ "life_cycle_state": life_cycle, "state_message": "", "user_cancelled_or_timedout": false }),
            json!({ "state": state }),
        )
    };
    match phase {
        Phase::Blocked => simple("BLOCKED", "BLOCKED"),
        Phase::WaitingForRetry => simple("WAITING_FOR_RETRY", "WAITING"),
        Phase::Pending => simple("PENDING", "PENDING"),
        Phase::Running => simple("RUNNING", "RUNNING"),
        Phase::Queued => {
            let reason = "Queued due to reaching maximum concurrent runs of the job.";
            (
                json!({ "life_cycle_state": "QUEUED", "state_message": reason, "queue_reason": reason, "user_cancelled_or_timedout": false }),
                json!({ "state": "QUEUED", "queue_details": { "code": "MAX_CONCURRENT_RUNS_REACHED", "message": reason } }),
            )
        }
        Phase::Skipped => {
            let message =
                "Skipping this run because the limit of maximum concurrent runs has been reached.";
            (
                json!({ "life_cycle_state": "SKIPPED", "result_state": "MAXIMUM_CONCURRENT_RUNS_REACHED", "state_message": message, "user_cancelled_or_timedout": false }),
                json!({ "state": "TERMINATED", "termination_details": { "code": "MAX_CONCURRENT_RUNS_EXCEEDED", "type": "CLIENT_ERROR", "message": message } }),
            )
        }
        Phase::Terminating(ending, message) => ended(ending, message, "TERMINATING", "TERMINATING"),
        Phase::Terminated(ending, message) => {
            let life_cycle = match ending {
                Ending::CannotStart(_) => "INTERNAL_ERROR",
                _ => "TERMINATED",
            };
            ended(ending, message, life_cycle, "TERMINATED")
        }
    }
}

fn ended(ending: &Ending, message: &str, life_cycle: &str, state: &str) -> (Value, Value) {
    let (result, code, kind) = match ending {
        Ending::Success => ("SUCCESS", "SUCCESS", "SUCCESS"),
        Ending::Failed => ("FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
        Ending::CannotStart(code) => ("FAILED", code.as_str(), "CLIENT_ERROR"),
        Ending::TimedOut => ("TIMEDOUT", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
        Ending::Canceled => ("CANCELED", "USER_CANCELED", "CLIENT_ERROR"),
        Ending::UpstreamFailed => ("UPSTREAM_FAILED", "SKIPPED", "CLIENT_ERROR"),
        Ending::UpstreamCanceled => ("UPSTREAM_CANCELED", "SKIPPED", "CLIENT_ERROR"),
        Ending::Excluded => ("EXCLUDED", "SKIPPED", "SUCCESS"),
        Ending::Disabled => ("DISABLED", "DISABLED", "SUCCESS"),
    };
    let by_user_or_time = matches!(ending, Ending::TimedOut | Ending::Canceled);
    (
        json!({
            "life_cycle_state": life_cycle,
            "result_state": result,
            "state_message": message,
            "user_cancelled_or_timedout": by_user_or_time,
        }),
        json!({
            "state": state,
            "termination_details": { "code": code, "type": kind, "message": message },
        }),
    )
}
