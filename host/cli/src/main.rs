//! The lockkeeper command line.

mod args;
mod audit;
mod commands;
mod config;
mod connect;
mod exit;
mod explain;
mod files;
mod printer;
mod progress;
mod project;
mod show;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            // A reader that went away is no error.
            let _ = error.print();
            return ExitCode::from(exit as u8);
        }
    };
    let printer = Arc::new(Printer::new(&cli.global));
    let exit = match commands::dispatch(cli, &printer) {
        Ok(exit) => exit,
        Err(problem) => report(&printer, &problem),
    };
    ExitCode::from(exit as u8)
}

/// Says what ended the program.
fn report(printer: &Printer, problem: &Problem) -> Exit {
    if !problem.diagnostics.is_empty() {
        if !printer.wants_json() {
            show::diagnostics(printer, &problem.diagnostics);
        } else if let Err(unsaid) = printer.diagnostics(false, &problem.diagnostics) {
            printer.tell(&format!("error: {}", unsaid.message));
        }
    }
    if !problem.message.is_empty() {
        printer.tell(&format!("error: {}", problem.message));
    }
    if let Some(help) = &problem.help {
        printer.tell(&format!("  help: {help}"));
    }
    problem.exit
}
