//! Databricks OAuth secrets of service principals (reference/databricks.md, section 9).

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::State;
use super::caller::{self, Caller};
use super::directory::{Kind, Principal};
use super::errors::Refusal;
use super::request::{Answer, Request, done, ok, paged};
use super::rule_sets;
use crate::wire::iso;

/// Secrets per service principal.
const MOST: usize = 5;
/// 730 days: the usual life and the longest.
const LONGEST: i64 = 63_072_000;

/// One secret; its value is shown once and kept as a hash.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct OAuthSecret {
    pub(super) id: String,
    /// SHA-256 of the value.
    pub(super) digest: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) expires: OffsetDateTime,
    /// When the token endpoint knows it.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) usable_at: OffsetDateTime,
}

impl OAuthSecret {
    fn render(&self, now: OffsetDateTime) -> Value {
        json!({
            "id": self.id,
            "secret_hash": self.digest,
            "status": if self.expires > now { "ACTIVE" } else { "EXPIRED" },
            "create_time": iso(self.created),
            "update_time": iso(self.created),
            "expire_time": iso(self.expires),
        })
    }
}

/// The service principal in the path, if the caller may handle its secrets.
fn managed<'a>(
    request: &Request,
    state: &'a State,
    caller: &Caller,
) -> Result<&'a Principal, Refusal> {
    let account = request.parameter("account");
    if !account.is_empty() {
        state.require_account(account)?;
    }
    let id = request.parameter("id");
    let principal = id
        .parse()
        .ok()
        .and_then(|id: u64| state.directory.principals.get(&id))
        .filter(|principal| principal.kind == Kind::ServicePrincipal)
        .ok_or_else(|| {
            Refusal::missing(format!("Service principal with id {id} does not exist."))
        })?;
    let is_workspace_admin = account.is_empty() && caller.admin;
    if is_workspace_admin || rule_sets::manages(&state.directory, caller, principal) {
        return Ok(principal);
    }
    Err(if account.is_empty() {
        Refusal::denied(format!(
            "{} does not have the manager role on service principal {}",
            caller.name, principal.name
        ))
    } else {
        Refusal::not_account_admin()
    })
}

/// `POST …/servicePrincipals/{id}/credentials/secrets`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        lifetime: Option<String>,
    }
    let state = &mut state.databricks;
    let principal = managed(request, state, caller)?;
    let body: Body = request.json()?;
    let lifetime = match body.lifetime {
        None => LONGEST,
        Some(text) => text
            .strip_suffix('s')
            .and_then(|seconds| seconds.parse().ok())
            .filter(|seconds| (1..=LONGEST).contains(seconds))
            .ok_or_else(|| Refusal::invalid(format!("Invalid lifetime: {text}")))?,
    };
    let (id, now) = (principal.id, request.now());
    if principal.oauth_secrets.len() >= MOST {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "RESOURCE_LIMIT_EXCEEDED",
            format!("The service principal already has {MOST} secrets; delete one first."),
        ));
    }
    let value = format!("dose{}", request.world.hex(32));
    let secret = OAuthSecret {
        id: request.world.guid(),
        digest: caller::digest(&value),
        created: now,
        expires: now + Duration::seconds(lifetime),
        usable_at: request.world.visible_at(crate::Plane::Databricks),
    };
    let mut reply = secret.render(now);
    if let Some(fields) = reply.as_object_mut() {
        fields.insert("secret".into(), json!(value));
    }
    if let Some(principal) = state.directory.principals.get_mut(&id) {
        principal.oauth_secrets.push(secret);
    }
    ok(reply)
}

/// `GET …/servicePrincipals/{id}/credentials/secrets`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let principal = managed(request, &state.databricks, caller)?;
    let secrets: Vec<Value> = principal
        .oauth_secrets
        .iter()
        .map(|secret| secret.render(request.now()))
        .collect();
    paged(request, "secrets", secrets)
}

/// `DELETE …/servicePrincipals/{id}/credentials/secrets/{secret}`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let id = managed(request, state, caller)?.id;
    let secret = request.parameter("secret");
    let secrets = state
        .directory
        .principals
        .get_mut(&id)
        .map(|principal| &mut principal.oauth_secrets);
    match secrets {
        Some(secrets) if secrets.iter().any(|held| held.id == secret) => {
            secrets.retain(|held| held.id != secret);
            done()
        }
        _ => Err(Refusal::missing(format!("Secret {secret} does not exist."))),
    }
}
