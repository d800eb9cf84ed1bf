//! Access tokens: one cache, three ways to fill it.

mod databricks;
mod entra;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::failure::{Class, Failure, Sent};
use crate::http::Http;
use crate::masker::Masker;
use crate::path::Path;
use crate::request::{Method, Request, Service};
use crate::secret::SecretString;
use crate::target::{Signer, Target};

/// Who a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Microsoft Graph.
    Graph,
    /// Azure Resource Manager.
    Arm,
    /// Key Vault's data plane.
    KeyVault,
    /// Storage's data plane.
    Storage,
    /// A Databricks workspace.
    Databricks,
    /// The Databricks account.
    DatabricksAccount,
}

impl Audience {
    /// Whose token a service wants; none for the token endpoint itself.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        Some(match service {
            Service::Entra => return None,
            Service::Graph => Self::Graph,
            Service::Arm => Self::Arm,
            Service::KeyVault { .. } => Self::KeyVault,
            Service::Storage { .. } => Self::Storage,
            Service::Databricks => Self::Databricks,
            Service::DatabricksAccount => Self::DatabricksAccount,
        })
    }

    fn is_databricks(self) -> bool {
        matches!(self, Self::Databricks | Self::DatabricksAccount)
    }

    /// How long before its end a token is not used any more: Databricks refuses one with 30 s left
    /// (reference/databricks.md, 2.2); `azure_identity`'s own margin is 300 s.
    fn margin(self) -> Duration {
        Duration::from_secs(if self.is_databricks() { 40 } else { 300 })
    }

    /// The operation's name in messages.
    fn operation(self) -> &'static str {
        match self {
            Self::Graph => "token for Graph",
            Self::Arm => "token for ARM",
            Self::KeyVault => "token for Key Vault",
            Self::Storage => "token for Storage",
            Self::Databricks => "token for Databricks",
            Self::DatabricksAccount => "token for the Databricks account",
        }
    }
}

/// An access token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The bearer token.
    pub value: SecretString,
    /// When it ends; not known for a personal access token.
    pub expires_at: Option<OffsetDateTime>,
}

struct Cached {
    token: Token,
    /// From when on a new one is fetched.
    stale: Option<OffsetDateTime>,
}

/// The audience and the tenant, when it is another than the target's.
type Key = (Audience, Option<String>);

/// Fetches and keeps the tokens of one target.
pub(crate) struct Tokens {
    target: Arc<Target>,
    signer: Signer,
    http: Http,
    masker: Masker,
    cache: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Option<Cached>>>>>,
}

impl Tokens {
    pub(crate) fn new(target: Arc<Target>, signer: Signer, http: Http, masker: Masker) -> Self {
        match &signer {
            Signer::ClientSecret { secret, .. } | Signer::DatabricksOauth { secret, .. } => {
                masker.register(secret);
            }
            Signer::DatabricksPat { token } => masker.register(token),
            Signer::WorkloadIdentity { .. }
            | Signer::ManagedIdentity { .. }
            | Signer::AzureCli { .. } => {}
        }
        Self {
            target,
            signer,
            http,
            masker,
            cache: Mutex::default(),
        }
    }

    /// A token that lives long enough. Parallel callers share one fetch.
    pub(crate) async fn get(
        &self,
        audience: Audience,
        tenant: Option<&str>,
        deadline: Instant,
    ) -> Result<Token, Failure> {
        let slot = self.slot(audience, tenant);
        let Ok(mut cached) = tokio::time::timeout_at(deadline, slot.lock()).await else {
            return Err(Failure::not_sent(
                &token_request(audience),
                Class::Unavailable,
                "timeout",
                "another request waits for the same token, and has no answer yet",
            ));
        };
        if let Some(kept) = cached.as_ref()
            && kept
                .stale
                .is_none_or(|stale| OffsetDateTime::now_utc() < stale)
        {
            return Ok(kept.token.clone());
        }
        let token = self.fetch(audience, tenant, deadline).await?;
        self.masker.register(&token.value);
        let stale = token.expires_at.map(|end| {
            let life = (end - OffsetDateTime::now_utc()).max(time::Duration::ZERO);
            end - audience.margin().min(life.unsigned_abs() / 4)
        });
        *cached = Some(Cached {
            token: token.clone(),
            stale,
        });
        Ok(token)
    }

    /// Drops a token that a service has refused, if it is still the one kept.
    pub(crate) async fn forget(
        &self,
        audience: Audience,
        tenant: Option<&str>,
        refused: &SecretString,
    ) {
        let slot = self.slot(audience, tenant);
        let mut cached = slot.lock().await;
        if cached
            .as_ref()
            .is_some_and(|kept| kept.token.value == *refused)
        {
            *cached = None;
        }
    }

    /// Whether the credentials are an application's in Entra, which a workspace may know by its Azure role alone.
    pub(crate) fn is_entra_application(&self) -> bool {
        matches!(
            self.signer,
            Signer::ClientSecret { .. }
                | Signer::WorkloadIdentity { .. }
                | Signer::ManagedIdentity { .. }
        )
    }

    /// Whether a new token may be a better one; a personal access token stays what it is.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(self.signer, Signer::DatabricksPat { .. })
    }

    fn slot(
        &self,
        audience: Audience,
        tenant: Option<&str>,
    ) -> Arc<tokio::sync::Mutex<Option<Cached>>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache
            .entry((audience, tenant.map(str::to_owned)))
            .or_default()
            .clone()
    }

    async fn fetch(
        &self,
        audience: Audience,
        tenant: Option<&str>,
        deadline: Instant,
    ) -> Result<Token, Failure> {
        // Whatever happens to a token request, the request that needs the token has not been sent.
        let outcome = match &self.signer {
            Signer::DatabricksPat { token } if audience == Audience::Databricks => Ok(Token {
                value: token.clone(),
                expires_at: None,
            }),
            Signer::DatabricksOauth { client_id, secret } if audience.is_databricks() => {
                self.ask_databricks(audience, client_id, secret, deadline)
                    .await
            }
            Signer::DatabricksPat { .. } | Signer::DatabricksOauth { .. } => {
                Err(Failure::not_sent(
                    &token_request(audience),
                    Class::Invalid,
                    "wrong-credentials",
                    "this target's credentials open only Databricks: choose an Entra kind, such as `auth = { kind = \"azure-cli\" }`",
                ))
            }
            _ => self.ask_entra(audience, tenant, deadline).await,
        };
        outcome.map_err(|failure| Failure {
            sent: Sent::NotSent,
            ..failure
        })
    }
}

/// What failures of a token request are told about.
fn token_request(audience: Audience) -> Request {
    let path = Path::fixed("/{tenant}/oauth2/v2.0/token");
    Request::new(Service::Entra, audience.operation(), Method::Post, path).idempotent(true)
}

#[cfg(test)]
mod tests;
