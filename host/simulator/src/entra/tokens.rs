//! Access tokens: minting, verifying, and the client-credentials grant behind both endpoints.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::sts_error::StsFailure;
use super::{Application, ServicePrincipal, assertion, sts_error};
use crate::{State, World, wire};

/// What an access token says (reference, section 1.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The resource, as it was asked for.
    pub aud: String,
    /// The issuer, which names the tenant.
    pub iss: String,
    /// The client id of the caller.
    #[serde(default, alias = "azp", skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// The user principal name, in a user's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upn: Option<String>,
    /// The object id of the service principal or user; empty when the token has none.
    #[serde(default)]
    pub oid: String,
    /// The tenant.
    #[serde(default)]
    pub tid: String,
    /// `app` in an application's own token.
    #[serde(default)]
    pub idtyp: String,
    /// When it was issued, in seconds since 1970.
    #[serde(default)]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// The app roles of the caller.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The delegated permissions, separated by spaces, in a user's token.
    #[serde(default)]
    pub scp: String,
    /// The token's own id.
    #[serde(default)]
    pub uti: String,
}

/// Why a bearer token is no token of this directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not a JWT with the claims of an access token.
    #[error("the bearer is not an access token")]
    Malformed,
    /// Signed by another key.
    #[error("the access token's signature does not verify")]
    BadSignature,
    /// Past its end.
    #[error("the access token expired at {exp}")]
    Expired {
        /// Its end, in seconds since 1970.
        exp: i64,
        /// The audience it was for.
        aud: String,
    },
}

/// Reads a token if this directory signed it and it has not expired. Audience and issuer are
/// left to the caller, who answers for them in the words of its own service.
pub fn verify(world: &World, bearer: &str) -> Result<Claims, TokenFault> {
    let (signed, signature) = bearer.rsplit_once('.').ok_or(TokenFault::Malformed)?;
    let claims = claims_of(bearer).ok_or(TokenFault::Malformed)?;
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| TokenFault::Malformed)?;
    if !world.signer().verifies(signed, &signature) {
        return Err(TokenFault::BadSignature);
    }
    if claims.exp <= world.now().unix_timestamp() {
        return Err(TokenFault::Expired {
            exp: claims.exp,
            aud: claims.aud,
        });
    }
    Ok(claims)
}

/// The claims of a token, unverified.
fn claims_of(bearer: &str) -> Option<Claims> {
    let mut parts = bearer.split('.');
    let (_, claims) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Who a request says it is from, for the record: nothing here is verified.
pub(crate) fn caller(incoming: &wire::Incoming) -> Option<String> {
    if let Some(bearer) = incoming.bearer() {
        let claims = claims_of(bearer)?;
        return claims.upn.or(claims.appid);
    }
    let form = incoming
        .header("content-type")?
        .starts_with("application/x-www-form-urlencoded");
    let fields = wire::form_fields(if form { &incoming.body } else { &[] });
    fields
        .into_iter()
        .find(|(name, _)| name == "client_id")
        .map(|(_, value)| value)
}

/// How a client proves itself to the token endpoint.
pub(crate) enum Credential<'a> {
    Secret(&'a str),
    Assertion(&'a str),
}

/// A granted token and what the reply says about it.
pub(crate) struct Granted {
    pub(crate) token: String,
    pub(crate) lifetime: u32,
    pub(crate) issued: i64,
}

/// The token that Spark's `ClientCredsTokenProvider` would get from the v1 endpoint, or the reply
/// it would see instead.
pub fn client_credentials(
    world: &World,
    state: &State,
    tenant: &str,
    client_id: &str,
    client_secret: &str,
    resource: &str,
) -> Result<String, StsFailure> {
    grant(
        world,
        state,
        tenant,
        client_id,
        &Credential::Secret(client_secret),
        resource,
    )
    .map(|granted| granted.token)
}

/// What the v2 endpoint answers to that provider: it always sends the form of version 1, which
/// names no scope.
pub fn client_credentials_without_scope(world: &World, state: &State, tenant: &str) -> StsFailure {
    match sts_error::check_tenant(world, state, tenant) {
        Ok(_) => sts_error::failure(world, sts_error::missing_field("scope")),
        Err(failure) => failure,
    }
}

/// The client-credentials grant, after the form was read (reference, section 1.3).
pub(crate) fn grant(
    world: &World,
    state: &State,
    tenant: &str,
    client_id: &str,
    credential: &Credential<'_>,
    resource: &str,
) -> Result<Granted, StsFailure> {
    let shared = sts_error::check_tenant(world, state, tenant)?;
    let fail = |error| sts_error::failure(world, error);
    let entra = &state.entra;
    let application = entra
        .application(client_id)
        .filter(|app| world.sees(app.arrival.sts))
        .ok_or_else(|| fail(sts_error::unknown_application(state, client_id)))?;
    let principal = entra
        .principal_of(client_id)
        .filter(|sp| world.sees(sp.arrival.sts))
        .ok_or_else(|| fail(sts_error::missing_principal(state, client_id)))?;
    if application.disabled || !principal.enabled {
        return Err(fail(sts_error::disabled(
            client_id,
            &application.display_name,
        )));
    }
    let strength = match credential {
        Credential::Secret(secret) => {
            check_secret(world, application, principal, secret).map_err(fail)?;
            "1"
        }
        Credential::Assertion(jwt) => {
            assertion::check(world, state, application, jwt).map_err(fail)?;
            "2"
        }
    };
    let target = find_resource(state, resource)
        .ok_or_else(|| fail(sts_error::unknown_resource(state, resource)))?;
    let roles = roles(state, &principal.id, &target.id);
    let claims = application_claims(world, state, resource, target, principal, &roles);
    let mut claims = if shared {
        without_identity(claims)
    } else {
        claims
    };
    let strength_claim = if wants_v2(state, target) {
        "azpacr"
    } else {
        "appidacr"
    };
    if let Some(members) = claims.as_object_mut() {
        members.insert(strength_claim.to_owned(), json!(strength));
    }
    let token = world
        .signer()
        .sign(&claims)
        .ok_or_else(|| fail(sts_error::no_randomness()))?;
    let issued = world.now().unix_timestamp();
    Ok(Granted {
        token,
        lifetime: entra.token_lifetime,
        issued,
    })
}

/// A user's access token, as an interactive sign-in would have given: there is no page to sign in
/// at, so tests ask here.
pub fn for_user(world: &World, state: &State, upn: &str, resource: &str) -> Option<String> {
    let user = state.entra.user(upn)?;
    let target = find_resource(state, resource)?;
    let mut claims = common_claims(world, state, resource, wants_v2(state, target));
    let members = claims.as_object_mut()?;
    members.insert("oid".to_owned(), json!(user.id));
    members.insert("sub".to_owned(), json!(user.id));
    members.insert("upn".to_owned(), json!(user.upn));
    members.insert("unique_name".to_owned(), json!(user.upn));
    members.insert("name".to_owned(), json!(user.display_name));
    members.insert("idtyp".to_owned(), json!("user"));
    members.insert("scp".to_owned(), json!("user_impersonation"));
    // The Azure CLI's public client, through which people usually get such a token.
    members.insert(
        "appid".to_owned(),
        json!("04b07795-8ddb-461a-bbee-02f9e1bf7b46"),
    );
    world.signer().sign(&claims)
}

fn check_secret(
    world: &World,
    application: &Application,
    principal: &ServicePrincipal,
    secret: &str,
) -> Result<(), sts_error::StsError> {
    let now = world.now();
    let known: Vec<_> = application
        .passwords
        .iter()
        .chain(&principal.passwords)
        .filter(|password| password.secret.matches(secret) && world.sees(password.sts_from))
        .collect();
    if known
        .iter()
        .any(|password| password.start <= now && now < password.end)
    {
        Ok(())
    } else if known.iter().any(|password| password.end <= now) {
        Err(sts_error::expired_secret(&application.app_id))
    } else {
        Err(sts_error::wrong_secret(&application.app_id))
    }
}

/// The service principal that is this resource; a trailing slash does not matter.
fn find_resource<'a>(state: &'a State, resource: &str) -> Option<&'a ServicePrincipal> {
    let wanted = resource.trim_end_matches('/');
    let wanted = wanted.strip_prefix("spn:").unwrap_or(wanted);
    let entra = &state.entra;
    let live = || {
        entra
            .service_principals
            .iter()
            .filter(|sp| sp.deleted.is_none())
    };
    let named = live().find(|sp| {
        sp.names
            .iter()
            .any(|name| name.trim_end_matches('/').eq_ignore_ascii_case(wanted))
    });
    named.or_else(|| {
        let by_uri = entra.applications.iter().find(|app| {
            app.deleted.is_none()
                && app
                    .identifier_uris
                    .iter()
                    .any(|uri| uri.trim_end_matches('/').eq_ignore_ascii_case(wanted))
        })?;
        entra.principal_of(&by_uri.app_id)
    })
}

fn roles(state: &State, principal: &str, resource: &str) -> Vec<String> {
    let Some(target) = state.entra.principal(resource) else {
        return Vec::new();
    };
    state
        .entra
        .app_role_assignments
        .iter()
        .filter(|grant| grant.principal_id == principal && grant.resource_id == resource)
        .filter_map(|grant| {
            target
                .app_roles
                .iter()
                .find(|role| role.id == grant.app_role_id)
        })
        .map(|role| role.value.clone())
        .collect()
}

/// Whether the resource chose v2.0 tokens; Microsoft's own resources here all take v1.0.
fn wants_v2(state: &State, target: &ServicePrincipal) -> bool {
    state.entra.application(&target.app_id).and_then(|app| {
        app.properties
            .get("api")?
            .get("requestedAccessTokenVersion")?
            .as_i64()
    }) == Some(2)
}

fn common_claims(world: &World, state: &State, resource: &str, v2: bool) -> Value {
    let entra = &state.entra;
    let tenant = &entra.tenant_id;
    let now = world.now().unix_timestamp();
    let issuer = if v2 {
        format!("https://login.microsoftonline.com/{tenant}/v2.0")
    } else {
        format!("https://sts.windows.net/{tenant}/")
    };
    json!({
        "aud": resource,
        "iss": issuer,
        "iat": now - 300,
        "nbf": now - 300,
        "exp": now + i64::from(entra.token_lifetime),
        "aio": world.hex(24),
        "idp": format!("https://sts.windows.net/{tenant}/"),
        "tid": tenant,
        "uti": world.hex(22),
        "rh": "1.",
        "ver": if v2 { "2.0" } else { "1.0" },
    })
}

fn application_claims(
    world: &World,
    state: &State,
    resource: &str,
    target: &ServicePrincipal,
    principal: &ServicePrincipal,
    roles: &[String],
) -> Value {
    let v2 = wants_v2(state, target);
    // A v2.0 token names its audience by client id, however it was asked for.
    let audience = if v2 { &target.app_id } else { resource };
    let mut claims = common_claims(world, state, audience, v2);
    if let Some(members) = claims.as_object_mut() {
        members.insert(
            if v2 { "azp" } else { "appid" }.to_owned(),
            json!(principal.app_id),
        );
        members.insert("idtyp".to_owned(), json!("app"));
        members.insert("oid".to_owned(), json!(principal.id));
        members.insert("sub".to_owned(), json!(principal.id));
        if !roles.is_empty() {
            members.insert("roles".to_owned(), json!(roles));
        }
    }
    claims
}

/// A token from `common` or `organizations` names no service principal.
fn without_identity(mut claims: Value) -> Value {
    if let Some(members) = claims.as_object_mut() {
        members.remove("oid");
        members.remove("sub");
    }
    claims
}
