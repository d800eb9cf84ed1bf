//! How results look to people.

mod plan;
mod undo;

use lockkeeper_engine::{RunReport, RunResult, StepFailure, StepReport, StepResult};
use lockkeeper_types::{Value, clean, secret_name, unknown};
use lockkeeper_workflow::{Diagnostic, Workflow};

use crate::exit::Problem;
use crate::explain;
use crate::printer::Printer;

pub(crate) use plan::{Making, adoption_plan, plan};
pub(crate) use undo::{drift, undo_plan, undo_report};

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
    let place = diagnostic
        .source
        .as_ref()
        .map_or_else(String::new, |source| {
            let (line, column) = source.position(diagnostic.span.start);
            format!(" file={},line={line},col={column}", source.path)
        });
    let message = diagnostic.message.replace('%', "%25").replace('\n', "%0A");
    format!(
        "::{}{place}::{}: {message}",
        diagnostic.severity.as_str(),
        diagnostic.code
    )
}

/// Longer than any message that the program makes itself, in characters.
const LONGEST: usize = 4_000;

/// Text for one line of a screen: whatever plugins and services put into it, it stays one line,
/// and a terminal has nothing to obey.
pub(crate) fn one_line(text: &str) -> String {
    clean(text, LONGEST)
}

/// Adds a line to a screen.
pub(crate) fn push_line(screen: &mut String, line: &str) {
    screen.push_str(&one_line(line.trim_end()));
    screen.push('\n');
}

/// A table with aligned columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        push_line(&mut text, &line);
    };
    line(head.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
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
    let width = report
        .outputs
        .keys()
        .map(String::len)
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (name, output) in &report.outputs {
        push_line(&mut text, &format!("  {name:<width$}  {}", value(output)));
    }
    printer.result(&text)
}

/// Prints what an adoption took over, and how to see what a run makes of it.
pub(crate) fn adopted(printer: &Printer, report: &RunReport) -> Result<(), Problem> {
    if report.result != RunResult::Succeeded {
        return Ok(());
    }
    let width = report.adopted.keys().map(String::len).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (step, id) in &report.adopted {
        push_line(
            &mut text,
            &format!("  {step:<width$}  keeps {id} from now on"),
        );
    }
    printer.result(&text)?;
    if std::env::var_os("LOCKKEEPER_IN_AUTOMATION").is_none() {
        printer.say(&format!(
            "  next:  lockkeeper plan {}    with the same inputs: what a run would change in them",
            report.workflow
        ));
    }
    Ok(())
}

/// Prints why a run did not succeed, what was done, and what to do next.
pub(crate) fn failure(printer: &Printer, workflow: &Workflow, report: &RunReport) {
    let done = |step: &&StepReport| step.result == StepResult::Succeeded;
    let done = report.steps.iter().filter(done);
    let done: Vec<&str> = done.map(|step| step.id.as_str()).collect();
    step_failures(printer, workflow, &report.steps, &done);
    if let Some(finding) = &report.finding {
        let mut finding = Diagnostic::clone(finding);
        // Values of plugins and services are in them.
        finding.label = one_line(&finding.label);
        for note in &mut finding.notes {
            *note = one_line(note);
        }
        if !done.is_empty() {
            finding = finding.note(format!("done:  {}", done.join(", ")));
        }
        printer.tell(&finding.render(printer.colours_stderr()));
    } else if let Some(error) = &report.error {
        printer.tell(&format!("error: {}", one_line(error)));
    }
    if report.result == RunResult::Cancelled {
        printer.tell("  Cancelled; nothing is under way");
    }
    if std::env::var_os("LOCKKEEPER_IN_AUTOMATION").is_none() {
        let run = &report.run;
        let resume = if report.adopted.is_empty() {
            "goes on from there"
        } else {
            "tries the same objects again; another object wants a new adopt"
        };
        printer.tell(&format!(
            "  next:  lockkeeper resume {run}    {resume}\n         lockkeeper undo {run}      takes back what was done\n         lockkeeper runs show {run}"
        ));
    }
}

/// Prints what steps failed with; the steps `done` did their work.
pub(crate) fn step_failures(
    printer: &Printer,
    workflow: &Workflow,
    steps: &[StepReport],
    done: &[&str],
) {
    for step in steps {
        if let Some(error) = &step.error {
            printer.tell(&step_failure(printer, workflow, step, error, done));
        }
    }
}

fn step_failure(
    printer: &Printer,
    workflow: &Workflow,
    step: &StepReport,
    error: &StepFailure,
    done: &[&str],
) -> String {
    let message = format!("step `{}` failed: {}", step.id, error.message);
    let code = explain::known(&error.code);
    let mut diagnostic = match workflow.step(&step.id) {
        Some(step) => Diagnostic::error(code, &workflow.source, step.name.span.clone(), message),
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
    if !done.is_empty() {
        diagnostic = diagnostic.note(format!("done:  {}", done.join(", ")));
    }
    if let Some(help) = &error.help {
        diagnostic = diagnostic.help(help.clone());
    }
    diagnostic.render(printer.colours_stderr())
}
