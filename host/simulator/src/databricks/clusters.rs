//! Clusters and their policies (reference/databricks.md, section 13).

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::caller::Caller;
use super::errors::Refusal;
use super::permissions::{self, CLUSTERS, Entry, Grantee, Object, POLICIES};
use super::request::{Answer, Field as _, Request, done, millis, ok};
use super::run_start;
use crate::World;

/// A cluster, or what is left of one.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Cluster {
    pub(super) creator: String,
    pub(super) spec: Value,
    of_job: bool,
    #[serde(with = "time::serde::rfc3339")]
    started: OffsetDateTime,
    termination: Option<Termination>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Termination {
    code: String,
    kind: String,
    message: String,
}

impl Cluster {
    /// The cluster of a job's run, gone when the run is.
    pub(super) fn of_job(world: &World, creator: &str, spec: Value) -> Self {
        Self {
            creator: creator.to_owned(),
            spec,
            of_job: true,
            started: world.now(),
            termination: Some(Termination {
                code: "JOB_FINISHED".into(),
                kind: "SUCCESS".into(),
                message: String::new(),
            }),
        }
    }

    /// Ends the cluster for a reason that its user has to mend.
    pub(super) fn terminated_by(&mut self, code: &str, message: &str) {
        self.termination = Some(Termination {
            code: code.to_owned(),
            kind: "CLIENT_ERROR".into(),
            message: message.to_owned(),
        });
    }

    fn render(&self, id: &str) -> Value {
        let mut body = self.spec.clone();
        let Some(fields) = body.as_object_mut() else {
            return body;
        };
        fields.insert("cluster_id".into(), json!(id));
        fields.insert("creator_user_name".into(), json!(self.creator));
        fields.insert("start_time".into(), json!(millis(self.started)));
        fields.insert(
            "cluster_source".into(),
            json!(if self.of_job { "JOB" } else { "API" }),
        );
        fields.insert("state_message".into(), json!(""));
        match &self.termination {
            None => {
                fields.insert("state".into(), json!("RUNNING"));
            }
            Some(termination) => {
                fields.insert("state".into(), json!("TERMINATED"));
                fields.insert("state_message".into(), json!(termination.message));
                fields.insert(
                    "termination_reason".into(),
                    json!({
                        "code": termination.code,
                        "type": termination.kind,
                        "parameters": { "databricks_error_message": termination.message },
                    }),
                );
            }
        }
        body
    }
}

/// A cluster policy.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    /// JSON text.
    pub(super) definition: String,
    pub(super) creator: String,
}

/// `MMDD-HHMMSS-xxxxxxxx`
pub(super) fn new_id(world: &World) -> String {
    let now = world.now();
    format!(
        "{:02}{:02}-{:02}{:02}{:02}-{}",
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        world.hex(8)
    )
}

/// `GET clusters/list-node-types`
pub(super) fn list_node_types(_: &Request, _: &crate::State, _: &Caller) -> Answer {
    let kind = |id: &str, memory: u64, cores: f64, category: &str| {
        json!({
            "node_type_id": id, "memory_mb": memory, "num_cores": cores, "category": category,
            "description": id, "instance_type_id": id, "is_deprecated": false, "is_hidden": false,
        })
    };
    ok(json!({ "node_types": [
        kind("Standard_DS3_v2", 14_336, 4.0, "General Purpose"),
        kind("Standard_D4ds_v5", 16_384, 4.0, "General Purpose"),
        kind("Standard_E8ds_v5", 65_536, 8.0, "Memory Optimized"),
    ]}))
}

/// `GET clusters/spark-versions`
pub(super) fn spark_versions(_: &Request, _: &crate::State, _: &Caller) -> Answer {
    ok(json!({ "versions": [
        { "key": "16.4.x-scala2.12", "name": "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)" },
        { "key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)" },
    ]}))
}

fn missing(id: &str) -> Refusal {
    Refusal::invalid(format!("Cluster {id} does not exist"))
}

fn is_visible(state: &crate::State, caller: &Caller, id: &str, cluster: &Cluster) -> bool {
    cluster.creator == caller.name
        || permissions::allows(
            &state.databricks,
            caller.id,
            &Object::new(&CLUSTERS, id),
            "CAN_ATTACH_TO",
        )
}

/// `GET clusters/get?cluster_id=`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let id = request.required_query("cluster_id")?;
    let cluster = state
        .databricks
        .clusters
        .get(id)
        .filter(|cluster| is_visible(state, caller, id, cluster))
        .ok_or_else(|| missing(id))?;
    ok(cluster.render(id))
}

/// `GET clusters/list`
pub(super) fn list(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let clusters: Vec<Value> = state
        .databricks
        .clusters
        .iter()
        .filter(|(id, cluster)| is_visible(state, caller, id, cluster))
        .map(|(id, cluster)| cluster.render(id))
        .collect();
    ok(json!({ "clusters": clusters }))
}

/// `POST clusters/create`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let mut spec: Value = request.json()?;
    if spec.field("spark_version").as_str().is_none() {
        return Err(Refusal::invalid("Missing required field: spark_version"));
    }
    if !run_start::may_create(state, caller.id, &spec) {
        return Err(Refusal::denied(
            "You are not authorized to create clusters. Please contact your administrator.",
        ));
    }
    let state = &mut state.databricks;
    let token = spec.field("idempotency_token").as_str().map(str::to_owned);
    let known = token.as_deref().and_then(|token| {
        state
            .clusters
            .iter()
            .find(|(_, cluster)| cluster.spec.field("idempotency_token") == token)
    });
    if let Some((id, _)) = known {
        return ok(json!({ "cluster_id": id }));
    }
    if let Some(fields) = spec.as_object_mut()
        && fields.get("cluster_name").is_none()
    {
        fields.insert("cluster_name".into(), json!(""));
    }
    let id = new_id(&request.world);
    let owner = Entry::new(Grantee::of(caller.kind, &caller.name), "CAN_MANAGE");
    state
        .acls
        .insert(Object::new(&CLUSTERS, &id).key(), vec![owner]);
    state.clusters.insert(
        id.clone(),
        Cluster {
            creator: caller.name.clone(),
            spec,
            of_job: false,
            started: request.now(),
            termination: None,
        },
    );
    ok(json!({ "cluster_id": id }))
}

/// `POST clusters/delete`: terminates; the cluster stays listed.
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        cluster_id: String,
    }
    let body: Body = request.json()?;
    let state = &mut state.databricks;
    let object = Object::new(&CLUSTERS, &body.cluster_id);
    let may_restart = permissions::allows(state, caller.id, &object, "CAN_RESTART");
    let cluster = state
        .clusters
        .get_mut(&body.cluster_id)
        .ok_or_else(|| missing(&body.cluster_id))?;
    if !may_restart {
        return Err(Refusal::denied(format!(
            "{} does not have Restart permissions on {}",
            caller.name, body.cluster_id
        )));
    }
    cluster.termination = Some(Termination {
        code: "USER_REQUEST".into(),
        kind: "SUCCESS".into(),
        message: format!("Terminated by {}", caller.name),
    });
    done()
}

fn render_policy(id: &str, policy: &Policy) -> Value {
    json!({
        "policy_id": id,
        "name": policy.name,
        "definition": policy.definition,
        "creator_user_name": policy.creator,
        "is_default": false,
    })
}

/// `GET policies/clusters/list`: those the caller may use.
pub(super) fn list_policies(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let policies: Vec<Value> = state
        .policies
        .iter()
        .filter(|(id, _)| {
            permissions::allows(
                state,
                caller.id,
                &Object::new(&POLICIES, id.as_str()),
                "CAN_USE",
            )
        })
        .map(|(id, policy)| render_policy(id, policy))
        .collect();
    ok(json!({ "policies": policies }))
}

/// `GET policies/clusters/get?policy_id=`
pub(super) fn get_policy(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let id = request.required_query("policy_id")?;
    let policy = state
        .policies
        .get(id)
        .filter(|_| permissions::allows(state, caller.id, &Object::new(&POLICIES, id), "CAN_USE"))
        .ok_or_else(|| Refusal::missing(format!("Policy {id} does not exist")))?;
    ok(render_policy(id, policy))
}

/// `POST policies/clusters/create`
pub(super) fn create_policy(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        name: String,
        definition: Option<String>,
    }
    caller.require_admin("This API")?;
    let body: Body = request.json()?;
    let definition = body.definition.unwrap_or_else(|| "{}".into());
    if !serde_json::from_str::<Value>(&definition).is_ok_and(|definition| definition.is_object()) {
        return Err(Refusal::invalid(
            "The policy's definition is not a JSON object.",
        ));
    }
    let policies = &mut state.databricks.policies;
    if policies.values().any(|policy| policy.name == body.name) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_PARAMETER_VALUE",
            format!("Policy with name '{}' already exists.", body.name),
        ));
    }
    let id = request.world.hex(16).to_uppercase();
    policies.insert(
        id.clone(),
        Policy {
            name: body.name,
            definition,
            creator: caller.name.clone(),
        },
    );
    ok(json!({ "policy_id": id }))
}
