//! Secrets in a Key Vault (reference/entra-azure.md, 4). State: the [`SecretProperties`] of the
//! newest version.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use lockkeeper_cloud::{Body, Failure, Method, Request, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Call;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, times, wire};
use crate::secrets::SecretRef;

const API_VERSION: &str = "2025-07-01";

/// The tag that tells which call set a version; no part of what plugins see.
const CALL_TAG: &str = "lockkeeper_call";

/// What can be read of a secret without its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SecretProperties {
    name: String,
    version: String,
    enabled: bool,
    expires: Option<String>,
    tags: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    attributes: Attributes,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Attributes {
    enabled: Option<bool>,
    exp: Option<i64>,
    created: Option<i64>,
}

impl Wire {
    /// Whether the call with this mark set it.
    fn is_of_call(&self, mark: &str) -> bool {
        let tags = self.tags.as_ref();
        tags.and_then(|tags| tags.get(CALL_TAG))
            .is_some_and(|tag| *tag == wire::token(mark))
    }

    fn of(self, name: &str) -> SecretProperties {
        let tags = self.tags.unwrap_or_default().into_iter();
        SecretProperties {
            name: name.to_owned(),
            version: self.id.rsplit('/').next().unwrap_or_default().to_owned(),
            enabled: self.attributes.enabled.unwrap_or(true),
            expires: self.attributes.exp.and_then(times::from_unix),
            tags: tags.filter(|(name, _)| name != CALL_TAG).collect(),
        }
    }
}

fn request(
    operation: &'static str,
    method: Method,
    template: &'static str,
    vault_url: &str,
    name: &str,
) -> Result<Request, Failure> {
    let service = Service::KeyVault {
        vault_url: vault_url.trim_end_matches('/').to_owned(),
    };
    Ok(
        wire::request(operation, service, method, template, &[name])?
            .query("api-version", API_VERSION),
    )
}

/// The versions of a secret. Their listing is read instead of the secret, which would send the
/// value.
async fn versions(
    context: &Context<'_>,
    operation: &'static str,
    vault_url: &str,
    name: &str,
) -> Result<Vec<Wire>, Failure> {
    let first = request(
        operation,
        Method::Get,
        "/secrets/{}/versions",
        vault_url,
        name,
    )?;
    let versions = wire::pages::<Wire>(context.cloud, first, "nextLink").await;
    Ok(wire::if_there(versions)?.unwrap_or_default())
}

/// The newest version.
async fn newest(
    context: &Context<'_>,
    operation: &'static str,
    vault_url: &str,
    name: &str,
) -> Result<Option<SecretProperties>, Failure> {
    let newest = versions(context, operation, vault_url, name)
        .await?
        .into_iter()
        .max_by_key(|version| version.attributes.created);
    Ok(newest.map(|version| version.of(name)))
}

fn has_detail(failure: &Failure, code: &str) -> bool {
    failure.code == code || failure.detail_codes.iter().any(|detail| detail == code)
}

/// Brings back a deleted secret, whose name cannot be used otherwise, and waits until it is there
/// (reference/entra-azure.md, 4.2).
async fn recover(context: &Context<'_>, vault_url: &str, name: &str) -> Result<(), Failure> {
    const TRIES: u32 = 30;
    let template = "/deletedsecrets/{}/recover";
    let request = request(Set::NAME, Method::Post, template, vault_url, name)?.idempotent(true);
    context.cloud.send(&request).await?;
    for _ in 0..TRIES {
        if newest(context, Set::NAME, vault_url, name).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The set that follows says what the vault thinks of it.
    Ok(())
}

fn object(vault_url: &str, name: &str) -> Object {
    let vault = vault_url.trim_end_matches('/').to_lowercase();
    Object::new(
        "key vault secret",
        format!("{vault}/secrets/{}", name.to_lowercase()),
    )
    .named(name)
}

/// The newest version of a secret, if there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    vault_url: String,
    name: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "azure/key-vault-secrets.find";
    type State = SecretProperties;

    fn about(&self) -> Object {
        object(&self.vault_url, &self.name)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        newest(context, Self::NAME, &self.vault_url, &self.name).await
    }
}

/// Sets a secret: a new version. One that was deleted lately is recovered first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    vault_url: String,
    name: String,
    value: SecretRef,
    expires: Option<String>,
    tags: Vec<(String, String)>,
}

#[async_trait]
impl Write for Set {
    const NAME: &'static str = "azure/key-vault-secrets.set";
    const CLASS: Class = Class::Create;
    type Output = SecretProperties;

    fn object(&self) -> Object {
        object(&self.vault_url, &self.name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &newest(context, Self::NAME, &self.vault_url, &self.name).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let mut attributes = json!({ "enabled": true });
        if let (Some(expires), Some(fields)) = (&self.expires, attributes.as_object_mut()) {
            let seconds = times::to_unix(expires)
                .ok_or_else(|| wire::invalid(Self::NAME, "expires is not an RFC 3339 time"))?;
            fields.insert("exp".to_owned(), seconds.into());
        }
        let mut tags: BTreeMap<_, _> = self.tags.iter().cloned().collect();
        tags.insert(CALL_TAG.to_owned(), wire::token(context.mark));
        let value = context.secrets.open(&self.value).await?;
        let mut request = request(
            Self::NAME,
            Method::Put,
            "/secrets/{}",
            &self.vault_url,
            &self.name,
        )?
        .idempotent(false)
        .secret_reply("/value");
        request.body = Body::JsonWithSecrets {
            json: json!({ "attributes": attributes, "tags": tags }),
            secrets: vec![("/value".to_owned(), value)],
        };
        let reply = match context.cloud.send(&request).await {
            Err(failure) if has_detail(&failure, "ObjectIsDeletedButRecoverable") => {
                recover(context, &self.vault_url, &self.name).await?;
                context.cloud.send(&request).await?
            }
            other => other?,
        };
        Ok(wire::read::<Wire>(Self::NAME, &reply.body)?.of(&self.name))
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        let versions = versions(context, Self::NAME, &self.vault_url, &self.name).await?;
        let ours = versions
            .into_iter()
            .find(|version| version.is_of_call(context.mark));
        Ok(ours.map(|version| version.of(&self.name)))
    }

    fn preview(&self, _: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        let tags: BTreeMap<_, _> = self.tags.iter().cloned().collect();
        SecretProperties {
            name: self.name.clone(),
            version: placeholders.make("version"),
            enabled: true,
            expires: self.expires.as_deref().map(times::canonical_or_same),
            tags: tags.into_iter().collect(),
        }
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(output)
    }

    fn inverse(&self, before: Option<&Value>, _: &Self::Output) -> Inverse {
        if before.is_some() {
            return Inverse::Impossible(
                "the earlier version is still in the vault, and setting it again would need its value, which is never read",
            );
        }
        Inverse::of(&Delete {
            vault_url: self.vault_url.clone(),
            name: self.name.clone(),
        })
    }
}

/// Deletes a secret and all its versions; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    vault_url: String,
    name: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "azure/key-vault-secrets.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.vault_url, &self.name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &newest(context, Self::NAME, &self.vault_url, &self.name).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let request = request(
            Self::NAME,
            Method::Delete,
            "/secrets/{}",
            &self.vault_url,
            &self.name,
        )?;
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn purge(&self) -> Option<Call> {
        Call::of(&Purge {
            vault_url: self.vault_url.clone(),
            name: self.name.clone(),
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if before.is_none() {
            return Inverse::Nothing;
        }
        Inverse::Impossible("the vault keeps the secret as soft-deleted; recover it there")
    }
}

/// Deletes for good a secret that was deleted lately; one that is not kept is no error. State:
/// until when the vault keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    vault_url: String,
    name: String,
}

impl Purge {
    fn request(&self, method: Method) -> Result<Request, Failure> {
        request(
            Self::NAME,
            method,
            "/deletedsecrets/{}",
            &self.vault_url,
            &self.name,
        )
    }
}

#[async_trait]
impl Write for Purge {
    const NAME: &'static str = "azure/key-vault-secrets.purge";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        Object {
            kind: "deleted key vault secret".to_owned(),
            ..object(&self.vault_url, &self.name)
        }
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        let kept = wire::if_there(context.cloud.send(&self.request(Method::Get)?).await)?;
        Ok(kept.map(|reply| {
            let until = reply.body.get("scheduledPurgeDate").and_then(Value::as_i64);
            json!({ "kept_until": until.and_then(times::from_unix) })
        }))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        wire::gone(context.cloud.send(&self.request(Method::Delete)?).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match before {
            None => Inverse::Nothing,
            Some(_) => Inverse::Impossible("what was deleted for good cannot be brought back"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn set() -> Set {
        Set {
            vault_url: "https://KV.vault.azure.net/".to_owned(),
            name: "client-secret".to_owned(),
            value: SecretRef("run/step#1/2".to_owned()),
            expires: Some("2030-01-02T03:04:05Z".to_owned()),
            tags: vec![
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ],
        }
    }

    #[test]
    fn a_first_version_is_deleted_and_a_later_one_stays() {
        let made = set().preview(None, &PLACEHOLDERS);
        assert_eq!(name(&taken_back(&set(), None, &made)), Some(Delete::NAME));
        let before = state::of(&made);
        assert!(matches!(
            taken_back(&set(), before.as_ref(), &made),
            Inverse::Impossible(_)
        ));
    }

    #[test]
    fn a_plan_finds_what_it_sets_however_the_vault_is_spelled() {
        let find = Find {
            vault_url: "https://kv.vault.azure.net".to_owned(),
            name: "Client-Secret".to_owned(),
        };
        assert_eq!(find.object().key, set().object().key);
        let made = set().preview(None, &PLACEHOLDERS);
        let after = set().after(None, &made);
        let found = find
            .planned(after.as_ref(), &PLACEHOLDERS)
            .unwrap()
            .unwrap();
        assert_eq!(found.tags[0].0, "a");
        assert_eq!(found, made);
    }

    #[test]
    fn a_version_is_read_from_its_listing() {
        let wire: Wire = serde_json::from_value(json!({
            "id": "https://kv.vault.azure.net/secrets/s/0123",
            "attributes": { "enabled": true, "exp": 1_893_553_445, "created": 5 },
            "tags": { "a": "1", "lockkeeper_call": wire::token("run/step#1/2") },
        }))
        .unwrap();
        assert!(wire.is_of_call("run/step#1/2") && !wire.is_of_call("run/step#1/3"));
        let properties = wire.of("s");
        assert_eq!(properties.version, "0123");
        assert_eq!(properties.tags, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(properties.expires.as_deref(), Some("2030-01-02T03:04:05Z"));
    }
}
