//! A plan: what a run would write, gathered while its writes are answered with previews.
//!
//! Planned writes lie over the live world like a film: a read about an object that the plan has
//! written sees what the plan left, any other read is live. No write can leave the host in a plan.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::names::Names;
use crate::operation::{Class, Inverse, Object, Observed, Placeholders};
use crate::watch::Requests;

/// One write that a run would make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// The step that makes it.
    pub step: String,
    /// The operation.
    pub operation: String,
    /// Its class.
    pub class: Class,
    /// What it changes.
    pub object: Object,
    /// Its arguments; secrets are handles, unknown values placeholders.
    pub arguments: Value,
    /// The object before, `null` when it is not there.
    pub before: Value,
    /// The object afterwards, `null` when it is gone.
    pub after: Value,
    /// Why it cannot be undone, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_undoable: Option<String>,
}

impl PlannedCall {
    /// What the call does to its object.
    pub fn change(&self) -> Change {
        match (self.class, self.before.is_null(), self.after.is_null()) {
            (Class::Start, ..) => Change::Run,
            (Class::Issue, ..) | (_, true, false) => Change::Create,
            (_, _, true) => Change::Delete,
            _ if self.before == self.after => Change::Unchanged,
            _ => Change::Update,
        }
    }
}

/// What a planned call does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It makes it.
    Create,
    /// It changes it.
    Update,
    /// It removes it.
    Delete,
    /// It starts something.
    Run,
    /// It leaves it as it is.
    Unchanged,
}

/// A plan in the making.
pub struct Plan {
    made_at: OffsetDateTime,
    requests: Arc<Requests>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    calls: Vec<PlannedCall>,
    world: HashMap<(String, String), Written>,
    looked_at: HashSet<(String, String)>,
    found: HashSet<(String, String)>,
    names: Names,
}

/// What a planned write leaves, and which call that was.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) state: Observed,
    step: String,
    position: u64,
}

impl Written {
    /// The placeholders of the call that wrote it.
    pub(crate) fn placeholders(&self) -> Placeholders<'_> {
        Placeholders {
            step: &self.step,
            position: self.position,
        }
    }
}

impl Plan {
    /// A plan in which it is `made_at`, however long planning takes.
    pub fn new(made_at: OffsetDateTime) -> Self {
        Self {
            made_at,
            requests: Arc::default(),
            inner: Mutex::default(),
        }
    }

    /// The time that planned steps see.
    pub(crate) fn made_at(&self) -> OffsetDateTime {
        self.made_at
    }

    /// The requests that left the host.
    pub fn requests(&self) -> &Arc<Requests> {
        &self.requests
    }

    /// What planned writes left of an object; `None` when none touched it.
    pub(crate) fn written(&self, object: &Object) -> Option<Written> {
        self.lock().world.get(&key(object)).cloned()
    }

    /// Whether planned writes touched an object of this kind.
    pub(crate) fn writes_a(&self, kind: &str) -> bool {
        let inner = self.lock();
        inner.calls.iter().any(|call| call.object.kind == kind)
    }

    pub(crate) fn read(&self, object: &Object, answer: &Value, found: bool) {
        let mut inner = self.lock();
        inner.names.learn(answer);
        inner.looked_at.insert(key(object));
        if found {
            inner.found.insert(key(object));
        }
    }

    pub(crate) fn write(&self, call: PlannedCall, inverse: &Inverse, position: u64) {
        let state = (!call.after.is_null()).then(|| call.after.clone());
        let not_undoable = match inverse {
            Inverse::Impossible(reason) => Some((*reason).to_owned()),
            Inverse::Nothing | Inverse::Call(..) => None,
        };
        let mut inner = self.lock();
        inner.names.learn(&call.after);
        let written = Written {
            state,
            step: call.step.clone(),
            position,
        };
        inner.world.insert(key(&call.object), written);
        inner.calls.push(PlannedCall {
            not_undoable,
            ..call
        });
    }

    /// Whether the plan creates an object that `arguments` name by its key.
    pub(crate) fn creates_one_of(&self, arguments: &Value) -> bool {
        let inner = self.lock();
        let mut created = inner.calls.iter().filter(|call| call.before.is_null());
        created.any(|call| mentions(arguments, &call.object.key))
    }

    /// The planned calls so far, in the order they were made, their objects under the names that
    /// people know.
    pub fn calls(&self) -> Vec<PlannedCall> {
        let inner = self.lock();
        let named = |call: &PlannedCall| {
            let name = inner.names.said_in(&call.object.name);
            PlannedCall {
                object: call.object.clone().named(name),
                ..call.clone()
            }
        };
        inner.calls.iter().map(named).collect()
    }

    /// How many objects were looked at, whether they were there or not.
    pub fn reads(&self) -> usize {
        self.lock().looked_at.len()
    }

    /// How many objects were found that the plan leaves as they are.
    pub fn unchanged(&self) -> usize {
        let inner = self.lock();
        inner
            .found
            .iter()
            .filter(|key| !inner.world.contains_key(*key))
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mentions(value: &Value, key: &str) -> bool {
    match value {
        Value::String(text) => text == key,
        Value::Array(items) => items.iter().any(|item| mentions(item, key)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn key(object: &Object) -> (String, String) {
    (object.kind.clone(), object.key.clone())
}
