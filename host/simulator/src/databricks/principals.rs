//! Users and service principals over SCIM, of the workspace and of the account
//! (reference/databricks.md, sections 4.1 to 4.3).

use serde_json::{Value, json};

use super::State;
use super::caller::{self, Caller};
use super::directory::{ACCOUNT_ADMIN, Kind, Principal, USERS};
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, created, no_content, ok};
use super::rule_sets::{self, RuleSet};
use super::scim::{self, Patch};

/// Cannot be had by a single principal, only by a group (4.1).
const POOLS: &str = "allow-instance-pool-create";

/// The kind a path speaks of.
fn kind(request: &Request) -> Kind {
    if request.path.contains("/scim/v2/Users") {
        Kind::User
    } else {
        Kind::ServicePrincipal
    }
}

fn is_account(request: &Request) -> bool {
    !request.parameter("account").is_empty()
}

/// Checks the account in the path, and that the caller may change what the path names.
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

fn render(request: &Request, state: &State, principal: &Principal) -> Value {
    let directory = &state.directory;
    let mut resource = json!({ "id": principal.id.to_string() });
    let Some(fields) = resource.as_object_mut() else {
        return resource;
    };
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match principal.kind {
        Kind::ServicePrincipal => {
            set(
                "schemas",
                json!(["urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"]),
            );
            set("applicationId", json!(principal.name));
        }
        Kind::User => {
            let (given, family) = principal
                .display_name
                .split_once(' ')
                .unwrap_or((&principal.display_name, ""));
            set(
                "schemas",
                json!([
                    "urn:ietf:params:scim:schemas:core:2.0:User",
                    "urn:ietf:params:scim:schemas:extension:workspace:2.0:User"
                ]),
            );
            set("userName", json!(principal.name));
            set(
                "emails",
                json!([{ "value": principal.name, "type": "work", "primary": true }]),
            );
            set("name", json!({ "givenName": given, "familyName": family }));
        }
    }
    set("displayName", json!(principal.display_name));
    set("active", json!(principal.active));
    if let Some(external) = &principal.external_id {
        set("externalId", json!(external));
    }
    if is_account(request) {
        set("account_id", json!(state.account_id));
        set("roles", scim::wrapped(&principal.roles));
        return resource;
    }
    let groups: Value = directory
        .groups_of(principal.id)
        .into_iter()
        .filter(|group| group.in_workspace)
        .map(|group| {
            let direct = group.name == USERS || group.members.contains(&principal.id);
            json!({
                "value": group.id.to_string(),
                "display": group.name,
                "type": if direct { "direct" } else { "indirect" },
                "$ref": format!("Groups/{}", group.id),
            })
        })
        .collect();
    set("entitlements", scim::wrapped(&principal.entitlements));
    set("groups", groups);
    set("roles", json!([]));
    resource
}

/// What a caller who administers nothing sees.
fn reduced(resource: Value) -> Value {
    match resource {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| {
                !["entitlements", "groups", "roles", "externalId"].contains(&name.as_str())
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

fn find<'a>(request: &Request, state: &'a State) -> Result<&'a Principal, Refusal> {
    let (kind, id) = (kind(request), request.parameter("id"));
    id.parse()
        .ok()
        .and_then(|id: u64| state.directory.principals.get(&id))
        .filter(|principal| principal.kind == kind)
        .filter(|principal| is_account(request) || principal.member_since.is_some())
        .ok_or_else(|| scim::missing(kind.collection().trim_end_matches('s'), id))
}

/// `GET …/{ServicePrincipals|Users}`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    if is_account(request) {
        require_administrator(request, state, caller)?;
    }
    let kind = kind(request);
    let resources = state
        .directory
        .principals
        .values()
        .filter(|principal| principal.kind == kind)
        .filter(|principal| is_account(request) || principal.member_since.is_some())
        .map(|principal| seen_by(request, state, caller, principal))
        .collect();
    scim::list(request, resources)
}

fn seen_by(request: &Request, state: &State, caller: &Caller, principal: &Principal) -> Value {
    let resource = render(request, state, principal);
    if is_account(request) || caller.admin || caller.id == principal.id {
        resource
    } else {
        reduced(resource)
    }
}

/// `GET …/{ServicePrincipals|Users}/{id}`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    if is_account(request) {
        require_administrator(request, state, caller)?;
    }
    let principal = find(request, state)?;
    ok(scim::selected(
        request,
        seen_by(request, state, caller, principal),
    ))
}

/// `GET …/Me`
pub(super) fn me(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let Some(principal) = state.directory.principals.get(&caller.id) else {
        return Err(scim::missing("User", &caller.id.to_string()));
    };
    let mut resource = render(request, state, principal);
    if let Some(fields) = resource.as_object_mut() {
        fields.remove("applicationId");
        fields.insert(
            "schemas".into(),
            json!(["urn:ietf:params:scim:schemas:core:2.0:User"]),
        );
        fields.insert("userName".into(), json!(principal.name));
    }
    ok(resource)
}

/// `POST …/{ServicePrincipals|Users}`. Nobody asks Entra whether the application exists (4.1).
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let body: Value = scim::body(request)?;
    let kind = kind(request);
    let name = match kind {
        Kind::ServicePrincipal => body
            .field("applicationId")
            .as_str()
            .filter(|name| !name.is_empty())
            .map_or_else(|| request.world.guid(), str::to_owned),
        Kind::User => body
            .field("userName")
            .as_str()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                scim::invalid(
                    "invalidValue",
                    "Required attribute userName is missing in the SCIM Object.",
                )
            })?
            .to_owned(),
    };
    let known = state.directory.find(kind, &name);
    let is_present =
        known.is_some_and(|principal| is_account(request) || principal.member_since.is_some());
    if is_present {
        return Err(scim::conflict(match kind {
            Kind::ServicePrincipal => {
                format!("Service principal with application ID {name} already exists.")
            }
            Kind::User => format!("User with username {name} already exists."),
        }));
    }
    let mut resource = known.map_or_else(
        || json!({ "displayName": name, "active": true }),
        |principal| json!({ "displayName": principal.display_name, "active": true }),
    );
    if let (Some(fields), Some(sent)) = (resource.as_object_mut(), body.as_object()) {
        fields.extend(sent.clone());
    }
    require_assignable(&resource)?;
    let known = known.map(|principal| principal.id);
    let id = known.unwrap_or_else(|| request.world.number());
    if known.is_none() {
        let principal = state.directory.add(id, kind, &name, &name);
        if kind == Kind::ServicePrincipal {
            principal.rule_set = RuleSet::managed_by(caller);
        }
    }
    if !is_account(request) {
        caller::join_workspace(&request.world, state, id, false);
    }
    store(request, state, id, &resource);
    let principal = state.directory.principals.get(&id);
    created(principal.map_or(Value::Null, |principal| render(request, state, principal)))
}

/// `PUT …/{ServicePrincipals|Users}/{id}`: attributes not sent are dropped.
pub(super) fn replace(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let id = find(request, state)?.id;
    let resource: Value = scim::body(request)?;
    require_assignable(&resource)?;
    store(request, state, id, &resource);
    let principal = find(request, state)?;
    ok(render(request, state, principal))
}

/// `PATCH …/{ServicePrincipals|Users}/{id}`
pub(super) fn patch(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    require_administrator(request, state, caller)?;
    let principal = find(request, state)?;
    let patch: Patch = scim::body(request)?;
    let mut resource = render(request, state, principal);
    patch.apply(&mut resource)?;
    require_assignable(&resource)?;
    let id = principal.id;
    store(request, state, id, &resource);
    no_content()
}

/// `DELETE …/{ServicePrincipals|Users}/{id}`: leaves the workspace, or the account altogether.
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    if is_account(request) {
        require_administrator(request, state, caller)?;
        let id = find(request, state)?.id;
        state.directory.leave_workspace(id);
        for group in state.directory.groups.values_mut() {
            group.members.remove(&id);
        }
        state.directory.principals.remove(&id);
        state.revoke_credentials(id);
        return no_content();
    }
    let principal = find(request, state)?;
    if !caller.admin && !rule_sets::manages(&state.directory, caller, principal) {
        return Err(scim::admins_only());
    }
    let id = principal.id;
    state.directory.leave_workspace(id);
    state.revoke_credentials(id);
    no_content()
}

fn require_assignable(resource: &Value) -> Result<(), Refusal> {
    let entitlements = scim::unwrapped(resource.get("entitlements"));
    if entitlements.iter().any(|entitlement| entitlement == POOLS) {
        return Err(scim::invalid(
            "invalidValue",
            format!("The entitlement {POOLS} can be granted to groups only."),
        ));
    }
    scim::check_entitlements(&entitlements)
}

/// Takes over a whole resource; what it does not say is empty afterwards.
fn store(request: &Request, state: &mut State, id: u64, resource: &Value) {
    let account = is_account(request);
    let active = resource.field("active").as_bool().unwrap_or(true);
    if !active {
        state.revoke_credentials(id);
    }
    let Some(principal) = state.directory.principals.get_mut(&id) else {
        return;
    };
    principal.active = active;
    principal.display_name = resource
        .field("displayName")
        .as_str()
        .unwrap_or(&principal.name)
        .to_owned();
    principal.external_id = resource.field("externalId").as_str().map(str::to_owned);
    if account {
        principal.roles = scim::unwrapped(resource.get("roles"))
            .into_iter()
            .filter(|role| role == ACCOUNT_ADMIN)
            .collect();
        return;
    }
    principal.entitlements = scim::unwrapped(resource.get("entitlements"))
        .into_iter()
        .collect();
    let groups = scim::unwrapped(resource.get("groups"));
    for group in state
        .directory
        .groups
        .values_mut()
        .filter(|group| !group.of_account)
    {
        if groups.contains(&group.id.to_string()) {
            group.members.insert(id);
        } else {
            group.members.remove(&id);
        }
    }
}
