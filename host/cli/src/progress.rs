//! What people see of a run while it runs: a live line per step on a terminal, plain lines and a
//! heartbeat elsewhere, or a JSON object per event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lockkeeper_gate::{Event, Listener, ListenerError};
use serde_json::json;

use crate::args::Output;
use crate::printer::Printer;
use crate::show::one_line;

/// How often a step that takes long says so where nothing redraws.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// Prints events as they happen.
pub(crate) struct Progress {
    printer: Arc<Printer>,
    live: Option<MultiProgress>,
    /// How wide the names of steps are.
    width: usize,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    started: Instant,
    told: Instant,
    doing: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For steps whose longest name is `width` long.
    pub(crate) fn new(printer: Arc<Printer>, width: usize) -> Arc<Self> {
        let live = printer.is_live().then(MultiProgress::new);
        let progress = Arc::new(Self {
            printer,
            live,
            width,
            running: Mutex::default(),
        });
        if progress.live.is_none() {
            let beating = Arc::downgrade(&progress);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(HEARTBEAT / 10).await;
                    let Some(progress) = beating.upgrade() else {
                        return;
                    };
                    progress.beat();
                }
            });
        }
        progress
    }

    /// Tells of each step that nothing was heard of for long.
    fn beat(&self) {
        if self.printer.wants_json() {
            return;
        }
        let mut lines = Vec::new();
        for (step, running) in self.lock().iter_mut() {
            if running.told.elapsed() >= HEARTBEAT {
                running.told = Instant::now();
                let elapsed = running.started.elapsed().as_secs();
                lines.push(self.line(
                    "…",
                    step,
                    &format!("still running, {elapsed} s  {}", running.doing),
                ));
            }
        }
        for line in lines {
            self.printer.say(&line);
        }
    }

    fn line(&self, symbol: &str, step: &str, text: &str) -> String {
        let colour = match symbol {
            "✓" => Style::new().fg_color(Some(AnsiColor::Green.into())),
            "✗" => Style::new().fg_color(Some(AnsiColor::Red.into())),
            _ => Style::new().dimmed(),
        };
        let (width, text) = (self.width, one_line(text));
        format!("  {colour}{symbol}{colour:#} {step:width$}  {text}")
    }

    /// Prints a line above whatever redraws.
    fn say(&self, line: &str) {
        match &self.live {
            Some(bars) => bars.suspend(|| self.printer.say(line)),
            None => self.printer.say(line),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, step: &str) {
        let bar = self.live.as_ref().map(|live| {
            let bar = live.add(ProgressBar::new_spinner());
            let template = format!(
                "  {{spinner}} {step:width$}  {{elapsed}}  {{msg}}",
                width = self.width
            );
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        let running = Running {
            started: now,
            told: now,
            doing: String::new(),
            bar,
        };
        self.lock().insert(step.to_owned(), running);
    }

    fn doing(&self, step: &str, what: &str) {
        if let Some(running) = self.lock().get_mut(step) {
            running.doing = one_line(what);
            if let Some(bar) = &running.bar {
                bar.set_message(running.doing.clone());
            }
        }
    }

    fn end(&self, step: &str) -> Duration {
        let Some(running) = self.lock().remove(step) else {
            return Duration::ZERO;
        };
        if let Some(bar) = running.bar {
            bar.finish_and_clear();
        }
        running.started.elapsed()
    }

    fn text(&self, run: &str, step: Option<&str>, event: &Event) {
        let name = step.unwrap_or_default();
        match event {
            Event::RunStart {
                workflow,
                target,
                actor,
                resumed,
            } => {
                let again = if *resumed { "  resumed" } else { "" };
                self.say(&one_line(&format!(
                    "  Run {run}  {workflow}  {target}  by {actor}{again}"
                )));
            }
            Event::StepStart { .. } => self.start(name),
            Event::StepProgress { message } => match step {
                Some(step) => self.doing(step, message),
                None => self.say(&one_line(&format!("  {message}"))),
            },
            Event::Waiting {
                operation,
                reason,
                delay,
            } => {
                let text = format!("{operation} waits {:.1} s: {reason}", delay.as_secs_f64());
                self.doing(name, &text);
                if self.live.is_none() {
                    self.say(&self.line("…", name, &text));
                }
            }
            Event::StepNote { message } => self.say(&self.line("·", name, message)),
            Event::StepComplete { changes, .. } => {
                let took = self.end(name);
                let what = match changes {
                    0 => "nothing to change".to_owned(),
                    1 => "1 change".to_owned(),
                    n => format!("{n} changes"),
                };
                self.say(&self.line("✓", name, &format!("{:>6.1} s  {what}", took.as_secs_f64())));
            }
            Event::StepSkipped { reason } => {
                self.say(&self.line("-", name, &format!("skipped ({reason})")));
            }
            Event::StepFailed { message, retried } => {
                let took = self.end(name);
                let again = if *retried { "; trying again" } else { "" };
                let text = format!("{:>6.1} s  {message}{again}", took.as_secs_f64());
                self.say(&self.line("✗", name, &text));
            }
            Event::CallIntent(_) | Event::CallOutcome { .. } | Event::RunEnd { .. } => {}
        }
    }

    fn ndjson(&self, run: &str, step: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        let mut value = serde_json::to_value(event).unwrap_or_default();
        let kind = value
            .as_object_mut()
            .and_then(|fields| fields.remove("type"))
            .and_then(|kind| kind.as_str().map(str::to_owned))
            .unwrap_or_default();
        let first = json!({ "message": message(step, event), "run": run, "step": step });
        self.printer
            .line(&kind, &first, value)
            .map_err(|problem| ListenerError(problem.message))
    }
}

/// The event in words, for readers that do not know its type.
fn message(step: Option<&str>, event: &Event) -> String {
    let step = step.unwrap_or("run");
    match event {
        Event::RunStart {
            workflow, target, ..
        } => format!("run of {workflow} at {target}"),
        Event::StepStart { plugin, attempt } => format!("{step}: {plugin}, attempt {attempt}"),
        Event::StepProgress { message } | Event::StepNote { message } => {
            format!("{step}: {message}")
        }
        Event::Waiting {
            operation, reason, ..
        } => format!("{step}: {operation} waits: {reason}"),
        Event::CallIntent(call) => format!("{step}: {} {}", call.operation, call.object.name),
        Event::CallOutcome { call, outcome, .. } => {
            format!(
                "{step}: {} {}: {outcome:?}",
                call.operation, call.object.name
            )
        }
        Event::StepComplete { changes, .. } => format!("{step}: done, {changes} changes"),
        Event::StepSkipped { reason } => format!("{step}: skipped, {reason}"),
        Event::StepFailed { message, .. } => format!("{step}: failed, {message}"),
        Event::RunEnd { status } => format!("run {status}"),
    }
}

impl Listener for Progress {
    fn hear(&self, run: &str, step: Option<&str>, event: &Event) -> Result<(), ListenerError> {
        match self.printer.output {
            Output::Ndjson => self.ndjson(run, step, event),
            // A plan reads too fast for its own lines to help.
            Output::Json | Output::Text if run == "plan" => Ok(()),
            Output::Json | Output::Text => {
                self.text(run, step, event);
                Ok(())
            }
        }
    }
}
