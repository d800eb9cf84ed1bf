//! The one place where anything is printed: results to stdout, all else to stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use lockkeeper_workflow::Diagnostic;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{Color, Global, Output};
use crate::exit::{Exit, Problem};

/// Prints for one invocation of the program.
pub(crate) struct Printer {
    pub(crate) output: Output,
    pub(crate) quiet: u8,
    stderr: Mutex<()>,
    /// Whether the first line of ndjson, which says the version, has been printed.
    version_told: AtomicBool,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            // anstream itself looks at NO_COLOR, CLICOLOR_FORCE, TERM and the terminal.
            Color::Auto if std::env::var_os("FORCE_COLOR").is_some() => {
                ColorChoice::Always.write_global();
            }
            Color::Auto => {}
            Color::Always => ColorChoice::Always.write_global(),
            Color::Never => ColorChoice::Never.write_global(),
        }
        Self {
            output: global.output,
            quiet: global.quiet,
            stderr: Mutex::new(()),
            version_told: AtomicBool::new(false),
        }
    }

    #[expect(
        clippy::unused_self,
        reason = "results go through the one printer, like all else"
    )]
    /// Prints text that is the command's result. A reader that went away is no error.
    pub(crate) fn result(&self, text: &str) -> Result<(), Problem> {
        let mut stdout = anstream::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| {
            if !text.ends_with('\n') {
                stdout.write_all(b"\n")?;
            }
            stdout.flush()
        });
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Problem::new(
                Exit::Failed,
                format!("cannot write the result: {error}"),
            )),
            _ => Ok(()),
        }
    }

    /// Prints a value that is the command's result: one JSON document, or for ndjson a line that
    /// says its type.
    pub(crate) fn json<T: Serialize>(&self, kind: &str, value: &T) -> Result<(), Problem> {
        let internal = |error: serde_json::Error| Problem::new(Exit::Internal, error.to_string());
        let value = serde_json::to_value(value).map_err(internal)?;
        match self.output {
            Output::Ndjson => self.line(kind, &json!({ "message": kind }), value),
            Output::Json | Output::Text => {
                self.result(&serde_json::to_string_pretty(&value).map_err(internal)?)
            }
        }
    }

    /// Prints findings about a workflow as the command's result: one JSON document, or for ndjson a
    /// line per finding.
    pub(crate) fn diagnostics(&self, ok: bool, found: &[Diagnostic]) -> Result<(), Problem> {
        if self.output != Output::Ndjson {
            return self.json("diagnostics", &json!({ "ok": ok, "diagnostics": found }));
        }
        self.tell_version()?;
        for one in found {
            let value = serde_json::to_value(one)
                .map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
            self.line("diagnostic", &json!({}), value)?;
        }
        Ok(())
    }

    /// The first line of ndjson.
    fn tell_version(&self) -> Result<(), Problem> {
        if self.version_told.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let version = json!({ "lockkeeper": env!("CARGO_PKG_VERSION") });
        self.line("version", &json!({ "message": "lockkeeper" }), version)
    }

    /// Prints a line of ndjson: what every line has, `first`, and `value`'s fields, or itself as
    /// `value` when it has none.
    pub(crate) fn line(&self, kind: &str, first: &Value, value: Value) -> Result<(), Problem> {
        self.tell_version()?;
        let mut line = serde_json::Map::new();
        line.insert("v".to_owned(), 1.into());
        let now = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        line.insert("time".to_owned(), now.into());
        line.insert("type".to_owned(), kind.into());
        for fields in [first.clone(), value] {
            match fields {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        line.entry(name).or_insert(value);
                    }
                }
                other => {
                    line.insert("value".to_owned(), other);
                }
            }
        }
        self.result(&Value::Object(line).to_string())
    }

    /// Whether the result is JSON rather than text.
    pub(crate) fn wants_json(&self) -> bool {
        self.output != Output::Text
    }

    /// Says something about the command's progress, unless that is not wanted.
    pub(crate) fn say(&self, text: &str) {
        if self.quiet == 0 {
            self.tell(text);
        }
    }

    /// Prints a warning or an error.
    pub(crate) fn tell(&self, text: &str) {
        let _one_at_a_time = self.stderr.lock();
        // Nowhere is left to say that stderr is gone.
        let _ = writeln!(anstream::stderr(), "{}", text.trim_end_matches('\n'));
    }

    /// Whether stderr redraws: a terminal, and no CI.
    pub(crate) fn is_live(&self) -> bool {
        self.quiet == 0 && io::stderr().is_terminal() && std::env::var_os("CI").is_none()
    }

    #[expect(clippy::unused_self, reason = "the printer alone knows of colour")]
    /// Whether colour reaches stderr, for what renders its own.
    pub(crate) fn colours_stderr(&self) -> bool {
        anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never
    }
}
