//! Drift: what changed since a run in the objects that it wrote.

use std::collections::HashMap;

use lockkeeper_cloud::Failure;
use lockkeeper_gate::{Class, Object, Record, RunGate, Written};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

/// A field that is not as the run left it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The step that wrote the object.
    pub step: String,
    /// The object.
    pub object: Object,
    /// The field's path, empty for the object as a whole.
    pub field: String,
    /// What the run left.
    pub left: Value,
    /// What is there now; `null` when it is gone.
    pub now: Value,
}

/// The last write to each object that the run changed, in the order they were made.
pub(crate) fn last_writes(record: &Record) -> Vec<&Written> {
    let mut last: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, written) in record.written.iter().enumerate() {
        last.insert((&written.object.kind, &written.object.key), index);
    }
    record
        .written
        .iter()
        .enumerate()
        .filter(|(index, written)| {
            last.get(&(written.object.kind.as_str(), written.object.key.as_str())) == Some(index)
                && written.class != Class::Start
        })
        .map(|(_, written)| written)
        .collect()
}

/// Compares what the run left with what is there now. Sends reads only.
pub(crate) async fn differences(
    gate: &RunGate,
    record: &Record,
) -> Result<Vec<Difference>, Failure> {
    let mut found = Vec::new();
    for written in last_writes(record) {
        let now = gate.look(written).await?.unwrap_or_default();
        compare(written, "", &written.after, &now, &mut found);
    }
    Ok(found)
}

fn compare(
    written: &Written,
    path: &str,
    left: &Value,
    now: &Value,
    found: &mut Vec<Difference>,
) {
    match (left, now) {
        (Value::Object(left), Value::Object(now)) => {
            for (name, value) in left {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(written, &path, value, now.get(name).unwrap_or(&Value::Null), found);
            }
        }
        _ if left == now => {}
        _ => found.push(Difference {
            step: written.step.clone(),
            object: written.object.clone(),
            field: path.to_owned(),
            left: left.clone(),
            now: now.clone(),
        }),
    }
}
