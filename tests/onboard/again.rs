//! The same command again: nothing new but a run of the job.

use serde_json::Value;

use crate::cloud;
use crate::support::Project;

/// What a run of a job leaves behind, taken out of a state so that the rest can be compared.
fn without_runs(mut cloud: Value) -> Value {
    let databricks = cloud["databricks"].as_object_mut().unwrap();
    databricks.remove("runs").unwrap();
    databricks.remove("clusters").unwrap();
    for job in databricks["jobs"].as_object_mut().unwrap().values_mut() {
        job.as_object_mut().unwrap().remove("runs").unwrap();
    }
    cloud
}

fn runs(cloud: &Value) -> usize {
    cloud["databricks"]["runs"].as_object().unwrap().len()
}

/// Runs it a second time, and checks what changed and what was said about the rest.
fn second(project: &Project, arguments: &[&str], notes: &[(&str, &str)]) {
    let before = cloud::state(project);
    let writes = cloud::writes(project).len();
    let (code, document) = project.json(&[&["run", "onboard"], arguments].concat());
    assert_eq!(code, 0, "{document:#}");
    let after = cloud::state(project);
    assert_eq!(runs(&after), runs(&before) + 1);
    let new = &cloud::writes(project)[writes..];
    assert!(
        new.len() == 1 && new[0].ends_with("/jobs/run-now"),
        "{new:?}"
    );
    assert_eq!(without_runs(after), without_runs(before));
    for step in document["steps"].as_array().unwrap() {
        let changes = u64::from(step["id"] == "test_run");
        assert_eq!(step["changes"], changes, "{step:#}");
        let said: Vec<&str> = step["notes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|note| note.as_str().unwrap())
            .collect();
        for (_, note) in notes.iter().filter(|(id, _)| step["id"] == *id) {
            assert!(
                said.iter().any(|said| said.contains(note)),
                "{note}: {said:?}"
            );
        }
    }
}

const NOTES: [(&str, &str); 8] = [
    (
        "register",
        "application lockkeeper-etl-demo was already there",
    ),
    ("register", "its service principal was already there"),
    (
        "import",
        "the service principal was already in the workspace",
    ),
    ("grant", "the entitlements were already there"),
    ("grant", "the roles were already there"),
    ("job", "notebook /Shared/etl-demo/smoke was already there"),
    (
        "job",
        "the service principal could already run the notebook",
    ),
    ("job", "job etl-demo-smoke was already there"),
];

const STORAGE_NOTES: [(&str, &str); 5] = [
    (
        "register",
        "the secret in kv-demo/etl-demo-client-secret was already there",
    ),
    ("scope", "AzureDatabricks could already read the vault"),
    ("scope", "secret etl-demo-client-secret was already there"),
    ("scope", "scope sp-etl-demo was already there"),
    ("scope", "already had its permission on scope sp-etl-demo"),
];

#[test]
fn the_same_command_again_only_runs_the_job() {
    let project = Project::new();
    let arguments = ["-i", "app_name=etl-demo"];
    project.ok(&[&["run", "onboard"][..], &arguments].concat());
    second(&project, &arguments, &NOTES);
    // Each command had a simulator of its own, started anew on the same state.
    second(&project, &arguments, &NOTES);
}

#[test]
fn with_storage_no_second_secret_version_or_scope_comes_into_being() {
    let project = Project::new();
    let inputs = project.storage_inputs("etl-demo");
    let arguments = ["--inputs", inputs.to_str().unwrap()];
    project.ok(&[&["run", "onboard"][..], &arguments].concat());
    second(&project, &arguments, &[&NOTES[..], &STORAGE_NOTES].concat());
}

#[test]
fn a_simulator_that_served_restarts_with_everything_there() {
    let project = Project::new();
    let arguments = ["-i", "app_name=etl-demo"];
    let first = project.simulator(&[]);
    project.ok(&[&["run", "onboard"][..], &arguments].concat());
    let served = first.control("GET", "/__simulator/state", None);
    drop(first); // killed, not stopped
    let restarted = project.simulator(&[]);
    assert_eq!(restarted.control("GET", "/__simulator/state", None), served);
    let (code, document) = project.json(&[&["run", "onboard"][..], &arguments].concat());
    assert_eq!(code, 0, "{document:#}");
    let after = restarted.control("GET", "/__simulator/state", None);
    assert_eq!(runs(&after), runs(&served) + 1);
    assert_eq!(without_runs(after), without_runs(served));
}
