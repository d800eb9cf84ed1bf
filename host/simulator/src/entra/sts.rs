//! The token endpoints, version 1 and 2 (reference, sections 1.1 and 1.2).

use axum::http::Method;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    discovery,
    sts_error::{self, StsError, StsFailure},
    tokens::{self, Credential, Granted},
};
use crate::{
    World,
    wire::{self, Incoming, Reply},
};

/// The one type of client assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Answers a request to the authority host.
pub(crate) fn handle(world: &World, incoming: &Incoming) -> Reply {
    let segments = incoming.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let reply = match (&incoming.method, segments.as_slice()) {
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => {
            token(world, incoming, tenant, true)
        }
        (&Method::POST, [tenant, "oauth2", "token"]) => token(world, incoming, tenant, false),
        (&Method::GET, _) => discovery::handle(world, incoming, &segments),
        _ => Reply::empty(404),
    };
    headed(incoming, reply)
}

/// A refusal with this status that has no cause in the request.
pub(crate) fn failing(world: &World, status: u16) -> Reply {
    refused(&sts_error::failure(world, sts_error::failing(status)))
}

/// The reply with the headers of every reply.
pub(crate) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    let reply = reply
        .with("cache-control", "no-store, no-cache")
        .with("pragma", "no-cache")
        .with("x-ms-request-id", incoming.request_id.clone())
        .with("x-ms-ests-server", "2.1.0 - lockkeeper simulator");
    match incoming.header("client-request-id") {
        Some(id) => reply.with("client-request-id", id.to_owned()),
        None => reply,
    }
}

pub(crate) fn refused(failure: &StsFailure) -> Reply {
    Reply::json(failure.status, &failure.body)
}

fn token(world: &World, incoming: &Incoming, tenant: &str, v2: bool) -> Reply {
    let granted = world.read(|state| {
        sts_error::check_tenant(world, state, tenant)?;
        let form = Form::read(incoming, v2).map_err(|error| sts_error::failure(world, error))?;
        let granted = tokens::grant(
            world,
            state,
            tenant,
            &form.client_id,
            &form.credential(),
            &form.resource,
        )?;
        Ok((granted, form.resource))
    });
    match granted {
        Ok((granted, resource)) => Reply::json(200, &success(&granted, &resource, v2)),
        Err(failure) => refused(&failure),
    }
}

/// The two versions differ in types: numbers in v2, strings in v1.
fn success(granted: &Granted, resource: &str, v2: bool) -> Value {
    let Granted {
        token,
        lifetime,
        issued,
    } = granted;
    if v2 {
        return json!({
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        });
    }
    json!({
        "token_type": "Bearer",
        "expires_in": lifetime.to_string(),
        "ext_expires_in": lifetime.to_string(),
        "expires_on": (issued + i64::from(*lifetime)).to_string(),
        "not_before": (issued - 300).to_string(),
        "resource": resource,
        "access_token": token,
    })
}

struct Form {
    client_id: String,
    secret: Option<String>,
    assertion: Option<String>,
    resource: String,
}

impl Form {
    fn read(incoming: &Incoming, v2: bool) -> Result<Self, StsError> {
        let encoded = incoming
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let fields = if encoded {
            wire::form_fields(&incoming.body)
        } else {
            Vec::new()
        };
        let field = |name: &str| {
            fields
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.clone())
        };
        let grant = field("grant_type").ok_or_else(|| sts_error::missing_field("grant_type"))?;
        if grant != "client_credentials" {
            return Err(sts_error::unsupported_grant(&grant));
        }
        let (basic_id, basic_secret) = basic(incoming).unzip();
        let client_id = field("client_id")
            .or(basic_id)
            .ok_or_else(|| sts_error::missing_field("client_id"))?;
        let resource = if v2 {
            let scope = field("scope").ok_or_else(|| sts_error::missing_field("scope"))?;
            resource_of(&scope)?
        } else {
            field("resource").ok_or_else(|| sts_error::missing_field("resource"))?
        };
        let assertion = field("client_assertion");
        let kind = field("client_assertion_type");
        if assertion.is_some() && kind.is_none() {
            return Err(sts_error::missing_field("client_assertion_type"));
        }
        let form = Self {
            client_id,
            secret: field("client_secret").or(basic_secret),
            // Of another type it is no assertion at all.
            assertion: assertion.filter(|_| kind.as_deref() == Some(ASSERTION_TYPE)),
            resource,
        };
        if form.secret.is_none() && form.assertion.is_none() {
            return Err(sts_error::no_credential());
        }
        Ok(form)
    }

    fn credential(&self) -> Credential<'_> {
        match (&self.assertion, &self.secret) {
            (Some(assertion), _) => Credential::Assertion(assertion),
            (None, secret) => Credential::Secret(secret.as_deref().unwrap_or_default()),
        }
    }
}

/// Client id and secret from HTTP Basic, form-encoded within (RFC 6749, section 2.3.1).
fn basic(incoming: &Incoming) -> Option<(String, String)> {
    let (scheme, encoded) = incoming.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((wire::form_decode(id), wire::form_decode(secret)))
}

/// The one resource that a scope names.
fn resource_of(scope: &str) -> Result<String, StsError> {
    let mut scopes = scope
        .split_whitespace()
        .filter(|scope| !matches!(*scope, "openid" | "profile" | "offline_access"));
    let (Some(one), None) = (scopes.next(), scopes.next()) else {
        return Err(sts_error::bad_scope(scope));
    };
    match one.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource.to_owned()),
        Some(_) => Err(sts_error::bad_scope(scope)),
        None => Err(sts_error::scope_without_default(scope)),
    }
}
