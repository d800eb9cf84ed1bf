//! An undo is a run of its own: planned, recorded, gone on with.

use std::collections::BTreeMap;

use lockkeeper_gate::{Event, Halt};
use lockkeeper_journal::{Ending, Mode as RunMode, Status};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Undo, Workflow};
use serde::Deserialize as _;
use time::OffsetDateTime;

use super::{LeftBehind, UndoPlan, UndoReport, UndoSelection, Undone};
use crate::crash;
use crate::engine::{Engine, Held};
use crate::error::EngineError;

impl Engine {
    /// What an undo of `run` would do. Refused while a process advances the run, or takes it back.
    pub async fn plan_undo(
        &self,
        workflow: &Workflow,
        run: &str,
        selection: &UndoSelection,
    ) -> Result<UndoPlan, EngineError> {
        let run = self.recorded(run).await?;
        if run.summary.mode == RunMode::Undo {
            return Err(EngineError::NotApplicable(format!(
                "run {} is itself an undo; run the workflow again instead",
                run.summary.id
            )));
        }
        self.store.at_rest(&run.summary.id).await?;
        let record = self.record_of(&run.summary.id).await?;
        if let Some(open) = record.open.first() {
            return Err(EngineError::NotApplicable(format!(
                "whether `{}` on {} was done is not known; `lockkeeper resume {}` settles it first",
                open.operation,
                open.object.shown(),
                run.summary.id
            )));
        }
        let steps: Vec<(String, bool)> = workflow
            .steps
            .iter()
            .map(|step| (step.name.as_str().to_owned(), step.undo == Undo::Keep))
            .collect();
        let gate = self.looking_gate(&run.summary.id);
        let plan = UndoPlan::make(&gate, &run.summary.id, record, &steps, selection).await?;
        if run.summary.status == Status::Undone && plan.calls().next().is_none() {
            return Err(EngineError::NotApplicable(format!(
                "run {} has been taken back already",
                run.summary.id
            )));
        }
        Ok(plan)
    }

    /// Takes back what `plan` says.
    pub async fn undo(
        &self,
        workflow: &Workflow,
        plan: &UndoPlan,
    ) -> Result<UndoReport, EngineError> {
        // An undo's input is its plan, so that it takes back the same when it is gone on with.
        let inputs =
            serde_json::to_value(plan).map_err(|error| EngineError::Internal(error.to_string()))?;
        let now = OffsetDateTime::now_utc();
        let (mode, parent) = (RunMode::Undo, Some(plan.run.clone()));
        let held = self
            .begin(workflow, &inputs, now, mode, parent, BTreeMap::new())
            .await?;
        self.carry_out(workflow, plan, held, false).await
    }

    /// Goes on with an undo that was interrupted or cancelled.
    pub async fn resume_undo(
        &self,
        workflow: &Workflow,
        run: &str,
    ) -> Result<UndoReport, EngineError> {
        let run = self.recorded(run).await?;
        if run.summary.mode != RunMode::Undo {
            let id = &run.summary.id;
            return Err(EngineError::NotApplicable(format!(
                "run {id} is not an undo"
            )));
        }
        let plan = UndoPlan::deserialize(&run.beginning.inputs)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        let held = self.hold(run).await?;
        self.carry_out(workflow, &plan, held, true).await
    }

    async fn carry_out(
        &self,
        workflow: &Workflow,
        plan: &UndoPlan,
        held: Held,
        resumed: bool,
    ) -> Result<UndoReport, EngineError> {
        let lease = &held.lease;
        let id = lease.run_id();
        self.recall(&plan.run).await?;
        let gate = self.gate(&held);
        crash::point("begin:held");
        let undone = self.store.run(&plan.run).await?.beginning;
        let run = Some(plan.run.as_str());
        let scope = self.scope(&undone.inputs, run, &undone.actor, undone.started_at);
        let _lock = self.lock(workflow, &scope, &gate, id).await?;
        gate.events.tell(
            None,
            &Event::RunStart {
                workflow: format!("undo of {}", plan.run),
                target: self.target.clone(),
                actor: self.actor.clone(),
                resumed,
            },
        )?;
        let carried_out = super::carry_out(
            gate.clone(),
            plan,
            crash::watched(lease.invocation("undo#1")),
        )
        .await;
        let Undone {
            calls: undone,
            left,
            remains,
        } = match carried_out {
            Ok(done) => done,
            Err(Halt::Cancelled) => {
                lease.finish(Ending::Cancelled, Value::Null).await?;
                return Err(EngineError::Halted(Halt::Cancelled));
            }
            Err(halt) => return Err(EngineError::Halted(halt)),
        };
        let report = UndoReport {
            undo: id.to_owned(),
            run: plan.run.clone(),
            undone,
            left,
            remains,
        };
        let complete = report.left.iter().all(|left: &LeftBehind| left.expected);
        let ending = match (complete, plan.partly) {
            (true, false) => Ending::Succeeded,
            (true, true) => Ending::Partly,
            (false, _) => Ending::Failed,
        };
        let outcome = serde_json::to_value(&report)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        crash::point("end:before");
        self.forget_secrets(id).await?;
        if complete {
            // What the run itself had sealed is of no use once it is taken back.
            self.forget_secrets(&plan.run).await?;
        }
        crash::point("end:forgotten");
        lease.finish(ending, outcome).await?;
        crash::point("end:recorded");
        let status = if complete { "succeeded" } else { "failed" }.to_owned();
        gate.events.tell(None, &Event::RunEnd { status })?;
        Ok(report)
    }
}
