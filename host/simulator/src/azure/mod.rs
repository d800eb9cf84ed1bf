//! Azure: its resource manager, key vaults and storage.

pub mod access;
pub(crate) mod arm;
pub mod key_vault;
mod roles;
pub(crate) mod seed;
pub mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

pub use self::key_vault::model::{AccessPolicy, Secret, SecretVersion, Vault};

/// The resources of the tenant's subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// The key vaults, soft-deleted ones among them.
    pub vaults: Vec<Vault>,
    /// The role assignments.
    pub role_assignments: Vec<RoleAssignment>,
    /// The storage accounts.
    pub storage_accounts: Vec<StorageAccount>,
    /// The Databricks workspaces as Azure resources.
    pub workspaces: Vec<Workspace>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id, a GUID.
    pub id: String,
    /// Its resource groups.
    pub resource_groups: Vec<ResourceGroup>,
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
}

/// A role granted to a principal over a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// The client-chosen GUID.
    pub name: String,
    /// The resource id that it covers, with everything below.
    pub scope: String,
    /// The role definition's GUID.
    pub role: String,
    /// The principal's object id.
    pub principal_id: String,
    /// `ServicePrincipal`, `User` or `Group`.
    pub principal_type: String,
    /// A note.
    pub description: Option<String>,
    /// An ABAC condition, as it was sent.
    pub condition: Option<String>,
    /// Its version.
    pub condition_version: Option<String>,
    /// The object id of who granted it.
    pub created_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When ARM honours it.
    #[serde(with = "time::serde::rfc3339")]
    pub arm_from: OffsetDateTime,
    /// When vaults honour it.
    #[serde(with = "time::serde::rfc3339")]
    pub vault_from: OffsetDateTime,
    /// When storage honours it.
    #[serde(with = "time::serde::rfc3339")]
    pub storage_from: OffsetDateTime,
}

/// A storage account with a hierarchical namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StorageAccount {
    /// The resource id.
    pub id: String,
    /// The account's name.
    pub name: String,
    /// Its containers.
    pub filesystems: Vec<Filesystem>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its name.
    pub name: String,
    /// Files by path, directories ending in a slash; contents are text.
    pub paths: BTreeMap<String, String>,
    /// Permissions beyond roles: object id to `rwx`-like text, over the whole container.
    pub acl: BTreeMap<String, String>,
}

/// A Databricks workspace resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// The resource id.
    pub id: String,
    /// The resource's name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// The workspace's number.
    pub workspace_id: String,
    /// The workspace's host name.
    pub workspace_url: String,
    /// Further properties.
    pub properties: Map<String, Value>,
}

/// Whether a version is of the form `2026-02-01`.
pub(crate) fn is_date(version: &str) -> bool {
    let parts: Vec<&str> = version.split('-').collect();
    parts.iter().map(|part| part.len()).eq([4, 2, 2])
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_digit()))
}
