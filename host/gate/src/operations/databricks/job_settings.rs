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

/// A cluster that is made for each run of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCluster {
    pub(super) spark_version: String,
    pub(super) node_type: Option<String>,
    pub(super) spark_conf: Vec<(String, String)>,
}

/// What a task runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compute {
    Serverless,
    Environment(String),
    NewCluster(NewCluster),
    JobCluster(String),
    ExistingCluster(String),
}

/// The fields of a job that a step owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobSettings {
    pub(super) name: String,
    pub(super) notebook_path: String,
    pub(super) run_as: String,
    pub(super) compute: Compute,
    pub(super) tag: (String, String),
}

impl NewCluster {
    /// Sorted, and without what makes it one machine.
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

    /// The cluster that `former` becomes, whose size and other fields stay; without it, one machine.
    fn to_wire(&self, former: Option<Value>) -> Value {
        let mut cluster = former.unwrap_or_else(|| {
            json!({
                "num_workers": 0,
                "spark_conf": SINGLE_NODE.into_iter().collect::<BTreeMap<_, _>>(),
                "custom_tags": { "ResourceClass": "SingleNode" },
                // Not passthrough, which no service principal can use; the single user is `run_as`.
                "data_security_mode": "SINGLE_USER",
            })
        });
        let mut conf = BTreeMap::new();
        for (key, value) in SINGLE_NODE {
            if cluster.pointer(&format!("/spark_conf/{key}")) == Some(&value.into()) {
                conf.insert(key, value);
            }
        }
        for (key, value) in &self.spark_conf {
            conf.insert(key, value);
        }
        if let Some(fields) = cluster.as_object_mut() {
            fields.insert("spark_version".to_owned(), json!(self.spark_version));
            fields.insert("spark_conf".to_owned(), json!(conf));
            // The service refuses one, also an empty one, beside an instance pool.
            fields.remove("node_type_id");
            if let Some(node_type) = &self.node_type {
                fields.insert("node_type_id".to_owned(), json!(node_type));
            }
        }
        cluster
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
            node_type: text(cluster, "node_type_id").filter(|name| !name.is_empty()),
            spark_conf: conf.into_iter().flatten().map(pair).collect(),
        };
        cluster.normal()
    }
}

impl Compute {
    const ENVIRONMENT: &str = "environment_key";
    const NEW: &str = "new_cluster";
    const JOB: &str = "job_cluster_key";
    const EXISTING: &str = "existing_cluster_id";

    /// What a task as the service shows it runs on.
    fn from_wire(task: &Value) -> Self {
        if let Some(cluster) = task.get(Self::NEW) {
            return Self::NewCluster(NewCluster::from_wire(cluster));
        }
        let named = |field, kind: fn(String) -> Self| text(task, field).map(kind);
        named(Self::JOB, Self::JobCluster)
            .or_else(|| named(Self::EXISTING, Self::ExistingCluster))
            .or_else(|| named(Self::ENVIRONMENT, Self::Environment))
            .unwrap_or(Self::Serverless)
    }

    /// Lets `task` run on this and nothing else.
    fn put(&self, task: &mut Map<String, Value>) {
        let former = task.remove(Self::NEW);
        for other in [Self::ENVIRONMENT, Self::JOB, Self::EXISTING] {
            task.remove(other);
        }
        let (field, value) = match self {
            Self::Serverless => return,
            Self::Environment(key) => (Self::ENVIRONMENT, json!(key)),
            Self::NewCluster(cluster) => (Self::NEW, cluster.to_wire(former)),
            Self::JobCluster(key) => (Self::JOB, json!(key)),
            Self::ExistingCluster(id) => (Self::EXISTING, json!(id)),
        };
        task.insert(field.to_owned(), value);
    }

    fn normal(&self) -> Self {
        match self {
            Self::NewCluster(cluster) => Self::NewCluster(cluster.normal()),
            other => other.clone(),
        }
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

/// The task that a step owns of a job as the service shows it: the one that lockkeeper makes, or
/// the only one of a job that was made elsewhere.
pub(super) fn own_task(job: &Value) -> Option<&Value> {
    let tasks = tasks(job);
    let made = |task: &&Value| text(task, "task_key").as_deref() == Some(TASK);
    match tasks {
        [only] => Some(only),
        several => several.iter().find(made),
    }
}

impl JobSettings {
    /// The one spelling of settings that mean the same.
    pub(super) fn normal(&self) -> Self {
        Self {
            compute: self.compute.normal(),
            ..self.clone()
        }
    }

    /// The task that `former` becomes, whose key and other fields stay. An update replaces the task
    /// of the same key, so whatever is left out is lost.
    fn task(&self, former: Option<&Value>) -> Value {
        let former = former.and_then(Value::as_object);
        let mut task = former.cloned().unwrap_or_default();
        task.entry("task_key").or_insert_with(|| TASK.into());
        let notebook = task.entry("notebook_task").or_insert_with(|| json!({}));
        if let Some(notebook) = notebook.as_object_mut() {
            notebook.insert("notebook_path".to_owned(), json!(self.notebook_path));
            notebook.insert("source".to_owned(), json!("WORKSPACE"));
        }
        self.compute.put(&mut task);
        task.into()
    }

    /// The owned fields, for create and update; `tags` are those that others put on the job, `task`
    /// is what its task is now.
    pub(super) fn to_wire(&self, mut tags: Map<String, Value>, task: Option<&Value>) -> Value {
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
        let task = own_task(job).unwrap_or(&Value::Null);
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
            compute: Compute::from_wire(task),
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
        compute: Compute::NewCluster(NewCluster {
            spark_version: "15.4.x-scala2.12".to_owned(),
            node_type: Some("Standard_DS3_v2".to_owned()),
            spark_conf: vec![pair("b", "2"), pair("a", "{{secrets/app/key}}")],
        }),
        tag: pair("lockkeeper", "demo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(compute: Compute) -> JobSettings {
        JobSettings {
            compute,
            ..example()
        }
    }

    #[test]
    fn settings_survive_the_wire() {
        let kinds = [
            Compute::Serverless,
            Compute::Environment("default".to_owned()),
            Compute::JobCluster("shared".to_owned()),
            Compute::ExistingCluster("0101-000000-abcdefgh".to_owned()),
            example().compute,
        ];
        // Also when the task ran on another kind before.
        for former in kinds.clone().map(|kind| on(kind).task(None)) {
            for settings in kinds.clone().map(on) {
                let job = json!({ "settings": settings.to_wire(Map::new(), Some(&former)) });
                let read = JobSettings::from_wire(&job, "lockkeeper");
                assert_eq!(read, settings.normal());
                assert_eq!(read.normal(), read);
            }
        }
    }

    #[test]
    fn a_person_is_not_sent_as_a_service_principal() {
        let mut settings = example();
        settings.run_as = "ana@contoso.com".to_owned();
        let wire = settings.to_wire(Map::new(), None);
        assert_eq!(wire["run_as"], json!({ "user_name": "ana@contoso.com" }));
    }

    #[test]
    fn the_task_of_a_step_is_its_own_or_the_only_one() {
        let own = |keys: &[&str]| {
            let tasks: Vec<_> = keys.iter().map(|key| json!({ "task_key": key })).collect();
            let task = own_task(&json!({ "settings": { "tasks": tasks } })).cloned();
            example().task(task.as_ref())["task_key"].clone()
        };
        assert_eq!(own(&["theirs"]), "theirs");
        assert_eq!(own(&["theirs", TASK]), TASK);
        assert_eq!(own(&["theirs", "too"]), TASK);
        assert_eq!(own(&[]), TASK);
    }

    #[test]
    fn what_others_own_stays() {
        let mut tags = Map::new();
        tags.insert("team".to_owned(), "data".into());
        let theirs = json!({
            "task_key": "nightly",
            "max_retries": 2,
            "notebook_task": { "notebook_path": "/a", "base_parameters": { "day": "1" } },
            "new_cluster": {
                "spark_version": "14.3.x-scala2.12",
                "node_type_id": "Standard_D8s_v5",
                "spark_conf": { "spark.speculation": "true" },
                "num_workers": 4,
            },
        });
        let wire = example().to_wire(tags, Some(&theirs));
        assert_eq!(
            wire["tags"],
            json!({ "team": "data", "lockkeeper": "demo" })
        );
        let mut expected = theirs;
        expected["notebook_task"]["notebook_path"] = json!("/Shared/x");
        expected["notebook_task"]["source"] = json!("WORKSPACE");
        expected["new_cluster"]["spark_version"] = json!("15.4.x-scala2.12");
        expected["new_cluster"]["node_type_id"] = json!("Standard_DS3_v2");
        expected["new_cluster"]["spark_conf"] = json!({ "a": "{{secrets/app/key}}", "b": "2" });
        assert_eq!(wire["tasks"], json!([expected]));
    }

    #[test]
    fn a_cluster_from_an_instance_pool_stays_in_it() {
        let theirs = json!({
            "spark_version": "14.3.x-scala2.12", "instance_pool_id": "0101-pool", "spark_conf": {},
        });
        let cluster = NewCluster::from_wire(&theirs);
        assert_eq!(cluster.node_type, None);
        assert_eq!(cluster.to_wire(Some(theirs.clone())), theirs);
    }

    #[test]
    fn a_cluster_is_one_machine_without_passthrough_and_stays_one() {
        let made = example().task(None);
        let other = NewCluster {
            spark_version: "16.4.x-scala2.12".to_owned(),
            node_type: Some("Standard_DS3_v2".to_owned()),
            spark_conf: Vec::new(),
        };
        for task in [&made, &on(Compute::NewCluster(other)).task(Some(&made))] {
            let cluster = &task["new_cluster"];
            assert_eq!(cluster["num_workers"], 0);
            assert_eq!(cluster["spark_conf"]["spark.master"], "local[*]");
            assert_eq!(cluster["data_security_mode"], "SINGLE_USER");
        }
    }
}
