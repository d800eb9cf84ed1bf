//! The engine: starts runs, goes on with them, plans them, takes them back and compares them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_cloud::Cloud;
use lockkeeper_gate::{
    Cancellation, Event, Events, Halt, KeyError, KeyRing, Listener, ListenerError, Mode, Plan,
    Record, RunGate, Secrets, Vault,
};
use lockkeeper_journal::{
    AcquireError, Ending, Fault, HEARTBEAT, Holder, Lease, LookupError, Memory, Mode as RunMode,
    NewRun, Run, RunFilter, Status, StorageFault, Store,
};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Diagnostic, Scope, Undo, Workflow};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize as _;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::adopt;
use crate::catalogue::Catalogue;
use crate::crash;
use crate::drift::{self, Difference};
use crate::lock::{Lock, LockError};
use crate::plan::{ChangedOutside, Counts, PlanReport, Sent};
use crate::report::{RunReport, RunResult};
use crate::schedule::{Schedule, Stopped};
use crate::undo::{self, LeftBehind, UndoPlan, UndoReport, UndoSelection, Undone};

/// Everything that runs of one project on one target share.
pub struct Engine {
    /// The plugins and their grants.
    pub catalogue: Catalogue,
    /// The connected target.
    pub cloud: Cloud,
    /// The target's name in `lockkeeper.toml`.
    pub target: String,
    /// Who the credentials stand for.
    pub actor: String,
    /// The journal.
    pub store: Store,
    /// The keys of sealed secrets.
    pub keys: KeyRing,
    /// Where locks of workflows lie.
    pub locks: PathBuf,
    /// Who hears the events of runs.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// Set to stop before the next call.
    pub cancellation: Cancellation,
}

/// Why a run, plan, undo or comparison could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The inputs are wrong, or a value of the file cannot be evaluated.
    #[error("{} problem(s) in the workflow's values", .0.len())]
    Values(Vec<Diagnostic>),
    /// Another process has the run.
    #[error(transparent)]
    Held(AcquireError),
    /// There is no such run.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The journal failed.
    #[error(transparent)]
    Storage(#[from] StorageFault),
    /// The journal stopped the run.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The run pinned other files than those that are there now.
    #[error(
        "run {run} began with another {what}\n  next:   put back the one it began with, or start a new run"
    )]
    Changed {
        /// The run.
        run: String,
        /// What changed: the workflow, or a plugin.
        what: String,
    },
    /// A key could not be made, read or destroyed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The workflow's lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The event stream is broken.
    #[error(transparent)]
    Events(#[from] ListenerError),
    /// A service refused a read.
    #[error(transparent)]
    Service(#[from] Box<lockkeeper_cloud::Failure>),
    /// The gate halted what was no run.
    #[error(transparent)]
    Halted(Halt),
    /// A plugin failed in a plan.
    #[error("step `{step}` cannot be planned: {failure}")]
    Unplannable {
        /// The step.
        step: String,
        /// Its failure.
        failure: String,
        /// The plan as far as it went.
        report: Box<RunReport>,
    },
    /// The run is not one that this can be done to.
    #[error("{0}")]
    NotApplicable(String),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<lockkeeper_cloud::Failure> for EngineError {
    fn from(failure: lockkeeper_cloud::Failure) -> Self {
        if failure.is_stopped() {
            return Self::Halted(Halt::Cancelled);
        }
        Self::Service(Box::new(failure))
    }
}

impl From<AcquireError> for EngineError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Storage(fault) => Self::Storage(fault),
            other => Self::Held(other),
        }
    }
}

impl Engine {
    /// The `target` that expressions see.
    pub fn target_value(&self) -> Value {
        let target = self.cloud.target();
        json!({
            "name": self.target,
            "tenant_id": target.tenant_id,
            "workspace_url": target.workspace,
        })
    }

    fn run_value(&self, id: Option<&str>, actor: &str, started_at: OffsetDateTime) -> Value {
        json!({
            "id": id,
            "actor": actor,
            "target": self.target,
            "started_at": started_at.format(&Rfc3339).unwrap_or_default(),
        })
    }

    pub(crate) fn bind(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        now: OffsetDateTime,
    ) -> Result<Value, EngineError> {
        workflow
            .bind_inputs(
                given,
                &self.run_value(None, &self.actor, now),
                &self.target_value(),
            )
            .map_err(EngineError::Values)
    }

    /// Starts a run of a checked workflow. `recorded` is told the run's id once it has one.
    pub async fn run(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
    ) -> Result<RunReport, EngineError> {
        let started_at = OffsetDateTime::now_utc();
        let inputs = self.bind(workflow, given, started_at)?;
        let id = self
            .record(
                workflow,
                &inputs,
                started_at,
                RunMode::Run,
                None,
                BTreeMap::new(),
            )
            .await?;
        self.advance(workflow, &id, false).await
    }

    /// Goes on with a run that was interrupted, cancelled or failed.
    pub async fn resume(&self, workflow: &Workflow, run: &str) -> Result<RunReport, EngineError> {
        let run = self.store.run(run).await?;
        self.hold_to(workflow, &run)?;
        self.advance(workflow, &run.summary.id, true).await
    }

    /// What a run would do. Its steps see `now` as the time, so that two plans of one world are
    /// equal.
    pub async fn plan(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        now: OffsetDateTime,
    ) -> Result<PlanReport, EngineError> {
        let inputs = self.bind(workflow, given, now)?;
        let events = Events::new("plan", &self.listeners);
        let gate = Arc::new(RunGate::new(
            &self.cloud,
            Secrets::in_memory(),
            events,
            Mode::Plan(Box::new(Plan::new(now))),
            self.cancellation.clone(),
        ));
        let mut durable = Memory::default().invocation("plan");
        let mut scope = self.scope(&inputs, None, &self.actor, now);
        let schedule = Schedule {
            workflow,
            catalogue: &self.catalogue,
            run: gate.clone(),
            seed: [0; 32],
            started_at: now,
            adopts: None,
        };
        let (steps, result) = schedule.run(&mut durable, &mut scope).await;
        let report = |steps, result| RunReport {
            run: "plan".to_owned(),
            workflow: workflow.name.as_str().to_owned(),
            target: self.target.clone(),
            result,
            steps,
            outputs: serde_json::Map::new(),
            adopted: BTreeMap::new(),
            error: None,
        };
        match result {
            Ok(()) => {}
            Err(Stopped::Evaluation(diagnostic)) => {
                return Err(EngineError::Values(vec![*diagnostic]));
            }
            Err(Stopped::Halted(halt)) => return Err(EngineError::Halted(halt)),
            Err(Stopped::Failed) => {
                let failed = steps
                    .iter()
                    .find_map(|step| Some((step, step.error.as_ref()?)));
                let (step, failure) = failed.map_or_else(Default::default, |(step, failure)| {
                    (step.id.clone(), failure.message.clone())
                });
                return Err(EngineError::Unplannable {
                    step,
                    failure,
                    report: Box::new(report(steps, RunResult::Failed)),
                });
            }
        }
        let Mode::Plan(plan) = &gate.mode else {
            return Err(EngineError::Internal(
                "the plan's gate does not plan".to_owned(),
            ));
        };
        let mut calls = plan.calls();
        let place = |step: &str| workflow.steps.iter().position(|other| *other.name == step);
        calls.sort_by_key(|call| place(&call.step));
        let mut planned = PlanReport {
            workflow: workflow.name.as_str().to_owned(),
            workflow_digest: digest(&workflow.source.text),
            plugin_digests: self.plugin_digests(workflow),
            target: self.target.clone(),
            made_at: now,
            changed_outside: self.changed_outside(workflow, &inputs).await?,
            inputs,
            steps,
            counts: Counts::of(&calls),
            calls,
            reads: plan.reads(),
            requests: Sent {
                gets: plan.requests().gets(),
                writes: plan.requests().writes(),
            },
            unchanged: plan.unchanged(),
            hash: String::new(),
        };
        planned.hash = planned.compute_hash();
        Ok(planned)
    }

    /// What an undo of `run` would do.
    pub async fn plan_undo(
        &self,
        workflow: &Workflow,
        run: &str,
        selection: &UndoSelection,
    ) -> Result<UndoPlan, EngineError> {
        let run = self.store.run(run).await?;
        if run.summary.mode == RunMode::Undo {
            return Err(EngineError::NotApplicable(format!(
                "run {} is itself an undo; run the workflow again instead",
                run.summary.id
            )));
        }
        let record = self.record_of(&run.summary.id).await?;
        if let Some(open) = record.open.first() {
            return Err(EngineError::NotApplicable(format!(
                "whether `{}` on {} was done is not known; `lockkeeper resume {}` settles it first",
                open.operation, open.object.name, run.summary.id
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
        let id = self
            .record(
                workflow,
                &inputs,
                now,
                RunMode::Undo,
                Some(plan.run.clone()),
                BTreeMap::new(),
            )
            .await?;
        self.carry_out(plan, &id, false).await
    }

    /// Goes on with an undo that was interrupted or cancelled.
    pub async fn resume_undo(&self, run: &str) -> Result<UndoReport, EngineError> {
        let run = self.store.run(run).await?;
        if run.summary.mode != RunMode::Undo {
            let id = &run.summary.id;
            return Err(EngineError::NotApplicable(format!(
                "run {id} is not an undo"
            )));
        }
        let plan = UndoPlan::deserialize(&run.beginning.inputs)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        self.carry_out(&plan, &run.summary.id, true).await
    }

    /// What changed since `run` in the objects that it wrote. Sends reads only.
    pub async fn drift(&self, run: &str) -> Result<Vec<Difference>, EngineError> {
        let run = self.store.run(run).await?;
        let record = self.record_of(&run.summary.id).await?;
        Ok(drift::differences(&self.looking_gate(&run.summary.id), &record).await?)
    }

    /// What changed since the last run of the workflow with the same inputs here that has not
    /// been taken back.
    async fn changed_outside(
        &self,
        workflow: &Workflow,
        inputs: &Value,
    ) -> Result<Option<ChangedOutside>, EngineError> {
        let filter = RunFilter {
            workflow: Some(workflow.name.as_str().to_owned()),
            ..RunFilter::default()
        };
        let listed = self.store.runs(filter).await.map_err(LookupError::from)?;
        for summary in listed.runs {
            let lasts = !matches!(
                summary.status,
                Status::Undone | Status::PartlyUndone | Status::Running
            );
            if summary.mode != RunMode::Run || summary.target != self.target || !lasts {
                continue;
            }
            if self.store.run(&summary.id).await?.beginning.inputs == *inputs {
                let differences = self.drift(&summary.id).await?;
                return Ok(Some(ChangedOutside {
                    since: summary.id,
                    differences,
                }));
            }
        }
        Ok(None)
    }

    // ---- the parts ------------------------------------------------------------------------------

    pub(crate) async fn record(
        &self,
        workflow: &Workflow,
        inputs: &Value,
        started_at: OffsetDateTime,
        mode: RunMode,
        parent: Option<String>,
        adopts: BTreeMap<String, String>,
    ) -> Result<String, EngineError> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| EngineError::Internal("the system gives no randomness".to_owned()))?;
        let new = NewRun {
            workflow: workflow.name.as_str().to_owned(),
            title: workflow.title.clone().unwrap_or_default(),
            actor: self.actor.clone(),
            target: self.target.clone(),
            inputs: inputs.clone(),
            workflow_source: workflow.source.text.clone(),
            plugin_digests: self.plugin_digests(workflow),
            seed,
            started_at,
            mode,
            parent,
            adopts,
        };
        let id = self.store.create_run(new).await?;
        crash::point("begin:recorded");
        Ok(id)
    }

    fn plugin_digests(&self, workflow: &Workflow) -> BTreeMap<String, String> {
        workflow
            .steps
            .iter()
            .filter_map(|step| {
                let plugin = self.catalogue.plugin(&step.plugin)?;
                Some((
                    step.plugin.as_str().to_owned(),
                    plugin.signature().digest.clone(),
                ))
            })
            .collect()
    }

    /// Refuses to go on with a run whose files changed.
    fn hold_to(&self, workflow: &Workflow, run: &Run) -> Result<(), EngineError> {
        let changed = |what: String| EngineError::Changed {
            run: run.summary.id.clone(),
            what,
        };
        if run.beginning.target != self.target {
            return Err(changed(format!("target, `{}`", run.beginning.target)));
        }
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

    pub(crate) fn scope(
        &self,
        inputs: &Value,
        id: Option<&str>,
        actor: &str,
        started_at: OffsetDateTime,
    ) -> Scope {
        Scope {
            inputs: inputs.clone(),
            steps: BTreeMap::new(),
            target: self.target_value(),
            run: self.run_value(id, actor, started_at),
        }
    }

    async fn record_of(&self, run: &str) -> Result<Record, EngineError> {
        let history = self.store.history(run).await?;
        if let Some(damage) = history.damage {
            return Err(EngineError::Lookup(LookupError::Damaged(damage)));
        }
        Ok(Record::of(&history.entries)?)
    }

    /// A gate through which nothing is written.
    fn looking_gate(&self, run: &str) -> RunGate {
        RunGate::new(
            &self.cloud,
            Secrets::in_memory(),
            Events::new(run, &self.listeners),
            Mode::Plan(Box::new(Plan::new(OffsetDateTime::now_utc()))),
            self.cancellation.clone(),
        )
    }

    /// A run's gate: its secrets sealed under its own key.
    fn gate(&self, lease: &Arc<Lease>, seed: &[u8; 32]) -> Arc<RunGate> {
        let vault = Vault::new(lease.clone(), self.keys.clone());
        let gate = RunGate::new(
            &self.cloud,
            Secrets::sealed_in(Box::new(vault)),
            Events::new(lease.run_id(), &self.listeners),
            Mode::Apply,
            self.cancellation.clone(),
        );
        Arc::new(gate.marked_by(seed))
    }

    /// Takes the run and keeps saying that it is alive until the guard is dropped.
    async fn hold(&self, run: &str) -> Result<(Arc<Lease>, Heartbeat), EngineError> {
        let lease = Arc::new(
            self.store
                .acquire(run, Holder::this_process(&self.actor))
                .await?,
        );
        let beating = lease.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                // A lost lease is noticed, with the holder's name, at the next durable operation.
                if beating.beat().await.is_err() {
                    return;
                }
            }
        });
        Ok((lease, Heartbeat(task)))
    }

    pub(crate) async fn advance(
        &self,
        workflow: &Workflow,
        id: &str,
        resumed: bool,
    ) -> Result<RunReport, EngineError> {
        let begun = self.store.run(id).await?.beginning;
        let (lease, _heartbeat) = self.hold(id).await?;
        let gate = self.gate(&lease, &begun.seed);
        crash::point("begin:held");
        let mut scope = self.scope(&begun.inputs, Some(id), &begun.actor, begun.started_at);
        let adopts = (begun.mode == RunMode::Adopt).then_some(&begun.adopts);
        if let Some(adopts) = adopts {
            adopt::stand_in(workflow, adopts, &mut scope)?;
        }
        let _lock = match workflow
            .evaluate_lock(&scope)
            .map_err(|diagnostic| EngineError::Values(vec![*diagnostic]))?
        {
            None => None,
            Some(key) => {
                let queued = |holder: &str| {
                    let message = format!("waits for run {holder}, which holds the lock `{key}`");
                    let _ = gate.events.tell(None, &Event::StepProgress { message });
                };
                Some(Lock::take(&self.locks, &key, id, queued).await?)
            }
        };
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
            workflow: begun.workflow,
            target: begun.target,
            result: RunResult::Succeeded,
            steps,
            outputs: serde_json::Map::new(),
            adopted: adopts.cloned().unwrap_or_default(),
            error: None,
        };
        match stopped {
            // Of what the steps would give nothing is known before they run.
            Ok(()) if adopts.is_some() => {}
            Ok(()) => match workflow.evaluate_outputs(&scope) {
                Ok(outputs) => report.outputs = outputs,
                Err(diagnostic) => {
                    report.result = RunResult::Failed;
                    report.error = Some(diagnostic.to_string());
                }
            },
            Err(Stopped::Failed) => report.result = RunResult::Failed,
            Err(Stopped::Evaluation(diagnostic)) => {
                report.result = RunResult::Failed;
                report.error = Some(diagnostic.to_string());
            }
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
        self.end(&lease, &gate, &report).await?;
        Ok(report)
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

    /// Destroys what a run has sealed, and its key first.
    async fn forget_secrets(&self, run: &str) -> Result<(), EngineError> {
        self.keys.destroy(run)?;
        self.store.seal_destroy(run).await?;
        Ok(())
    }

    async fn carry_out(
        &self,
        plan: &UndoPlan,
        id: &str,
        resumed: bool,
    ) -> Result<UndoReport, EngineError> {
        let seed = self.store.run(id).await?.beginning.seed;
        let (lease, _heartbeat) = self.hold(id).await?;
        let gate = self.gate(&lease, &seed);
        crash::point("begin:held");
        gate.events.tell(
            None,
            &Event::RunStart {
                workflow: format!("undo of {}", plan.run),
                target: self.target.clone(),
                actor: self.actor.clone(),
                resumed,
            },
        )?;
        let carried_out = undo::carry_out(
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

/// Beats until dropped.
struct Heartbeat(tokio::task::JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
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

/// SHA-256 in lower-case hexadecimal.
fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
