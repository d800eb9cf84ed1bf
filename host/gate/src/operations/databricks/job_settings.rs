//! The fields of a job that a step owns, here and on the wire (reference/databricks.md, 12.1).

use std::collections::BTreeMap;

use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::text;

/// The key of the one task of a job that lockkeeper makes.
pub(super) const TASK: &str = "main";

/// What makes a classic cluster one machine (section 13).
const SINGLE_NODE: [(&str, &str); 2] = [
    ("spark.databricks.cluster.profile", "singleNode"),
    ("spark.master", "local[*]"),
];

/// The compute of a task that brings its own cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobCluster {
    pub(super) spark_version: String,
    pub(super) node_type: String,
    pub(super) spark_conf: Vec<(String, String)>,
}

/// The fields of a job that a step owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobSettings {
    pub(super) name: String,
    pub(super) notebook_path: String,
    pub(super) run_as: String,
    pub(super) cluster: Option<JobCluster>,
    pub(super) tag: (String, String),
}

impl JobCluster {
    /// Sorted, and without what every cluster here has.
    fn normal(&self) -> Self {
        let conf: BTreeMap<_, _> = self
            .spark_conf
            .iter()
            .filter(|(key, value)| !SINGLE_NODE.contains(&(key.as_str(), value.as_str())))
            .cloned()
            .collect();
        Self {
            spark_conf: conf.into_iter().collect(),
            ..self.clone()
        }
    }

    fn to_wire(&self) -> Value {
        let mut conf: BTreeMap<&str, &str> = SINGLE_NODE.into_iter().collect();
        for (key, value) in &self.spark_conf {
            conf.insert(key, value);
        }
        json!({
            "spark_version": self.spark_version,
            "node_type_id": self.node_type,
            "num_workers": 0,
            "spark_conf": conf,
            "custom_tags": { "ResourceClass": "SingleNode" },
            // Not passthrough, which no service principal can use; the single user is `run_as`.
            "data_security_mode": "SINGLE_USER",
        })
    }

    fn from_wire(cluster: &Value) -> Self {
        let conf = cluster.get("spark_conf").and_then(Value::as_object);
        let pair = |(key, value): (&String, &Value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), value)
        };
        let cluster = Self {
            spark_version: text(cluster, "spark_version").unwrap_or_default(),
            node_type: text(cluster, "node_type_id").unwrap_or_default(),
            spark_conf: conf.into_iter().flatten().map(pair).collect(),
        };
        cluster.normal()
    }
}

/// The tasks of a job as the service shows it.
pub(super) fn tasks(job: &Value) -> &[Value] {
    let tasks = job.pointer("/settings/tasks").and_then(Value::as_array);
    tasks.map(Vec::as_slice).unwrap_or_default()
}

/// The tags of a job as the service shows it.
pub(super) fn tags(job: &Value) -> Map<String, Value> {
    let tags = job.pointer("/settings/tags").and_then(Value::as_object);
    tags.cloned().unwrap_or_default()
}

/// The key of the one task of a job as the service shows it: an update merges tasks by key, so a
/// job that was made elsewhere keeps the key that it has.
pub(super) fn task_key(job: &Value) -> &str {
    match tasks(job) {
        [only] => only.get("task_key").and_then(Value::as_str),
        _ => None,
    }
    .unwrap_or(TASK)
}

impl JobSettings {
    /// The one spelling of settings that mean the same.
    pub(super) fn normal(&self) -> Self {
        Self {
            cluster: self.cluster.as_ref().map(JobCluster::normal),
            ..self.clone()
        }
    }

    fn task(&self, key: &str) -> Value {
        let mut task = json!({
            "task_key": key,
            "notebook_task": { "notebook_path": self.notebook_path, "source": "WORKSPACE" },
        });
        if let (Some(cluster), Some(fields)) = (&self.cluster, task.as_object_mut()) {
            fields.insert("new_cluster".to_owned(), cluster.to_wire());
        }
        task
    }

    /// The owned fields, for create and update; `tags` are those that others put on the job, `task`
    /// is the key of its task.
    pub(super) fn to_wire(&self, mut tags: Map<String, Value>, task: &str) -> Value {
        let (key, value) = &self.tag;
        tags.insert(key.clone(), value.as_str().into());
        // A job that was made elsewhere may run as a person, and is given back to them.
        let kind = if self.run_as.contains('@') {
            "user_name"
        } else {
            "service_principal_name"
        };
        json!({
            "name": self.name,
            "tags": tags,
            "run_as": { kind: self.run_as },
            "tasks": [self.task(task)],
        })
    }

    /// The owned fields of a job as the service shows it; `tag` is the key of the owned tag.
    pub(super) fn from_wire(job: &Value, tag: &str) -> Self {
        let settings = job.get("settings").unwrap_or(&Value::Null);
        let tasks = tasks(job);
        let own = tasks
            .iter()
            .find(|task| text(task, "task_key").as_deref() == Some(TASK));
        let task = own.or(tasks.first()).unwrap_or(&Value::Null);
        let at = |value: &Value, pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let tags = settings.get("tags").unwrap_or(&Value::Null);
        Self {
            name: text(settings, "name").unwrap_or_default(),
            notebook_path: at(task, "/notebook_task/notebook_path").unwrap_or_default(),
            run_as: at(settings, "/run_as/service_principal_name")
                .or_else(|| text(job, "run_as_user_name"))
                .unwrap_or_default(),
            cluster: task.get("new_cluster").map(JobCluster::from_wire),
            tag: (tag.to_owned(), text(tags, tag).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
pub(super) fn example() -> JobSettings {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    JobSettings {
        name: "nightly".to_owned(),
        notebook_path: "/Shared/x".to_owned(),
        run_as: "a-1".to_owned(),
        cluster: Some(JobCluster {
            spark_version: "15.4.x-scala2.12".to_owned(),
            node_type: "Standard_DS3_v2".to_owned(),
            spark_conf: vec![pair("b", "2"), pair("a", "{{secrets/app/key}}")],
        }),
        tag: pair("lockkeeper", "demo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_wire() {
        let serverless = JobSettings {
            cluster: None,
            ..example()
        };
        for settings in [example(), serverless] {
            let job = json!({ "settings": settings.to_wire(Map::new(), TASK) });
            let read = JobSettings::from_wire(&job, "lockkeeper");
            assert_eq!(read, settings.normal());
            assert_eq!(read.normal(), read);
        }
    }

    #[test]
    fn a_person_is_not_sent_as_a_service_principal() {
        let mut settings = example();
        settings.run_as = "ana@contoso.com".to_owned();
        let wire = settings.to_wire(Map::new(), TASK);
        assert_eq!(wire["run_as"], json!({ "user_name": "ana@contoso.com" }));
    }

    #[test]
    fn a_sole_task_keeps_its_key() {
        let job = |keys: &[&str]| {
            let tasks: Vec<_> = keys.iter().map(|key| json!({ "task_key": key })).collect();
            json!({ "settings": { "tasks": tasks } })
        };
        assert_eq!(task_key(&job(&["theirs"])), "theirs");
        assert_eq!(task_key(&job(&["theirs", TASK])), TASK);
        assert_eq!(task_key(&job(&[])), TASK);
    }

    #[test]
    fn tags_of_others_stay() {
        let mut tags = Map::new();
        tags.insert("team".to_owned(), "data".into());
        let wire = example().to_wire(tags, TASK);
        assert_eq!(
            wire["tags"],
            json!({ "team": "data", "lockkeeper": "demo" })
        );
    }

    #[test]
    fn a_cluster_is_one_machine_without_passthrough() {
        let cluster = &example().to_wire(Map::new(), TASK)["tasks"][0]["new_cluster"];
        assert_eq!(cluster["num_workers"], 0);
        assert_eq!(cluster["spark_conf"]["spark.master"], "local[*]");
        assert_eq!(cluster["data_security_mode"], "SINGLE_USER");
    }
}
