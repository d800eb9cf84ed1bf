//! The audit log after a crash: one line for each intent and each outcome on record, and no other.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::stage::{entries, runs};
use crate::support::Project;

/// How often each kind of line is there of each call.
type Lines = BTreeMap<(String, String), usize>;

fn count(lines: &mut Lines, kind: &str, call: &Value) {
    let mark = call["mark"].as_str().unwrap().to_owned();
    *lines.entry((kind.to_owned(), mark)).or_default() += 1;
}

/// Compares the journal's writes with the log.
pub(crate) fn assert_audited(project: &Project, when: &str) {
    let mut recorded = Lines::new();
    for run in runs(project) {
        for entry in entries(project, run["id"].as_str().unwrap()) {
            let kind = match entry["kind"].as_str().unwrap() {
                "intent" if entry["value"]["sent"].is_object() => "call_intent",
                "intent" | "outcome" => "call_outcome",
                _ => continue,
            };
            count(&mut recorded, kind, &entry["facts"]);
        }
    }
    assert!(recorded.values().all(|count| *count == 1), "{when}");
    let mut audited = Lines::new();
    for line in fs::read_to_string(project.state().join("audit.jsonl"))
        .unwrap()
        .lines()
    {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = &line["event"];
        if event["mark"].is_string() {
            count(&mut audited, event["type"].as_str().unwrap(), event);
        }
    }
    for (call, lines) in audited {
        assert_eq!(recorded.remove(&call), Some(lines), "{when}: {call:?}");
    }
    assert_eq!(recorded, Lines::new(), "{when}: without a line");
}
