//! Azure Resource Manager (reference, section 3).

mod caller;
mod error;
mod groups;
mod path;
mod roles;
mod vault_deletion;
mod vaults;
mod workspaces;

use axum::http::Method;
use serde_json::{Value, json};

use self::{caller::Caller, error::ArmError, path::Resource};
use crate::{
    State, World, entra,
    wire::{Incoming, Reply},
};

type Answer = Result<Reply, ArmError>;

/// A request by a known caller.
struct Request<'a> {
    world: &'a World,
    incoming: &'a Incoming,
    caller: Caller,
}

/// Answers a request to the resource manager.
pub(crate) fn handle(world: &World, incoming: &Incoming) -> Reply {
    let answer = world
        .read(|state| Caller::of(world, state, incoming))
        .and_then(|caller| {
            check_version(incoming)?;
            let request = Request {
                world,
                incoming,
                caller,
            };
            let resource = Resource::of(&incoming.segments());
            if incoming.method == Method::GET {
                world.read(|state| request.get(state, &resource))
            } else {
                world.write(|state| request.change(state, &resource))
            }
        });
    headed(incoming, answer.unwrap_or_else(|error| error.reply()))
}

/// A refusal with this status that has no cause in the request.
pub(crate) fn failing(world: &World, status: u16) -> Reply {
    world
        .read(|state| error::failing(status, entra::tenant_of(state)))
        .reply()
}

/// The reply with the headers of every reply.
pub(crate) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    let left = if reply.status == 429 { "0" } else { "11999" };
    let remaining = match incoming.method {
        Method::GET => "x-ms-ratelimit-remaining-subscription-reads",
        Method::DELETE => "x-ms-ratelimit-remaining-subscription-deletes",
        _ => "x-ms-ratelimit-remaining-subscription-writes",
    };
    let reply = reply
        .with("x-ms-request-id", incoming.request_id.clone())
        .with("x-ms-correlation-request-id", incoming.request_id.clone())
        .with(remaining, left);
    match incoming.header("x-ms-client-request-id") {
        Some(id) => reply.with("x-ms-client-request-id", id.to_owned()),
        None => reply,
    }
}

/// Any well-formed version is taken: `2026-02-01`, `2026-02-01-preview`.
fn check_version(incoming: &Incoming) -> Result<(), ArmError> {
    let Some(version) = incoming
        .query("api-version")
        .filter(|version| !version.is_empty())
    else {
        return Err(ArmError::new(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    };
    if super::is_date(version.strip_suffix("-preview").unwrap_or(&version)) {
        return Ok(());
    }
    Err(ArmError::new(
        400,
        "InvalidApiVersionParameter",
        format!("The api-version '{version}' is invalid."),
    ))
}

impl Request<'_> {
    fn get(&self, state: &State, resource: &Resource) -> Answer {
        let (kind, names) = resource.kind();
        match (kind.as_str(), names.as_slice()) {
            ("microsoft.authorization/roleassignments", []) => roles::list(self, state, resource),
            ("microsoft.authorization/roleassignments", [name]) => {
                roles::get(self, state, resource, name)
            }
            ("microsoft.authorization/permissions", []) => {
                roles::permissions(self, state, resource)
            }
            ("microsoft.authorization/roledefinitions", names) => {
                roles::definitions(self, resource, names.first())
            }
            ("microsoft.keyvault/vaults", []) => vaults::list(self, state, resource),
            ("microsoft.keyvault/vaults", [name]) => vaults::get(self, state, resource, name),
            ("microsoft.keyvault/locations/deletedvaults", [_, name]) => {
                vault_deletion::get(self, state, resource, name)
            }
            ("microsoft.keyvault/locations/operationresults", [_, _]) => Ok(Reply::empty(200)),
            ("microsoft.keyvault/deletedvaults", []) => vault_deletion::list(self, state, resource),
            ("microsoft.databricks/workspaces", []) => workspaces::list(self, state, resource),
            ("microsoft.databricks/workspaces", [name]) => {
                workspaces::get(self, state, resource, name)
            }
            ("", []) => groups::get(self, state, resource),
            _ => Err(error::unknown_type(&resource.path)),
        }
    }

    fn change(&self, state: &mut State, resource: &Resource) -> Answer {
        let (kind, names) = resource.kind();
        match (
            self.incoming.method.as_str(),
            kind.as_str(),
            names.as_slice(),
        ) {
            ("PUT", "microsoft.authorization/roleassignments", [name]) => {
                roles::put(self, state, resource, name)
            }
            ("DELETE", "microsoft.authorization/roleassignments", [name]) => {
                roles::delete(self, state, resource, name)
            }
            ("PUT", "microsoft.keyvault/vaults", [name]) => {
                vaults::put(self, state, resource, name)
            }
            ("PATCH", "microsoft.keyvault/vaults", [name]) => {
                vaults::patch(self, state, resource, name)
            }
            ("PUT", "microsoft.keyvault/vaults/accesspolicies", [name, operation]) => {
                vaults::change_policies(self, state, resource, name, operation)
            }
            ("POST", "microsoft.keyvault/checknameavailability", []) => {
                vaults::check_name(self, state)
            }
            ("DELETE", "microsoft.keyvault/vaults", [name]) => {
                vault_deletion::delete(self, state, resource, name)
            }
            ("POST", "microsoft.keyvault/locations/deletedvaults/purge", [_, name]) => {
                vault_deletion::purge(self, state, resource, name)
            }
            _ => Err(error::unknown_type(&resource.path)),
        }
    }

    fn body(&self) -> Result<Value, ArmError> {
        self.incoming.json().ok_or_else(|| {
            ArmError::new(
                400,
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized.",
            )
        })
    }

    /// Refuses unless a role of the caller allows the action over the scope.
    fn check(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        if super::access::allowed(self.world, state, &self.caller.oid, action, scope) {
            Ok(())
        } else {
            Err(self.caller.unauthorized(action, scope))
        }
    }

    fn page(items: &[Value]) -> Reply {
        Reply::json(200, &json!({"value": items}))
    }
}
