//! Runs that are interrupted, by a signal or by force.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Project, Simulator};

/// A run that is held up while it creates the job, and the simulator that holds it up.
fn held_up(project: &Project) -> (Simulator, Child) {
    let simulator = project.simulator(&[]);
    let fault = json!({
        "method": "GET", "path": "/api/2.2/jobs/list", "times": 1, "action": { "slow_drip": { "bytes_per_second": 10 } },
    });
    simulator.control("POST", "/__simulator/faults", Some(&fault));
    let child = project
        .command(&["run", "onboard", "-i", "app_name=etl-demo"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // The request is recorded when its handler is done; its body then takes seconds.
    while !requests(&simulator)
        .iter()
        .any(|request| request["path"].as_str().unwrap().contains("/jobs/list"))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the run comes to its job"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    (simulator, child)
}

fn requests(simulator: &Simulator) -> Vec<Value> {
    simulator
        .control("GET", "/__simulator/requests", None)
        .as_array()
        .unwrap()
        .clone()
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The one run of the project, as `runs list` has it.
fn only_run(project: &Project) -> Value {
    let (code, runs) = project.json(&["runs", "list"]);
    assert_eq!(code, 0);
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs:#}");
    runs[0].clone()
}

/// Resumes the run, which then is done, with one of each thing.
fn resumed(project: &Project, simulator: Simulator) {
    let run = only_run(project)["id"].as_str().unwrap().to_owned();
    let (code, document) = project.json(&["resume", &run]);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["result"], "succeeded");
    assert_eq!(only_run(project)["status"], "succeeded");
    drop(simulator);
    let cloud = crate::cloud::state(project);
    assert_eq!(cloud["databricks"]["jobs"].as_object().unwrap().len(), 1);
    assert_eq!(cloud["databricks"]["runs"].as_object().unwrap().len(), 1);
}

#[test]
fn one_signal_ends_the_run_after_its_call() {
    for name in ["-INT", "-TERM"] {
        let project = Project::new();
        let (simulator, child) = held_up(&project);
        signal(&child, name);
        let ended = crate::support::Ran(child.wait_with_output().unwrap());
        assert_eq!(ended.code(), 8, "{}", ended.stderr());
        assert!(
            ended
                .stderr()
                .contains("Stopping after the call that is under way")
        );
        assert!(
            ended.stderr().contains("lockkeeper resume"),
            "{}",
            ended.stderr()
        );
        assert_eq!(only_run(&project)["status"], "cancelled");
        let began = |path: &str| {
            requests(&simulator)
                .iter()
                .any(|request| request["path"].as_str().unwrap().contains(path))
        };
        assert!(!began("/jobs/create") && !began("/jobs/run-now"));
        resumed(&project, simulator);
    }
}

#[test]
fn a_second_signal_ends_it_now() {
    let project = Project::new();
    let (simulator, child) = held_up(&project);
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(100));
    signal(&child, "-INT");
    let ended = crate::support::Ran(child.wait_with_output().unwrap());
    assert_eq!(ended.code(), 8, "{}", ended.stderr());
    resumed(&project, simulator);
}

#[test]
fn a_killed_run_is_shown_as_interrupted_and_goes_on() {
    let project = Project::new();
    let (simulator, mut child) = held_up(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(only_run(&project)["status"], "interrupted");
    let list = project.ok(&["runs", "list"]);
    assert!(
        list.stdout().contains("interrupted, resumable"),
        "{}",
        list.stdout()
    );
    let run = only_run(&project)["id"].as_str().unwrap().to_owned();
    let shown = project.ok(&["runs", "show", &run]).stdout();
    assert!(
        shown.contains(&format!("lockkeeper resume {run}")),
        "{shown}"
    );
    resumed(&project, simulator);
}

#[test]
fn a_run_that_another_process_has_is_left_to_it() {
    let project = Project::new();
    let (_simulator, child) = held_up(&project);
    let run = only_run(&project);
    assert_eq!(run["status"], "running");
    let resume = project.run(&["resume", run["id"].as_str().unwrap()]);
    assert_eq!(resume.code(), 11, "{}", resume.stderr());
    let pid = child.id().to_string();
    assert!(
        resume.stderr().contains(&pid),
        "{} names process {pid}",
        resume.stderr()
    );
    // Another run for the same application waits for the first, and finds everything there.
    let (code, second) = project.json(&["run", "onboard", "-i", "app_name=etl-demo"]);
    assert_eq!(code, 0, "{second:#}");
    assert_eq!(second["steps"][0]["changes"], 0);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
}
