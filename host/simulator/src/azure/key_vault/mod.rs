//! Key vaults: the data plane over HTTP, and the vault as other services use it.

mod bundle;
mod deletion;
pub(super) mod model;
mod permission;
mod refusals;
mod secrets;
mod token;

use std::collections::BTreeMap;

use time::OffsetDateTime;
use zeroize::Zeroizing;

pub use self::permission::{Reader, VaultRefusal};
use self::{
    model::{AccessPolicy, Vault},
    permission::Verb,
};
use crate::{
    State, World,
    wire::{Incoming, Reply},
};

/// Answers a request to a vault's host.
pub(crate) fn handle(world: &World, incoming: &Incoming, vault: &str) -> Reply {
    secrets::handle(world, incoming, vault)
}

/// A refusal with this status that has no cause in the request.
pub(crate) fn failing(world: &World, status: u16) -> Reply {
    world.read(|state| secrets::finished(state, Err(refusals::failing(status))))
}

/// The reply with the headers of every reply.
pub(crate) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    secrets::headed(incoming, reply)
}

/// The live vault with this resource id.
pub fn vault_by<'a>(state: &'a State, resource_id: &str) -> Option<&'a Vault> {
    let wanted = resource_id.trim_end_matches('/');
    let mut vaults = state.azure.vaults.iter();
    vaults.find(|vault| vault.deleted.is_none() && vault.id.eq_ignore_ascii_case(wanted))
}

/// The live vault of this name.
pub(crate) fn vault_named<'a>(state: &'a State, name: &str) -> Option<&'a Vault> {
    let mut vaults = state.azure.vaults.iter();
    vaults.find(|vault| vault.deleted.is_none() && vault.name.eq_ignore_ascii_case(name))
}

/// The vault behind `https://{name}.vault.azure.net/`, if it has a name that resolves.
fn vault_at<'a>(
    world: &World,
    state: &'a State,
    dns_name: &str,
) -> Result<&'a Vault, VaultRefusal> {
    let host = dns_name
        .strip_prefix("https://")
        .unwrap_or(dns_name)
        .trim_end_matches('/');
    host.to_ascii_lowercase()
        .strip_suffix(".vault.azure.net")
        .and_then(|name| vault_named(state, name))
        .filter(|vault| world.sees(vault.ready_at))
        .ok_or_else(|| {
            let message = format!("The remote name could not be resolved: '{host}'");
            VaultRefusal::new(0, "NameResolutionFailure", message)
        })
}

/// Reads the newest version of a secret for a principal that has a token for the vault.
///
/// A refusal with status 0 means that the vault's name does not resolve.
pub fn read_secret_as(
    world: &World,
    state: &State,
    reader: &Reader,
    dns_name: &str,
    secret: &str,
) -> Result<Zeroizing<String>, VaultRefusal> {
    let vault = vault_at(world, state, dns_name)?;
    secrets::check_name(secret)?;
    permission::check(world, state, vault, reader, Verb::Get, Some(secret))?;
    secrets::readable_version(vault, secret, None)?
        .value
        .open(world)
        .map_err(|_| {
            VaultRefusal::new(
                500,
                "InternalServerError",
                "The value does not decrypt.".to_owned(),
            )
        })
}

/// Names and last changes of a vault's secrets, for a principal that has a token for the vault.
///
/// A refusal with status 0 means that the vault's name does not resolve.
pub fn list_secrets_as(
    world: &World,
    state: &State,
    reader: &Reader,
    dns_name: &str,
) -> Result<Vec<(String, OffsetDateTime)>, VaultRefusal> {
    let vault = vault_at(world, state, dns_name)?;
    permission::check(world, state, vault, reader, Verb::List, None)?;
    Ok(vault
        .secrets
        .iter()
        .filter(|secret| secret.deleted.is_none())
        .filter_map(|secret| {
            let updated = secret.versions.last()?.updated;
            let updated = OffsetDateTime::from_unix_timestamp(updated).ok()?;
            Some((secret.name.clone(), updated))
        })
        .collect())
}

/// Lets a principal get and list a vault's secrets by access policy, as the creation of a
/// Databricks scope does. Without effect on a vault that goes by roles.
pub fn grant_access_policy(state: &mut State, resource_id: &str, oid: &str) {
    let tenant_id = state.entra.tenant_id.clone();
    let wanted = resource_id.trim_end_matches('/');
    let vault = state
        .azure
        .vaults
        .iter_mut()
        .find(|vault| vault.deleted.is_none() && vault.id.eq_ignore_ascii_case(wanted));
    let Some(vault) = vault else { return };
    let verbs = ["get", "list"].map(str::to_owned);
    let mine = |policy: &&mut AccessPolicy| policy.object_id.eq_ignore_ascii_case(oid);
    if let Some(policy) = vault.access_policies.iter_mut().find(mine) {
        let known = policy.permissions.entry("secrets".to_owned()).or_default();
        for verb in verbs {
            if !known.iter().any(|have| have.eq_ignore_ascii_case(&verb)) {
                known.push(verb);
            }
        }
    } else {
        vault.access_policies.push(AccessPolicy {
            tenant_id,
            object_id: oid.to_owned(),
            permissions: BTreeMap::from([("secrets".to_owned(), verbs.to_vec())]),
            // Databricks waits for its own grant before it answers.
            from: OffsetDateTime::UNIX_EPOCH,
        });
    }
}
