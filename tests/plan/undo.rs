//! An undo takes back exactly what a run did, and proves it.

use serde_json::Value;

use crate::support::Project;
use crate::world::{
    APP, assert_same, change, lasting, principal, requests, run, state, variants, with,
    writes_since,
};

/// A cloud on which nothing has run.
fn seeded(project: &Project, variant: &[String]) -> Value {
    project.ok(&with("plan", variant));
    state(project)
}

fn reasons(report: &Value) -> Vec<String> {
    let left = report["left"].as_array().unwrap();
    left.iter()
        .map(|left| {
            format!(
                "{} {}",
                left["step"].as_str().unwrap(),
                left["object"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn a_cloud_after_an_undo_is_the_one_before_the_run() {
    for storage in [false, true] {
        let project = Project::new();
        let [plain, with_storage] = variants(&project);
        let variant = if storage { with_storage } else { plain };
        let before = seeded(&project, &variant);
        let id = run(&project, &variant);
        let (code, report) = project.json(&["undo", &id, "--yes"]);
        assert_eq!(code, 0, "{report:#}");
        assert_same(&lasting(state(&project)), &lasting(before));

        // What is left all the same is said, and was to be expected.
        let left = report["left"].as_array().unwrap();
        assert!(
            left.iter().all(|left| left["expected"] == true),
            "{report:#}"
        );
        let mut expected = vec!["import workspace service principal", "test_run runs of job"];
        if storage {
            expected.push("scope secret scope sp-etl-demo");
        }
        let mut found = reasons(&report);
        found.sort();
        expected.sort_unstable();
        assert_eq!(found.len(), expected.len(), "{report:#}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{found}");
        }
        let remains: Vec<&str> = report["remains"]
            .as_array()
            .unwrap()
            .iter()
            .map(|remains| {
                assert!(remains["kept_until"].is_string(), "{remains}");
                remains["object"]["kind"].as_str().unwrap()
            })
            .collect();
        let secret = storage.then_some("deleted key vault secret");
        let kept: Vec<&str> = secret.into_iter().chain(["deleted application"]).collect();
        assert_eq!(remains, kept);
    }
}

#[test]
fn what_was_deleted_is_purged_on_request() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    let id = run(&project, &storage);
    let ran = project.ok(&["undo", &id, "--yes"]);
    assert!(
        ran.stdout()
            .contains("deleted application lockkeeper-etl-demo, until 20"),
        "{}",
        ran.stdout()
    );
    let kept = |project: &Project| {
        let cloud = state(project);
        let named = |list: &Value, field: &str, name: &str| {
            list.as_array()
                .unwrap()
                .iter()
                .any(|item| item[field] == name)
        };
        let vaults = cloud["azure"]["vaults"].as_array().unwrap();
        (
            named(&cloud["entra"]["applications"], "display_name", APP),
            vaults
                .iter()
                .any(|it| named(&it["secrets"], "name", "etl-demo-client-secret")),
        )
    };
    assert_eq!(kept(&project), (true, true));
    let id = run(&project, &storage);
    let (code, report) = project.json(&["undo", &id, "--yes", "--purge"]);
    assert_eq!(
        (code, &report["remains"]),
        (0, &serde_json::json!([])),
        "{report:#}"
    );
    assert_eq!(kept(&project), (false, false));
    // And all of it can be made again.
    run(&project, &storage);
}

/// Reads lag behind writes here, as at the services themselves.
#[test]
fn an_undo_waits_until_it_sees_that_what_it_deleted_is_gone() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let id = run(&project, &plain);
    let _simulator = project.simulator(&["--profile", "typical"]);
    // Entra shows a deleted principal for a minute, so that step stays out of this.
    let arguments = ["undo", &id, "--yes", "--keep", "register"];
    let ran = project.ok(&arguments);
    assert!(
        ran.stderr()
            .contains("what was taken back is still to be seen"),
        "{}",
        ran.stderr()
    );
}

#[test]
fn nobody_to_ask_means_nothing_is_taken_back() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let id = run(&project, &plain);
    let (before, seen) = (state(&project), requests(&project).len());
    for arguments in [
        &["undo", id.as_str()][..],
        &["undo", id.as_str(), "--no-input"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        for piece in [
            "- job",
            "etl-demo-smoke",
            "nobody can be asked",
            "say --yes",
        ] {
            assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
        }
    }
    assert_eq!(writes_since(&project, seen), Vec::<String>::new());
    assert_same(&lasting(state(&project)), &lasting(before));
}

#[test]
fn an_undo_is_made_once() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let id = run(&project, &plain);
    let undo = project.json(&["undo", &id, "--yes"]).1["undo"]
        .as_str()
        .unwrap()
        .to_owned();
    let seen = requests(&project).len();
    let again = project.run(&["undo", &id, "--yes"]);
    assert_eq!(again.code(), 2, "{}", again.stderr());
    assert!(
        again.stderr().contains("has been taken back already"),
        "{}",
        again.stderr()
    );
    let of_undo = project.run(&["undo", &undo, "--yes"]);
    assert_eq!(of_undo.code(), 2, "{}", of_undo.stderr());
    assert!(
        of_undo.stderr().contains("is itself an undo"),
        "{}",
        of_undo.stderr()
    );
    assert_eq!(writes_since(&project, seen), Vec::<String>::new());
}

#[test]
fn what_a_run_did_is_only_looked_for_at_its_own_target() {
    let project = Project::new();
    project.ok(&["init"]);
    let [plain, _] = variants(&project);
    let id = &run(&project, &plain);
    let config = project.path().join("lockkeeper.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "\n[targets.other]\nsim = true\n";
    std::fs::write(&config, text).unwrap();
    let before = state(&project);
    for command in [&["undo", id, "--yes"][..], &["drift", id], &["resume", id]] {
        let ran = project.run(&[command, &["--target", "other"]].concat());
        assert_eq!(ran.code(), 2, "{command:?}\n{}", ran.stderr());
        assert!(
            ran.stderr().contains("began with another target, `sim`"),
            "{command:?}\n{}",
            ran.stderr()
        );
    }
    assert_same(&state(&project), &before);
    let (code, _) = project.json(&["undo", id, "--yes"]);
    assert_eq!(code, 0);
}

#[test]
fn steps_are_kept_on_request_and_taken_back_later() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let before = seeded(&project, &plain);
    let id = run(&project, &plain);
    let onboarded = state(&project);

    let (code, report) = project.json(&["undo", &id, "--to", "import", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    let mut cloud = state(&project);
    assert_eq!(cloud["databricks"]["jobs"], serde_json::json!({}));
    assert_eq!(principal(&mut cloud)["entitlements"], serde_json::json!([]));
    assert_eq!(
        cloud["entra"]["applications"],
        onboarded["entra"]["applications"]
    );

    let status = || {
        let (_, runs) = project.json(&["runs", "list"]);
        let runs = runs.as_array().unwrap();
        let run = runs.iter().find(|run| run["id"] == id.as_str()).unwrap();
        run["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(), "partly-undone");
    let shown = project.ok(&["runs", "show", &id]).stdout();
    let next = format!("Next:  lockkeeper undo {id}    takes back the rest");
    assert!(
        shown.contains("partly undone") && shown.contains(&next),
        "{shown}"
    );
    let resumed = project.run(&["resume", &id]);
    assert_eq!(resumed.code(), 2, "{}", resumed.stderr());
    assert!(
        resumed.stderr().contains("partly undone"),
        "{}",
        resumed.stderr()
    );

    let (code, report) = project.json(&["undo", &id, "--keep", "register", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(status(), "partly-undone");
    let cloud = state(&project);
    assert_eq!(
        cloud["entra"]["applications"],
        onboarded["entra"]["applications"]
    );
    let principals = cloud["databricks"]["directory"]["principals"]
        .as_object()
        .unwrap();
    let ours = principals
        .values()
        .find(|it| it["display_name"] == APP)
        .unwrap();
    assert!(ours["member_since"].is_null(), "{ours:#}");

    project.ok(&["undo", &id, "--yes"]);
    assert_same(&lasting(state(&project)), &lasting(before));
    assert_eq!(status(), "undone");
    assert_eq!(project.run(&["undo", &id, "--yes"]).code(), 2);

    let unknown = project.run(&["undo", &id, "--keep", "registr", "--yes"]);
    assert_eq!(unknown.code(), 2);
    assert!(
        unknown.stderr().contains("no step `registr`"),
        "{}",
        unknown.stderr()
    );
}

/// What the workflow itself wants to stay stays, and is named.
#[test]
fn a_step_that_says_keep_is_kept() {
    let project = Project::new();
    let shipped = include_str!("../../workflows/onboard.toml");
    let header = "[steps.job]\n";
    assert!(shipped.contains(header));
    project.write(
        "kept.toml",
        &shipped.replace(header, &format!("{header}undo = \"keep\"\n")),
    );
    let variant = ["kept.toml", "-i", "app_name=etl-demo"].map(str::to_owned);
    let id = run(&project, &variant);
    let jobs = state(&project)["databricks"]["jobs"].clone();
    let (code, report) = project.json(&["undo", &id, "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    let left = report["left"].as_array().unwrap();
    let job = left.iter().find(|left| left["step"] == "job").unwrap();
    assert_eq!(
        (&job["expected"], &job["reason"]),
        (&true.into(), &"kept, as asked".into()),
        "{report:#}"
    );
    let now = state(&project)["databricks"]["jobs"].clone();
    let ids = |jobs: &Value| {
        jobs.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!((ids(&now), ids(&now).len()), (ids(&jobs), 1));
}

#[test]
fn what_somebody_removed_already_is_no_failure() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let before = seeded(&project, &plain);
    let id = run(&project, &plain);
    change(&project, |cloud| {
        cloud["databricks"]["jobs"] = serde_json::json!({});
        principal(cloud)["entitlements"] = serde_json::json!(["workspace-access"]);
    });
    let (code, report) = project.json(&["undo", &id, "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    let mut after = lasting(state(&project));
    let mut before = lasting(before);
    // The job's own list of who may manage it went with the job by hand.
    for cloud in [&mut after, &mut before] {
        cloud["databricks"]["acls"]
            .as_object_mut()
            .unwrap()
            .retain(|on, _| !on.starts_with("jobs/"));
    }
    assert_same(&after, &before);
}
