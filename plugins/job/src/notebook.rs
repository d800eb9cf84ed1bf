//! The notebook, the folder it is in and the service principal's permission to run it.

use lockkeeper_guest::types::{ApplicationId, Error, StepError};
use lockkeeper_guest::{Attempt, LONG, progress, until};

use crate::bindings::Notebook;
use crate::bindings::lockkeeper::databricks::permissions::{self, Securable};
use crate::bindings::lockkeeper::databricks::workspace_objects as objects;

/// Makes sure of all three; what was put right, by name.
pub(crate) fn ensure(
    notebook: &Notebook,
    reader: &ApplicationId,
) -> Result<Vec<String>, StepError> {
    let mut changed = Vec::new();
    let mut note = |name: &str| changed.push(name.to_owned());
    let folder = folder(&notebook.path)?;
    if !folder.is_empty() && objects::find(folder)?.is_none() {
        progress::report("creating the folder");
        objects::mkdirs(folder).map_err(refusal)?;
        note("folder");
    }
    if write(notebook)? {
        note("notebook");
    }
    if let_read(&notebook.path, reader)? {
        note("permission");
    }
    Ok(changed)
}

/// The folder of an absolute path, empty for the root.
fn folder(path: &str) -> Result<&str, StepError> {
    match path.rsplit_once('/') {
        Some((folder, name)) if path.starts_with('/') && !name.is_empty() => Ok(folder),
        _ => {
            let message = format!("`{path}` is no absolute path of a notebook");
            Err(Error::of(Error::Invalid, "job", "PATH", message).because(
                "a job finds its notebook by its absolute path in the workspace",
                "write a path like /Shared/demo/smoke",
            ))
        }
    }
}

/// Writes the notebook if its text differs; whether it did.
fn write(notebook: &Notebook) -> Result<bool, StepError> {
    let text = objects::read_notebook(&notebook.path)?;
    if text.is_some_and(|text| body(&text) == body(&notebook.source)) {
        progress::note(&format!("notebook {} was already there", notebook.path));
        return Ok(false);
    }
    progress::report("writing the notebook");
    objects::write_notebook(&notebook.path, notebook.language, &notebook.source)
        .map_err(refusal)?;
    Ok(true)
}

/// A notebook's text without the header line that an export puts before it.
fn body(source: &str) -> &str {
    let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
    let is_header = first.trim_end().ends_with("Databricks notebook source");
    if is_header { rest } else { source }.trim()
}

/// The levels on a notebook that let it be run.
const RUNS: [&str; 3] = ["CAN_RUN", "CAN_EDIT", "CAN_MANAGE"];

/// Lets the service principal run the notebook, unless it may already; whether that was needed.
/// Without it, the run fails and not the job.
fn let_read(path: &str, reader: &ApplicationId) -> Result<bool, StepError> {
    let object = until("the workspace shows the notebook", LONG, || {
        let missing = || {
            let message = format!("the workspace does not show {path}");
            Attempt::not_visible("databricks/workspace-objects.find", message)
        };
        Ok(objects::find(path)?.map_or_else(missing, Attempt::Done))
    })?;
    let id = &object.object_id;
    let may_run = || -> Result<bool, Error> {
        Ok(permissions::list(Securable::Notebook, id)?
            .iter()
            .any(|(who, level)| *who == reader.application_id && includes_run(level)))
    };
    if may_run()? {
        progress::note("the service principal could already run the notebook");
        return Ok(false);
    }
    progress::report("letting the service principal run the notebook");
    until("the notebook shows the permission", LONG, || {
        match permissions::grant(Securable::Notebook, id, &reader.application_id, "CAN_RUN") {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(Attempt::Again(error)),
            Err(error) => return Err(refusal(error)),
        }
        if may_run()? {
            return Ok(Attempt::Done(()));
        }
        let message = "the workspace accepted the permission and does not show it".to_owned();
        let operation = "databricks/permissions.list";
        Ok(Attempt::not_visible(operation, message))
    })?;
    Ok(true)
}

fn includes_run(level: &str) -> bool {
    RUNS.contains(&level)
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may not change this folder or notebook: it is somebody else's",
            "choose a path under /Shared or its own home, or have it given CAN_MANAGE on the folder",
        ),
        Error::Conflict(_) => error.because(
            "something that is no notebook has this path",
            "choose another path",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exports_header_is_no_difference() {
        assert_eq!(
            body("-- Databricks notebook source\nSELECT 1\n"),
            "SELECT 1"
        );
        assert_eq!(body("# Databricks notebook source\nprint(1)"), "print(1)");
        assert_eq!(body("SELECT 1\n"), "SELECT 1");
        assert_ne!(body("SELECT 1"), body("SELECT 2"));
    }

    #[test]
    fn a_notebook_has_an_absolute_path() {
        assert_eq!(folder("/Shared/demo/smoke").ok(), Some("/Shared/demo"));
        assert_eq!(folder("/smoke").ok(), Some(""));
        for path in ["", "smoke", "Shared/smoke", "/Shared/"] {
            assert!(folder(path).is_err(), "{path}");
        }
    }

    #[test]
    fn reading_alone_does_not_run() {
        assert!(!includes_run("CAN_READ"));
        assert!(includes_run("CAN_RUN"));
        assert!(includes_run("CAN_MANAGE"));
    }
}
