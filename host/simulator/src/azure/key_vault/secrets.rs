//! The data plane's operations on secrets (reference, section 4.2).

use axum::http::Method;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    bundle,
    model::{Secret, SecretVersion, Vault},
    permission::{self, Reader, VaultRefusal, Verb},
    refusals::{bad, being_deleted, being_recovered, conflict, gone, not_found, unsealed},
    token, vault_named,
};
use crate::{
    Sealed, State, World, azure,
    wire::{Incoming, Reply},
};

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 25 * 1024;
/// The most tags on a version, and the longest name or value of one.
const MOST_TAGS: usize = 15;
const LONGEST_TAG: usize = 512;
/// The largest page of a list.
const PAGE: usize = 25;

pub(super) type Answer = Result<Reply, VaultRefusal>;

pub(super) fn handle(world: &World, incoming: &Incoming, vault: &str) -> Reply {
    let reply = if incoming.method == Method::GET {
        world.read(|state| {
            within(world, incoming, vault, state).map_or_else(
                |reply| reply,
                |request| finished(state, request.read(state)),
            )
        })
    } else {
        world.write(|state| match within(world, incoming, vault, state) {
            Ok(request) => {
                let answer = request.change(state);
                finished(state, answer)
            }
            Err(reply) => reply,
        })
    };
    if reply.status == 0 {
        reply
    } else {
        headed(incoming, reply)
    }
}

/// The reply with the headers of every reply.
pub(super) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    let reply = reply
        .with("x-ms-request-id", incoming.request_id.clone())
        .with("x-ms-keyvault-region", crate::seed::LOCATION)
        .with("x-ms-keyvault-service-version", "1.9.0.0")
        .with(
            "x-ms-keyvault-network-info",
            "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
        );
    match incoming.header("x-ms-client-request-id") {
        Some(id) => reply.with("x-ms-client-request-id", id.to_owned()),
        None => reply,
    }
}

/// The request within its vault, or the reply to one that does not get so far.
fn within<'a>(
    world: &'a World,
    incoming: &'a Incoming,
    vault: &str,
    state: &State,
) -> Result<Request<'a>, Reply> {
    let known = vault_named(state, vault).filter(|vault| world.sees(vault.ready_at));
    let known = known.ok_or_else(Reply::none)?;
    let reader =
        token::reader(world, state, incoming).map_err(|refusal| finished(state, Err(refusal)))?;
    check_version(incoming).map_err(|refusal| finished(state, Err(refusal)))?;
    let segments = incoming.segments();
    Ok(Request {
        world,
        incoming,
        reader,
        vault: known.id.clone(),
        segments,
    })
}

/// Any well-formed version is taken: `2025-07-01`, `2025-06-01-preview`, `7.4`.
fn check_version(incoming: &Incoming) -> Result<(), VaultRefusal> {
    let version = incoming
        .query("api-version")
        .ok_or_else(|| bad("api-version must be specified".to_owned()))?;
    let is_numbered = version
        .strip_prefix("7.")
        .is_some_and(|minor| minor.len() == 1 && minor.bytes().all(|b| b.is_ascii_digit()));
    let date = version.strip_suffix("-preview").unwrap_or(&version);
    if is_numbered || azure::is_date(date) {
        Ok(())
    } else {
        Err(bad(format!("api-version '{version}' is invalid")))
    }
}

pub(super) fn finished(state: &State, answer: Answer) -> Reply {
    answer.unwrap_or_else(|refusal| {
        let reply = Reply::json(refusal.status, &refusal.body());
        if refusal.status == 401 {
            reply.with("www-authenticate", token::challenge(state))
        } else {
            reply
        }
    })
}

/// Refuses a name that no secret can have.
pub(super) fn check_name(name: &str) -> Result<(), VaultRefusal> {
    let fits = (1..=127).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        Ok(())
    } else {
        Err(bad(format!(
            "The request URI contains an invalid name: {name}"
        )))
    }
}

/// A version that may be read: the newest when none is named.
pub(super) fn readable_version<'a>(
    vault: &'a Vault,
    name: &str,
    version: Option<&str>,
) -> Result<&'a SecretVersion, VaultRefusal> {
    let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
    let found = match version {
        None => secret.versions.last(),
        Some(id) => secret
            .versions
            .iter()
            .find(|version| version.id.eq_ignore_ascii_case(id)),
    };
    let found = found.ok_or_else(|| not_found(&named(name, version)))?;
    if !found.enabled {
        return Err(VaultRefusal::new(
            403,
            "Forbidden",
            "Operation get is not allowed on a disabled secret.".to_owned(),
        )
        .inner("SecretDisabled"));
    }
    Ok(found)
}

fn named(name: &str, version: Option<&str>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"))
}

pub(super) struct Request<'a> {
    pub(super) world: &'a World,
    incoming: &'a Incoming,
    reader: Reader,
    /// The vault's resource id.
    vault: String,
    /// The path.
    segments: Vec<String>,
}

impl Request<'_> {
    fn read(&self, state: &State) -> Answer {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["secrets"] => self.list(state),
            ["secrets", name] => self.get(state, name, None),
            ["secrets", name, "versions"] => self.versions(state, name),
            ["secrets", name, version] => self.get(state, name, Some(version)),
            ["deletedsecrets"] => self.list_deleted(state),
            ["deletedsecrets", name] => self.get_deleted(state, name),
            _ => Err(self.no_such_operation()),
        }
    }

    fn change(&self, state: &mut State) -> Answer {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        match (self.incoming.method.as_str(), segments.as_slice()) {
            ("POST", ["secrets", "restore"]) => self.restore(state),
            ("POST", ["secrets", name, "backup"]) => self.backup(state, name),
            ("PUT", ["secrets", name]) => self.set(state, name),
            ("PATCH", ["secrets", name]) => self.update(state, name, None),
            ("PATCH", ["secrets", name, version]) => self.update(state, name, Some(version)),
            ("DELETE", ["secrets", name]) => self.delete(state, name),
            ("POST", ["deletedsecrets", name, "recover"]) => self.recover(state, name),
            ("DELETE", ["deletedsecrets", name]) => self.purge(state, name),
            _ => Err(self.no_such_operation()),
        }
    }

    fn no_such_operation(&self) -> VaultRefusal {
        match self.segments.first().map(String::as_str) {
            Some("secrets" | "deletedsecrets") => {
                let message = format!("Method {} is not allowed here.", self.incoming.method);
                VaultRefusal::new(405, "MethodNotAllowed", message)
            }
            _ => VaultRefusal::new(404, "NotFound", "There is no such resource.".to_owned()),
        }
    }

    pub(super) fn check(
        &self,
        state: &State,
        verb: Verb,
        name: Option<&str>,
    ) -> Result<(), VaultRefusal> {
        if let Some(name) = name {
            check_name(name)?;
        }
        permission::check(
            self.world,
            state,
            self.vault(state)?,
            &self.reader,
            verb,
            name,
        )
    }

    pub(super) fn vault<'s>(&self, state: &'s State) -> Result<&'s Vault, VaultRefusal> {
        super::vault_by(state, &self.vault).ok_or_else(gone)
    }

    pub(super) fn vault_mut<'s>(
        &self,
        state: &'s mut State,
    ) -> Result<&'s mut Vault, VaultRefusal> {
        let mut vaults = state.azure.vaults.iter_mut();
        vaults
            .find(|vault| vault.deleted.is_none() && vault.id == self.vault)
            .ok_or_else(gone)
    }

    fn body(&self) -> Result<Value, VaultRefusal> {
        self.incoming
            .json()
            .ok_or_else(|| bad("The request body is not a JSON object.".to_owned()))
    }

    pub(super) fn page(&self, items: Vec<Value>) -> Reply {
        let size = self
            .incoming
            .query("maxresults")
            .and_then(|text| text.parse().ok());
        let size = size.unwrap_or(PAGE).clamp(1, PAGE);
        let skip: usize = self
            .incoming
            .query("$skiptoken")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let more = items.len() > skip + size;
        let next = more.then(|| {
            format!(
                "{}{}?api-version={}&maxresults={size}&$skiptoken={}",
                self.incoming.origin(),
                self.incoming.path,
                self.incoming.query("api-version").unwrap_or_default(),
                skip + size,
            )
        });
        let items: Vec<Value> = items.into_iter().skip(skip).take(size).collect();
        Reply::json(200, &json!({"value": items, "nextLink": next}))
    }

    fn list(&self, state: &State) -> Answer {
        self.check(state, Verb::List, None)?;
        let vault = self.vault(state)?;
        let live = vault
            .secrets
            .iter()
            .filter(|secret| secret.deleted.is_none());
        Ok(self.page(
            live.filter_map(|secret| bundle::listed(vault, secret))
                .collect(),
        ))
    }

    fn versions(&self, state: &State, name: &str) -> Answer {
        self.check(state, Verb::List, Some(name))?;
        let vault = self.vault(state)?;
        let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
        let items = secret
            .versions
            .iter()
            .map(|version| bundle::version(vault, secret, version));
        Ok(self.page(items.collect()))
    }

    fn get(&self, state: &State, name: &str, version: Option<&str>) -> Answer {
        self.check(state, Verb::Get, Some(name))?;
        let vault = self.vault(state)?;
        let version = readable_version(vault, name, version)?;
        let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
        bundle::whole(self.world, vault, secret, version)
            .map(|bundle| Reply::json(200, &bundle))
            .ok_or_else(unsealed)
    }

    fn set(&self, state: &mut State, name: &str) -> Answer {
        self.check(state, Verb::Set, Some(name))?;
        let body = self.body()?;
        let value = body
            .get("value")
            .and_then(Value::as_str)
            .ok_or_else(|| bad("The parameter value is missing.".to_owned()))?;
        if value.len() > LONGEST_VALUE {
            return Err(bad(format!(
                "Secret value is larger than {LONGEST_VALUE} bytes."
            )));
        }
        let now = self.world.now().unix_timestamp();
        let mut version = SecretVersion {
            id: self.world.hex(32),
            value: Sealed::new(self.world, value).map_err(|_| unsealed())?,
            content_type: None,
            tags: Map::new(),
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
        };
        describe(&mut version, &body)?;
        let settled = self.world.now();
        let vault = self.vault_mut(state)?;
        let known = vault
            .secrets
            .iter_mut()
            .find(|secret| secret.name.eq_ignore_ascii_case(name));
        match known {
            None => vault.secrets.push(Secret {
                name: name.to_owned(),
                versions: vec![version],
                deleted: None,
                settled,
            }),
            Some(secret) if secret.deleted.is_some() => {
                return Err(if self.world.sees(secret.settled) {
                    conflict(
                        "ObjectIsDeletedButRecoverable",
                        format!(
                            "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged."
                        ),
                    )
                } else {
                    being_deleted(name)
                });
            }
            Some(secret) if !self.world.sees(secret.settled) => {
                return Err(being_recovered(name));
            }
            Some(secret) => secret.versions.push(version),
        }
        self.printed(state, name, None)
    }

    /// The version as it now is, with its value.
    fn printed(&self, state: &State, name: &str, version: Option<&str>) -> Answer {
        let vault = self.vault(state)?;
        let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
        let version = match version {
            None => secret.versions.last(),
            Some(id) => secret
                .versions
                .iter()
                .find(|version| version.id.eq_ignore_ascii_case(id)),
        };
        let version = version.ok_or_else(|| not_found(name))?;
        bundle::whole(self.world, vault, secret, version)
            .map(|bundle| Reply::json(200, &bundle))
            .ok_or_else(unsealed)
    }

    fn update(&self, state: &mut State, name: &str, version: Option<&str>) -> Answer {
        self.check(state, Verb::Update, Some(name))?;
        let body = self.body()?;
        let now = self.world.now().unix_timestamp();
        let vault = self.vault_mut(state)?;
        let secret = vault
            .secrets
            .iter_mut()
            .find(|secret| secret.deleted.is_none() && secret.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| not_found(name))?;
        let found = match version {
            None => secret.versions.last_mut(),
            Some(id) => secret
                .versions
                .iter_mut()
                .find(|version| version.id.eq_ignore_ascii_case(id)),
        };
        let found = found.ok_or_else(|| not_found(&named(name, version)))?;
        let mut changed = found.clone();
        describe(&mut changed, &body)?;
        changed.updated = now;
        let id = changed.id.clone();
        *found = changed;
        let vault = self.vault(state)?;
        let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
        let found = secret.versions.iter().find(|version| version.id == id);
        let found = found.ok_or_else(|| not_found(name))?;
        Ok(Reply::json(200, &bundle::version(vault, secret, found)))
    }

    /// A backup is the secret as it lies in the state, sealed once more, so that it opens in this
    /// simulator only.
    fn backup(&self, state: &State, name: &str) -> Answer {
        self.check(state, Verb::Backup, Some(name))?;
        let secret = self
            .vault(state)?
            .secret(name)
            .ok_or_else(|| not_found(name))?;
        let text = serde_json::to_string(secret).map_err(|_| unsealed())?;
        let sealed = Sealed::new(self.world, &text).map_err(|_| unsealed())?;
        let blob = serde_json::to_vec(&sealed).map_err(|_| unsealed())?;
        Ok(Reply::json(
            200,
            &json!({"value": BASE64_URL_SAFE_NO_PAD.encode(blob)}),
        ))
    }

    fn restore(&self, state: &mut State) -> Answer {
        self.check(state, Verb::Restore, None)?;
        let body = self.body()?;
        let invalid = || bad("The backup blob is not valid.".to_owned());
        let blob = body
            .get("value")
            .and_then(Value::as_str)
            .ok_or_else(invalid)?;
        let blob = BASE64_URL_SAFE_NO_PAD.decode(blob).map_err(|_| invalid())?;
        let sealed: Sealed = serde_json::from_slice(&blob).map_err(|_| invalid())?;
        let text = sealed.open(self.world).map_err(|_| invalid())?;
        let secret: Secret = serde_json::from_str(&text).map_err(|_| invalid())?;
        let name = secret.name.clone();
        let vault = self.vault_mut(state)?;
        if vault
            .secrets
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(&name))
        {
            let message = format!("Secret {name} already exists in this vault.");
            return Err(VaultRefusal::new(409, "Conflict", message));
        }
        vault.secrets.push(secret);
        let vault = self.vault(state)?;
        let secret = vault.secret(&name).ok_or_else(|| not_found(&name))?;
        let newest = secret.versions.last().ok_or_else(|| not_found(&name))?;
        Ok(Reply::json(200, &bundle::version(vault, secret, newest)))
    }
}

/// Takes content type, tags and attributes from a body; what it leaves out stays.
fn describe(version: &mut SecretVersion, body: &Value) -> Result<(), VaultRefusal> {
    if let Some(kind) = body.get("contentType").and_then(Value::as_str) {
        version.content_type = Some(kind.to_owned());
    }
    if let Some(tags) = body.get("tags").and_then(Value::as_object) {
        let fits = tags.len() <= MOST_TAGS
            && tags.iter().all(|(name, value)| {
                name.len() <= LONGEST_TAG
                    && value
                        .as_str()
                        .is_some_and(|value| value.len() <= LONGEST_TAG)
            });
        if !fits {
            return Err(bad(format!(
                "A secret has at most {MOST_TAGS} tags, text of up to {LONGEST_TAG} characters."
            )));
        }
        version.tags.clone_from(tags);
    }
    let Some(attributes) = body.get("attributes") else {
        return Ok(());
    };
    if let Some(enabled) = attributes.get("enabled").and_then(Value::as_bool) {
        version.enabled = enabled;
    }
    for (name, slot) in [
        ("nbf", &mut version.not_before),
        ("exp", &mut version.expires),
    ] {
        match attributes.get(name) {
            None | Some(Value::Null) => {}
            Some(time) => {
                let time = time.as_i64();
                *slot = Some(time.ok_or_else(|| bad(format!("Invalid attribute {name}.")))?);
            }
        }
    }
    match (version.not_before, version.expires) {
        (Some(from), Some(until)) if until <= from => {
            Err(bad("The attribute exp must be later than nbf.".to_owned()))
        }
        _ => Ok(()),
    }
}
