//! Key vaults as Azure resources (reference, section 3.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{
    Answer, Request,
    error::{self, ArmError},
    path::Resource,
};
use crate::{
    Plane, State, World,
    azure::{AccessPolicy, Vault, access},
    wire::Reply,
};

pub(super) const TYPE: &str = "Microsoft.KeyVault/vaults";
const READ: &str = "Microsoft.KeyVault/vaults/read";
const WRITE: &str = "Microsoft.KeyVault/vaults/write";
/// From this api-version on, a vault created without saying so goes by roles.
const RBAC_BY_DEFAULT: &str = "2026-02-01";

/// Properties that have a place of their own in [`Vault`], or that the service decides.
const TYPED: [&str; 8] = [
    "accessPolicies",
    "enableRbacAuthorization",
    "softDeleteRetentionInDays",
    "enablePurgeProtection",
    "publicNetworkAccess",
    "createMode",
    "vaultUri",
    "provisioningState",
];

fn printed(world: &World, state: &State, vault: &Vault) -> Value {
    let ready = world.sees(vault.ready_at);
    with_state(
        state,
        vault,
        if ready { "Succeeded" } else { "RegisteringDns" },
    )
}

fn with_state(state: &State, vault: &Vault, provisioning: &str) -> Value {
    let mut properties = json!({
        "sku": {"family": "A", "name": "standard"},
        "tenantId": state.entra.tenant_id,
        "accessPolicies": policies(vault),
        "enabledForDeployment": false,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": vault.retention_days,
        "enableRbacAuthorization": vault.rbac,
        "enablePurgeProtection": vault.purge_protection.then_some(true),
        "publicNetworkAccess": if vault.public { "Enabled" } else { "Disabled" },
    });
    if let Some(members) = properties.as_object_mut() {
        members.extend(vault.properties.clone());
        let uri = format!("https://{}.vault.azure.net/", vault.name);
        members.insert("vaultUri".to_owned(), json!(uri));
        members.insert("provisioningState".to_owned(), json!(provisioning));
    }
    json!({
        "id": vault.id,
        "name": vault.name,
        "type": TYPE,
        "location": vault.location,
        "tags": vault.tags,
        "systemData": {"createdAt": crate::wire::iso(vault.created)},
        "properties": properties,
    })
}

fn policies(vault: &Vault) -> Vec<Value> {
    vault
        .access_policies
        .iter()
        .map(|policy| {
            json!({
                "tenantId": policy.tenant_id,
                "objectId": policy.object_id,
                "permissions": policy.permissions,
            })
        })
        .collect()
}

pub(super) fn list(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    resource.check_parents(state)?;
    let oid = &request.caller.oid;
    let shown: Vec<Value> = state
        .azure
        .vaults
        .iter()
        .filter(|vault| vault.deleted.is_none() && access::covers(&resource.scope, &vault.id))
        .filter(|vault| access::allowed(request.world, state, oid, READ, &vault.id))
        .map(|vault| printed(request.world, state, vault))
        .collect();
    Ok(Request::page(&shown))
}

pub(super) fn get(request: &Request<'_>, state: &State, resource: &Resource, name: &str) -> Answer {
    resource.check_parents(state)?;
    request.check(state, READ, &resource.path)?;
    let vault = crate::azure::key_vault::vault_by(state, &resource.path);
    let vault = vault.ok_or_else(|| not_found(resource, name))?;
    Ok(Reply::json(200, &printed(request.world, state, vault)))
}

pub(super) fn not_found(resource: &Resource, name: &str) -> ArmError {
    error::no_resource(TYPE, name, resource.group().unwrap_or_default())
}

/// 3 to 24 letters, digits and single hyphens, a letter first and no hyphen last.
fn name_fits(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn already_exists(name: &str) -> ArmError {
    ArmError::new(
        409,
        "VaultAlreadyExists",
        format!(
            "The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the name is already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was recently deleted but not purged after being placed in a recoverable state. If the vault is in a recoverable state then the vault will need to be purged before reusing the name. For more information about VaultAlreadyExists and purge see https://go.microsoft.com/fwlink/?linkid=2147740"
        ),
    )
}

pub(super) fn put(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    request.check(state, WRITE, &resource.path)?;
    let body = request.body()?;
    if !name_fits(name) {
        return Err(ArmError::new(
            400,
            "VaultNameNotValid",
            format!(
                "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens."
            ),
        ));
    }
    let recovers = body
        .get("properties")
        .and_then(|properties| properties.get("createMode")?.as_str())
        .is_some_and(|mode| mode.eq_ignore_ascii_case("recover"));
    let known = state
        .azure
        .vaults
        .iter()
        .position(|vault| vault.name.eq_ignore_ascii_case(name));
    match known.and_then(|index| {
        state
            .azure
            .vaults
            .get(index)
            .cloned()
            .map(|vault| (index, vault))
    }) {
        None => create(request, state, resource, name, &body),
        Some((_, vault)) if !vault.id.eq_ignore_ascii_case(&resource.path) => {
            Err(already_exists(name))
        }
        Some((index, vault)) if vault.deleted.is_some() => {
            if recovers {
                Ok(replace(
                    request,
                    state,
                    index,
                    Vault {
                        deleted: None,
                        ..vault
                    },
                ))
            } else {
                Err(ArmError::new(
                    409,
                    "ConflictError",
                    "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
                ))
            }
        }
        Some((index, mut vault)) => {
            // An update that leaves the policies out empties them.
            if body
                .get("properties")
                .is_some_and(|new| new.get("accessPolicies").is_none())
            {
                vault.access_policies.clear();
            }
            describe(request.world, state, &mut vault, &body)?;
            Ok(replace(request, state, index, vault))
        }
    }
}

fn replace(request: &Request<'_>, state: &mut State, index: usize, vault: Vault) -> Reply {
    let reply = Reply::json(200, &printed(request.world, state, &vault));
    if let Some(slot) = state.azure.vaults.get_mut(index) {
        *slot = vault;
    }
    reply
}

fn create(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
    body: &Value,
) -> Answer {
    let world = request.world;
    let location = body
        .get("location")
        .and_then(Value::as_str)
        .ok_or_else(|| {
            ArmError::new(
                400,
                "LocationRequired",
                "The location property is required for this definition.",
            )
        })?;
    let version = request.incoming.query("api-version").unwrap_or_default();
    let mut vault = Vault {
        id: resource.path.clone(),
        name: name.to_owned(),
        location: location.to_owned(),
        tags: Map::new(),
        rbac: (version.as_str() >= RBAC_BY_DEFAULT).then_some(true),
        access_policies: Vec::new(),
        retention_days: 90,
        purge_protection: false,
        public: true,
        properties: Map::new(),
        created: world.now(),
        ready_at: world.visible_at(Plane::VaultDns),
        deleted: None,
        secrets: Vec::new(),
    };
    describe(world, state, &mut vault, body)?;
    let sent = body
        .get("properties")
        .and_then(|properties| properties.get("accessPolicies"));
    if !vault.uses_rbac() && sent.is_none() {
        return Err(error::bad_request(
            "The parameter accessPolicies is not specified.",
        ));
    }
    let reply = Reply::json(200, &with_state(state, &vault, "RegisteringDns"));
    state.azure.vaults.push(vault);
    Ok(reply)
}

pub(super) fn patch(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    request.check(state, WRITE, &resource.path)?;
    let body = request.body()?;
    let (index, mut vault) = found(state, resource, name)?;
    describe(request.world, state, &mut vault, &body)?;
    Ok(replace(request, state, index, vault))
}

fn found(state: &State, resource: &Resource, name: &str) -> Result<(usize, Vault), ArmError> {
    let wanted = format!("{}/providers/{TYPE}/{name}", resource.scope);
    state
        .azure
        .vaults
        .iter()
        .enumerate()
        .find(|(_, vault)| vault.deleted.is_none() && vault.id.eq_ignore_ascii_case(&wanted))
        .map(|(index, vault)| (index, vault.clone()))
        .ok_or_else(|| not_found(resource, name))
}

/// Takes what a body says; what it leaves out stays.
fn describe(world: &World, state: &State, vault: &mut Vault, body: &Value) -> Result<(), ArmError> {
    if let Some(tags) = body.get("tags").and_then(Value::as_object) {
        vault.tags.clone_from(tags);
    }
    let Some(properties) = body.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    if let Some(rbac) = properties
        .get("enableRbacAuthorization")
        .and_then(Value::as_bool)
    {
        vault.rbac = Some(rbac);
    }
    if let Some(days) = properties
        .get("softDeleteRetentionInDays")
        .and_then(Value::as_u64)
    {
        vault.retention_days = u16::try_from(days)
            .ok()
            .filter(|days| (7..=90).contains(days))
            .ok_or_else(|| {
                error::bad_request("softDeleteRetentionInDays must be between 7 and 90.")
            })?;
    }
    match properties
        .get("enablePurgeProtection")
        .and_then(Value::as_bool)
    {
        Some(true) => vault.purge_protection = true,
        Some(false) if vault.purge_protection => {
            return Err(error::bad_request(
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.",
            ));
        }
        _ => {}
    }
    if let Some(access) = properties
        .get("publicNetworkAccess")
        .and_then(Value::as_str)
    {
        vault.public = !access.eq_ignore_ascii_case("disabled");
    }
    if let Some(sent) = properties.get("accessPolicies").and_then(Value::as_array) {
        vault.access_policies = sent
            .iter()
            .map(|policy| read_policy(world, state, &vault.access_policies, policy))
            .collect::<Result<_, _>>()?;
    }
    for (name, value) in properties {
        if !TYPED.contains(&name.as_str()) && !value.is_null() {
            vault.properties.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}

/// A policy from a body; one that says the same as before stays in force throughout.
fn read_policy(
    world: &World,
    state: &State,
    have: &[AccessPolicy],
    sent: &Value,
) -> Result<AccessPolicy, ArmError> {
    let text = |name: &str| sent.get(name).and_then(Value::as_str);
    let object_id = text("objectId")
        .ok_or_else(|| error::bad_request("An access policy needs the property 'objectId'."))?;
    let mut permissions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, verbs) in sent
        .get("permissions")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let verbs = verbs
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        permissions.insert(kind.clone(), verbs.map(str::to_owned).collect());
    }
    let before = have.iter().find(|policy| {
        policy.object_id.eq_ignore_ascii_case(object_id) && policy.permissions == permissions
    });
    let from: OffsetDateTime = match before {
        Some(policy) => policy.from,
        None => world.visible_at(Plane::KeyVaultRbac),
    };
    Ok(AccessPolicy {
        tenant_id: text("tenantId")
            .unwrap_or(&state.entra.tenant_id)
            .to_owned(),
        object_id: object_id.to_owned(),
        permissions,
        from,
    })
}

/// Adds to, replaces or removes from the access policies.
pub(super) fn change_policies(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
    operation: &str,
) -> Answer {
    resource.check_parents(state)?;
    let scope = format!("{}/providers/{TYPE}/{name}", resource.scope);
    request.check(
        state,
        "Microsoft.KeyVault/vaults/accessPolicies/write",
        &scope,
    )?;
    let body = request.body()?;
    let sent = body
        .get("properties")
        .and_then(|properties| properties.get("accessPolicies")?.as_array())
        .ok_or_else(|| error::bad_request("The parameter accessPolicies is not specified."))?;
    let (index, mut vault) = found(state, resource, name)?;
    for policy in sent {
        let policy = read_policy(request.world, state, &vault.access_policies, policy)?;
        let mine = |have: &AccessPolicy| have.object_id.eq_ignore_ascii_case(&policy.object_id);
        let before = vault.access_policies.iter().position(mine);
        match (operation.to_ascii_lowercase().as_str(), before) {
            ("add", Some(at)) => {
                if let Some(have) = vault.access_policies.get_mut(at) {
                    merge(have, policy);
                }
            }
            ("replace", Some(at)) => {
                if let Some(have) = vault.access_policies.get_mut(at) {
                    *have = policy;
                }
            }
            ("add" | "replace", None) => vault.access_policies.push(policy),
            ("remove", Some(at)) => {
                vault.access_policies.remove(at);
            }
            ("remove", None) => {}
            _ => {
                return Err(error::bad_request(
                    "The operation must be add, replace or remove.",
                ));
            }
        }
    }
    let shown = json!({
        "id": format!("{}/accessPolicies/", vault.id),
        "type": "Microsoft.KeyVault/vaults/accessPolicies",
        "location": vault.location,
        "properties": {"accessPolicies": policies(&vault)},
    });
    if let Some(slot) = state.azure.vaults.get_mut(index) {
        *slot = vault;
    }
    Ok(Reply::json(200, &shown))
}

fn merge(have: &mut AccessPolicy, more: AccessPolicy) {
    for (kind, verbs) in more.permissions {
        let known = have.permissions.entry(kind).or_default();
        for verb in verbs {
            if !known.contains(&verb) {
                known.push(verb);
            }
        }
    }
    have.from = have.from.max(more.from);
}

/// Whether a name is still free; soft-deleted vaults keep theirs.
pub(super) fn check_name(request: &Request<'_>, state: &State) -> Answer {
    let body = request.body()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let taken = state
        .azure
        .vaults
        .iter()
        .any(|vault| vault.name.eq_ignore_ascii_case(name));
    let answer = if !name_fits(name) {
        json!({
            "nameAvailable": false,
            "reason": "AccountNameInvalid",
            "message": format!("The vault name '{name}' is invalid."),
        })
    } else if taken {
        json!({
            "nameAvailable": false,
            "reason": "AlreadyExists",
            "message": format!("The vault name '{name}' is already in use."),
        })
    } else {
        json!({"nameAvailable": true})
    };
    Ok(Reply::json(200, &answer))
}
