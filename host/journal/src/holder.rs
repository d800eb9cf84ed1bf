//! Who holds a run, and whether that process is still alive.

use std::time::Duration;

use time::OffsetDateTime;

use crate::model::Holder;

/// How long a holder that is not heard of counts as alive.
pub const LEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a holder should be heard of ([`Lease::beat`](crate::Lease::beat)).
pub const HEARTBEAT: Duration = Duration::from_secs(5);

impl Holder {
    /// This process, on behalf of `actor`.
    pub fn this_process(actor: &str) -> Self {
        Self {
            pid: std::process::id(),
            host: host(),
            machine: machine(),
            actor: actor.to_owned(),
        }
    }

    /// Whether its process is known to have ended. Only the same boot and process namespace can
    /// tell; everywhere else the heartbeat decides.
    fn is_gone(&self) -> bool {
        !self.machine.is_empty() && self.machine == machine() && !exists(self.pid)
    }
}

/// Whether a run whose holder was last heard of at `heartbeat` is being advanced.
pub(crate) fn is_alive(holder: &Holder, heartbeat: Option<i64>) -> bool {
    let timeout = i64::try_from(LEASE_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
    // A clock that was set back must not keep a dead holder alive for ever.
    heartbeat.is_some_and(|then| now_ms().abs_diff(then) < timeout.unsigned_abs())
        && !holder.is_gone()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn host() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

/// The boot and the process namespace, where the system tells (Linux).
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        _ => String::new(),
    }
}

fn exists(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else {
        return false;
    };
    // Signal 0 only asks; a process of another user answers EPERM.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_gone_at_once() {
        let me = Holder::this_process("ana");
        assert!(is_alive(&me, Some(now_ms())));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let ended = Holder { pid, ..me.clone() };
        assert!(!is_alive(&ended, Some(now_ms())));
        let elsewhere = Holder {
            machine: "another boot".into(),
            ..ended
        };
        assert!(is_alive(&elsewhere, Some(now_ms())));
    }

    #[test]
    fn a_holder_not_heard_of_expires_whichever_way_the_clock_went() {
        let me = Holder::this_process("ana");
        let timeout = i64::try_from(LEASE_TIMEOUT.as_millis()).unwrap();
        assert!(!is_alive(&me, Some(now_ms() - timeout - 1)));
        assert!(!is_alive(&me, Some(now_ms() + timeout + 1000)));
        assert!(!is_alive(&me, None));
    }
}
