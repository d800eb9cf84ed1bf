//! `adopt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::unplannable;
use super::question::Question;
use super::run::{Session, finish, given};
use crate::args;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) async fn adopt(
    project: Arc<Project>,
    command: &args::Adopt,
    no_input: bool,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let adopts = objects(&command.objects)?;
    let source = project.workflow(&command.workflow)?;
    let mut session = Session::open(&project, &source, &command.target, printer).await?;
    let result = carry_out(&mut session, &adopts, command, no_input, printer).await;
    session.close().await;
    result
}

async fn carry_out(
    session: &mut Session,
    adopts: &BTreeMap<String, String>,
    command: &args::Adopt,
    no_input: bool,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let given = given(&session.workflow, &command.inputs)?;
    let plan = session
        .engine
        .plan_adoption(&session.workflow, &given, adopts)
        .await
        .map_err(|error| unplannable(printer, &session.workflow, error))?;
    printer.tell(&show::adoption_plan(&plan));
    if !plan.is_empty() && !command.yes {
        let question = Question {
            asked: "Adopt this?",
            refused: "nothing was adopted",
        };
        session.ask(&question, no_input, printer).await?;
    }
    let Session {
        engine, workflow, ..
    } = session;
    let report = engine.adopt(workflow, &given, adopts).await?;
    finish(printer, workflow, &report)
}

/// The id that each step is given.
fn objects(arguments: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let mut adopts = BTreeMap::new();
    for argument in arguments {
        let (step, id) = argument
            .split_once('=')
            .map(|(step, id)| (step.trim(), id.trim()))
            .filter(|(step, id)| !step.is_empty() && !id.is_empty())
            .ok_or_else(|| {
                Problem::new(
                    Exit::Usage,
                    format!("`{argument}` does not say what a step is to adopt"),
                )
                .help("write STEP=ID, such as register=6f0e4d2c-… or job=991")
            })?;
        if adopts.insert(step.to_owned(), id.to_owned()).is_some() {
            return Err(Problem::new(
                Exit::Usage,
                format!("step `{step}` is given twice, and it keeps one object"),
            ));
        }
    }
    Ok(adopts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_given_one_id() {
        let parse = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|&one| one.to_owned()).collect();
            objects(&arguments).map_err(|problem| (problem.exit, problem.message))
        };
        let parsed = parse(&["register=a-b", "job = 991"]).unwrap();
        assert_eq!(parsed["register"], "a-b");
        assert_eq!(parsed["job"], "991");
        for wrong in ["register", "register=", "=7", ""] {
            assert_eq!(parse(&[wrong]).unwrap_err().0, Exit::Usage, "{wrong}");
        }
        let (exit, message) = parse(&["job=1", "job=2"]).unwrap_err();
        assert_eq!(exit, Exit::Usage);
        assert!(message.contains("`job` is given twice"), "{message}");
    }
}
