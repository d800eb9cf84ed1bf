//! The beginning of a task: the `run_as` identity and its rights are looked at only now
//! (reference/databricks.md, sections 12.5 and 17).

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::clusters::{self, Cluster};
use super::directory::{Kind, Principal};
use super::job_settings::list;
use super::notebook::{self, Session, Stop};
use super::notebook_source::Language;
use super::permissions::{self, CLUSTERS, Object, POLICIES, WAREHOUSES};
use super::request::Field as _;
use super::run_states::{Ending, Outcome, Output, Run};
use super::storage_access::{self, Conf};
use super::workspace_objects::{self, Content};
use crate::World;

/// What a begun task comes to, and the job cluster that was made for it.
pub(super) struct Begun {
    pub(super) outcome: Outcome,
    pub(super) cluster: Option<(String, Cluster)>,
}

/// Why a task does not come to run code.
struct CannotStart {
    code: &'static str,
    reason: String,
}

fn cannot<T>(code: &'static str, reason: impl Into<String>) -> Result<T, CannotStart> {
    Err(CannotStart {
        code,
        reason: reason.into(),
    })
}

/// Where a task's code runs.
struct Compute {
    cluster: Option<(String, Cluster)>,
    cluster_id: Option<String>,
    conf: Conf,
}

/// Begins a task and computes what it comes to.
pub(super) fn begin(world: &World, state: &crate::State, run: &Run, task: &Value) -> Begun {
    let mut cluster = None;
    let outcome = start(world, state, run, task, &mut cluster).unwrap_or_else(|fault| {
        Outcome::bare(Ending::CannotStart(fault.code.into()), fault.reason)
    });
    let cluster_id = cluster.as_ref().map(|(id, _)| String::clone(id));
    Begun {
        outcome: Outcome {
            cluster_id: outcome.cluster_id.or(cluster_id),
            ..outcome
        },
        cluster,
    }
}

fn start(
    world: &World,
    state: &crate::State,
    run: &Run,
    task: &Value,
    made: &mut Option<(String, Cluster)>,
) -> Result<Outcome, CannotStart> {
    let identity = identity(state, run)?;
    let source = source(state, identity, task)?;
    let reader = (identity.id, identity.name.as_str());
    let compute = compute(world, state, run, identity, task, made)?;
    let cluster_id = compute.cluster_id.clone();
    *made = compute.cluster;
    let finished = |ending, message: &str, output, storage_token_obtained| Outcome {
        ending,
        message: message.to_owned(),
        output,
        cluster_id: cluster_id.clone(),
        storage_token_obtained,
    };
    let of_sql_task = task.field("sql_task").is_object();
    let failed = |error: String, trace: String, storage| {
        let output = Output {
            error: Some(error),
            error_trace: Some(trace),
            of_sql_task,
            ..Output::default()
        };
        finished(
            Ending::Failed,
            "Workload failed, see run output for details",
            output,
            storage,
        )
    };
    let session = Session::new(world, state, reader, parameters(run, task));
    let mut session = match session {
        Ok(session) => session,
        Err(Stop::Fault { error, trace }) => return Ok(failed(error, trace, false)),
        Err(Stop::Exit(_)) => return Ok(finished(Ending::Success, "", Output::default(), false)),
    };
    session.conf = compute.conf;
    let conf = std::mem::take(&mut session.conf);
    let connected = session.storage.connect(world, state, &conf);
    session.conf = conf;
    if let Err(fault) = connected {
        return Ok(failed(fault.clone(), fault, false));
    }
    let ran = notebook::run(&mut session, source.0, &source.1);
    let storage = session.storage.has_token();
    Ok(match ran {
        Ok(output) => {
            let output = Output {
                result: output.result,
                truncated: output.truncated,
                of_sql_task,
                ..Output::default()
            };
            finished(Ending::Success, "", output, storage)
        }
        Err(Stop::Fault { error, trace }) => failed(error, trace, storage),
        Err(Stop::Exit(_)) => finished(Ending::Success, "", Output::default(), storage),
    })
}

/// The `run_as` identity, if it is active and may use the workspace.
fn identity<'a>(state: &'a crate::State, run: &Run) -> Result<&'a Principal, CannotStart> {
    let name = &run.identity.name;
    let directory = &state.databricks.directory;
    let identity = directory
        .find(run.identity.kind, name)
        .filter(|identity| identity.active && identity.member_since.is_some());
    let Some(identity) = identity else {
        return cannot(
            "UNAUTHORIZED_ERROR",
            format!("Invalid user: '{name}' does not exist or deactivated"),
        );
    };
    if !directory.is_entitled(identity.id, "workspace-access") {
        return cannot(
            "UNAUTHORIZED_ERROR",
            format!("The user '{name}' does not have access to Databricks Workspace"),
        );
    }
    Ok(identity)
}

/// The language and text of what a task runs, if the identity can read it.
fn source<'a>(
    state: &'a crate::State,
    identity: &Principal,
    task: &'a Value,
) -> Result<(Language, Cow<'a, str>), CannotStart> {
    let notebook = task.field("notebook_task");
    let file = task.field("sql_task").field("file");
    if notebook.field("source") == "GIT" || file.field("source") == "GIT" {
        return cannot(
            "REPOSITORY_CHECKOUT_FAILED",
            "The simulator has no Git repositories",
        );
    }
    let path = notebook
        .field("notebook_path")
        .as_str()
        .or_else(|| file.field("path").as_str());
    let Some(path) = path else {
        return cannot(
            "INVALID_RUN_CONFIGURATION",
            "The simulator runs notebook tasks, and SQL tasks with a file, only",
        );
    };
    let databricks = &state.databricks;
    let item = workspace_objects::at(databricks, path)
        .filter(|_| workspace_objects::allows(databricks, identity.id, path, "CAN_READ"));
    match item.map(|item| &item.content) {
        Some(Content::Notebook { language, source }) => Ok((*language, source.into())),
        Some(Content::File(content)) if file.is_object() => {
            let script = BASE64_STANDARD.decode(content).unwrap_or_default();
            Ok((
                Language::Sql,
                String::from_utf8_lossy(&script).into_owned().into(),
            ))
        }
        _ => cannot(
            "RESOURCE_NOT_FOUND",
            format!(
                "Unable to access the notebook \"{path}\" in the workspace. Either it does not exist, or the identity used to run this job, {} ({}), lacks the required permissions.",
                identity.display_name, identity.name
            ),
        ),
    }
}

fn parameters(run: &Run, task: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let defaults = list(&run.settings, "parameters")
        .iter()
        .filter_map(|parameter| {
            Some((
                parameter.field("name").as_str()?.to_owned(),
                text(parameter.field("default")),
            ))
        });
    let given = [
        task.field("notebook_task").field("base_parameters"),
        task.field("sql_task").field("parameters"),
        &run.parameters,
    ]
    .into_iter()
    .filter_map(Value::as_object)
    .flatten()
    .map(|(name, value)| (name.clone(), text(value)));
    defaults.chain(given).collect()
}

/// The compute a task asks for, if the identity may have it.
fn compute(
    world: &World,
    state: &crate::State,
    run: &Run,
    identity: &Principal,
    task: &Value,
    made: &mut Option<(String, Cluster)>,
) -> Result<Compute, CannotStart> {
    let databricks = &state.databricks;
    let warehouse = task
        .field("notebook_task")
        .field("warehouse_id")
        .as_str()
        .or_else(|| task.field("sql_task").field("warehouse_id").as_str());
    if let Some(id) = warehouse {
        let object = Object::new(&WAREHOUSES, id);
        if !databricks.warehouses.contains_key(id)
            || !permissions::allows(databricks, identity.id, &object, "CAN_USE")
        {
            return cannot(
                "UNAUTHORIZED_ERROR",
                format!(
                    "{} does not have CAN USE permission on the SQL warehouse {id}",
                    identity.name
                ),
            );
        }
        return Ok(Compute {
            cluster: None,
            cluster_id: None,
            conf: Conf::new(),
        });
    }
    if let Some(id) = task.field("existing_cluster_id").as_str() {
        return existing(world, state, identity, id);
    }
    let shared = task.field("job_cluster_key").as_str().and_then(|key| {
        list(&run.settings, "job_clusters")
            .iter()
            .find(|cluster| cluster.field("job_cluster_key") == key)
            .map(|cluster| cluster.field("new_cluster"))
    });
    let spec = shared.unwrap_or(task.field("new_cluster"));
    if !spec.is_object() {
        return Ok(Compute {
            cluster: None,
            cluster_id: None,
            conf: Conf::new(),
        });
    }
    refuse_passthrough(identity, spec)?;
    if !may_create(state, identity.id, spec) {
        return cannot(
            "INVALID_CLUSTER_REQUEST",
            "Unexpected user error while preparing the cluster for the job. Cause: PERMISSION_DENIED: You are not authorized to create clusters. Please contact your administrator.",
        );
    }
    let id = clusters::new_id(world);
    let mut cluster = Cluster::of_job(world, &identity.name, spec.clone());
    match conf(world, state, (identity.id, &identity.name), spec) {
        Ok(conf) => Ok(Compute {
            cluster: Some((id.clone(), cluster)),
            cluster_id: Some(id),
            conf,
        }),
        Err((code, reason)) => {
            cluster.terminated_by(code, &reason);
            let message = format!(
                "Unexpected failure while waiting for the cluster ({id}) to be ready: Cluster {id} is in unexpected state Terminated: {code}(CLIENT_ERROR): databricks_error_message:{reason}"
            );
            *made = Some((id, cluster));
            cannot("CLUSTER_ERROR", message)
        }
    }
}

/// Whether a principal may make a cluster of this specification.
pub(super) fn may_create(state: &crate::State, id: u64, spec: &Value) -> bool {
    let databricks = &state.databricks;
    let has_policy = spec.field("policy_id").as_str().is_some_and(|policy| {
        databricks.policies.contains_key(policy)
            && permissions::allows(databricks, id, &Object::new(&POLICIES, policy), "CAN_USE")
    });
    has_policy || databricks.directory.is_entitled(id, "allow-cluster-create")
}

fn refuse_passthrough(identity: &Principal, spec: &Value) -> Result<(), CannotStart> {
    let by_mode = spec.field("data_security_mode") == "LEGACY_PASSTHROUGH";
    let by_conf = spec
        .field("spark_conf")
        .field("spark.databricks.passthrough.enabled")
        .as_str()
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if identity.kind == Kind::ServicePrincipal && (by_mode || by_conf) {
        return cannot(
            "INVALID_RUN_CONFIGURATION",
            format!(
                "Credential passthrough is not available to service principals: the run_as identity {} has no user credential to pass through",
                identity.name
            ),
        );
    }
    Ok(())
}

fn existing(
    world: &World,
    state: &crate::State,
    identity: &Principal,
    id: &str,
) -> Result<Compute, CannotStart> {
    let databricks = &state.databricks;
    let Some(cluster) = databricks.clusters.get(id) else {
        return cannot("CLUSTER_ERROR", format!("Cluster {id} does not exist"));
    };
    let object = Object::new(&CLUSTERS, id);
    if !permissions::allows(databricks, identity.id, &object, "CAN_ATTACH_TO") {
        return cannot(
            "UNAUTHORIZED_ERROR",
            format!(
                "The identity used to run this job, {} ({}), lacks 'Attach' permissions on the underlying cluster",
                identity.display_name, identity.name
            ),
        );
    }
    refuse_passthrough(identity, &cluster.spec)?;
    let single = cluster.spec.field("single_user_name").as_str();
    if cluster.spec.field("data_security_mode") == "SINGLE_USER"
        && single.is_some_and(|name| !name.eq_ignore_ascii_case(&identity.name))
    {
        return cannot(
            "UNAUTHORIZED_ERROR",
            format!(
                "Single-user check failed: user '{}' attempted to run a command on single-user cluster {id}, but the single user of this cluster is '{}'",
                identity.name,
                single.unwrap_or_default()
            ),
        );
    }
    let owner = databricks.directory.named(&cluster.creator);
    let owner = (owner.map_or(0, |owner| owner.id), cluster.creator.as_str());
    match conf(world, state, owner, &cluster.spec) {
        Ok(conf) => Ok(Compute {
            cluster: None,
            cluster_id: Some(id.to_owned()),
            conf,
        }),
        Err((code, reason)) => cannot(
            "CLUSTER_ERROR",
            format!(
                "Cluster {id} is in unexpected state Terminated: {code}(CLIENT_ERROR): databricks_error_message:{reason}"
            ),
        ),
    }
}

/// The Spark configuration with its secrets; else the cluster's termination code and why.
fn conf(
    world: &World,
    state: &crate::State,
    owner: (u64, &str),
    spec: &Value,
) -> Result<Conf, (&'static str, String)> {
    let resolve = |values: &Value| {
        storage_access::resolve(world, state, owner, values).map_err(|refusal| {
            let summary = refusal.summary();
            let from_vault = summary.contains("KeyVault");
            if from_vault {
                (
                    "SECRET_RESOLUTION_ERROR",
                    format!("Failed to fetch secrets referred to in Spark Conf. {summary}"),
                )
            } else {
                ("INVALID_ARGUMENT", summary)
            }
        })
    };
    let conf = resolve(spec.field("spark_conf"))?;
    resolve(spec.get("spark_env_vars").unwrap_or(&json!({})))?;
    Ok(conf)
}
