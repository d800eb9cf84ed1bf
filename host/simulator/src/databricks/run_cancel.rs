//! Cancelling runs: it is asked for at once, and done when what is running has been cleaned up
//! (reference/databricks.md, section 12).

use time::OffsetDateTime;

use super::State;
use super::caller::Caller;
use super::jobs::{JobId, permitted};
use super::request::{Answer, Request, done};
use super::run_schedule::advance;
use super::run_states::{Course, Ending, Outcome, Run, cleanup};
use super::runs::{RunId, find, require};
use crate::World;

/// Cancels what has no result yet; a run that has ended stays as it is.
fn cancel_run(world: &World, run: &mut Run, now: OffsetDateTime) {
    if run.phase(now).is_final() {
        return;
    }
    let retried: Vec<bool> = run
        .tasks
        .iter()
        .map(|task| run.next_attempt(task).is_some())
        .collect();
    for (task, is_retried) in run.tasks.iter_mut().zip(retried) {
        let outcome = Outcome::bare(Ending::Canceled, "Run cancelled.");
        match &mut task.course {
            Some(course) if now >= course.terminates => {
                // There is to be no other attempt.
                if is_retried {
                    course.outcome = outcome;
                }
            }
            Some(course) => {
                course.runs = course.runs.min(now);
                course.terminates = now;
                course.ends = now + cleanup(world.profile());
                course.outcome = Outcome {
                    cluster_id: course.outcome.cluster_id.take(),
                    ..outcome
                };
            }
            None => {
                task.course = Some(Course {
                    begins: now,
                    runs: now,
                    terminates: now,
                    ends: now,
                    outcome,
                });
            }
        }
    }
}

/// Cancels all runs of a job, queued ones too.
pub(super) fn cancel_all_of(world: &World, state: &mut State, job_id: i64) {
    let now = world.now();
    for run in state
        .runs
        .values_mut()
        .filter(|run| run.job_id == Some(job_id))
    {
        cancel_run(world, run, now);
    }
}

/// `POST jobs/runs/cancel`: of a finished run too, without effect.
pub(super) fn cancel(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let body: RunId = request.json()?;
    let run = find(&state.databricks, body.run_id)?;
    require(&state.databricks, caller, run, "CAN_MANAGE_RUN")?;
    if let Some(run) = state.databricks.runs.get_mut(&body.run_id) {
        cancel_run(&request.world, run, request.now());
    }
    done()
}

/// `POST jobs/runs/cancel-all`
pub(super) fn cancel_all(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let body: JobId = request.json()?;
    permitted(&state.databricks, caller, body.job_id, "CAN_MANAGE_RUN")?;
    cancel_all_of(&request.world, &mut state.databricks, body.job_id);
    done()
}
