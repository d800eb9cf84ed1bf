//! Deleted vaults: kept for their retention time, then recovered or purged (reference, section
//! 3.1).

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{
    Answer, Request,
    error::{self, ArmError},
    path::Resource,
    vaults,
};
use crate::{
    State,
    azure::{Vault, access},
    wire::{Reply, iso},
};

const READ: &str = "Microsoft.KeyVault/locations/deletedVaults/read";
const PURGE: &str = "Microsoft.KeyVault/locations/deletedVaults/purge/action";

/// Deletes a vault softly; its role assignments are gone for good.
pub(super) fn delete(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    request.check(state, "Microsoft.KeyVault/vaults/delete", &resource.path)?;
    let now = request.world.now();
    let id = format!("{}/providers/{}/{name}", resource.scope, vaults::TYPE);
    let vault = state
        .azure
        .vaults
        .iter_mut()
        .find(|vault| vault.deleted.is_none() && vault.id.eq_ignore_ascii_case(&id));
    let Some(vault) = vault else {
        return Ok(Reply::empty(204));
    };
    vault.deleted = Some(now);
    state
        .azure
        .role_assignments
        .retain(|grant| !access::covers(&id, &grant.scope));
    Ok(Reply::empty(200))
}

fn printed(vault: &Vault, at: OffsetDateTime) -> Value {
    let subscription = vault.id.split('/').nth(2).unwrap_or_default();
    let purge = at + Duration::days(i64::from(vault.retention_days));
    json!({
        "id": format!(
            "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            vault.location, vault.name
        ),
        "name": vault.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": vault.id,
            "location": vault.location,
            "tags": vault.tags,
            "deletionDate": iso(at),
            "scheduledPurgeDate": iso(purge),
            "purgeProtectionEnabled": vault.purge_protection.then_some(true),
        },
    })
}

/// The deleted vaults of the scope's subscription.
fn deleted<'a>(
    state: &'a State,
    resource: &'a Resource,
) -> impl Iterator<Item = (&'a Vault, OffsetDateTime)> {
    state
        .azure
        .vaults
        .iter()
        .filter(|vault| access::covers(&resource.scope, &vault.id))
        .filter_map(|vault| Some((vault, vault.deleted?)))
}

fn not_found(name: &str) -> ArmError {
    error::no_resource("Microsoft.KeyVault/deletedVaults", name, "")
}

pub(super) fn list(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    resource.check_parents(state)?;
    let oid = &request.caller.oid;
    let shown: Vec<Value> = deleted(state, resource)
        .filter(|(vault, _)| access::allowed(request.world, state, oid, READ, &vault.id))
        .map(|(vault, at)| printed(vault, at))
        .collect();
    Ok(Request::page(&shown))
}

pub(super) fn get(request: &Request<'_>, state: &State, resource: &Resource, name: &str) -> Answer {
    resource.check_parents(state)?;
    let found = deleted(state, resource).find(|(vault, _)| vault.name.eq_ignore_ascii_case(name));
    // Who may read the vault's group may read of its deletion.
    let scope = found.map_or(resource.scope.as_str(), |(vault, _)| vault.id.as_str());
    request.check(state, READ, scope)?;
    let (vault, at) = found.ok_or_else(|| not_found(name))?;
    Ok(Reply::json(200, &printed(vault, at)))
}

pub(super) fn purge(
    request: &Request<'_>,
    state: &mut State,
    resource: &Resource,
    name: &str,
) -> Answer {
    resource.check_parents(state)?;
    let found = deleted(state, resource).find(|(vault, _)| vault.name.eq_ignore_ascii_case(name));
    let scope = found.map_or(resource.scope.as_str(), |(vault, _)| vault.id.as_str());
    request.check(state, PURGE, scope)?;
    let (vault, _) = found.ok_or_else(|| not_found(name))?;
    if vault.purge_protection {
        let message = "Operation 'DeletedVaultPurge' is not allowed.";
        return Err(ArmError::new(405, "MethodNotAllowed", message));
    }
    let location = format!(
        "{}{}/providers/Microsoft.KeyVault/locations/{}/operationResults/{}?api-version={}",
        request.incoming.origin(),
        resource.scope,
        vault.location,
        request.world.guid(),
        request.incoming.query("api-version").unwrap_or_default(),
    );
    state
        .azure
        .vaults
        .retain(|vault| vault.deleted.is_none() || !vault.name.eq_ignore_ascii_case(name));
    Ok(Reply::empty(202)
        .with("location", location)
        .with("retry-after", "1"))
}
