//! Lets runs go on: takes them from the queue and begins tasks whose time has come.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::job_settings::list;
use super::jobs::long_id;
use super::request::Field as _;
use super::run_start;
use super::run_states::{Course, Ending, Outcome, Run};
use crate::World;

/// The least time between the attempts of a task that may have any number of them.
const ENDLESS_PAUSE: Duration = Duration::seconds(1);

/// Brings all runs up to the present. Every request about runs begins with this.
pub(super) fn advance(world: &World, state: &mut crate::State) {
    while prepare_retries(world, state)
        || take_from_queue(world, state)
        || begin_tasks(world, state)
    {}
}

/// Lets failed tasks with attempts left wait for the next one; says whether there was one.
fn prepare_retries(world: &World, state: &mut crate::State) -> bool {
    let now = world.now();
    let mut has_any = false;
    for run in state.databricks.runs.values_mut() {
        let again: Vec<(usize, OffsetDateTime)> = run
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.ended(now).is_some())
            .filter_map(|(at, task)| {
                let begins = run.next_attempt(task)?;
                let is_endless = task_settings(run, &task.key)
                    .field("max_retries")
                    .as_i64()
                    .is_some_and(|most| most < 0);
                // What is tried for ever is tried once in each present.
                let least = if is_endless {
                    now + ENDLESS_PAUSE
                } else {
                    begins
                };
                Some((at, begins.max(least)))
            })
            .collect();
        for (at, begins) in again {
            if let Some(task) = run.tasks.get_mut(at) {
                task.run_id = long_id(world);
                task.attempt += 1;
                task.retries += 1;
                task.retry_at = Some(begins);
                task.course = None;
                has_any = true;
            }
        }
    }
    has_any
}

/// How many runs of a job have started and not ended.
pub(super) fn active_runs(state: &super::State, job_id: i64, now: OffsetDateTime) -> usize {
    state
        .runs
        .values()
        .filter(|run| run.job_id == Some(job_id) && run.started.is_some())
        .filter(|run| !run.phase(now).is_final())
        .count()
}

/// The most runs of a job that go on at a time.
pub(super) fn most_runs(settings: &Value) -> usize {
    settings
        .field("max_concurrent_runs")
        .as_u64()
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(1)
}

/// Starts the run that has waited longest for a free place; says whether there was one.
fn take_from_queue(world: &World, state: &mut crate::State) -> bool {
    let now = world.now();
    let databricks = &mut state.databricks;
    let next = databricks
        .runs
        .iter()
        .filter(|(_, run)| run.started.is_none() && !run.phase(now).is_final())
        .filter(|(_, run)| {
            run.job_id
                .is_none_or(|job| active_runs(databricks, job, now) < most_runs(&run.settings))
        })
        .min_by_key(|(_, run)| (run.accepted, run.number_in_job))
        .map(|(id, _)| *id);
    match next.and_then(|id| databricks.runs.get_mut(&id)) {
        Some(run) => {
            run.started = Some(now);
            true
        }
        None => false,
    }
}

/// Begins all tasks that wait for nothing any more; says whether there was one.
fn begin_tasks(world: &World, state: &mut crate::State) -> bool {
    let now = world.now();
    let open: Vec<i64> = state
        .databricks
        .runs
        .iter()
        .filter(|(_, run)| !run.skipped && run.started.is_some())
        .filter(|(_, run)| run.tasks.iter().any(|task| task.course.is_none()))
        .map(|(id, _)| *id)
        .collect();
    let mut has_begun = false;
    for id in open {
        let Some(run) = state.databricks.runs.get(&id) else {
            continue;
        };
        let ready: Vec<(usize, OffsetDateTime, Option<Ending>)> = run
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.course.is_none())
            .filter_map(|(at, task)| {
                let (begins, verdict) = readiness(run, &task.key, now)?;
                let begins = task.retry_at.map_or(begins, |again| begins.max(again));
                (begins <= now).then_some((at, begins, verdict))
            })
            .collect();
        for (at, begins, verdict) in ready {
            begin_task(world, state, id, at, begins, verdict);
            has_begun = true;
        }
    }
    has_begun
}

fn begin_task(
    world: &World,
    state: &mut crate::State,
    id: i64,
    at: usize,
    begins: OffsetDateTime,
    verdict: Option<Ending>,
) {
    let Some(run) = state.databricks.runs.get(&id) else {
        return;
    };
    let Some(key) = run.tasks.get(at).map(|task| task.key.clone()) else {
        return;
    };
    let settings = task_settings(run, &key);
    let timeout = [
        settings.field("timeout_seconds"),
        run.settings.field("timeout_seconds"),
    ]
    .into_iter()
    .filter_map(Value::as_i64)
    .filter(|seconds| *seconds > 0)
    .min()
    .unwrap_or(0);
    let (outcome, cluster) = if let Some(ending) = verdict {
        (Outcome::bare(ending, ""), None)
    } else {
        let begun = run_start::begin(world, state, run, settings);
        (begun.outcome, begun.cluster)
    };
    let course = Course::new(world.profile(), begins, outcome, timeout);
    state.databricks.clusters.extend(cluster);
    if let Some(task) = state
        .databricks
        .runs
        .get_mut(&id)
        .and_then(|run| run.tasks.get_mut(at))
    {
        task.course = Some(course);
        task.retry_at = None;
    }
}

/// The settings of a task in the run's copy of the job.
pub(super) fn task_settings<'a>(run: &'a Run, key: &str) -> &'a Value {
    list(&run.settings, "tasks")
        .iter()
        .find(|task| task.field("task_key") == key)
        .unwrap_or(&Value::Null)
}

/// When a task may begin, and the ending it has without beginning; none while it has to wait.
fn readiness(
    run: &Run,
    key: &str,
    now: OffsetDateTime,
) -> Option<(OffsetDateTime, Option<Ending>)> {
    let settings = task_settings(run, key);
    let mut begins = run.started?;
    if let Some(repair) = run.repairs.last() {
        begins = begins.max(repair.started);
    }
    let mut endings = Vec::new();
    for dependency in list(settings, "depends_on") {
        let other = run
            .tasks
            .iter()
            .find(|task| dependency.field("task_key") == task.key.as_str());
        // A task left out by `only` holds nobody up.
        let Some(other) = other else { continue };
        let outcome = other.ended(now)?;
        begins = begins.max(other.course.as_ref()?.ends);
        endings.push(&outcome.ending);
    }
    if settings.field("disabled") == true {
        return Some((begins, Some(Ending::Disabled)));
    }
    let has_failed = |ending: &&&Ending| {
        !matches!(
            ending,
            Ending::Success | Ending::Excluded | Ending::Disabled
        )
    };
    let failed = endings.iter().filter(has_failed).count();
    let succeeded = endings
        .iter()
        .filter(|ending| matches!(ending, Ending::Success))
        .count();
    let upstream = if endings
        .iter()
        .any(|ending| matches!(ending, Ending::Canceled))
    {
        Ending::UpstreamCanceled
    } else {
        Ending::UpstreamFailed
    };
    let (holds, otherwise) = match settings.field("run_if").as_str().unwrap_or("ALL_SUCCESS") {
        _ if endings.is_empty() => (true, upstream),
        "ALL_DONE" => (true, upstream),
        "AT_LEAST_ONE_SUCCESS" => (succeeded > 0, upstream),
        "AT_LEAST_ONE_FAILED" => (failed > 0, Ending::Excluded),
        "ALL_FAILED" => (failed == endings.len(), Ending::Excluded),
        _ => (failed == 0, upstream),
    };
    Some((begins, (!holds).then_some(otherwise)))
}
