//! What the journal keeps of calls, and how it is read back.

use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_journal::{Fault, JournalEntry};
use lockkeeper_types::{Value, unknown};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::Call;
use crate::definition::{Definition, own_failure};
use crate::event::{CallEvent, Event, Outcome};
use crate::operation::Object;
use crate::undo::step_of;

/// What the journal keeps of a write before it is sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Granted; the object's state that it found.
    Sent {
        /// `null` where there was no such object.
        before: Value,
    },
    /// Refused by policy, or impossible to prepare; it was never sent.
    Refused(Failure),
}

/// What the journal keeps of a call's end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// What it gave.
    Done(Value),
    /// Why it failed.
    Failed(Failure),
}

impl From<Result<Value, Failure>> for Ended {
    fn from(result: Result<Value, Failure>) -> Self {
        match result {
            Ok(output) => Self::Done(output),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// How a call ended, for the record; nothing is recorded of one that stopped waiting.
pub(super) fn ended(result: Result<Value, Failure>) -> Result<Value, Fault> {
    match result {
        Err(failure) if failure.is_stopped() => Err(Fault::Stopped(failure.to_string())),
        result => to_value(&Ended::from(result)),
    }
}

const NOT_GRANTED: &str = "NotGranted";

/// Whether a call failed because the operator's grants refuse it.
pub(super) fn is_denied(failure: &Failure) -> bool {
    failure.code == NOT_GRANTED
}

pub(super) fn denied(operation: &str, message: &str) -> Failure {
    own_failure(FailureClass::Denied, operation, NOT_GRANTED, message)
}

pub(super) fn no_such(operation: &str) -> Failure {
    let message = "this version of lockkeeper has no such operation";
    own_failure(FailureClass::Invalid, operation, "NoSuchOperation", message)
}

/// Why a call cannot be sent outside a plan, if it cannot: it holds a placeholder, which stands
/// for a value that nobody knows yet.
pub(super) fn unsendable(call: &Call) -> Option<Failure> {
    let step = unknown::source_in(&call.arguments)?;
    let message = format!(
        "an argument is only known after step `{step}` has run, so there is nothing to send"
    );
    Some(own_failure(
        FailureClass::Invalid,
        &call.operation,
        "PlaceholderInCall",
        message,
    ))
}

/// `call`, about `object`, as events and the record tell of it.
pub(super) fn event(
    definition: &dyn Definition,
    call: &Call,
    object: Object,
    mark: String,
) -> CallEvent {
    CallEvent {
        operation: call.operation.clone(),
        class: definition.class(),
        object,
        mark,
        digest: call.digest(),
    }
}

/// The event that `call` ended, with `failure` or well.
pub(super) fn outcome(call: &CallEvent, failure: Option<&Failure>) -> Event {
    Event::CallOutcome {
        call: call.clone(),
        outcome: match failure {
            None => Outcome::Done,
            Some(failure) if is_denied(failure) => Outcome::Denied,
            Some(_) => Outcome::Failed,
        },
        code: failure.map(|failure| failure.code.clone()),
        request_id: failure.and_then(|failure| failure.request_id.clone()),
    }
}

/// The events of the calls in a run's history, each with its step: what was told once they were
/// recorded, if the process lived to.
pub fn recorded(history: &[JournalEntry]) -> Result<Vec<(String, Event)>, Fault> {
    let mut events = Vec::new();
    for entry in history {
        let call = || from_value::<CallEvent>(&entry.facts);
        let event = match entry.kind.as_str() {
            "intent" => match from_value(&entry.value)? {
                Intent::Sent { .. } => Event::CallIntent(call()?),
                Intent::Refused(failure) => outcome(&call()?, Some(&failure)),
            },
            "outcome" => match from_value(&entry.value)? {
                Ended::Done(_) => outcome(&call()?, None),
                Ended::Failed(failure) => outcome(&call()?, Some(&failure)),
            },
            "read" => match from_value(&entry.value)? {
                Ended::Failed(failure) if is_denied(&failure) => outcome(&call()?, Some(&failure)),
                _ => continue,
            },
            _ => continue,
        };
        events.push((step_of(&entry.address), event));
    }
    Ok(events)
}

pub(super) fn facts(event: &CallEvent, call: &Call) -> Value {
    json!({
        "operation": event.operation,
        "class": event.class,
        "object": event.object,
        "mark": event.mark,
        "digest": event.digest,
        "arguments": call.arguments,
    })
}

pub(super) fn stopped(error: impl std::fmt::Display) -> Fault {
    Fault::Stopped(error.to_string())
}

pub(super) fn to_value<T: Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(stopped)
}

pub(super) fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    T::deserialize(value).map_err(stopped)
}
