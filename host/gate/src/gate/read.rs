//! A read at the gate: answered from the record, or asked and recorded.

use lockkeeper_cloud::Failure;
use lockkeeper_journal::{Edge, Entry};
use lockkeeper_types::Value;

use super::patience::visible;
use super::record::{Ended, denied, ended, event, facts, from_value, is_denied, unsendable};
use super::{Halt, StepGate};
use crate::call::Call;
use crate::definition::Definition;
use crate::operation::Context;

impl StepGate {
    pub(super) async fn read(
        &mut self,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Result<Value, Failure>, Halt> {
        let (run, cloud) = (self.run.clone(), self.cloud.clone());
        let (step, grants) = (self.step.clone(), self.grants.clone());
        let deadline = self.deadline;
        let mut used = self.used.clone();
        let object = match definition.object(&call.arguments) {
            Ok(object) => object,
            Err(failure) => return Ok(Err(failure)),
        };
        let event = event(definition, call, object, self.mark());
        let fingerprint = format!("{} {}", call.operation, event.digest);
        let facts = facts(&event, call);
        let effect = async {
            let granted = grants.decide(&call.operation, &call.arguments, &mut used);
            if let Err(denial) = granted {
                return ended(Err(denied(&call.operation, &denial.to_string())));
            }
            if let Some(failure) = unsendable(call) {
                return ended(Err(failure));
            }
            let context = Context {
                cloud: &cloud,
                secrets: &run.secrets,
                mark: &event.mark,
            };
            let attempt = || definition.send(&call.arguments, &context);
            ended(visible(&run, &step, call, deadline, attempt).await)
        };
        let entry = Entry {
            kind: "read",
            fingerprint: &fingerprint,
            edge: Edge::Cheap,
            facts,
        };
        let recorded = match self.durable.effect(entry, Box::pin(effect)).await {
            Ok(recorded) => recorded,
            Err(fault) => return Err(self.faulted(fault)?),
        };
        self.replaying = recorded.replayed;
        if recorded.replayed {
            // Counted again, so that a limit holds over a resumed step as a whole.
            let _ = self
                .grants
                .decide(&call.operation, &call.arguments, &mut self.used);
        } else {
            self.used = used;
        }
        match from_value::<Ended>(&recorded.value)? {
            Ended::Done(output) => {
                if let Some(state) = definition.observed(&call.arguments, &output) {
                    self.seen.insert(event.object, state);
                }
                Ok(Ok(output))
            }
            Ended::Failed(failure) => {
                if !recorded.replayed && is_denied(&failure) {
                    self.tell_outcome(&event, Some(&failure))?;
                }
                Ok(Err(failure))
            }
        }
    }
}
