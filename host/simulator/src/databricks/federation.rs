//! Federation policies: which foreign JSON Web Tokens stand for a service principal
//! (reference/databricks.md, sections 2.5 and 9).

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::State;
use super::caller::Caller;
use super::directory::{Kind, Principal};
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, done, ok, paged};
use crate::World;
use crate::entra::tokens as entra_tokens;
use crate::wire::iso;

/// Policies per service principal.
const MOST: usize = 20;

/// A policy of the account or of one service principal.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Policy {
    pub(super) id: String,
    uid: String,
    description: String,
    pub(super) oidc: OidcPolicy,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated: OffsetDateTime,
}

/// What a token must say and be signed with.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub(super) struct OidcPolicy {
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject_claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_json: Option<String>,
}

impl Policy {
    fn render(&self, account: &str, principal: Option<u64>) -> Value {
        let owner = principal.map_or_else(
            || format!("accounts/{account}"),
            |id| format!("accounts/{account}/servicePrincipals/{id}"),
        );
        let mut body = json!({
            "name": format!("{owner}/federationPolicies/{}", self.id),
            "uid": self.uid,
            "policy_id": self.id,
            "description": self.description,
            "oidc_policy": self.oidc,
            "create_time": iso(self.created),
            "update_time": iso(self.updated),
        });
        if let (Some(fields), Some(id)) = (body.as_object_mut(), principal) {
            fields.insert("service_principal_id".into(), json!(id));
        }
        body
    }

    /// Whether this policy accepts a token; says why not otherwise. `audience` stands in when
    /// the policy names none.
    pub(super) fn accepts(&self, world: &World, token: &str, audience: &str) -> Result<(), String> {
        let claims = payload(token).ok_or("the subject token is no JSON Web Token")?;
        let policy = &self.oidc;
        if claims.field("iss").as_str() != Some(policy.issuer.as_str()) {
            return Err(format!(
                "no policy accepts the issuer {}",
                claims.field("iss")
            ));
        }
        let audiences: Vec<&str> = match claims.field("aud") {
            Value::String(text) => vec![text.as_str()],
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let is_for_us = audiences.iter().any(|sent| {
            if policy.audiences.is_empty() {
                *sent == audience
            } else {
                policy.audiences.iter().any(|known| known == sent)
            }
        });
        if !is_for_us {
            return Err(format!(
                "no policy accepts the audience {}",
                claims.field("aud")
            ));
        }
        let claim = policy.subject_claim.as_deref().unwrap_or("sub");
        if policy.subject.is_some() && claims.field(claim).as_str() != policy.subject.as_deref() {
            return Err(format!(
                "no policy accepts the subject {}",
                claims.field(claim)
            ));
        }
        if claims
            .field("exp")
            .as_i64()
            .is_none_or(|end| end <= world.now().unix_timestamp())
        {
            return Err("the subject token is expired".into());
        }
        match &policy.jwks_json {
            Some(keys) if is_signed(token, keys) => Ok(()),
            None if entra_tokens::verify(world, token).is_ok() => Ok(()),
            Some(_) => Err("the subject token's signature fits no key of the policy".into()),
            None => Err(
                "the simulator fetches no keys: give the policy's jwks_json, or use a token of the simulated Entra".into(),
            ),
        }
    }
}

fn part(token: &str, index: usize) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token.split('.').nth(index)?)
        .ok()
}

/// The claims of a token, unverified.
pub(super) fn payload(token: &str) -> Option<Value> {
    serde_json::from_slice(&part(token, 1)?).ok()
}

/// Whether one of the RSA keys in a key set made the token's RS256 signature.
fn is_signed(token: &str, keys: &str) -> bool {
    let (Some(signature), Some((message, _)), Ok(keys)) = (
        part(token, 2),
        token.rsplit_once('.'),
        serde_json::from_str::<Value>(keys),
    ) else {
        return false;
    };
    let number = |text: &Value| BASE64_URL_SAFE_NO_PAD.decode(text.as_str()?).ok();
    keys.field("keys").as_array().is_some_and(|keys| {
        keys.iter().any(|key| {
            let (Some(n), Some(e)) = (number(key.field("n")), number(key.field("e"))) else {
                return false;
            };
            RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
                .is_ok()
        })
    })
}

/// The path's account and, in the service principal's form, the service principal.
fn owner<'a>(
    request: &Request,
    state: &'a State,
    caller: &Caller,
) -> Result<Option<&'a Principal>, Refusal> {
    state.require_account(request.parameter("account"))?;
    caller.require_account_admin()?;
    let id = request.parameter("id");
    if id.is_empty() {
        return Ok(None);
    }
    id.parse()
        .ok()
        .and_then(|id: u64| state.directory.principals.get(&id))
        .filter(|principal| principal.kind == Kind::ServicePrincipal)
        .map(Some)
        .ok_or_else(|| Refusal::missing(format!("Service principal with id {id} does not exist.")))
}

fn policies_mut(state: &mut State, owner: Option<u64>) -> Option<&mut Vec<Policy>> {
    match owner {
        None => Some(&mut state.federation_policies),
        Some(id) => state
            .directory
            .principals
            .get_mut(&id)
            .map(|principal| &mut principal.federation_policies),
    }
}

fn policies<'a>(state: &'a State, owner: Option<&'a Principal>) -> &'a [Policy] {
    owner.map_or(&state.federation_policies, |principal| {
        &principal.federation_policies
    })
}

fn missing(policy: &str) -> Refusal {
    Refusal::missing(format!("Federation policy {policy} does not exist."))
}

#[derive(Deserialize)]
struct Body {
    description: Option<String>,
    oidc_policy: Option<OidcPolicy>,
}

fn require_complete(policy: &OidcPolicy, of_principal: bool) -> Result<(), Refusal> {
    if policy.issuer.is_empty() {
        return Err(Refusal::invalid(
            "Missing required field: oidc_policy.issuer",
        ));
    }
    if of_principal && policy.subject.as_deref().unwrap_or_default().is_empty() {
        return Err(Refusal::invalid(
            "Missing required field: oidc_policy.subject",
        ));
    }
    Ok(())
}

/// `POST …/federationPolicies?policy_id=`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let principal = owner(request, state, caller)?;
    let body: Body = request.json()?;
    let oidc = body.oidc_policy.unwrap_or_default();
    require_complete(&oidc, principal.is_some())?;
    let uid = request.world.guid();
    let name = request.query("policy_id").unwrap_or(&uid).to_owned();
    let present = policies(state, principal);
    if present.iter().any(|policy| policy.id == name) {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "ALREADY_EXISTS",
            format!("Federation policy {name} already exists."),
        ));
    }
    if present.len() >= MOST {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "RESOURCE_LIMIT_EXCEEDED",
            format!("There are {MOST} federation policies already; delete one first."),
        ));
    }
    let now = request.now();
    let policy = Policy {
        id: name,
        uid,
        description: body.description.unwrap_or_default(),
        oidc,
        created: now,
        updated: now,
    };
    let id = principal.map(|principal| principal.id);
    let reply = policy.render(&state.account_id, id);
    if let Some(policies) = policies_mut(state, id) {
        policies.push(policy);
    }
    ok(reply)
}

/// `GET …/federationPolicies`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let principal = owner(request, state, caller)?;
    let id = principal.map(|principal| principal.id);
    let rendered: Vec<Value> = policies(state, principal)
        .iter()
        .map(|policy| policy.render(&state.account_id, id))
        .collect();
    paged(request, "policies", rendered)
}

/// `GET …/federationPolicies/{policy}`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let principal = owner(request, state, caller)?;
    let name = request.parameter("policy");
    let policy = policies(state, principal)
        .iter()
        .find(|policy| policy.id == name)
        .ok_or_else(|| missing(name))?;
    ok(policy.render(&state.account_id, principal.map(|principal| principal.id)))
}

/// `PATCH …/federationPolicies/{policy}`: what the body names is replaced.
pub(super) fn update(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let id = owner(request, state, caller)?.map(|principal| principal.id);
    let body: Body = request.json()?;
    if let Some(oidc) = &body.oidc_policy {
        require_complete(oidc, id.is_some())?;
    }
    let account = state.account_id.clone();
    let name = request.parameter("policy");
    let policy = policies_mut(state, id)
        .and_then(|policies| policies.iter_mut().find(|policy| policy.id == name))
        .ok_or_else(|| missing(name))?;
    if let Some(description) = body.description {
        policy.description = description;
    }
    if let Some(oidc) = body.oidc_policy {
        policy.oidc = oidc;
    }
    policy.updated = request.now();
    ok(policy.render(&account, id))
}

/// `DELETE …/federationPolicies/{policy}`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let id = owner(request, state, caller)?.map(|principal| principal.id);
    let name = request.parameter("policy");
    let policies = policies_mut(state, id)
        .filter(|policies| policies.iter().any(|policy| policy.id == name))
        .ok_or_else(|| missing(name))?;
    policies.retain(|policy| policy.id != name);
    done()
}
