//! `check`.

use lockkeeper_workflow::{Checked, Workflow};

use crate::args;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) fn check(
    project: &Project,
    command: &args::Check,
    printer: &Printer,
) -> Result<Exit, Problem> {
    let source = project.workflow(&command.workflow)?;
    let (diagnostics, checked) = match project.load(&source) {
        Ok((Checked { workflow, warnings }, _)) => (warnings, Some(workflow)),
        Err(problem) if !problem.diagnostics.is_empty() => (problem.diagnostics, None),
        Err(problem) => return Err(problem),
    };
    if printer.wants_json() {
        printer.diagnostics(checked.is_some(), &diagnostics)?;
    } else {
        show::diagnostics(printer, &diagnostics);
    }
    let Some(workflow) = checked else {
        return Ok(Exit::Usage);
    };
    printer.say(&format!("  Checked {}", summary(&workflow)));
    Ok(Exit::Done)
}

/// A workflow that was checked, in one line.
pub(super) fn summary(workflow: &Workflow) -> String {
    format!(
        "{}: {} steps, {} inputs, {} outputs",
        workflow.source.path,
        workflow.steps.len(),
        workflow.inputs.len(),
        workflow.outputs.len()
    )
}
