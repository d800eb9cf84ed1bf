//! The refusals of the reference's section 17, and what must not be refused, through HTTP.

mod credentials;
mod objects;
mod pats;
mod phases;
mod principals;
mod roles;
mod running;
mod scopes;
mod warehouses;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Profile;
use crate::entra::tokens;
use crate::seed;
use crate::testing::{Cloud, Got, text};

const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
const ACCOUNTS: &str = "accounts.azuredatabricks.net";
const SCIM: &str = "/api/2.0/preview/scim/v2";
const ANA: &str = "ana@contoso.com";
const BOB: &str = "bob@contoso.com";
const UNKNOWN: &str = "99999999-0000-4000-8000-000000000009";

/// A simulator, seen from its workspace.
struct Site {
    cloud: Cloud,
    /// The operator's token.
    operator: String,
}

/// A service principal that exists in Entra and in the workspace.
struct Sp {
    app_id: String,
    oid: String,
    secret: String,
    scim_id: String,
    token: String,
}

impl Site {
    async fn start() -> Self {
        Self::with(Profile::Instant).await
    }

    async fn with(profile: Profile) -> Self {
        let cloud = Cloud::with(profile).await;
        let operator = cloud.token(DATABRICKS).await;
        Self { cloud, operator }
    }

    async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> Got {
        let body = (!body.is_null()).then_some(body);
        self.cloud
            .send(method, seed::WORKSPACE_HOST, path, Some(token), body, &[])
            .await
    }

    /// A call as the operator.
    async fn op(&self, method: &str, path: &str, body: Value) -> Got {
        self.send(&self.operator, method, path, body).await
    }

    async fn get(&self, token: &str, path: &str) -> Got {
        self.send(token, "GET", path, Value::Null).await
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Got {
        self.send(token, "POST", path, body).await
    }

    /// A call to the account's host.
    async fn account(&self, token: &str, method: &str, path: &str, body: Value) -> Got {
        let path = format!("/api/2.0/accounts/{}{path}", self.account_id());
        let body = (!body.is_null()).then_some(body);
        self.cloud
            .send(method, ACCOUNTS, &path, Some(token), body, &[])
            .await
    }

    fn account_id(&self) -> String {
        self.cloud
            .world()
            .read(|state| state.databricks.account_id.clone())
    }

    /// The token of a person.
    fn person(&self, upn: &str) -> String {
        let world = self.cloud.world();
        world
            .read(|state| tokens::for_user(&world, state, upn, DATABRICKS))
            .unwrap()
    }

    /// A new service principal with `workspace-access`.
    async fn sp(&self, name: &str) -> Sp {
        let [app_id, _, oid, secret] = self.cloud.register(name).await;
        let body = json!({
            "applicationId": app_id,
            "displayName": name,
            "entitlements": [{"value": "workspace-access"}],
        });
        let made = self
            .op("POST", &format!("{SCIM}/ServicePrincipals"), body)
            .await
            .ok(201);
        let token = self.cloud.token_of(&app_id, &secret, DATABRICKS).await;
        Sp {
            app_id,
            oid,
            secret,
            scim_id: text(&made["id"]),
            token,
        }
    }

    async fn entitle(&self, sp: &Sp, op: &str, entitlement: &str) {
        let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
        let operation = if op == "remove" {
            json!({"op": "remove", "path": format!("entitlements[value eq \"{entitlement}\"]")})
        } else {
            json!({"op": op, "path": "entitlements", "value": [{"value": entitlement}]})
        };
        self.op("PATCH", &path, json!({ "Operations": [operation] }))
            .await
            .ok(204);
    }

    fn rule_set(&self, app_id: &str) -> String {
        format!(
            "accounts/{}/servicePrincipals/{app_id}/ruleSets/default",
            self.account_id()
        )
    }

    async fn rules(&self, token: &str, app_id: &str) -> Got {
        let name = self.rule_set(app_id).replace('/', "%2F");
        self.get(
            token,
            &format!("/api/2.0/preview/accounts/access-control/rule-sets?name={name}&etag="),
        )
        .await
    }

    async fn put_rules(&self, token: &str, app_id: &str, etag: &Value, rules: Value) -> Got {
        let name = self.rule_set(app_id);
        let mut set = json!({"name": name, "grant_rules": rules});
        if !etag.is_null() {
            set["etag"] = etag.clone();
        }
        let path = "/api/2.0/preview/accounts/access-control/rule-sets";
        self.send(token, "PUT", path, json!({"name": name, "rule_set": set}))
            .await
    }

    /// Adds a role on a service principal as its creator, the operator.
    async fn grant(&self, app_id: &str, role: &str, principal: &str) {
        let set = self.rules(&self.operator, app_id).await.ok(200);
        let mut rules = set["grant_rules"].as_array().unwrap().clone();
        rules.push(json!({"role": role, "principals": [principal]}));
        self.put_rules(&self.operator, app_id, &set["etag"], json!(rules))
            .await
            .ok(200);
    }

    async fn notebook(&self, path: &str, language: &str, source: &str) {
        let body = json!({
            "path": path, "format": "SOURCE", "language": language, "overwrite": true,
            "content": BASE64_STANDARD.encode(source),
        });
        self.op("POST", "/api/2.0/workspace/import", body)
            .await
            .ok(200);
    }

    async fn create_job(&self, token: &str, settings: Value) -> Got {
        self.post(token, "/api/2.2/jobs/create", settings).await
    }

    async fn job(&self, token: &str, settings: Value) -> i64 {
        self.create_job(token, settings).await.ok(200)["job_id"]
            .as_i64()
            .unwrap()
    }

    async fn start_run(&self, token: &str, job: i64) -> i64 {
        let body = json!({ "job_id": job });
        let reply = self
            .post(token, "/api/2.2/jobs/run-now", body)
            .await
            .ok(200);
        reply["run_id"].as_i64().unwrap()
    }

    async fn read_run(&self, run: i64) -> Value {
        self.get(
            &self.operator,
            &format!("/api/2.2/jobs/runs/get?run_id={run}"),
        )
        .await
        .ok(200)
    }

    /// Runs a job of one task as its manager; the run and the task's output.
    async fn run(&self, job: i64) -> (Value, Value) {
        let run = self
            .read_run(self.start_run(&self.operator, job).await)
            .await;
        let task = run["tasks"][0]["run_id"].as_i64().unwrap();
        let path = format!("/api/2.2/jobs/runs/get-output?run_id={task}");
        (run, self.get(&self.operator, &path).await.ok(200))
    }

    /// A secret scope of the workspace's own.
    async fn scope(&self, name: &str, key: &str, value: &str) {
        let path = "/api/2.0/secrets/scopes/create";
        self.op("POST", path, json!({ "scope": name }))
            .await
            .ok(200);
        let body = json!({"scope": name, "key": key, "string_value": value});
        self.op("POST", "/api/2.0/secrets/put", body).await.ok(200);
    }

    async fn put_acl(&self, scope: &str, principal: &str, permission: &str) -> Got {
        let body = json!({"scope": scope, "principal": principal, "permission": permission});
        self.op("POST", "/api/2.0/secrets/acls/put", body).await
    }
}

/// Settings of a job with one notebook task on serverless compute.
fn notebook_job(path: &str, run_as: Option<&str>) -> Value {
    let mut settings = json!({
        "name": "test",
        "tasks": [{"task_key": "main", "notebook_task": {"notebook_path": path}}],
    });
    if let Some(app_id) = run_as {
        settings["run_as"] = json!({ "service_principal_name": app_id });
    }
    settings
}

/// Like [`notebook_job`], with a job cluster.
fn cluster_job(path: &str, run_as: &str, conf: &Value) -> Value {
    let mut settings = notebook_job(path, Some(run_as));
    settings["tasks"][0]["new_cluster"] = json!({
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "Standard_DS3_v2",
        "num_workers": 0,
        "spark_conf": conf,
    });
    settings
}

/// The tutorial's Spark configuration.
fn adls_conf(app_id: &str, secret: &str, tenant: &str) -> Value {
    let host = "stdemo.dfs.core.windows.net";
    json!({
        format!("fs.azure.account.auth.type.{host}"): "OAuth",
        format!("fs.azure.account.oauth.provider.type.{host}"):
            "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider",
        format!("fs.azure.account.oauth2.client.id.{host}"): app_id,
        format!("fs.azure.account.oauth2.client.secret.{host}"): secret,
        format!("fs.azure.account.oauth2.client.endpoint.{host}"):
            format!("https://login.microsoftonline.com/{tenant}/oauth2/token"),
    })
}

/// Asserts a standard refusal; the code is a string or a number.
#[track_caller]
fn refused(got: &Got, status: u16, code: impl Into<Value>, fragment: &str) {
    assert_eq!(got.status, status, "{}", got.body);
    assert_eq!(got.body["error_code"], code.into(), "{}", got.body);
    let message = got.body["message"].as_str().unwrap();
    assert!(message.contains(fragment), "{message}");
}

/// Asserts that a run failed before it ran code, and why.
#[track_caller]
fn could_not_start(run: &Value, code: &str, fragment: &str) {
    assert_eq!(run["state"]["life_cycle_state"], "INTERNAL_ERROR", "{run}");
    assert_eq!(run["state"]["result_state"], "FAILED", "{run}");
    let details = &run["status"]["termination_details"];
    assert_eq!(details["code"], code, "{run}");
    assert_eq!(details["type"], "CLIENT_ERROR", "{run}");
    let message = run["state"]["state_message"].as_str().unwrap();
    assert!(
        message.starts_with("Task main failed with message: "),
        "{message}"
    );
    assert!(message.contains(fragment), "{message}");
}

/// Asserts that a run's code failed, with this in its output's error trace.
#[track_caller]
fn code_failed((run, output): &(Value, Value), fragment: &str) {
    assert_eq!(
        run["status"]["termination_details"]["code"], "RUN_EXECUTION_ERROR",
        "{run}"
    );
    assert_eq!(run["state"]["life_cycle_state"], "INTERNAL_ERROR", "{run}");
    assert_eq!(
        run["tasks"][0]["state"]["life_cycle_state"], "TERMINATED",
        "{run}"
    );
    assert_eq!(
        run["state"]["state_message"],
        "Task main failed with message: Workload failed, see run output for details."
    );
    let trace = output["error_trace"].as_str().unwrap_or_default();
    assert!(trace.contains(fragment), "{output}");
}

#[track_caller]
fn succeeded(run: &Value) {
    assert_eq!(run["state"]["life_cycle_state"], "TERMINATED", "{run}");
    assert_eq!(run["state"]["result_state"], "SUCCESS", "{run}");
    assert_eq!(run["status"]["state"], "TERMINATED", "{run}");
    assert_eq!(
        run["status"]["termination_details"]["code"], "SUCCESS",
        "{run}"
    );
}
