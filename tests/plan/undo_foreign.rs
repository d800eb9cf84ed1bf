//! What was there before a run, and what others did since, survives its undo.

use serde_json::{Value, json};

use crate::support::Project;
use crate::world::{assert_same, change, job, lasting, principal, push, run, state, variants};

/// The second run of an application: with one more entitlement and one more user of the principal.
fn again(variant: &[String]) -> Vec<String> {
    let more = [
        "-i",
        "operator=ana@contoso.com",
        "-i",
        "entitlements=[\"workspace-access\", \"allow-cluster-create\", \"databricks-sql-access\"]",
    ];
    variant
        .iter()
        .cloned()
        .chain(more.map(str::to_owned))
        .collect()
}

#[test]
fn what_was_there_before_stays() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    run(&project, &storage);
    let before = state(&project);
    let id = run(&project, &again(&storage));
    let mut between = state(&project);
    assert!(
        principal(&mut between)["entitlements"]
            .as_array()
            .unwrap()
            .len()
            > 2
    );
    let (code, report) = project.json(&["undo", &id, "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["undone"], 2, "{report:#}");
    assert_eq!(report["remains"], json!([]));
    assert_same(&lasting(state(&project)), &lasting(before));
}

#[test]
fn what_others_added_since_stays_and_the_rest_goes() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    run(&project, &storage);
    let before = state(&project);
    let id = run(&project, &again(&storage));
    let foreign = |cloud: &mut Value| {
        let ours = principal(cloud);
        let held = ours["entitlements"].as_array_mut().unwrap();
        held.retain(|name| name != "workspace-access");
        let rules = ours["rule_set"]["current"]["rules"].as_array_mut().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule["role"] == "roles/servicePrincipal.user");
        push(
            &mut rule.unwrap()["principals"],
            json!("users/bob@contoso.com"),
        );
        cloud["databricks"]["scopes"]["sp-etl-demo"]["acls"]["users"] = json!("READ");
        cloud["databricks"]["objects"]["/Shared/etl-demo/smoke"]["content"]["Notebook"]["source"] =
            json!("SELECT 42");
        job(cloud)["settings"]["timeout_seconds"] = json!(600);
    };
    change(&project, foreign);
    let (code, report) = project.json(&["undo", &id, "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    let mut expected = before;
    foreign(&mut expected);
    assert_same(
        &sorted(lasting(state(&project))),
        &sorted(lasting(expected)),
    );
}

/// With the principals of the workspace in one order of entitlements and rules.
fn sorted(mut cloud: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            Value::Object(fields) => fields.values_mut().for_each(sort),
            _ => {}
        }
    }
    sort(&mut cloud["databricks"]["directory"]);
    cloud
}

#[test]
fn what_others_changed_is_left_alone_and_said() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let id = run(&project, &plain);
    change(&project, |cloud| {
        cloud["databricks"]["objects"]["/Shared/etl-demo/smoke"]["content"]["Notebook"]["source"] =
            json!("SELECT 42");
        job(cloud)["settings"]["tasks"][0]["notebook_task"]["notebook_path"] =
            json!("/Shared/theirs");
    });
    let ran = project.run(&["undo", &id, "--yes"]);
    assert_eq!(ran.code(), 12, "{}{}", ran.stdout(), ran.stderr());
    for piece in [
        "job  job etl-demo-smoke: somebody changed it since",
        "job  workspace object /Shared/etl-demo/smoke: somebody changed it since",
        "job  workspace object /Shared/etl-demo: ",
    ] {
        assert!(ran.stdout().contains(piece), "{piece}\n{}", ran.stdout());
    }
    assert!(!ran.stdout().contains("Looked again"), "{}", ran.stdout());
    let mut cloud = state(&project);
    let notebook = &cloud["databricks"]["objects"]["/Shared/etl-demo/smoke"]["content"];
    assert_eq!(notebook["Notebook"]["source"], "SELECT 42");
    let path = &job(&mut cloud)["settings"]["tasks"][0]["notebook_task"]["notebook_path"];
    assert_eq!(path, "/Shared/theirs");
    assert_eq!(principal_now(&mut cloud), json!(null));
}

/// Since when the principal is in the workspace; it was taken out of it.
fn principal_now(cloud: &mut Value) -> Value {
    principal(cloud)["member_since"].clone()
}
