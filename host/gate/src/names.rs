//! The names that people know objects by, learned from answers that show a name beside ids.

use lockkeeper_types::{Value, unknown};

/// Names by id.
#[derive(Default)]
pub(crate) struct Names(Vec<(String, String)>);

/// Fields that hold an id of the object that they are a field of.
const IDS: [&str; 4] = ["id", "object_id", "application_id", "unique_name"];

impl Names {
    /// Learns the names of all objects in an answer or a state.
    pub(crate) fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                let name = fields
                    .get("display_name")
                    .or_else(|| fields.get("path"))
                    .or_else(|| value.pointer("/settings/name"))
                    .and_then(Value::as_str)
                    .filter(|name| !name.is_empty() && unknown::source(name).is_none());
                if let Some(name) = name {
                    let ids = IDS.iter().filter_map(|id| fields.get(*id)?.as_str());
                    ids.for_each(|id| self.call(id, name));
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, id: &str, name: &str) {
        if !id.is_empty() && id != name && self.0.iter().all(|(known, _)| known != id) {
            self.0.push((id.to_owned(), name.to_owned()));
        }
    }

    /// `text` with names in place of the ids that stand in it as words.
    pub(crate) fn said_in(&self, text: &str) -> String {
        let mut said = text.to_owned();
        for (id, name) in &self.0 {
            let Some(at) = said.find(id.as_str()) else {
                continue;
            };
            let (before, rest) = said.split_at(at);
            let after = rest.strip_prefix(id.as_str()).unwrap_or_default();
            if before.chars().next_back().is_none_or(|c| c == ' ')
                && after.chars().next().is_none_or(|c| c == ' ')
            {
                said = format!("{before}{name}{after}");
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_said_as_names_and_only_whole_ones() {
        let mut names = Names::default();
        let id = unknown::placeholder("register", "application_id 3");
        names.learn(&json!({ "application_id": id, "display_name": "etl" }));
        names.learn(&json!([{ "id": "77", "settings": { "name": "nightly" } }]));
        names.learn(&json!({ "object_id": "9", "path": "/Shared/x" }));
        assert_eq!(names.said_in(&format!("{id} on sp-etl")), "etl on sp-etl");
        assert_eq!(names.said_in("runs of job 77"), "runs of job nightly");
        assert_eq!(names.said_in("runs of job 775"), "runs of job 775");
        assert_eq!(names.said_in("notebook 9"), "notebook /Shared/x");
    }

    #[test]
    fn a_name_that_is_not_known_yet_is_none() {
        let mut names = Names::default();
        let later = unknown::placeholder("register", "display_name 9");
        names.learn(&json!({ "object_id": "9", "display_name": later }));
        names.learn(&json!({ "object_id": "9", "display_name": "etl" }));
        assert_eq!(names.said_in("9"), "etl");
    }
}
