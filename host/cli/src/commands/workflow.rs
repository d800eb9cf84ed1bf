//! `workflow list`, `graph` and `docs`.

use std::sync::Arc;

use lockkeeper_workflow::{Diagnostic, Source};
use serde_json::json;

use crate::args::Workflow;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) fn workflow(
    project: &Project,
    command: &Workflow,
    printer: &Printer,
) -> Result<Exit, Problem> {
    match command {
        Workflow::List => {
            let mut rows = Vec::new();
            let (workflows, warnings) = project.workflows()?;
            for warning in warnings {
                printer.tell(&format!("warning: {warning}"));
            }
            for (name, found) in workflows {
                let title = match found.read() {
                    Ok(source) => title(&source),
                    Err(problem) if problem.message.is_empty() => mistakes(&problem.diagnostics),
                    Err(problem) => format!("({})", problem.message),
                };
                rows.push((name, found.path(), title));
            }
            if printer.wants_json() {
                let rows: Vec<_> = rows
                    .iter()
                    .map(
                        |(name, path, title)| json!({ "name": name, "path": path, "title": title }),
                    )
                    .collect();
                printer.json("workflows", &rows)?;
            } else {
                let rows: Vec<_> = rows
                    .into_iter()
                    .map(|(name, path, title)| vec![name, path, title])
                    .collect();
                printer.result(&show::table(&["WORKFLOW", "FILE", "TITLE"], &rows))?;
            }
        }
        Workflow::Graph { workflow } => {
            let (checked, _) = project.load(&project.workflow(workflow)?)?;
            printer.result(&lockkeeper_workflow::dot(&checked.workflow))?;
        }
        Workflow::Docs { workflow } => {
            let (checked, catalogue) = project.load(&project.workflow(workflow)?)?;
            printer.result(&lockkeeper_workflow::docs(&checked.workflow, &catalogue))?;
        }
        Workflow::Check(command) => return super::check::check(project, command, printer),
    }
    Ok(Exit::Done)
}

fn title(source: &Arc<Source>) -> String {
    match lockkeeper_workflow::parse(source) {
        Ok(workflow) => workflow.title.unwrap_or_default(),
        Err(found) => mistakes(&found.0),
    }
}

fn mistakes(found: &[Diagnostic]) -> String {
    format!("({} mistakes; see `lockkeeper check`)", found.len())
}
