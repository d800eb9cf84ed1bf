//! Vaults and their secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::Sealed;

/// A key vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vault {
    /// The resource id.
    pub id: String,
    /// The name, unique in the world.
    pub name: String,
    /// The region.
    pub location: String,
    /// The tags.
    pub tags: Map<String, Value>,
    /// Whether roles decide over data; none means access policies, as on vaults from before.
    pub rbac: Option<bool>,
    /// The access policies.
    pub access_policies: Vec<AccessPolicy>,
    /// How long deleted secrets are kept, in days.
    pub retention_days: u16,
    /// Whether nothing may be purged before its time.
    pub purge_protection: bool,
    /// Whether the network may reach it.
    pub public: bool,
    /// Further properties, as they were set.
    pub properties: Map<String, Value>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When its name resolves.
    #[serde(with = "time::serde::rfc3339")]
    pub ready_at: OffsetDateTime,
    /// When it was deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deleted: Option<OffsetDateTime>,
    /// The secrets.
    pub secrets: Vec<Secret>,
}

impl Vault {
    /// Whether roles, not access policies, decide over data.
    pub fn uses_rbac(&self) -> bool {
        self.rbac == Some(true)
    }

    /// The live secret of this name.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets
            .iter()
            .find(|secret| secret.deleted.is_none() && secret.name.eq_ignore_ascii_case(name))
    }
}

/// What an access policy allows one principal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// The principal's tenant.
    pub tenant_id: String,
    /// The principal's object id.
    pub object_id: String,
    /// Verbs by kind of object: `secrets`, `keys`, `certificates`, `storage`.
    pub permissions: BTreeMap<String, Vec<String>>,
    /// When the vault honours it.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
}

/// A secret with all its versions, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its versions; never empty.
    pub versions: Vec<SecretVersion>,
    /// When it was deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deleted: Option<OffsetDateTime>,
    /// When its last deletion or recovery is through.
    #[serde(with = "time::serde::rfc3339")]
    pub settled: OffsetDateTime,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// Its value.
    pub value: Sealed,
    /// What the value is, in the client's words.
    pub content_type: Option<String>,
    /// The tags.
    pub tags: Map<String, Value>,
    /// Whether it may be read.
    pub enabled: bool,
    /// From when it is meant to be used, in seconds since 1970; not enforced.
    pub not_before: Option<i64>,
    /// Until when it is meant to be used, in seconds since 1970; not enforced.
    pub expires: Option<i64>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was last changed, in seconds since 1970.
    pub updated: i64,
}
