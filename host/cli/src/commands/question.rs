//! What a person is asked after a plan was shown.

use std::io::IsTerminal as _;

use super::run::signal;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;

pub(super) struct Question {
    pub(super) asked: &'static str,
    /// What any other answer than `yes` comes to.
    pub(super) refused: &'static str,
}

impl Question {
    /// Fails unless a person says `yes`. A signal is an answer, too.
    pub(super) async fn ask(&self, no_input: bool, printer: &Printer) -> Result<(), Problem> {
        let Self { asked, refused } = self;
        if no_input || !std::io::stdin().is_terminal() {
            let message = format!("{refused}: nobody can be asked");
            return Err(
                Problem::new(Exit::Usage, message).help("look at the plan above, then say --yes")
            );
        }
        printer.tell(&format!("  {asked} Only `yes` does."));
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = tokio::select! {
            answer = answer => answer?.map_err(|error| {
                Problem::new(Exit::Failed, format!("cannot read the answer: {error}"))
            })?,
            () = signal() => String::new(),
        };
        if answer.trim() == "yes" {
            Ok(())
        } else {
            Err(Problem::new(Exit::Cancelled, *refused))
        }
    }
}
