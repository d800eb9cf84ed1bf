//! Faults: which requests fail, and how.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{glob, world::fraction};

/// A rule: the requests it takes, and what happens to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method, or any.
    #[serde(default)]
    pub method: Option<String>,
    /// The path without the query: `*` stands for anything in a segment, `**` for anything.
    pub path: String,
    /// The host pattern, without a port, or any.
    #[serde(default)]
    pub host: Option<String>,
    /// Whether the request takes effect before the fault strikes.
    #[serde(default)]
    pub after_handler: bool,
    /// How many requests are hit; every one when absent.
    #[serde(default)]
    pub times: Option<u64>,
    /// How many matching requests pass first.
    #[serde(default)]
    pub offset: u64,
    /// What happens.
    pub action: Action,
}

/// What a fault does to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Answers with this status.
    Status {
        /// The status code.
        status: u16,
        /// The JSON body; the service's own error shape when absent.
        #[serde(default)]
        body: Option<Value>,
        /// Further headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Answers 429 in the service's own shape.
    Throttle {
        /// The `Retry-After` header, in seconds; left out when absent.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Resets the connection (TCP RST).
    Reset,
    /// Sends the reply's body slowly.
    SlowDrip {
        /// The pace.
        bytes_per_second: u64,
    },
    /// Sends a body that does not end.
    EndlessBody,
    /// Lets the request take effect, then closes the connection without a reply.
    LostReply,
    /// Kills a client process (SIGKILL), then closes the connection.
    Kill {
        /// Its process id, above 1.
        pid: i32,
    },
    /// Joins the tail of a token endpoint's error with CRLF, as it was before 2024.
    CrlfErrorTail,
    /// Answers a read from a replica that lags this much.
    StaleRead {
        /// The lag, in seconds.
        seconds: u64,
    },
}

impl Action {
    /// The name in the request record.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Throttle { .. } => "throttle",
            Self::Reset => "reset",
            Self::SlowDrip { .. } => "slow_drip",
            Self::EndlessBody => "endless_body",
            Self::LostReply => "lost_reply",
            Self::Kill { .. } => "kill",
            Self::CrlfErrorTail => "crlf_error_tail",
            Self::StaleRead { .. } => "stale_read",
        }
    }
}

/// A seeded share of all requests fails: throttled, refused, cut before or after taking effect,
/// or read from a stale replica.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chaos {
    /// The share, 0 to 1.
    pub rate: f64,
    /// Decides which requests, and how.
    pub seed: u64,
}

/// A fault that strikes the present request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strike {
    pub(crate) after_handler: bool,
    pub(crate) action: Action,
}

#[derive(Default)]
pub(crate) struct Faults(Mutex<Held>);

#[derive(Default)]
struct Held {
    next: u64,
    rules: Vec<Rule>,
    chaos: Option<Chaos>,
    chaos_seen: u64,
}

struct Rule {
    id: u64,
    fault: Fault,
    seen: u64,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> u64 {
        let mut held = self.held();
        held.next += 1;
        let id = held.next;
        held.rules.push(Rule { id, fault, seen: 0 });
        id
    }

    /// Whether there was such a fault.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut held = self.held();
        let before = held.rules.len();
        held.rules.retain(|rule| rule.id != id);
        held.rules.len() < before
    }

    pub(crate) fn clear(&self) {
        let mut held = self.held();
        held.rules.clear();
        held.chaos = None;
    }

    pub(crate) fn list(&self) -> Vec<(u64, Fault)> {
        self.held()
            .rules
            .iter()
            .map(|rule| (rule.id, rule.fault.clone()))
            .collect()
    }

    pub(crate) fn set_chaos(&self, chaos: Option<Chaos>) {
        let mut held = self.held();
        held.chaos = chaos;
        held.chaos_seen = 0;
    }

    /// What strikes this request: the first rule that is due, else the chaos.
    pub(crate) fn strike(&self, method: &str, host: &str, path: &str) -> Option<Strike> {
        let mut held = self.held();
        for rule in &mut held.rules {
            if rule.fault.takes(method, host, path) {
                rule.seen += 1;
                let times = rule.fault.times.unwrap_or(u64::MAX);
                if rule.seen > rule.fault.offset && rule.seen - rule.fault.offset <= times {
                    return Some(Strike {
                        after_handler: rule.fault.after_handler,
                        action: rule.fault.action.clone(),
                    });
                }
            }
        }
        let chaos = held.chaos?;
        held.chaos_seen += 1;
        let count = held.chaos_seen;
        (fraction(chaos.seed, count) < chaos.rate)
            .then(|| chaotic(fraction(!chaos.seed, count), method == "GET"))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chaotic(draw: f64, reads: bool) -> Strike {
    let refuse = || Action::Status {
        status: 503,
        body: None,
        headers: BTreeMap::new(),
    };
    let (after_handler, action) = match draw {
        d if d < 0.25 => (
            false,
            Action::Throttle {
                retry_after: Some(1),
            },
        ),
        d if d < 0.45 => (false, refuse()),
        d if d < 0.60 => (true, refuse()),
        d if d < 0.75 => (false, Action::Reset),
        d if d < 0.90 || !reads => (true, Action::LostReply),
        _ => (false, Action::StaleRead { seconds: 5 }),
    };
    Strike {
        after_handler,
        action,
    }
}

impl Fault {
    fn takes(&self, method: &str, host: &str, path: &str) -> bool {
        let named = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) {
                name
            } else {
                host
            }
        });
        self.method
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self
                .host
                .as_ref()
                .is_none_or(|wanted| glob::matches(wanted, named))
            && glob::matches(&self.path, path)
    }
}

/// Kills a process; the whole system and process groups (0, negative, 1) are out of reach.
pub(crate) fn kill_client(pid: i32) {
    if pid > 1 {
        // A process that is gone already is as dead as asked for.
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(json: Value) -> Fault {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn offset_and_times_are_counted_over_matching_requests() {
        let faults = Faults::default();
        faults.add(fault(json!({
            "method": "POST", "path": "/v1.0/applications", "offset": 1, "times": 2,
            "action": "reset",
        })));
        let strikes = |method| faults.strike(method, "graph.microsoft.com", "/v1.0/applications");
        assert_eq!(strikes("GET"), None);
        let struck: Vec<_> = (0..4).map(|_| strikes("POST").is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
    }

    #[test]
    fn host_and_removal() {
        let faults = Faults::default();
        let id = faults.add(fault(json!({
            "host": "*.vault.azure.net", "path": "**", "action": {"throttle": {}},
        })));
        assert!(
            faults
                .strike("GET", "kv.vault.azure.net:443", "/secrets")
                .is_some()
        );
        assert!(
            faults
                .strike("GET", "graph.microsoft.com", "/secrets")
                .is_none()
        );
        assert!(faults.remove(id));
        assert!(!faults.remove(id));
        assert!(
            faults
                .strike("GET", "kv.vault.azure.net", "/secrets")
                .is_none()
        );
    }

    #[test]
    fn chaos_hits_its_share_and_repeats() {
        let run = |seed| {
            let faults = Faults::default();
            faults.set_chaos(Some(Chaos { rate: 0.2, seed }));
            (0..1000)
                .map(|_| faults.strike("GET", "h", "/p"))
                .collect::<Vec<_>>()
        };
        let first = run(7);
        let hits = first.iter().flatten().count();
        assert!((120..280).contains(&hits), "{hits}");
        assert_eq!(first, run(7));
        assert_ne!(first, run(8));
    }
}
