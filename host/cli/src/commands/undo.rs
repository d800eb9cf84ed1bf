//! `undo`.

use std::sync::Arc;

use lockkeeper_engine::{UndoReport, UndoSelection};

use super::question::Question;
use super::run::{Session, open_journal, recorded_source};
use crate::args;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) async fn undo(
    project: Arc<Project>,
    command: &args::Undo,
    no_input: bool,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let run = open_journal(&project)?.run(&command.run).await?;
    let source = recorded_source(&run);
    let target = args::Target {
        name: command
            .target
            .name
            .clone()
            .or_else(|| Some(run.beginning.target.clone())),
        ..command.target.clone()
    };
    let mut session = Session::open(&project, &source, &target, printer).await?;
    let result = carry_out(&mut session, &run.summary.id, command, no_input, printer).await;
    session.close().await;
    result
}

async fn carry_out(
    session: &mut Session,
    run: &str,
    command: &args::Undo,
    no_input: bool,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    for step in command.to.iter().chain(&command.keep) {
        if session.workflow.step(step).is_none() {
            return Err(Problem::new(
                Exit::Usage,
                format!("the run has no step `{step}`"),
            ));
        }
    }
    let selection = UndoSelection {
        to: command.to.clone(),
        keep: command.keep.clone(),
        purge: command.purge,
    };
    let plan = session
        .engine
        .plan_undo(&session.workflow, run, &selection)
        .await?;
    printer.tell(&show::undo_plan(&plan));
    if plan.calls().next().is_some() && !command.yes {
        let question = Question {
            asked: "Take this back?",
            refused: "nothing was taken back",
        };
        session.ask(&question, no_input, printer).await?;
    }
    finish(
        printer,
        &session.engine.undo(&session.workflow, &plan).await?,
    )
}

/// Prints what an undo came to.
pub(super) fn finish(printer: &Printer, report: &UndoReport) -> Result<Exit, Problem> {
    if printer.wants_json() {
        printer.json("undo_summary", report)?;
    } else {
        printer.result(&show::undo_report(report))?;
    }
    let complete = report.left.iter().all(|left| left.expected);
    Ok(if complete {
        Exit::Done
    } else {
        Exit::LeftBehind
    })
}
