//! The smaller commands, and how everything is printed.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use crate::cloud;
use crate::support::Project;

const PLAIN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];

#[test]
fn ndjson_is_a_typed_line_per_event() {
    let project = Project::new();
    let ran = project.ok(&[&PLAIN[..], &["--output", "ndjson"]].concat());
    let stdout = ran.stdout();
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(lines[0]["type"], "version");
    for line in &lines {
        assert_eq!(line["v"], 1, "{line}");
        for name in ["time", "type", "message"] {
            assert!(line[name].is_string(), "{name} in {line}");
        }
    }
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!(of("step_start"), 5, "{stdout}");
    assert_eq!(of("step_complete"), 5, "{stdout}");
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "run_summary", "{stdout}");
}

#[test]
fn without_a_terminal_nothing_is_coloured_or_redrawn() {
    let project = Project::new();
    let ran = project
        .command(&PLAIN)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .output()
        .map(crate::support::Ran)
        .unwrap();
    assert_eq!(ran.code(), 0);
    for text in [ran.stdout(), ran.stderr()] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
    let coloured = project.ok(&[&PLAIN[..], &["--color", "always"]].concat());
    assert!(
        coloured.stderr().contains("\u{1b}["),
        "{}",
        coloured.stderr()
    );
}

#[test]
fn the_simulator_says_why_it_is_used() {
    let project = Project::new();
    let said = project.ok(&PLAIN).stderr();
    assert!(
        said.contains("Simulator: no target is configured"),
        "{said}"
    );
    let project = Project::new();
    project.ok(&["init"]);
    let said = project.ok(&PLAIN).stderr();
    assert!(
        said.contains("Simulator: target `sim` is one on this machine"),
        "{said}"
    );
}

#[test]
fn quiet_says_the_outputs_only() {
    let project = Project::new();
    let ran = project.ok(&[&PLAIN[..], &["-q"]].concat());
    assert_eq!(ran.stderr(), "");
    assert!(ran.stdout().contains("application_id"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new();
    project.ok(&PLAIN);
    for arguments in [
        &["sim", "calls"][..],
        &["completions", "bash"],
        &["schema", "workflow"],
    ] {
        let mut child = project
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 8];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let ended = crate::support::Ran(child.wait_with_output().unwrap());
        assert_eq!(
            (ended.code(), ended.stderr()),
            (0, String::new()),
            "{arguments:?}"
        );
    }
}

#[test]
fn init_writes_a_project_once() {
    let project = Project::new();
    project.ok(&["init"]);
    cloud::edit(
        &project,
        "lockkeeper.toml",
        "# The built-in",
        "# Mine: the built-in",
    );
    let mine = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
    let again = project.run(&["init"]);
    assert_eq!(again.code(), 2);
    assert!(
        again.stderr().contains("is there already"),
        "{}",
        again.stderr()
    );
    let kept = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
    assert_eq!(kept, mine);
    project.ok(&PLAIN);
}

#[test]
fn completions_for_every_shell() {
    let project = Project::new();
    for (shell, piece) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef lockkeeper"),
        ("fish", "complete -c lockkeeper"),
    ] {
        let script = project.ok(&["completions", shell]).stdout();
        assert!(script.contains(piece) && script.contains("onboard") | script.contains("resume"));
    }
    assert_eq!(project.run(&["completions", "tcsh"]).code(), 2);
}

#[test]
fn every_code_has_a_page() {
    let project = Project::new();
    let codes = lockkeeper_workflow::CODES
        .iter()
        .map(|code| (*code).to_owned());
    let of_runs = (2..=7).map(|n| format!("LK900{n}"));
    let of_budgets = (1..=9).map(|n| format!("LK950{n}"));
    for code in codes.chain(of_runs).chain(of_budgets) {
        let page = project.ok(&["explain", &code]).stdout();
        assert!(page.starts_with("# ") && page.len() > 80, "{code}: {page}");
        assert_eq!(
            project.ok(&["explain", &code.to_lowercase()]).stdout(),
            page
        );
    }
    let exits = project.ok(&["explain", "exit-codes"]).stdout();
    for code in [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "11", "12", "13", "255",
    ] {
        assert!(exits.contains(&format!("| {code} |")), "{code}");
    }
}

#[test]
fn plugin_inspect_tells_what_it_takes_gives_and_asks() {
    let project = Project::new();
    for plugin in ["register", "import", "grant", "scope", "job", "test-run"] {
        let text = project.ok(&["plugin", "inspect", plugin]).stdout();
        for piece in ["sha256:", "\ninputs\n", "\noutputs\n", "\nasks leave for\n"] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
    }
    let text = project.ok(&["plugin", "inspect", "register"]).stdout();
    assert!(text.contains("display_name: string"), "{text}");
    assert!(text.contains("client_secret: option<secret>"), "{text}");
    assert!(
        text.contains("entra/applications@0.1.0: find, look-up, set-unique-name, create"),
        "{text}"
    );
    let (code, document) = project.json(&["plugin", "inspect", "register"]);
    assert_eq!((code, &document["plugin"]), (0, &Value::from("register")));
}

#[test]
fn workflows_are_listed_drawn_and_described() {
    let project = Project::new();
    project.ok(&["init"]);
    let list = project.ok(&["workflow", "list"]).stdout();
    assert!(
        list.contains("onboard") && list.contains("workflows/onboard.toml"),
        "{list}"
    );
    assert_eq!(project.json(&["workflow", "list"]).1[0]["name"], "onboard");
    let graph = project.ok(&["workflow", "graph", "onboard"]).stdout();
    assert!(graph.starts_with("digraph"), "{graph}");
    assert!(graph.contains("\"register\" -> \"import\""), "{graph}");
    let docs = project.ok(&["workflow", "docs", "onboard"]).stdout();
    for piece in ["app_name", "test_run", "Onboard a service principal"] {
        assert!(docs.contains(piece), "{piece}: {docs}");
    }
}

#[test]
fn what_a_list_of_workflows_leaves_out_is_said() {
    let project = Project::new();
    project.ok(&["init"]);
    let patterns = "[\"workflows/*.toml\"]";
    cloud::edit(&project, "lockkeeper.toml", patterns, "[\"flows/*.toml\"]");
    let listed = project.ok(&["workflow", "list"]).stderr();
    assert!(listed.contains("warning: no file matches"), "{listed}");
    assert!(listed.contains("flows/*.toml"), "{listed}");
    let both = "[\"workflows/*.toml\", \"flows/*.toml\"]";
    cloud::edit(&project, "lockkeeper.toml", "[\"flows/*.toml\"]", both);
    assert_eq!(project.ok(&["workflow", "list"]).stderr(), "");
    project.write("flows/onboard.toml", lockkeeper_plugins::WORKFLOWS[0].1);
    let listed = project.ok(&["workflow", "list"]).stderr();
    for piece in [
        "warning: two files are called `onboard`",
        "means flows/onboard.toml",
        "workflows/onboard.toml only runs by its path",
    ] {
        assert!(listed.contains(piece), "{piece}: {listed}");
    }
}

#[test]
fn runs_and_calls_are_listed_shown_and_forgotten() {
    let project = Project::new();
    assert_eq!(project.json(&["runs", "list"]).1, serde_json::json!([]));
    assert_eq!(project.json(&["sim", "calls"]).1, serde_json::json!([]));
    let (_, document) = project.json(&PLAIN);
    let run = document["run"].as_str().unwrap();
    assert!(project.ok(&["runs", "list"]).stdout().contains(run));
    let shown = project.ok(&["runs", "show", run]).stdout();
    for piece in [
        "succeeded",
        "✓ entra/applications.create",
        "✓ databricks/jobs.run-now",
    ] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
    let (_, shown) = project.json(&["runs", "show", run]);
    assert_eq!(shown["run"]["status"], "succeeded");
    let watched = project.ok(&["runs", "watch", run]).stdout();
    assert!(watched.contains("databricks/jobs.run-now"), "{watched}");
    let (_, calls) = project.json(&["sim", "calls"]);
    let calls = calls.as_array().unwrap();
    assert_eq!(calls.len(), cloud::requests(&project).len());
    assert!(
        calls
            .iter()
            .any(|call| call["path"] == "/api/2.2/jobs/create")
    );
    project.ok(&["sim", "reset"]);
    assert_eq!(project.json(&["sim", "calls"]).1, serde_json::json!([]));
    assert!(
        project.ok(&["runs", "list"]).stdout().contains(run),
        "the journal is not the cloud"
    );
    assert_eq!(
        project.json(&PLAIN).1["steps"][0]["changes"],
        2,
        "the cloud is as new"
    );
}

#[test]
fn the_schema_takes_the_shipped_workflow_and_refuses_others() {
    let project = Project::new();
    let (_, schema) = project.json(&["schema", "workflow"]);
    let as_json = |text: &str| serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
    let shipped = lockkeeper_plugins::WORKFLOWS[0].1;
    assert_eq!(accepts(&schema, &schema, &as_json(shipped)), Ok(()));
    for (old, new) in [
        ("lockkeeper = 1", "lockkeeper = 2"),
        ("[workflow]", "[workflo]"),
        ("plugin = \"register\"", "plugin = 3"),
        ("language = \"sql\"", "language = \"cobol\""),
        (
            "with.display_name = \"${inputs.app_name}\"",
            "with.displayname = \"x\"",
        ),
    ] {
        assert!(shipped.contains(old), "{old}");
        let wrong = as_json(&shipped.replacen(old, new, 1));
        assert!(accepts(&schema, &schema, &wrong).is_err(), "{new}");
    }
}

/// Keywords that alone refuse nothing.
const ASIDE: [&str; 9] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "examples",
    "then",
    "default",
    "const",
    "enum",
];

/// Whether a schema accepts a value: the keywords that the program's schema uses, and no others.
fn accepts(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return if *schema == Value::Bool(false) {
            Err("nothing fits".to_owned())
        } else {
            Ok(())
        };
    };
    let holds = |schema: &Value| accepts(root, schema, value);
    for (keyword, rule) in keywords {
        let failed = || Err(format!("{keyword} {rule} does not take {value}"));
        match keyword.as_str() {
            "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => return failed(),
            "minimum" => {}
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    return failed();
                }
            }
            "$ref" => {
                let path = rule.as_str().unwrap().trim_start_matches('#');
                holds(root.pointer(path).unwrap())?;
            }
            "const" if rule != value => return failed(),
            "enum" if !rule.as_array().unwrap().contains(value) => return failed(),
            // Words for people, and what other keywords look up by themselves.
            other if ASIDE.contains(&other) => {}
            "type" => {
                let kinds = rule
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![rule.clone()]);
                let fits = kinds.iter().any(|kind| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("what is a {other}?"),
                });
                if !fits {
                    return failed();
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                        return failed();
                    }
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        accepts(root, rule, value)?;
                    }
                }
            }
            "additionalProperties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if schema.pointer(&format!("/properties/{name}")).is_none() {
                        accepts(root, rule, value).map_err(|error| format!("{name}: {error}"))?;
                    }
                }
            }
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    accepts(root, rule, value)?;
                }
            }
            "allOf" => rule.as_array().unwrap().iter().try_for_each(holds)?,
            "anyOf" => {
                if !rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|rule| holds(rule).is_ok())
                {
                    return failed();
                }
            }
            "if" => {
                if holds(rule).is_ok() {
                    holds(&schema["then"])?;
                }
            }
            other => panic!("the schema has a keyword {other}"),
        }
    }
    Ok(())
}
