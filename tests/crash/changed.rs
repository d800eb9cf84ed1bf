//! A run goes on only with what it began with.

use std::fs;
use std::path::PathBuf;

use crate::cloud;
use crate::death::{self, Death};
use crate::stage::{APP, newest, onboard};
use crate::support::{Project, Simulator};

const USAGE: i32 = 2;

/// A project that names its own file for the plugin `job`.
fn project() -> (Project, PathBuf) {
    let project = Project::new();
    project.storage_inputs(APP);
    project.ok(&["init"]);
    let shipped = lockkeeper_plugins::builtin();
    let job = shipped.iter().find(|plugin| plugin.name == "job").unwrap();
    let path = project.write("job.wasm", "");
    fs::write(&path, job.component).unwrap();
    let config = project.path().join("lockkeeper.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        config,
        format!("{text}\n[plugins.job]\npath = \"job.wasm\"\n"),
    )
    .unwrap();
    (project, path)
}

fn requests(simulator: &Simulator) -> Vec<String> {
    let requests = simulator.control("GET", "/__simulator/requests", None);
    let requests = requests.as_array().unwrap().iter();
    requests
        .map(|request| format!("{} {}", request["method"], request["path"]))
        .collect()
}

#[test]
fn a_changed_plugin_is_named_and_a_changed_workflow_waits_for_the_next_run() {
    let whole = {
        let (project, _) = project();
        let simulator = project.simulator(&[]);
        project.ok(&onboard());
        cloud::of(&simulator)
    };
    let (project, plugin) = project();
    let simulator = project.simulator(&[]);
    let death = Death::At("job#1:6:recorded".to_owned());
    death::die(&project, &simulator, &onboard(), &death);
    let (run, _) = newest(&project, "run").unwrap();

    let began_with = fs::read(&plugin).unwrap();
    // A section that means nothing, and yet another plugin.
    fs::write(&plugin, [began_with.as_slice(), &[0, 2, 1, b'x']].concat()).unwrap();
    let before = requests(&simulator);
    let refused = project.run(&["resume", &run]);
    let said = refused.stderr();
    assert_eq!(refused.code(), USAGE, "{said}");
    assert!(
        said.contains(&format!("run {run} began with another plugin `job`")),
        "{said}"
    );
    assert!(said.contains("next:"), "{said}");
    let sent = requests(&simulator).split_off(before.len());
    assert!(
        sent.iter()
            .all(|it| it.contains("/token") || it.contains("/Me")),
        "{sent:?}"
    );

    // The workflow's text is on record with the run; an edit counts for the next one.
    fs::write(&plugin, began_with).unwrap();
    let workflow = project.path().join("workflows/onboard.toml");
    let text = fs::read_to_string(&workflow).unwrap();
    fs::write(&workflow, text.replace("SELECT 1", "SELECT 2")).unwrap();
    project.ok(&["resume", &run]);
    cloud::assert_same(&cloud::of(&simulator), &whole, "an edited workflow");
}
