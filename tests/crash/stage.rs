//! A project that can be set back to how it was, as often as a test likes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::death::{self, Death};
use crate::support::elsewhere::Elsewhere;
use crate::support::{Project, Simulator};

/// The application that the tests onboard.
pub(crate) const APP: &str = "etl-demo";

/// A project, and its state folder as it was when the stage was built. The state is set back in
/// the same place, where its keys fit it.
pub(crate) struct Stage {
    pub(crate) project: Project,
    built: tempfile::TempDir,
}

impl Stage {
    /// A stage on which nothing has run yet.
    pub(crate) fn new() -> Self {
        let project = Project::new();
        project.storage_inputs(APP);
        drop(project.simulator(&[]));
        Self::of(project)
    }

    /// A stage on which `onboard` has run.
    pub(crate) fn onboarded() -> Self {
        let stage = Self::new();
        {
            let _simulator = stage.project.simulator(&[]);
            stage.project.ok(&onboard());
        }
        Self::of(stage.project)
    }

    /// A stage on which somebody has registered [`APP`] and made a job without lockkeeper; see
    /// [`adopt`].
    pub(crate) fn found() -> Self {
        let stage = Self::new();
        {
            let simulator = stage.project.simulator(&[]);
            let elsewhere = Elsewhere::new(&stage.project, &simulator);
            let application = elsewhere.application(APP).principal;
            let job = elsewhere.job("nightly", &json!({ "team": "data" }));
            let objects = format!("register={application} job={job}");
            stage.project.write(OBJECTS, &objects);
        }
        Self::of(stage.project)
    }

    /// A stage on which `onboard` was killed at a point of its record.
    pub(crate) fn interrupted(point: &str) -> Self {
        let stage = Self::new();
        {
            let simulator = stage.project.simulator(&[]);
            let death = Death::At(point.to_owned());
            death::die(&stage.project, &simulator, &onboard(), &death);
            // Whoever reads the journal next brings it into one file.
            runs(&stage.project);
        }
        Self::of(stage.project)
    }

    fn of(project: Project) -> Self {
        let built = tempfile::tempdir().unwrap();
        copy(&project.state(), &built.path().join("state"));
        Self { project, built }
    }

    /// Sets the state back and starts the simulator on it.
    pub(crate) fn set(&self) -> Simulator {
        self.set_with(&[])
    }

    /// The same, with arguments for the simulator.
    pub(crate) fn set_with(&self, arguments: &[&str]) -> Simulator {
        let state = self.project.state();
        fs::remove_dir_all(&state).unwrap();
        copy(&self.built.path().join("state"), &state);
        self.project.simulator(arguments)
    }
}

/// The command line that onboards [`APP`] with storage.
pub(crate) fn onboard() -> [&'static str; 4] {
    ["run", "onboard", "--inputs", "etl-demo.inputs.toml"]
}

/// What the command line that adopts takes, on a stage with found objects.
const OBJECTS: &str = "objects.txt";

/// The command line that adopts what was found.
pub(crate) fn adopt(project: &Project) -> Vec<String> {
    let objects = fs::read_to_string(project.path().join(OBJECTS)).unwrap();
    let words = format!("adopt onboard {objects} -i app_name={APP} --yes");
    words.split(' ').map(str::to_owned).collect()
}

/// The runs of a project, the newest first, as `runs list` gives them.
pub(crate) fn runs(project: &Project) -> Vec<Value> {
    let (code, runs) = project.json(&["runs", "list"]);
    assert_eq!(code, 0);
    runs.as_array().unwrap().clone()
}

/// The id of the newest run of a mode, `run`, `adopt` or `undo`, and its status.
pub(crate) fn newest(project: &Project, mode: &str) -> Option<(String, String)> {
    let runs = runs(project);
    let run = runs.iter().find(|run| run["mode"] == mode)?;
    let text = |name: &str| run[name].as_str().unwrap().to_owned();
    Some((text("id"), text("status")))
}

/// The entries of a run's record.
pub(crate) fn entries(project: &Project, run: &str) -> Vec<Value> {
    let (code, shown) = project.json(&["runs", "show", run]);
    assert_eq!(code, 0);
    shown["entries"].as_array().unwrap().clone()
}

/// The names of the key files of runs: those that are not the simulator's own.
pub(crate) fn run_keys(project: &Project) -> Vec<String> {
    let mut found = Vec::new();
    for folder in fs::read_dir(project.keys()).unwrap() {
        for key in fs::read_dir(folder.unwrap().path()).unwrap() {
            let name = key.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("simulator") {
                found.push(name);
            }
        }
    }
    found
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
