//! Secrets as a vault prints them (reference, section 4.2).

use serde_json::{Value, json};
use time::Duration;

use super::model::{Secret, SecretVersion, Vault};
use crate::World;

fn base(vault: &Vault) -> String {
    format!("https://{}.vault.azure.net", vault.name)
}

fn recovery_level(vault: &Vault) -> &'static str {
    match (vault.retention_days < 90, vault.purge_protection) {
        (false, false) => "Recoverable+Purgeable",
        (false, true) => "Recoverable",
        (true, false) => "CustomizedRecoverable+Purgeable",
        (true, true) => "CustomizedRecoverable",
    }
}

fn attributes(vault: &Vault, version: &SecretVersion) -> Value {
    let mut attributes = json!({"enabled": version.enabled});
    if let Some(members) = attributes.as_object_mut() {
        for (name, time) in [("nbf", version.not_before), ("exp", version.expires)] {
            if let Some(time) = time {
                members.insert(name.to_owned(), json!(time));
            }
        }
        members.insert("created".to_owned(), json!(version.created));
        members.insert("updated".to_owned(), json!(version.updated));
        members.insert("recoveryLevel".to_owned(), json!(recovery_level(vault)));
        members.insert("recoverableDays".to_owned(), json!(vault.retention_days));
    }
    attributes
}

/// A version without its value; `id` is the whole id to print.
fn item(vault: &Vault, version: &SecretVersion, id: &str) -> Value {
    let mut item = json!({"id": id, "attributes": attributes(vault, version)});
    if let Some(members) = item.as_object_mut() {
        if let Some(kind) = &version.content_type {
            members.insert("contentType".to_owned(), json!(kind));
        }
        members.insert("tags".to_owned(), json!(version.tags));
    }
    item
}

/// `SecretItem` in a list of secrets.
pub(super) fn listed(vault: &Vault, secret: &Secret) -> Option<Value> {
    let newest = secret.versions.last()?;
    Some(item(
        vault,
        newest,
        &format!("{}/secrets/{}", base(vault), secret.name),
    ))
}

/// `SecretItem` in a list of versions; also what is printed of a version without its value.
pub(super) fn version(vault: &Vault, secret: &Secret, version: &SecretVersion) -> Value {
    let id = format!("{}/secrets/{}/{}", base(vault), secret.name, version.id);
    item(vault, version, &id)
}

/// `SecretBundle`.
pub(super) fn whole(
    world: &World,
    vault: &Vault,
    secret: &Secret,
    of: &SecretVersion,
) -> Option<Value> {
    let mut bundle = version(vault, secret, of);
    let value = of.value.open(world).ok()?;
    bundle
        .as_object_mut()?
        .insert("value".to_owned(), json!(value.as_str()));
    Some(bundle)
}

/// `DeletedSecretItem`, or with the version in its id `DeletedSecretBundle`.
pub(super) fn deleted(vault: &Vault, secret: &Secret, with_version: bool) -> Option<Value> {
    let newest = secret.versions.last()?;
    let at = secret.deleted?;
    let purge = at + Duration::days(i64::from(vault.retention_days));
    let mut bundle = if with_version {
        version(vault, secret, newest)
    } else {
        listed(vault, secret)?
    };
    let members = bundle.as_object_mut()?;
    let recovery = format!("{}/deletedsecrets/{}", base(vault), secret.name);
    members.insert("recoveryId".to_owned(), json!(recovery));
    members.insert("deletedDate".to_owned(), json!(at.unix_timestamp()));
    members.insert(
        "scheduledPurgeDate".to_owned(),
        json!(purge.unix_timestamp()),
    );
    Some(bundle)
}
