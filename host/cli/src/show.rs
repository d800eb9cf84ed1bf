//! How results look to people.

use std::path::Path;

use lockkeeper_engine::{
    Difference, PlanReport, RunReport, RunResult, StepFailure, StepReport, StepResult, UndoPlan,
    UndoReport, UndoState,
};
use lockkeeper_gate::{Change, PlannedCall};
use lockkeeper_types::{Value, secret_name, unknown};
use lockkeeper_workflow::{Diagnostic, Workflow};

use crate::exit::Problem;
use crate::explain;
use crate::printer::Printer;

/// Prints mistakes in workflow files to stderr, in rustc's frame; for GitHub Actions also as
/// annotations.
pub(crate) fn diagnostics(printer: &Printer, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        printer.tell(&diagnostic.render(printer.colours_stderr()));
        printer.tell("");
        if std::env::var_os("GITHUB_ACTIONS").is_some() {
            printer.tell(&annotation(diagnostic));
        }
    }
}

/// A finding as GitHub Actions annotates a file with it.
fn annotation(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.source.as_ref().map_or_else(String::new, |source| {
        let (line, column) = source.position(diagnostic.span.start);
        format!(" file={},line={line},col={column}", source.path)
    });
    let message = diagnostic.message.replace('%', "%25").replace('\n', "%0A");
    format!("::{}{place}::{}: {message}", diagnostic.severity.as_str(), diagnostic.code)
}

/// A table with aligned columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(head.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// How long ago, in words.
pub(crate) fn ago(elapsed: time::Duration) -> String {
    let (count, unit) = match elapsed.whole_seconds().max(0) {
        seconds @ 0..=59 => (seconds, "second"),
        seconds @ 60..=3599 => (seconds / 60, "minute"),
        seconds @ 3600..=86399 => (seconds / 3600, "hour"),
        seconds => (seconds / 86400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// A value on one line, as people write it.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => unknown::display(text),
        Value::Null => "-".to_owned(),
        other if secret_name(other).is_some() => "(secret)".to_owned(),
        other => other.to_string(),
    }
}

/// Prints a run's outputs.
pub(crate) fn outputs(printer: &Printer, report: &RunReport) -> Result<(), Problem> {
    if report.result != RunResult::Succeeded {
        return Ok(());
    }
    let changes: u64 = report.steps.iter().map(|step| step.changes).sum();
    if changes == 0 {
        printer.say("  Everything was already there");
    }
    if report.outputs.is_empty() {
        return Ok(());
    }
    let width = report.outputs.keys().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for (name, output) in &report.outputs {
        text.push_str(&format!("  {name:<width$}  {}\n", value(output)));
    }
    printer.result(&text)
}

/// Prints why a run did not succeed, what was done, and what to do next.
pub(crate) fn failure(printer: &Printer, workflow: &Workflow, report: &RunReport) {
    for step in &report.steps {
        if let Some(error) = &step.error {
            printer.tell(&step_failure(printer, workflow, step, error, report));
        }
    }
    if let Some(error) = &report.error {
        printer.tell(&format!("error: {error}"));
    }
    if report.result == RunResult::Cancelled {
        printer.tell("  Cancelled; nothing is under way");
    }
    if std::env::var_os("LOCKKEEPER_IN_AUTOMATION").is_none() {
        let run = &report.run;
        printer.tell(&format!(
            "  next:  lockkeeper resume {run}    goes on from there\n         lockkeeper undo {run}      takes back what was done\n         lockkeeper runs show {run}"
        ));
    }
}

fn step_failure(
    printer: &Printer,
    workflow: &Workflow,
    step: &StepReport,
    error: &StepFailure,
    report: &RunReport,
) -> String {
    let message = format!("step `{}` failed: {}", step.id, error.message);
    let code = explain::known(&error.code);
    let mut diagnostic = match workflow.step(&step.id) {
        Some(step) => {
            Diagnostic::error(code, &workflow.source, step.name.span.clone(), message)
        }
        None => Diagnostic::without_source(code, message),
    };
    if let Some(operation) = &error.operation {
        let mut call = format!("call:  {operation}");
        match (error.status, &error.service_code) {
            (Some(status), Some(code)) => call.push_str(&format!(" -> {status} {code}")),
            (None, Some(code)) => call.push_str(&format!(" -> {code}")),
            (Some(status), None) => call.push_str(&format!(" -> {status}")),
            (None, None) => {}
        }
        if let Some(id) = &error.request_id {
            call.push_str(&format!(" (request id {id})"));
        }
        diagnostic = diagnostic.note(call);
    }
    if let Some(cause) = &error.cause {
        diagnostic = diagnostic.note(format!("cause: {cause}"));
    }
    let done: Vec<&str> = report
        .steps
        .iter()
        .filter(|step| step.result == StepResult::Succeeded)
        .map(|step| step.id.as_str())
        .collect();
    if !done.is_empty() {
        diagnostic = diagnostic.note(format!("done:  {}", done.join(", ")));
    }
    if let Some(help) = &error.help {
        diagnostic = diagnostic.help(help.clone());
    }
    diagnostic.render(printer.colours_stderr())
}

fn symbol(change: Change) -> char {
    match change {
        Change::Create => '+',
        Change::Update => '~',
        Change::Delete => '-',
        Change::Run => '!',
        Change::Unchanged => ' ',
    }
}

/// A plan.
pub(crate) fn plan(plan: &PlanReport, saved: Option<&Path>) -> String {
    let mut text = format!(
        "  Read    {} objects (0 writes: writes are refused by the host in plan mode)\n\n",
        plan.reads
    );
    let width = plan.steps.iter().map(|step| step.id.len()).max().unwrap_or_default();
    for step in &plan.steps {
        let calls: Vec<&PlannedCall> = plan
            .calls
            .iter()
            .filter(|call| call.step == step.id && call.change() != Change::Unchanged)
            .collect();
        let mut name = step.id.as_str();
        let mut line = |rest: &str| {
            text.push_str(format!("  {name:<width$}  {rest}").trim_end());
            text.push('\n');
            name = "";
        };
        match (&step.result, calls.is_empty()) {
            (StepResult::Skipped, _) => {
                line(&format!("- skipped            {}", step.reason.as_deref().unwrap_or_default()));
            }
            (_, true) => line("  no changes"),
            (_, false) => {
                for call in calls {
                    line(&planned_call(call));
                    for change in changed_fields(call) {
                        line(&format!("      {change}"));
                    }
                }
            }
        }
    }
    let counts = plan.counts();
    if plan.is_empty() {
        text.push_str("\n  No changes.");
    } else {
        text.push_str(&format!(
            "\n  Plan: {} to create, {} to change, {} to delete,",
            counts.create, counts.update, counts.delete
        ));
    }
    text.push_str(&format!(
        " {} to run, {} unchanged.   plan {}\n",
        counts.run,
        plan.unchanged,
        plan.hash.get(..15).unwrap_or(&plan.hash)
    ));
    let fixed = plan.calls.iter().filter(|call| call.not_undoable.is_some()).count();
    if fixed > 0 {
        text.push_str(&format!("  Undo:  {fixed} of these cannot be taken back.\n"));
    }
    if let Some(path) = saved {
        text.push_str(&format!("  Next:  lockkeeper run --plan {}\n", path.display()));
    }
    text
}

fn planned_call(call: &PlannedCall) -> String {
    let mut line = format!(
        "{} {:<18} {}",
        symbol(call.change()),
        call.object.kind,
        unknown::display(&call.object.name)
    );
    if let Some(reason) = &call.not_undoable {
        line.push_str(&format!("   not undoable: {reason}"));
    }
    line
}

/// The fields that an update changes, before → after.
fn changed_fields(call: &PlannedCall) -> Vec<String> {
    if call.change() != Change::Update {
        return Vec::new();
    }
    match (&call.before, &call.after) {
        (Value::Object(before), Value::Object(after)) => after
            .iter()
            .filter(|(name, after)| before.get(*name) != Some(after))
            .map(|(name, after)| {
                let before = before.get(name).unwrap_or(&Value::Null);
                format!("{name}: {} -> {}", value(before), value(after))
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) => {
            let added = after.iter().filter(|item| !before.contains(item)).map(|i| ('+', i));
            let removed = before.iter().filter(|item| !after.contains(item)).map(|i| ('-', i));
            added.chain(removed).map(|(sign, item)| format!("{sign} {}", value(item))).collect()
        }
        (before, after) => vec![format!("{} -> {}", value(before), value(after))],
    }
}

/// What an undo would do.
pub(crate) fn undo_plan(plan: &UndoPlan) -> String {
    let mut text = format!("  Undo of run {}\n\n", plan.run);
    for item in &plan.items {
        let object = &item.written.object;
        let (symbol, what) = match &item.state {
            UndoState::Ready(_) if item.written.before.is_null() => ('-', String::new()),
            UndoState::Ready(_) => ('~', "back to what it was".to_owned()),
            UndoState::Done => continue,
            UndoState::Changed { .. } => ('?', "somebody changed it since: left alone".to_owned()),
            UndoState::Impossible(reason) => ('!', format!("stays: {reason}")),
            UndoState::Kept => (' ', "kept".to_owned()),
        };
        let line = format!(
            "  {:<10} {symbol} {:<18} {}   {what}",
            item.written.step, object.kind, object.name
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("\n  {} to take back.\n", plan.calls().count()));
    text
}

/// What an undo came to.
pub(crate) fn undo_report(report: &UndoReport) -> String {
    let mut text = format!("  Took back {} writes of run {}.\n", report.undone, report.run);
    if report.left.iter().all(|left| left.expected) {
        text.push_str("  Looked again: what was taken back is gone, or as it was.\n");
    }
    if !report.left.is_empty() {
        text.push_str("  Still there:\n");
    }
    for left in &report.left {
        text.push_str(&format!("    {}  {}: {}\n", left.step, left.object, left.reason));
    }
    text
}

/// What changed since a run.
pub(crate) fn drift(run: &str, found: &[Difference]) -> String {
    if found.is_empty() {
        return format!("  Nothing changed outside lockkeeper since run {run}.\n");
    }
    let mut text = format!("  Changed outside lockkeeper since run {run}:\n");
    for difference in found {
        let field = if difference.field.is_empty() { "it" } else { difference.field.as_str() };
        text.push_str(&format!(
            "  {:<10} ~ {:<18} {}\n      {field}: {} -> {}\n",
            difference.step,
            difference.object.kind,
            difference.object.name,
            value(&difference.left),
            match &difference.now {
                Value::Null => "gone".to_owned(),
                now => value(now),
            }
        ));
    }
    text
}
