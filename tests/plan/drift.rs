//! Drift is told read-only, and names the field.

use serde_json::{Value, json};

use crate::support::Project;
use crate::world::{
    change, job, principal, push, requests, run, state, variants, with, writes_since,
};

type Change = fn(&mut Value);

#[test]
fn each_kind_of_drift_is_named() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    let id = run(&project, &storage);
    let onboarded = state(&project);
    let seen = requests(&project).len();
    let none = project.ok(&["drift", "onboard"]).stdout();
    assert!(none.contains(&format!("since run {id}: none")), "{none}");

    let cases: [(&str, &str, Change); 9] = [
        (
            "job",
            "settings.compute.new-cluster.spark_version",
            |cloud| {
                job(cloud)["settings"]["tasks"][0]["new_cluster"]["spark_version"] =
                    json!("15.4.x-scala2.12");
            },
        ),
        ("job", "", |cloud| cloud["databricks"]["jobs"] = json!({})),
        ("workspace object", "source", |cloud| {
            cloud["databricks"]["objects"]["/Shared/etl-demo/smoke"]["content"]["Notebook"]["source"] =
                json!("SELECT 2");
        }),
        ("entitlements", "[allow-cluster-create]", |cloud| {
            principal(cloud)["entitlements"] = json!(["workspace-access"]);
        }),
        (
            "service principal roles",
            "[servicePrincipal.user users/bob@contoso.com]",
            |cloud| {
                let rules = &mut principal(cloud)["rule_set"]["current"]["rules"];
                push(
                    rules,
                    json!({ "role": "roles/servicePrincipal.user", "principals": ["users/bob@contoso.com"] }),
                );
            },
        ),
        ("secret ACL", "", |cloud| {
            let acls = cloud["databricks"]["scopes"]["sp-etl-demo"]["acls"]
                .as_object_mut()
                .unwrap();
            acls.retain(|_, level| level != "READ");
        }),
        ("application", "display_name", |cloud| {
            let apps = cloud["entra"]["applications"].as_array_mut().unwrap();
            let ours = apps
                .iter_mut()
                .find(|app| app["unique_name"] == "lockkeeper-etl-demo");
            ours.unwrap()["display_name"] = json!("renamed");
        }),
        ("key vault secret", "enabled", |cloud| {
            let vaults = cloud["azure"]["vaults"].as_array_mut().unwrap();
            let secrets = vaults
                .iter_mut()
                .flat_map(|it| it["secrets"].as_array_mut().unwrap());
            let mut ours = secrets.filter(|it| it["name"] == "etl-demo-client-secret");
            ours.next().unwrap()["versions"][0]["enabled"] = json!(false);
        }),
        ("workspace service principal", "active", |cloud| {
            principal(cloud)["active"] = json!(false);
        }),
    ];
    for (kind, field, drifted) in cases {
        change(&project, drifted);
        let (code, report) = project.json(&["drift", "onboard"]);
        assert_eq!(code, 7, "{kind} {field}: {report:#}");
        let found: Vec<_> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it["object"]["kind"].as_str().unwrap(),
                    it["field"].as_str().unwrap(),
                )
            })
            .collect();
        assert!(found.contains(&(kind, field)), "{kind} {field}: {found:?}");
        let text = project.run(&["drift", &id]);
        assert_eq!(text.code(), 7);
        let shown = if field.is_empty() {
            "the whole of it"
        } else {
            field
        };
        assert!(text.stdout().contains(shown), "{shown}\n{}", text.stdout());
        change(&project, |cloud| *cloud = onboarded.clone());
    }
    assert_eq!(writes_since(&project, seen), Vec::<String>::new());
    project.ok(&["drift", "onboard"]);
}

#[test]
fn what_a_run_found_as_an_earlier_one_left_it_is_compared_as_well() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    run(&project, &plain);
    let again = run(&project, &plain);
    project.ok(&["drift", "onboard"]);
    change(&project, |cloud| cloud["databricks"]["jobs"] = json!({}));
    let (code, report) = project.json(&["drift", "onboard"]);
    assert_eq!((code, &report["run"]), (7, &json!(again)), "{report:#}");
    assert_eq!(report["differences"][0]["object"]["kind"], "job");
    let (_, planned) = project.json(&with("plan", &plain));
    assert_eq!(
        planned["changed_outside"]["differences"],
        report["differences"]
    );

    project.json(&["undo", &again, "--yes"]);
    let undone = project.run(&["drift", &again]);
    assert_eq!(undone.code(), 2, "{}", undone.stderr());
    assert!(
        undone.stderr().contains("has been taken back"),
        "{}",
        undone.stderr()
    );
}

#[test]
fn there_is_no_drift_of_what_never_ran() {
    let project = Project::new();
    let ran = project.run(&["drift", "onboard"]);
    assert_eq!(ran.code(), 6, "{}", ran.stderr());
}
