//! Scopes whose secrets are in an Azure Key Vault (reference/databricks.md, section 10.1).

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::caller::{Caller, DATABRICKS_APPLICATION};
use super::errors::Refusal;
use super::request::millis;
use crate::World;
use crate::azure::access;
use crate::azure::key_vault::{self, Reader, VaultRefusal};

/// The right that creation uses to let Databricks into the vault.
const VAULT_WRITE: &str = "Microsoft.KeyVault/vaults/write";

/// The vault behind a scope.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct KeyVault {
    /// The vault's Azure resource id.
    pub(super) resource_id: String,
    /// `https://<vault>.vault.azure.net/`
    pub(super) dns_name: String,
}

/// Only an Entra token can be passed on to Azure.
pub(super) fn needs_entra_token() -> Refusal {
    Refusal::invalid("Scope with Azure KeyVault must have userAADToken defined!")
}

/// Secrets of a vault are written in the vault.
pub(super) fn read_only(scope: &str) -> Refusal {
    Refusal::bad_request(format!(
        "Cannot write secrets to Azure KeyVault-backed scope {scope}"
    ))
}

/// Checks that the vault is there and that the caller may change its access, and lets Databricks
/// in where that is a policy of the vault. In RBAC mode nothing is granted: reads fail until
/// somebody assigns the role.
pub(super) fn connect(
    world: &World,
    state: &mut crate::State,
    caller: &Caller,
    scope: &KeyVault,
) -> Result<(), Refusal> {
    let Some(identity) = &caller.entra else {
        return Err(needs_entra_token());
    };
    let vault = key_vault::vault_by(state, &scope.resource_id).filter(|vault| {
        same_address(
            &format!("https://{}.vault.azure.net", vault.name),
            &scope.dns_name,
        )
    });
    if vault.is_none() {
        return Err(Refusal::invalid(format!(
            "Azure KeyVault is not available: {} at {}",
            scope.resource_id, scope.dns_name
        )));
    }
    if !access::allowed(world, state, &identity.oid, VAULT_WRITE, &scope.resource_id) {
        return Err(Refusal::denied(format!(
            "Unable to grant read/list permission to Databricks service principal to KeyVault '{}': Status code 403, {{\"odata.error\":{{\"code\":\"Authorization_RequestDenied\",\"message\":{{\"lang\":\"en\",\"value\":\"Insufficient privileges to complete the operation.\"}}}}}}",
            scope.dns_name
        )));
    }
    let reader = reader(state);
    key_vault::grant_access_policy(state, &scope.resource_id, &reader.oid);
    Ok(())
}

fn same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// The application that reads vaults for all workspaces of the tenant.
fn reader(state: &crate::State) -> Reader {
    let oid = state
        .entra
        .principal_of(DATABRICKS_APPLICATION)
        .map(|principal| principal.id.clone())
        .unwrap_or_default();
    Reader {
        name: Some("AzureDatabricks".into()),
        appid: DATABRICKS_APPLICATION.into(),
        oid,
    }
}

fn refusal(vault: &KeyVault, fault: &VaultRefusal) -> Refusal {
    let wrapped = format!(
        "Wrapped Message: Status code {}, {}",
        fault.status,
        fault.body()
    );
    match fault.status {
        400 if fault.code == "BadParameter" => Refusal::invalid(wrapped),
        403 => Refusal::denied(format!(
            "Invalid permissions on the specified KeyVault {}. {wrapped}",
            vault.dns_name
        )),
        400..=499 => Refusal::malformed(wrapped),
        _ => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "TEMPORARILY_UNAVAILABLE",
            format!("Azure KeyVault is not available. {wrapped}"),
        ),
    }
}

/// Reads one secret; `missing` is the answer when the vault has none of this name.
pub(super) fn read(
    world: &World,
    state: &crate::State,
    vault: &KeyVault,
    key: &str,
    missing: impl FnOnce() -> Refusal,
) -> Result<Zeroizing<String>, Refusal> {
    key_vault::read_secret_as(world, state, &reader(state), &vault.dns_name, key).map_err(|fault| {
        if fault.status == 404 {
            missing()
        } else {
            refusal(vault, &fault)
        }
    })
}

/// The names of a vault's secrets.
pub(super) fn list(
    world: &World,
    state: &crate::State,
    vault: &KeyVault,
) -> Result<Vec<Value>, Refusal> {
    let names = key_vault::list_secrets_as(world, state, &reader(state), &vault.dns_name)
        .map_err(|fault| refusal(vault, &fault))?;
    Ok(names
        .into_iter()
        .map(|(name, updated)| json!({ "key": name, "last_updated_timestamp": millis(updated) }))
        .collect())
}
