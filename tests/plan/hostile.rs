//! Whoever wrote the plugin: nothing that it calls in a plan writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_cloud::{Cloud, Credentials, Endpoints, SecretSource, SecretString, Target};
use lockkeeper_gate::{
    Cancellation, Class, Events, Grants, Mode, Plan, RunGate, Secrets, StepGate, operations,
};
use lockkeeper_journal::Memory;
use lockkeeper_simulator::{Options, Profile};
use lockkeeper_types::secret;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::Project;
use crate::support::component::component;
use crate::world::{assert_same, lasting, requests, run, state, variants, writes_since};

/// Every operation that writes, with arguments that the simulated cloud would take.
#[expect(clippy::too_many_lines, reason = "a list of every write there is")]
fn writes() -> Vec<(&'static str, Value)> {
    let vault = crate::support::VAULT;
    let url = "https://kv-demo.vault.azure.net";
    let tag = json!(["lockkeeper", "x"]);
    let settings = json!({
        "name": "x", "notebook_path": "/Shared/x", "run_as": "0a0a0a0a-0000-4000-8000-000000000002",
        "compute": "serverless", "tag": tag,
    });
    let of_secret = json!({ "vault_url": url, "name": "x" });
    let id = "0a0a0a0a-0000-4000-8000-000000000003";
    let app = "0a0a0a0a-0000-4000-8000-000000000002";
    let operator = "7345223481991";
    let named = json!({ "object_id": id, "unique_name": "x" });
    let role = json!({ "scope": vault, "role": "key-vault-secrets-user", "principal": id });
    let held = json!({ "principal": operator, "entitlements": ["workspace-access"] });
    let granted = json!({ "application_id": app, "role": "servicePrincipal.user", "principal": "users/ana@contoso.com" });
    let level =
        json!({ "securable": "directory", "id": "3", "application_id": app, "level": "CAN_READ" });
    let revoked = json!({ "securable": "directory", "id": "3", "application_id": app });
    let renamed = json!({ "id": operator, "application_id": app, "display_name": "x" });
    vec![
        (
            "entra/applications.create",
            json!({ "unique_name": "x", "display_name": "x" }),
        ),
        ("entra/applications.delete", named.clone()),
        ("entra/applications.purge", named.clone()),
        ("entra/applications.set-unique-name", named),
        (
            "entra/service-principals.create",
            json!({ "application_id": app }),
        ),
        (
            "entra/service-principals.delete",
            json!({ "object_id": id, "application_id": app }),
        ),
        (
            "entra/credentials.add-password",
            json!({ "application": id, "display_name": "x", "ends": "2030-01-02T03:04:05Z" }),
        ),
        (
            "entra/credentials.remove-password",
            json!({ "application": id, "key_id": id }),
        ),
        (
            "azure/key-vault-secrets.set",
            json!({ "vault_url": url, "name": "x", "value": secret("x"), "expires": null, "tags": [] }),
        ),
        ("azure/key-vault-secrets.delete", of_secret.clone()),
        ("azure/key-vault-secrets.purge", of_secret),
        ("azure/role-assignments.create", role.clone()),
        ("azure/role-assignments.delete", role),
        (
            "databricks/service-principals.create",
            json!({ "application_id": app, "display_name": "x" }),
        ),
        ("databricks/service-principals.rename", renamed),
        (
            "databricks/service-principals.delete",
            json!({ "id": operator, "application_id": app }),
        ),
        ("databricks/entitlements.add", held.clone()),
        ("databricks/entitlements.remove", held),
        ("databricks/roles.grant", granted.clone()),
        ("databricks/roles.revoke", granted),
        (
            "databricks/secret-scopes.create",
            json!({ "name": "x", "key_vault": null }),
        ),
        ("databricks/secret-scopes.delete", json!({ "name": "x" })),
        (
            "databricks/secrets.put",
            json!({ "scope": "x", "key": "x", "value": secret("x") }),
        ),
        (
            "databricks/secrets.put-text",
            json!({ "scope": "x", "key": "x", "text": "x" }),
        ),
        (
            "databricks/secrets.delete",
            json!({ "scope": "x", "key": "x" }),
        ),
        (
            "databricks/secret-acls.put",
            json!({ "scope": "x", "principal": "users", "permission": "read" }),
        ),
        (
            "databricks/secret-acls.delete",
            json!({ "scope": "x", "principal": "users" }),
        ),
        (
            "databricks/workspace-objects.mkdirs",
            json!({ "path": "/Shared/x" }),
        ),
        (
            "databricks/workspace-objects.write-notebook",
            json!({ "path": "/Shared/x/y", "language": "sql", "source": "SELECT 1" }),
        ),
        (
            "databricks/workspace-objects.delete",
            json!({ "path": "/Shared" }),
        ),
        ("databricks/permissions.grant", level),
        ("databricks/permissions.revoke", revoked),
        ("databricks/jobs.create", json!({ "settings": settings })),
        (
            "databricks/jobs.update",
            json!({ "id": "1", "settings": settings }),
        ),
        (
            "databricks/jobs.adopt",
            json!({ "id": "1", "name": "x", "tag": tag }),
        ),
        (
            "databricks/jobs.release",
            json!({ "id": "1", "name": "x", "tag": tag, "former_name": "y" }),
        ),
        (
            "databricks/jobs.delete",
            json!({ "id": "1", "name": "x", "tag": tag }),
        ),
        ("databricks/jobs.run-now", json!({ "id": "1" })),
    ]
}

#[tokio::test]
async fn no_operation_writes_in_a_plan() {
    let writes = writes();
    let mut known: Vec<_> = operations::ALL
        .iter()
        .filter(|it| it.class() != Class::Read)
        .map(|it| it.name())
        .collect();
    let mut tried: Vec<_> = writes.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    tried.sort_unstable();
    assert_eq!(tried, known, "every operation that writes is tried");

    let folder = tempfile::tempdir().unwrap();
    let password = "not-a-real-operator-secret";
    let simulator = lockkeeper_simulator::start(Options {
        folder: folder.path().to_owned(),
        seal_key: [7; 32].into(),
        operator_secret: password.to_owned().into(),
        profile: Profile::Instant,
        seed: 1,
        https_port: 0,
        http_port: 0,
    })
    .await
    .unwrap();
    let operator = simulator.operator();
    let cloud = Cloud::connect(Target {
        tenant_id: Some(operator.tenant_id),
        workspace: Some(simulator.workspace_url()),
        credentials: Credentials::ClientSecret {
            client_id: Some(operator.client_id),
            secret: Some(SecretSource::Value(SecretString::new(password.to_owned()))),
        },
        endpoints: Some(Endpoints {
            resolve_to: simulator.https_address(),
            ca_pem: simulator.ca_pem().to_owned(),
        }),
        ..Target::default()
    })
    .await
    .unwrap();
    let gate = Arc::new(RunGate::new(
        &cloud,
        Secrets::in_memory(),
        Events::new("plan", &[]),
        Mode::Plan(Box::new(Plan::new(OffsetDateTime::now_utc()))),
        Cancellation::default(),
    ));
    let mut step = StepGate::new(
        gate.clone(),
        "hostile",
        Grants::everything("hostile"),
        None,
        Instant::now() + Duration::from_mins(1),
        Box::new(Memory::default().invocation("hostile#1")),
    );
    let mut refused = Vec::new();
    for (name, arguments) in &writes {
        if step.call(name, arguments.clone()).await.unwrap().is_err() {
            refused.push(*name);
        }
    }
    // The operator may not even look at these.
    assert_eq!(
        refused,
        ["databricks/roles.grant", "databricks/roles.revoke"]
    );
    let text = std::fs::read_to_string(folder.path().join("requests.jsonl")).unwrap();
    let sent: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(sent.len() > 10, "the cloud was asked");
    for request in sent {
        let harmless = request["service"] == "entra" || request["method"] == "GET";
        assert!(harmless, "{request}");
    }
    let Mode::Plan(plan) = &gate.mode else {
        unreachable!("it plans")
    };
    assert_eq!(plan.calls().len(), writes.len() - refused.len());
    assert_eq!(plan.requests().writes(), 0);
}

const WORLD: &str = "package acme:hostile@0.1.0;
world hostile {
  use lockkeeper:step/types@0.1.0.{step-error};
  import lockkeeper:databricks/workspace-objects@0.1.0;
  import lockkeeper:databricks/secret-scopes@0.1.0;
  import lockkeeper:databricks/jobs@0.1.0;
  export run: func() -> result<_, step-error>;
}";

/// Deletes a notebook, a scope and a job that are there, whatever it is told.
const CORE: &str = r#"(module
(import "lockkeeper:databricks/workspace-objects@0.1.0" "delete" (func $delete (param i32 i32 i32)))
(import "lockkeeper:databricks/secret-scopes@0.1.0" "delete" (func $unscope (param i32 i32 i32)))
(import "lockkeeper:databricks/jobs@0.1.0" "run-now" (func $start (param i32 i32 i32)))
MEMORY
(data (i32.const 1024) "/Shared/etl-demo/smoke")
(data (i32.const 1056) "sp-etl-demo")
(data (i32.const 1088) "JOB-ID-IN-SIXTEEN-PLACES")
(func (export "run") (result i32)
  (call $delete (i32.const 1024) (i32.const 22) (i32.const 512))
  (call $unscope (i32.const 1056) (i32.const 11) (i32.const 512))
  (call $start (i32.const 1088) (i32.const JOB-ID-LENGTH) (i32.const 512))
  (i32.const 0)))"#;

fn hostile(job: &str) -> Vec<u8> {
    let core = CORE
        .replace("JOB-ID-IN-SIXTEEN-PLACES", job)
        .replace("JOB-ID-LENGTH", &job.len().to_string());
    component(WORLD, "hostile", &core)
}

#[test]
fn a_hostile_plugin_cannot_write_in_a_plan() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    run(&project, &storage);
    let before = state(&project);
    let job = before["databricks"]["jobs"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    std::fs::write(project.path().join("hostile.wasm"), hostile(&job)).unwrap();
    project.write(
        "lockkeeper.toml",
        "[plugins]\nhostile = { path = \"hostile.wasm\" }\n[grants.hostile]\n\"databricks/workspace-objects\" = \"*\"\n\"databricks/secret-scopes\" = \"*\"\n\"databricks/jobs\" = \"*\"\n",
    );
    project.write(
        "hostile.toml",
        "lockkeeper = 1\n[workflow]\nname = \"hostile\"\n[steps.harm]\nplugin = \"hostile\"\n",
    );
    let seen = requests(&project).len();
    let (code, plan) = project.json(&["plan", "hostile.toml"]);
    assert_eq!(code, 0, "{plan:#}");
    let calls: Vec<_> = plan["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["operation"].clone())
        .collect();
    assert_eq!(
        calls,
        [
            "databricks/workspace-objects.delete",
            "databricks/secret-scopes.delete",
            "databricks/jobs.run-now"
        ]
    );
    assert_eq!(plan["counts"]["delete"], 2, "{plan:#}");
    assert_eq!(writes_since(&project, seen), Vec::<String>::new());
    assert_same(&lasting(state(&project)), &lasting(before));

    // The very same plugin, run, does harm: so the plan was put to the test.
    project.ok(&["run", "hostile.toml"]);
    let after = state(&project);
    assert_eq!(after["databricks"]["scopes"], json!({}));
    assert!(
        after["databricks"]["objects"]
            .get("/Shared/etl-demo/smoke")
            .is_none()
    );
}
