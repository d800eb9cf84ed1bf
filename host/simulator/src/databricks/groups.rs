//! Groups over SCIM, of the workspace and of the account (reference/databricks.md, 4.3).

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::State;
use super::caller::Caller;
use super::directory::{ADMINS, Group, USERS};
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, created, no_content, ok};
use super::scim::{self, Patch};

fn is_account(request: &Request) -> bool {
    !request.parameter("account").is_empty()
}

fn require_administrator(request: &Request, state: &State, caller: &Caller) -> Result<(), Refusal> {
    if is_account(request) {
        state.require_account(request.parameter("account"))?;
        return caller.require_account_admin();
    }
    if caller.admin {
        Ok(())
    } else {
        Err(scim::admins_only())
    }
}

fn is_shown(request: &Request, group: &Group) -> bool {
    if is_account(request) {
        group.of_account
    } else {
        group.in_workspace
    }
}

fn find<'a>(request: &Request, state: &'a State) -> Result<&'a Group, Refusal> {
    let id = request.parameter("id");
    id.parse()
        .ok()
        .and_then(|id: u64| state.directory.groups.get(&id))
        .filter(|group| is_shown(request, group))
        .ok_or_else(|| scim::missing("Group", id))
}

fn render(state: &State, group: &Group) -> Value {
    let directory = &state.directory;
    let members: Value = directory
        .members_of(group)
        .into_iter()
        .filter_map(|id| {
            if let Some(principal) = directory.principals.get(&id) {
                return Some(json!({
                    "value": id.to_string(),
                    "display": principal.display_name,
                    "$ref": format!("{}/{id}", principal.kind.collection()),
                }));
            }
            let nested = directory.groups.get(&id)?;
            Some(json!({
                "value": id.to_string(),
                "display": nested.name,
                "$ref": format!("Groups/{id}"),
            }))
        })
        .collect();
    let parents: Value = directory
        .groups
        .values()
        .filter(|parent| parent.members.contains(&group.id))
        .map(|parent| {
            json!({
                "value": parent.id.to_string(),
                "display": parent.name,
                "$ref": format!("Groups/{}", parent.id),
            })
        })
        .collect();
    let mut resource = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": group.id.to_string(),
        "displayName": group.name,
        "members": members,
        "groups": parents,
        "entitlements": scim::wrapped(&group.entitlements),
        "roles": scim::wrapped(&group.roles),
        "meta": { "resourceType": if group.of_account { "Group" } else { "WorkspaceGroup" } },
    });
    if let (Some(fields), Some(external)) = (resource.as_object_mut(), &group.external_id) {
        fields.insert("externalId".into(), json!(external));
    }
    resource
}

/// `GET …/Groups`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    if is_account(request) {
        require_administrator(request, state, caller)?;
    }
    let resources = state
        .directory
        .groups
        .values()
        .filter(|group| is_shown(request, group))
        .map(|group| render(state, group))
        .collect();
    scim::list(request, resources)
}

/// `GET …/Groups/{id}`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    if is_account(request) {
        require_administrator(request, state, caller)?;
    }
    ok(scim::selected(
        request,
        render(state, find(request, state)?),
    ))
}

/// `POST …/Groups`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let body: Value = scim::body(request)?;
    let name = body
        .field("displayName")
        .as_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            scim::invalid(
                "invalidValue",
                "Required attribute displayName is missing in the SCIM Object.",
            )
        })?;
    if state.directory.group(name).is_some() {
        return Err(scim::conflict(format!(
            "Group with name {name} already exists."
        )));
    }
    check_entitlements(&body)?;
    let (id, of_account) = (request.world.number(), is_account(request));
    state.directory.groups.insert(
        id,
        Group {
            id,
            name: name.to_owned(),
            external_id: None,
            members: BTreeSet::new(),
            entitlements: BTreeSet::new(),
            roles: BTreeSet::new(),
            of_account,
            in_workspace: !of_account,
        },
    );
    store(state, id, &body);
    let group = state.directory.groups.get(&id);
    created(group.map_or(Value::Null, |group| render(state, group)))
}

/// `PUT …/Groups/{id}`
pub(super) fn replace(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let id = find(request, state)?.id;
    let resource: Value = scim::body(request)?;
    check_entitlements(&resource)?;
    store(state, id, &resource);
    let group = find(request, state)?;
    ok(render(state, group))
}

/// `PATCH …/Groups/{id}`
pub(super) fn patch(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let group = find(request, state)?;
    let patch: Patch = scim::body(request)?;
    let mut resource = render(state, group);
    patch.apply(&mut resource)?;
    check_entitlements(&resource)?;
    let id = group.id;
    store(state, id, &resource);
    no_content()
}

/// `DELETE …/Groups/{id}`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let group = find(request, state)?;
    if [ADMINS, USERS].contains(&group.name.as_str()) {
        return Err(Refusal::scim(
            StatusCode::BAD_REQUEST,
            None,
            format!("The system group {} cannot be deleted.", group.name),
        ));
    }
    let id = group.id;
    state.directory.groups.remove(&id);
    for group in state.directory.groups.values_mut() {
        group.members.remove(&id);
    }
    no_content()
}

fn check_entitlements(resource: &Value) -> Result<(), Refusal> {
    scim::check_entitlements(&scim::unwrapped(resource.get("entitlements")))
}

/// Takes over a whole resource. The names of system groups stay.
fn store(state: &mut State, id: u64, resource: &Value) {
    let Some(group) = state.directory.groups.get_mut(&id) else {
        return;
    };
    let is_system = [ADMINS, USERS].contains(&group.name.as_str());
    if let Some(name) = resource
        .field("displayName")
        .as_str()
        .filter(|_| !is_system)
    {
        name.clone_into(&mut group.name);
    }
    group.external_id = resource.field("externalId").as_str().map(str::to_owned);
    group.members = scim::unwrapped(resource.get("members"))
        .iter()
        .filter_map(|member| member.parse().ok())
        .filter(|member| *member != id)
        .collect();
    group.entitlements = scim::unwrapped(resource.get("entitlements"))
        .into_iter()
        .collect();
    if group.of_account {
        group.roles = scim::unwrapped(resource.get("roles")).into_iter().collect();
    }
}
