//! What a person is asked after a plan was shown.

use std::io::IsTerminal as _;

use crate::exit::{Exit, Problem};
use crate::printer::Printer;

pub(super) struct Question {
    pub(super) asked: &'static str,
    /// What any other answer than `yes` comes to.
    pub(super) refused: &'static str,
}

impl Question {
    /// Fails unless a person says `yes`.
    pub(super) fn ask(&self, no_input: bool, printer: &Printer) -> Result<(), Problem> {
        let Self { asked, refused } = self;
        if no_input || !std::io::stdin().is_terminal() {
            let message = format!("{refused}: nobody can be asked");
            return Err(
                Problem::new(Exit::Usage, message).help("look at the plan above, then say --yes")
            );
        }
        printer.tell(&format!("  {asked} Only `yes` does."));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|error| {
            Problem::new(Exit::Failed, format!("cannot read the answer: {error}"))
        })?;
        if answer.trim() == "yes" {
            Ok(())
        } else {
            Err(Problem::new(Exit::Cancelled, *refused))
        }
    }
}
