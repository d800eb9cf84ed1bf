//! Medians of whole processes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// The argument by which this program is told to measure the memory of what follows it.
pub(crate) const MEMORY: &str = "memory";

/// How long `command` takes from its start to its end, which must be a good one.
pub(crate) fn time(command: &mut Command) -> Duration {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().unwrap();
    let elapsed = begun.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    elapsed
}

/// The middle value, and those below which a quarter and three quarters lie.
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

pub(crate) fn milliseconds(times: &[Duration]) -> Spread {
    Spread::of(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
}

/// The most memory that `command` had resident at once, in MB of 10^6 bytes.
///
/// The system keeps the largest of all children that ended, so a process of its own asks.
pub(crate) fn memory(command: &Command) -> f64 {
    let mut asking = Command::new(std::env::current_exe().unwrap());
    asking
        .arg(MEMORY)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    if let Some(folder) = command.get_current_dir() {
        asking.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            asking.env(name, value);
        }
    }
    let output = asking.output().unwrap();
    assert!(output.status.success(), "{command:?} failed");
    let kilobytes: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    kilobytes * 1024.0 / 1e6
}

/// The other side of [`memory`]: the peak of the program in `arguments`, in KiB.
pub(crate) fn peak(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> i64 {
    let program = PathBuf::from(arguments.next().unwrap());
    time(Command::new(program).args(arguments));
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss()
}
