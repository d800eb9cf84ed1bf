//! Who may read, write and manage the secrets of a scope (reference/databricks.md, section 10).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use super::caller::Caller;
use super::errors::Refusal;
use super::request::{Answer, Request, done, ok};
use super::secrets::{Scope, scope};

/// What somebody may do with a scope's secrets; each includes the ones before.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Permission {
    Read,
    Write,
    Manage,
}

impl Permission {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Manage => "MANAGE",
        }
    }
}

/// The strongest permission a principal has on a scope; admins manage all scopes.
pub(super) fn held(state: &State, id: u64, scope: &Scope) -> Option<Permission> {
    let directory = &state.directory;
    if directory.is_admin(id) {
        return Some(Permission::Manage);
    }
    let name = directory
        .principals
        .get(&id)
        .map(|principal| &principal.name);
    let groups = directory.groups_of(id);
    scope
        .acls
        .iter()
        .filter(|(granted, _)| {
            name.is_some_and(|name| name.eq_ignore_ascii_case(granted))
                || groups.iter().any(|group| group.name == **granted)
        })
        .map(|(_, permission)| *permission)
        .max()
}

/// Refuses a principal (id and name) without this permission.
pub(super) fn require(
    state: &State,
    (id, name): (u64, &str),
    scope_name: &str,
    scope: &Scope,
    permission: Permission,
) -> Result<(), Refusal> {
    if held(state, id, scope) >= Some(permission) {
        return Ok(());
    }
    Err(Refusal::denied(format!(
        "User {name} does not have {} permission on scope {scope_name}",
        permission.name()
    )))
}

fn require_manage(state: &crate::State, caller: &Caller, name: &str) -> Result<(), Refusal> {
    let scope = scope(state, name)?;
    let reader = (caller.id, caller.name.as_str());
    require(&state.databricks, reader, name, scope, Permission::Manage)
}

#[derive(Deserialize)]
struct Body {
    scope: String,
    principal: String,
    permission: Option<Permission>,
}

/// `POST /api/2.0/secrets/acls/put`. For a principal that has only just come into the workspace
/// the answer is 200 and nothing is stored (section 15, `acl_silent_drop`).
pub(super) fn put(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Body = request.json()?;
    require_manage(state, caller, &body.scope)?;
    let permission = body
        .permission
        .ok_or_else(|| Refusal::invalid("Missing required field: permission"))?;
    let directory = &state.databricks.directory;
    let principal = directory
        .named(&body.principal)
        .filter(|principal| principal.member_since.is_some());
    let group = directory
        .group(&body.principal)
        .filter(|group| group.in_workspace);
    if principal.is_none() && group.is_none() {
        return Err(Refusal::missing(format!(
            "Principal {} does not exist in the workspace.",
            body.principal
        )));
    }
    if group.is_none() && principal.is_some_and(|principal| !principal.is_visible(&request.world)) {
        return done();
    }
    if let Some(scope) = state.databricks.scopes.get_mut(&body.scope) {
        scope.acls.insert(body.principal, permission);
    }
    done()
}

/// `POST /api/2.0/secrets/acls/delete`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Body = request.json()?;
    require_manage(state, caller, &body.scope)?;
    let scope = state.databricks.scopes.get_mut(&body.scope);
    match scope.and_then(|scope| scope.acls.remove(&body.principal)) {
        Some(_) => done(),
        None => Err(absent(&body.scope, &body.principal)),
    }
}

fn absent(scope: &str, principal: &str) -> Refusal {
    Refusal::missing(format!(
        "No ACL for principal {principal} exists on scope {scope}"
    ))
}

/// `GET /api/2.0/secrets/acls/get?scope=&principal=`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let name = request.required_query("scope")?;
    let principal = request.required_query("principal")?;
    require_manage(state, caller, name)?;
    let permission = scope(state, name)?
        .acls
        .get(principal)
        .ok_or_else(|| absent(name, principal))?;
    ok(json!({ "principal": principal, "permission": permission }))
}

/// `GET /api/2.0/secrets/acls/list?scope=`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let name = request.required_query("scope")?;
    require_manage(state, caller, name)?;
    let items: Vec<Value> = scope(state, name)?
        .acls
        .iter()
        .map(|(principal, permission)| json!({ "principal": principal, "permission": permission }))
        .collect();
    ok(json!({ "items": items }))
}
