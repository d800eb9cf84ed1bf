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
