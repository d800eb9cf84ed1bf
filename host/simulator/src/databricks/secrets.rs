//! Secret scopes and the secrets in them (reference/databricks.md, section 10).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::caller::Caller;
use super::directory::USERS;
use super::errors::Refusal;
use super::key_vault_scopes::{self, KeyVault};
use super::request::{Answer, Request, done, millis, ok};
use super::secret_acls::{self, Permission, require};
use crate::{Sealed, World};

/// Bytes in one secret.
const LARGEST: usize = 128 * 1024;
/// Scopes in a workspace, and secrets in a scope.
const MOST: usize = 1000;

/// A scope: where its secrets are, and who may do what with them.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Scope {
    pub(super) backend: Backend,
    /// By bare name: email address, application id or group.
    pub(super) acls: BTreeMap<String, Permission>,
}

/// Where a scope's secrets are.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) enum Backend {
    /// In the workspace, by key.
    Databricks(BTreeMap<String, Secret>),
    /// In a vault, read as the application AzureDatabricks.
    KeyVault(KeyVault),
}

/// A secret kept in the workspace.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Secret {
    /// The bytes in base64, sealed.
    value: Sealed,
    #[serde(with = "time::serde::rfc3339")]
    updated: OffsetDateTime,
}

/// A scope by name.
pub(super) fn scope<'a>(state: &'a crate::State, name: &str) -> Result<&'a Scope, Refusal> {
    state
        .databricks
        .scopes
        .get(name)
        .ok_or_else(|| Refusal::missing(format!("Scope {name} does not exist")))
}

/// A secret's value as base64, read for a principal that needs READ on the scope.
pub(super) fn resolve(
    world: &World,
    state: &crate::State,
    reader: (u64, &str),
    name: &str,
    key: &str,
) -> Result<Zeroizing<String>, Refusal> {
    let scope = scope(state, name)?;
    require(&state.databricks, reader, name, scope, Permission::Read)?;
    let missing = || {
        Refusal::missing(format!(
            "Secret does not exist with scope: {name} and key: {key}"
        ))
    };
    match &scope.backend {
        Backend::Databricks(secrets) => secrets
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key))
            .ok_or_else(missing)?
            .1
            .value
            .open(world)
            .map_err(|_| unreadable()),
        Backend::KeyVault(vault) => {
            let value = key_vault_scopes::read(world, state, vault, key, missing)?;
            Ok(Zeroizing::new(BASE64_STANDARD.encode(value.as_bytes())))
        }
    }
}

/// Like [`resolve`], decoded to text.
pub(super) fn resolve_text(
    world: &World,
    state: &crate::State,
    reader: (u64, &str),
    name: &str,
    key: &str,
) -> Result<Zeroizing<String>, Refusal> {
    let encoded = resolve(world, state, reader, name, key)?;
    let bytes = Zeroizing::new(
        BASE64_STANDARD
            .decode(encoded.as_bytes())
            .map_err(|_| unreadable())?,
    );
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

fn unreadable() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "The secret cannot be opened.",
    )
}

fn is_name(text: &str, others: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

#[derive(Deserialize)]
struct CreateScope {
    scope: String,
    scope_backend_type: Option<String>,
    backend_azure_keyvault: Option<KeyVault>,
    initial_manage_principal: Option<String>,
}

/// `POST /api/2.0/secrets/scopes/create`
pub(super) fn create_scope(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: CreateScope = request.json()?;
    if !is_name(&body.scope, "-_@./") {
        return Err(Refusal::invalid(format!(
            "Scope name '{}' is invalid: use 1 to 128 letters, digits, dashes, underscores, at signs, slashes and periods.",
            body.scope
        )));
    }
    let manager = match body
        .initial_manage_principal
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        None => caller.name.clone(),
        Some(USERS) => USERS.to_owned(),
        Some(other) => {
            return Err(Refusal::invalid(format!(
                "initial_manage_principal can only be 'users', not '{other}'."
            )));
        }
    };
    let vault =
        match body.scope_backend_type.as_deref() {
            Some("AZURE_KEYVAULT") => Some(body.backend_azure_keyvault.ok_or_else(|| {
                Refusal::invalid("Missing required field: backend_azure_keyvault")
            })?),
            None | Some("DATABRICKS" | "") => None,
            Some(other) => {
                return Err(Refusal::invalid(format!(
                    "Unknown scope backend type: {other}"
                )));
            }
        };
    if vault.is_some() && caller.entra.is_none() {
        return Err(key_vault_scopes::needs_entra_token());
    }
    if state.databricks.scopes.contains_key(&body.scope) {
        return Err(Refusal::taken(format!(
            "Scope {} already exists",
            body.scope
        )));
    }
    if state.databricks.scopes.len() >= MOST {
        return Err(limit(format!("The workspace has {MOST} scopes already.")));
    }
    let backend = match vault {
        Some(vault) => {
            key_vault_scopes::connect(&request.world, state, caller, &vault)?;
            Backend::KeyVault(vault)
        }
        None => Backend::Databricks(BTreeMap::new()),
    };
    let acls = BTreeMap::from([(manager, Permission::Manage)]);
    state
        .databricks
        .scopes
        .insert(body.scope, Scope { backend, acls });
    done()
}

fn limit(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "RESOURCE_LIMIT_EXCEEDED", message)
}

/// `GET /api/2.0/secrets/scopes/list`
pub(super) fn list_scopes(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let scopes: Vec<Value> = state
        .scopes
        .iter()
        .filter(|(_, scope)| secret_acls::held(state, caller.id, scope).is_some())
        .map(|(name, scope)| match &scope.backend {
            Backend::Databricks(_) => json!({ "name": name, "backend_type": "DATABRICKS" }),
            Backend::KeyVault(vault) => json!({
                "name": name,
                "backend_type": "AZURE_KEYVAULT",
                "keyvault_metadata": { "resource_id": vault.resource_id, "dns_name": vault.dns_name },
            }),
        })
        .collect();
    ok(json!({ "scopes": scopes }))
}

#[derive(Deserialize)]
struct Named {
    scope: String,
    #[serde(default)]
    key: String,
    string_value: Option<String>,
    bytes_value: Option<String>,
}

/// The scope a body names, if the caller has this permission on it.
fn permitted<'a>(
    state: &'a crate::State,
    caller: &Caller,
    name: &str,
    permission: Permission,
) -> Result<&'a Scope, Refusal> {
    let scope = scope(state, name)?;
    require(
        &state.databricks,
        (caller.id, &caller.name),
        name,
        scope,
        permission,
    )?;
    Ok(scope)
}

/// `POST /api/2.0/secrets/scopes/delete`: a vault's contents stay.
pub(super) fn delete_scope(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Named = request.json()?;
    permitted(state, caller, &body.scope, Permission::Manage)?;
    state.databricks.scopes.remove(&body.scope);
    done()
}

/// `POST /api/2.0/secrets/put`: makes or replaces a secret.
pub(super) fn put(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Named = request.json()?;
    let scope = permitted(state, caller, &body.scope, Permission::Write)?;
    let Backend::Databricks(secrets) = &scope.backend else {
        return Err(key_vault_scopes::read_only(&body.scope));
    };
    if !is_name(&body.key, "-_.") {
        return Err(Refusal::invalid(format!(
            "Secret key '{}' is invalid: use 1 to 128 letters, digits, dashes, underscores and periods.",
            body.key
        )));
    }
    let encoded = Zeroizing::new(match (body.string_value, body.bytes_value) {
        (Some(text), None) => BASE64_STANDARD.encode(Zeroizing::new(text).as_bytes()),
        (None, Some(bytes)) => bytes,
        _ => {
            return Err(Refusal::malformed(
                "Exactly one of string_value and bytes_value must be given.",
            ));
        }
    });
    let size = BASE64_STANDARD
        .decode(encoded.as_bytes())
        .map_err(|_| Refusal::malformed("bytes_value is not valid base64."))?
        .len();
    if size > LARGEST {
        return Err(limit(format!("A secret has at most {LARGEST} bytes.")));
    }
    let known = secrets
        .keys()
        .find(|known| known.eq_ignore_ascii_case(&body.key))
        .cloned();
    if known.is_none() && secrets.len() >= MOST {
        return Err(limit(format!("The scope has {MOST} secrets already.")));
    }
    let value = Sealed::new(&request.world, &encoded).map_err(|_| unreadable())?;
    let secret = Secret {
        value,
        updated: request.now(),
    };
    if let Some(Scope {
        backend: Backend::Databricks(secrets),
        ..
    }) = state.databricks.scopes.get_mut(&body.scope)
    {
        secrets.insert(known.unwrap_or(body.key), secret);
    }
    done()
}

/// `POST /api/2.0/secrets/delete`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let body: Named = request.json()?;
    permitted(state, caller, &body.scope, Permission::Write)?;
    match state
        .databricks
        .scopes
        .get_mut(&body.scope)
        .map(|scope| &mut scope.backend)
    {
        Some(Backend::Databricks(secrets)) => {
            let before = secrets.len();
            secrets.retain(|known, _| !known.eq_ignore_ascii_case(&body.key));
            if secrets.len() == before {
                return Err(Refusal::missing(format!(
                    "Secret does not exist with scope: {} and key: {}",
                    body.scope, body.key
                )));
            }
            done()
        }
        _ => Err(key_vault_scopes::read_only(&body.scope)),
    }
}

/// `GET /api/2.0/secrets/list?scope=`
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let name = request.required_query("scope")?;
    let scope = permitted(state, caller, name, Permission::Read)?;
    let secrets: Vec<Value> = match &scope.backend {
        Backend::Databricks(secrets) => secrets
            .iter()
            .map(|(key, secret)| {
                json!({ "key": key, "last_updated_timestamp": millis(secret.updated) })
            })
            .collect(),
        Backend::KeyVault(vault) => key_vault_scopes::list(&request.world, state, vault)?,
    };
    ok(json!({ "secrets": secrets }))
}

/// `GET /api/2.0/secrets/get?scope=&key=`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let (name, key) = (
        request.required_query("scope")?,
        request.required_query("key")?,
    );
    let value = resolve(&request.world, state, (caller.id, &caller.name), name, key)?;
    ok(json!({ "key": key, "value": value.as_str() }))
}
