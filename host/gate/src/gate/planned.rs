//! The gate in a plan: reads see what was planned, writes go no further.

use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_types::{Value, unknown};

use super::StepGate;
use super::record::denied;
use crate::call::Call;
use crate::definition::Definition;
use crate::operation::{Class, Context, Placeholders};
use crate::plan::{Plan, PlannedCall};

impl StepGate {
    pub(super) async fn plan(
        &mut self,
        plan: &Plan,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Value, Failure> {
        if let Err(denial) = self
            .grants
            .decide(&call.operation, &call.arguments, &mut self.used)
        {
            return Err(denied(&call.operation, &denial.to_string()));
        }
        let (run, cloud) = (self.run.clone(), self.cloud.clone());
        let mark = self.mark();
        let context = Context {
            cloud: &cloud,
            secrets: &run.secrets,
            mark: &mark,
        };
        let object = definition.object(&call.arguments)?;
        let step = self.step.clone();
        let placeholders = Placeholders {
            step: &step,
            position: self.position,
        };
        let unknowable = unknown::source_in(&call.arguments).is_some();
        let planned = plan.written(&object);

        if definition.class() == Class::Read {
            let answer = match planned {
                Some(written) => {
                    let placeholders = written.placeholders();
                    definition.planned(&call.arguments, written.state.as_ref(), &placeholders)
                }
                None if unknowable => definition.planned(&call.arguments, None, &placeholders),
                None => match definition.send(&call.arguments, &context).await {
                    // The parent is missing only because it is planned, not there.
                    Err(failure)
                        if failure.class == FailureClass::NotFound
                            && plan.creates_one_of(&call.arguments) =>
                    {
                        definition.planned(&call.arguments, None, &placeholders)
                    }
                    answer => answer,
                },
            }?;
            if let Some(state) = definition.observed(&call.arguments, &answer) {
                plan.read(&object, &answer, state.is_some());
                self.seen.insert(object, state);
            } else {
                plan.read(&object, &answer, false);
            }
            return Ok(answer);
        }

        // What others of its kind are like by then, only the run will see.
        if !unknowable && !plan.writes_a(&object.kind) {
            definition.check(&call.arguments, &context).await?;
        }
        let before = match (planned, self.seen.get(&object)) {
            (Some(written), _) => written.state,
            (None, Some(state)) => state.clone(),
            (None, None) if unknowable => None,
            (None, None) => match definition.state(&call.arguments, &context).await {
                Err(failure)
                    if failure.class == FailureClass::NotFound
                        && plan.creates_one_of(&call.arguments) =>
                {
                    None
                }
                state => state?,
            },
        };
        let output = definition.preview(&call.arguments, before.as_ref(), &placeholders)?;
        let after = definition.after(&call.arguments, before.as_ref(), &output)?;
        let inverse = definition.inverse(&call.arguments, before.as_ref(), &output)?;
        self.changes += u64::from(after != before);
        self.seen.insert(object.clone(), after.clone());
        plan.write(
            PlannedCall {
                step: self.step.clone(),
                operation: call.operation.clone(),
                class: definition.class(),
                object,
                arguments: call.arguments.clone(),
                before: before.unwrap_or_default(),
                after: after.unwrap_or_default(),
                not_undoable: None,
            },
            &inverse,
            self.position,
        );
        Ok(output)
    }
}
