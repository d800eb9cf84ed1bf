//! Role assignments and definitions (reference, section 3.3).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer, Request,
    error::{self, ArmError},
    path::Resource,
};
use crate::{
    Plane, State,
    azure::{
        RoleAssignment, access,
        roles::{self, Role},
    },
    wire::{Reply, iso},
};

const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
/// Role assignments in one subscription.
const MOST: usize = 4000;

fn id(grant: &RoleAssignment) -> String {
    let scope = grant.scope.trim_end_matches('/');
    format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
        grant.name
    )
}

fn definition_id(scope: &str, role: &str) -> String {
    let subscription = scope.split('/').nth(2).unwrap_or_default();
    let prefix = if subscription.is_empty() {
        String::new()
    } else {
        format!("/subscriptions/{subscription}")
    };
    format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}

fn printed(grant: &RoleAssignment) -> Value {
    json!({
        "id": id(grant),
        "name": grant.name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition_id(&grant.scope, &grant.role),
            "principalId": grant.principal_id,
            "principalType": grant.principal_type,
            "scope": grant.scope,
            "condition": grant.condition,
            "conditionVersion": grant.condition_version,
            "createdOn": iso(grant.created),
            "updatedOn": iso(grant.created),
            "createdBy": grant.created_by,
            "updatedBy": grant.created_by,
            "delegatedManagedIdentityResourceId": null,
            "description": grant.description,
        },
    })
}

fn position(state: &State, scope: &str, name: &str) -> Option<usize> {
    state
        .azure
        .role_assignments
        .iter()
        .position(|grant| grant.name.eq_ignore_ascii_case(name) && same_scope(&grant.scope, scope))
}

fn same_scope(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

pub(super) fn list(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    resource.check_parents(state)?;
    request.check(state, READ, &resource.scope)?;
    let filter = request.incoming.query("$filter").unwrap_or_default();
    let principal = filter.split('\'').nth(1).map(str::to_owned);
    let at_scope = filter.contains("atScope()");
    let shown: Vec<Value> = state
        .azure
        .role_assignments
        .iter()
        .filter(|grant| {
            access::covers(&grant.scope, &resource.scope)
                || (!at_scope && access::covers(&resource.scope, &grant.scope))
        })
        .filter(|grant| {
            principal
                .as_ref()
                .is_none_or(|oid| grant.principal_id.eq_ignore_ascii_case(oid))
        })
        .map(printed)
        .collect();
    Ok(Request::page(&shown))
}

/// What the caller may do over a scope, a member per role: "Permissions - List For Resource". Anybody
/// may ask that of itself.
pub(super) fn permissions(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    resource.check_parents(state)?;
    let held: Vec<Value> = access::held(request.world, state, &request.caller.oid, &resource.scope)
        .map(|role| {
            json!({
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            })
        })
        .collect();
    Ok(Request::page(&held))
}

pub(super) fn get(request: &Request<'_>, state: &State, resource: &Resource, name: &str) -> Answer {
    resource.check_parents(state)?;
    request.check(state, READ, &resource.scope)?;
    let grant = position(state, &resource.scope, name)
        .and_then(|index| state.azure.role_assignments.get(index));
    let grant = grant.ok_or_else(|| {
        ArmError::new(
            404,
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )
    })?;
    Ok(Reply::json(200, &printed(grant)))
}

pub(super) fn put(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    let body = request.body()?;
    let properties = body.get("properties").unwrap_or(&Value::Null);
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    let role = text("roleDefinitionId")
        .and_then(|id| id.rsplit('/').next())
        .unwrap_or_default();
    let (world, scope) = (request.world, &resource.scope);
    if !access::may_grant(world, state, &request.caller.oid, WRITE, scope, role) {
        return Err(request.caller.unauthorized(WRITE, scope));
    }
    if Uuid::parse_str(name).is_err() {
        return Err(ArmError::new(
            400,
            "InvalidRoleAssignmentId",
            format!(
                "The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
            ),
        ));
    }
    let Some(role) = roles::by_id(role) else {
        return Err(ArmError::new(
            400,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{role}' does not exist."),
        ));
    };
    let principal = text("principalId").unwrap_or_default();
    if principal.is_empty() {
        return Err(error::bad_request(
            "The property 'principalId' is required.",
        ));
    }
    let kind = principal_type(request, state, principal, text("principalType"))?;
    let wanted = RoleAssignment {
        name: name.to_ascii_lowercase(),
        scope: scope.clone(),
        role: role.id.to_owned(),
        principal_id: principal.to_owned(),
        principal_type: kind,
        description: text("description").map(str::to_owned),
        condition: text("condition").map(str::to_owned),
        condition_version: text("conditionVersion").map(str::to_owned),
        created_by: request.caller.oid.clone(),
        created: world.now(),
        arm_from: world.visible_at(Plane::ArmRbac),
        vault_from: world.visible_at(Plane::KeyVaultRbac),
        storage_from: world.visible_at(Plane::StorageRbac),
    };
    assign(state, wanted)
}

/// Adds an assignment, or updates the one of its name; both only as far as ARM allows.
fn assign(state: &mut State, wanted: RoleAssignment) -> Answer {
    let same_grant = |have: &RoleAssignment| {
        have.role == wanted.role
            && have.principal_id.eq_ignore_ascii_case(&wanted.principal_id)
            && same_scope(&have.scope, &wanted.scope)
    };
    let grants = &mut state.azure.role_assignments;
    if let Some(have) = grants.iter_mut().find(|have| have.name == wanted.name) {
        if !same_grant(have) {
            return Err(ArmError::new(
                400,
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
        have.description = wanted.description;
        have.condition = wanted.condition;
        have.condition_version = wanted.condition_version;
        return Ok(Reply::json(200, &printed(have)));
    }
    if grants.iter().any(same_grant) {
        let message = "The role assignment already exists.";
        return Err(ArmError::new(409, "RoleAssignmentExists", message));
    }
    if grants.len() >= MOST {
        return Err(ArmError::new(
            400,
            "RoleAssignmentLimitExceeded",
            format!("The role assignment limit for the subscription has been exceeded: {MOST}."),
        ));
    }
    let reply = Reply::json(201, &printed(&wanted));
    grants.push(wanted);
    Ok(reply)
}

/// The principal's type. A client that sends it vouches for a principal that has not arrived
/// yet; the ids of an application are no principal in any case.
fn principal_type(
    request: &Request<'_>,
    state: &State,
    principal: &str,
    sent: Option<&str>,
) -> Result<String, ArmError> {
    let entra = &state.entra;
    let not_found = || {
        ArmError::new(
            400,
            "PrincipalNotFound",
            format!(
                "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
                principal.replace('-', ""),
                entra.tenant_id
            ),
        )
    };
    let of_application = entra.applications.iter().any(|app| {
        app.id.eq_ignore_ascii_case(principal) || app.app_id.eq_ignore_ascii_case(principal)
    });
    if of_application {
        return Err(not_found());
    }
    if let Some(kind) = sent {
        return Ok(kind.to_owned());
    }
    if entra.user(principal).is_some() {
        return Ok("User".to_owned());
    }
    match entra.principal(principal) {
        Some(sp) if request.world.sees(sp.arrival.arm) => Ok("ServicePrincipal".to_owned()),
        _ => Err(not_found()),
    }
}

pub(super) fn delete(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    let (world, scope) = (request.world, &resource.scope);
    let found = position(state, scope, name);
    let role = found
        .and_then(|index| state.azure.role_assignments.get(index))
        .map(|grant| grant.role.clone())
        .unwrap_or_default();
    let allowed = if found.is_some() {
        access::may_grant(world, state, &request.caller.oid, DELETE, scope, &role)
    } else {
        access::allowed(world, state, &request.caller.oid, DELETE, scope)
    };
    if !allowed {
        return Err(request.caller.unauthorized(DELETE, scope));
    }
    match found {
        Some(index) => {
            let grant = state.azure.role_assignments.remove(index);
            Ok(Reply::json(200, &printed(&grant)))
        }
        None => Ok(Reply::empty(204)),
    }
}

fn definition(scope: &str, role: &Role) -> Value {
    json!({
        "id": definition_id(scope, role.id),
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.name,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
        },
    })
}

/// All definitions, those of one name, or one.
pub(super) fn definitions(
    request: &Request<'_>,
    resource: &Resource,
    wanted: Option<&String>,
) -> Answer {
    if let Some(id) = wanted {
        let role = roles::by_id(id).ok_or_else(|| {
            ArmError::new(
                404,
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{id}' does not exist."),
            )
        })?;
        return Ok(Reply::json(200, &definition(&resource.scope, role)));
    }
    let filter = request.incoming.query("$filter").unwrap_or_default();
    let name = filter
        .starts_with("roleName")
        .then(|| filter.split('\'').nth(1))
        .flatten();
    let shown: Vec<Value> = roles::ROLES
        .iter()
        .filter(|role| name.is_none_or(|name| role.name.eq_ignore_ascii_case(name)))
        .map(|role| definition(&resource.scope, role))
        .collect();
    Ok(Request::page(&shown))
}
