//! `plan` and `drift`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lockkeeper_engine::{EngineError, PlanReport};
use lockkeeper_journal::{LookupError, Mode, RunFilter, Status};
use lockkeeper_workflow::Workflow;
use serde_json::json;
use time::OffsetDateTime;

use super::run::{Session, given, open_journal, recorded_source};
use crate::args;
use crate::exit::{Exit, Problem};
use crate::files;
use crate::printer::Printer;
use crate::project::Project;
use crate::show::{self, Making};

pub(super) async fn plan(
    project: Arc<Project>,
    command: args::Plan,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let source = project.workflow(&command.workflow)?;
    let session = Session::open(&project, &source, &command.target, printer).await?;
    let begun = Instant::now();
    let planned = match given(&session.workflow, &command.inputs) {
        Ok(given) => {
            let now = OffsetDateTime::now_utc();
            session
                .engine
                .plan(&session.workflow, &given, now)
                .await
                .map_err(|error| unplannable(printer, &session.workflow, error))
        }
        Err(problem) => Err(problem),
    };
    let reading = begun.elapsed();
    let checked = super::check::summary(&session.workflow);
    let checking = session.checking;
    session.close().await;
    let planned = planned?;
    if let Some(path) = &command.out {
        let text = serde_json::to_string_pretty(&planned)
            .map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
        files::write(path, &text)?;
    }
    if printer.wants_json() {
        printer.json("plan", &planned)?;
    } else {
        let making = Making {
            checked,
            checking,
            reading,
            saved: command.out.as_deref(),
        };
        printer.result(&show::plan(&planned, &making))?;
    }
    Ok(if command.exit_code && !planned.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

/// Why there is no plan; what a step failed with is told at once.
pub(super) fn unplannable(printer: &Printer, workflow: &Workflow, error: EngineError) -> Problem {
    let EngineError::Unplannable { steps, .. } = &error else {
        return error.into();
    };
    show::step_failures(printer, workflow, steps, &[]);
    let said = if printer.wants_json() {
        let failed = json!({ "result": "failed", "error": error.to_string(), "steps": steps });
        printer.json("plan", &failed)
    } else {
        Ok(())
    };
    said.err().unwrap_or_else(|| error.into())
}

/// Reads a saved plan.
pub(super) fn read(path: &Path) -> Result<PlanReport, Problem> {
    let text = files::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|error| {
        Problem::new(
            Exit::Usage,
            format!("{} is not a saved plan: {error}", path.display()),
        )
        .help("`lockkeeper plan WORKFLOW --out FILE` saves one")
    })
}

pub(super) async fn drift(
    project: Arc<Project>,
    what: &str,
    target: &args::Target,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let journal = open_journal(&project)?;
    let filter = RunFilter {
        workflow: Some(what.to_owned()),
        ..RunFilter::default()
    };
    let listed = journal.runs(filter).await.map_err(LookupError::from)?;
    let last = listed
        .runs
        .into_iter()
        .find(|run| run.mode == Mode::Run && run.status != Status::Undone)
        .map(|run| run.id);
    let asked = journal.run(last.as_deref().unwrap_or(what)).await;
    let run = match (asked, listed.damaged.into_iter().next()) {
        // It may be the one whose beginning cannot be read.
        (Err(LookupError::Unknown { .. }), Some(damage)) => {
            return Err(LookupError::Damaged(damage).into());
        }
        (run, _) => run?,
    };
    let source = recorded_source(&run);
    let target = args::Target {
        name: target
            .name
            .clone()
            .or_else(|| Some(run.beginning.target.clone())),
        ..target.clone()
    };
    let session = Session::open(&project, &source, &target, printer).await?;
    let found = session.engine.drift(&run.summary.id).await;
    session.close().await;
    let found = found?;
    if printer.wants_json() {
        printer.json(
            "drift",
            &json!({ "run": run.summary.id, "differences": found }),
        )?;
    } else {
        printer.result(&show::drift(&run.summary.id, &found))?;
    }
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::Pending
    })
}
