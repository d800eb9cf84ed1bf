//! What others made is taken into a workflow's care: found by a run from then on, and given back.

use lockkeeper_gate::Record;
use lockkeeper_journal::Store;
use serde_json::{Value, json};

use crate::support::Project;
use crate::support::elsewhere::{Elsewhere, Ids};
use crate::world::{
    APP, assert_same, change, job, lasting, requests, run, state, variants, with, writes_since,
};

const INPUTS: [&str; 2] = ["-i", "app_name=etl-demo"];
const CREATIONS: [&str; 3] = [
    "entra/applications.create",
    "entra/service-principals.create",
    "databricks/jobs.create",
];

/// A project whose cloud has an application and a job that were made elsewhere.
pub(crate) struct Found {
    pub(crate) project: Project,
    pub(crate) application: Ids,
    pub(crate) job: String,
}

impl Found {
    pub(crate) fn new() -> Self {
        Self::with(&json!({ "team": "data" }))
    }

    /// With these tags of the job.
    pub(crate) fn with(tags: &Value) -> Self {
        let project = Project::new();
        let simulator = project.simulator(&[]);
        let elsewhere = Elsewhere::new(&project, &simulator);
        let application = elsewhere.application(APP);
        let job = elsewhere.job("nightly", tags);
        drop(simulator);
        Self {
            project,
            application,
            job,
        }
    }

    /// `adopt onboard` with these objects; nobody is asked.
    pub(crate) fn adopt(&self, objects: &[String]) -> (i32, String, Vec<String>) {
        let seen = requests(&self.project).len();
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        let ran = self
            .project
            .run(&[&["adopt", "onboard", "--yes"], &objects[..], &INPUTS].concat());
        let said = format!("{}{}", ran.stdout(), ran.stderr());
        (ran.code(), said, writes_since(&self.project, seen))
    }

    /// Adopts both; the adoption's run.
    fn adopt_both(&self) -> String {
        let objects = [
            format!("register={}", self.application.application),
            format!("job={}", self.job),
        ];
        let (code, said, _) = self.adopt(&objects);
        assert_eq!(code, 0, "{said}");
        let (_, runs) = self.project.json(&["runs", "list"]);
        runs[0]["id"].as_str().unwrap().to_owned()
    }
}

fn operations(plan: &Value) -> Vec<&str> {
    let calls = plan["calls"].as_array().unwrap();
    calls
        .iter()
        .map(|call| call["operation"].as_str().unwrap())
        .collect()
}

fn adopts_by(id: impl Fn(&Ids) -> &String) {
    let found = Found::new();
    let project = &found.project;
    let objects = [
        format!("register={}", id(&found.application)),
        format!("job={}", found.job),
    ];
    let (code, said, writes) = found.adopt(&objects);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("keeps"), "{said}");
    assert!(said.contains("lockkeeper plan onboard"), "{said}");
    let patched = format!(
        "\"PATCH\" \"/v1.0/applications/{}\"",
        found.application.object
    );
    assert_eq!(
        writes,
        [patched.as_str(), "\"POST\" \"/api/2.2/jobs/update\""]
    );

    let [simple, _] = variants(project);
    let (code, plan) = project.json(&with("plan", &simple));
    assert_eq!(code, 0, "{plan:#}");
    for creation in CREATIONS {
        assert!(!operations(&plan).contains(&creation), "{plan:#}");
    }
    run(project, &simple);
    let mut cloud = state(project);
    let applications = cloud["entra"]["applications"].as_array().unwrap();
    let ours: Vec<_> = applications
        .iter()
        .filter(|one| one["display_name"] == APP)
        .collect();
    assert_eq!(ours.len(), 1, "{ours:#?}");
    assert_eq!(ours[0]["id"], json!(found.application.object));
    assert_eq!(cloud["databricks"]["jobs"].as_object().unwrap().len(), 1);
    let settings = &job(&mut cloud)["settings"];
    assert_eq!(settings["name"], "etl-demo-smoke");
    let tags = json!({ "team": "data", "lockkeeper": "etl-demo-smoke" });
    assert_eq!(
        (&settings["tags"], &settings["timeout_seconds"]),
        (&tags, &json!(600))
    );
    assert_eq!(settings["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn an_application_is_adopted_by_its_object_id() {
    adopts_by(|application| &application.object);
}

#[test]
fn an_application_is_adopted_by_its_application_id() {
    adopts_by(|application| &application.application);
}

#[test]
fn an_application_is_adopted_by_its_service_principal() {
    adopts_by(|application| &application.principal);
}

#[tokio::test]
async fn what_is_planned_after_an_adoption_is_what_is_done() {
    let found = Found::new();
    let project = &found.project;
    found.adopt_both();
    let [simple, _] = variants(project);
    let saved = project.path().join("plan.json");
    let out = ["--out", saved.to_str().unwrap()];
    let (code, plan) = project.json(&[&with("plan", &simple)[..], &out].concat());
    assert_eq!(code, 0, "{plan:#}");
    let (code, report) = project.json(&["run", "--plan", out[1]]);
    assert_eq!(code, 0, "{report:#}");
    let store = Store::open(project.state().join("journal.db")).unwrap();
    let history = store
        .history(report["run"].as_str().unwrap())
        .await
        .unwrap();
    let done = Record::of(&history.entries).unwrap().written;
    let mut done: Vec<_> = done.iter().map(|it| it.call.operation.as_str()).collect();
    let mut planned: Vec<_> = plan["calls"].as_array().unwrap().iter().collect();
    planned.retain(|call| call["before"] != call["after"] || call["class"] == "start");
    let mut planned: Vec<_> = planned
        .iter()
        .map(|call| call["operation"].as_str().unwrap())
        .collect();
    done.sort_unstable();
    planned.sort_unstable();
    assert_eq!(done, planned);
    assert!(done.contains(&"databricks/jobs.update"), "{done:?}");
}

#[test]
fn an_adoption_is_a_run_of_its_own() {
    let found = Found::new();
    let project = &found.project;
    let id = found.adopt_both();
    let listed = project.ok(&["runs", "list"]).stdout();
    assert!(listed.contains("adoption for onboard"), "{listed}");
    let shown = project.ok(&["runs", "show", &id]).stdout();
    assert!(
        shown.contains(&format!("job adopts {}", found.job)),
        "{shown}"
    );
    assert!(shown.contains("2 writes that changed something"), "{shown}");
    let audit = std::fs::read_to_string(project.state().join("audit.jsonl")).unwrap();
    for operation in [
        "entra/applications.set-unique-name",
        "databricks/jobs.adopt",
    ] {
        assert!(audit.contains(operation), "{audit}");
    }
    let (code, none) = project.json(&["drift", &id]);
    assert_eq!((code, &none["differences"]), (0, &json!([])));
    change(project, |cloud| {
        job(cloud)["settings"]["tags"]["lockkeeper"] = json!("theirs");
    });
    let (code, drift) = project.json(&["drift", &id]);
    assert_eq!(code, 7, "{drift:#}");
    assert_eq!(drift["differences"][0]["step"], "job");

    // Once more, it finds all as it should be.
    change(project, |cloud| {
        job(cloud)["settings"]["tags"]["lockkeeper"] = json!("etl-demo-smoke");
    });
    let (code, said, _) = found.adopt(&[format!("register={}", found.application.principal)]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("nothing to change"), "{said}");
}

#[test]
fn an_undo_gives_a_job_back_and_says_that_a_unique_name_stays() {
    for tags in [json!({ "team": "data" }), json!({})] {
        let found = Found::with(&tags);
        let project = &found.project;
        let mut before = state(project);
        let id = found.adopt_both();
        let adopted = state(project);
        assert_ne!(lasting(adopted), lasting(before.clone()));
        let ran = project.run(&["undo", &id, "--yes"]);
        let said = format!("{}{}", ran.stdout(), ran.stderr());
        assert_eq!(ran.code(), 0, "{said}");
        assert!(said.contains("Entra never changes a unique name"), "{said}");
        let mut after = state(project);
        // The one thing that stays.
        let names = |cloud: &mut Value| {
            let applications = cloud["entra"]["applications"].as_array_mut().unwrap();
            let ours = applications
                .iter_mut()
                .find(|one| one["display_name"] == APP);
            ours.unwrap()["unique_name"].take()
        };
        assert_eq!(names(&mut after), "lockkeeper-etl-demo");
        assert_eq!(names(&mut before), Value::Null);
        if tags == json!({}) {
            // No tags are none.
            job(&mut before)["settings"]
                .as_object_mut()
                .unwrap()
                .remove("tags");
        }
        assert_same(&lasting(after), &lasting(before));
        let (_, runs) = project.json(&["runs", "list"]);
        assert_eq!(runs[1]["status"], "undone", "{runs:#}");
    }
}

#[test]
fn a_job_that_was_run_is_given_back_as_well() {
    let cluster = json!({
        "spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_D4ds_v5",
        "num_workers": 4, "spark_conf": { "spark.speculation": "true" },
    });
    let pooled = json!({
        "spark_version": "15.4.x-scala2.12", "instance_pool_id": "0101-120000-pool1-pool-abc",
        "spark_conf": {},
    });
    let computes = [
        json!({}),
        json!({ "new_cluster": cluster, "libraries": [{ "pypi": { "package": "pandas" } }] }),
        json!({ "new_cluster": pooled }),
        json!({ "job_cluster_key": "shared" }),
        json!({ "environment_key": "default" }),
    ];
    for compute in computes {
        let found = Found::new();
        let project = &found.project;
        change(project, |cloud| {
            let settings = job(cloud)["settings"].as_object_mut().unwrap();
            let shared = json!([{ "job_cluster_key": "shared", "new_cluster": cluster }]);
            let environment =
                json!([{ "environment_key": "default", "spec": { "environment_version": "2" } }]);
            settings.insert("job_clusters".to_owned(), shared);
            settings.insert("environments".to_owned(), environment);
            let task = settings["tasks"][0].as_object_mut().unwrap();
            task.extend(compute.as_object().unwrap().clone());
            task.insert("max_retries".to_owned(), json!(2));
            task["notebook_task"]["base_parameters"] = json!({ "day": "1" });
        });
        let mut before = state(project);
        let adoption = found.adopt_both();
        let [simple, _] = variants(project);
        let id = run(project, &simple);
        let mut after = state(project);
        assert_ne!(job(&mut after), job(&mut before));
        let task = &job(&mut after)["settings"]["tasks"][0];
        assert_eq!(task["max_retries"], 2);
        assert_eq!(task["notebook_task"]["base_parameters"]["day"], "1");
        assert_eq!(task["libraries"], compute["libraries"]);
        project.ok(&["undo", &id, "--yes"]);
        project.ok(&["undo", &adoption, "--yes"]);
        let mut after = lasting(state(project));
        assert_eq!(job(&mut after), job(&mut lasting(before)));
    }
}

#[test]
fn an_adoption_shows_what_it_changes_and_asks() {
    let found = Found::new();
    let register = format!("register={}", found.application.application);
    let job = format!("job={}", found.job);
    let seen = requests(&found.project).len();
    let words = [&["adopt", "onboard", register.as_str(), &job], &INPUTS[..]].concat();
    let asked = found.project.run(&words);
    assert_eq!(asked.code(), 2);
    let said = asked.stderr();
    for piece in [
        "  register  ~ application  etl-demo",
        "unique_name: - -> lockkeeper-etl-demo",
        "not undoable: Entra never changes a unique name",
        "  job       ~ job          etl-demo-smoke",
        "settings.name: nightly -> etl-demo-smoke",
        "  Plan: 0 to create, 2 to change, 0 to delete, 0 to run",
        "error: nothing was adopted: nobody can be asked",
        "say --yes",
    ] {
        assert!(said.contains(piece), "{piece:?} is not in\n{said}");
    }
    assert!(!said.contains("  grant"), "has no part in it\n{said}");
    let (_, runs) = found.project.json(&["runs", "list"]);
    assert_eq!(runs, json!([]), "nothing began");
    assert_eq!(writes_since(&found.project, seen), Vec::<String>::new());

    // What was said is what is done.
    let (code, said, writes) = found.adopt(&[register.clone(), job.clone()]);
    assert_eq!((code, writes.len()), (0, 2), "{said}");
    // Nothing is left to ask about.
    let again = found.project.ok(&words);
    assert!(again.stderr().contains("No changes."), "{}", again.stderr());
}
