//! What a run would do, without doing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockkeeper_gate::{Change, Events, Mode, Plan, PlannedCall, RunGate, Secrets};
use lockkeeper_journal::Memory;
use lockkeeper_types::Value;
use lockkeeper_workflow::{Scope, Workflow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::drift::Difference;
use crate::engine::{Engine, digest};
use crate::error::EngineError;
use crate::report::StepReport;
use crate::schedule::{Schedule, Stopped};

impl Engine {
    /// What a run would do. Its steps see `now` as the time, so that two plans of one world are
    /// equal.
    pub async fn plan(
        &self,
        workflow: &Workflow,
        given: &BTreeMap<String, Value>,
        now: OffsetDateTime,
    ) -> Result<PlanReport, EngineError> {
        let inputs = self.bind(workflow, given, now)?;
        let scope = self.scope(&inputs, None, &self.actor, now);
        let mut planned = self.preview(workflow, inputs, scope, None, now).await?;
        planned.changed_outside = self.changed_outside(workflow, &planned.inputs).await?;
        Ok(planned)
    }

    /// What running the steps, or letting some of them adopt, would do.
    pub(crate) async fn preview(
        &self,
        workflow: &Workflow,
        inputs: Value,
        mut scope: Scope,
        adopts: Option<&BTreeMap<String, String>>,
        now: OffsetDateTime,
    ) -> Result<PlanReport, EngineError> {
        let events = Events::new("plan", &self.listeners);
        let gate = Arc::new(RunGate::new(
            &self.cloud,
            Secrets::in_memory(),
            events,
            Mode::Plan(Box::new(Plan::new(now))),
            self.cancellation.clone(),
        ));
        let mut durable = Memory::default().invocation("plan");
        let schedule = Schedule {
            workflow,
            catalogue: &self.catalogue,
            run: gate.clone(),
            seed: [0; 32],
            started_at: now,
            adopts,
        };
        let (steps, result) = schedule.run(&mut durable, &mut scope).await;
        match result {
            Ok(()) => {}
            Err(Stopped::Evaluation(diagnostic)) => {
                return Err(EngineError::Values(vec![*diagnostic]));
            }
            Err(Stopped::Halted(halt)) => return Err(EngineError::Halted(halt)),
            Err(Stopped::Failed) => {
                let failed = steps.iter().find(|step| step.error.is_some());
                let step = failed.map_or_else(String::new, |step| step.id.clone());
                return Err(EngineError::Unplannable { step, steps });
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
            changed_outside: None,
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

    /// What changed since the last run of the workflow with the same inputs here that has not
    /// been taken back.
    async fn changed_outside(
        &self,
        workflow: &Workflow,
        inputs: &Value,
    ) -> Result<Option<ChangedOutside>, EngineError> {
        let like = self.runs_like(workflow.name.as_str(), inputs, None).await?;
        let Some(since) = like.into_iter().next() else {
            return Ok(None);
        };
        let differences = self.drift(&since).await?;
        Ok(Some(ChangedOutside { since, differences }))
    }
}

/// A plan, in the stable shape of `--output json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The workflow's name.
    pub workflow: String,
    /// SHA-256 of the workflow file.
    pub workflow_digest: String,
    /// SHA-256 of each plugin's component.
    pub plugin_digests: BTreeMap<String, String>,
    /// The target's name.
    pub target: String,
    /// The time that its steps see.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// What others changed since the last run with the same inputs; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_outside: Option<ChangedOutside>,
    /// The inputs it was made for.
    pub inputs: Value,
    /// The steps, in the order of the file.
    pub steps: Vec<StepReport>,
    /// Every write, in the order of the steps.
    pub calls: Vec<PlannedCall>,
    /// How many objects were looked at.
    pub reads: usize,
    /// The requests that left the host for it, sign-ins aside.
    pub requests: Sent,
    /// What the calls come to.
    pub counts: Counts,
    /// How many objects were found that stay as they are.
    pub unchanged: usize,
    /// `sha256:` and the digest of all of the above that a run can hold to.
    pub hash: String,
}

/// What others changed since a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedOutside {
    /// The run.
    pub since: String,
    /// What differs from what it left.
    pub differences: Vec<Difference>,
}

/// How many requests left the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Those that only ask.
    pub gets: u64,
    /// Those that may change something; a plan has none.
    pub writes: u64,
}

/// How many objects a plan would …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// … create.
    pub create: usize,
    /// … change.
    pub update: usize,
    /// … delete.
    pub delete: usize,
    /// … start.
    pub run: usize,
}

impl Counts {
    /// How many objects these calls create, change, delete and start.
    pub(crate) fn of(calls: &[PlannedCall]) -> Self {
        let mut counts = Self::default();
        for call in calls {
            match call.change() {
                Change::Create => counts.create += 1,
                Change::Update => counts.update += 1,
                Change::Delete => counts.delete += 1,
                Change::Run => counts.run += 1,
                Change::Unchanged => {}
            }
        }
        counts
    }
}

impl PlanReport {
    /// Whether it changes nothing. Starting a run is not a change.
    pub fn is_empty(&self) -> bool {
        let counts = self.counts;
        counts.create + counts.update + counts.delete == 0
    }

    /// The hash that binds a run to this plan: files, inputs and every call with the state it
    /// found.
    pub(crate) fn compute_hash(&self) -> String {
        let calls: Vec<_> = self
            .calls
            .iter()
            .map(|call| {
                (
                    &call.step,
                    &call.operation,
                    &call.arguments,
                    &call.before,
                    &call.after,
                )
            })
            .collect();
        let bound = serde_json::json!([
            self.workflow_digest,
            self.plugin_digests,
            self.target,
            self.inputs,
            calls
        ]);
        format!("sha256:{:x}", Sha256::digest(bound.to_string()))
    }

    /// Whether it says what it said when its hash was made.
    pub fn is_intact(&self) -> bool {
        self.compute_hash() == self.hash
    }

    /// What differs between this plan and a newer one of the same workflow, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.workflow_digest != now.workflow_digest {
            found.push("the workflow file changed".to_owned());
        }
        for (plugin, digest) in &now.plugin_digests {
            if self.plugin_digests.get(plugin) != Some(digest) {
                found.push(format!("plugin `{plugin}` changed"));
            }
        }
        if self.target != now.target {
            found.push(format!(
                "the target is `{}`, not `{}`",
                now.target, self.target
            ));
        }
        if self.inputs != now.inputs {
            found.push("the inputs differ".to_owned());
        }
        let about = |call: &PlannedCall| {
            format!(
                "{}: {} {} `{}`",
                call.step,
                call.operation,
                call.object.kind,
                call.object.shown()
            )
        };
        for call in &self.calls {
            match now.calls.iter().find(|other| same_place(call, other)) {
                None => found.push(format!("{} is no longer needed", about(call))),
                Some(other) if other.before != call.before => {
                    found.push(format!("{} changed since", about(call)));
                }
                Some(other) if other != call => {
                    found.push(format!("{} would be written differently", about(call)));
                }
                Some(_) => {}
            }
        }
        for call in &now.calls {
            if !self.calls.iter().any(|other| same_place(call, other)) {
                found.push(format!("{} was not planned", about(call)));
            }
        }
        found
    }
}

fn same_place(a: &PlannedCall, b: &PlannedCall) -> bool {
    a.step == b.step && a.operation == b.operation && a.object == b.object
}
