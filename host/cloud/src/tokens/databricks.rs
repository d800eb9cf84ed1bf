//! Tokens from Databricks' own OAuth server, for a service principal with a Databricks secret
//! (reference/databricks.md, 2.4).

use reqwest::Url;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Audience, Token, Tokens};
use crate::failure::{Class, Failure};
use crate::http::Raw;
use crate::path::Path;
use crate::request::{Body, Field, Method, Request, Service};
use crate::secret::SecretString;
use crate::wire::{self, Proof};

impl Tokens {
    pub(super) async fn ask_databricks(
        &self,
        audience: Audience,
        client_id: &str,
        secret: &SecretString,
        deadline: Instant,
    ) -> Result<Token, Failure> {
        let account = self
            .target
            .account_id
            .as_deref()
            .filter(|_| audience == Audience::DatabricksAccount);
        let service = if account.is_some() {
            Service::DatabricksAccount
        } else {
            Service::Databricks
        };
        let request = |method, template, arguments: &[&str]| {
            let nowhere = Request::new(
                service.clone(),
                audience.operation(),
                method,
                Path::fixed(template),
            );
            match Path::new(template, arguments) {
                Ok(path) => Ok(Request { path, ..nowhere }),
                Err(error) => Err(Failure::not_sent(
                    &nowhere,
                    Class::Invalid,
                    "bad-account-id",
                    error.to_string(),
                )),
            }
        };
        let (discovery, mut token) = match account {
            None => (
                request(
                    Method::Get,
                    "/oidc/.well-known/oauth-authorization-server",
                    &[],
                )?,
                request(Method::Post, "/oidc/v1/token", &[])?,
            ),
            Some(id) => (
                request(
                    Method::Get,
                    "/oidc/accounts/{}/.well-known/oauth-authorization-server",
                    &[id],
                )?,
                request(Method::Post, "/oidc/accounts/{}/v1/token", &[id])?,
            ),
        };
        // An old or private server may not publish the document; the paths have been the same everywhere.
        if let Ok(found) = self.once(&discovery, &Proof::None, deadline).await
            && let Some(endpoint) = token_endpoint(&found)
        {
            token.path = token.path.following(&endpoint);
        }
        let fields = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        token.body = Body::Form(
            fields
                .map(|(name, value)| (name, Field::Plain(value.to_owned())))
                .to_vec(),
        );
        let proof = Proof::Basic {
            user: client_id.to_owned(),
            password: secret.clone(),
        };
        let raw = self.once(&token, &proof, deadline).await?;
        let reply: Value = serde_json::from_slice(&raw.body).unwrap_or_default();
        let value = reply
            .get("access_token")
            .and_then(Value::as_str)
            .ok_or_else(|| {
                Failure::not_sent(
                    &token,
                    Class::Other,
                    "unreadable-reply",
                    "the token endpoint's reply has no access_token",
                )
            })?;
        let life = reply
            .get("expires_in")
            .and_then(Value::as_i64)
            .unwrap_or(3600)
            .clamp(0, 7 * 24 * 3600);
        Ok(Token {
            value: SecretString::new(value.to_owned()),
            expires_at: Some(OffsetDateTime::now_utc() + time::Duration::seconds(life)),
        })
    }

    async fn once(
        &self,
        request: &Request,
        proof: &Proof,
        deadline: Instant,
    ) -> Result<Raw, Failure> {
        let base: Url = self
            .target
            .base(&request.service)
            .map_err(|reason| Failure::not_sent(request, Class::Invalid, "no-host", reason))?;
        let http = wire::build(request, &base, proof, &self.masker)?;
        match self.http.exchange(http, deadline).await {
            Ok(raw) if (200..300).contains(&raw.status) => Ok(raw),
            Ok(raw) => Err(Failure::answered(request, &raw, &self.masker)),
            Err(lost) => Err(Failure::lost(request, &lost, &self.masker)),
        }
    }
}

/// The endpoint that the discovery document names; the client refuses it later if it is on another host.
fn token_endpoint(discovery: &Raw) -> Option<String> {
    let document: Value = serde_json::from_slice(&discovery.body).ok()?;
    document.get("token_endpoint")?.as_str().map(str::to_owned)
}
