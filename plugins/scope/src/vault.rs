//! The Key Vault behind a scope.

use lockkeeper_guest::types::{ApplicationId, Error, StepError};
use lockkeeper_guest::{Attempt, LONG, SHORT, progress, until};

use crate::bindings::lockkeeper::azure::role_assignments::{self, Role};
use crate::bindings::lockkeeper::azure::{key_vault_secrets, key_vaults};
use crate::bindings::lockkeeper::databricks::secrets;
use crate::bindings::lockkeeper::entra::service_principals;
use crate::bindings::{Entry, KeyVault};
use crate::{is_ungranted, is_unreadable, unreadable};

/// The application as which Azure Databricks reads Key Vaults, the same in every tenant.
const AZURE_DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";

/// Gives Azure Databricks the role to read the vault's secrets; whether that is new. A vault with
/// access policies gets its policy from Databricks itself when the scope is made.
pub(crate) fn let_databricks_read(vault: &KeyVault) -> Result<bool, StepError> {
    let found = key_vaults::get(&vault.vault_id).map_err(|error| match &error {
        Error::NotFound(_) => error.because(
            "there is no such vault, or the signed-in identity may not see it",
            "check vault_id, and that the identity has the role Reader on the vault",
        ),
        _ => StepError::from(error),
    })?;
    if !is_same_url(&found.url, &vault.vault_url) {
        let message = format!("the vault's URL is {}, not {}", found.url, vault.vault_url);
        let operation = "azure/key-vaults.get";
        return Err(
            Error::of(Error::Invalid, operation, "URL", message).because(
                "vault_id and vault_url belong to two vaults",
                "correct one of them",
            ),
        );
    }
    if !found.uses_roles {
        return Ok(false);
    }
    let id = ApplicationId {
        application_id: AZURE_DATABRICKS.to_owned(),
    };
    let reader = service_principals::find(&id)?.ok_or_else(|| {
        let message = format!("the tenant has no service principal of {AZURE_DATABRICKS}");
        let operation = "entra/service-principals.find";
        Error::of(Error::NotFound, operation, "UNKNOWN", message).because(
            "AzureDatabricks comes into a tenant with its first Databricks workspace",
            "check the target's tenant_id",
        )
    })?;
    let role = Role::KeyVaultSecretsUser;
    if role_assignments::find(&vault.vault_id, role, &reader.object_id)?.is_some() {
        progress::note("AzureDatabricks could already read the vault");
        return Ok(false);
    }
    progress::report("letting AzureDatabricks read the vault");
    match role_assignments::create(&vault.vault_id, role, &reader.object_id) {
        // A conflict is the same role under another name, which the look-up did not see yet.
        Ok(_) | Err(Error::Conflict(_)) => Ok(true),
        Err(error @ Error::Denied(_)) if error.failure().service != "lockkeeper" => Err(error.because(
            "the signed-in identity may not assign roles on the vault; Contributor is not enough",
            "give it User Access Administrator or Key Vault Data Access Administrator on the vault",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The right by which Databricks lets itself into a vault when a scope over it is made.
const VAULT_WRITE: &str = "Microsoft.KeyVault/vaults/write";

/// Whether a refusal by the vault is one of the signed-in identity, which lacks the right that making
/// a scope takes: no role that this step assigns brings that. Where Azure does not say what the
/// identity may do, only waiting shows it.
pub(crate) fn is_closed_to_caller(vault: &KeyVault, error: &Error) -> bool {
    is_ungranted(error) && matches!(key_vaults::may(&vault.vault_id, VAULT_WRITE), Ok(false))
}

/// Whether two vault URLs are one, however their end and their case are written.
fn is_same_url(a: &str, b: &str) -> bool {
    a.trim_end_matches('/')
        .eq_ignore_ascii_case(b.trim_end_matches('/'))
}

/// Puts the secrets that have a value into the vault, and counts them; the others must be there.
pub(crate) fn keep(vault: &KeyVault, entries: &[Entry]) -> Result<u32, StepError> {
    let mut written = 0;
    for entry in entries {
        let found = key_vault_secrets::find(&vault.vault_url, &entry.name).map_err(refusal)?;
        if found.as_ref().is_some_and(|found| is_foreign(found, entry)) {
            return Err(taken(vault, entry));
        }
        let Some(value) = &entry.value else {
            found_enabled(entry, found.as_ref())?;
            continue;
        };
        let tags = tags(entry);
        let is_there = found
            .as_ref()
            .is_some_and(|found| entry.key_id.is_some() && holds(found, &tags));
        if is_there {
            progress::note(&format!("secret {} was already there", entry.name));
            continue;
        }
        progress::report(&format!("writing secret {}", entry.name));
        let expires = entry.expires.as_ref();
        key_vault_secrets::set(&vault.vault_url, &entry.name, value, expires, &tags)
            .map_err(refusal)?;
        until("the vault shows the secret", LONG, || {
            let found = key_vault_secrets::find(&vault.vault_url, &entry.name).map_err(refusal)?;
            if found.is_some_and(|found| holds(&found, &tags)) {
                return Ok(Attempt::Done(()));
            }
            let message = format!("the vault does not show the new {}", entry.name);
            let operation = "azure/key-vault-secrets.find";
            Ok(Attempt::not_visible(operation, message))
        })?;
        written += 1;
    }
    Ok(written)
}

/// What tells which secret a vault holds without reading it.
fn tags(entry: &Entry) -> Vec<(String, String)> {
    let application = entry.application_id.application_id.clone();
    let mut tags = vec![("application_id".to_owned(), application)];
    if let Some(key) = &entry.key_id {
        tags.push(("key_id".to_owned(), key.key_id.clone()));
    }
    tags
}

fn holds(found: &key_vault_secrets::SecretProperties, tags: &[(String, String)]) -> bool {
    found.enabled && tags.iter().all(|tag| found.tags.contains(tag))
}

/// Whether a secret of that name is another application's, or not of lockkeeper's making.
fn is_foreign(found: &key_vault_secrets::SecretProperties, entry: &Entry) -> bool {
    let application = &entry.application_id.application_id;
    let is_ours = |tag: &(String, String)| tag.0 == "application_id" && tag.1 == *application;
    !found.tags.iter().any(is_ours)
}

fn taken(vault: &KeyVault, entry: &Entry) -> StepError {
    let message = format!(
        "{} in {} does not hold a secret of application {}",
        entry.name, vault.vault_url, entry.application_id.application_id
    );
    Error::of(
        Error::Conflict,
        "azure/key-vault-secrets.find",
        "TAKEN",
        message,
    )
    .because(
        "something else uses that name, or the application was made anew since",
        "choose another name, or delete and purge the secret if nothing uses it",
    )
}

/// Refuses a secret without a value that the vault does not hold either.
fn found_enabled(
    entry: &Entry,
    found: Option<&key_vault_secrets::SecretProperties>,
) -> Result<(), StepError> {
    let message = match found {
        Some(found) if found.enabled => {
            progress::note(&format!("secret {} was already there", entry.name));
            return Ok(());
        }
        Some(_) => format!("secret {} is disabled in the vault", entry.name),
        None => format!(
            "secret {} is not in the vault, and no value was given",
            entry.name
        ),
    };
    Err(lost(message, "azure/key-vault-secrets.find"))
}

/// A secret that nobody has: services give a value once.
pub(crate) fn lost(message: String, operation: &str) -> StepError {
    Error::of(Error::NotFound, operation, "LOST", message).because(
        "the value of a secret is given once, when it is issued, and cannot be read again",
        "let the register step look in this same place; it issues a new secret when none is kept there",
    )
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may not read or write this vault's secrets; Owner or Contributor is not enough",
            "give it the role Key Vault Secrets Officer on the vault, and wait some minutes",
        ),
        Error::Conflict(_) => error.because(
            "a deleted secret keeps its name until it is purged",
            "recover or purge it in the vault, or choose another name",
        ),
        _ => error.into(),
    }
}

/// Lists the scope until Databricks can read the vault behind it: that the scope was made does not
/// prove it. Which keys it lists is the vault's business, and was read back there.
pub(crate) fn probe(scope: &str, patience: u64) -> Result<(), StepError> {
    let read = until(
        "Databricks can read the Key Vault",
        patience.max(SHORT),
        || match secrets::list(scope) {
            Ok(_) => Ok(Attempt::Done(())),
            Err(error) if is_unreadable(&error) || error.is_missing() => Ok(Attempt::Again(error)),
            Err(error) => Err(error.into()),
        },
    );
    read.map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_the_same_with_or_without_its_slash() {
        assert!(is_same_url(
            "https://KV.vault.azure.net/",
            "https://kv.vault.azure.net"
        ));
        assert!(!is_same_url(
            "https://kv.vault.azure.net/",
            "https://kv2.vault.azure.net/"
        ));
    }

    #[test]
    fn another_applications_secret_is_foreign() {
        let entry = Entry {
            name: "s".to_owned(),
            value: None,
            application_id: ApplicationId {
                application_id: "a".to_owned(),
            },
            key_id: None,
            expires: None,
        };
        let mut found = key_vault_secrets::SecretProperties {
            name: "s".to_owned(),
            version: "1".to_owned(),
            enabled: true,
            expires: None,
            tags: tags(&entry),
        };
        assert!(!is_foreign(&found, &entry));
        found.tags[0].1 = "b".to_owned();
        assert!(is_foreign(&found, &entry));
        found.tags.clear();
        assert!(is_foreign(&found, &entry));
    }

    #[test]
    fn a_disabled_secret_holds_nothing() {
        let tag = ("key_id".to_owned(), "k".to_owned());
        let mut found = key_vault_secrets::SecretProperties {
            name: "s".to_owned(),
            version: "1".to_owned(),
            enabled: true,
            expires: None,
            tags: vec![tag.clone()],
        };
        assert!(holds(&found, std::slice::from_ref(&tag)));
        assert!(!holds(&found, &[("key_id".to_owned(), "other".to_owned())]));
        found.enabled = false;
        assert!(!holds(&found, &[tag]));
    }
}
