//! Two processes at one run.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::cloud::{self, Cloud};
use crate::stage::{Stage, newest, onboard, runs};
use crate::support::{Project, Ran, Simulator};

const LOCKED: i32 = 11;

fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Ran {
    Ran(child.wait_with_output().unwrap())
}

/// A stage with an interrupted run, and the cloud that a whole run leaves.
fn interrupted() -> (Stage, Simulator, String, Cloud) {
    let whole = {
        let stage = Stage::new();
        let simulator = stage.set();
        stage.project.ok(&onboard());
        cloud::of(&simulator)
    };
    let stage = Stage::interrupted("job#1:6:recorded");
    let simulator = stage.set();
    let (run, status) = newest(&stage.project, "run").unwrap();
    assert_eq!(status, "interrupted");
    (stage, simulator, run, whole)
}

/// Waits until this process has the run.
fn wait_for(project: &Project, run: &str, pid: u32) {
    let has = || {
        let runs = runs(project);
        runs.iter()
            .any(|other| other["id"] == run && other["holder"]["pid"] == pid)
    };
    while !has() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_second_process_is_told_who_has_the_run() {
    let (stage, simulator, run, whole) = interrupted();
    let project = &stage.project;
    // The first one is slow: it waits seconds for the body of this reply.
    simulator.control(
        "POST",
        "/__simulator/faults",
        Some(&json!({
            "method": "POST", "path": "/api/2.2/jobs/create", "times": 1,
            "action": { "slow_drip": { "bytes_per_second": 10 } },
        })),
    );
    let first = start(project.command(&["resume", &run]));
    let pid = first.id();
    wait_for(project, &run, pid);

    let second = project.run(&["resume", &run]);
    assert_eq!(second.code(), LOCKED, "{}", second.stderr());
    let said = second.stderr();
    assert!(said.contains(&format!("run {run} is held by")), "{said}");
    assert!(said.contains(&pid.to_string()), "{said}");
    assert!(said.contains("next:"), "{said}");

    // Nor is it taken back under the hands of the process that goes on with it.
    let undo = project.run(&["undo", &run, "--yes"]);
    assert_eq!(undo.code(), LOCKED, "{}", undo.stderr());
    assert!(
        undo.stderr().contains(&format!("run {run} is held by")),
        "{}",
        undo.stderr()
    );

    let first = end(first);
    assert_eq!(first.code(), 0, "{}", first.stderr());
    cloud::assert_same(&cloud::of(&simulator), &whole, "two at one run");
}

#[test]
fn of_two_that_start_at_once_one_goes_on() {
    let (stage, simulator, run, whole) = interrupted();
    let project = &stage.project;
    let both = [0, 1].map(|_| start(project.command(&["resume", &run])));
    let ended = both.map(end);
    let mut codes = ended.each_ref().map(Ran::code);
    codes.sort_unstable();
    let said = ended.each_ref().map(Ran::stderr).join("\n");
    // The loser may also come when all is done, and is told so.
    assert!(matches!(codes, [0, 2 | LOCKED]), "{codes:?}\n{said}");
    cloud::assert_same(&cloud::of(&simulator), &whole, "two at one run");
}
