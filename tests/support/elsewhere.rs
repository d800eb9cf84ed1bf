//! What is made in the simulated cloud without lockkeeper, with the operator's credentials.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Project, Simulator};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const OPERATOR: &str = "0a0a0a0a-0000-4000-8000-000000000002";
const GRAPH: &str = "https://graph.microsoft.com/.default";
const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default";

/// Somebody who knows the services' own interfaces.
pub struct Elsewhere<'a> {
    simulator: &'a Simulator,
    secret: String,
}

/// The three ids of an application.
#[derive(Clone, Debug)]
pub struct Ids {
    pub object: String,
    pub application: String,
    pub principal: String,
}

impl<'a> Elsewhere<'a> {
    /// In the cloud that `project` uses.
    pub fn new(project: &Project, simulator: &'a Simulator) -> Self {
        let key = std::fs::read_dir(project.keys())
            .unwrap()
            .map(|folder| folder.unwrap().path().join("simulator-operator.key"))
            .find(|key| key.exists())
            .unwrap();
        let bytes = std::fs::read(key).unwrap();
        let mut secret = String::new();
        for byte in bytes {
            secret.push_str(&format!("{byte:02x}"));
        }
        Self { simulator, secret }
    }

    fn send(&self, scope: &str, method: &str, path: &str, body: &Value) -> Value {
        let form = format!(
            "grant_type=client_credentials&client_id={OPERATOR}&client_secret={}&scope={}",
            self.secret,
            utf8_percent_encode(scope, NON_ALPHANUMERIC)
        );
        let path_to_token = format!("/{TENANT}/oauth2/v2.0/token");
        let kind = "application/x-www-form-urlencoded";
        let (_, reply) = self.simulator.post(&path_to_token, kind, &form);
        let proof = format!("Bearer {}", reply["access_token"].as_str().unwrap());
        let headers = [("Authorization", proof.as_str())];
        let (status, reply) = self.simulator.send(method, path, &headers, Some(body));
        assert!((200..300).contains(&status), "{method} {path}: {reply}");
        reply
    }

    /// Registers an application with its service principal, as the portal does: without a unique
    /// name.
    pub fn application(&self, display_name: &str) -> Ids {
        let body = json!({ "displayName": display_name, "signInAudience": "AzureADMyOrg" });
        let made = self.send(GRAPH, "POST", "/v1.0/applications", &body);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let body = json!({ "appId": made["appId"] });
        let principal = self.send(GRAPH, "POST", "/v1.0/servicePrincipals", &body);
        Ids {
            object: text(&made["id"]),
            application: text(&made["appId"]),
            principal: text(&principal["id"]),
        }
    }

    /// Makes a job of one notebook task with these tags, which runs as a person; its id.
    pub fn job(&self, name: &str, tags: &Value) -> String {
        let task = json!({
            "task_key": "nightly", "notebook_task": { "notebook_path": "/Shared/nightly" },
        });
        let body = json!({
            "name": name, "tags": tags, "tasks": [task], "timeout_seconds": 600,
            "run_as": { "user_name": "ana@contoso.com" },
        });
        let made = self.send(DATABRICKS, "POST", "/api/2.2/jobs/create", &body);
        made["job_id"].to_string()
    }
}
