//! `explain`: a page per code.

use crate::exit::{Exit, Problem};
use crate::printer::Printer;

const EXIT_CODES: &str = include_str!("explain/exit-codes.md");

/// Pages of the codes that only a run can give; the workflow crate has those of files.
const PAGES: &[(&str, &str)] = &[
    ("LK9002", include_str!("explain/LK9002.md")),
    ("LK9003", include_str!("explain/LK9003.md")),
    ("LK9004", include_str!("explain/LK9004.md")),
    ("LK9005", include_str!("explain/LK9005.md")),
    ("LK9006", include_str!("explain/LK9006.md")),
    ("LK9007", include_str!("explain/LK9007.md")),
    ("LK95", include_str!("explain/LK95.md")),
];

/// Codes that end a step.
const STEP_CODES: [&str; 19] = [
    "LK9102", "LK9002", "LK9003", "LK9004", "LK9005", "LK9006", "LK9007", "LK9501", "LK9502",
    "LK9503", "LK9504", "LK9505", "LK9506", "LK9507", "LK9508", "LK9509", "LK9510", "LK9520",
    "LK9521",
];

/// A recorded code as one of those this version knows.
pub(crate) fn known(code: &str) -> &'static str {
    STEP_CODES
        .into_iter()
        .find(|known| *known == code)
        .unwrap_or("LK9002")
}

pub(crate) fn explain(code: &str, printer: &Printer) -> Result<Exit, Problem> {
    if code.eq_ignore_ascii_case("exit-codes") {
        return printer.result(EXIT_CODES).map(|()| Exit::Done);
    }
    let code = code.to_ascii_uppercase();
    let own = PAGES
        .iter()
        .find(|(page, _)| code.starts_with(page))
        .map(|(_, text)| *text);
    match own.or_else(|| lockkeeper_workflow::explain(&code)) {
        Some(text) => printer.result(text).map(|()| Exit::Done),
        None => Err(
            Problem::new(Exit::NotFound, format!("there is no code `{code}`"))
                .help("codes look like LK0203 and stand in square brackets behind `error`"),
        ),
    }
}
