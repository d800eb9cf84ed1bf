//! One attempt of one step: its plugin in a fresh store, its calls at the gate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lockkeeper_gate::{Event, Grants, Halt, RunGate, Settle, StepGate};
use lockkeeper_journal::Durable;
use lockkeeper_runtime::{Budget, Ended, Host, Mismatch, Plugin, Seed, StepError, Trap};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::report::StepFailure;

/// Seconds a step may take that sets no `timeout` of its own.
const TIMEOUT: u64 = 30 * 60;
/// How long a call that is under way when a step's time is up may still take.
const GRACE: Duration = Duration::from_secs(10);

/// How an attempt ended, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Attempted {
    /// The plugin gave its outputs.
    Done {
        outputs: Value,
        changes: u64,
        notes: Vec<String>,
    },
    /// The step failed.
    Failed(StepFailure),
}

/// An attempt to make.
pub(crate) struct Attempt {
    pub(crate) run: Arc<RunGate>,
    pub(crate) plugin: Plugin,
    pub(crate) grants: Grants,
    pub(crate) step: String,
    pub(crate) number: u32,
    pub(crate) settle: Option<Settle>,
    pub(crate) timeout: Option<u64>,
    /// The id of the object to adopt; without one the step runs.
    pub(crate) adopts: Option<String>,
    pub(crate) inputs: Value,
    pub(crate) seed: [u8; 32],
    pub(crate) started_at: OffsetDateTime,
}

/// A step at the gate, as the runtime's host.
struct AtGate(StepGate);

#[async_trait]
impl Host for AtGate {
    type Halt = Halt;

    async fn call(
        &mut self,
        operation: &str,
        arguments: Value,
    ) -> Result<Result<Value, Value>, Halt> {
        self.0.call(operation, arguments).await
    }

    fn label(&self, secret: &str) -> String {
        format!("secret {secret}")
    }
}

impl Attempt {
    /// Makes it. A halt is not the step's end: it has to be made again, from the record.
    pub(crate) async fn make(self, mut durable: Box<dyn Durable>) -> Result<Attempted, Halt> {
        let timeout = Duration::from_secs(self.timeout.unwrap_or(TIMEOUT));
        let budget = Budget::default();
        let started = Instant::now();
        let deadline = started + timeout;
        self.run.events.tell(
            Some(&self.step),
            &Event::StepStart {
                plugin: self.plugin.signature().plugin.clone(),
                attempt: self.number,
            },
        )?;
        let attempted = loop {
            let gate = StepGate::new(
                self.run.clone(),
                &self.step,
                self.grants.clone(),
                self.settle,
                deadline,
                durable,
            );
            let seed = Seed {
                bytes: self.own_seed(),
                started_at: self.started_at.into(),
            };
            let under_way = gate.under_way();
            let (host, inputs) = (AtGate(gate), self.inputs.clone());
            let ran = async {
                match self.adopts.clone() {
                    Some(id) => self.plugin.adopt(host, inputs, id, &budget, seed).await,
                    None => self.plugin.run(host, inputs, &budget, seed).await,
                }
            };
            let Ok(ran) = tokio::time::timeout_at((deadline + GRACE).into(), ran).await else {
                if let Some(halt) = under_way.given_up() {
                    return Err(halt);
                }
                break Attempted::Failed(timed_out(timeout));
            };
            let gate = ran.host.0;
            let (changes, notes) = (gate.changes(), gate.notes().to_vec());
            break match ran.ended {
                Ended::Outputs(outputs) => Attempted::Done {
                    outputs,
                    changes,
                    notes,
                },
                Ended::Failed(_) if Instant::now() >= deadline => {
                    Attempted::Failed(timed_out(timeout))
                }
                Ended::Failed(error) => Attempted::Failed(failed(error)),
                Ended::Limit(limit) => {
                    Attempted::Failed(StepFailure::new(limit.kind.code(), limit.to_string()))
                }
                Ended::Trap(trap) => {
                    let mut message = trap.to_string();
                    if let Some(line) = ran.log.lines.last() {
                        message.push_str(": ");
                        message.push_str(line);
                    }
                    Attempted::Failed(StepFailure::new(Trap::CODE, message))
                }
                Ended::Interface(mismatch) => {
                    Attempted::Failed(StepFailure::new(Mismatch::CODE, mismatch.to_string()))
                }
                Ended::Halted(Halt::Suspended { until }) => {
                    // The plugin is unloaded while it waits, and run to this point again after.
                    durable = gate.rewind();
                    let left = Duration::try_from(until - OffsetDateTime::now_utc());
                    tokio::select! {
                        () = tokio::time::sleep(left.unwrap_or_default()) => continue,
                        () = tokio::time::sleep_until(deadline.into()) => {
                            Attempted::Failed(timed_out(timeout))
                        }
                        () = self.run.cancellation.set() => return Err(Halt::Cancelled),
                    }
                }
                Ended::Halted(halt) => return Err(halt),
            };
        };
        let duration = started.elapsed();
        if let Attempted::Done {
            outputs, changes, ..
        } = &attempted
        {
            self.run.events.tell(
                Some(&self.step),
                &Event::StepComplete {
                    duration,
                    outputs: outputs.clone(),
                    changes: *changes,
                },
            )?;
        }
        Ok(attempted)
    }

    /// The attempt's share of the run's seed: the same for the same step and attempt.
    fn own_seed(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.seed);
        hasher.update(self.step.as_bytes());
        hasher.update(self.number.to_be_bytes());
        hasher.finalize().into()
    }
}

fn timed_out(timeout: Duration) -> StepFailure {
    StepFailure {
        help: Some("raise the step's `timeout`, or look at what it waited for".to_owned()),
        ..StepFailure::new(
            "LK9003",
            format!("the step took longer than {} s", timeout.as_secs()),
        )
    }
}

fn failed(error: StepError) -> StepFailure {
    let failure = error.failure;
    let code = match error.class.as_str() {
        _ if failure.service == "lockkeeper" && failure.code == "NotGranted" => "LK9005",
        "denied" => "LK9004",
        "not-yet-visible" => "LK9006",
        "throttled" | "unavailable" => "LK9007",
        _ => "LK9002",
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    StepFailure {
        code: code.to_owned(),
        message: failure.message,
        class: Some(error.class),
        operation: some(failure.operation),
        service_code: some(failure.code),
        status: (failure.status != 0).then_some(failure.status),
        request_id: some(failure.request_id),
        cause: error.cause,
        help: error.help,
    }
}
