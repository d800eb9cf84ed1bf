//! What all steps of a run share at the gate.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockkeeper_cloud::{Cloud, Failure};
use lockkeeper_types::Value;
use sha2::{Digest as _, Sha256};

use super::record::no_such;
use crate::call::Call;
use crate::operation::{Context, Object, Observed};
use crate::watch::Stop;
use crate::{Cancellation, Events, Plan, Secrets, Written, operations};

/// What all steps of a run share.
pub struct RunGate {
    /// The connected target.
    pub cloud: Cloud,
    /// The run's secrets.
    pub secrets: Secrets,
    /// The run's event stream.
    pub events: Events,
    /// Where writes go.
    pub mode: Mode,
    /// Set to stop before the next call.
    pub cancellation: Cancellation,
    pub(super) journal: String,
    made: Mutex<HashSet<String>>,
}

/// Where writes go.
pub enum Mode {
    /// To the services.
    Apply,
    /// Into a plan; none leaves the host.
    Plan(Box<Plan>),
}

impl RunGate {
    /// A run's gate.
    pub fn new(
        cloud: &Cloud,
        secrets: Secrets,
        events: Events,
        mode: Mode,
        cancellation: Cancellation,
    ) -> Self {
        Self {
            cloud: cloud.observed_by(Arc::new(Stop(cancellation.clone())), None),
            secrets,
            events,
            mode,
            cancellation,
            journal: String::new(),
            made: Mutex::default(),
        }
    }

    /// Puts a part of the run's seed into the marks of its calls: a run's id is its own only
    /// within one journal, and several may write to one cloud.
    #[must_use]
    pub fn marked_by(mut self, seed: &[u8; 32]) -> Self {
        self.journal = format!("{:x}", Sha256::digest(seed))
            .chars()
            .take(8)
            .collect();
        self
    }

    /// Remembers the names in `value` as those of things this run made: a service that does not
    /// know them yet is waited for.
    pub fn remember_made(&self, value: &Value) {
        let mut names = Vec::new();
        leaves(value, &mut names);
        self.lock_made().extend(
            names
                .into_iter()
                .filter(|name| name.len() >= 4)
                .map(str::to_owned),
        );
    }

    /// The state now of the object that a recorded write changed. Sends reads only.
    pub async fn look(&self, written: &Written) -> Result<Observed, Failure> {
        let Some(definition) = operations::find(&written.call.operation) else {
            return Ok(None);
        };
        let context = Context {
            cloud: &self.cloud,
            secrets: &self.secrets,
            mark: &written.mark,
        };
        definition.state(&written.call.arguments, &context).await
    }

    /// What `call` is about, and its state now. Sends reads only.
    pub async fn look_at(&self, call: &Call) -> Result<(Object, Observed), Failure> {
        let definition =
            operations::find(&call.operation).ok_or_else(|| no_such(&call.operation))?;
        let context = Context {
            cloud: &self.cloud,
            secrets: &self.secrets,
            mark: "",
        };
        let object = definition.object(&call.arguments)?;
        Ok((object, definition.state(&call.arguments, &context).await?))
    }

    /// Whether `failure` is only that the run was asked to stop while a service was waited for.
    pub fn has_stopped(&self, failure: &Failure) -> bool {
        self.cancellation.is_set() && failure.is_stopped()
    }

    pub(super) fn is_about_something_made(&self, arguments: &Value) -> bool {
        let mut names = Vec::new();
        leaves(arguments, &mut names);
        let made = self.lock_made();
        names.into_iter().any(|name| made.contains(name))
    }

    fn lock_made(&self) -> MutexGuard<'_, HashSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leaves<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
