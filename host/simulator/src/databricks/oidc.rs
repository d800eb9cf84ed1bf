//! Databricks' own token endpoint: client credentials and token exchange
//! (reference/databricks.md, sections 2.4 and 2.5).

use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::State;
use super::caller::{self, Plane};
use super::directory::{Kind, Principal};
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, ok};

/// Seconds.
const LIFE: i64 = 3600;

/// An issued token; its value is kept as a hash, its key in the state.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct OAuthToken {
    /// The SCIM id of the one it was issued to.
    pub(super) principal: u64,
    /// Whether it is for the account's API; else for the workspace's.
    pub(super) of_account: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) expires: OffsetDateTime,
}

fn plane(request: &Request) -> Plane {
    if request.parameter("account").is_empty() {
        Plane::Workspace
    } else {
        Plane::Account
    }
}

/// The address under which the endpoints of this plane are found.
fn base(request: &Request) -> String {
    let origin = request.origin();
    match plane(request) {
        Plane::Workspace => format!("{origin}/oidc"),
        Plane::Account => format!("{origin}/oidc/accounts/{}", request.parameter("account")),
    }
}

/// `GET {base}/.well-known/oauth-authorization-server`
pub(super) fn discovery(request: &Request, _: &mut crate::State) -> Answer {
    let base = base(request);
    ok(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/v1/authorize"),
        "token_endpoint": format!("{base}/v1/token"),
        "response_types_supported": ["code"],
        "grant_types_supported": [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "scopes_supported": ["all-apis"],
    }))
}

/// `POST {base}/v1/token`
pub(super) fn token(request: &Request, state: &mut crate::State) -> Answer {
    let state = &mut state.databricks;
    let form = request.form();
    let field = |name: &str| {
        form.get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    };
    let refused = |status, error, description: &str| {
        Refusal::oauth(status, error, description, request.world.guid())
    };
    let invalid_client = || {
        refused(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed",
        )
    };
    if plane(request) == Plane::Account
        && state.require_account(request.parameter("account")).is_err()
    {
        return Err(invalid_client());
    }
    let id = match field("grant_type") {
        Some("client_credentials") => {
            let (client, secret) = basic(request)
                .or_else(|| {
                    Some((
                        field("client_id")?.to_owned(),
                        field("client_secret")?.to_owned(),
                    ))
                })
                .ok_or_else(invalid_client)?;
            authenticated(request, state, &client, &secret).ok_or_else(invalid_client)?
        }
        Some("urn:ietf:params:oauth:grant-type:token-exchange") => {
            let token = field("subject_token").ok_or_else(|| {
                refused(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    "subject_token is missing",
                )
            })?;
            exchanged(request, state, field("client_id"), token)
                .map_err(|reason| refused(StatusCode::BAD_REQUEST, "invalid_grant", &reason))?
        }
        Some(_) => {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "The grant type is not supported",
            ));
        }
        None => {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "grant_type is missing",
            ));
        }
    };
    let now = request.now();
    state.oauth_tokens.retain(|_, token| token.expires > now);
    let value = format!("eyJ{}", request.world.hex(96));
    state.oauth_tokens.insert(
        caller::digest(&value),
        OAuthToken {
            principal: id,
            of_account: plane(request) == Plane::Account,
            expires: now + Duration::seconds(LIFE),
        },
    );
    ok(json!({
        "access_token": value,
        "token_type": "Bearer",
        "expires_in": LIFE,
        "scope": field("scope").unwrap_or("all-apis"),
    }))
}

fn basic(request: &Request) -> Option<(String, String)> {
    let (scheme, encoded) = request
        .header(header::AUTHORIZATION.as_str())?
        .split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client, secret) = text.split_once(':')?;
    Some((client.to_owned(), secret.to_owned()))
}

/// Whether a principal may have a token of this plane.
fn may_enter(request: &Request, principal: &Principal) -> bool {
    principal.active && (plane(request) == Plane::Account || principal.is_visible(&request.world))
}

fn authenticated(request: &Request, state: &State, client: &str, secret: &str) -> Option<u64> {
    let principal = state.directory.find(Kind::ServicePrincipal, client)?;
    let digest = caller::digest(secret);
    let now = request.now();
    let is_known = principal.oauth_secrets.iter().any(|held| {
        held.digest == digest && held.expires > now && request.world.sees(held.usable_at)
    });
    (is_known && may_enter(request, principal)).then_some(principal.id)
}

/// The principal that a foreign token stands for: the named service principal by one of its
/// policies, else the principal the token's subject names by a policy of the account.
fn exchanged(
    request: &Request,
    state: &State,
    client: Option<&str>,
    token: &str,
) -> Result<u64, String> {
    let audience = match plane(request) {
        Plane::Account => state.account_id.clone(),
        Plane::Workspace => format!("{}/v1/token", base(request)),
    };
    let (principal, policies) = if let Some(client) = client {
        let principal = state
            .directory
            .find(Kind::ServicePrincipal, client)
            .ok_or_else(|| format!("there is no service principal {client}"))?;
        (principal, &principal.federation_policies)
    } else {
        let claims =
            super::federation::payload(token).ok_or("the subject token is no JSON Web Token")?;
        let subject = claims.field("sub").as_str().unwrap_or_default();
        let principal = state
            .directory
            .named(subject)
            .ok_or_else(|| format!("no principal is named {subject}"))?;
        (principal, &state.federation_policies)
    };
    let mut reason = "no federation policy is set".to_owned();
    for policy in policies {
        match policy.accepts(&request.world, token, &audience) {
            Ok(()) if may_enter(request, principal) => return Ok(principal.id),
            Ok(()) => "the service principal is not active here".clone_into(&mut reason),
            Err(other) => reason = other,
        }
    }
    Err(reason)
}
