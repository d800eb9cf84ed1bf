//! A saved plan runs as it was shown, or not at all.

use serde_json::Value;

use crate::support::Project;
use crate::world::{change, job, requests, run, state, variants, with, writes_since};

fn refused(project: &Project, naming: &[&str]) {
    let (before, seen) = (state(project), requests(project).len());
    let ran = project.run(&["run", "--plan", "plan.json"]);
    assert_eq!(ran.code(), 5, "{}{}", ran.stdout(), ran.stderr());
    for piece in naming {
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
    }
    assert_eq!(writes_since(project, seen), Vec::<String>::new());
    assert_eq!(state(project)["databricks"], before["databricks"]);
    let (_, runs) = project.json(&["runs", "list"]);
    assert_eq!(
        runs.as_array()
            .unwrap()
            .iter()
            .filter(|run| run["mode"] == "run")
            .count(),
        0
    );
}

fn save(project: &Project, variant: &[String]) {
    project.ok(&[&with("plan", variant)[..], &["--out", "plan.json"]].concat());
}

#[test]
fn a_saved_plan_is_run_once_the_world_is_as_it_was() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    save(&project, &storage);
    let (code, report) = project.json(&["run", "--plan", "plan.json"]);
    assert_eq!(code, 0, "{report:#}");
    // Now everything is there, so the plan says something else.
    let ran = project.run(&["run", "--plan", "plan.json"]);
    assert_eq!(ran.code(), 5, "{}", ran.stderr());
    assert!(
        ran.stderr().contains("entra/applications.create"),
        "{}",
        ran.stderr()
    );
}

#[test]
fn a_changed_world_is_refused_and_named() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    save(&project, &plain);
    change(&project, |cloud| {
        let folder = cloud["databricks"]["objects"]["/Shared"].clone();
        cloud["databricks"]["objects"]["/Shared/etl-demo"] = folder;
        cloud["databricks"]["objects"]["/Shared/etl-demo"]["id"] = 77.into();
    });
    refused(&project, &["nothing was run", "job:", "/Shared/etl-demo"]);
}

#[test]
fn changed_files_and_a_tampered_plan_are_refused() {
    let project = Project::new();
    project.ok(&["init"]);
    let [plain, _] = variants(&project);
    save(&project, &plain);
    let file = project.path().join("workflows/onboard.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("SELECT 1", "SELECT 2")).unwrap();
    refused(
        &project,
        &["the workflow file changed", "would be written differently"],
    );
    std::fs::write(&file, text).unwrap();

    let saved = project.path().join("plan.json");
    let text = std::fs::read_to_string(&saved).unwrap();
    let mut edited: Value = serde_json::from_str(&text).unwrap();
    edited["calls"].as_array_mut().unwrap().pop();
    std::fs::write(&saved, edited.to_string()).unwrap();
    refused(
        &project,
        &["was edited after it was made", "nothing was run"],
    );
    std::fs::write(&saved, text).unwrap();
    project.ok(&["run", "--plan", "plan.json"]);
}

#[test]
fn a_change_in_what_would_be_updated_is_refused() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    run(&project, &plain);
    let retitle = |cloud: &mut Value, path: &str| {
        job(cloud)["settings"]["tasks"][0]["notebook_task"]["notebook_path"] = path.into();
    };
    change(&project, |cloud| retitle(cloud, "/Shared/elsewhere"));
    save(&project, &plain);
    change(&project, |cloud| retitle(cloud, "/Shared/somewhere"));
    let seen = requests(&project).len();
    let ran = project.run(&["run", "--plan", "plan.json"]);
    assert_eq!(ran.code(), 5, "{}", ran.stderr());
    let expected = "job: databricks/jobs.update job `etl-demo-smoke` changed since";
    assert!(ran.stderr().contains(expected), "{}", ran.stderr());
    assert_eq!(writes_since(&project, seen), Vec::<String>::new());
    // What has nothing to do with the plan does not matter.
    change(&project, |cloud| {
        retitle(cloud, "/Shared/elsewhere");
        let principals = cloud["databricks"]["directory"]["principals"]
            .as_object_mut()
            .unwrap();
        let bob = principals
            .values_mut()
            .find(|it| it["name"] == "bob@contoso.com")
            .unwrap();
        bob["display_name"] = "Robert".into();
    });
    project.ok(&["run", "--plan", "plan.json"]);
}
