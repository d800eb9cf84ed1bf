//! Service principals (reference, section 2.5).

use serde_json::{Map, Value, json};

use super::{
    Answer, Request,
    error::{self, GraphError},
    odata::Key,
    owners, passwords,
};
use crate::{
    State, World,
    entra::{Arrival, Deletion, ServicePrincipal},
    wire::{Reply, iso},
};

/// Properties that have a place of their own, or that clients cannot set.
const TYPED: [&str; 11] = [
    "id",
    "appId",
    "displayName",
    "appDisplayName",
    "accountEnabled",
    "servicePrincipalNames",
    "owners",
    "owners@odata.bind",
    "passwordCredentials",
    "appRoles",
    "deletedDateTime",
];

fn has(sp: &ServicePrincipal, key: &Key) -> bool {
    match key {
        Key::Id(id) => sp.id.eq_ignore_ascii_case(id),
        Key::Alternate(name, value) if name == "appId" => sp.app_id.eq_ignore_ascii_case(value),
        Key::Alternate(..) => false,
    }
}

fn shown(world: &World, sp: &ServicePrincipal) -> bool {
    match &sp.deleted {
        Some(deletion) => !world.sees(deletion.seen),
        None => world.sees(sp.arrival.read),
    }
}

/// The service principal as reads see it.
pub(super) fn readable<'s>(
    request: &Request<'_>,
    state: &'s State,
    key: &Key,
) -> Result<&'s ServicePrincipal, GraphError> {
    let all = state.entra.service_principals.iter();
    let mut found: Vec<&ServicePrincipal> = all
        .filter(|sp| has(sp, key) && shown(request.world, sp))
        .collect();
    found.sort_by_key(|sp| sp.deleted.is_some());
    let sp = found.first().ok_or_else(|| error::not_found(key.text()))?;
    if request.caller.reads_principals() || sp.id == request.caller.oid {
        Ok(sp)
    } else {
        Err(error::denied())
    }
}

/// The service principal for a write: an owner of it or of its application may change it.
pub(super) fn writable<'s>(
    request: &Request<'_>,
    state: &'s mut State,
    key: &Key,
) -> Result<&'s mut ServicePrincipal, GraphError> {
    let world = request.world;
    let entra = &mut state.entra;
    let sp = entra
        .service_principals
        .iter_mut()
        .find(|sp| sp.deleted.is_none() && has(sp, key) && world.sees(sp.arrival.read))
        .ok_or_else(|| error::not_found(key.text()))?;
    let mut owners = sp.owners.clone();
    let app = entra
        .applications
        .iter()
        .find(|app| app.app_id == sp.app_id);
    owners.extend(app.into_iter().flat_map(|app| app.owners.clone()));
    if request.caller.may_change(&owners) {
        Ok(sp)
    } else {
        Err(error::denied())
    }
}

pub(super) fn list(request: &Request<'_>, state: &State) -> Answer {
    if !request.caller.reads_principals() {
        return Err(error::denied());
    }
    let all = state.entra.service_principals.iter();
    let shown = all.filter(|sp| shown(request.world, sp));
    request.page(
        "servicePrincipals",
        shown.map(|sp| printed(request.world, state, sp)).collect(),
    )
}

pub(super) fn get(request: &Request<'_>, state: &State, key: &Key) -> Answer {
    let sp = readable(request, state, key)?;
    Ok(request.one(200, "servicePrincipals", printed(request.world, state, sp)))
}

pub(super) fn create(request: &Request<'_>, state: &mut State) -> Answer {
    let body = request.body()?;
    let app_id = body.get("appId").and_then(Value::as_str).ok_or_else(|| {
        error::bad_request(
            "A value is required for property 'appId' of resource 'ServicePrincipal'.",
        )
    })?;
    create_from(request, state, &body, app_id)
}

fn create_from(request: &Request<'_>, state: &mut State, body: &Value, app_id: &str) -> Answer {
    let (world, caller) = (request.world, &request.caller);
    if !caller.writes_owned() {
        return Err(error::denied());
    }
    let no_backing = || {
        error::bad_request(format!(
            "The appId '{app_id}' of the service principal does not reference a valid application object."
        ))
        .detail("NoBackingApplicationObject", "appId")
    };
    // The misleading refusal that callers with OwnedBy get for an application that is not theirs
    // or has not arrived (terraform-provider-azuread#581).
    let not_local = || {
        GraphError::new(
            403,
            "Authorization_RequestDenied",
            "When using this permission, the backing application of the service principal being created must in the local tenant",
        )
    };
    let app = state.entra.application(app_id).ok_or_else(no_backing)?;
    if !world.sees(app.arrival.backing) {
        // Which of the two it is depends on the replica; here on the application.
        let first_seen = app.id.bytes().next().unwrap_or_default().is_multiple_of(2);
        return Err(if caller.writes_all() || first_seen {
            no_backing()
        } else {
            not_local()
        });
    }
    if !caller.may_change(&app.owners) {
        return Err(not_local());
    }
    if state.entra.principal_of(app_id).is_some() {
        return Err(GraphError::new(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            format!(
                "The service principal cannot be created, updated, or restored because the service principal name {app_id} is already in use."
            ),
        ));
    }
    let mut owners = owners::bound(state, body)?;
    if caller.application && !caller.writes_all() && !owners.contains(&caller.oid) {
        owners.push(caller.oid.clone());
    }
    let mut sp = ServicePrincipal {
        id: world.guid(),
        app_id: app.app_id.clone(),
        display_name: app.display_name.clone(),
        enabled: body
            .get("accountEnabled")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        names: std::iter::once(app.app_id.clone())
            .chain(app.identifier_uris.clone())
            .collect(),
        app_roles: Vec::new(),
        owners,
        passwords: Vec::new(),
        properties: Map::new(),
        created: world.now(),
        arrival: Arrival::of_new(world),
        deleted: None,
    };
    set_properties(&mut sp, body);
    let object = printed(world, state, &sp);
    state.entra.service_principals.push(sp);
    Ok(request.one(201, "servicePrincipals", object))
}

/// Updates a service principal, or by client id creates it when the client prefers that.
pub(super) fn patch(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let body = request.body()?;
    if let Key::Alternate(name, app_id) = key
        && name == "appId"
        && request.creates_if_missing()
    {
        return match state.entra.principal_of(app_id) {
            None => create_from(request, state, &body, app_id),
            Some(sp) if sp.arrival.read > request.world.now() => Ok(Reply::empty(204)),
            Some(_) => update(request, state, key, &body),
        };
    }
    update(request, state, key, &body)
}

fn update(request: &Request<'_>, state: &mut State, key: &Key, body: &Value) -> Answer {
    let sp = writable(request, state, key)?;
    if let Some(enabled) = body.get("accountEnabled").and_then(Value::as_bool) {
        sp.enabled = enabled;
    }
    if let Some(name) = body.get("displayName").and_then(Value::as_str) {
        name.clone_into(&mut sp.display_name);
    }
    set_properties(sp, body);
    Ok(Reply::empty(204))
}

fn set_properties(sp: &mut ServicePrincipal, body: &Value) {
    for (name, value) in body.as_object().into_iter().flatten() {
        if !TYPED.contains(&name.as_str()) && !name.starts_with('@') {
            sp.properties.insert(name.clone(), value.clone());
        }
    }
}

pub(super) fn delete(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let deletion = Deletion::now(request.world);
    writable(request, state, key)?.deleted = Some(deletion);
    Ok(Reply::empty(204))
}

/// The service principal as Graph prints it.
pub(super) fn printed(world: &World, state: &State, sp: &ServicePrincipal) -> Value {
    let roles: Vec<Value> = sp
        .app_roles
        .iter()
        .map(|role| {
            json!({
                "id": role.id,
                "value": role.value,
                "displayName": role.value,
                "description": role.value,
                "allowedMemberTypes": ["Application"],
                "isEnabled": true,
                "origin": "Application",
            })
        })
        .collect();
    let mut object = json!({
        "id": sp.id,
        "deletedDateTime": null,
        "accountEnabled": sp.enabled,
        "alternativeNames": [],
        "appDisplayName": sp.display_name,
        "appId": sp.app_id,
        "appOwnerOrganizationId": state.entra.tenant_id,
        "appRoleAssignmentRequired": false,
        "createdDateTime": iso(sp.created),
        "description": null,
        "displayName": sp.display_name,
        "notes": null,
        "servicePrincipalNames": sp.names,
        "servicePrincipalType": "Application",
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "appRoles": roles,
        "keyCredentials": [],
        "passwordCredentials": sp
            .passwords
            .iter()
            .filter(|password| world.sees(password.read_from))
            .map(passwords::printed)
            .collect::<Vec<_>>(),
    });
    if let Some(members) = object.as_object_mut() {
        for (name, value) in &sp.properties {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}
