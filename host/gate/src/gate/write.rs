//! A write at the gate: its intent on disk, then the effect, then its outcome on disk.

use std::time::Instant;

use lockkeeper_cloud::{Failure, Sent};
use lockkeeper_journal::{Edge, Entry, Fault};
use lockkeeper_types::Value;

use super::patience::{Pause, perform, visible};
use super::record::{
    Ended, Intent, denied, ended, event, facts, from_value, outcome, to_value, unsendable,
};
use super::{Halt, StepGate};
use crate::call::Call;
use crate::definition::Definition;
use crate::event::{CallEvent, Event, ListenerError, Outcome};
use crate::operation::{Class, Context, Observed};

/// A write on its way through the gate.
struct Passage<'a> {
    definition: &'a dyn Definition,
    call: &'a Call,
    event: CallEvent,
    fingerprint: String,
    facts: Value,
}

/// An intent on disk.
struct Intended {
    before: Observed,
    /// Whether an earlier process recorded it, and may have sent the request.
    replayed: bool,
}

impl StepGate {
    pub(super) async fn write(
        &mut self,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Result<Value, Failure>, Halt> {
        let object = match definition.object(&call.arguments) {
            Ok(object) => object,
            Err(failure) => return Ok(Err(failure)),
        };
        let event = event(definition, call, object, self.mark());
        let passage = Passage {
            definition,
            call,
            fingerprint: format!("{} {}", call.operation, event.digest),
            facts: facts(&event, call),
            event,
        };
        let Intended { before, replayed } = match self.intend(&passage).await? {
            Ok(intended) => intended,
            Err(failure) => return Ok(Err(failure)),
        };
        self.under_way.set(Some(passage.event.clone()));
        let (result, replayed) = self.carry_out(&passage, replayed).await?;
        self.under_way.set(None);
        self.seen.remove(&passage.event.object);
        if let Ok(output) = &result {
            self.run.remember_made(output);
            if let Ok(after) = definition.after(&call.arguments, before.as_ref(), output) {
                self.changes += u64::from(after != before);
                self.seen.insert(passage.event.object.clone(), after);
            }
            if definition.class() == Class::Create && !replayed {
                self.settle(&passage).await?;
            }
        }
        Ok(result)
    }

    /// Puts the intent on disk, with the state it finds: before anything leaves.
    async fn intend(&mut self, passage: &Passage<'_>) -> Result<Result<Intended, Failure>, Halt> {
        let Passage {
            definition,
            call,
            event,
            ..
        } = passage;
        let (run, cloud, step) = (self.run.clone(), self.cloud.clone(), self.step.clone());
        let (grants, seen) = (self.grants.clone(), self.seen.get(&event.object).cloned());
        let (deadline, mut used) = (self.deadline, self.used.clone());
        let prepare = async {
            let context = Context {
                cloud: &cloud,
                secrets: &run.secrets,
                mark: &event.mark,
            };
            let intent = match grants.decide(&call.operation, &call.arguments, &mut used) {
                Err(denial) => Intent::Refused(denied(&call.operation, &denial.to_string())),
                Ok(()) if let Some(failure) = unsendable(call) => Intent::Refused(failure),
                Ok(()) => {
                    let before = match seen {
                        Some(state) => Ok(state),
                        None => {
                            visible(&run, &step, call, deadline, || {
                                definition.state(&call.arguments, &context)
                            })
                            .await
                        }
                    };
                    match before {
                        Ok(before) => Intent::Sent {
                            before: before.unwrap_or_default(),
                        },
                        Err(failure) if failure.is_stopped() => {
                            return Err(Fault::Stopped(failure.to_string()));
                        }
                        Err(failure) => Intent::Refused(failure),
                    }
                }
            };
            to_value(&intent)
        };
        let entry = Entry {
            kind: "intent",
            fingerprint: &passage.fingerprint,
            edge: Edge::Durable,
            facts: passage.facts.clone(),
        };
        let recorded = match self.durable.effect(entry, Box::pin(prepare)).await {
            Ok(recorded) => recorded,
            Err(fault) => return Err(self.faulted(fault)?),
        };
        if recorded.replayed {
            // Counted again, so that a limit holds over a resumed step as a whole.
            let _ = self
                .grants
                .decide(&call.operation, &call.arguments, &mut self.used);
        } else {
            self.used = used;
        }
        match from_value::<Intent>(&recorded.value)? {
            Intent::Refused(failure) => {
                if !recorded.replayed {
                    self.tell_outcome(event, Some(&failure))?;
                }
                Ok(Err(failure))
            }
            Intent::Sent { before } => {
                if !recorded.replayed {
                    self.run
                        .events
                        .tell(Some(&self.step), &Event::CallIntent(event.clone()))?;
                }
                let before = (!before.is_null()).then_some(before);
                Ok(Ok(Intended {
                    before,
                    replayed: recorded.replayed,
                }))
            }
        }
    }

    /// Sends the call and puts its outcome on disk; also gives whether that was recorded before.
    /// What an earlier process may have sent (`lost`) is looked for first.
    async fn carry_out(
        &mut self,
        passage: &Passage<'_>,
        lost: bool,
    ) -> Result<(Result<Value, Failure>, bool), Halt> {
        let Passage {
            definition,
            call,
            event,
            ..
        } = passage;
        let (run, cloud, step) = (self.run.clone(), self.cloud.clone(), self.step.clone());
        let deadline = self.deadline;
        let mut undecided = None;
        let effect = async {
            let context = Context {
                cloud: &cloud,
                secrets: &run.secrets,
                mark: &event.mark,
            };
            let sent = perform(&run, &step, *definition, call, &context, deadline, lost).await;
            match sent {
                Err(failure) if failure.sent == Sent::MaybeHandled && !failure.is_stopped() => {
                    let why = failure.to_string();
                    undecided = Some(failure);
                    Err(Fault::Stopped(why))
                }
                decided => ended(decided),
            }
        };
        // An outcome that the power takes away is found again by the call's class; only an issued
        // secret could not be.
        let edge = match definition.class() {
            Class::Issue => Edge::Durable,
            _ => Edge::Cheap,
        };
        let entry = Entry {
            kind: "outcome",
            fingerprint: &passage.fingerprint,
            edge,
            facts: passage.facts.clone(),
        };
        let recorded = self.durable.effect(entry, Box::pin(effect)).await;
        let recorded = match (recorded, undecided) {
            (Err(Fault::Stopped(_)), Some(failure)) => {
                return Err(self.unknown(event, failure)?);
            }
            (Err(fault), _) => return Err(self.faulted(fault)?),
            (Ok(recorded), _) => recorded,
        };
        self.replaying = recorded.replayed;
        let result = match from_value::<Ended>(&recorded.value)? {
            Ended::Done(output) => Ok(output),
            Ended::Failed(failure) => Err(failure),
        };
        if !recorded.replayed {
            self.tell_outcome(event, result.as_ref().err())?;
        }
        Ok((result, recorded.replayed))
    }

    /// Waits until reads see what was just created, as often in a row as the step asks.
    async fn settle(&mut self, passage: &Passage<'_>) -> Result<(), Halt> {
        let Passage {
            definition,
            call,
            event,
            ..
        } = passage;
        let Some(settle) = self.settle else {
            return Ok(());
        };
        let (run, cloud) = (self.run.clone(), self.cloud.clone());
        let context = Context {
            cloud: &cloud,
            secrets: &run.secrets,
            mark: &event.mark,
        };
        let deadline = (Instant::now() + settle.timeout).min(self.deadline);
        let mut pause = Pause::default();
        let mut in_a_row = 0;
        while in_a_row < settle.reads {
            if matches!(
                definition.state(&call.arguments, &context).await,
                Ok(Some(_))
            ) {
                in_a_row += 1;
                continue;
            }
            in_a_row = 0;
            if run.cancellation.is_set() {
                return Ok(());
            }
            let Some(delay) = pause.next_within(deadline) else {
                return Ok(());
            };
            self.run.events.tell(
                Some(&self.step),
                &Event::Waiting {
                    operation: call.operation.clone(),
                    reason: "not every reader sees what was created yet".to_owned(),
                    delay,
                },
            )?;
            run.cancellation.sleep(delay).await;
        }
        Ok(())
    }

    /// Tells that nobody knows whether the service acted, and gives the halt that says so.
    fn unknown(&self, event: &CallEvent, failure: Failure) -> Result<Halt, ListenerError> {
        self.run.events.tell(
            Some(&self.step),
            &Event::CallOutcome {
                call: event.clone(),
                outcome: Outcome::Unknown,
                code: Some(failure.code.clone()),
                request_id: failure.request_id.clone(),
            },
        )?;
        Ok(Halt::Unknown {
            operation: event.operation.clone(),
            object: event.object.shown(),
            failure: Box::new(failure),
        })
    }

    pub(super) fn tell_outcome(
        &self,
        call: &CallEvent,
        failure: Option<&Failure>,
    ) -> Result<(), ListenerError> {
        let event = outcome(call, failure);
        self.run.events.tell(Some(&self.step), &event)
    }
}
