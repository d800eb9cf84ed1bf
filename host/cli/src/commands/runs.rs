//! `runs list`, `show` and `watch`.

use std::time::Duration;

use lockkeeper_gate::{Ended, Record};
use lockkeeper_journal::{JournalEntry, LookupError, Mode, Run, RunFilter, Status, Store};
use serde::Deserialize as _;
use serde_json::json;
use time::OffsetDateTime;

use crate::args::Runs;
use crate::exit::{Exit, Problem};
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) async fn runs(
    project: &Project,
    command: &Runs,
    printer: &Printer,
) -> Result<Exit, Problem> {
    if !project.journal().exists() {
        return match command {
            Runs::List { .. } if printer.wants_json() => {
                printer.json("runs", &json!([])).map(|()| Exit::Done)
            }
            Runs::List { .. } => printer.result("  No runs yet").map(|()| Exit::Done),
            Runs::Show { run } | Runs::Watch { run } => Err(Problem::new(
                Exit::NotFound,
                format!("there is no run `{run}`: no runs yet"),
            )),
        };
    }
    let store = Store::open_to_read(project.journal())?;
    match command {
        Runs::List { workflow } => list(&store, workflow.clone(), printer).await,
        Runs::Show { run } => {
            let run = store.run(run).await?;
            show_run(&store, &run, printer).await
        }
        Runs::Watch { run } => watch(&store, run, printer).await,
    }
}

async fn list(store: &Store, workflow: Option<String>, printer: &Printer) -> Result<Exit, Problem> {
    let filter = RunFilter {
        workflow,
        ..RunFilter::default()
    };
    let list = store.runs(filter).await.map_err(LookupError::from)?;
    if printer.wants_json() {
        printer.json("runs", &list.runs)?;
    } else {
        let now = OffsetDateTime::now_utc();
        let rows: Vec<Vec<String>> = list
            .runs
            .iter()
            .map(|run| {
                let status = match run.status {
                    Status::Interrupted => "interrupted, resumable".to_owned(),
                    status => status.to_string(),
                };
                let workflow = match (run.mode, &run.parent) {
                    (_, Some(parent)) => format!("undo of {parent}"),
                    (Mode::Adopt, None) => format!("adoption for {}", run.workflow),
                    (Mode::Run | Mode::Undo, None) => run.workflow.clone(),
                };
                let started = show::ago(now - run.started_at);
                vec![
                    run.id.clone(),
                    workflow,
                    run.target.clone(),
                    status,
                    started,
                    run.actor.clone(),
                ]
            })
            .collect();
        let head = ["RUN", "WORKFLOW", "TARGET", "STATUS", "STARTED", "BY"];
        printer.result(&show::table(&head, &rows))?;
    }
    for damage in &list.damaged {
        printer.tell(&format!("error: {damage}"));
    }
    Ok(if list.damaged.is_empty() {
        Exit::Done
    } else {
        Exit::Damaged
    })
}

async fn show_run(store: &Store, run: &Run, printer: &Printer) -> Result<Exit, Problem> {
    let history = store.history(&run.summary.id).await?;
    if printer.wants_json() {
        printer.json(
            "run",
            &json!({
                "run": run.summary,
                "adopts": run.beginning.adopts,
                "entries": history.entries,
            }),
        )?;
    } else {
        printer.result(&describe(run, &history.entries))?;
    }
    match history.damage {
        Some(damage) => Err(Problem::new(Exit::Damaged, damage.to_string())),
        None => Ok(Exit::Done),
    }
}

/// A run for people: what it is, its calls, what can be done next.
fn describe(run: &Run, entries: &[JournalEntry]) -> String {
    let summary = &run.summary;
    let mut text = String::new();
    let mut line = |line: &str| show::push_line(&mut text, line);
    line(&format!(
        "  Run {}  {}  {}  {}  by {}",
        summary.id, summary.workflow, summary.target, summary.status, summary.actor
    ));
    line("");
    for (step, id) in &run.beginning.adopts {
        line(&format!("  {step} adopts {id}"));
    }
    for entry in entries {
        let fact = |name: &str| entry.facts.get(name).and_then(|fact| fact.as_str());
        let name = entry
            .facts
            .pointer("/object/name")
            .and_then(|name| name.as_str());
        let what = match (entry.kind.as_str(), Ended::deserialize(&entry.value)) {
            ("outcome" | "read", Ok(ended)) => {
                let (symbol, said) = match &ended {
                    Ended::Done(_) => ("✓", String::new()),
                    Ended::Failed(failure) => ("✗", format!("  {}", failure.code)),
                };
                let operation = fact("operation").unwrap_or_default();
                format!("{symbol} {operation}  {}{said}", name.unwrap_or_default())
            }
            ("note", _) => format!("· {}", fact("message").unwrap_or_default()),
            _ => continue,
        };
        line(&format!("  {:<14} {what}", entry.address));
    }
    if let Ok(record) = Record::of(entries) {
        line("");
        line(&format!(
            "  {} writes that changed something",
            record.written.len()
        ));
        for open in &record.open {
            line(&format!(
                "  ? {} {}: unknown whether it was done",
                open.operation, open.object.name
            ));
        }
    }
    match summary.status {
        Status::Interrupted | Status::Failed | Status::Cancelled => line(&format!(
            "  Next:  lockkeeper resume {0}    or    lockkeeper undo {0}",
            summary.id
        )),
        Status::PartlyUndone => line(&format!(
            "  Next:  lockkeeper undo {}    takes back the rest",
            summary.id
        )),
        Status::Running | Status::Succeeded | Status::Undone => {}
    }
    text
}

async fn watch(store: &Store, run: &str, printer: &Printer) -> Result<Exit, Problem> {
    let id = store.run(run).await?.summary.id;
    let mut seen = 0;
    loop {
        let run = store.run(&id).await?;
        let history = store.history(&id).await?;
        for entry in history.entries.iter().skip(seen) {
            let fact = |place: &str| {
                let fact = entry.facts.pointer(place).and_then(|fact| fact.as_str());
                fact.unwrap_or_default()
            };
            let text = match entry.kind.as_str() {
                "read" | "outcome" => format!("{} {}", fact("/operation"), fact("/object/name")),
                "note" => fact("/message").to_owned(),
                _ => continue,
            };
            if printer.wants_json() {
                printer.json("entry", entry)?;
            } else {
                printer.result(&show::one_line(&format!("  {:<14} {text}", entry.address)))?;
            }
        }
        seen = history.entries.len();
        match run.summary.status {
            Status::Running => tokio::time::sleep(Duration::from_millis(500)).await,
            Status::Succeeded | Status::PartlyUndone | Status::Undone => return Ok(Exit::Done),
            status => {
                printer.tell(&format!("  Run {id} {status}"));
                return Ok(match status {
                    Status::Cancelled => Exit::Cancelled,
                    _ => Exit::Step,
                });
            }
        }
    }
}
