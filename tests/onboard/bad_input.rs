//! Bad input gets a clear error and a documented exit code, and nothing that was recorded is lost.

use std::os::unix::fs::PermissionsExt as _;

use crate::cloud;
use crate::support::{Project, Ran};

/// Runs it, and holds exit code and message against what is expected.
fn refused(project: &Project, arguments: &[&str], code: i32, pieces: &[&str]) -> Ran {
    let ran = project.run(arguments);
    let stderr = ran.stderr();
    assert_eq!(ran.code(), code, "{arguments:?}\n{stderr}");
    assert_eq!(ran.stdout(), "", "{arguments:?}");
    for piece in pieces {
        assert!(stderr.contains(piece), "{arguments:?}: {piece}\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    ran
}

/// A project with a run in its journal, which has to be there afterwards as well.
fn with_a_run(then: impl FnOnce(&Project, &str)) {
    let project = Project::new();
    project.ok(&["init"]);
    let (code, document) = project.json(&["run", "onboard", "-i", "app_name=etl-demo"]);
    assert_eq!(code, 0, "{document:#}");
    let run = document["run"].as_str().unwrap();
    then(&project, run);
    let (_, runs) = project.json(&["runs", "list"]);
    assert!(
        runs.as_array()
            .unwrap()
            .iter()
            .any(|listed| listed["id"] == run),
        "{runs:#}"
    );
}

#[test]
fn names_that_nothing_has() {
    with_a_run(|project, run| {
        let run_it = ["run", "onboard", "-i", "app_name=etl-demo"];
        refused(
            project,
            &["run", "onbord"],
            6,
            &["no workflow `onbord`", "did you mean `onboard`"],
        );
        refused(
            project,
            &["run", "nowhere.toml"],
            6,
            &["cannot read nowhere.toml"],
        );
        refused(
            project,
            &["plugin", "inspect", "regster"],
            6,
            &["no plugin `regster`", "register"],
        );
        refused(
            project,
            &["plugin", "inspect", "x.wasm"],
            6,
            &["cannot read x.wasm"],
        );
        for command in ["show", "watch"] {
            refused(project, &["runs", command, "ZZZZ"], 6, &["ZZZZ"]);
        }
        refused(project, &["resume", "ZZZZ"], 6, &["ZZZZ"]);
        refused(project, &["undo", "ZZZZ", "--yes"], 6, &["ZZZZ"]);
        refused(project, &["drift", "nothing"], 6, &["nothing"]);
        refused(
            project,
            &["undo", run, "--to", "nowhere", "--yes"],
            2,
            &["no step `nowhere`"],
        );
        refused(project, &["explain", "LK4711"], 6, &["no code `LK4711`"]);
        let with_target = [&run_it[..], &["--target", "prod"]].concat();
        refused(project, &with_target, 2, &["no target `prod`", "sim"]);
        let with_profile = [&run_it[..], &["--sim-profile", "brisk"]].concat();
        refused(project, &with_profile, 2, &["brisk"]);
    });
}

#[test]
fn inputs_that_do_not_fit() {
    with_a_run(|project, _| {
        let run = |more: &[&str], pieces: &[&str]| {
            refused(project, &[&["run", "onboard"], more].concat(), 2, pieces);
        };
        run(&[], &["app_name"]);
        run(&["-i", "app_name"], &["`-i app_name` does not say a value"]);
        run(&["-i", "app_name=Etl Demo"], &["app_name", "Etl Demo"]);
        run(
            &["-i", "app_name=etl-demo", "-i", "colour=blue"],
            &["colour"],
        );
        run(
            &["-i", "app_name=etl-demo", "-i", "secret_lifetime=long"],
            &["secret_lifetime", "long"],
        );
        run(
            &["-i", "app_name=etl-demo", "-i", "secret_lifetime=9000d"],
            &["secret_lifetime"],
        );
        run(
            &["-i", "app_name=etl-demo", "-i", "entitlements=[\"fly\"]"],
            &["entitlements", "fly"],
        );
        run(
            &["-i", "app_name=etl-demo", "-i", "storage={account=1}"],
            &["storage"],
        );
        project.write("broken.toml", "app_name = \"etl-demo\nx");
        run(&["--inputs", "broken.toml"], &["broken.toml", "line 2"]);
        project.write("broken.json", "{\"app_name\": ");
        run(&["--inputs", "broken.json"], &["broken.json", "line 1"]);
        let missing = ["run", "onboard", "--inputs", "missing.toml"];
        refused(project, &missing, 6, &["cannot read missing.toml"]);
        refused(
            project,
            &["run", "onboard", "--frobnicate"],
            2,
            &["--frobnicate"],
        );
        refused(project, &["run"], 2, &["WORKFLOW"]);
    });
}

#[test]
fn files_that_are_no_toml() {
    with_a_run(|project, _| {
        project.write(
            "workflows/bad.toml",
            "lockkeeper = 1\n[workflow\nname = 3\n",
        );
        let pieces = ["error[LK0101]", "workflows/bad.toml:2", "[workflow"];
        refused(project, &["check", "bad"], 2, &pieces);
        refused(project, &["run", "bad"], 2, &pieces);
        std::fs::write(project.path().join("workflows/bytes.toml"), b"\xff\xfe\0").unwrap();
        let pieces = ["error[LK0101]", "workflows/bytes.toml:1:1", "UTF-8"];
        refused(project, &["check", "workflows/bytes.toml"], 2, &pieces);
        refused(project, &["run", "bytes"], 2, &pieces);
        // The others still run, and are listed.
        project.ok(&["check", "onboard"]);
        let list = project.ok(&["workflow", "list"]).stdout();
        assert!(list.contains("onboard") && list.contains("bytes"), "{list}");
        std::fs::write(project.path().join("bytes.toml"), b"app_name = \"\xff\"").unwrap();
        let inputs = ["run", "onboard", "--inputs", "bytes.toml"];
        refused(project, &inputs, 2, &["bytes.toml", "UTF-8"]);
        std::fs::remove_file(project.path().join("workflows/bytes.toml")).unwrap();
        let good = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
        for (text, piece) in [
            ("[project\n", "line 1"),
            ("[project]\ncolour = \"blue\"\n", "colour"),
            ("[plugins]\nx = 3\n", "x"),
            ("[targets.dev]\nworkspce = \"https://x\"\n", "line 2"),
            ("[targets.dev]\nworkspce = \"https://x\"\n", "`workspace`"),
            (
                "[project]\nstate = \"postgres://db/x\"\n",
                "`postgres:…` yet",
            ),
            ("grants = 3\n", "grants"),
        ] {
            project.write("lockkeeper.toml", text);
            let run = ["run", "onboard", "-i", "app_name=etl-demo"];
            refused(project, &run, 2, &["lockkeeper.toml", piece]);
        }
        project.write("lockkeeper.toml", &good);
    });
}

#[test]
fn project_folders_that_are_none() {
    let project = Project::new();
    project.write("file", "");
    for (folder, piece) in [("nowhere", "is not there"), ("file", "is no folder")] {
        let run = ["run", "onboard", "-i", "app_name=x-y", "--project", folder];
        refused(&project, &run, 2, &["project folder", folder, piece]);
    }
    assert!(!project.path().join("nowhere").exists());
    refused(&project, &["init", "p", "--project", "q"], 2, &["p", "q"]);
    assert!(!project.path().join("p").exists());
    project.ok(&["init", "--project", "q"]);
    assert!(project.path().join("q/lockkeeper.toml").exists());
    assert!(!project.path().join("lockkeeper.toml").exists());
}

#[test]
fn target_settings_that_cannot_be_used() {
    let project = Project::new();
    let auth = "auth = { kind = \"azure-cli\" }";
    let run = ["run", "onboard", "-i", "app_name=x-y", "--target", "dev"];
    for (setting, code, piece) in [
        ("workspace = \"ftp://x\"", 2, "must be an https address"),
        (
            "workspace = \"https://x.example/path\"",
            2,
            "without a path",
        ),
        ("profile = \"nobody\"", 2, "profile nobody"),
        ("tenant_id = \"a b\"", 2, "neither an id nor a domain"),
    ] {
        project.write("workflows/onboard.toml", lockkeeper_plugins::WORKFLOWS[0].1);
        let text = format!(
            "{}\n[targets.dev]\n{setting}\n{auth}\n",
            lockkeeper_plugins::GRANTS
        );
        project.write("lockkeeper.toml", &text);
        refused(&project, &run, code, &["target `dev`", piece]);
    }
    let pat = "auth = { kind = \"databricks-pat\", token = { env = \"NOWHERE\" } }";
    let text = format!("{}\n[targets.dev]\n{pat}\n", lockkeeper_plugins::GRANTS);
    project.write("lockkeeper.toml", &text);
    refused(&project, &run, 3, &["NOWHERE", "it is not set"]);
}

#[test]
fn components_that_are_none() {
    let import = lockkeeper_plugins::builtin()
        .iter()
        .find(|one| one.name == "import")
        .unwrap();
    let whole = import.component;
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 3] ^= 0x55;
    let mut trailing = whole.to_vec();
    trailing.extend(b"rest");
    with_a_run(|project, _| {
        let text = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
        let own = "\n[plugins]\nmine = { path = \"mine.wasm\" }\n[grants.mine]\n\"entra/service-principals\" = \"*\"\n\"databricks/service-principals\" = \"*\"\n";
        project.write("lockkeeper.toml", &format!("{text}{own}"));
        project.write(
            "workflows/own.toml",
            "lockkeeper = 1\n[workflow]\nname = \"own\"\n[steps.own]\nplugin = \"mine\"\nwith.application_id = \"0a0a0a0a-0000-4000-8000-000000000002\"\n",
        );
        let run = ["run", "own"];
        refused(project, &run, 6, &["cannot read", "mine.wasm"]);
        for (bytes, piece) in [
            (&whole[..whole.len() / 2], "mine"),
            (&b"\0asm\x01\0\0\0"[..], "component"),
            (&b""[..], "mine"),
            (&b"not wasm at all"[..], "mine"),
            (&trailing[..], "mine"),
        ] {
            std::fs::write(project.path().join("mine.wasm"), bytes).unwrap();
            refused(project, &run, 2, &["mine", piece]);
            refused(project, &["plugin", "inspect", "mine.wasm"], 2, &[piece]);
        }
        // One wrong byte is refused, or changes nothing that can be seen; never a crash.
        std::fs::write(project.path().join("mine.wasm"), flipped).unwrap();
        let ran = project.run(&run);
        assert!(
            [0, 2, 4].contains(&ran.code()),
            "{} {}",
            ran.code(),
            ran.stderr()
        );
        assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
    });
}

#[test]
fn a_state_folder_that_cannot_be_one() {
    let project = Project::new();
    project.write(".lockkeeper", "a file");
    let run = ["run", "onboard", "-i", "app_name=etl-demo"];
    refused(&project, &run, 1, &["cannot make folder", ".lockkeeper"]);
}

#[test]
fn keys_that_others_can_read_are_not_used() {
    with_a_run(|project, _| {
        let mut keys = Vec::new();
        crate::needles::files(&project.keys(), &mut keys);
        for (path, _) in &keys {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        let run = ["run", "onboard", "-i", "app_name=etl-demo"];
        refused(
            project,
            &run,
            1,
            &["cannot read key", "other users can read it", "next:"],
        );
    });
}

#[test]
fn a_damaged_journal_is_told_and_not_repaired_silently() {
    let project = Project::new();
    project.ok(&["run", "onboard", "-i", "app_name=etl-demo"]);
    let journal = project.state().join("journal.db");
    let whole = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &whole[..whole.len() / 2]).unwrap();
    for arguments in [
        &["runs", "list"][..],
        &["run", "onboard", "-i", "app_name=etl-two"],
    ] {
        let ran = project.run(arguments);
        assert!(
            [1, 13].contains(&ran.code()),
            "{} {}",
            ran.code(),
            ran.stderr()
        );
        assert!(ran.stderr().contains("journal"), "{}", ran.stderr());
        assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
    }
    // What is left of it is still there: nobody wrote over it.
    std::fs::write(&journal, whole).unwrap();
    assert_eq!(
        project.json(&["runs", "list"]).1.as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_simulated_cloud_that_is_damaged() {
    with_a_run(|project, _| {
        let path = project.state().join("simulator/state.json");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let run = ["run", "onboard", "-i", "app_name=etl-demo"];
        refused(project, &run, 1, &["state.json"]);
        project.ok(&["sim", "reset"]);
        project.ok(&run);
    });
}

#[test]
fn a_write_that_the_disk_refuses_stops_the_run_before_it_is_sent() {
    let project = Project::new();
    project.ok(&["run", "onboard", "-i", "app_name=etl-one"]);
    let writes = cloud::writes(&project).len();
    let audit = project.state().join("audit.jsonl");
    std::fs::remove_file(&audit).unwrap();
    // A device on which every write finds the disk full.
    std::os::unix::fs::symlink("/dev/full", &audit).unwrap();
    let ran = project.run(&["run", "onboard", "-i", "app_name=etl-demo"]);
    assert_ne!(ran.code(), 0);
    assert!(ran.stderr().contains("audit log"), "{}", ran.stderr());
    assert_eq!(cloud::writes(&project).len(), writes);
    std::fs::remove_file(&audit).unwrap();
    project.ok(&["run", "onboard", "-i", "app_name=etl-demo"]);
}
