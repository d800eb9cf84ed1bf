//! Completes a target: what the file leaves out comes from the environment, then from a profile.

use std::path::PathBuf;

use super::hosts::{is_tenant, workspace};
use super::settings::{self, Environment, Found, Setting, Settings};
use super::{AzureCloud, ConfigError, Credentials, SecretSource, Target};
use crate::secret::SecretString;

/// Credentials with everything they need, secrets included.
#[derive(Clone, Debug)]
pub(crate) enum Signer {
    ClientSecret {
        tenant: String,
        client_id: String,
        secret: SecretString,
    },
    WorkloadIdentity {
        tenant: String,
        client_id: String,
        token_file: PathBuf,
    },
    ManagedIdentity {
        client_id: Option<String>,
    },
    AzureCli {
        tenant: Option<String>,
    },
    DatabricksPat {
        token: SecretString,
    },
    DatabricksOauth {
        client_id: String,
        secret: SecretString,
    },
}

/// Completes and checks a target. A simulated target takes nothing from the environment.
pub(crate) fn resolve(
    mut target: Target,
    environment: &Environment,
) -> Result<(Target, Signer), ConfigError> {
    let nothing = Environment::default();
    let environment = if target.endpoints.is_some() {
        &nothing
    } else {
        environment
    };
    let open = matches!(target.credentials, Credentials::Environment) && target.workspace.is_none();
    let wanted = open && target.workspace_resource_id.is_none();
    let settings = Settings::read(environment, target.profile.as_deref(), wanted)?;

    let fill = |field: &mut Option<String>, setting: &Setting| {
        if field.is_none() {
            *field = settings.value(setting);
        }
    };
    fill(&mut target.tenant_id, &settings::AZURE_TENANT_ID);
    fill(&mut target.workspace, &settings::HOST);
    fill(&mut target.account_id, &settings::ACCOUNT_ID);
    fill(
        &mut target.workspace_resource_id,
        &settings::AZURE_RESOURCE_ID,
    );
    if target.cloud == AzureCloud::Public
        && let Some(name) = settings.value(&settings::AZURE_ENVIRONMENT)
    {
        target.cloud = cloud(&name)?;
    }
    if target.databricks_rate.is_none()
        && let Some(rate) = settings.value(&settings::RATE_LIMIT)
    {
        target.databricks_rate = Some(rate.parse().map_err(|_| ConfigError::Invalid {
            field: "databricks_rate",
            reason: "is not a whole number of requests per second, at least 1".to_owned(),
        })?);
    }

    if let Some(written) = &target.workspace {
        target.workspace = Some(
            workspace(written)?
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
        );
    }
    if let Some(tenant) = &target.tenant_id
        && !is_tenant(tenant)
    {
        return Err(ConfigError::Invalid {
            field: "tenant_id",
            reason: "is neither an id nor a domain".to_owned(),
        });
    }
    if matches!(target.credentials, Credentials::Environment) {
        target.credentials = configured(&settings)?;
    }
    if target.endpoints.is_some()
        && matches!(
            target.credentials,
            Credentials::AzureCli {} | Credentials::ManagedIdentity { .. }
        )
    {
        return Err(ConfigError::Invalid {
            field: "auth",
            reason: "of a simulated target must not be a real identity".to_owned(),
        });
    }
    let signer = signer(&target, &settings)?;
    Ok((target, signer))
}

fn cloud(name: &str) -> Result<AzureCloud, ConfigError> {
    match name.to_ascii_lowercase().as_str() {
        "public" => Ok(AzureCloud::Public),
        "usgovernment" => Ok(AzureCloud::UsGovernment),
        "china" => Ok(AzureCloud::China),
        _ => Err(ConfigError::Invalid {
            field: "ARM_ENVIRONMENT",
            reason: "is none of public, usgovernment and china".to_owned(),
        }),
    }
}

/// The one way to sign in that environment and profile have configured; the Azure CLI when there is none.
fn configured(settings: &Settings) -> Result<Credentials, ConfigError> {
    if let Some(Found { value, origin }) = settings.find(&settings::AUTH_TYPE) {
        return Ok(match value.as_str() {
            "pat" => Credentials::DatabricksPat { token: None },
            "oauth-m2m" => Credentials::DatabricksOauth {
                client_id: None,
                secret: None,
            },
            "azure-client-secret" => Credentials::ClientSecret {
                client_id: None,
                secret: None,
            },
            "azure-msi" => Credentials::ManagedIdentity { client_id: None },
            "azure-cli" => Credentials::AzureCli {},
            _ => {
                return Err(ConfigError::Invalid {
                    field: "auth_type",
                    reason: format!(
                        "from {origin} is none of pat, oauth-m2m, azure-client-secret, azure-msi and azure-cli"
                    ),
                });
            }
        });
    }
    let managed = settings
        .find(&settings::AZURE_USE_MSI)
        .filter(|found| matches!(found.value.as_str(), "true" | "TRUE" | "1"));
    let families = [
        (
            "databricks-pat",
            settings.find(&settings::TOKEN),
            Credentials::DatabricksPat { token: None },
        ),
        (
            "databricks-oauth",
            settings.find(&settings::CLIENT_SECRET),
            Credentials::DatabricksOauth {
                client_id: None,
                secret: None,
            },
        ),
        (
            "client-secret",
            settings.find(&settings::AZURE_CLIENT_SECRET),
            Credentials::ClientSecret {
                client_id: None,
                secret: None,
            },
        ),
        (
            "managed-identity",
            managed,
            Credentials::ManagedIdentity { client_id: None },
        ),
        (
            "oidc",
            settings.find(&settings::FEDERATED_TOKEN_FILE),
            Credentials::WorkloadIdentity {
                client_id: None,
                token_file: None,
            },
        ),
    ];
    let mut found: Vec<(String, Credentials)> = families
        .into_iter()
        .filter_map(|(name, found, credentials)| {
            Some((format!("{name} ({})", found?.origin), credentials))
        })
        .collect();
    if found.len() > 1 {
        let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
        return Err(ConfigError::Ambiguous {
            families: names.join(", "),
        });
    }
    Ok(found
        .pop()
        .map_or(Credentials::AzureCli {}, |(_, credentials)| credentials))
}

fn signer(target: &Target, settings: &Settings) -> Result<Signer, ConfigError> {
    let text = |given: &Option<String>, setting: &Setting, field, sources| {
        given
            .clone()
            .or_else(|| settings.value(setting))
            .ok_or(ConfigError::Missing { field, sources })
    };
    let secret = |given: &Option<SecretSource>, setting: &Setting, field, sources| match given {
        Some(source) => open(source, settings.environment),
        None => settings
            .value(setting)
            .map(SecretString::new)
            .ok_or(ConfigError::Missing { field, sources }),
    };
    let tenant = || {
        text(
            &target.tenant_id,
            &settings::AZURE_TENANT_ID,
            "tenant_id",
            "`tenant_id`, ARM_TENANT_ID or AZURE_TENANT_ID",
        )
    };
    let azure_client = |given: &Option<String>| {
        text(
            given,
            &settings::AZURE_CLIENT_ID,
            "the client id",
            "`auth.client_id`, ARM_CLIENT_ID or AZURE_CLIENT_ID",
        )
    };
    Ok(match &target.credentials {
        Credentials::ClientSecret {
            client_id,
            secret: source,
        } => Signer::ClientSecret {
            tenant: tenant()?,
            client_id: azure_client(client_id)?,
            secret: secret(
                source,
                &settings::AZURE_CLIENT_SECRET,
                "the client secret",
                "`auth.secret`, ARM_CLIENT_SECRET or AZURE_CLIENT_SECRET",
            )?,
        },
        Credentials::WorkloadIdentity {
            client_id,
            token_file,
        } => Signer::WorkloadIdentity {
            tenant: tenant()?,
            client_id: azure_client(client_id)?,
            token_file: token_file
                .clone()
                .or_else(|| {
                    settings
                        .value(&settings::FEDERATED_TOKEN_FILE)
                        .map(PathBuf::from)
                })
                .ok_or(ConfigError::Missing {
                    field: "the token file",
                    sources: "`auth.token_file` or AZURE_FEDERATED_TOKEN_FILE",
                })?,
        },
        Credentials::ManagedIdentity { client_id } => Signer::ManagedIdentity {
            client_id: client_id
                .clone()
                .or_else(|| settings.value(&settings::AZURE_CLIENT_ID)),
        },
        Credentials::AzureCli {} | Credentials::Environment => Signer::AzureCli {
            tenant: target.tenant_id.clone(),
        },
        Credentials::DatabricksPat { token } => Signer::DatabricksPat {
            token: secret(
                token,
                &settings::TOKEN,
                "the personal access token",
                "`auth.token` or DATABRICKS_TOKEN",
            )?,
        },
        Credentials::DatabricksOauth {
            client_id,
            secret: source,
        } => Signer::DatabricksOauth {
            client_id: text(
                client_id,
                &settings::CLIENT_ID,
                "the client id",
                "`auth.client_id` or DATABRICKS_CLIENT_ID",
            )?,
            secret: secret(
                source,
                &settings::CLIENT_SECRET,
                "the OAuth secret",
                "`auth.secret` or DATABRICKS_CLIENT_SECRET",
            )?,
        },
    })
}

fn open(source: &SecretSource, environment: &Environment) -> Result<SecretString, ConfigError> {
    let unreadable = |what: String, reason: &str| ConfigError::Unreadable {
        what,
        reason: reason.to_owned(),
    };
    let value = match source {
        SecretSource::Value(secret) => return Ok(secret.clone()),
        SecretSource::Env(name) => {
            environment.variables.get(name).cloned().ok_or_else(|| {
                unreadable(format!("environment variable {name}"), "it is not set")
            })?
        }
        SecretSource::File(path) => std::fs::read_to_string(path).map_err(|error| {
            unreadable(
                format!("secret file {}", path.display()),
                &error.to_string(),
            )
        })?,
    };
    let secret = SecretString::new(value.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() {
        return Err(unreadable("the secret".to_owned(), "it is empty"));
    }
    Ok(secret)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
