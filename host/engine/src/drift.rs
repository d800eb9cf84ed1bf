//! Drift: what changed since a run in the objects that it wrote.

use std::collections::HashMap;

use lockkeeper_cloud::Failure;
use lockkeeper_gate::{Class, Object, Record, RunGate, Written};
use lockkeeper_journal::{LookupError, Mode, RunFilter, RunSummary, Status};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// What changed since `run` in the objects that it wrote, or that it found as earlier runs of
    /// the same left them. Sends reads only.
    pub async fn drift(&self, run: &str) -> Result<Vec<Difference>, EngineError> {
        let run = self.recorded(run).await?;
        let id = &run.summary.id;
        self.store.at_rest(id).await?;
        if run.summary.status == Status::Undone {
            return Err(EngineError::NotApplicable(format!(
                "run {id} has been taken back, so nothing of it is left to compare"
            )));
        }
        let mut record = Record::default();
        let (workflow, inputs) = (&run.summary.workflow, &run.beginning.inputs);
        let like = self.runs_like(workflow, inputs, Some(id)).await?;
        for earlier in like.iter().rev().filter(|like| *like != id) {
            record
                .written
                .extend(self.record_of(earlier).await?.written);
        }
        record.written.extend(self.record_of(id).await?.written);
        Ok(differences(&self.looking_gate(id), &record).await?)
    }

    /// The ids of the runs of a workflow with these inputs at this target, as far as they have not
    /// been taken back, the newest first: from the run `newest` on, if one is said.
    pub(crate) async fn runs_like(
        &self,
        workflow: &str,
        inputs: &Value,
        newest: Option<&str>,
    ) -> Result<Vec<String>, EngineError> {
        let filter = RunFilter {
            workflow: Some(workflow.to_owned()),
            ..RunFilter::default()
        };
        let listed = self.store.runs(filter).await.map_err(LookupError::from)?;
        let newer = |run: &RunSummary| newest.is_some_and(|newest| run.id != newest);
        let mut like = Vec::new();
        for run in listed.runs.into_iter().skip_while(newer) {
            if counts(&run, &self.target)
                && self.store.run(&run.id).await?.beginning.inputs == *inputs
            {
                like.push(run.id);
            }
        }
        Ok(like)
    }
}

/// Whether what a run at `target` left should still be there.
fn counts(run: &RunSummary, target: &str) -> bool {
    run.mode == Mode::Run
        && run.target == target
        && !matches!(
            run.status,
            Status::Undone | Status::PartlyUndone | Status::Running
        )
}

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

fn compare(written: &Written, path: &str, left: &Value, now: &Value, found: &mut Vec<Difference>) {
    let differs = |field: &str, left: &Value, now: &Value| Difference {
        step: written.step.clone(),
        object: written.object.clone(),
        field: field.to_owned(),
        left: left.clone(),
        now: now.clone(),
    };
    match (left, now) {
        _ if left == now => {}
        (Value::Object(left), Value::Object(now)) => {
            for (name, value) in left {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(
                    written,
                    &path,
                    value,
                    now.get(name).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(_) | Value::Null) => {
            let (left, now) = (items(left), items(now));
            for item in left {
                let same = now.iter().find(|other| entry(other) == entry(item));
                let same = same.unwrap_or(&Value::Null);
                let field = format!("{path}[{}]", entry(item));
                if item.is_object() {
                    compare(written, &field, item, same, found);
                } else if item != same {
                    found.push(differs(&field, item, same));
                }
            }
            for item in now {
                if left.iter().all(|other| entry(other) != entry(item)) {
                    found.push(differs(
                        &format!("{path}[{}]", entry(item)),
                        &Value::Null,
                        item,
                    ));
                }
            }
        }
        _ => found.push(differs(path, left, now)),
    }
}

/// The items of a list; none where there is no list.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What tells an entry of a list apart from the others: its text, or what names it in its fields.
fn entry(item: &Value) -> String {
    match item {
        Value::String(text) => text.clone(),
        Value::Array(pair) => pair.first().map(entry).unwrap_or_default(),
        Value::Object(fields) => {
            let names = ["role", "principal", "key_id", "key"];
            let texts: Vec<_> = names
                .iter()
                .filter_map(|name| fields.get(*name)?.as_str())
                .collect();
            texts.join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lockkeeper_gate::Call;
    use serde_json::json;

    use super::*;

    fn differences(left: &Value, now: &Value) -> Vec<(String, Value, Value)> {
        let written = Written {
            step: "job".to_owned(),
            call: Call {
                operation: "databricks/jobs.create".to_owned(),
                arguments: json!({}),
            },
            mark: String::new(),
            class: Class::Create,
            object: Object::new("job", "nightly"),
            before: Value::Null,
            after: left.clone(),
            output: Value::Null,
        };
        let mut found = Vec::new();
        compare(&written, "", left, now, &mut found);
        found
            .into_iter()
            .map(|found| (found.field, found.left, found.now))
            .collect()
    }

    #[test]
    fn a_changed_field_is_named_however_deep() {
        let left = json!({ "id": "7", "settings": { "spark_conf": [["a", "1"], ["b", "2"]] } });
        let now = json!({ "id": "7", "settings": { "spark_conf": [["a", "1"], ["b", "3"]] } });
        let found = differences(&left, &now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "settings.spark_conf[b]");
        assert_eq!(differences(&left, &left), []);
    }

    #[test]
    fn what_others_put_into_a_list_or_took_out_is_named() {
        let left =
            json!([{ "role": "user", "principal": "ana" }, { "role": "user", "principal": "bo" }]);
        let now = json!([{ "role": "user", "principal": "ana" }, { "role": "manager", "principal": "cy" }]);
        let fields: Vec<_> = differences(&left, &now)
            .into_iter()
            .map(|found| found.0)
            .collect();
        assert_eq!(fields, ["[user bo]", "[manager cy]"]);
        assert_eq!(
            differences(&json!(["workspace-access"]), &Value::Null),
            [(
                "[workspace-access]".to_owned(),
                json!("workspace-access"),
                Value::Null
            )]
        );
    }

    #[test]
    fn a_deleted_object_is_one_difference() {
        let left = json!({ "id": "7", "settings": {} });
        assert_eq!(
            differences(&left, &Value::Null),
            [(String::new(), left, Value::Null)]
        );
    }
}
