//! Takes an application that was made elsewhere into this step's care.

use lockkeeper_guest::types::{Error, StepError};
use lockkeeper_guest::{progress, until_settled};

use crate::bindings::lockkeeper::entra::applications;

const WHERE: &str = "take Application (client) ID or Object ID from the application's page under App registrations in Entra, or Object ID from its page under Enterprise applications";

/// Gives the application that has this id the unique name.
pub(crate) fn adopt(unique_name: &str, id: &str) -> Result<(), StepError> {
    progress::report("looking the application up");
    let found = applications::look_up(id).map_err(refusal)?;
    let found = found.ok_or_else(|| {
        let message = format!("no application has the id {id}, and no service principal has it");
        let operation = "entra/applications.look-up";
        Error::of(Error::NotFound, operation, "UNKNOWN", message).because(
            "the application is in another tenant, or was deleted",
            WHERE,
        )
    })?;
    progress::report("giving the application its unique name");
    applications::set_unique_name(&found.object_id, unique_name).map_err(refusal)?;
    until_settled(
        "Entra shows the application under its unique name",
        "entra/applications.find",
        || Ok(applications::find(unique_name)?.is_some()),
    )?;
    progress::note(&format!(
        "application {} ({}) has the unique name {unique_name}",
        found.display_name, found.application_id.application_id
    ));
    Ok(())
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Invalid(_) => error.because(
            "an application is adopted by any of its three ids in Entra; a number is an id in Databricks",
            WHERE,
        ),
        Error::NotFound(failure) if failure.code == "RegisteredElsewhere" => error.because(
            "only the tenant that an application is registered in can change it",
            "adopt an application that is registered in this tenant, or let the step make one",
        ),
        Error::Conflict(failure) if failure.code == "HasAnotherUniqueName" => error.because(
            "somebody gave the application a unique name before: another workflow, or a Bicep template",
            "set unique_name of the step to the name that it has",
        ),
        Error::Conflict(_) => error.because(
            "another application has the unique name, maybe one that was deleted in the last 30 days",
            "delete that one for good, or set another unique_name",
        ),
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may change only the applications that it owns, and does not own this one",
            "make it an owner of the application in Entra, or give it the Graph permission Application.ReadWrite.All",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_conflict_has_its_own_way_out() {
        let conflict = |code: &str| {
            let operation = "entra/applications.set-unique-name";
            refusal(Error::of(Error::Conflict, operation, code, String::new()))
        };
        let other = conflict("HasAnotherUniqueName").help.unwrap();
        assert!(other.contains("the name that it has"), "{other}");
        let taken = conflict("Request_BadRequest").help.unwrap();
        assert!(taken.contains("delete that one"), "{taken}");
    }
}
