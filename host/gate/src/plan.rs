//! A plan: what a run would write, gathered while its writes are answered with previews.
//!
//! Planned writes lie over the live world like a film: a read about an object that the plan has
//! written sees what the plan left, any other read is live. No write can leave the host in a plan.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::operation::{Class, Inverse, Object, Observed};

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
#[derive(Default)]
pub struct Plan {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    calls: Vec<PlannedCall>,
    world: HashMap<(String, String), Observed>,
    reads: u64,
    found: HashMap<(String, String), Object>,
}

impl Plan {
    /// What planned writes left of an object; `None` when none touched it.
    pub(crate) fn state(&self, object: &Object) -> Option<Observed> {
        self.lock().world.get(&key(object)).cloned()
    }

    pub(crate) fn read(&self, object: &Object, found: bool) {
        let mut inner = self.lock();
        inner.reads += 1;
        if found {
            inner.found.insert(key(object), object.clone());
        }
    }

    pub(crate) fn write(&self, call: PlannedCall, inverse: &Inverse) {
        let after = (!call.after.is_null()).then(|| call.after.clone());
        let not_undoable = match inverse {
            Inverse::Impossible(reason) => Some((*reason).to_owned()),
            Inverse::Nothing | Inverse::Call(..) => None,
        };
        let mut inner = self.lock();
        inner.world.insert(key(&call.object), after);
        inner.calls.push(PlannedCall { not_undoable, ..call });
    }

    /// Whether the plan creates an object that `arguments` name by its key.
    pub(crate) fn creates_one_of(&self, arguments: &Value) -> bool {
        let inner = self.lock();
        let mut created = inner.calls.iter().filter(|call| call.before.is_null());
        created.any(|call| mentions(arguments, &call.object.key))
    }

    /// The planned calls so far, in the order they were made.
    pub fn calls(&self) -> Vec<PlannedCall> {
        self.lock().calls.clone()
    }

    /// How many reads were made.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// How many objects were found that the plan leaves as they are.
    pub fn unchanged(&self) -> usize {
        let inner = self.lock();
        inner.found.keys().filter(|key| !inner.world.contains_key(*key)).count()
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
