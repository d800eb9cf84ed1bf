//! The requests of a run, as a list that another program can send again.

use std::collections::BTreeMap;
use std::path::Path;

use lockkeeper_simulator::{Operator, RequestRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One request. Ids that the services make are `{names}`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) status: Option<u16>,
}

/// Where in a path each id stands first.
const IDS: [(&str, &str); 6] = [
    ("servicePrincipals(appId='", "app_id"),
    ("scim/v2/ServicePrincipals/", "principal_id"),
    ("permissions/notebooks/", "notebook_id"),
    ("jobs/get?job_id=", "job_id"),
    ("jobs/runs/get?run_id=", "run_id"),
    ("jobs/runs/get-output?run_id=", "task_run_id"),
];

/// The requests that the simulator on `folder` has seen, without those for tokens: whoever sends
/// the others with the same client asks for the same tokens.
pub(crate) fn seen(folder: &Path, app_name: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let records: Vec<RequestRecord> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut ids = BTreeMap::new();
    for record in &records {
        for (before, name) in IDS {
            if let Some((_, rest)) = record.path.split_once(before) {
                let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '-');
                let id = rest[..end.unwrap_or(rest.len())].to_owned();
                ids.entry(name).or_insert(id);
            }
        }
    }
    records
        .into_iter()
        .filter(|record| record.service != "entra")
        .map(|record| {
            let mut path = record.path;
            for (name, id) in &ids {
                path = path.replace(id, &format!("{{{name}}}"));
            }
            let body = body(&record.method, &path, app_name);
            Step {
                service: record.service,
                method: record.method,
                path,
                body,
                status: record.status,
            }
        })
        .collect()
}

/// What `onboard` sends with each of its writes.
fn body(method: &str, path: &str, app_name: &str) -> Option<Value> {
    let operator = Operator::seeded();
    let owner = format!(
        "https://graph.microsoft.com/v1.0/directoryObjects/{}",
        operator.principal_id
    );
    let rule_set = format!(
        "accounts/{}/servicePrincipals/{{app_id}}/ruleSets/default",
        operator.account_id
    );
    let folder = format!("/Shared/{app_name}");
    let path = path.split('?').next().unwrap_or_default();
    Some(match (method, path) {
        ("GET", _) => return None,
        ("PATCH", path) if path.starts_with("/v1.0/applications(") => json!({
            "displayName": app_name,
            "signInAudience": "AzureADMyOrg",
            "owners@odata.bind": [owner],
        }),
        ("PATCH", path) if path.starts_with("/v1.0/servicePrincipals(") => {
            json!({ "appId": "{app_id}", "owners@odata.bind": [owner] })
        }
        ("POST", "/api/2.0/preview/scim/v2/ServicePrincipals") => json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"],
            "applicationId": "{app_id}",
            "displayName": app_name,
            "active": true,
        }),
        ("PATCH", path) if path.starts_with("/api/2.0/preview/scim/v2/ServicePrincipals/") => {
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{ "op": "add", "path": "entitlements", "value": [
                    { "value": "workspace-access" },
                    { "value": "allow-cluster-create" },
                ] }],
            })
        }
        ("PUT", "/api/2.0/preview/accounts/access-control/rule-sets") => json!({
            "name": rule_set,
            "rule_set": { "name": rule_set, "etag": "{etag}", "grant_rules": [
                {
                    "role": "roles/servicePrincipal.manager",
                    "principals": [format!("servicePrincipals/{}", operator.client_id)],
                },
                {
                    "role": "roles/servicePrincipal.user",
                    "principals": [format!("servicePrincipals/{}", operator.client_id)],
                },
            ] },
        }),
        ("POST", "/api/2.0/workspace/mkdirs") => json!({ "path": folder }),
        ("POST", "/api/2.0/workspace/import") => json!({
            "path": format!("{folder}/smoke"),
            "format": "SOURCE",
            "language": "SQL",
            "content": "U0VMRUNUIDE=",
            "overwrite": true,
        }),
        ("PATCH", path) if path.starts_with("/api/2.0/permissions/notebooks/") => json!({
            "access_control_list": [
                { "service_principal_name": "{app_id}", "permission_level": "CAN_RUN" },
            ],
        }),
        ("POST", "/api/2.2/jobs/create") => json!({
            "name": format!("{app_name}-smoke"),
            "tags": {
                "lockkeeper": format!("{app_name}-smoke"),
                "lockkeeper_call": "0".repeat(64),
            },
            "run_as": { "service_principal_name": "{app_id}" },
            "tasks": [{
                "task_key": "main",
                "notebook_task": {
                    "notebook_path": format!("{folder}/smoke"),
                    "source": "WORKSPACE",
                },
                "new_cluster": {
                    "spark_version": "16.4.x-scala2.12",
                    "node_type_id": "Standard_DS3_v2",
                    "num_workers": 0,
                    "spark_conf": {
                        "spark.databricks.cluster.profile": "singleNode",
                        "spark.master": "local[*]",
                    },
                    "custom_tags": { "ResourceClass": "SingleNode" },
                    "data_security_mode": "SINGLE_USER",
                },
            }],
            "max_concurrent_runs": 1,
            "queue": { "enabled": true },
        }),
        ("POST", "/api/2.2/jobs/run-now") => json!({
            "job_id": "{job_id}",
            "idempotency_token": "0".repeat(64),
        }),
        _ => panic!("`onboard` sends {method} {path} now; say here with which body"),
    })
}
