//! The main job in one command, and what it leaves in the cloud.

use serde_json::{Value, json};

use crate::cloud;
use crate::support::{Project, VAULT};

const STEPS: [&str; 6] = ["register", "import", "grant", "scope", "job", "test_run"];

/// The one JSON document of a run that succeeded.
fn document(project: &Project, arguments: &[&str]) -> Value {
    let (code, document) = project.json(arguments);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["result"], "succeeded");
    document
}

fn step<'a>(document: &'a Value, id: &str) -> &'a Value {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().find(|step| step["id"] == id).unwrap()
}

#[test]
fn one_command_onboards_and_prints_the_outputs() {
    let project = Project::new();
    let ran = project.ok(&["run", "onboard", "-i", "app_name=etl-demo"]);
    let cloud = cloud::state(&project);
    let application = cloud["entra"]["applications"]
        .as_array()
        .unwrap()
        .iter()
        .find(|application| application["display_name"] == "etl-demo")
        .unwrap();
    let job = cloud["databricks"]["jobs"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let stdout = ran.stdout();
    let output = |name: &str| {
        let line = stdout
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap();
        line.trim_start().trim_start_matches(name).trim().to_owned()
    };
    assert_eq!(
        output("application_id"),
        application["app_id"].as_str().unwrap()
    );
    assert!(
        output("job_url").ends_with(&format!("#job/{job}")),
        "{stdout}"
    );
    assert!(
        output("test_output").contains("\"rows\":[[\"1\"]]"),
        "{stdout}"
    );
    for step in ["register", "import", "grant", "job", "test_run"] {
        assert!(
            ran.stderr().contains(&format!("✓ {step}")),
            "{}",
            ran.stderr()
        );
    }
    assert!(
        ran.stderr().contains("skipped (inputs.storage is null)"),
        "{}",
        ran.stderr()
    );
    assert!(
        !stdout.contains('✓') && !stdout.contains("Simulator"),
        "{stdout}"
    );
}

#[test]
fn the_json_document_has_every_step_and_output() {
    let project = Project::new();
    let document = document(&project, &["run", "onboard", "-i", "app_name=etl-demo"]);
    let steps = document["steps"].as_array().unwrap();
    let ids: Vec<&str> = steps
        .iter()
        .map(|step| step["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, STEPS);
    for step in steps {
        let result = if step["id"] == "scope" {
            "skipped"
        } else {
            "succeeded"
        };
        assert_eq!(step["result"], result, "{step:#}");
        let id = step["id"].as_str().unwrap();
        assert_eq!(step["plugin"], id.replace('_', "-"), "{step:#}");
        assert_eq!(step["outputs"].is_object(), id != "scope", "{step:#}");
    }
    let outputs = &document["outputs"];
    assert_eq!(
        outputs["application_id"],
        step(&document, "register")["outputs"]["app_id"]
    );
    assert_eq!(outputs["job_url"], step(&document, "job")["outputs"]["url"]);
    let result: Value = serde_json::from_str(outputs["test_output"].as_str().unwrap()).unwrap();
    assert_eq!(result["rows"], json!([["1"]]));
    // The job ran as the service principal: nothing fails when it does not.
    let cloud = cloud::state(&project);
    let run = cloud["databricks"]["runs"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    assert_eq!(run["identity"]["name"], outputs["application_id"]);
}

#[test]
fn with_storage_the_secret_goes_through_the_vault_to_a_storage_token() {
    let project = Project::new();
    let file = project.storage_inputs("etl-file");
    let inline = format!(
        "storage={{account=\"stdemo\", vault_id=\"{VAULT}\", vault_url=\"https://kv-demo.vault.azure.net\"}}"
    );
    let json = format!(
        "storage={{\"account\":\"stdemo\",\"vault_id\":\"{VAULT}\",\"vault_url\":\"https://kv-demo.vault.azure.net\"}}"
    );
    for (app, arguments) in [
        ("etl-file", vec!["--inputs", file.to_str().unwrap()]),
        (
            "etl-inline",
            vec!["-i", "app_name=etl-inline", "-i", &inline],
        ),
        ("etl-json", vec!["-i", "app_name=etl-json", "-i", &json]),
    ] {
        let document = document(&project, &[&["run", "onboard"], &arguments[..]].concat());
        let application = document["outputs"]["application_id"].as_str().unwrap();
        let key = step(&document, "register")["outputs"]["key_id"]
            .as_str()
            .unwrap();
        passed_through(&mut cloud::state(&project), app, application, key);
    }
}

/// The secret `key` of `application` is in the vault, behind a scope that the service principal
/// reads, in five lines of Spark configuration, and got its run a token for storage.
fn passed_through(cloud: &mut Value, app: &str, application: &str, key: &str) {
    let name = format!("{app}-client-secret");
    let vault = cloud::member(&mut cloud["azure"]["vaults"], "name", "kv-demo");
    let kept = &cloud::member(&mut vault["secrets"], "name", &name)["versions"];
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(kept[0]["tags"]["key_id"], key);
    let scope = &cloud["databricks"]["scopes"][format!("sp-{app}")];
    assert_eq!(scope["backend"]["KeyVault"]["resource_id"], VAULT);
    assert_eq!(scope["acls"][application], "READ");
    let of_app = |item: &&Value| item["settings"]["name"] == format!("{app}-smoke");
    let jobs = cloud["databricks"]["jobs"].as_object().unwrap();
    let job = jobs.values().find(of_app).unwrap();
    let spark = &job["settings"]["tasks"][0]["new_cluster"]["spark_conf"];
    let line = |name: &str| {
        spark[format!("fs.azure.account.{name}.stdemo.dfs.core.windows.net")]
            .as_str()
            .unwrap()
    };
    assert_eq!(line("auth.type"), "OAuth");
    assert!(line("oauth.provider.type").ends_with("ClientCredsTokenProvider"));
    assert_eq!(line("oauth2.client.id"), application);
    assert_eq!(
        line("oauth2.client.secret"),
        format!("{{{{secrets/sp-{app}/{name}}}}}")
    );
    let tenant = cloud["entra"]["tenant_id"].as_str().unwrap();
    let endpoint = format!("https://login.microsoftonline.com/{tenant}/oauth2/token");
    assert_eq!(line("oauth2.client.endpoint"), endpoint);
    let runs = cloud["databricks"]["runs"].as_object().unwrap();
    let outcome = &runs.values().find(of_app).unwrap()["tasks"][0]["course"]["outcome"];
    assert_eq!(outcome["ending"], "Success");
    assert_eq!(outcome["storage_token_obtained"], true);
}
