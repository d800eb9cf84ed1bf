//! Adds an Entra service principal to the Databricks workspace.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod bindings;

use bindings::lockkeeper::databricks::service_principals as workspace;
use bindings::lockkeeper::entra::service_principals as entra;
use bindings::{Guest, Inputs, Outputs};
use lockkeeper_guest::types::{ApplicationId, Error, StepError};
use lockkeeper_guest::{Attempt, SHORT, progress, until, until_settled};

struct Import;

impl Guest for Import {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        let known = known_to_entra(&inputs.application_id)?;
        let found = workspace::find(&inputs.application_id)?;
        let created = found.is_none();
        let principal = if let Some(found) = found {
            kept(found, inputs.display_name.as_deref())?
        } else {
            let name = inputs.display_name.unwrap_or(known.display_name);
            added(&inputs.application_id, &name)?
        };
        Ok(Outputs {
            id: principal.id,
            application_id: inputs.application_id,
            created,
        })
    }
}

/// The service principal in Entra. A moment's patience, as one that another step has just seen may
/// be missing from the next replica.
fn known_to_entra(id: &ApplicationId) -> Result<entra::ServicePrincipal, StepError> {
    const OPERATION: &str = "entra/service-principals.find";
    let text = &id.application_id;
    let found = until("Entra shows the service principal", SHORT, || {
        if let Some(found) = entra::find(id)? {
            return Ok(Attempt::Done(found));
        }
        let message = format!("Entra has no service principal of application {text}");
        Ok(Attempt::Again(Error::of(
            Error::NotFound,
            OPERATION,
            "UNKNOWN",
            message,
        )))
    });
    let found = found.map_err(|refused| match refused.error {
        error @ Error::NotFound(_) => error.because(
            "the id is mistyped, an object id, or from another tenant; the workspace itself would notice only at the first sign-in",
            "give the application (client) id, as the application's overview in Entra shows it",
        ),
        _ => refused,
    })?;
    if found.enabled {
        return Ok(found);
    }
    let message = format!("the service principal of application {text} is disabled in Entra");
    Err(
        Error::of(Error::Denied, OPERATION, "DISABLED", message).because(
            "it gets no tokens, so it could not sign in to the workspace",
            "enable it under Enterprise applications in Entra, then run this again",
        ),
    )
}

/// One that is in the workspace, under the name that was asked for.
fn kept(
    found: workspace::ServicePrincipal,
    name: Option<&str>,
) -> Result<workspace::ServicePrincipal, StepError> {
    if !found.active {
        let message = format!("{} is deactivated in the workspace", found.display_name);
        let operation = "databricks/service-principals.find";
        return Err(
            Error::of(Error::Denied, operation, "INACTIVE", message).because(
                "somebody deactivated the service principal, so that nothing can run as it",
                "activate it in the workspace's settings, then run this again",
            ),
        );
    }
    progress::note("the service principal was already in the workspace");
    if let Some(name) = name.filter(|name| *name != found.display_name) {
        workspace::rename(&found.id, &found.application_id, name).map_err(refusal)?;
        progress::note(&format!("its name was {}", found.display_name));
    }
    Ok(found)
}

/// A new one, once the workspace shows it.
fn added(id: &ApplicationId, name: &str) -> Result<workspace::ServicePrincipal, StepError> {
    progress::report("adding the service principal to the workspace");
    let principal = match workspace::create(id, name) {
        Ok(principal) => principal,
        Err(error @ Error::Conflict(_)) => workspace::find(id)?.ok_or(error)?,
        Err(error) => return Err(refusal(error)),
    };
    until_settled(
        "the workspace shows the service principal",
        "databricks/service-principals.find",
        || Ok(workspace::find(id)?.is_some()),
    )?;
    Ok(principal)
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "only a workspace admin may add or change service principals",
            "sign in as a workspace admin, or have one add this identity to the group admins",
        ),
        _ => error.into(),
    }
}
