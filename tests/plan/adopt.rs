//! What others made is taken into a workflow's care: found by a run from then on, and given back.

use lockkeeper_gate::Record;
use lockkeeper_journal::Store;
use serde_json::{Value, json};

use crate::support::Project;
use crate::support::elsewhere::{Elsewhere, Ids};
use crate::world::{
    APP, assert_same, change, job, lasting, push, requests, run, state, variants, with,
    writes_since,
};

const INPUTS: [&str; 2] = ["-i", "app_name=etl-demo"];
const CREATIONS: [&str; 3] = [
    "entra/applications.create",
    "entra/service-principals.create",
    "databricks/jobs.create",
];

/// A project whose cloud has an application and a job that were made elsewhere.
struct Found {
    project: Project,
    application: Ids,
    job: String,
}

impl Found {
    fn new() -> Self {
        Self::with(&json!({ "team": "data" }))
    }

    /// With these tags of the job.
    fn with(tags: &Value) -> Self {
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

    /// `adopt onboard` with these objects.
    fn adopt(&self, objects: &[String]) -> (i32, String, Vec<String>) {
        let seen = requests(&self.project).len();
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        let ran = self
            .project
            .run(&[&["adopt", "onboard"], &objects[..], &INPUTS].concat());
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
fn a_command_line_that_names_nothing_to_adopt_is_refused() {
    let found = Found::new();
    let job = format!("job={}", found.job);
    for (objects, said) in [
        (vec!["job"], "write STEP=ID"),
        (vec!["job="], "write STEP=ID"),
        (vec![&job, &job], "given twice"),
        (
            vec!["jobs=7"],
            "has no step `jobs`; it has register, import",
        ),
        (vec!["import=7"], "step `import` has nothing to adopt"),
        (
            vec![&job, "test_run=7"],
            "step `test_run` has nothing to adopt",
        ),
    ] {
        let objects: Vec<_> = objects.into_iter().map(str::to_owned).collect();
        let (code, text, writes) = found.adopt(&objects);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(writes, Vec::<String>::new());
    }
    let (_, runs) = found.project.json(&["runs", "list"]);
    assert_eq!(runs, json!([]), "nothing began");
    let inspected = |plugin: &str| found.project.ok(&["plugin", "inspect", plugin]).stdout();
    assert!(inspected("job").contains("adopts existing objects"));
    assert!(inspected("import").contains("adopts nothing"));
}

/// Adopting `objects` fails with `said`, and writes nothing.
fn is_refused(found: &Found, objects: &str, said: &str) {
    let (code, text, writes) = found.adopt(&[objects.to_owned()]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(said), "{said}\n{text}");
    assert_eq!(writes, Vec::<String>::new(), "{text}");
}

#[test]
fn an_id_of_another_shape_or_of_nothing_is_explained() {
    let found = Found::new();
    is_refused(&found, "register=4177", "any of its three ids");
    is_refused(&found, "register=4177", "App registrations");
    is_refused(
        &found,
        &format!("job={}", found.application.object),
        "which is a number",
    );
    is_refused(&found, "job=7", "the workspace has no job 7");
    let nobody = "register=0d0d0d0d-0000-4000-8000-00000000000d";
    is_refused(&found, nobody, "no application has the id");
    let microsofts = "register=0b0b0b0b-0000-4000-8000-000000000001";
    is_refused(&found, microsofts, "not registered in this tenant");
}

#[test]
fn an_application_that_cannot_be_ours_is_left_alone() {
    let found = Found::new();
    let register = format!("register={}", found.application.object);
    let applications = |cloud: &mut Value, change: &dyn Fn(&mut Value)| {
        let all = cloud["entra"]["applications"].as_array_mut().unwrap();
        change(
            all.iter_mut()
                .find(|one| one["display_name"] == APP)
                .unwrap(),
        );
    };
    let owners = state(&found.project)["entra"]["applications"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["display_name"] == APP)
        .unwrap()["owners"]
        .clone();
    let set = |name: &str, value: Value| {
        change(&found.project, |cloud| {
            applications(cloud, &|one| one[name] = value.clone());
        });
    };
    set("owners", json!([]));
    is_refused(&found, &register, "make it an owner of the application");
    set("owners", owners);
    let (_, runs) = found.project.json(&["runs", "list"]);
    let resumed = runs[0]["id"].as_str().unwrap().to_owned();
    set("unique_name", json!("theirs"));
    is_refused(&found, &register, "has the unique name theirs");
    set("unique_name", Value::Null);
    // Another application has the name by now.
    change(&found.project, |cloud| {
        let all = &mut cloud["entra"]["applications"];
        let ours = all
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["display_name"] == APP);
        let mut other = ours.unwrap().clone();
        other["id"] = json!("0e0e0e0e-0000-4000-8000-00000000000e");
        other["app_id"] = json!("0e0e0e0e-0000-4000-8000-00000000000f");
        other["unique_name"] = json!("lockkeeper-etl-demo");
        push(all, other);
    });
    let (code, text, _) = found.adopt(&[register]);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("another application has the unique name"),
        "{text}"
    );
    // What was in the way is gone: the first adoption goes on, as the adoption that it is.
    change(&found.project, |cloud| {
        let all = cloud["entra"]["applications"].as_array_mut().unwrap();
        all.retain(|one| one["id"] != "0e0e0e0e-0000-4000-8000-00000000000e");
    });
    let (code, report) = found.project.json(&["resume", &resumed]);
    assert_eq!(code, 0, "{report:#}");
    let id = &found.application.object;
    assert_eq!(report["adopted"], json!({ "register": id }));
    assert_eq!(report["steps"][0]["changes"], 1);
    assert_eq!(report["steps"][1]["result"], "not-run");
    assert_eq!(report["outputs"], json!({}));
}

#[test]
fn a_job_that_cannot_be_ours_is_left_alone() {
    let found = Found::with(&json!({ "lockkeeper": "other-smoke" }));
    let adopt = format!("job={}", found.job);
    is_refused(&found, &adopt, "kept as `other-smoke`");
    let tasks = |tasks: Value| {
        change(&found.project, |cloud| {
            let settings = &mut job(cloud)["settings"];
            settings["tags"] = json!({});
            settings["tasks"] = tasks.clone();
        });
    };
    tasks(json!([{ "task_key": "a", "spark_python_task": { "python_file": "/a.py" } }]));
    is_refused(&found, &adopt, "one notebook task");

    let ran = Found::new();
    let [simple, _] = variants(&ran.project);
    run(&ran.project, &simple);
    is_refused(
        &ran,
        &format!("job={}", ran.job),
        "has the tag lockkeeper=etl-demo-smoke already",
    );
}

#[test]
fn an_adoption_outside_a_grant_writes_nothing() {
    let found = Found::new();
    found.project.ok(&["init"]);
    let file = found.project.path().join("lockkeeper.toml");
    let granted = std::fs::read_to_string(&file).unwrap();
    let limited = granted.replace(
        "[\"adopt\", \"create\", \"find\", \"get\", \"update\"]",
        "[\"create\", \"find\", \"get\", \"update\"]\n\"databricks/jobs.adopt\" = { when = \"call.name == 'theirs'\" }",
    );
    assert_ne!(limited, granted);
    std::fs::write(&file, limited).unwrap();
    let adopt = format!("job={}", found.job);
    is_refused(&found, &adopt, "error[LK9005]");
    let audit = std::fs::read_to_string(found.project.state().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"denied\""), "{audit}");
}

#[test]
fn a_step_whose_name_is_only_known_after_a_run_adopts_nothing() {
    let found = Found::new();
    let workflow = "lockkeeper = 1
[workflow]
name = \"two\"
[inputs.keep]
type = \"bool\"
[steps.first]
plugin = \"register\"
with.display_name = \"first\"
[steps.second]
plugin = \"register\"
with.display_name = \"${steps.first.app_id}\"
[steps.third]
plugin = \"register\"
when = \"inputs.keep\"
with.display_name = \"third\"
";
    let file = found.project.write("two.toml", workflow);
    let file = file.to_str().unwrap();
    let seen = requests(&found.project).len();
    let id = &found.application.application;
    let adopt = |step: &str, keep: &str| {
        let (object, keep) = (format!("{step}={id}"), format!("keep={keep}"));
        let ran = found.project.run(&["adopt", file, &object, "-i", &keep]);
        (ran.code(), format!("{}{}", ran.stdout(), ran.stderr()))
    };
    let (code, said) = adopt("second", "true");
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("only known after step `first` has run"),
        "{said}"
    );
    let (code, said) = adopt("third", "false");
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("step `third` is skipped with these inputs"),
        "{said}"
    );
    assert_eq!(writes_since(&found.project, seen), Vec::<String>::new());
    let (code, said) = adopt("third", "true");
    assert_eq!(code, 0, "{said}");
}
