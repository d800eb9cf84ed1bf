//! How a plan looks: every write with its object, what is known of it, and how it is taken back.

use std::path::Path;
use std::time::Duration;

use lockkeeper_engine::{PlanReport, StepReport, StepResult};
use lockkeeper_gate::{Change, Class, PlannedCall};
use lockkeeper_types::{Value, secret_name, unknown};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{push_line, undo, value};

/// How a plan was made.
pub(crate) struct Making<'a> {
    /// What was checked: the file, and its steps, inputs and outputs in words.
    pub(crate) checked: String,
    /// How long checking took.
    pub(crate) checking: Duration,
    /// How long reading took.
    pub(crate) reading: Duration,
    /// Where the plan was saved.
    pub(crate) saved: Option<&'a Path>,
}

/// A plan.
pub(crate) fn plan(plan: &PlanReport, making: &Making<'_>) -> String {
    let mut text = format!(
        "  Checked {} in {} ms\n  Read    {} objects in {:.1} s ({} GET, {} writes: writes are refused by the host in plan mode)\n\n",
        making.checked,
        making.checking.as_millis(),
        plan.reads,
        making.reading.as_secs_f64(),
        plan.requests.gets,
        plan.requests.writes,
    );
    steps(plan, &mut text);
    text.push('\n');
    if let Some(changed) = &plan.changed_outside {
        text.push_str(&undo::drift(&changed.since, &changed.differences));
    }
    text.push_str(&totals(plan));
    if let Some(path) = making.saved {
        text.push_str(&format!(
            "  Next:  lockkeeper run --plan {}\n",
            path.display()
        ));
    }
    text
}

/// What an adoption would do.
pub(crate) fn adoption_plan(plan: &PlanReport) -> String {
    let mut text = format!("  Adoption for {}\n\n", plan.workflow);
    steps(plan, &mut text);
    text.push('\n');
    text.push_str(&totals(plan));
    text
}

fn steps(plan: &PlanReport, text: &mut String) {
    let changing: Vec<&PlannedCall> = plan
        .calls
        .iter()
        .filter(|call| call.change() != Change::Unchanged)
        .collect();
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    // In an adoption, the others are not asked.
    let asked = |step: &&StepReport| step.result != StepResult::NotRun;
    let steps: Vec<&StepReport> = plan.steps.iter().filter(asked).collect();
    let width = widest(&mut steps.iter().map(|step| step.id.len()));
    let kinds = widest(&mut changing.iter().map(|call| call.object.kind.len()));
    let names = widest(
        &mut changing
            .iter()
            .map(|call| shown_name(call).chars().count().min(40)),
    );
    for step in steps {
        let mut name = step.id.as_str();
        let mut line = |rest: &str| {
            push_line(text, &format!("  {name:<width$}  {rest}"));
            name = "";
        };
        let mut quiet = true;
        for call in changing.iter().filter(|call| call.step == step.id) {
            quiet = false;
            let (kind, object) = (&call.object.kind, shown_name(call));
            let detail = detail(call, plan);
            line(&format!(
                "{} {kind:<kinds$}  {object:<names$}  {detail}",
                symbol(call.change())
            ));
            let mut changes = Vec::new();
            if call.change() == Change::Update {
                fields("", &call.before, &call.after, &mut changes);
            }
            for change in &changes {
                line(&format!("      {change}"));
            }
        }
        if quiet {
            line(&unchanged(step));
        }
    }
}

/// What is said of a step that would write nothing.
fn unchanged(step: &StepReport) -> String {
    let reason = step.reason.as_deref().unwrap_or_default();
    match step.result {
        // Its `when` waits for a value that only a run has.
        StepResult::Skipped if reason.starts_with("decided after") => format!("? {reason}"),
        StepResult::Skipped => format!("- skipped: {reason}"),
        _ => "  no changes".to_owned(),
    }
}

fn totals(plan: &PlanReport) -> String {
    let counts = plan.counts;
    let hash = short(&plan.hash);
    if plan.is_empty() {
        let mut text = format!(
            "  No changes. {} to run, {} unchanged.   plan {hash}\n",
            counts.run, plan.unchanged
        );
        undo_line(plan, &mut text);
        return text;
    }
    let mut text = format!(
        "  Plan: {} to create, {} to change, {} to delete, {} to run, {} unchanged.   plan {hash}\n",
        counts.create, counts.update, counts.delete, counts.run, plan.unchanged
    );
    undo_line(plan, &mut text);
    text
}

/// How many of the writes an undo takes back, and by what.
fn undo_line(plan: &PlanReport, text: &mut String) {
    let (mut deletions, mut restores, mut fixed) = (0, 0, 0);
    for call in &plan.calls {
        match call.change() {
            Change::Unchanged => {}
            _ if call.not_undoable.is_some() => fixed += 1,
            Change::Create => deletions += 1,
            Change::Update | Change::Delete | Change::Run => restores += 1,
        }
    }
    let recorded = match (deletions, restores) {
        (0, 0) => None,
        (_, 0) => Some(count(deletions, "deletion")),
        (0, _) => Some(count(restores, "restore")),
        _ => Some(format!(
            "{} and {}",
            count(deletions, "deletion"),
            count(restores, "restore")
        )),
    };
    let recorded = recorded.map(|what| {
        let verb = if deletions + restores == 1 {
            "is"
        } else {
            "are"
        };
        format!("{what} {verb} recorded in advance")
    });
    let fixed = (fixed > 0).then(|| format!("{} cannot be undone", count(fixed, "call")));
    let parts: Vec<String> = recorded.into_iter().chain(fixed).collect();
    if !parts.is_empty() {
        text.push_str(&format!("  Undo:  {}.\n", parts.join("; ")));
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A digest as people compare it: its beginning and its end.
fn short(hash: &str) -> String {
    match (hash.get(..11), hash.get(hash.len().saturating_sub(2)..)) {
        (Some(begin), Some(end)) => format!("{begin}...{end}"),
        _ => hash.to_owned(),
    }
}

pub(super) fn symbol(change: Change) -> char {
    match change {
        Change::Create => '+',
        Change::Update => '~',
        Change::Delete => '-',
        Change::Run => '!',
        Change::Unchanged => ' ',
    }
}

fn shown_name(call: &PlannedCall) -> String {
    unknown::display(&call.object.name)
}

/// What is worth knowing of a planned write beside its object.
fn detail(call: &PlannedCall, plan: &PlanReport) -> String {
    let mut parts = Vec::new();
    if call.class == Class::Issue {
        parts.push(issued(call, plan));
    } else if call.change() == Change::Create {
        match &call.after {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(item).collect();
                parts.push(items.join(", "));
            }
            Value::String(text) => parts.push(unknown::display(text)),
            after => {
                for (field, place) in [
                    ("application_id", "/application_id"),
                    ("id", "/id"),
                    ("run_as", "/settings/run_as"),
                    ("expires", "/expires"),
                ] {
                    let known = after.pointer(place).and_then(Value::as_str);
                    if let Some(known) = known.filter(|known| tells(field, known, call)) {
                        parts.push(format!("{field} {}", unknown::display(known)));
                    }
                }
            }
        }
    }
    if let Some(reason) = &call.not_undoable {
        parts.push(format!("not undoable: {reason}"));
    }
    parts.join("  ")
}

/// Whether a field's value is of interest: of the ids, those that the call makes.
fn tells(field: &str, known: &str, call: &PlannedCall) -> bool {
    match field {
        "application_id" | "id" => {
            unknown::source(known) == Some(call.step.as_str())
                && call.arguments.get(field).and_then(Value::as_str) != Some(known)
        }
        _ => true,
    }
}

/// Of a secret to be issued: how long it lives, and where it goes.
fn issued(call: &PlannedCall, plan: &PlanReport) -> String {
    let ends = call
        .arguments
        .get("ends")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let life = OffsetDateTime::parse(ends, &Rfc3339)
        .map(|ends| {
            let days = (ends - plan.made_at).as_seconds_f64() / 86_400.0;
            format!("{days:.0} days, until about {}", ends.date())
        })
        .unwrap_or_default();
    let taker = plan
        .calls
        .iter()
        .find(|other| other.step != call.step && holds_secret_of(&other.arguments, &call.step));
    let taker = taker.map_or_else(String::new, |taker| format!("; goes to {}", taker.step));
    format!("{life}  (never shown{taker})")
}

fn holds_secret_of(value: &Value, step: &str) -> bool {
    if let Some(name) = secret_name(value) {
        return unknown::source(name) == Some(step);
    }
    match value {
        Value::Array(items) => items.iter().any(|item| holds_secret_of(item, step)),
        Value::Object(fields) => fields.values().any(|field| holds_secret_of(field, step)),
        _ => false,
    }
}

/// An entry of a list, as people say it.
fn item(entry: &Value) -> String {
    let text = |field: &str| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .map(unknown::display)
    };
    let what = text("role")
        .or_else(|| text("direct"))
        .or_else(|| text("inherited"));
    match (what, text("principal"), text("key_id")) {
        (Some(what), Some(principal), _) => format!("{what} -> {principal}"),
        (_, _, Some(key_id)) => key_id,
        _ => value(entry),
    }
}

/// The fields that an update changes, before → after.
fn fields(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    let at = |rest: &str| {
        if path.is_empty() {
            rest.to_owned()
        } else {
            format!("{path}: {rest}")
        }
    };
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            for (name, after) in after {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                fields(
                    &path,
                    before.get(name).unwrap_or(&Value::Null),
                    after,
                    found,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            let added = after
                .iter()
                .filter(|entry| !before.contains(entry))
                .map(|e| ('+', e));
            let removed = before
                .iter()
                .filter(|entry| !after.contains(entry))
                .map(|e| ('-', e));
            found.extend(
                added
                    .chain(removed)
                    .map(|(sign, entry)| at(&format!("{sign} {}", item(entry)))),
            );
        }
        _ => found.push(at(&format!("{} -> {}", value(before), value(after)))),
    }
}
