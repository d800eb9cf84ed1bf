//! A plan sends no write, a plan after a run is empty, and what was planned is what was done.

use std::collections::HashMap;
use std::time::Duration;

use lockkeeper_engine::PlanReport;
use lockkeeper_gate::{Change, Record};
use lockkeeper_journal::Store;
use lockkeeper_types::{Value, unknown};
use serde::Deserialize as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::Project;
use crate::world::{requests, run, variants, with, writes_since};

#[test]
fn a_plan_sends_no_writing_request() {
    let project = Project::new();
    for variant in variants(&project) {
        let seen = requests(&project).len();
        let (code, plan) = project.json(&with("plan", &variant));
        assert_eq!(code, 0, "{plan:#}");
        assert!(plan["counts"]["create"].as_u64().unwrap() > 5, "{plan:#}");
        assert_eq!(writes_since(&project, seen), Vec::<String>::new());
        let sent = requests(&project).len() - seen;
        assert_eq!(plan["requests"]["writes"], 0);
        let gets = plan["requests"]["gets"].as_u64().unwrap();
        assert!(
            gets > 0 && usize::try_from(gets).unwrap() <= sent,
            "{gets} of {sent}"
        );
    }
}

#[test]
fn a_plan_after_a_run_is_empty() {
    let project = Project::new();
    for variant in variants(&project) {
        run(&project, &variant);
        let seen = requests(&project).len();
        let (code, plan) = project.json(&[&with("plan", &variant)[..], &["--exit-code"]].concat());
        assert_eq!(code, 0, "{plan:#}");
        for count in ["create", "update", "delete"] {
            assert_eq!(plan["counts"][count], 0, "{count}: {:#}", plan["calls"]);
        }
        let text = project.ok(&with("plan", &variant)).stdout();
        assert!(text.contains("  No changes. 1 to run, "), "{text}");
        assert_eq!(writes_since(&project, seen), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_was_planned_is_what_is_done() {
    let project = Project::new();
    for variant in variants(&project) {
        let (code, planned) = project.json(&with("plan", &variant));
        assert_eq!(code, 0, "{planned:#}");
        let planned = PlanReport::deserialize(&planned).unwrap();
        let id = run(&project, &variant);
        let store = Store::open(project.state().join("journal.db")).unwrap();
        let history = store.history(&id).await.unwrap();
        let mut done = Record::of(&history.entries).unwrap().written;
        let place = |step: &str| planned.steps.iter().position(|other| other.id == step);
        done.sort_by_key(|written| place(&written.step));

        let changing: Vec<_> = planned
            .calls
            .iter()
            .filter(|call| call.change() != Change::Unchanged)
            .collect();
        let names = |calls: &mut dyn Iterator<Item = (&String, &String)>| {
            calls
                .map(|(step, operation)| format!("{step} {operation}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&mut done.iter().map(|it| (&it.step, &it.call.operation))),
            names(&mut changing.iter().map(|it| (&it.step, &it.operation)))
        );
        let mut known = Known::default();
        for (call, written) in changing.iter().zip(&done) {
            let about = format!("{} {}", call.step, call.operation);
            known.same(
                &about,
                &call.object.key.clone().into(),
                &written.object.key.clone().into(),
            );
            assert_eq!(call.object.kind, written.object.kind, "{about}");
            assert_eq!(call.class, written.class, "{about}");
            assert_eq!(
                call.not_undoable.is_some(),
                is_impossible(written),
                "{about}"
            );
            known.same(&about, &call.arguments, &written.call.arguments);
            if unknown::source(&call.object.key).is_some() && call.after.is_array() {
                // What a service puts into a list of its own when it makes the object, such as
                // the creator as manager, is there only then: the same is added to it.
                let added = |before: &Value, after: &Value| -> Value {
                    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
                    let before = items(before);
                    items(after)
                        .into_iter()
                        .filter(|item| !before.contains(item))
                        .collect()
                };
                let planned = added(&call.before, &call.after);
                known.same(&about, &planned, &added(&written.before, &written.after));
                continue;
            }
            known.same(&about, &call.before, &written.before);
            known.same(&about, &call.after, &written.after);
        }
        project.ok(&["undo", &id, "--yes"]);
    }
}

fn is_impossible(written: &lockkeeper_gate::Written) -> bool {
    matches!(
        written.inverse().unwrap(),
        lockkeeper_gate::Inverse::Impossible(_)
    )
}

/// What placeholders turned out to be.
#[derive(Default)]
struct Known(HashMap<String, String>);

impl Known {
    /// Holds a planned value against the one of the run.
    fn same(&mut self, about: &str, planned: &Value, done: &Value) {
        match (planned, done) {
            (Value::String(planned), Value::String(done)) => self.text(about, planned, done),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).for_each(|(a, b)| self.same(about, a, b));
            }
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
                for (name, planned) in a {
                    self.same(&format!("{about}.{name}"), planned, &b[name]);
                }
            }
            _ => assert_eq!(planned, done, "{about}"),
        }
    }

    fn text(&mut self, about: &str, planned: &str, done: &str) {
        let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        if let (Some(planned), Some(done)) = (time(planned), time(done)) {
            // A secret's life is counted from when it is issued.
            assert!(
                (planned - done).unsigned_abs() < Duration::from_mins(10),
                "{about}"
            );
            return;
        }
        let Some(start) = planned.find('\u{27e8}') else {
            assert_eq!(planned, done, "{about}");
            return;
        };
        let end = planned.find('\u{27e9}').unwrap() + '\u{27e9}'.len_utf8();
        let (before, after) = (&planned[..start], &planned[end..]);
        let placeholder = &planned[start..end];
        assert!(
            unknown::source(placeholder).is_some(),
            "{about}: {placeholder}"
        );
        let value = done
            .strip_prefix(before)
            .unwrap_or_else(|| panic!("{about}: {done}"));
        // What follows the placeholder is literal: the address of a job ends with its id.
        let value = match after.find('\u{27e8}') {
            None => value
                .strip_suffix(after)
                .unwrap_or_else(|| panic!("{about}: {done}")),
            Some(_) => panic!("{about}: two placeholders in one text"),
        };
        let known = self
            .0
            .entry(placeholder.to_owned())
            .or_insert_with(|| value.to_owned());
        assert_eq!(known, value, "{about}: {placeholder}");
    }
}
