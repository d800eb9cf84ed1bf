//! What is not adopted: everything stays as it is, and the refusal says why.

use serde_json::{Value, json};

use crate::adopt::Found;
use crate::world::{APP, change, job, push, requests, run, state, variants, writes_since};

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

/// Adopting `objects` fails with `said` before anybody is asked: nothing is written or begun.
fn is_refused(found: &Found, objects: &str, said: &str) {
    let runs = || found.project.json(&["runs", "list"]);
    let before = runs();
    let (code, text, writes) = found.adopt(&[objects.to_owned()]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(said), "{said}\n{text}");
    assert_eq!(writes, Vec::<String>::new(), "{text}");
    assert_eq!(runs(), before, "{text}");
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

/// Another application gets the unique name that an adoption would give.
fn take_name(found: &Found) {
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
}

/// That application is gone.
fn free_name(found: &Found) {
    change(&found.project, |cloud| {
        let all = cloud["entra"]["applications"].as_array_mut().unwrap();
        all.retain(|one| one["id"] != "0e0e0e0e-0000-4000-8000-00000000000e");
    });
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
    set("unique_name", json!("theirs"));
    is_refused(&found, &register, "has the unique name theirs");
    set("unique_name", Value::Null);
    take_name(&found);
    let (code, text, _) = found.adopt(&[register]);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("another application has the unique name"),
        "{text}"
    );
    // What was in the way is gone: the adoption goes on, as the adoption that it is.
    let (_, runs) = found.project.json(&["runs", "list"]);
    let failed = runs[0]["id"].as_str().unwrap().to_owned();
    free_name(&found);
    let (code, report) = found.project.json(&["resume", &failed]);
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

    // One that had begun before: the run itself is refused then, and the audit log says so.
    take_name(&found);
    let register = format!("register={}", found.application.object);
    let (code, text, _) = found.adopt(&[register]);
    assert_eq!(code, 4, "{text}");
    free_name(&found);
    let (_, runs) = found.project.json(&["runs", "list"]);
    let begun = runs[0]["id"].as_str().unwrap();
    let limited = granted.replace(
        "\"look-up\", \"set-unique-name\"]",
        "\"look-up\"]\n\"entra/applications.set-unique-name\" = { when = \"call.unique_name == 'theirs'\" }",
    );
    assert_ne!(limited, granted);
    std::fs::write(&file, limited).unwrap();
    let seen = requests(&found.project).len();
    let ran = found.project.run(&["resume", begun]);
    assert_eq!(ran.code(), 4);
    assert!(ran.stderr().contains("error[LK9005]"), "{}", ran.stderr());
    assert_eq!(writes_since(&found.project, seen), Vec::<String>::new());
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
        let ran = found
            .project
            .run(&["adopt", file, &object, "-i", &keep, "--yes"]);
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
