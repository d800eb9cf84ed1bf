//! The simulated cloud as its state file has it, and the workflow files of a test's project.

use serde_json::Value;

use crate::support::Project;

/// The state of the project's simulator, while none runs.
pub fn state(project: &Project) -> Value {
    let text = std::fs::read_to_string(project.state().join("simulator/state.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Changes the cloud behind lockkeeper's back, while no simulator runs.
pub fn change(project: &Project, change: impl FnOnce(&mut Value)) {
    let mut cloud = state(project);
    change(&mut cloud);
    let path = project.state().join("simulator/state.json");
    std::fs::write(path, cloud.to_string()).unwrap();
}

/// A cloud as new, before anything ran on it.
pub fn seed(project: &Project) {
    project.ok(&["plan", "onboard", "-i", "app_name=nothing-yet"]);
}

/// The requests that the project's simulators have seen.
pub fn requests(project: &Project) -> Vec<Value> {
    let path = project.state().join("simulator/requests.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Those among them that may have changed something, as `METHOD path`.
pub fn writes(project: &Project) -> Vec<String> {
    let reads = ["GET", "HEAD"];
    requests(project)
        .iter()
        .filter(|request| request["service"] != "entra")
        .filter(|request| !reads.contains(&request["method"].as_str().unwrap()))
        .map(|request| {
            let text = |name: &str| request[name].as_str().unwrap().to_owned();
            format!("{} {}", text("method"), text("path"))
        })
        .collect()
}

/// The member of a list whose `name` is `value`.
pub fn member<'a>(list: &'a mut Value, name: &str, value: &str) -> &'a mut Value {
    list.as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|item| item[name] == value)
        .unwrap_or_else(|| panic!("there is one whose {name} is {value}"))
}

/// Drops the members of a list whose `name` is `value`; there has to be one.
pub fn drop_member(list: &mut Value, name: &str, value: &str) {
    let items = list.as_array_mut().unwrap();
    let before = items.len();
    items.retain(|item| item[name] != value);
    assert!(items.len() < before, "there is one whose {name} is {value}");
}

/// The principal of the workspace that goes by `name`: an application id or e-mail address.
pub fn principal<'a>(cloud: &'a mut Value, name: &str) -> &'a mut Value {
    let principals = &mut cloud["databricks"]["directory"]["principals"];
    principals
        .as_object_mut()
        .unwrap()
        .values_mut()
        .find(|principal| principal["name"] == name)
        .unwrap_or_else(|| panic!("the workspace has {name}"))
}

/// A project with files of its own, whose `onboard.toml` has each `(old, new)` replaced.
pub fn edited(changes: &[(&str, &str)]) -> Project {
    let project = Project::new();
    project.ok(&["init"]);
    for (old, new) in changes {
        edit(&project, "workflows/onboard.toml", old, new);
    }
    project
}

/// Replaces text in a file of the project; it has to be there.
pub fn edit(project: &Project, name: &str, old: &str, new: &str) {
    let text = std::fs::read_to_string(project.path().join(name)).unwrap();
    assert!(text.contains(old), "{name} contains {old}");
    project.write(name, &text.replace(old, new));
}

/// Takes whole steps out of `onboard.toml`, with the `after` lines that name them.
pub fn without_steps(project: &Project, steps: &[&str]) {
    let path = project.path().join("workflows/onboard.toml");
    let mut dropped = false;
    let mut kept = String::new();
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        if line.starts_with('[') || line.starts_with("# ---") {
            dropped = steps.iter().any(|step| {
                let inner = line.trim_start_matches('[').split(']').next().unwrap();
                inner == format!("steps.{step}") || inner.starts_with(&format!("steps.{step}."))
            });
        }
        let waits = line.starts_with("after")
            && steps
                .iter()
                .any(|step| line.contains(&format!("\"{step}\"")));
        if !dropped && !waits {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    std::fs::write(path, kept).unwrap();
}

/// A workflow that only starts a job which is there, as a later run on another day would.
pub const RERUN: &str = r#"lockkeeper = 1
[workflow]
name = "rerun"
[inputs.job]
type = "string"
[steps.test_run]
plugin = "test-run"
with.job_id = "${inputs.job}"
[outputs]
output = "${steps.test_run.output}"
"#;
