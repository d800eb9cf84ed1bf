//! One file per command.

mod adopt;
mod check;
mod init;
mod plan;
mod plugin;
mod question;
mod run;
mod runs;
mod sim;
mod undo;
mod workflow;

use std::sync::Arc;

use clap::CommandFactory as _;

use crate::args::{Cli, Command, Schema, Sim};
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::{Project, runtime};

/// Does what the command line asks.
pub(crate) fn dispatch(cli: Cli, printer: &Arc<Printer>) -> Result<Exit, Problem> {
    let find = || Project::find(cli.global.project.as_deref());
    match cli.command {
        Command::Init { folder } => init::init(folder, cli.global.project, printer),
        Command::Check(check) | Command::Workflow(crate::args::Workflow::Check(check)) => {
            check::check(&find()?, &check, printer)
        }
        Command::Workflow(command) => workflow::workflow(&find()?, &command, printer),
        Command::Plugin(command) => plugin::plugin(&find()?, &command, printer),
        Command::Explain { code } => crate::explain::explain(&code, printer),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lockkeeper", &mut script);
            printer
                .result(&String::from_utf8_lossy(&script))
                .map(|()| Exit::Done)
        }
        Command::Schema(Schema::Workflow) => {
            let catalogue = find()?.catalogue(&runtime()?, None)?;
            let signatures: Vec<_> = catalogue.signatures().cloned().collect();
            printer
                .json("schema", &lockkeeper_workflow::schema(&signatures))
                .map(|()| Exit::Done)
        }
        Command::Sim(Sim::Reset) => sim::reset(&find()?, printer),
        Command::Sim(Sim::Calls) => sim::calls(&find()?, printer),
        Command::Sim(Sim::Start {
            port,
            http_port,
            profile,
            seed,
            fault,
        }) => {
            let project = find()?;
            block_on(sim::start(
                &project,
                (port, http_port),
                &profile,
                seed,
                &fault,
                printer,
            ))
        }
        Command::Run(command) => block_on(run::run(find()?.into(), command, printer)),
        Command::Resume { run, target } => {
            block_on(run::resume(find()?.into(), &run, &target, printer))
        }
        Command::Plan(command) => block_on(plan::plan(find()?.into(), command, printer)),
        Command::Adopt(command) => block_on(adopt::adopt(
            find()?.into(),
            &command,
            cli.global.no_input,
            printer,
        )),
        Command::Undo(command) => block_on(undo::undo(
            find()?.into(),
            &command,
            cli.global.no_input,
            printer,
        )),
        Command::Drift { what, target } => {
            block_on(plan::drift(find()?.into(), &what, &target, printer))
        }
        Command::Runs(command) => block_on(runs::runs(&find()?, &command, printer)),
    }
}

fn block_on(command: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    // Steps wait for services, not for a processor, and a plugin that computes yields at every tick
    // of its engine's clock: handing every reply from thread to thread costs more than it gains.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Problem::new(Exit::Internal, format!("cannot wait for services: {error}"))
        })?;
    let exit = runtime.block_on(command);
    // Nothing of what may still go on is waited for.
    runtime.shutdown_background();
    exit
}
