//! Where requests go and who sends them: the `[targets.NAME]` table of `lockkeeper.toml`.

pub(crate) mod hosts;
mod resolve;
mod settings;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

pub(crate) use resolve::{Signer, resolve};
pub(crate) use settings::Environment;

use crate::secret::SecretString;

/// A tenant, a workspace and the credentials for both.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// The Entra tenant (directory): its id or a verified domain.
    pub tenant_id: Option<String>,
    /// The workspace's address, such as `https://adb-1234.5.azuredatabricks.net`; the scheme may be left out.
    pub workspace: Option<String>,
    /// The Databricks account's id, for account-level operations.
    pub account_id: Option<String>,
    /// The workspace's ARM id. With it a service principal that is not yet a member of the workspace may sign in by its
    /// Azure role, and `workspace` may be left out.
    pub workspace_resource_id: Option<String>,
    /// The credentials; from the environment and `~/.databrickscfg` when left out.
    #[serde(rename = "auth")]
    pub credentials: Credentials,
    /// A profile of `~/.databrickscfg` to fill what is left out.
    pub profile: Option<String>,
    /// Which Azure cloud.
    pub cloud: AzureCloud,
    /// Requests per second to Databricks; 15 when left out, as in the vendor's SDKs.
    pub databricks_rate: Option<NonZeroU32>,
    /// Sends every host name to one address, with one trusted authority: the simulator.
    pub endpoints: Option<Endpoints>,
}

/// One address that stands for all services.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Where every host name leads, port included.
    pub resolve_to: SocketAddr,
    /// The only certificate authority that is trusted, as PEM.
    pub ca_pem: String,
}

/// How to sign in. What is left out comes from the environment variables named at each field.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Credentials {
    /// Whatever the environment and the profile have configured (reference/databricks.md, 2.7).
    #[default]
    #[serde(skip)]
    Environment,
    /// An Entra application and its client secret.
    ClientSecret {
        /// The application (client) id; `ARM_CLIENT_ID` or `AZURE_CLIENT_ID`.
        #[serde(default)]
        client_id: Option<String>,
        /// Where the secret is; `ARM_CLIENT_SECRET` or `AZURE_CLIENT_SECRET`.
        #[serde(default)]
        secret: Option<SecretSource>,
    },
    /// An Entra application and a token of a foreign issuer that it trusts (workload identity federation).
    #[serde(rename = "oidc")]
    WorkloadIdentity {
        /// The application (client) id; `ARM_CLIENT_ID` or `AZURE_CLIENT_ID`.
        #[serde(default)]
        client_id: Option<String>,
        /// The file with the foreign token; `AZURE_FEDERATED_TOKEN_FILE`.
        #[serde(default)]
        token_file: Option<PathBuf>,
    },
    /// The managed identity of the machine.
    ManagedIdentity {
        /// The client id of a user-assigned identity; the system-assigned one when left out.
        #[serde(default)]
        client_id: Option<String>,
    },
    /// Who is signed in to the Azure CLI.
    AzureCli {},
    /// A Databricks personal access token; opens Databricks only.
    DatabricksPat {
        /// Where the token is; `DATABRICKS_TOKEN`.
        #[serde(default)]
        token: Option<SecretSource>,
    },
    /// A service principal with a Databricks OAuth secret; opens Databricks only.
    DatabricksOauth {
        /// The application id; `DATABRICKS_CLIENT_ID`.
        #[serde(default)]
        client_id: Option<String>,
        /// Where the secret is; `DATABRICKS_CLIENT_SECRET`.
        #[serde(default)]
        secret: Option<SecretSource>,
    },
}

/// Where a secret is. In a file it is always a reference: `{ env = "NAME" }` or `{ file = "/path" }`.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// An environment variable's name.
    Env(String),
    /// A file that holds nothing else.
    File(PathBuf),
    /// The value, from code; never read from a configuration file.
    Value(SecretString),
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        enum Reference {
            Env(String),
            File(PathBuf),
        }
        // Whatever else stands there may be the secret itself, so the error does not quote it.
        match Reference::deserialize(deserializer) {
            Ok(Reference::Env(name)) => Ok(Self::Env(name)),
            Ok(Reference::File(path)) => Ok(Self::File(path)),
            Err(_) => Err(serde::de::Error::custom(
                "a secret must not be written inline: say where it is, `{ env = \"NAME\" }` or `{ file = \"/path\" }`",
            )),
        }
    }
}

/// Which Azure cloud a target is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AzureCloud {
    /// The public one.
    #[default]
    Public,
    /// Azure Government.
    UsGovernment,
    /// Azure in China.
    China,
}

/// A configuration that cannot be used, found before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field is needed and nothing gives it.
    #[error("{field} is not configured: set {sources}")]
    Missing {
        /// The field.
        field: &'static str,
        /// Where it can be set.
        sources: &'static str,
    },
    /// A field's value cannot be used.
    #[error("{field} {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Two ways to sign in are configured at once.
    #[error(
        "more than one way to sign in is configured: {families}; unset one, or choose with `auth = {{ kind = … }}`"
    )]
    Ambiguous {
        /// Each way and the variables that configure it.
        families: String,
    },
    /// A secret or profile cannot be read.
    #[error("cannot read {what}: {reason}")]
    Unreadable {
        /// The variable or file.
        what: String,
        /// Why.
        reason: String,
    },
}
