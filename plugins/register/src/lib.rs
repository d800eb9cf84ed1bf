//! Registers an application in Entra, with its service principal and its client secret.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod adopt;
mod bindings;
mod place;
mod secret;

use bindings::lockkeeper::entra::{applications, service_principals};
use bindings::{Guest, Inputs, Outputs};
use lockkeeper_guest::types::{Error, ServicePrincipalObjectId, StepError};
use lockkeeper_guest::{Attempt, LONG, progress, until, until_settled};

struct Register;

impl Guest for Register {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        let unique_name = unique_name(&inputs);
        let (application, created) = application(&unique_name, &inputs.display_name)?;
        let service_principal_id = service_principal(&application, created)?;
        let held = match &inputs.secret {
            Some(request) => secret::ensure(&application, created, request)?,
            None => secret::Held::default(),
        };
        Ok(Outputs {
            app_id: application.application_id,
            object_id: application.object_id,
            service_principal_id,
            client_secret: held.secret,
            key_id: held.key_id,
            secret_expires: held.expires,
            created,
        })
    }

    fn adopt(inputs: Inputs, id: String) -> Result<(), StepError> {
        adopt::adopt(&unique_name(&inputs), &id)
    }
}

/// The name by which the application is found.
fn unique_name(inputs: &Inputs) -> String {
    let given = inputs.unique_name.clone();
    given.unwrap_or_else(|| format!("lockkeeper-{}", inputs.display_name))
}

/// The application of that unique name, and whether it is new.
fn application(
    unique_name: &str,
    display_name: &str,
) -> Result<(applications::Application, bool), StepError> {
    if let Some(found) = applications::find(unique_name)? {
        progress::note(&format!("application {unique_name} was already there"));
        if found.display_name != display_name {
            progress::note(&format!(
                "its display name is {}, not {display_name}; it is left as it is",
                found.display_name
            ));
        }
        return Ok((found, false));
    }
    progress::report("registering the application");
    let application =
        applications::create(unique_name, display_name).map_err(|error| match &error {
            Error::Conflict(_) => error.because(
                format!("a deleted application keeps the unique name {unique_name} for 30 days"),
                "restore or delete it for good under Deleted applications in Entra, or set another unique_name",
            ),
            Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
                "the signed-in identity may not register applications",
                "give it the Graph permission Application.ReadWrite.OwnedBy, or the role Application Developer",
            ),
            _ => error.into(),
        })?;
    until_settled(
        "Entra shows the new application",
        "entra/applications.find",
        || Ok(applications::find(unique_name)?.is_some()),
    )?;
    Ok((application, true))
}

/// The object id of the application's service principal, which is made if it is missing.
fn service_principal(
    application: &applications::Application,
    created: bool,
) -> Result<ServicePrincipalObjectId, StepError> {
    let id = &application.application_id;
    if let Some(found) = service_principals::find(id)? {
        if !found.enabled {
            let message = "the service principal is disabled".to_owned();
            let operation = "entra/service-principals.find";
            return Err(
                Error::of(Error::Denied, operation, "DISABLED", message).because(
                    "somebody disabled the application in Entra, so that it gets no tokens",
                    "enable it under Enterprise applications in Entra, then run this again",
                ),
            );
        }
        progress::note("its service principal was already there");
        return Ok(found.object_id);
    }
    progress::report("creating the service principal");
    let principal = until("Entra knows the application everywhere", LONG, || {
        match service_principals::create(id) {
            Ok(principal) => Ok(Attempt::Done(principal)),
            Err(error) if created && is_too_early(&error) => Ok(Attempt::Again(error)),
            // An earlier try may have made it although it was answered otherwise.
            Err(error @ Error::Conflict(_)) => match service_principals::find(id)? {
                Some(principal) => Ok(Attempt::Done(principal)),
                None => Ok(Attempt::Again(error)),
            },
            Err(error) => Err(error.into()),
        }
    })?;
    until_settled(
        "Entra shows the new service principal",
        "entra/service-principals.find",
        || Ok(service_principals::find(id)?.is_some()),
    )?;
    Ok(principal.object_id)
}

/// Whether a refusal may only mean that a new application has not reached every replica. One of
/// them looks like a missing permission.
fn is_too_early(error: &Error) -> bool {
    error.is_missing()
        || error.says("NoBackingApplicationObject")
        || error.says("does not reference a valid application object")
        || error.says("the backing application of the service principal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misleading_denial_is_only_early() {
        let early = "When using this permission, the backing application of the service principal being created must in the local tenant";
        let denied = |message: &str| {
            Error::of(
                Error::Denied,
                "x",
                "Authorization_RequestDenied",
                message.to_owned(),
            )
        };
        assert!(is_too_early(&denied(early)));
        assert!(!is_too_early(&denied(
            "Insufficient privileges to complete the operation."
        )));
    }
}
