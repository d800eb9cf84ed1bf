//! `sim start`, `reset` and `calls`.

use lockkeeper_simulator::RequestRecord;
use lockkeeper_simulator::faults::Fault;

use crate::connect::{Serving, options};
use crate::exit::{Exit, Problem};
use crate::files;
use crate::printer::Printer;
use crate::project::Project;
use crate::show;

pub(super) async fn start(
    project: &Project,
    ports: (u16, u16),
    profile: &str,
    seed: u64,
    faults: &[String],
    printer: &Printer,
) -> Result<Exit, Problem> {
    let faults = faults
        .iter()
        .map(|text| {
            serde_json::from_str::<Fault>(text).map_err(|error| {
                Problem::new(
                    Exit::Usage,
                    format!("`--fault {text}` is not a fault rule: {error}"),
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = options(project, profile, seed, ports)?;
    let folder = options.folder.clone();
    let running = lockkeeper_simulator::start(options)
        .await
        .map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
    for fault in faults {
        running.world().add_fault(fault);
    }
    let serving = Serving::of(&running);
    serving.write(&folder)?;
    let ca = folder.join("ca.pem");
    files::write(&ca, &serving.ca_pem)?;
    if printer.wants_json() {
        printer.json("serving", &serving)?;
    } else {
        printer.result(&format!(
            "  Serving   https://{}  and  http://{}\n  Authority {}\n  Workspace {}\n  Other lockkeeper commands in this folder use it; Ctrl-C ends it",
            serving.https,
            serving.http,
            ca.display(),
            running.workspace_url(),
        ))?;
    }
    wait_for_signal().await;
    Serving::forget(&folder);
    running.stop().await;
    Ok(Exit::Done)
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

pub(super) fn reset(project: &Project, printer: &Printer) -> Result<Exit, Problem> {
    let folder = project.state().join("simulator");
    if !folder.exists() {
        printer.say("  There was no simulated cloud");
        return Ok(Exit::Done);
    }
    lockkeeper_simulator::reset(&folder)
        .map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
    printer.say("  The simulated cloud is as new; runs in the journal speak of the old one");
    Ok(Exit::Done)
}

pub(super) fn calls(project: &Project, printer: &Printer) -> Result<Exit, Problem> {
    let path = project.state().join("simulator").join("requests.jsonl");
    let text = if path.exists() {
        files::read_to_string(&path)?
    } else {
        String::new()
    };
    let records: Vec<RequestRecord> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if printer.wants_json() {
        printer.json("requests", &records)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = records
        .into_iter()
        .map(|record| {
            vec![
                record.seq.to_string(),
                record.service,
                record.method,
                record.path,
                record
                    .status
                    .map_or_else(|| "-".to_owned(), |status| status.to_string()),
                record.caller.unwrap_or_default(),
            ]
        })
        .collect();
    printer.result(&show::table(
        &["#", "SERVICE", "METHOD", "PATH", "STATUS", "CALLER"],
        &rows,
    ))?;
    Ok(Exit::Done)
}
