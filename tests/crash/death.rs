//! The points at which a process is killed, and the killing.

use std::fmt;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Project, Simulator};

const SIGKILL: i32 = 9;

/// When a process dies.
#[derive(Clone, Debug)]
pub(crate) enum Death {
    /// At a point of its record, by its own hand.
    At(String),
    /// When the service has handled this request, and before it is answered.
    Unanswered {
        method: String,
        /// The path as a pattern of the simulator's faults.
        path: String,
        /// How many such requests are answered first.
        after: usize,
    },
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(point) => write!(f, "{point}"),
            Self::Unanswered {
                method,
                path,
                after,
            } => {
                write!(f, "{method} {path} number {} unanswered", after + 1)
            }
        }
    }
}

/// Every point of a run with these entries that sent these requests.
pub(crate) fn every(entries: &[Value], requests: &[Value]) -> Vec<Death> {
    let mut deaths = Vec::new();
    for moment in ["begin:held", "end:before", "end:forgotten", "end:recorded"] {
        deaths.push(Death::At(moment.to_owned()));
    }
    for entry in entries {
        let (Some(position), Some(address)) =
            (entry["position"].as_u64(), entry["address"].as_str())
        else {
            continue;
        };
        let moments: &[&str] = match entry["kind"].as_str().unwrap() {
            "step.started" => &["before", "recorded"],
            _ => &["before", "done", "recorded"],
        };
        for moment in moments {
            deaths.push(Death::At(format!("{address}:{position}:{moment}")));
        }
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    for request in requests {
        let method = request["method"].as_str().unwrap().to_owned();
        let path = pattern(request["path"].as_str().unwrap());
        let this = (method.clone(), path.clone());
        let after = seen.iter().filter(|other| **other == this).count();
        seen.push(this);
        deaths.push(Death::Unanswered {
            method,
            path,
            after,
        });
    }
    deaths
}

/// A request's path without its query, and `*` for what differs from one cloud to the next.
fn pattern(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let mut pattern = String::new();
    let mut token = String::new();
    for character in path.chars().chain(['/']) {
        if character.is_ascii_alphanumeric() || character == '-' {
            token.push(character);
            continue;
        }
        pattern.push_str(if is_made(&token) { "*" } else { &token });
        token.clear();
        pattern.push(character);
    }
    pattern.pop();
    pattern
}

/// Whether a word is an id that a service made.
pub(crate) fn is_made(word: &str) -> bool {
    let hexadecimal = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let guid = word.len() == 36 && word.split('-').all(hexadecimal) && word.contains('-');
    let number = word.len() >= 12 && word.chars().all(|c| c.is_ascii_digit());
    let plain = (word.len() == 32 || word.len() == 64) && hexadecimal(word);
    guid || number || plain
}

/// Runs the program until it dies, and fails the test if it does not.
pub(crate) fn die(project: &Project, simulator: &Simulator, arguments: &[&str], death: &Death) {
    let mut command = project.command(arguments);
    let output = match death {
        Death::At(point) => command
            .env("LOCKKEEPER_CRASH_POINT", point)
            .output()
            .unwrap(),
        Death::Unanswered {
            method,
            path,
            after,
        } => {
            // The shell waits until the fault names its process, and then becomes the program.
            let mut child = held(&command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            simulator.control(
                "POST",
                "/__simulator/faults",
                Some(&json!({
                    "method": method, "path": path, "offset": after, "times": 1,
                    "after_handler": true, "action": { "kill": { "pid": child.id() } },
                })),
            );
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
            let output = child.wait_with_output().unwrap();
            simulator.control("DELETE", "/__simulator/faults", None);
            output
        }
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGKILL),
        "{death}: it was not killed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// The command behind a shell that waits for a line before it becomes it.
fn held(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "read -r _; exec \"$0\" \"$@\""])
        .arg(command.get_program());
    shell.args(command.get_args()).env_clear();
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.current_dir(command.get_current_dir().unwrap());
    shell
}
