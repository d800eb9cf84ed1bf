//! `run` and `resume`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_engine::{Catalogue, Engine, PlanReport, RunReport, RunResult};
use lockkeeper_gate::{Cancellation, Listener};
use lockkeeper_journal::{Mode, Store};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Checked, Plugins as _, Source, Workflow};
use tokio::task::JoinHandle;

use super::plan::unplannable;
use super::question::Question;
use crate::args;
use crate::audit::Audit;
use crate::connect::{Connection, connect};
use crate::exit::{Exit, Problem};
use crate::files;
use crate::printer::Printer;
use crate::progress::{HEARTBEAT, Progress};
use crate::project::Project;
use crate::show;

/// A checked workflow on a connected target.
pub(super) struct Session {
    pub(super) engine: Engine,
    pub(super) workflow: Workflow,
    /// How long checking took.
    pub(super) checking: Duration,
    connection: Connection,
    /// What a signal stops.
    stopping: JoinHandle<()>,
}

impl Session {
    /// Connects, and opens the journal, while the workflow is checked, whose mistakes are shown first.
    pub(super) async fn open(
        project: &Arc<Project>,
        source: &Arc<Source>,
        target: &args::Target,
        printer: &Arc<Printer>,
    ) -> Result<Self, Problem> {
        let mut asked_to_stop = tokio::spawn(signal());
        let connecting = tokio::spawn(connect(project.clone(), target.clone()));
        let checking = tokio::task::spawn_blocking({
            let (project, source) = (project.clone(), source.clone());
            let begun = Instant::now();
            move || {
                project
                    .load(&source)
                    .map(|loaded| (loaded, begun.elapsed()))
            }
        });
        let opening = tokio::task::spawn_blocking({
            let project = project.clone();
            move || {
                files::make_folder(&project.state())?;
                open_journal(&project)
            }
        });
        let ((Checked { workflow, warnings }, catalogue), checking) = checking.await??;
        if printer.quiet == 0 {
            show::diagnostics(printer, &warnings);
        }
        catalogue.link_ahead(workflow.steps.first());
        let store = opening.await??;
        let mut connection = connecting.await??;
        if let Some(stand_in) = &connection.stand_in {
            printer.say(&format!("  Simulator: {stand_in}"));
        }
        needs_workspace(project, &workflow, &catalogue, &connection)?;
        let actor = signed_in(&mut connection, &mut asked_to_stop, printer).await?;
        let width = workflow
            .steps
            .iter()
            .map(|step| step.name.as_str().len())
            .max();
        let audit = Audit::open(
            &project.state().join("audit.jsonl"),
            &actor,
            &connection.name,
        )?;
        let listeners: Vec<Arc<dyn Listener>> = vec![
            Arc::new(audit),
            Progress::new(printer.clone(), width.unwrap_or_default()),
        ];
        let cancellation = Cancellation::default();
        let stopping = stop_on_signal(asked_to_stop, cancellation.clone(), printer.clone());
        let engine = Engine {
            catalogue,
            cloud: connection.cloud.clone(),
            target: connection.name.clone(),
            actor,
            store,
            keys: project.keys()?,
            locks: project.state().join("locks"),
            listeners,
            cancellation,
        };
        Ok(Self {
            engine,
            workflow,
            checking,
            connection,
            stopping,
        })
    }

    /// Asks a person, while nothing is under way that a signal would have to wait for.
    pub(super) async fn ask(
        &mut self,
        question: &Question,
        no_input: bool,
        printer: &Arc<Printer>,
    ) -> Result<(), Problem> {
        self.stopping.abort();
        question.ask(no_input, printer).await?;
        let asked_to_stop = tokio::spawn(signal());
        let cancellation = self.engine.cancellation.clone();
        self.stopping = stop_on_signal(asked_to_stop, cancellation, printer.clone());
        Ok(())
    }

    /// Stops what was started for the session.
    pub(super) async fn close(self) {
        let Engine {
            catalogue, store, ..
        } = self.engine;
        drop(store);
        // The process ends soon; unmapping the plugins' code before that only takes time.
        std::mem::forget(catalogue);
        self.connection.close().await;
    }
}

/// Who signed in. Says now and then that it is waited for, and stops when it is asked to.
async fn signed_in(
    connection: &mut Connection,
    asked_to_stop: &mut JoinHandle<()>,
    printer: &Printer,
) -> Result<String, Problem> {
    let name = connection.name.clone();
    let begun = Instant::now();
    let heartbeat = async {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let waited = begun.elapsed().as_secs();
            printer.say(&format!("  signing in to target `{name}`: {waited} s"));
        }
    };
    tokio::select! {
        actor = connection.actor() => Ok(actor?.id),
        () = heartbeat => Err(Problem::new(Exit::Internal, "the heartbeat ended")),
        _ = asked_to_stop => Err(Problem::new(
            Exit::Cancelled,
            format!("stopped while signing in to target `{name}`; nothing was run"),
        )),
    }
}

/// Refuses a target without a workspace where a step calls Databricks, before anything is called.
fn needs_workspace(
    project: &Project,
    workflow: &Workflow,
    catalogue: &Catalogue,
    connection: &Connection,
) -> Result<(), Problem> {
    if connection.cloud.target().workspace.is_some() {
        return Ok(());
    }
    let calls_databricks = |plugin: &str| {
        let imports = catalogue.signature(plugin).map(|found| &found.imports);
        let mut imports = imports.into_iter().flatten();
        imports.any(|import| import.interface.starts_with("databricks/"))
    };
    let Some(step) = workflow
        .steps
        .iter()
        .find(|step| calls_databricks(&step.plugin))
    else {
        return Ok(());
    };
    let (name, file) = (&connection.name, project.file());
    Err(Problem::new(
        Exit::Usage,
        format!(
            "target `{name}` in {} has no `workspace`, and step `{}` calls Databricks",
            file.display(),
            step.name.as_str()
        ),
    )
    .help(format!(
        "add under [targets.{name}]: workspace = \"https://adb-1234567890123456.7.azuredatabricks.net\" (or `workspace_resource_id`, the workspace's Azure id)"
    )))
}

pub(super) fn open_journal(project: &Project) -> Result<Store, Problem> {
    Ok(Store::open(project.journal())?)
}

/// The first signal asks the run to stop after the call that is under way; the second stops now.
fn stop_on_signal(
    asked_to_stop: JoinHandle<()>,
    cancellation: Cancellation,
    printer: Arc<Printer>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _ = asked_to_stop.await;
        cancellation.cancel();
        printer.tell(
            "  Stopping after the call that is under way; the run can be resumed. Again: stop now",
        );
        signal().await;
        printer.tell("  Stopped; `lockkeeper runs list` shows what can be resumed");
        #[allow(
            clippy::exit,
            reason = "the second signal means now, whatever is under way"
        )]
        std::process::exit(Exit::Cancelled as i32);
    })
}

/// Comes with the next signal that asks the program to end.
pub(super) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// The inputs that the command line gives: the file's, then `-i`'s.
pub(super) fn given(
    workflow: &Workflow,
    inputs: &args::Inputs,
) -> Result<BTreeMap<String, Value>, Problem> {
    let mut given = BTreeMap::new();
    if let Some(path) = &inputs.inputs {
        let text = files::read_to_string(path)?;
        let wrong = |error: String| {
            Problem::new(
                Exit::Usage,
                format!("cannot read inputs from {}: {error}", path.display()),
            )
        };
        if path.extension().is_some_and(|e| e == "json") {
            let table: BTreeMap<String, Value> =
                serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            given.extend(table);
        } else {
            let table: toml::Table =
                toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            for (name, value) in table {
                let value = from_toml(value).map_err(|what| wrong(format!("`{name}` {what}")))?;
                given.insert(name, value);
            }
        }
    }
    let mut mistakes = Vec::new();
    for input in &inputs.input {
        let Some((name, text)) = input.split_once('=') else {
            return Err(Problem::new(
                Exit::Usage,
                format!("`-i {input}` does not say a value; write -i {input}=VALUE"),
            ));
        };
        match workflow.parse_input(name, text) {
            Ok(value) => {
                given.insert(name.to_owned(), value);
            }
            Err(diagnostic) => mistakes.push(*diagnostic),
        }
    }
    if mistakes.is_empty() {
        Ok(given)
    } else {
        Err(mistakes.into())
    }
}

/// A value of an inputs file as a `default` in a workflow has it: a time is text.
fn from_toml(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if !number.is_finite() => {
            return Err(format!("is {number}, which is no number to calculate with"));
        }
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(from_toml).collect();
            items?.into()
        }
        toml::Value::Table(table) => {
            let fields: Result<serde_json::Map<_, _>, String> = table
                .into_iter()
                .map(|(key, value)| Ok((key, from_toml(value)?)))
                .collect();
            Value::Object(fields?)
        }
    })
}

pub(super) async fn run(
    project: Arc<Project>,
    command: args::Run,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let saved = command.plan.as_deref().map(super::plan::read).transpose()?;
    let name = match (&command.workflow, &saved) {
        (Some(name), _) => name.clone(),
        (None, Some(saved)) => saved.workflow.clone(),
        (None, None) => return Err(Problem::new(Exit::Usage, "no workflow is named")),
    };
    let source = project.workflow(&name)?;
    let session = Session::open(&project, &source, &command.target, printer).await?;
    let result = match &saved {
        None => match given(&session.workflow, &command.inputs) {
            Ok(given) => session
                .engine
                .run(&session.workflow, &given)
                .await
                .map_err(Into::into),
            Err(problem) => Err(problem),
        },
        Some(saved) => run_saved(&session, saved, printer).await,
    };
    let exit = result.and_then(|report| finish(printer, &session.workflow, &report));
    session.close().await;
    exit
}

/// Runs exactly what a saved plan says, or nothing.
async fn run_saved(
    session: &Session,
    saved: &PlanReport,
    printer: &Printer,
) -> Result<RunReport, Problem> {
    let given: BTreeMap<String, Value> = saved
        .inputs
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !saved.is_intact() {
        let message = "the saved plan was edited after it was made, so nothing was run";
        return Err(Problem::new(Exit::Policy, message).help("plan again, and run the new plan"));
    }
    let now = session
        .engine
        .plan(&session.workflow, &given, saved.made_at)
        .await
        .map_err(|error| unplannable(printer, &session.workflow, error))?;
    if now.hash != saved.hash {
        let differences = saved.differences(&now);
        return Err(Problem::new(
            Exit::Policy,
            format!(
                "the plan no longer holds, so nothing was run:\n  - {}",
                differences.join("\n  - ")
            ),
        )
        .help("plan again, look at it, and run the new plan"));
    }
    Ok(session.engine.run(&session.workflow, &given).await?)
}

pub(super) async fn resume(
    project: Arc<Project>,
    run: &str,
    target: &args::Target,
    printer: &Arc<Printer>,
) -> Result<Exit, Problem> {
    let recorded = open_journal(&project)?.run(run).await?;
    let source = recorded_source(&recorded);
    let target = args::Target {
        name: target
            .name
            .clone()
            .or_else(|| Some(recorded.beginning.target.clone())),
        ..target.clone()
    };
    let session = Session::open(&project, &source, &target, printer).await?;
    let exit = if recorded.summary.mode == Mode::Undo {
        let report = session
            .engine
            .resume_undo(&session.workflow, &recorded.summary.id)
            .await;
        report
            .map_err(Problem::from)
            .and_then(|report| super::undo::finish(printer, &report))
    } else {
        let report = session
            .engine
            .resume(&session.workflow, &recorded.summary.id)
            .await;
        report
            .map_err(Problem::from)
            .and_then(|report| finish(printer, &session.workflow, &report))
    };
    session.close().await;
    exit
}

/// The workflow file as it was when the run began.
pub(super) fn recorded_source(run: &lockkeeper_journal::Run) -> Arc<Source> {
    Arc::new(Source {
        path: format!(
            "workflows/{}.toml (as run {} began)",
            run.summary.workflow, run.summary.id
        ),
        text: run.beginning.workflow_source.clone(),
    })
}

/// Prints what a run or an adoption came to.
pub(super) fn finish(
    printer: &Printer,
    workflow: &Workflow,
    report: &RunReport,
) -> Result<Exit, Problem> {
    if printer.wants_json() {
        printer.json("run_summary", report)?;
    } else if report.adopted.is_empty() {
        show::outputs(printer, report)?;
    } else {
        show::adopted(printer, report)?;
    }
    if report.result != RunResult::Succeeded {
        show::failure(printer, workflow, report);
    }
    Ok(match report.result {
        RunResult::Succeeded => Exit::Done,
        RunResult::Failed => Exit::Step,
        RunResult::Cancelled => Exit::Cancelled,
        RunResult::TimedOut => Exit::TimedOut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inputs_file_has_what_a_default_has() {
        let text = "at = 2027-02-19T12:00:00Z\nn = 3\nf = 1.5\nr = { on = 2027-02-19, l = [true, \"x\"] }\n";
        let table: toml::Table = toml::from_str(text).unwrap();
        assert_eq!(
            from_toml(toml::Value::Table(table)).unwrap(),
            serde_json::json!({
                "at": "2027-02-19T12:00:00Z", "n": 3, "f": 1.5,
                "r": { "on": "2027-02-19", "l": [true, "x"] },
            })
        );
        for odd in [f64::NAN, f64::INFINITY] {
            assert!(from_toml(toml::Value::Float(odd)).is_err());
        }
    }
}
