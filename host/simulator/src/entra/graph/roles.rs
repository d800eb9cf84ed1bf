//! App roles granted to service principals (reference, section 2.5).

use serde_json::{Value, json};

use super::{
    Answer, Request,
    error::{self},
    odata::Key,
    principals,
};
use crate::{
    State,
    entra::AppRoleAssignment,
    wire::{Reply, iso},
};

/// From which end a grant is looked at.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Resource,
    Client,
}

fn printed(state: &State, grant: &AppRoleAssignment) -> Value {
    let name = |oid: &str| state.entra.principal(oid).map(|sp| sp.display_name.clone());
    json!({
        "id": grant.id,
        "deletedDateTime": null,
        "appRoleId": grant.app_role_id,
        "createdDateTime": iso(grant.created),
        "principalDisplayName": name(&grant.principal_id),
        "principalId": grant.principal_id,
        "principalType": "ServicePrincipal",
        "resourceDisplayName": name(&grant.resource_id),
        "resourceId": grant.resource_id,
    })
}

pub(super) fn list(request: &Request<'_>, state: &State, key: &Key, side: Side) -> Answer {
    let sp = principals::readable(request, state, key)?;
    let grants = state
        .entra
        .app_role_assignments
        .iter()
        .filter(|grant| match side {
            Side::Resource => grant.resource_id == sp.id,
            Side::Client => grant.principal_id == sp.id,
        });
    request.page(
        "appRoleAssignments",
        grants.map(|grant| printed(state, grant)).collect(),
    )
}

pub(super) fn grant(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    if !request.caller.has("AppRoleAssignment.ReadWrite.All") {
        return Err(error::denied());
    }
    principals::readable(request, state, key)?;
    let body = request.body()?;
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| {
                error::bad_request(format!(
                    "A value is required for property '{name}' of resource 'AppRoleAssignment'."
                ))
            })
    };
    let (role, principal, resource) = (
        text("appRoleId")?,
        text("principalId")?,
        text("resourceId")?,
    );
    let known = state.entra.principal(&principal);
    if !known.is_some_and(|sp| request.world.sees(sp.arrival.read)) {
        return Err(error::bad_request("Not a valid reference update."));
    }
    let target = state
        .entra
        .principal(&resource)
        .ok_or_else(|| error::not_found(&resource))?;
    if !target
        .app_roles
        .iter()
        .any(|offered| offered.id.eq_ignore_ascii_case(&role))
    {
        return Err(error::bad_request(
            "Permission being assigned was not found on application.",
        ));
    }
    let twin = state.entra.app_role_assignments.iter().any(|have| {
        have.app_role_id == role && have.principal_id == principal && have.resource_id == resource
    });
    if twin {
        return Err(error::bad_request(
            "Permission being assigned already exists on the object.",
        ));
    }
    let grant = AppRoleAssignment {
        id: request.world.hex(43),
        app_role_id: role,
        principal_id: principal,
        resource_id: resource,
        created: request.world.now(),
    };
    let object = printed(state, &grant);
    state.entra.app_role_assignments.push(grant);
    Ok(request.one(201, "appRoleAssignments", object))
}

pub(super) fn revoke(request: &Request<'_>, state: &mut State, key: &Key, id: &str) -> Answer {
    if !request.caller.has("AppRoleAssignment.ReadWrite.All") {
        return Err(error::denied());
    }
    let sp = principals::readable(request, state, key)?.id.clone();
    let grants = &mut state.entra.app_role_assignments;
    let before = grants.len();
    grants.retain(|grant| grant.id != id || (grant.resource_id != sp && grant.principal_id != sp));
    if grants.len() == before {
        Err(error::not_found(id))
    } else {
        Ok(Reply::empty(204))
    }
}
