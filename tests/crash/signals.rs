//! Ctrl-C: once, the call under way ends and the run is cancelled; twice, the process ends now.
//! Either way the run can be gone on with. At a question it is a no.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::cloud;
use crate::stage::{Stage, newest, onboard};
use crate::support::{Project, Simulator};

const CANCELLED: i32 = 8;
/// The request during which the signals come.
const SLOW: &str = "/api/2.2/jobs/create";

/// A `run` in a process of its own.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        Self::of(&mut project.command(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until it has said a line with `piece` in it.
    fn said(&mut self, piece: &str) {
        let mut line = String::new();
        while !line.contains(piece) {
            line.clear();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "it ended without saying `{piece}`"
            );
        }
    }

    /// Waits for the end; gives the exit code and what it still said.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

/// A run in the middle of a request whose reply takes seconds.
struct Slow {
    stage: Stage,
    simulator: Simulator,
    run: Running,
}

impl Slow {
    fn new() -> Self {
        let slow = Self::with(&json!({ "slow_drip": { "bytes_per_second": 10 } }));
        while jobs(&slow.simulator).is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        slow
    }

    /// A run whose request the simulator does `action` to, once.
    fn with(action: &Value) -> Self {
        let stage = Stage::new();
        let simulator = stage.set();
        simulator.control(
            "POST",
            "/__simulator/faults",
            Some(&json!({ "method": "POST", "path": SLOW, "times": 1, "action": action })),
        );
        let run = Running::start(&stage.project, &onboard());
        Self {
            stage,
            simulator,
            run,
        }
    }

    /// Goes on, and compares with a run that nobody disturbed.
    fn go_on(&self, status: &str) {
        let project = &self.stage.project;
        let (run, now) = newest(project, "run").unwrap();
        assert_eq!(now, status);
        project.ok(&["resume", &run]);
        let found = cloud::of(&self.simulator);
        let stage = Stage::new();
        let simulator = stage.set();
        stage.project.ok(&onboard());
        cloud::assert_same(&found, &cloud::of(&simulator), status);
    }
}

fn jobs(simulator: &Simulator) -> serde_json::Map<String, Value> {
    let state = simulator.control("GET", "/__simulator/state", None);
    state["databricks"]["jobs"].as_object().unwrap().clone()
}

#[test]
fn one_signal_ends_after_the_call_that_is_under_way() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut slow = Slow::new();
        slow.run.signal(signal);
        let (code, said) = slow.run.end();
        assert_eq!(code, Some(CANCELLED), "{said}");
        assert!(
            said.contains("Stopping after the call that is under way"),
            "{said}"
        );
        let (run, _) = newest(&slow.stage.project, "run").unwrap();
        let shown = slow.stage.project.ok(&["runs", "show", &run]).stdout();
        assert!(shown.contains("✓ databricks/jobs.create"), "{shown}");
        assert!(!shown.contains("run-now"), "{shown}");
        slow.go_on("cancelled");
    }
}

/// Two applications; what is expected of the first cannot be evaluated.
const TWO: &str = r#"
lockkeeper = 1

[workflow]
name = "two"

[steps.quick]
plugin = "register"
with   = { display_name = "quick" }
expect = ["1 / (self.app_id.size() - 36) == 1"]

[steps.slow]
plugin = "register"
with   = { display_name = "slow" }
"#;

/// A run of [`TWO`] while the second application is being created.
fn two() -> (Project, Simulator, Running) {
    let project = Project::new();
    let file = project.write("two.toml", TWO);
    let simulator = project.simulator(&[]);
    simulator.control(
        "POST",
        "/__simulator/faults",
        Some(&json!({
            "method": "PATCH", "path": "/v1.0/applications(uniqueName='lockkeeper-slow')", "times": 1,
            "action": { "slow_drip": { "bytes_per_second": 200 } },
        })),
    );
    let run = Running::start(&project, &["run", file.to_str().unwrap()]);
    (project, simulator, run)
}

#[test]
fn a_value_that_cannot_be_evaluated_lets_other_steps_end_their_calls() {
    let (project, simulator, mut run) = two();
    let (code, said) = run.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("LK9101"), "{said}");
    // A call without its outcome would be for `resume` to settle, which ends where it ended.
    let (run, status) = newest(&project, "run").unwrap();
    assert_eq!(status, "failed");
    let (code, report) = project.json(&["undo", &run, "--yes"]);
    assert_eq!((code, &report["undone"]), (0, &json!(4)), "{report:#}");
    let state = simulator.control("GET", "/__simulator/state", None);
    let applications = state["entra"]["applications"].as_array().unwrap();
    let ours = applications
        .iter()
        .find(|application| application["unique_name"] == "lockkeeper-slow");
    assert!(!ours.unwrap()["deleted"].is_null());
}

/// The service names ten minutes to wait; nobody waits so long for a run that is asked to stop.
#[test]
fn one_signal_ends_a_wait_that_the_service_asks_for() {
    let mut slow = Slow::with(&json!({ "throttle": { "retry_after": 600 } }));
    slow.run.said("names the time to wait");
    slow.run.signal(Signal::SIGINT);
    let (code, said) = slow.run.end();
    assert_eq!(code, Some(CANCELLED), "{said}");
    assert!(
        said.contains("stopped while waiting for the service, as asked; it last answered"),
        "{said}"
    );
    assert!(jobs(&slow.simulator).is_empty());
    slow.go_on("cancelled");
}

/// A run that waits for another one to give up the workflow's lock has nothing to finish.
#[test]
fn one_signal_ends_the_wait_for_a_lock() {
    let mut first = Slow::new();
    let mut second = Running::start(&first.stage.project, &onboard());
    second.said("which holds the lock");
    second.signal(Signal::SIGINT);
    let (code, said) = second.end();
    assert_eq!(code, Some(CANCELLED), "{said}");
    let (run, status) = newest(&first.stage.project, "run").unwrap();
    assert_eq!(status, "cancelled");
    let (code, said) = first.run.end();
    assert_eq!(code, Some(0), "{said}");
    first.stage.project.ok(&["resume", &run]);
}

#[test]
fn two_signals_end_at_once() {
    let mut slow = Slow::new();
    slow.run.signal(Signal::SIGINT);
    slow.run.said("Again: stop now");
    slow.run.signal(Signal::SIGINT);
    assert_eq!(slow.run.child.wait().unwrap().code(), Some(CANCELLED));
    let (run, _) = newest(&slow.stage.project, "run").unwrap();
    let shown = slow.stage.project.ok(&["runs", "show", &run]).stdout();
    assert!(shown.contains("? databricks/jobs.create"), "{shown}");
    slow.go_on("interrupted");
}

/// The server takes connections and never answers.
#[test]
fn one_signal_ends_a_sign_in_that_hangs() {
    let project = Project::new();
    project.ok(&["init"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = project.path().join("lockkeeper.toml");
    let text = std::fs::read_to_string(&config).unwrap()
        + &format!(
            "\n[targets.dev]\nworkspace = \"http://{}\"\nauth = {{ kind = \"databricks-pat\", token = {{ env = \"TOKEN\" }} }}\n",
            silent.local_addr().unwrap()
        );
    std::fs::write(&config, text).unwrap();
    let mut run = Running::of(
        project
            .command(&["run", "onboard", "-i", "app_name=x-app", "--target", "dev"])
            .env("TOKEN", "not-a-real-token"),
    );
    let _connected = silent.accept().unwrap();
    run.signal(Signal::SIGINT);
    let (code, said) = run.end();
    assert_eq!(code, Some(CANCELLED), "{said}");
    assert!(
        said.contains("stopped while signing in to target `dev`; nothing was run"),
        "{said}"
    );
}

#[test]
fn a_signal_at_a_question_ends_at_once_and_nothing_is_done() {
    let stage = Stage::onboarded();
    let _simulator = stage.set();
    let project = &stage.project;
    let (run, _) = newest(project, "run").unwrap();
    let undo = || {
        let terminal = openpty(None, None).unwrap();
        let mut command = project.command(&["undo", &run]);
        let mut asking = Running::of(command.stdin(terminal.slave));
        asking.said("Take this back?");
        (asking, File::from(terminal.master))
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut asking, _person) = undo();
        asking.signal(signal);
        let (code, said) = asking.end();
        assert_eq!(
            (code, said.as_str()),
            (Some(CANCELLED), "error: nothing was taken back\n")
        );
        assert!(newest(project, "undo").is_none());
    }
    let (mut asking, mut person) = undo();
    person.write_all(b"yes\n").unwrap();
    let (code, said) = asking.end();
    assert_eq!(code, Some(0), "{said}");
}
