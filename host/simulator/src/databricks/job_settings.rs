//! A job's settings: what is refused, what the service adds, how changes merge
//! (reference/databricks.md, section 12.1).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::State;
use super::caller::Caller;
use super::errors::Refusal;
use super::permissions::{self, CLUSTERS, Object};
use super::request::Field as _;

const MOST_TASKS: usize = 1000;
const MOST_JOB_CLUSTERS: usize = 100;
const LONGEST_NAME: usize = 4096;
const LONGEST_DESCRIPTION: usize = 27_700;
const MOST_TAGS: usize = 25;
const GIT_PROVIDERS: [&str; 8] = [
    "awsCodeCommit",
    "azureDevOpsServices",
    "bitbucketCloud",
    "bitbucketServer",
    "gitHub",
    "gitHubEnterprise",
    "gitLab",
    "gitLabEnterpriseEdition",
];
/// The keys of which a task has at most one.
const COMPUTE: [&str; 4] = [
    "new_cluster",
    "job_cluster_key",
    "existing_cluster_id",
    "environment_key",
];

/// The elements of a list in the settings.
pub(super) fn list<'a>(settings: &'a Value, name: &str) -> &'a [Value] {
    settings.field(name).as_array().map_or(&[], Vec::as_slice)
}

/// Refuses settings that cannot be a job's.
pub(super) fn validate(state: &State, caller: &Caller, settings: &Value) -> Result<(), Refusal> {
    if settings
        .field("name")
        .as_str()
        .is_some_and(|name| name.len() > LONGEST_NAME)
    {
        return Err(Refusal::invalid(format!(
            "The job's name is longer than {LONGEST_NAME} bytes."
        )));
    }
    if settings
        .field("tags")
        .as_object()
        .is_some_and(|tags| tags.len() > MOST_TAGS)
    {
        return Err(Refusal::invalid(format!(
            "A job has at most {MOST_TAGS} tags."
        )));
    }
    if settings
        .field("description")
        .as_str()
        .is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION)
    {
        return Err(Refusal::invalid(format!(
            "The job's description is longer than {LONGEST_DESCRIPTION} characters."
        )));
    }
    let git = settings.field("git_source");
    let is_known = |provider: &str| {
        GIT_PROVIDERS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(provider))
    };
    if git.is_object() && !git.field("git_provider").as_str().is_some_and(is_known) {
        return Err(Refusal::invalid(format!(
            "git_source.git_provider must be one of: {}.",
            GIT_PROVIDERS.join(", ")
        )));
    }
    let clusters = keys(
        settings,
        "job_clusters",
        "job_cluster_key",
        MOST_JOB_CLUSTERS,
    )?;
    let tasks = keys(settings, "tasks", "task_key", MOST_TASKS)?;
    let shared = list(settings, "job_clusters");
    for one in shared.iter().chain(list(settings, "tasks")) {
        validate_cluster(one.field("new_cluster"))?;
    }
    for task in list(settings, "tasks") {
        validate_task(state, caller, task, &tasks, &clusters)?;
    }
    Ok(())
}

/// The keys of a list, which must be there and differ.
fn keys(settings: &Value, name: &str, key: &str, most: usize) -> Result<BTreeSet<String>, Refusal> {
    let elements = list(settings, name);
    if elements.len() > most {
        return Err(Refusal::invalid(format!(
            "A job has at most {most} {name}."
        )));
    }
    let mut keys = BTreeSet::new();
    for element in elements {
        let value = element
            .field(key)
            .as_str()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Refusal::invalid(format!("Missing required field: {name}.{key}")))?;
        if !keys.insert(value.to_owned()) {
            return Err(Refusal::invalid(format!(
                "Duplicate {key} '{value}' in {name}."
            )));
        }
    }
    Ok(keys)
}

fn validate_cluster(cluster: &Value) -> Result<(), Refusal> {
    if !cluster.field("instance_pool_id").is_null() && !cluster.field("node_type_id").is_null() {
        return Err(Refusal::invalid(
            "The field 'node_type_id' cannot be supplied when an instance pool ID is provided.",
        ));
    }
    Ok(())
}

fn validate_task(
    state: &State,
    caller: &Caller,
    task: &Value,
    tasks: &BTreeSet<String>,
    clusters: &BTreeSet<String>,
) -> Result<(), Refusal> {
    let key = task.field("task_key").as_str().unwrap_or_default();
    // What a task runs is in its one field of that name: `notebook_task`, `sql_task` and so on.
    let kinds = task.as_object().into_iter().flatten();
    let kinds = kinds
        .filter(|(name, value)| name.ends_with("_task") && !value.is_null())
        .count();
    if kinds != 1 {
        return Err(Refusal::invalid(format!(
            "Task '{key}' must have exactly one task type; it has {kinds}."
        )));
    }
    let given: Vec<&str> = COMPUTE
        .into_iter()
        .filter(|name| !task.field(name).is_null())
        .collect();
    if given.len() > 1 {
        return Err(Refusal::invalid(format!(
            "Task '{key}' has more than one compute: {}.",
            given.join(", ")
        )));
    }
    if let Some(name) = task.field("job_cluster_key").as_str()
        && !clusters.contains(name)
    {
        return Err(Refusal::invalid(format!(
            "Job cluster '{name}' of task '{key}' is not defined in field 'job_clusters'."
        )));
    }
    if let Some(id) = task.field("existing_cluster_id").as_str() {
        let is_visible = state.clusters.contains_key(id)
            && permissions::allows(
                state,
                caller.id,
                &Object::new(&CLUSTERS, id),
                "CAN_ATTACH_TO",
            );
        if !is_visible {
            return Err(Refusal::invalid(format!("Cluster {id} does not exist")));
        }
    }
    for dependency in list(task, "depends_on") {
        let other = dependency.field("task_key").as_str().unwrap_or_default();
        if other == key || !tasks.contains(other) {
            return Err(Refusal::invalid(format!(
                "Task '{key}' depends on '{other}', which is no other task of the job."
            )));
        }
    }
    let notebook = task.field("notebook_task");
    let from_git = notebook.field("source") == "GIT";
    if notebook.is_object()
        && !from_git
        && !notebook
            .field("notebook_path")
            .as_str()
            .is_some_and(|path| path.starts_with('/'))
    {
        return Err(Refusal::invalid(
            "Only absolute paths are currently supported. Paths must begin with '/'.",
        ));
    }
    Ok(())
}

/// Whether no task waits for itself through others.
pub(super) fn has_cycle(settings: &Value) -> bool {
    let tasks = list(settings, "tasks");
    let mut done: BTreeSet<&str> = BTreeSet::new();
    loop {
        let ready: Vec<&str> = tasks
            .iter()
            .filter(|task| {
                list(task, "depends_on").iter().all(|other| {
                    other
                        .field("task_key")
                        .as_str()
                        .is_some_and(|key| done.contains(key))
                })
            })
            .filter_map(|task| task.field("task_key").as_str())
            .filter(|key| !done.contains(key))
            .collect();
        if ready.is_empty() {
            return done.len() < tasks.len();
        }
        done.extend(ready);
    }
}

/// Adds what the service adds to settings that a client wrote.
pub(super) fn with_defaults(mut settings: Value) -> Value {
    let Some(fields) = settings.as_object_mut() else {
        return settings;
    };
    fields.remove("run_as");
    fields.remove("access_control_list");
    fields.insert("format".into(), json!("MULTI_TASK"));
    add(fields, "name", json!("Untitled"));
    add(fields, "max_concurrent_runs", json!(1));
    add(fields, "timeout_seconds", json!(0));
    add(fields, "email_notifications", json!({}));
    add(fields, "webhook_notifications", json!({}));
    for task in fields
        .get_mut("tasks")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(task) = task.as_object_mut() else {
            continue;
        };
        add(task, "run_if", json!("ALL_SUCCESS"));
        add(task, "timeout_seconds", json!(0));
        add(task, "email_notifications", json!({}));
        if let Some(notebook) = task.get_mut("notebook_task").and_then(Value::as_object_mut) {
            add(notebook, "source", json!("WORKSPACE"));
        }
    }
    settings
}

fn add(fields: &mut Map<String, Value>, name: &str, value: Value) {
    fields.entry(name.to_owned()).or_insert(value);
}

/// Applies an update: top-level fields are replaced, tasks and job clusters merged by their key.
pub(super) fn merged(mut settings: Value, new: &Value, remove: &[String]) -> Value {
    let Some(fields) = settings.as_object_mut() else {
        return settings;
    };
    for path in remove {
        match path.split_once('/') {
            Some((name, key)) => {
                if let Some(list) = fields.get_mut(name).and_then(Value::as_array_mut) {
                    list.retain(|element| element.field(key_of(name)) != key);
                }
            }
            None => {
                fields.remove(path);
            }
        }
    }
    for (name, value) in new.as_object().into_iter().flatten() {
        let key = key_of(name);
        match (
            fields.get_mut(name).and_then(Value::as_array_mut),
            value.as_array(),
        ) {
            (Some(present), Some(sent)) if !key.is_empty() => {
                for element in sent {
                    match present
                        .iter_mut()
                        .find(|other| other.field(key) == element.field(key))
                    {
                        Some(other) => *other = element.clone(),
                        None => present.push(element.clone()),
                    }
                }
            }
            _ => {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    settings
}

fn key_of(list: &str) -> &'static str {
    match list {
        "tasks" => "task_key",
        "job_clusters" => "job_cluster_key",
        "environments" => "environment_key",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_merge_tasks_by_key_and_remove_by_path() {
        let settings =
            json!({"name": "a", "schedule": {}, "tasks": [{"task_key": "x"}, {"task_key": "y"}]});
        let new = json!({"name": "b", "tasks": [{"task_key": "y", "run_if": "ALL_DONE"}, {"task_key": "z"}]});
        let merged = merged(settings, &new, &["tasks/x".into(), "schedule".into()]);
        assert_eq!(
            merged,
            json!({"name": "b", "tasks": [{"task_key": "y", "run_if": "ALL_DONE"}, {"task_key": "z"}]})
        );
    }

    #[test]
    fn a_cycle_is_found() {
        let task = |key: &str, on: &str| json!({"task_key": key, "depends_on": [{"task_key": on}]});
        assert!(has_cycle(
            &json!({"tasks": [task("a", "b"), task("b", "a")]})
        ));
        assert!(!has_cycle(
            &json!({"tasks": [{"task_key": "a"}, task("b", "a")]})
        ));
    }

    #[test]
    fn defaults_do_not_override() {
        let settings = with_defaults(
            json!({"max_concurrent_runs": 3, "tasks": [{"task_key": "a", "notebook_task": {}}]}),
        );
        assert_eq!(settings["max_concurrent_runs"], 3);
        assert_eq!(settings["format"], "MULTI_TASK");
        assert_eq!(settings["tasks"][0]["notebook_task"]["source"], "WORKSPACE");
        assert!(settings.get("queue").is_none());
    }
}
