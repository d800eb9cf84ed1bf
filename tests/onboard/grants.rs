//! What the operator does not grant does not happen, and the message says which line would grant it.

use crate::cloud;
use crate::support::Project;

const PLAIN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];

/// A project whose `lockkeeper.toml` has `old` replaced.
fn granted(old: &str, new: &str) -> Project {
    let project = Project::new();
    project.ok(&["init"]);
    cloud::edit(&project, "lockkeeper.toml", old, new);
    project
}

/// Refused by the file's check, before anything is connected.
fn refused_before(project: &Project, arguments: &[&str], pieces: &[&str]) {
    for command in [&["check", arguments[1]][..], arguments] {
        let ran = project.run(command);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        for piece in pieces {
            assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
        }
    }
    assert!(cloud::requests(project).is_empty());
}

#[test]
fn an_import_without_a_grant_is_refused_before_anything_runs() {
    let line =
        "\"entra/applications\"       = [\"create\", \"find\", \"look-up\", \"set-unique-name\"]\n";
    let project = granted(line, "");
    refused_before(
        &project,
        &PLAIN,
        &[
            "error[LK0401]",
            "`register`",
            "[grants.register]",
            "\"entra/applications\"",
        ],
    );
}

#[test]
fn a_plugin_of_ones_own_has_no_grants_at_first() {
    let project = Project::new();
    project.ok(&["init"]);
    let import = lockkeeper_plugins::builtin()
        .iter()
        .find(|one| one.name == "import")
        .unwrap();
    std::fs::write(project.path().join("mine.wasm"), import.component).unwrap();
    let text = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
    let own = format!("{text}\n[plugins]\nmine = {{ path = \"mine.wasm\" }}\n");
    project.write("lockkeeper.toml", &own);
    project.write(
        "workflows/own.toml",
        "lockkeeper = 1\n[workflow]\nname = \"own\"\n[steps.own]\nplugin = \"mine\"\nwith.application_id = \"0a0a0a0a-0000-4000-8000-000000000002\"\n",
    );
    refused_before(
        &project,
        &["run", "own"],
        &[
            "error[LK0401]",
            "[grants.mine]",
            "\"entra/service-principals\"",
            "\"databricks/service-principals\"",
        ],
    );
    // Two lines later it may, and finds the operator where it is.
    let grants = "\n[grants.mine]\n\"entra/service-principals\" = [\"find\"]\n\"databricks/service-principals\" = \"*\"\n";
    project.write("lockkeeper.toml", &format!("{own}{grants}"));
    project.ok(&["run", "own"]);
    assert_eq!(cloud::writes(&project), [""; 0]);
}

/// A call outside its grant ends its step, and is not sent.
fn denied(project: &Project, step: &str, unsent: &str, pieces: &[&str]) {
    let ran = project.run(&[&PLAIN[..], &["--output", "json"]].concat());
    assert_eq!(ran.code(), 4, "{}", ran.stderr());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout()).unwrap();
    let steps = document["steps"].as_array().unwrap();
    let error = &steps.iter().find(|found| found["id"] == step).unwrap()["error"];
    assert_eq!(error["code"], "LK9005", "{document:#}");
    assert_eq!(error["class"], "denied");
    for piece in pieces {
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
    }
    let writes = cloud::writes(project);
    assert!(
        !writes.iter().any(|write| write.contains(unsent)),
        "{writes:#?}"
    );
    // The refusal is in the audit log, too.
    let audit = std::fs::read_to_string(project.state().join("audit.jsonl")).unwrap();
    let refusals = audit.lines().filter(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let event = &line["event"];
        event["outcome"] == "denied" && event["operation"] == error["operation"]
    });
    assert_eq!(refusals.count(), 1, "{audit}");
}

#[test]
fn a_function_without_a_grant_is_refused_before_anything_runs() {
    let project = granted(
        "\"entra/applications\"       = [\"create\", \"find\", \"look-up\", \"set-unique-name\"]",
        "\"entra/applications\" = [\"find\", \"look-up\", \"set-unique-name\"]",
    );
    refused_before(
        &project,
        &PLAIN,
        &[
            "error[LK0401]",
            "entra/applications.create",
            "let `[grants.register]` in lockkeeper.toml say:",
            "\"entra/applications\" = [\"find\", \"look-up\", \"set-unique-name\", \"create\"]",
        ],
    );
}

#[test]
fn arguments_outside_a_grant_write_nothing() {
    let project = granted(
        "\"databricks/roles\"        = [\"grant\", \"list\"]",
        "\"databricks/roles.list\" = \"*\"\n\"databricks/roles.grant\" = { when = \"call.role == 'servicePrincipal.manager'\" }",
    );
    denied(
        &project,
        "grant",
        "/rule-sets",
        &[
            "databricks/roles.grant",
            "does not hold for call.role = \"servicePrincipal.user\"",
            "change the line \"databricks/roles.grant\" under [grants.grant] of lockkeeper.toml",
            "its `when` has to hold for this call as well",
        ],
    );
}

#[test]
fn a_read_outside_its_grant_is_refused_alike() {
    let project = granted(
        "\"databricks/roles\"        = [\"grant\", \"list\"]",
        "\"databricks/roles.list\" = { when = \"false\" }\n\"databricks/roles.grant\" = \"*\"",
    );
    denied(
        &project,
        "grant",
        "/rule-sets",
        &["databricks/roles.list", "under [grants.grant]"],
    );
}

#[test]
fn arguments_inside_a_grant_are_let_through() {
    let project = granted(
        "\"databricks/roles\"        = [\"grant\", \"list\"]",
        "\"databricks/roles.list\" = \"*\"\n\"databricks/roles.grant\" = { when = \"call.role == 'servicePrincipal.user'\", max_calls = 1 }",
    );
    project.ok(&PLAIN);
}

#[test]
fn a_call_too_many_is_refused() {
    let project = granted(
        "\"databricks/roles\"        = [\"grant\", \"list\"]",
        "\"databricks/roles.list\" = \"*\"\n\"databricks/roles.grant\" = { max_calls = 1 }",
    );
    let roles = r#"[{ role = "servicePrincipal.user", principal = "${inputs.operator}" }, { role = "servicePrincipal.user", principal = "ana@contoso.com" }]"#;
    let one = r#"[{ role = "servicePrincipal.user", principal = "${inputs.operator}" }]"#;
    cloud::edit(&project, "workflows/onboard.toml", one, roles);
    denied(
        &project,
        "grant",
        "/jobs/create",
        &[
            "change the line \"databricks/roles.grant\" under [grants.grant]",
            "max_calls = 2 or more",
        ],
    );
    let granted = cloud::writes(&project);
    let granted = granted
        .iter()
        .filter(|write| write.contains("/rule-sets"))
        .count();
    assert_eq!(granted, 1);
}

#[test]
fn a_grant_of_something_unknown_is_no_grant() {
    for (line, piece) in [
        ("\"entra/aplications\" = \"*\"", "entra/aplications"),
        ("\"entra/applications\" = [\"creat\"]", "creat"),
        (
            "\"entra/applications.create\" = { wen = \"true\" }",
            "expected",
        ),
        (
            "\"entra/applications.create\" = { when = \"call.(\" }",
            "not an expression",
        ),
    ] {
        let project = granted(
            "\"entra/applications\"       = [\"create\", \"find\", \"look-up\", \"set-unique-name\"]",
            line,
        );
        let ran = project.run(&PLAIN);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
        assert!(cloud::requests(&project).is_empty());
    }
}
