//! Binding a job to the identity it runs as (reference/databricks.md, sections 12.2 and 12.6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::State;
use super::caller::Caller;
use super::directory::Kind;
use super::errors::Refusal;
use super::request::{Field as _, Request};
use super::rule_sets::USER;

/// Whom a job runs as.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct RunAs {
    pub(super) kind: Kind,
    /// The email address or application id.
    pub(super) name: String,
}

impl RunAs {
    /// As it stands in a job's settings.
    pub(super) fn render(&self) -> Value {
        let key = match self.kind {
            Kind::User => "user_name",
            Kind::ServicePrincipal => "service_principal_name",
        };
        serde_json::json!({ key: self.name })
    }
}

/// Checks a requested `run_as`: its form, then that the principal exists (400), then that the
/// caller may bind it (403). Removing the role later does not unbind.
pub(super) fn bind(
    request: &Request,
    state: &State,
    caller: &Caller,
    requested: &Value,
) -> Result<RunAs, Refusal> {
    let text = |key: &str| {
        requested
            .field(key)
            .as_str()
            .filter(|text| !text.is_empty())
    };
    match (
        text("service_principal_name"),
        text("user_name"),
        text("group_name"),
    ) {
        (Some(name), None, None) => bind_service_principal(request, state, caller, name),
        (None, Some(name), None) => bind_user(request, state, caller, name),
        (None, None, Some(name)) => Err(Refusal::invalid(format!(
            "The simulator does not run jobs as a group ('{name}')."
        ))),
        _ => Err(Refusal::invalid(
            "Exactly one of user_name and service_principal_name must be specified in 'run_as'.",
        )),
    }
}

fn bind_service_principal(
    request: &Request,
    state: &State,
    caller: &Caller,
    name: &str,
) -> Result<RunAs, Refusal> {
    let principal = state
        .directory
        .find(Kind::ServicePrincipal, name)
        .filter(|principal| principal.is_visible(&request.world))
        .ok_or_else(|| {
            Refusal::invalid(format!(
                "'{name}' cannot be set as run_as service principal, because it doesn't exist."
            ))
        })?;
    if !principal.active {
        return Err(Refusal::invalid(format!(
            "Invalid user: '{name}' does not exist or deactivated"
        )));
    }
    if !principal.rule_set.grants(&state.directory, USER, caller.id) {
        return Err(Refusal::denied(format!(
            "Cannot bind the service principal provided in 'run_as' field ({name}) to the job. The user {} is not allowed to use it. The user creating or updating the job must have 'servicePrincipal.user' role on the service principal.",
            caller.name
        )));
    }
    Ok(RunAs {
        kind: Kind::ServicePrincipal,
        name: principal.name.clone(),
    })
}

fn bind_user(
    request: &Request,
    state: &State,
    caller: &Caller,
    name: &str,
) -> Result<RunAs, Refusal> {
    let user = state
        .directory
        .find(Kind::User, name)
        .filter(|user| user.active && user.is_visible(&request.world))
        .ok_or_else(|| {
            Refusal::invalid(format!(
                "'{name}' cannot be set as run_as, either because the user does not exist or it is not active"
            ))
        })?;
    let may_name_others = caller.admin && !state.settings.admins_restricted();
    if user.id != caller.id && !may_name_others {
        return Err(Refusal::denied(format!(
            "{} is not allowed to set run_as to another user ({name}).",
            caller.name
        )));
    }
    Ok(RunAs {
        kind: Kind::User,
        name: user.name.clone(),
    })
}
