//! Takes a job that was made elsewhere into this step's care.

use lockkeeper_guest::types::{Error, JobId, StepError};
use lockkeeper_guest::{Attempt, LONG, progress, until};

use crate::bindings::lockkeeper::databricks::jobs;
use crate::{TAG, refusal};

const WHERE: &str =
    "take Job ID from the job's page in the workspace: the number after jobs/ in its address";

/// Gives the job that has this id the name and the tag.
pub(crate) fn adopt(name: &str, id: String) -> Result<(), StepError> {
    let id = JobId { job_id: id };
    progress::report("looking the job up");
    let found = jobs::get(&id, TAG).map_err(explained)?;
    let found = found.ok_or_else(|| {
        let message = format!("the workspace has no job {}", id.job_id);
        Error::of(Error::NotFound, "databricks/jobs.get", "UNKNOWN", message)
            .because("the job is in another workspace, or was deleted", WHERE)
    })?;
    progress::report("giving the job its name and its tag");
    jobs::adopt(&id, name, (TAG, name)).map_err(explained)?;
    until("the workspace shows the job under its name", LONG, || {
        if jobs::find(name, (TAG, name))?.is_some() {
            return Ok(Attempt::Done(()));
        }
        let message = format!("the workspace does not show job {name}");
        Ok(Attempt::not_visible("databricks/jobs.find", message))
    })?;
    let former = found.settings.name;
    let was = if former == name {
        String::new()
    } else {
        format!(", which was {former},")
    };
    progress::note(&format!(
        "job {}{was} is {name} and has the tag {TAG}",
        id.job_id
    ));
    Ok(())
}

fn explained(error: Error) -> StepError {
    match &error {
        Error::Invalid(_) => error.because(
            "a job is adopted by its id, which is a number; neither its name nor an id in Entra is",
            WHERE,
        ),
        Error::Conflict(failure) => {
            let (cause, help) = match failure.code.as_str() {
                "KeptByAnother" => (
                    "a step of another workflow, or of this one with other inputs, keeps the job",
                    "adopt another job, or take the tag lockkeeper off this one if nothing keeps it any more",
                ),
                "NotOneNotebook" => (
                    "the step keeps jobs of one task that runs a notebook of the workspace, and knows nothing of others",
                    "go on keeping this job otherwise, and let the step make its own",
                ),
                _ => (
                    "the step keeps that job already, and finds only one",
                    "undo the run that made it or delete it, then adopt this one",
                ),
            };
            error.because(cause, help)
        }
        _ => refusal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_conflict_has_its_own_way_out() {
        let conflict = |code: &str| {
            let operation = "databricks/jobs.adopt";
            explained(Error::of(Error::Conflict, operation, code, String::new()))
        };
        for (code, help) in [
            ("KeptByAnother", "take the tag lockkeeper off"),
            ("NotOneNotebook", "let the step make its own"),
            ("KeepsAnother", "undo the run that made it"),
        ] {
            let said = conflict(code).help.unwrap();
            assert!(said.contains(help), "{said}");
        }
    }
}
