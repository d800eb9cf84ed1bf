//! Which step runs when: as soon as those it waits for have ended, several at once.
//!
//! The order in which steps start and end is read from the journal as far as it goes, so a
//! resumed run takes the same decisions again up to the point where the earlier process stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use lockkeeper_gate::{Event, Halt, Mode, RunGate, Settle};
use lockkeeper_journal::{Durable, Fault, Finished, Started, StepEnd};
use lockkeeper_types::{Type, Value, secret, unknown};
use lockkeeper_workflow::{Backoff, Decision, Diagnostic, Scope, Step, Workflow};
use time::OffsetDateTime;

use crate::catalogue::Catalogue;
use crate::report::{StepFailure, StepReport, StepResult};
use crate::step::{Attempt, Attempted};

/// What the scheduler works with.
pub(crate) struct Schedule<'a> {
    pub(crate) workflow: &'a Workflow,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) run: Arc<RunGate>,
    pub(crate) seed: [u8; 32],
    pub(crate) started_at: OffsetDateTime,
    /// In an adoption, the ids of what steps adopt instead of running; the other steps have no
    /// part in it.
    pub(crate) adopts: Option<&'a BTreeMap<String, String>>,
}

/// Why the scheduler stopped before every step had its turn.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// A step failed.
    Failed,
    /// A step was halted from the gate's side; nothing was recorded of its end.
    Halted(Halt),
    /// A value of the file could not be evaluated.
    Evaluation(Box<Diagnostic>),
}

struct Ended {
    address: String,
    attempted: Result<Attempted, Halt>,
}

#[derive(Default)]
struct Progress {
    /// Attempts started, by step.
    attempts: BTreeMap<String, u32>,
    /// Attempts since the last time a person asked to go on, by step.
    automatic: BTreeMap<String, u32>,
    /// The last failure and whether an earlier process recorded it, by step.
    failed: BTreeMap<String, (StepFailure, bool)>,
    reports: BTreeMap<String, StepReport>,
    /// The steps that a plan cannot decide about.
    postponed: BTreeSet<String>,
    outstanding: usize,
    /// Why nothing more is started.
    stopped: Option<Stopped>,
}

impl Progress {
    /// Lets what is under way go on to its end, so that no call is left without its outcome, and
    /// starts nothing more. Without a record or events everything ends at once.
    fn stop(&mut self, why: Stopped) -> Result<(), Stopped> {
        match (&why, &self.stopped) {
            (Stopped::Halted(Halt::Journal(_) | Halt::Events(_)), _) => return Err(why),
            (_, None | Some(Stopped::Halted(Halt::Cancelled))) => self.stopped = Some(why),
            _ => {}
        }
        Ok(())
    }
}

impl Schedule<'_> {
    /// Runs the steps. `scope` receives their outputs.
    pub(crate) async fn run(
        &self,
        durable: &mut dyn Durable,
        scope: &mut Scope,
    ) -> (Vec<StepReport>, Result<(), Stopped>) {
        let mut progress = Progress::default();
        let result = self.advance(durable, scope, &mut progress).await;
        let reports = self
            .workflow
            .steps
            .iter()
            .map(|step| {
                progress
                    .reports
                    .remove(step.name.as_str())
                    .unwrap_or_else(|| {
                        let failure = progress
                            .failed
                            .remove(step.name.as_str())
                            .map(|(failure, _)| failure);
                        StepReport {
                            result: if failure.is_some() {
                                StepResult::Failed
                            } else {
                                StepResult::NotRun
                            },
                            error: failure,
                            ..empty_report(step)
                        }
                    })
            })
            .collect();
        (reports, result)
    }

    async fn advance(
        &self,
        durable: &mut dyn Durable,
        scope: &mut Scope,
        progress: &mut Progress,
    ) -> Result<(), Stopped> {
        let order = self.workflow.order();
        let mut running: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        loop {
            if progress.failed.is_empty() && progress.stopped.is_none() {
                let started = self.start_ready(&order, durable, scope, progress, &running);
                if let Err(why) = started.await {
                    progress.stop(why)?;
                }
            }
            if progress.outstanding == 0 {
                if let Some(why) = progress.stopped.take() {
                    return Err(why);
                }
                if progress.failed.is_empty() {
                    return Ok(());
                }
                // Everything under way has ended. What failed in an earlier process is what a
                // person asked to try again; what failed just now ends the run.
                if progress.failed.values().any(|(_, replayed)| !replayed) {
                    return Err(Stopped::Failed);
                }
                for (step, _) in std::mem::take(&mut progress.failed) {
                    progress.automatic.remove(&step);
                    let step = self.step(&step)?;
                    let pause = Duration::ZERO;
                    let started = self.start(step, pause, durable, scope, progress, &running);
                    if let Err(why) = started.await {
                        progress.stop(why)?;
                    }
                }
                continue;
            }
            let mut halted = None;
            let next = {
                let halted = &mut halted;
                let completion = async {
                    let Some(ended) = running.next().await else {
                        return Err(Fault::Stopped("no step is under way".to_owned()));
                    };
                    match ended.attempted {
                        Ok(attempted) => Ok(StepEnd {
                            address: ended.address,
                            outcome: serde_json::to_value(attempted)
                                .map_err(|error| Fault::Stopped(error.to_string()))?,
                        }),
                        Err(halt) => {
                            let fault = Fault::Stopped(halt.to_string());
                            *halted = Some(halt);
                            Err(fault)
                        }
                    }
                };
                durable.next_step(Box::pin(completion)).await
            };
            let taken = match (next, halted) {
                // Its end is not recorded: whoever goes on with the run runs it from its record.
                (Err(_), Some(halt)) => {
                    progress.outstanding -= 1;
                    Err(Stopped::Halted(halt))
                }
                (next, _) => {
                    let Finished { end, replayed } = next.map_err(halted_by)?;
                    progress.outstanding -= 1;
                    self.take(end, replayed, durable, scope, progress, &running)
                        .await
                }
            };
            if let Err(why) = taken {
                progress.stop(why)?;
            }
        }
    }

    /// Starts every step whose turn it is.
    async fn start_ready(
        &self,
        order: &BTreeMap<&str, Vec<&str>>,
        durable: &mut dyn Durable,
        scope: &mut Scope,
        progress: &mut Progress,
        running: &FuturesUnordered<BoxFuture<'static, Ended>>,
    ) -> Result<(), Stopped> {
        // A skipped step may free the next one, so look again until nothing moves.
        let mut moved = true;
        while moved {
            moved = false;
            for step in &self.workflow.steps {
                let name = step.name.as_str();
                let waits = order.get(name).is_some_and(|before| {
                    before.iter().any(|before| {
                        self.takes_part(before) && !progress.reports.contains_key(*before)
                    })
                });
                if waits
                    || !self.takes_part(name)
                    || progress.attempts.contains_key(name)
                    || progress.reports.contains_key(name)
                {
                    continue;
                }
                moved = true;
                let decision = match self.adopts {
                    // What is known of an adoption's steps was asked before it began.
                    Some(_) => Decision::Run,
                    None => self
                        .workflow
                        .evaluate_when(step, scope)
                        .map_err(Stopped::Evaluation)?,
                };
                match decision {
                    Decision::Run => match self.undecided(step, scope, progress)? {
                        Some(after) => self.postpone(step, &after, scope, progress)?,
                        None => {
                            self.start(step, Duration::ZERO, durable, scope, progress, running)
                                .await?;
                        }
                    },
                    Decision::Skip { reason } => self.skip(step, reason, scope, progress)?,
                    Decision::Unknown { step: after } => {
                        self.postpone(step, &after, scope, progress)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn takes_part(&self, step: &str) -> bool {
        self.adopts.is_none_or(|adopts| adopts.contains_key(step))
    }

    /// In a plan, the step after which it can be said what this one would do: one that makes what this
    /// one cannot be planned without, or one that is left out itself, so that nothing of it is planned.
    fn undecided(
        &self,
        step: &Step,
        scope: &Scope,
        progress: &Progress,
    ) -> Result<Option<String>, Stopped> {
        let (Mode::Plan(_), Some(plugin)) = (&self.run.mode, self.catalogue.plugin(&step.plugin))
        else {
            return Ok(None);
        };
        let signature = plugin.signature();
        let inputs = self
            .workflow
            .evaluate_with(step, scope, signature)
            .map_err(Stopped::Evaluation)?;
        let left_out = || {
            let mut postponed = progress.postponed.iter();
            postponed
                .find(|other| unknown::waits_for(&inputs, other))
                .cloned()
        };
        Ok(Workflow::undecided(&inputs, signature).or_else(left_out))
    }

    /// Leaves a step out of a plan that cannot decide about it.
    fn postpone(
        &self,
        step: &Step,
        after: &str,
        scope: &mut Scope,
        progress: &mut Progress,
    ) -> Result<(), Stopped> {
        self.skip(step, format!("decided after {after}"), scope, progress)?;
        let name = step.name.as_str().to_owned();
        scope.steps.insert(name.clone(), unknown_outputs(step));
        progress.postponed.insert(name);
        Ok(())
    }

    fn skip(
        &self,
        step: &Step,
        reason: String,
        scope: &mut Scope,
        progress: &mut Progress,
    ) -> Result<(), Stopped> {
        let name = step.name.as_str();
        self.run
            .events
            .tell(
                Some(name),
                &Event::StepSkipped {
                    reason: reason.clone(),
                },
            )
            .map_err(|error| Stopped::Halted(error.into()))?;
        scope.steps.insert(name.to_owned(), Value::Null);
        let report = StepReport {
            result: StepResult::Skipped,
            reason: Some(reason),
            ..empty_report(step)
        };
        progress.reports.insert(name.to_owned(), report);
        Ok(())
    }

    async fn start(
        &self,
        step: &Step,
        pause: Duration,
        durable: &mut dyn Durable,
        scope: &Scope,
        progress: &mut Progress,
        running: &FuturesUnordered<BoxFuture<'static, Ended>>,
    ) -> Result<(), Stopped> {
        let name = step.name.as_str();
        let plugin = self.catalogue.plugin(&step.plugin).ok_or_else(|| {
            Stopped::Halted(Halt::Journal(Fault::Stopped(format!(
                "plugin `{}` is no longer there",
                step.plugin.as_str()
            ))))
        })?;
        let inputs = self
            .workflow
            .evaluate_with(step, scope, plugin.signature())
            .map_err(Stopped::Evaluation)?;
        let number = progress.attempts.entry(name.to_owned()).or_default();
        *number += 1;
        *progress.automatic.entry(name.to_owned()).or_default() += 1;
        let attempt = Attempt {
            run: self.run.clone(),
            plugin: plugin.clone(),
            grants: self.catalogue.grants(&step.plugin),
            step: name.to_owned(),
            number: *number,
            settle: step.settle.as_ref().map(|settle| Settle {
                reads: settle.reads,
                timeout: Duration::from_secs(settle.timeout),
            }),
            timeout: step.timeout,
            adopts: self.adopts.and_then(|adopts| adopts.get(name)).cloned(),
            inputs,
            seed: self.seed,
            started_at: self.started_at,
        };
        let address = format!("{name}#{number}");
        match durable.start_step(&address).await.map_err(halted_by)? {
            Started::Finished => {}
            Started::Open(own) => running.push(Box::pin(async move {
                attempt.run.cancellation.sleep(pause).await;
                Ended {
                    address,
                    attempted: attempt.make(own).await,
                }
            })),
        }
        progress.outstanding += 1;
        let mut steps = self.workflow.steps.iter();
        steps.find(|found| found.name == step.name);
        self.catalogue.link_ahead(steps.next());
        Ok(())
    }

    /// Takes in how an attempt ended.
    async fn take(
        &self,
        end: StepEnd,
        replayed: bool,
        durable: &mut dyn Durable,
        scope: &mut Scope,
        progress: &mut Progress,
        running: &FuturesUnordered<BoxFuture<'static, Ended>>,
    ) -> Result<(), Stopped> {
        let name = end.address.split('#').next().unwrap_or_default().to_owned();
        let step = self.step(&name)?;
        let attempted: Attempted = serde_json::from_value(end.outcome)
            .map_err(|error| halted_by(Fault::Stopped(error.to_string())))?;
        let failure = match attempted {
            Attempted::Done {
                outputs,
                changes,
                notes,
            } => {
                if replayed {
                    self.run.remember_made(&outputs);
                }
                let unmet = match self.adopts {
                    // An adoption gives no outputs of which anything could be expected.
                    Some(_) => None,
                    None => self.unmet(step, &outputs, scope)?,
                };
                match unmet {
                    None => {
                        if self.adopts.is_none() {
                            scope.steps.insert(name.clone(), outputs.clone());
                        }
                        let report = StepReport {
                            result: StepResult::Succeeded,
                            outputs,
                            notes,
                            changes,
                            ..empty_report(step)
                        };
                        progress.reports.insert(name, report);
                        return Ok(());
                    }
                    Some(failure) => failure,
                }
            }
            Attempted::Failed(failure) => failure,
        };
        let automatic = progress.automatic.get(&name).copied().unwrap_or_default();
        let again = progress.stopped.is_none()
            && automatic < step.retry.max
            && worth_another(step, &failure);
        if !replayed {
            self.run
                .events
                .tell(
                    Some(&name),
                    &Event::StepFailed {
                        message: failure.message.clone(),
                        retried: again,
                    },
                )
                .map_err(|error| Stopped::Halted(error.into()))?;
        }
        if again {
            let pause = if replayed {
                Duration::ZERO
            } else {
                pause(step, automatic)
            };
            return self
                .start(step, pause, durable, scope, progress, running)
                .await;
        }
        progress.failed.insert(name, (failure, replayed));
        Ok(())
    }

    /// The failure that unmet expectations make.
    fn unmet(
        &self,
        step: &Step,
        outputs: &Value,
        scope: &Scope,
    ) -> Result<Option<StepFailure>, Stopped> {
        let unmet = self
            .workflow
            .evaluate_expect(step, outputs, scope)
            .map_err(Stopped::Evaluation)?;
        if unmet.is_empty() {
            return Ok(None);
        }
        let said: Vec<String> = unmet
            .iter()
            .map(|failure| {
                let values: Vec<String> = failure
                    .values
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect();
                format!(
                    "`{}` does not hold ({})",
                    failure.expression,
                    values.join(", ")
                )
            })
            .collect();
        Ok(Some(StepFailure::new("LK9102", said.join("; "))))
    }

    fn step(&self, name: &str) -> Result<&Step, Stopped> {
        self.workflow.step(name).ok_or_else(|| {
            halted_by(Fault::Stopped(format!(
                "the workflow has no step `{name}` any more"
            )))
        })
    }
}

/// Outputs of a step that a plan cannot decide about, or that does not run.
pub(crate) fn unknown_outputs(step: &Step) -> Value {
    let outputs = step.outputs.iter().map(|field| {
        let placeholder = unknown::placeholder(step.name.as_str(), &field.name);
        let value = match field.kind.without_option() {
            Type::Secret => secret(&placeholder),
            _ => Value::String(placeholder),
        };
        (field.name.clone(), value)
    });
    Value::Object(outputs.collect())
}

fn halted_by(fault: Fault) -> Stopped {
    Stopped::Halted(Halt::Journal(fault))
}

fn empty_report(step: &Step) -> StepReport {
    StepReport {
        id: step.name.as_str().to_owned(),
        plugin: step.plugin.as_str().to_owned(),
        result: StepResult::NotRun,
        outputs: Value::Null,
        notes: Vec::new(),
        changes: 0,
        reason: None,
        error: None,
    }
}

fn worth_another(step: &Step, failure: &StepFailure) -> bool {
    failure
        .class
        .as_deref()
        .is_some_and(|class| step.retry.on.iter().any(|on| on.as_str() == class))
}

fn pause(step: &Step, attempts: u32) -> Duration {
    let first = Duration::from_millis(step.retry.first);
    let pause = match step.retry.backoff {
        Backoff::Constant => first,
        Backoff::Exponential => first.saturating_mul(1 << attempts.saturating_sub(1).min(20)),
    };
    pause.min(Duration::from_millis(step.retry.cap))
}
