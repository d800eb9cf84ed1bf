//! Jobs: creating, changing, listing (reference/databricks.md, section 12).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::State;
use super::caller::Caller;
use super::errors::Refusal;
use super::job_settings;
use super::permissions::{self, Entry, Grantee, JOBS, OWNER, Object};
use super::request::{Answer, Field as _, Request, done, int64, millis, ok};
use super::run_as::{self, RunAs};
use super::run_cancel;
use super::run_schedule::advance;
use crate::World;

/// Arrays in settings are cut into pages of this size.
const PAGE: usize = 100;

/// A job.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Job {
    pub(super) creator: String,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    /// Set explicitly; else the job runs as its owner.
    run_as: Option<RunAs>,
    pub(super) settings: Value,
    /// How many runs it has had.
    pub(super) runs: u64,
}

/// An id beyond what a double holds exactly, as real ones can be.
pub(super) fn long_id(world: &World) -> i64 {
    (1_i64 << 53) + 1 + i64::try_from(world.number()).unwrap_or_default()
}

/// The object whose permissions a job has.
pub(super) fn object(id: i64) -> Object {
    Object::new(&JOBS, id.to_string())
}

/// Whom a job runs as now.
pub(super) fn effective_run_as(state: &State, id: i64, job: &Job) -> RunAs {
    if let Some(run_as) = &job.run_as {
        return run_as.clone();
    }
    let name = permissions::owner(state, &object(id)).unwrap_or(&job.creator);
    let kind = state
        .directory
        .named(name)
        .map_or(super::directory::Kind::User, |principal| principal.kind);
    RunAs {
        kind,
        name: name.to_owned(),
    }
}

/// 400, as the older versions of this API answer (3.2).
pub(super) fn missing(id: i64) -> Refusal {
    Refusal::invalid(format!("Job {id} does not exist."))
}

/// The job, if the caller has this level on it; rights are looked at before existence.
pub(super) fn permitted<'a>(
    state: &'a State,
    caller: &Caller,
    id: i64,
    level: &str,
) -> Result<&'a Job, Refusal> {
    if !permissions::allows(state, caller.id, &object(id), level) {
        let levels = match level {
            "CAN_VIEW" => "View or Admin or Manage Run or Owner",
            "CAN_MANAGE_RUN" => "Manage Run or Admin or Owner",
            _ => "Admin or Owner",
        };
        return Err(Refusal::denied(format!(
            "User {} does not have {levels} permissions on job {id}",
            caller.name
        )));
    }
    state.jobs.get(&id).ok_or_else(|| missing(id))
}

/// `POST jobs/create`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    if !state.directory.is_entitled(caller.id, "workspace-access") {
        return Err(Refusal::denied(format!(
            "User {} does not have the entitlement workspace-access, which creating a job needs.",
            caller.name
        )));
    }
    let body: Value = request.json()?;
    check(state, caller, &body)?;
    let run_as = requested_run_as(request, state, caller, &body)?;
    let mut entries =
        permissions::entries(request, state, &JOBS, body.field("access_control_list"))?;
    let creator = Grantee::of(caller.kind, &caller.name);
    if !entries.iter().any(|entry| entry.level == OWNER) {
        entries.retain(|entry| entry.who != creator);
        entries.push(Entry::new(creator, OWNER));
    }
    permissions::require_one_owner(&JOBS, &entries)?;
    let id = long_id(&request.world);
    state.acls.insert(object(id).key(), entries);
    state.jobs.insert(
        id,
        Job {
            creator: caller.name.clone(),
            created: request.now(),
            run_as,
            settings: job_settings::with_defaults(body),
            runs: 0,
        },
    );
    ok(json!({ "job_id": id }))
}

fn check(state: &State, caller: &Caller, settings: &Value) -> Result<(), Refusal> {
    job_settings::validate(state, caller, settings)?;
    if job_settings::has_cycle(settings) {
        return Err(Refusal::invalid(
            "The job's tasks depend on each other in a cycle.",
        ));
    }
    Ok(())
}

fn requested_run_as(
    request: &Request,
    state: &State,
    caller: &Caller,
    settings: &Value,
) -> Result<Option<RunAs>, Refusal> {
    match settings.field("run_as") {
        Value::Null => Ok(None),
        requested => run_as::bind(request, state, caller, requested).map(Some),
    }
}

fn render(state: &State, id: i64, job: &Job) -> Value {
    let mut settings = job.settings.clone();
    if let (Some(fields), Some(run_as)) = (settings.as_object_mut(), &job.run_as) {
        fields.insert("run_as".into(), run_as.render());
    }
    json!({
        "job_id": id,
        "creator_user_name": job.creator,
        "run_as_user_name": effective_run_as(state, id, job).name,
        "created_time": millis(job.created),
        "settings": settings,
    })
}

/// `GET jobs/get?job_id=`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let id = request.required_id("job_id")?;
    let job = permitted(state, caller, id, "CAN_VIEW")?;
    let mut body = render(state, id, job);
    if request.path.starts_with("/api/2.2/") {
        let names = ["tasks", "job_clusters", "environments", "parameters"];
        let next = cut(request, body.get_mut("settings"), &names);
        if let (Some(fields), Some(next)) = (body.as_object_mut(), next) {
            fields.insert("next_page_token".into(), json!(next));
        }
    }
    ok(body)
}

/// Leaves only the wanted page of long arrays; gives the next page's token if there is one.
pub(super) fn cut(request: &Request, body: Option<&mut Value>, names: &[&str]) -> Option<String> {
    let from: usize = request
        .query("page_token")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let fields = body?.as_object_mut()?;
    let mut has_more = false;
    for name in names {
        if let Some(list) = fields.get_mut(*name).and_then(Value::as_array_mut) {
            has_more |= list.len() > from + PAGE;
            *list = list.drain(..).skip(from).take(PAGE).collect();
        }
    }
    has_more.then(|| (from + PAGE).to_string())
}

/// `GET jobs/list`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let name = request.query("name").filter(|name| !name.is_empty());
    let visible: Vec<Value> = state
        .jobs
        .iter()
        .rev()
        .filter(|(id, _)| permissions::allows(state, caller.id, &object(**id), "CAN_VIEW"))
        .filter(|(_, job)| {
            name.is_none_or(|name| {
                job.settings
                    .field("name")
                    .as_str()
                    .is_some_and(|other| other.eq_ignore_ascii_case(name))
            })
        })
        .map(|(id, job)| {
            let mut body = render(state, *id, job);
            if !request.flag("expand_tasks")
                && let Some(settings) = body.get_mut("settings").and_then(Value::as_object_mut)
            {
                settings.remove("tasks");
                settings.remove("job_clusters");
            }
            body
        })
        .collect();
    ok(page(
        request,
        "jobs",
        visible,
        request.page_size("limit", 20, 100),
    ))
}

/// One page of a listing, by `page_token` (or the older `offset`).
pub(super) fn page(request: &Request, name: &str, all: Vec<Value>, size: usize) -> Value {
    let from: usize = request
        .query("page_token")
        .or_else(|| request.query("offset"))
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    let has_more = from + page.len() < total;
    let mut body = json!({ "has_more": has_more });
    if let Some(fields) = body.as_object_mut() {
        if !page.is_empty() {
            fields.insert(name.into(), json!(page));
        }
        if has_more {
            fields.insert("next_page_token".into(), json!((from + size).to_string()));
        }
        if from > 0 {
            fields.insert(
                "prev_page_token".into(),
                json!(from.saturating_sub(size).to_string()),
            );
        }
    }
    body
}

#[derive(Deserialize)]
struct Change {
    #[serde(deserialize_with = "int64")]
    job_id: i64,
    #[serde(default)]
    new_settings: Value,
    #[serde(default)]
    fields_to_remove: Vec<String>,
}

/// `POST jobs/update`
pub(super) fn update(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Change = request.json()?;
    change(request, state, caller, &body, |present| {
        job_settings::merged(present.clone(), &body.new_settings, &body.fields_to_remove)
    })
}

/// `POST jobs/reset`. A `run_as` that is left out stays as it was, also here.
pub(super) fn reset(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Change = request.json()?;
    if !body.new_settings.is_object() {
        return Err(Refusal::invalid("Missing required field: new_settings"));
    }
    change(request, state, caller, &body, |_| body.new_settings.clone())
}

fn change(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
    body: &Change,
    settings: impl FnOnce(&Value) -> Value,
) -> Answer {
    let state = &mut state.databricks;
    let job = permitted(state, caller, body.job_id, "CAN_MANAGE")?;
    let settings = settings(&job.settings);
    check(state, caller, &settings)?;
    let run_as = requested_run_as(request, state, caller, &body.new_settings)?;
    if let Some(job) = state.jobs.get_mut(&body.job_id) {
        job.settings = job_settings::with_defaults(settings);
        if run_as.is_some() {
            job.run_as = run_as;
        }
    }
    done()
}

/// A body that names a job.
#[derive(Deserialize)]
pub(super) struct JobId {
    #[serde(deserialize_with = "int64")]
    pub(super) job_id: i64,
}

/// `POST jobs/delete`: active runs are cancelled.
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    advance(&request.world, state);
    let body: JobId = request.json()?;
    // Managing is not enough; an admin needs no entry of its own.
    let level = if caller.admin { "CAN_MANAGE" } else { OWNER };
    permitted(&state.databricks, caller, body.job_id, level)?;
    run_cancel::cancel_all_of(&request.world, &mut state.databricks, body.job_id);
    state.databricks.jobs.remove(&body.job_id);
    state.databricks.acls.remove(&object(body.job_id).key());
    done()
}
