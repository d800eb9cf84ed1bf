//! Runs: started, and gone on with.

use std::collections::BTreeMap;
use std::time::Duration;

use lockkeeper_gate::{Event, Halt, RunGate};
use lockkeeper_journal::{Ending, Lease, Mode as RunMode, Run};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Scope, Workflow};
use time::OffsetDateTime;

use crate::adopt;
use crate::crash;
use crate::engine::{Engine, Held, digest};
use crate::error::EngineError;
use crate::lock::Lock;
use crate::report::{RunReport, RunResult};
use crate::schedule::{Schedule, Stopped};

impl Engine {
    /// Starts a run of a checked workflow.
    pub async fn run(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
    ) -> Result<RunReport, EngineError> {
        let started_at = OffsetDateTime::now_utc();
        let inputs = self.bind(workflow, given, started_at)?;
        let mode = RunMode::Run;
        let held = self
            .begin(workflow, &inputs, started_at, mode, None, BTreeMap::new())
            .await?;
        self.advance(workflow, held, false).await
    }

    /// Goes on with a run that was interrupted, cancelled or failed.
    pub async fn resume(&self, workflow: &Workflow, run: &str) -> Result<RunReport, EngineError> {
        let run = self.recorded(run).await?;
        self.hold_to(workflow, &run)?;
        let held = self.hold(run).await?;
        self.advance(workflow, held, true).await
    }

    /// Refuses to go on with a run whose files changed.
    fn hold_to(&self, workflow: &Workflow, run: &Run) -> Result<(), EngineError> {
        let changed = |what: String| EngineError::Changed {
            run: run.summary.id.clone(),
            what,
        };
        if run.beginning.workflow_digest() != digest(&workflow.source.text) {
            return Err(changed("workflow file".to_owned()));
        }
        let now = self.plugin_digests(workflow);
        for (plugin, digest) in &run.beginning.plugin_digests {
            if now.get(plugin) != Some(digest) {
                return Err(changed(format!("plugin `{plugin}`")));
            }
        }
        Ok(())
    }

    pub(crate) async fn advance(
        &self,
        workflow: &Workflow,
        held: Held,
        resumed: bool,
    ) -> Result<RunReport, EngineError> {
        let Held {
            beginning: begun,
            lease,
            ..
        } = &held;
        let id = lease.run_id();
        let gate = self.gate(&held);
        crash::point("begin:held");
        let mut scope = self.scope(&begun.inputs, Some(id), &begun.actor, begun.started_at);
        let adopts = (begun.mode == RunMode::Adopt).then_some(&begun.adopts);
        if let Some(adopts) = adopts {
            adopt::stand_in(workflow, adopts, &mut scope)?;
        }
        let _lock = self.lock(workflow, &scope, &gate, id).await?;
        gate.events.tell(
            None,
            &Event::RunStart {
                workflow: match adopts {
                    Some(_) => format!("adoption for {}", begun.workflow),
                    None => begun.workflow.clone(),
                },
                target: begun.target.clone(),
                actor: begun.actor.clone(),
                resumed,
            },
        )?;
        let deadline = workflow.timeout.map(|seconds| {
            let cancellation = self.cancellation.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                cancellation.cancel();
            })
        });
        let mut durable = crash::watched(lease.invocation(""));
        let schedule = Schedule {
            workflow,
            catalogue: &self.catalogue,
            run: gate.clone(),
            seed: begun.seed,
            started_at: begun.started_at,
            adopts,
        };
        let (steps, stopped) = schedule.run(durable.as_mut(), &mut scope).await;
        let timed_out = deadline.is_some_and(|deadline| {
            let expired = deadline.is_finished();
            deadline.abort();
            expired
        });
        let mut report = RunReport {
            run: id.to_owned(),
            workflow: begun.workflow.clone(),
            target: begun.target.clone(),
            result: RunResult::Succeeded,
            steps,
            outputs: serde_json::Map::new(),
            adopted: adopts.cloned().unwrap_or_default(),
            error: None,
            finding: None,
        };
        match stopped {
            // Of what the steps would give nothing is known before they run.
            Ok(()) if adopts.is_some() => {}
            Ok(()) => match workflow.evaluate_outputs(&scope) {
                Ok(outputs) => report.outputs = outputs,
                Err(diagnostic) => report.stopped_by(diagnostic),
            },
            Err(Stopped::Failed) => report.result = RunResult::Failed,
            Err(Stopped::Evaluation(diagnostic)) => report.stopped_by(diagnostic),
            Err(Stopped::Halted(Halt::Cancelled)) if timed_out => {
                report.result = RunResult::TimedOut;
                report.error = Some("the workflow's `timeout` is up".to_owned());
            }
            Err(Stopped::Halted(Halt::Cancelled)) => report.result = RunResult::Cancelled,
            Err(Stopped::Halted(halt @ Halt::Unknown { .. })) => {
                report.result = RunResult::Failed;
                report.error = Some(halt.to_string());
            }
            Err(Stopped::Halted(Halt::Journal(fault))) => return Err(fault.into()),
            Err(Stopped::Halted(Halt::Events(error))) => return Err(error.into()),
            Err(Stopped::Halted(halt @ Halt::Suspended { .. })) => {
                return Err(EngineError::Halted(halt));
            }
        }
        self.end(lease, &gate, &report).await?;
        Ok(report)
    }

    /// The workflow's lock, if it has one; waits while another run holds it.
    pub(crate) async fn lock(
        &self,
        workflow: &Workflow,
        scope: &Scope,
        gate: &RunGate,
        id: &str,
    ) -> Result<Option<Lock>, EngineError> {
        let key = workflow
            .evaluate_lock(scope)
            .map_err(|diagnostic| EngineError::Values(vec![*diagnostic]))?;
        let Some(key) = key else {
            return Ok(None);
        };
        let queued = |holder: &str| {
            let message = format!("waits for run {holder}, which holds the lock `{key}`");
            let _ = gate.events.tell(None, &Event::StepProgress { message });
        };
        tokio::select! {
            lock = Lock::take(&self.locks, &key, id, queued) => Ok(Some(lock?)),
            // Nothing is called any more, so nothing has to be locked.
            () = self.cancellation.set() => Ok(None),
        }
    }

    async fn end(
        &self,
        lease: &Lease,
        gate: &RunGate,
        report: &RunReport,
    ) -> Result<(), EngineError> {
        let ending = match report.result {
            RunResult::Succeeded => Ending::Succeeded,
            RunResult::Failed | RunResult::TimedOut => Ending::Failed,
            RunResult::Cancelled => Ending::Cancelled,
        };
        let outcome = serde_json::to_value(report)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        crash::point("end:before");
        if ending == Ending::Succeeded {
            // First, so that no crash leaves a finished run's key behind: nobody resumes that run.
            self.forget_secrets(&report.run).await?;
            crash::point("end:forgotten");
        }
        lease.finish(ending, outcome).await?;
        crash::point("end:recorded");
        let status = outcome_word(report.result).to_owned();
        gate.events.tell(None, &Event::RunEnd { status })?;
        Ok(())
    }
}

fn outcome_word(result: RunResult) -> &'static str {
    match result {
        RunResult::Succeeded => "succeeded",
        RunResult::Failed => "failed",
        RunResult::Cancelled => "cancelled",
        RunResult::TimedOut => "timed-out",
    }
}
