//! Medians of whole processes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    Spread::of(
        times
            .iter()
            .map(|time| time.as_secs_f64() * 1000.0)
            .collect(),
    )
}

/// The most memory that `command` had resident at once, in MB of 10^6 bytes.
///
/// The system keeps the peak of a process as long as it runs (`VmHWM`, proc(5)), so what it grows
/// by in its last millisecond is missed.
pub(crate) fn memory(command: &mut Command) -> f64 {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    let ended = loop {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kilobytes) = line.and_then(|line| line.trim().strip_suffix(" kB")) {
            peak = kilobytes.parse().unwrap();
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(ended.success(), "{command:?} ended with {ended}");
    assert!(peak > 0.0, "{status} does not say the peak");
    peak * 1024.0 / 1e6
}
