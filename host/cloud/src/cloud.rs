//! The client of all services of one target.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::failure::{Class, Failure, Sent};
use crate::http::{Http, Raw};
use crate::limit::Bucket;
use crate::masker::Masker;
use crate::path::Path;
use crate::reply;
use crate::request::{Body, Budget, Field, Method, Observer, Reply, Request, Service};
use crate::retry::Patience;
use crate::secret::SecretString;
use crate::target::hosts::{DATABRICKS_RESOURCE, workspace};
use crate::target::{ConfigError, Environment, Target, resolve};
use crate::tokens::{Audience, Token, Tokens};
use crate::wire::{self, Proof};

/// The vendor's SDKs send 15 requests per second to Databricks (reference/databricks.md, 2.7).
const DATABRICKS_RATE: u32 = 15;
/// Ordinary runs stay below it and are not slowed.
const DATABRICKS_BURST: u32 = 100;
/// The other services allow far more than a run needs; this only breaks runaway loops.
const OTHER_RATE: u32 = 100;

/// Why no client could be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// ARM refused while the workspace's address was looked up.
    #[error("the workspace's address cannot be looked up: {0}")]
    Failure(#[source] Box<Failure>),
}

/// Sends requests to the services of one target. Clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
    watched: Option<Watched>,
}

/// Who is told of this clone's requests, and when the last of them has to end.
#[derive(Clone)]
struct Watched {
    observer: Arc<dyn Observer>,
    deadline: Option<Instant>,
}

struct Inner {
    target: Arc<Target>,
    http: Http,
    tokens: Tokens,
    masker: Masker,
    limits: Mutex<HashMap<Service, Arc<Bucket>>>,
    /// Tenants that vaults have asked for in their challenges, by vault.
    vault_tenants: Mutex<HashMap<Service, String>>,
}

impl Cloud {
    /// Completes the target from environment and profile, checks it, and makes the client. Nothing is sent, unless
    /// `workspace` is open and `workspace_resource_id` is not: then ARM is asked for the workspace's address.
    pub async fn connect(target: Target) -> Result<Self, ConnectError> {
        let cloud = Self::new(target.clone(), &Environment::process())?;
        let resolved = cloud.target();
        let (None, Some(id)) = (&resolved.workspace, &resolved.workspace_resource_id) else {
            return Ok(cloud);
        };
        let found = cloud.find_workspace(id).await?;
        Ok(Self::new(
            Target {
                workspace: Some(found),
                ..target
            },
            &Environment::process(),
        )?)
    }

    pub(crate) fn new(target: Target, environment: &Environment) -> Result<Self, ConfigError> {
        let (target, signer) = resolve(target, environment)?;
        let http = Http::new(target.endpoints.as_ref())?;
        let target = Arc::new(target);
        let masker = Masker::default();
        let tokens = Tokens::new(target.clone(), signer, http.clone(), masker.clone());
        let (limits, vault_tenants) = (Mutex::default(), Mutex::default());
        Ok(Self {
            inner: Arc::new(Inner {
                target,
                http,
                tokens,
                masker,
                limits,
                vault_tenants,
            }),
            watched: None,
        })
    }

    /// reference/entra-azure.md, 3.4.
    async fn find_workspace(&self, id: &str) -> Result<String, ConnectError> {
        let field = "workspace_resource_id";
        let path = Path::new("{arm}", &[id]).map_err(|error| ConfigError::Invalid {
            field,
            reason: error.reason.to_owned(),
        })?;
        let request = Request::new(Service::Arm, "workspaces.get", Method::Get, path)
            .query("api-version", "2024-05-01");
        let reply = self
            .send(&request)
            .await
            .map_err(|failure| ConnectError::Failure(Box::new(failure)))?;
        let url = reply
            .body
            .pointer("/properties/workspaceUrl")
            .and_then(Value::as_str);
        let url = url.ok_or_else(|| ConfigError::Invalid {
            field,
            reason: "is not a Databricks workspace".to_owned(),
        })?;
        Ok(workspace(url)?.to_string())
    }

    /// The same client, whose requests `observer` is told of, and which waits as long as a service asks for if that ends
    /// before `deadline`; without one, as long as a default [`Budget`] lets it.
    #[must_use]
    pub fn observed_by(&self, observer: Arc<dyn Observer>, deadline: Option<Instant>) -> Self {
        Self {
            inner: self.inner.clone(),
            watched: Some(Watched { observer, deadline }),
        }
    }

    /// Sends a request with the default [`Budget`].
    pub async fn send(&self, request: &Request) -> Result<Reply, Failure> {
        let budget = Budget::default();
        match &self.watched {
            None => self.send_with(request, &budget, &()).await,
            Some(Watched { observer, deadline }) => {
                let budget = match *deadline {
                    None => budget,
                    Some(deadline) => Budget {
                        deadline: budget.deadline.min(deadline),
                        limit: deadline,
                        ..budget
                    },
                };
                self.send_with(request, &budget, &**observer).await
            }
        }
    }

    /// Sends a request, and again as long as that is safe, useful and within the budget. Dropping the future is safe: an
    /// unfinished try may have been handled by the service, like any lost reply.
    pub async fn send_with(
        &self,
        request: &Request,
        budget: &Budget,
        observer: &dyn Observer,
    ) -> Result<Reply, Failure> {
        let mut patience = Patience::new(request, budget, observer);
        loop {
            match self.attempt(request, patience.deadline(), observer).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// One try; two when the service refuses a kept token, which happens before it acts.
    async fn attempt(
        &self,
        request: &Request,
        deadline: Instant,
        observer: &dyn Observer,
    ) -> Result<Reply, Failure> {
        let inner = &self.inner;
        let invalid = |reason| Failure::not_sent(request, Class::Invalid, "no-host", reason);
        let base = inner.target.base(&request.service).map_err(invalid)?;
        self.limit(request, deadline, observer).await?;
        let mut renewed = false;
        loop {
            let tenant = self.vault_tenant(&request.service);
            let proof = self.prove(request, tenant.as_deref(), deadline).await?;
            let raw = self
                .exchange(request, &base, &proof, deadline, observer)
                .await?;
            if (200..300).contains(&raw.status) {
                return reply::read(request, raw, &inner.masker);
            }
            let failure = Failure::answered(request, &raw, &inner.masker);
            if failure.class != Class::Unauthenticated || renewed || !inner.tokens.is_renewable() {
                return Err(failure);
            }
            renewed = true;
            if !self.follow_challenge(request, &raw, tenant.as_deref()) {
                let Some((audience, token)) = Audience::of(&request.service).zip(proof.token())
                else {
                    return Err(failure);
                };
                inner
                    .tokens
                    .forget(audience, tenant.as_deref(), token)
                    .await;
            }
        }
    }

    async fn exchange(
        &self,
        request: &Request,
        base: &Url,
        proof: &Proof,
        deadline: Instant,
        observer: &dyn Observer,
    ) -> Result<Raw, Failure> {
        let masker = &self.inner.masker;
        let http = wire::build(request, base, proof, masker)?;
        let begun = Instant::now();
        let outcome = self
            .inner
            .http
            .exchange(http, deadline)
            .await
            .map_err(|lost| Failure::lost(request, &lost, masker));
        let (status, class) = match &outcome {
            Ok(raw) => (Some(raw.status), None),
            Err(failure) => (None, Some(failure.class)),
        };
        observer.sent(request, status, class, begun.elapsed());
        outcome
    }

    async fn prove(
        &self,
        request: &Request,
        tenant: Option<&str>,
        deadline: Instant,
    ) -> Result<Proof, Failure> {
        let Some(audience) = Audience::of(&request.service) else {
            return Ok(Proof::None);
        };
        let tokens = &self.inner.tokens;
        let token = tokens.get(audience, tenant, deadline).await?.value;
        match &self.inner.target.workspace_resource_id {
            Some(id) if audience == Audience::Databricks && tokens.is_entra_application() => {
                let management = tokens.get(Audience::Arm, None, deadline).await?.value;
                Ok(Proof::BearerWithManagement {
                    token,
                    management,
                    resource_id: id.clone(),
                })
            }
            _ => Ok(Proof::Bearer(token)),
        }
    }

    async fn limit(
        &self,
        request: &Request,
        deadline: Instant,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let bucket = {
            let mut limits = self
                .inner
                .limits
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let new = || match request.service {
                Service::Databricks | Service::DatabricksAccount => Bucket::new(
                    self.inner
                        .target
                        .databricks_rate
                        .map_or(DATABRICKS_RATE, NonZeroU32::get),
                    DATABRICKS_BURST,
                ),
                _ => Bucket::new(OTHER_RATE, OTHER_RATE * 2),
            };
            limits
                .entry(request.service.clone())
                .or_insert_with(|| Arc::new(new()))
                .clone()
        };
        let delay = bucket.take();
        if Instant::now() + delay >= deadline && delay > Duration::ZERO {
            let message =
                "more requests are waiting than the rate limit lets through before the deadline";
            return Err(Failure::not_sent(
                request,
                Class::Throttled,
                "rate-limit",
                message,
            ));
        }
        // Even a sleep of no length lasts until the timer's next millisecond.
        if delay.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = observer.stopped() => {
                let message = "its turn under the rate limit had not come";
                Err(Failure::not_sent(request, Class::Throttled, "rate-limit", message).stopped())
            }
        }
    }

    fn vault_tenant(&self, service: &Service) -> Option<String> {
        self.inner
            .vault_tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(service)
            .cloned()
    }

    /// A vault may belong to another tenant than the target's, and says so when it refuses. Whether it said so now.
    fn follow_challenge(&self, request: &Request, raw: &Raw, tenant: Option<&str>) -> bool {
        if !matches!(request.service, Service::KeyVault { .. }) {
            return false;
        }
        let target = &self.inner.target;
        let asked = raw
            .header("www-authenticate")
            .and_then(|challenge| target.cloud.challenge_tenant(challenge));
        match asked {
            Some(asked) if Some(asked.as_str()) != tenant.or(target.tenant_id.as_deref()) => {
                let mut known = self
                    .inner
                    .vault_tenants
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                known.insert(request.service.clone(), asked);
                true
            }
            _ => false,
        }
    }

    /// A token for an audience, from the cache when it lives long enough. One try, within a minute.
    pub async fn token(&self, audience: Audience) -> Result<Token, Failure> {
        self.inner
            .tokens
            .get(audience, None, Instant::now() + Duration::from_mins(1))
            .await
    }

    /// What masks this client's secrets. Register secrets that come from elsewhere with it.
    pub fn masker(&self) -> &Masker {
        &self.inner.masker
    }

    /// Proves that an application's client secret works, by asking Entra for a Databricks token with it; returns when that
    /// token ends. A secret made a moment ago may be refused for some seconds (`AADSTS7000215`, `AADSTS700016`,
    /// `AADSTS7000229`): then [`Failure::may_be_replication`] holds.
    pub async fn prove_client_secret(
        &self,
        tenant: &str,
        client_id: &str,
        secret: &SecretString,
    ) -> Result<OffsetDateTime, Failure> {
        let template = "/{}/oauth2/v2.0/token";
        let unaddressed = Request::new(
            Service::Entra,
            "client-secret.prove",
            Method::Post,
            Path::fixed(template),
        )
        .idempotent(true);
        let path = Path::new(template, &[tenant]).map_err(|error| {
            Failure::not_sent(
                &unaddressed,
                Class::Invalid,
                "bad-tenant",
                error.to_string(),
            )
        })?;
        let plain = |value: &str| Field::Plain(value.to_owned());
        let request = Request {
            path,
            body: Body::Form(vec![
                ("grant_type", plain("client_credentials")),
                ("client_id", plain(client_id)),
                ("client_secret", Field::Secret(secret.clone())),
                ("scope", plain(&format!("{DATABRICKS_RESOURCE}/.default"))),
            ]),
            ..unaddressed
        }
        .secret_reply("/access_token");
        let reply = self.send(&request).await?;
        let life = reply
            .body
            .get("expires_in")
            .and_then(Value::as_i64)
            .filter(|_| !reply.secrets.is_empty());
        let Some(life) = life else {
            let message = "the token endpoint's reply has no token";
            return Err(Failure {
                sent: Sent::Answered,
                ..Failure::not_sent(&request, Class::Other, "unreadable-reply", message)
            });
        };
        Ok(OffsetDateTime::now_utc() + time::Duration::seconds(life.clamp(0, 7 * 24 * 3600)))
    }

    /// The target, completed from environment and profile.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }
}

#[cfg(test)]
#[path = "cloud_tests.rs"]
mod tests;
