//! Users, the organization and the recycle bin (reference, sections 2.2 and 2.6).

use serde_json::{Value, json};

use super::{
    Answer, Request, applications,
    error::{self, GraphError},
};
use crate::{
    State,
    entra::{Deletion, User},
    wire::Reply,
};

/// A user as Graph prints it.
pub(super) fn printed(user: &User) -> Value {
    json!({
        "id": user.id,
        "displayName": user.display_name,
        "givenName": user.display_name,
        "jobTitle": null,
        "mail": user.upn,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null,
        "surname": null,
        "userPrincipalName": user.upn,
        "businessPhones": [],
    })
}

pub(super) fn users(request: &Request<'_>, state: &State) -> Answer {
    if !request.caller.reads_users() {
        return Err(error::denied());
    }
    request.page("users", state.entra.users.iter().map(printed).collect())
}

pub(super) fn user(request: &Request<'_>, state: &State, key: &str) -> Answer {
    if !request.caller.reads_users() {
        return Err(error::denied());
    }
    let user = state.entra.user(key).ok_or_else(|| error::not_found(key))?;
    Ok(request.one(200, "users", printed(user)))
}

pub(super) fn me(request: &Request<'_>, state: &State) -> Answer {
    let user = state
        .entra
        .user(&request.caller.oid)
        .filter(|_| !request.caller.application);
    let user = user.ok_or_else(|| {
        GraphError::new(
            400,
            "BadRequest",
            "/me request is only valid with delegated authentication flow.",
        )
    })?;
    Ok(request.one(200, "users", printed(user)))
}

pub(super) fn organization(request: &Request<'_>, state: &State) -> Reply {
    let entra = &state.entra;
    let domain = json!({
        "capabilities": "Email, OfficeCommunicationsOnline",
        "isDefault": true,
        "isInitial": true,
        "name": entra.domain,
        "type": "Managed",
    });
    let tenant = json!({
        "id": entra.tenant_id,
        "displayName": entra.display_name,
        "verifiedDomains": [domain],
    });
    let whole = json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#organization",
        "value": [super::odata::select(tenant, request.incoming.query("$select").as_deref())],
    });
    Reply::json(200, &whole)
}

/// `/directory/deletedItems/…`, of which applications are kept here.
pub(super) fn get_deleted(request: &Request<'_>, state: &State, rest: &[&str]) -> Answer {
    if !request.caller.writes_owned() {
        return Err(error::denied());
    }
    let mut kept = applications::deleted(request, state);
    match rest {
        [] | ["microsoft.graph.application"] => {
            let shown = kept.map(|app| applications::printed(request.world, state, app));
            request.page("directoryObjects", shown.collect())
        }
        [id] => {
            let app = kept.find(|app| app.id.eq_ignore_ascii_case(id));
            let app = app.ok_or_else(|| error::not_found(id))?;
            let object = applications::printed(request.world, state, app);
            Ok(request.one(200, "directoryObjects", object))
        }
        _ => Err(error::not_found(&rest.join("/"))),
    }
}

/// Finds a deleted application that the caller may change.
fn changeable(
    request: &Request<'_>,
    state: &State,
    id: &str,
) -> Result<(String, Deletion), GraphError> {
    let entra = &state.entra;
    let app = entra
        .applications
        .iter()
        .find(|app| app.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| error::not_found(id))?;
    let deletion = app.deleted.clone().ok_or_else(|| error::not_found(id))?;
    if request.caller.may_change(&app.owners) {
        Ok((app.app_id.clone(), deletion))
    } else {
        Err(error::denied())
    }
}

/// Brings an application back, and the service principal that went with it.
pub(super) fn restore(request: &Request<'_>, state: &mut State, id: &str) -> Answer {
    let (app_id, deletion) = changeable(request, state, id)?;
    for sp in &mut state.entra.service_principals {
        if sp.app_id == app_id && sp.deleted.as_ref() == Some(&deletion) {
            sp.deleted = None;
        }
    }
    let apps = &mut state.entra.applications;
    let app = apps.iter_mut().find(|app| app.id.eq_ignore_ascii_case(id));
    let app = app.ok_or_else(|| error::not_found(id))?;
    app.deleted = None;
    let app = app.clone();
    let object = applications::printed(request.world, state, &app);
    Ok(request.one(200, "directoryObjects", object))
}

/// Removes a deleted application for good.
pub(super) fn purge(request: &Request<'_>, state: &mut State, id: &str) -> Answer {
    let (app_id, _) = changeable(request, state, id)?;
    let entra = &mut state.entra;
    entra
        .applications
        .retain(|app| !app.id.eq_ignore_ascii_case(id));
    entra
        .service_principals
        .retain(|sp| sp.app_id != app_id || sp.deleted.is_none());
    Ok(Reply::empty(204))
}
