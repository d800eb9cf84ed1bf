//! Which principals of the account are in the workspace, and as what
//! (reference/databricks.md, section 5).

use serde::Deserialize;
use serde_json::{Value, json};

use super::State;
use super::caller::{self, Caller};
use super::directory::{ADMINS, Directory, Kind, USERS};
use super::errors::Refusal;
use super::request::{Answer, Request, done, ok};

#[derive(Deserialize)]
struct Permissions {
    #[serde(default)]
    permissions: Vec<String>,
}

/// The account's form is for account admins and names the workspace; the workspace's own form is
/// for its admins.
fn require_administrator(request: &Request, state: &State, caller: &Caller) -> Result<(), Refusal> {
    let account = request.parameter("account");
    if account.is_empty() {
        return caller.require_admin("This API");
    }
    state.require_account(account)?;
    caller.require_account_admin()?;
    let workspace = request.parameter("workspace");
    if workspace == state.workspace.id.to_string() {
        Ok(())
    } else {
        Err(Refusal::missing(format!(
            "Workspace {workspace} does not exist."
        )))
    }
}

fn render(directory: &Directory, id: u64) -> Option<Value> {
    let (key, name, display) = if let Some(principal) = directory.principals.get(&id) {
        let key = match principal.kind {
            Kind::User => "user_name",
            Kind::ServicePrincipal => "service_principal_name",
        };
        (key, &principal.name, &principal.display_name)
    } else {
        let group = directory.groups.get(&id)?;
        ("group_name", &group.name, &group.name)
    };
    let is_admin = directory
        .group(ADMINS)
        .is_some_and(|admins| admins.members.contains(&id));
    Some(json!({
        "permissions": [if is_admin { "ADMIN" } else { "USER" }],
        "principal": { "principal_id": id, "display_name": display, key: name },
    }))
}

/// `GET …/permissionassignments`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    require_administrator(request, state, caller)?;
    let directory = &state.directory;
    let principals = directory
        .principals
        .values()
        .filter(|principal| principal.member_since.is_some())
        .map(|principal| principal.id);
    let groups = directory
        .groups
        .values()
        .filter(|group| group.in_workspace && group.of_account)
        .map(|group| group.id);
    let assignments: Vec<Value> = principals
        .chain(groups)
        .filter_map(|id| render(directory, id))
        .collect();
    ok(json!({ "permission_assignments": assignments }))
}

/// `GET …/permissionassignments/permissions`
pub(super) fn levels(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    require_administrator(request, &state.databricks, caller)?;
    ok(json!({ "permissions": [
        { "permission_level": "USER", "description": "Can use the workspace" },
        { "permission_level": "ADMIN", "description": "Can administer the workspace" },
    ]}))
}

/// `PUT …/permissionassignments/principals/{principal}`; no permissions means none at all.
pub(super) fn put(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let body: Permissions = request.json()?;
    let name = request.parameter("principal");
    let id = name
        .parse()
        .ok()
        .filter(|id| {
            state.directory.principals.contains_key(id)
                || state
                    .directory
                    .groups
                    .get(id)
                    .is_some_and(|group| group.of_account)
        })
        .ok_or_else(|| {
            Refusal::missing(format!(
                "Principal {name} does not exist in account {}.",
                state.account_id
            ))
        })?;
    assign(request, state, id, &body.permissions)?;
    if body.permissions.is_empty() {
        return done();
    }
    ok(render(&state.directory, id).unwrap_or_default())
}

/// `DELETE …/permissionassignments/principals/{principal}`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    if let Ok(id) = request.parameter("principal").parse() {
        assign(request, state, id, &[])?;
    }
    done()
}

/// `POST /api/2.0/preview/permissionassignments`: several at once, by name.
pub(super) fn post(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        permission_assignments: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        service_principal_name: Option<String>,
        user_name: Option<String>,
        group_name: Option<String>,
        #[serde(flatten)]
        granted: Permissions,
    }
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let body: Body = request.json()?;
    let mut replies = Vec::new();
    for item in body.permission_assignments {
        let directory = &state.directory;
        let found = match (
            &item.service_principal_name,
            &item.user_name,
            &item.group_name,
        ) {
            (Some(name), None, None) => directory
                .find(Kind::ServicePrincipal, name)
                .map(|found| found.id),
            (None, Some(name), None) => directory.find(Kind::User, name).map(|found| found.id),
            (None, None, Some(name)) => directory
                .group(name)
                .filter(|group| group.of_account)
                .map(|group| group.id),
            _ => None,
        };
        let Some(id) = found else {
            replies.push(json!({ "error": "Principal does not exist in the account." }));
            continue;
        };
        assign(request, state, id, &item.granted.permissions)?;
        replies.extend(render(&state.directory, id));
    }
    ok(json!({ "permission_assignments": replies }))
}

/// Makes a principal a user or an admin of the workspace, or takes it out.
fn assign(
    request: &Request,
    state: &mut State,
    id: u64,
    permissions: &[String],
) -> Result<(), Refusal> {
    if let Some(unknown) = permissions
        .iter()
        .find(|permission| !["USER", "ADMIN"].contains(&permission.as_str()))
    {
        return Err(Refusal::invalid(format!("Unknown permission: {unknown}")));
    }
    if permissions.is_empty() {
        if let Some(group) = state.directory.groups.get_mut(&id) {
            group.in_workspace = group.name == ADMINS || group.name == USERS;
        }
        state.directory.leave_workspace(id);
        return Ok(());
    }
    if let Some(group) = state.directory.groups.get_mut(&id) {
        group.in_workspace = true;
        let members = state
            .directory
            .groups
            .get(&id)
            .map(|group| group.members.clone())
            .unwrap_or_default();
        for member in members {
            caller::join_workspace(&request.world, state, member, false);
        }
    } else {
        caller::join_workspace(&request.world, state, id, false);
    }
    let is_admin = permissions.iter().any(|permission| permission == "ADMIN");
    if let Some(admins) = state
        .directory
        .groups
        .values_mut()
        .find(|group| group.name == ADMINS)
    {
        if is_admin {
            admins.members.insert(id);
        } else {
            admins.members.remove(&id);
        }
    }
    Ok(())
}
