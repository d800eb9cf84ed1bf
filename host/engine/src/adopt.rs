//! Adoption: existing objects taken into the care of a workflow's steps, by their plugins' `adopt`.
//!
//! It is a run of its own. Only the named steps take part in it; what any step would give stands
//! as a plan's placeholder in their inputs, and the gate sends no call that holds one.

use std::collections::BTreeMap;

use lockkeeper_journal::Mode;
use lockkeeper_types::Value;
use lockkeeper_workflow::{Decision, Scope, Step, Workflow};
use time::OffsetDateTime;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::plan::PlanReport;
use crate::report::RunReport;
use crate::schedule::unknown_outputs;

impl Engine {
    /// Lets steps of a checked workflow adopt existing objects: `adopts` has the id of each, by
    /// step. The step's plugin says which ids it takes.
    ///
    /// Fails with [`EngineError::NotApplicable`], and records nothing, when a step is not there,
    /// would be skipped with these inputs, or has nothing to adopt.
    pub async fn adopt(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        adopts: &BTreeMap<String, String>,
    ) -> Result<RunReport, EngineError> {
        let started_at = OffsetDateTime::now_utc();
        let (inputs, _) = self.adoption(workflow, given, adopts, started_at)?;
        let mode = Mode::Adopt;
        let held = self
            .begin(workflow, &inputs, started_at, mode, None, adopts.clone())
            .await?;
        self.advance(workflow, held, false).await
    }

    /// What [`adopt`](Self::adopt) would do. Fails as it does.
    pub async fn plan_adoption(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        adopts: &BTreeMap<String, String>,
    ) -> Result<PlanReport, EngineError> {
        let now = OffsetDateTime::now_utc();
        let (inputs, scope) = self.adoption(workflow, given, adopts, now)?;
        self.preview(workflow, inputs, scope, Some(adopts), now)
            .await
    }

    /// The inputs of an adoption, and what its steps see.
    fn adoption(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        adopts: &BTreeMap<String, String>,
        now: OffsetDateTime,
    ) -> Result<(Value, Scope), EngineError> {
        for name in adopts.keys() {
            self.check_adopts(workflow, name)?;
        }
        let inputs = self.bind(workflow, given, now)?;
        let mut scope = self.scope(&inputs, None, &self.actor, now);
        stand_in(workflow, adopts, &mut scope)?;
        Ok((inputs, scope))
    }

    fn check_adopts(&self, workflow: &Workflow, name: &str) -> Result<(), EngineError> {
        let step = workflow.step(name).ok_or_else(|| {
            let names: Vec<_> = workflow
                .steps
                .iter()
                .map(|step| step.name.as_str())
                .collect();
            EngineError::NotApplicable(format!(
                "workflow `{}` has no step `{name}`; it has {}",
                workflow.name.as_str(),
                names.join(", ")
            ))
        })?;
        let plugin = self.catalogue.plugin(&step.plugin);
        if plugin.is_some_and(|plugin| plugin.signature().adopts) {
            return Ok(());
        }
        Err(EngineError::NotApplicable(format!(
            "step `{name}` has nothing to adopt: its plugin `{}` finds its objects by what they are named or belong to, whoever made them",
            step.plugin.as_str()
        )))
    }
}

/// Puts into the scope what a plan would see of steps that have not run: null for one that is
/// skipped, placeholders for the others.
pub(crate) fn stand_in(
    workflow: &Workflow,
    adopts: &BTreeMap<String, String>,
    scope: &mut Scope,
) -> Result<(), EngineError> {
    let order = workflow.order();
    let mut left: Vec<&Step> = workflow.steps.iter().collect();
    while !left.is_empty() {
        let known = |step: &&Step| {
            let before = order.get(step.name.as_str());
            let mut before = before.into_iter().flatten();
            before.all(|before| scope.steps.contains_key(*before))
        };
        let (ready, waiting): (Vec<&Step>, Vec<&Step>) = left.into_iter().partition(known);
        if ready.is_empty() {
            let message = "the workflow's steps wait for each other".to_owned();
            return Err(EngineError::Internal(message));
        }
        for step in ready {
            let name = step.name.as_str();
            let decision = workflow
                .evaluate_when(step, scope)
                .map_err(|diagnostic| EngineError::Values(vec![*diagnostic]))?;
            let outputs = match decision {
                Decision::Skip { reason } if adopts.contains_key(name) => {
                    return Err(EngineError::NotApplicable(format!(
                        "step `{name}` is skipped with these inputs ({reason}), so it can keep nothing"
                    )));
                }
                Decision::Skip { .. } => Value::Null,
                Decision::Run | Decision::Unknown { .. } => unknown_outputs(step),
            };
            scope.steps.insert(name.to_owned(), outputs);
        }
        left = waiting;
    }
    Ok(())
}
