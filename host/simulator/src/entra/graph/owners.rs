//! Owners of applications and service principals (reference, sections 2.1 and 2.5).

use serde_json::{Value, json};

use super::{
    Answer, Request, applications,
    error::{self, GraphError},
    odata::Key,
    principals,
};
use crate::{State, wire::Reply};

/// Bindings in one create call.
const MOST_BOUND: usize = 20;
const MOST: usize = 100;

/// The owners that a create call binds.
pub(super) fn bound(state: &State, body: &Value) -> Result<Vec<String>, GraphError> {
    let Some(bound) = body.get("owners@odata.bind").and_then(Value::as_array) else {
        return Ok(Vec::new());
    };
    if bound.len() > MOST_BOUND {
        return Err(error::bad_request(format!(
            "The request exceeds the maximum of {MOST_BOUND} bindings."
        )));
    }
    let mut owners = Vec::new();
    for reference in bound {
        let oid = referenced(state, reference)?;
        if !owners.contains(&oid) {
            owners.push(oid);
        }
    }
    Ok(owners)
}

/// The object id in a reference, if it may own: users and service principals may.
fn referenced(state: &State, reference: &Value) -> Result<String, GraphError> {
    let text = reference.as_str().unwrap_or_default();
    let oid = text
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let oid = oid
        .strip_suffix("')")
        .and_then(|oid| oid.split('\'').next_back())
        .unwrap_or(oid);
    let entra = &state.entra;
    if let Some(user) = entra.user(oid) {
        return Ok(user.id.clone());
    }
    if let Some(sp) = entra.principal(oid) {
        return Ok(sp.id.clone());
    }
    if entra
        .applications
        .iter()
        .any(|app| app.id.eq_ignore_ascii_case(oid))
    {
        return Err(error::bad_request(format!(
            "The reference target 'Application_{oid}' of type 'Application' is invalid for the 'owners' reference."
        )));
    }
    Err(error::not_found(oid))
}

fn add(owners: &mut Vec<String>, oid: String) -> Answer {
    if owners.contains(&oid) {
        return Err(error::bad_request(
            "One or more added object references already exist for the following modified properties: 'owners'.",
        ));
    }
    if owners.len() >= MOST {
        return Err(error::bad_request(format!(
            "An object has at most {MOST} owners."
        )));
    }
    owners.push(oid);
    Ok(Reply::empty(204))
}

pub(super) fn add_to_application(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let body = request.body()?;
    let oid = referenced(state, body.get("@odata.id").unwrap_or(&Value::Null))?;
    add(
        &mut applications::writable(request, state, key)?.owners,
        oid,
    )
}

pub(super) fn add_to_principal(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let body = request.body()?;
    let oid = referenced(state, body.get("@odata.id").unwrap_or(&Value::Null))?;
    add(&mut principals::writable(request, state, key)?.owners, oid)
}

pub(super) fn remove_from_application(
    request: &Request<'_>,
    state: &mut State,
    key: &Key,
    oid: &str,
) -> Answer {
    let owners = &mut applications::writable(request, state, key)?.owners;
    let before = owners.len();
    owners.retain(|owner| !owner.eq_ignore_ascii_case(oid));
    if owners.len() == before {
        Err(error::not_found(oid))
    } else {
        Ok(Reply::empty(204))
    }
}

pub(super) fn of_application(request: &Request<'_>, state: &State, key: &Key) -> Answer {
    let owners = &applications::readable(request, state, key)?.owners;
    request.page("directoryObjects", objects(request, state, owners))
}

pub(super) fn of_principal(request: &Request<'_>, state: &State, key: &Key) -> Answer {
    let owners = &principals::readable(request, state, key)?.owners;
    request.page("directoryObjects", objects(request, state, owners))
}

fn objects(request: &Request<'_>, state: &State, owners: &[String]) -> Vec<Value> {
    owners
        .iter()
        .filter_map(|oid| {
            if let Some(sp) = state.entra.principal(oid) {
                let object = principals::printed(request.world, state, sp);
                return Some(typed("servicePrincipal", object));
            }
            let user = state.entra.user(oid)?;
            Some(typed("user", super::directory::printed(user)))
        })
        .collect()
}

fn typed(kind: &str, mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        let kind = json!(format!("#microsoft.graph.{kind}"));
        members.shift_insert(0, "@odata.type".to_owned(), kind);
    }
    object
}

/// What a service principal owns; `cast` narrows it to one type.
pub(super) fn owned_objects(
    request: &Request<'_>,
    state: &State,
    key: &Key,
    cast: Option<&str>,
) -> Answer {
    let world = request.world;
    let owner = &principals::readable(request, state, key)?.id;
    let entra = &state.entra;
    let wants = |kind: &str| cast.is_none_or(|cast| cast == format!("microsoft.graph.{kind}"));
    let mut objects = Vec::new();
    if wants("application") {
        let apps = entra.applications.iter().filter(|app| {
            app.deleted.is_none() && app.owners.contains(owner) && world.sees(app.arrival.read)
        });
        objects
            .extend(apps.map(|app| typed("application", applications::printed(world, state, app))));
    }
    if wants("servicePrincipal") {
        let principals = entra.service_principals.iter().filter(|sp| {
            sp.deleted.is_none() && sp.owners.contains(owner) && world.sees(sp.arrival.read)
        });
        objects.extend(
            principals.map(|sp| typed("servicePrincipal", principals::printed(world, state, sp))),
        );
    }
    request.page("directoryObjects", objects)
}
