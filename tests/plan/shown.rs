//! How a plan looks to people.

use lockkeeper_types::unknown;
use serde_json::{Value, json};

use crate::support::Project;
use crate::world::{change, principal, run, variants, with};

#[test]
fn a_plan_says_what_will_be_and_what_is_not_known_yet() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    let ran = project.ok(&[&with("plan", &storage)[..], &["--out", "plan.json"]].concat());
    let text = ran.stdout();
    for piece in [
        "  Checked workflows/onboard.toml: 6 steps, 5 inputs, 5 outputs in ",
        " GET, 0 writes: writes are refused by the host in plan mode)",
        "  register  + application                  etl-demo",
        "application_id (known after register)",
        "90 days, until about ",
        "(never shown; goes to scope)",
        "  import    + workspace service principal  etl-demo",
        "id (known after import)",
        "allow-cluster-create, workspace-access",
        "servicePrincipal.user -> servicePrincipals/",
        "etl-demo on sp-etl-demo",
        "notebook /Shared/etl-demo/smoke",
        "CAN_RUN -> (known after register)",
        "run_as (known after register)",
        "  test_run  ! runs of job",
        "not undoable: a run that was started stays in the job's history",
        "  Plan: 14 to create, 0 to change, 0 to delete, 1 to run, ",
        "plan sha256:",
        "  Undo:  14 deletions are recorded in advance; 1 call cannot be undone.",
        "  Next:  lockkeeper run --plan plan.json",
    ] {
        assert!(text.contains(piece), "{piece:?} is not in\n{text}");
    }
    assert!(!text.contains("known after /"), "{text}");
    assert!(!text.contains('\u{27e8}'), "no raw placeholder\n{text}");
}

#[test]
fn every_placeholder_names_the_step_that_makes_the_value() {
    let project = Project::new();
    let [_, storage] = variants(&project);
    let (_, plan) = project.json(&with("plan", &storage));
    let steps: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["id"].as_str().unwrap())
        .collect();
    let mut found = 0;
    each_text(&plan, &mut |text| {
        if let Some(step) = unknown::source(text) {
            found += 1;
            assert!(steps.contains(&step), "{text}");
        }
    });
    assert!(found > 20, "{found}");
    let calls = plan["calls"].as_array().unwrap();
    let on_notebook = calls
        .iter()
        .find(|call| call["operation"] == "databricks/permissions.grant")
        .unwrap();
    assert_eq!(
        unknown::source(on_notebook["arguments"]["id"].as_str().unwrap()),
        Some("job")
    );
}

fn each_text(value: &Value, take: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, take)),
        Value::Object(fields) => fields.values().for_each(|field| each_text(field, take)),
        _ => {}
    }
}

#[test]
fn a_step_that_cannot_be_planned_says_why() {
    let project = Project::new();
    let workflow = r#"lockkeeper = 1
[workflow]
name = "typo"
[steps.first]
plugin = "import"
with.application_id = "0d0d0d0d-0000-4000-8000-00000000000d"
"#;
    let file = project.write("typo.toml", workflow);
    let ran = project.run(&["plan", file.to_str().unwrap()]);
    assert_eq!(ran.code(), 4);
    let said = ran.stderr();
    for piece in [
        "step `first` failed: Entra has no service principal of application 0d0d0d0d",
        "typo.toml:4:8",
        "call:  entra/service-principals.find",
        "cause: the id is mistyped",
        "help: give the application (client) id",
        "error: step `first` cannot be planned",
    ] {
        assert!(said.contains(piece), "{piece:?} is not in\n{said}");
    }
    let (code, failed) = project.json(&["plan", file.to_str().unwrap()]);
    assert_eq!((code, &failed["result"]), (4, &json!("failed")), "{failed}");
    let first = &failed["steps"][0];
    assert_eq!(
        (&first["id"], &first["result"]),
        (&json!("first"), &json!("failed"))
    );
    let cause = first["error"]["cause"].as_str().unwrap();
    assert!(cause.contains("mistyped"), "{failed:#}");
}

#[test]
fn a_skipped_step_and_a_change_from_outside_are_shown() {
    let project = Project::new();
    let [plain, _] = variants(&project);
    let first = project.ok(&with("plan", &plain)).stdout();
    assert!(
        first.contains("  scope     - skipped: inputs.storage is null"),
        "{first}"
    );
    assert!(
        !first.contains("Changed outside"),
        "there was no run yet\n{first}"
    );

    let id = run(&project, &plain);
    let same = project.ok(&with("plan", &plain)).stdout();
    assert!(
        same.contains(&format!("Changed outside lockkeeper since run {id}: none")),
        "{same}"
    );
    change(&project, |cloud| {
        let held = principal(cloud)["entitlements"].as_array_mut().unwrap();
        held.retain(|name| name != "allow-cluster-create");
    });
    let changed = project.ok(&with("plan", &plain)).stdout();
    for piece in [
        &format!("  Changed outside lockkeeper since run {id}:\n"),
        "[allow-cluster-create]: gone",
        "  grant     ~ entitlements",
        "+ allow-cluster-create",
        "0 to create, 1 to change, 0 to delete",
        "1 restore is recorded in advance",
    ] {
        assert!(changed.contains(piece), "{piece:?} is not in\n{changed}");
    }
}

#[test]
fn a_condition_on_an_unknown_value_is_decided_later() {
    let project = Project::new();
    project.write(
        "later.toml",
        r#"lockkeeper = 1
[workflow]
name = "later"
[steps.register]
plugin = "register"
with.display_name = "etl-demo"
[steps.import]
plugin = "import"
when = "steps.register.app_id != ''"
with.application_id = "${steps.register.app_id}"
with.display_name = "etl-demo"
"#,
    );
    let text = project.ok(&["plan", "later.toml"]).stdout();
    assert!(
        text.contains("  import    ? decided after register"),
        "{text}"
    );
    let (_, plan) = project.json(&["plan", "later.toml"]);
    assert_eq!(plan["steps"][1]["result"], "skipped");
    assert_eq!(plan["steps"][1]["reason"], "decided after register");
}

/// A placeholder cannot stand in for a record with a `when` of its own; and what a step that is decided
/// later would make is not there for those that use it.
#[test]
fn a_record_on_an_unknown_condition_is_decided_later() {
    let project = Project::new();
    let shipped = include_str!("../../workflows/onboard.toml");
    for (guard, replaced, later) in [
        (
            "[steps.job.with.adls]                            # becomes five lines of Spark configuration\nwhen          = \"inputs.storage != null\"",
            "[steps.job.with.adls]\nwhen          = \"inputs.storage != null && steps.register.app_id != ''\"",
            &[("job", "register"), ("test_run", "job")][..],
        ),
        (
            "[steps.register.with.secret]\nwhen      = \"inputs.storage != null\"",
            "[steps.register.with.secret]\nwhen      = \"inputs.storage != null && steps.first.app_id != ''\"",
            &[
                ("register", "first"),
                ("import", "register"),
                ("scope", "register"),
            ],
        ),
    ] {
        assert!(shipped.contains(guard), "{guard}");
        let first = "\n[steps.first]\nplugin = \"register\"\nwith.display_name = \"first\"\n";
        let changed = shipped.replacen(guard, replaced, 1) + first;
        project.write("later.toml", &changed);
        let inputs = project.storage_inputs("etl-demo").display().to_string();
        let planned = project.run(&["plan", "later.toml", "--inputs", &inputs]);
        assert_eq!(planned.code(), 0, "{}", planned.stderr());
        let text = planned.stdout();
        for (step, after) in later {
            let start = format!("  {step} ");
            let line = text.lines().find(|line| line.starts_with(&start));
            let decided = format!("? decided after {after}");
            assert!(line.unwrap().contains(&decided), "{step}\n{text}");
        }
    }
}
