//! Keeps secrets in a Databricks secret scope and says who may read them.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod acl;
mod bindings;
mod databricks;
mod vault;

use bindings::lockkeeper::databricks::{secret_scopes, secrets};
use bindings::{Guest, Inputs, KeyVault, Outputs};
use lockkeeper_guest::types::{Error, StepError};
use lockkeeper_guest::{Attempt, LONG, SHORT, progress, until};

struct Scope;

impl Guest for Scope {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        let name = inputs.name;
        let (created, written) = if let Some(vault) = &inputs.key_vault {
            let new_role = vault::let_databricks_read(vault)?;
            let written = vault::keep(vault, &inputs.secrets)?;
            let patience = if new_role { 2 * LONG } else { SHORT };
            let created = scope(&name, Some(vault), patience)?;
            vault::probe(&name, patience)?;
            (created, written)
        } else {
            let created = scope(&name, None, SHORT)?;
            (created, databricks::keep(&name, &inputs.secrets)?)
        };
        for entry in &inputs.acl {
            acl::allow(&name, entry)?;
        }
        let keys = secrets::list(&name)?;
        Ok(Outputs {
            name,
            keys,
            created,
            written,
        })
    }
}

/// Makes sure that there is a scope of that name with this vault behind it; whether it is new.
fn scope(name: &str, vault: Option<&KeyVault>, patience: u64) -> Result<bool, StepError> {
    if let Some(found) = secret_scopes::find(name)? {
        return match mismatch(&found, vault) {
            None => {
                progress::note(&format!("scope {name} was already there"));
                Ok(false)
            }
            Some(message) => {
                let operation = "databricks/secret-scopes.find";
                Err(
                    Error::of(Error::Conflict, operation, "BACKEND", message).because(
                        "what is behind a scope cannot be changed",
                        "choose another name, or delete the scope if nothing uses it",
                    ),
                )
            }
        };
    }
    progress::report("creating the scope");
    let backend = vault.map(|vault| secret_scopes::KeyVaultBackend {
        vault: vault.vault_id.clone(),
        url: vault.vault_url.clone(),
    });
    let mut hopeless = false;
    let made = until(
        "Databricks can read the Key Vault",
        patience,
        || match secret_scopes::create(name, backend.as_ref()) {
            Ok(()) => Ok(Attempt::Done(())),
            Err(error) if is_unreadable(&error) => {
                hopeless = vault.is_some_and(|vault| vault::is_closed_to_caller(vault, &error));
                if hopeless {
                    return Err(error.into());
                }
                Ok(Attempt::Again(error))
            }
            Err(error) => Err(refusal(error)),
        },
    );
    match made {
        Ok(()) => Ok(true),
        Err(refused) if hopeless => Err(refused.error.because(
            "Databricks lets itself into the vault in the name of the signed-in identity, which may not write the vault",
            "give the identity Contributor or Key Vault Contributor on the vault, then resume the run",
        )),
        Err(refused) => Err(unreadable(refused)),
    }
}

/// How a scope that is there differs from what is wanted.
fn mismatch(found: &secret_scopes::SecretScope, vault: Option<&KeyVault>) -> Option<String> {
    let name = &found.name;
    match (&found.key_vault, vault) {
        (None, None) => None,
        (Some(found), Some(vault)) => {
            let (found, wanted) = (&found.vault.resource_id, &vault.vault_id.resource_id);
            (!found.eq_ignore_ascii_case(wanted))
                .then(|| format!("scope {name} has the Key Vault {found} behind it, not {wanted}"))
        }
        (Some(found), None) => Some(format!(
            "scope {name} has the Key Vault {} behind it; it should have none",
            found.vault.resource_id
        )),
        (None, Some(_)) => Some(format!("scope {name} has no Key Vault behind it")),
    }
}

/// Whether Databricks could not let itself into the vault when the scope was made, in the name of
/// the signed-in identity.
fn is_ungranted(error: &Error) -> bool {
    error.says("Unable to grant read/list permission")
}

/// Whether Databricks was refused by the vault, which passes once a new role takes effect.
fn is_unreadable(error: &Error) -> bool {
    is_ungranted(error)
        || error.says("Invalid permissions on the specified KeyVault")
        || error.says("could not access keyvault")
}

/// The explanation of a refusal by the vault that did not pass.
fn unreadable(refused: StepError) -> StepError {
    if !is_unreadable(&refused.error) {
        return refused;
    }
    refused.error.because(
        "Databricks could not be given access to the vault, or its access has not taken effect",
        "the signed-in identity needs Contributor on the vault, and AzureDatabricks the role Key Vault Secrets User; a new role takes up to ten minutes, then resume the run",
    )
}

fn refusal(error: Error) -> StepError {
    if error.says("userAADToken") {
        return error.because(
            "a scope over a Key Vault can only be made with an Entra token, and the target signs in with a Databricks token",
            "sign in to the target with an Entra identity",
        );
    }
    if error.says("Azure KeyVault is not available") {
        return error.because(
            "there is no such vault, or its firewall keeps Databricks out",
            "check vault_id and vault_url, and allow trusted Microsoft services in the vault's networking",
        );
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_guest::types::ResourceId;

    fn vault_id(text: &str) -> ResourceId {
        ResourceId {
            resource_id: text.to_owned(),
        }
    }

    #[test]
    fn only_the_same_backend_will_do() {
        let scope = |vault: Option<&str>| secret_scopes::SecretScope {
            name: "s".to_owned(),
            key_vault: vault.map(|id| secret_scopes::KeyVaultBackend {
                vault: vault_id(id),
                url: "https://kv.vault.azure.net/".to_owned(),
            }),
        };
        let wanted = KeyVault {
            vault_id: vault_id("/subscriptions/1/vaults/kv"),
            vault_url: "https://kv.vault.azure.net".to_owned(),
        };
        assert_eq!(mismatch(&scope(None), None), None);
        assert_eq!(
            mismatch(&scope(Some("/Subscriptions/1/vaults/KV")), Some(&wanted)),
            None
        );
        assert!(mismatch(&scope(Some("/other")), Some(&wanted)).is_some());
        assert!(mismatch(&scope(Some("/other")), None).is_some());
        assert!(mismatch(&scope(None), Some(&wanted)).is_some());
    }

    #[test]
    fn a_databricks_token_cannot_make_a_vault_scope() {
        let message = "Scope with Azure KeyVault must have userAADToken defined!".to_owned();
        let step = refusal(Error::of(
            Error::Invalid,
            "x",
            "INVALID_PARAMETER_VALUE",
            message,
        ));
        assert!(step.cause.unwrap().contains("Entra token"));
    }
}
