//! A workflow file with twelve mistakes gets all twelve at once, and runs nothing.

use crate::cloud;
use crate::support::Project;

const FILE: &str = include_str!("twelve.toml");

/// The code, and the very characters that a label points at.
const MISTAKES: [(&str, &str); 12] = [
    ("LK0102", "colour"),
    ("LK0209", "\"soon\""),
    ("LK0103", "\"int\""),
    ("LK0211", "\"registre\""),
    ("LK0201", "applicaton"),
    ("LK0207", "[steps.grant]"),
    ("LK0203", "idd"),
    ("LK0108", "="),
    ("LK0204", "\"everyone\""),
    ("LK0202", "nowhere"),
    ("LK0301", "steps.kept.client_secret"),
    ("LK0209", "\"cobol\""),
];

fn project() -> Project {
    let project = Project::new();
    project.ok(&["init"]);
    project.write("workflows/twelve.toml", FILE);
    project
}

/// Compares with the file beside this one; `BLESS=1` writes it.
fn golden(text: &str) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/onboard/twelve.err"
    );
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn check_shows_them_all() {
    let project = project();
    let ran = project.run(&["check", "twelve"]);
    assert_eq!(ran.code(), 2);
    assert_eq!(ran.stdout(), "");
    let stderr = ran.stderr();
    golden(&stderr);
    assert_eq!(stderr.matches("error[").count(), MISTAKES.len(), "{stderr}");
    let by_path = project.run(&["check", "workflows/twelve.toml"]);
    assert_eq!((by_path.code(), by_path.stderr()), (2, stderr));
}

#[test]
fn each_points_at_the_very_characters() {
    let (code, found) = project().json(&["check", "twelve"]);
    assert_eq!(code, 2);
    assert_eq!(found["ok"], false);
    let found = found["diagnostics"].as_array().unwrap();
    let spots: Vec<(&str, &str)> = found
        .iter()
        .map(|one| {
            let at = |name: &str| usize::try_from(one["span"][name].as_u64().unwrap()).unwrap();
            assert_eq!(one["severity"], "error");
            let (start, end) = (at("byte_start"), at("byte_end"));
            let line = FILE[..start].matches('\n').count() + 1;
            assert_eq!(one["span"]["line"], line);
            (one["code"].as_str().unwrap(), &FILE[start..end])
        })
        .collect();
    let pointed =
        |spot: &str, wanted: &str| spot.trim_matches('"').contains(wanted.trim_matches('"'));
    assert_eq!(spots.len(), MISTAKES.len(), "{spots:#?}");
    for ((code, spot), (wanted, characters)) in spots.iter().zip(MISTAKES) {
        assert_eq!(*code, wanted, "{spots:#?}");
        assert!(
            pointed(spot, characters) && spot.len() <= characters.len() + 5,
            "{spot} is {characters}"
        );
    }
}

#[test]
fn run_and_plan_show_the_same_and_do_nothing() {
    for command in ["run", "plan"] {
        let project = project();
        let checked = project.run(&["check", "twelve"]);
        let ran = project.run(&[command, "twelve", "-i", "app_name=etl-demo"]);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        assert_eq!(ran.stderr(), checked.stderr());
        assert_eq!(ran.stdout(), "");
        assert!(cloud::requests(&project).is_empty());
        assert_eq!(project.json(&["runs", "list"]).1, serde_json::json!([]));
    }
}

#[test]
fn run_and_plan_give_the_same_document_as_check() {
    let project = project();
    let (_, checked) = project.json(&["check", "twelve"]);
    for command in ["run", "plan"] {
        let ran = project.json(&[command, "twelve", "-i", "app_name=etl-demo"]);
        assert_eq!(ran, (2, checked.clone()), "{command}");
        let (code, found) = project.json(&[command, "onboard", "-i", "app_name=Etl Demo"]);
        assert_eq!((code, &found["ok"]), (2, &false.into()));
        assert_eq!(found["diagnostics"][0]["code"], "LK0209", "{found:#}");
    }
}

#[test]
fn in_ndjson_each_is_a_line() {
    let project = project();
    for command in [
        &["check", "twelve"][..],
        &["run", "twelve", "-i", "app_name=etl-demo"],
    ] {
        let ran = project.run(&[command, &["--output", "ndjson"]].concat());
        assert_eq!(ran.code(), 2);
        let stdout = ran.stdout();
        let lines = stdout.lines().map(serde_json::from_str);
        let lines: Vec<serde_json::Value> = lines.map(Result::unwrap).collect();
        assert_eq!(lines[0]["type"], "version", "{stdout}");
        let codes: Vec<_> = lines[1..].iter().map(|line| &line["code"]).collect();
        assert_eq!(codes, MISTAKES.map(|(code, _)| code), "{stdout}");
        for line in &lines[1..] {
            assert_eq!(line["type"], "diagnostic", "{line}");
            for name in ["message", "time", "severity", "file"] {
                assert!(line[name].is_string(), "{name} in {line}");
            }
        }
    }
    let ran = project.ok(&["check", "onboard", "--output", "ndjson"]);
    assert_eq!(ran.stdout().lines().count(), 1, "{}", ran.stdout());
}

/// A run whose outputs have no value: told in the frame that `check` uses, and why.
#[test]
fn an_expression_that_has_no_value_is_shown_in_its_frame() {
    let project = Project::new();
    project.ok(&["init"]);
    project.write(
        "workflows/nothing.toml",
        "lockkeeper = 1\n[workflow]\nname = \"nothing\"\n[inputs.by]\ntype = \"s64\"\n[outputs]\na = \"${1 / inputs.by}\"\n",
    );
    let ran = project.run(&["run", "nothing", "-i", "by=0"]);
    assert_eq!(ran.code(), 4, "{}", ran.stderr());
    let stderr = ran.stderr();
    for piece in [
        "error[LK9101]: this expression has no value\n",
        " --> workflows/nothing.toml:7:8\n",
        "^^^^^^^^^^^^^ ",
        "by zero",
        "note: inputs.by is `0`",
    ] {
        assert!(stderr.contains(piece), "{piece}: {stderr}");
    }
    assert!(!stderr.contains("error: error"), "{stderr}");
    let (code, report) = project.json(&["run", "nothing", "-i", "by=0"]);
    assert_eq!((code, &report["result"]), (4, &"failed".into()));
    let error = report["error"].as_str().unwrap();
    assert!(
        error.starts_with("LK9101: this expression has no value: ")
            && error.contains("by zero")
            && error.ends_with(" (workflows/nothing.toml:7:8)"),
        "{error}"
    );
}
