//! What all that the engine does has in common: what it works with, how a run is recorded and held,
//! and the gates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_cloud::Cloud;
use lockkeeper_gate::{
    Cancellation, Events, KeyRing, Listener, Mode, Plan, Record, RunGate, Secrets, Vault,
};
use lockkeeper_journal::{
    HEARTBEAT, Holder, JournalEntry, Lease, LookupError, Mode as RunMode, NewRun, Run, Store,
};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Scope, Workflow};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;

use crate::catalogue::Catalogue;
use crate::error::EngineError;

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

    /// The inputs of a run: what was given, and the defaults for the rest.
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

    /// Records that a run begins, and holds it.
    pub(crate) async fn begin(
        &self,
        workflow: &Workflow,
        inputs: &Value,
        started_at: OffsetDateTime,
        mode: RunMode,
        parent: Option<String>,
        adopts: BTreeMap<String, String>,
    ) -> Result<Held, EngineError> {
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
        let holder = Holder::this_process(&self.actor);
        let lease = self.store.begin(new.clone(), holder).await?;
        Ok(Held::new(new, lease))
    }

    pub(crate) fn plugin_digests(&self, workflow: &Workflow) -> BTreeMap<String, String> {
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

    pub(crate) async fn record_of(&self, run: &str) -> Result<Record, EngineError> {
        Ok(Record::of(&self.history(run).await?)?)
    }

    async fn history(&self, run: &str) -> Result<Vec<JournalEntry>, EngineError> {
        let history = self.store.history(run).await?;
        match history.damage {
            Some(damage) => Err(EngineError::Lookup(LookupError::Damaged(damage))),
            None => Ok(history.entries),
        }
    }

    /// A gate through which nothing is written.
    pub(crate) fn looking_gate(&self, run: &str) -> RunGate {
        RunGate::new(
            &self.cloud,
            Secrets::in_memory(),
            Events::new(run, &self.listeners),
            Mode::Plan(Box::new(Plan::new(OffsetDateTime::now_utc()))),
            self.cancellation.clone(),
        )
    }

    /// A run's gate: its secrets sealed under its own key.
    pub(crate) fn gate(&self, held: &Held) -> Arc<RunGate> {
        let vault = Vault::new(held.lease.clone(), self.keys.clone());
        let gate = RunGate::new(
            &self.cloud,
            Secrets::sealed_in(Box::new(vault)),
            Events::new(held.lease.run_id(), &self.listeners),
            Mode::Apply,
            self.cancellation.clone(),
        );
        Arc::new(gate.marked_by(&held.beginning.seed))
    }

    /// A recorded run; refused when it ran against another target.
    pub(crate) async fn recorded(&self, run: &str) -> Result<Run, EngineError> {
        let run = self.store.run(run).await?;
        if run.beginning.target == self.target {
            return Ok(run);
        }
        Err(EngineError::Changed {
            run: run.summary.id,
            what: format!("target, `{}`", run.beginning.target),
        })
    }

    /// Takes a recorded run.
    pub(crate) async fn hold(&self, run: Run) -> Result<Held, EngineError> {
        let holder = Holder::this_process(&self.actor);
        let lease = self.store.acquire(&run.summary.id, holder).await?;
        let held = Held::new(run.beginning, lease);
        self.recall(held.lease.run_id()).await?;
        Ok(held)
    }

    /// Has the listeners catch up on what is on record of `run`: a process that dies tells nobody
    /// of what it has just recorded.
    pub(crate) async fn recall(&self, run: &str) -> Result<(), EngineError> {
        let recorded = lockkeeper_gate::recorded(&self.history(run).await?)?;
        Ok(Events::new(run, &self.listeners).recall(&recorded)?)
    }

    /// Destroys what a run has sealed, and its key first; but before that, nothing may be left of
    /// the record that a resume would need the key for.
    pub(crate) async fn forget_secrets(&self, run: &str) -> Result<(), EngineError> {
        self.store.flushed().await?;
        self.keys.destroy(run)?;
        self.store.seal_destroy(run).await?;
        Ok(())
    }
}

/// A run that this process advances; it keeps saying that it is alive until this is dropped.
pub(crate) struct Held {
    /// What the run began with.
    pub(crate) beginning: NewRun,
    pub(crate) lease: Arc<Lease>,
    heartbeat: JoinHandle<()>,
}

impl Held {
    fn new(beginning: NewRun, lease: Lease) -> Self {
        let lease = Arc::new(lease);
        let beating = lease.clone();
        let heartbeat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                // A lost lease is noticed, with the holder's name, at the next durable operation.
                if beating.beat().await.is_err() {
                    return;
                }
            }
        });
        Self {
            beginning,
            lease,
            heartbeat,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
