//! The seeded resources.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use time::{OffsetDateTime, macros::datetime};

use super::{
    AccessPolicy, Filesystem, ResourceGroup, RoleAssignment, State, StorageAccount, Subscription,
    Vault, Workspace,
};
use crate::seed;

const BEGINNING: OffsetDateTime = datetime!(2025-01-01 00:00 UTC);

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
const SECRETS_OFFICER: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

pub(crate) fn first_state() -> State {
    let group = seed::resource_group_id();
    let vault = |name| seed::resource_id("Microsoft.KeyVault/vaults", name);
    State {
        subscriptions: vec![Subscription {
            id: seed::SUBSCRIPTION.to_owned(),
            resource_groups: vec![ResourceGroup {
                name: seed::RESOURCE_GROUP.to_owned(),
                location: seed::LOCATION.to_owned(),
            }],
        }],
        vaults: vec![
            key_vault(seed::FIRST_VAULT, true, Vec::new()),
            key_vault(seed::POLICY_VAULT, false, vec![operator_policy()]),
        ],
        role_assignments: vec![
            assignment(
                1,
                &group,
                CONTRIBUTOR,
                seed::OPERATOR_PRINCIPAL,
                "ServicePrincipal",
            ),
            assignment(
                2,
                &group,
                USER_ACCESS_ADMINISTRATOR,
                seed::OPERATOR_PRINCIPAL,
                "ServicePrincipal",
            ),
            assignment(
                3,
                &vault(seed::FIRST_VAULT),
                SECRETS_OFFICER,
                seed::OPERATOR_PRINCIPAL,
                "ServicePrincipal",
            ),
            assignment(
                4,
                &format!("/subscriptions/{}", seed::SUBSCRIPTION),
                OWNER,
                seed::ANA.0,
                "User",
            ),
        ],
        storage_accounts: vec![StorageAccount {
            id: seed::resource_id("Microsoft.Storage/storageAccounts", seed::STORAGE_ACCOUNT),
            name: seed::STORAGE_ACCOUNT.to_owned(),
            filesystems: vec![Filesystem {
                name: "data".to_owned(),
                paths: BTreeMap::from([
                    ("raw/".to_owned(), String::new()),
                    ("raw/numbers.csv".to_owned(), "n\n1\n2\n3\n".to_owned()),
                ]),
                acl: BTreeMap::new(),
            }],
        }],
        workspaces: vec![Workspace {
            id: seed::resource_id("Microsoft.Databricks/workspaces", seed::WORKSPACE),
            name: seed::WORKSPACE.to_owned(),
            location: seed::LOCATION.to_owned(),
            workspace_id: seed::WORKSPACE_ID.to_owned(),
            workspace_url: seed::WORKSPACE_HOST.to_owned(),
            properties: Map::from_iter([
                (
                    "managedResourceGroupId".to_owned(),
                    json!(format!(
                        "/subscriptions/{}/resourceGroups/rg-managed",
                        seed::SUBSCRIPTION
                    )),
                ),
                ("createdDateTime".to_owned(), json!("2025-01-01T00:00:00Z")),
            ]),
        }],
    }
}

fn key_vault(name: &str, rbac: bool, access_policies: Vec<AccessPolicy>) -> Vault {
    Vault {
        id: seed::resource_id("Microsoft.KeyVault/vaults", name),
        name: name.to_owned(),
        location: seed::LOCATION.to_owned(),
        tags: Map::new(),
        rbac: Some(rbac),
        access_policies,
        retention_days: 90,
        purge_protection: false,
        public: true,
        properties: Map::new(),
        created: BEGINNING,
        ready_at: BEGINNING,
        deleted: None,
        secrets: Vec::new(),
    }
}

fn operator_policy() -> AccessPolicy {
    let verbs = ["set", "get", "list", "delete"].map(str::to_owned).to_vec();
    AccessPolicy {
        tenant_id: seed::TENANT.to_owned(),
        object_id: seed::OPERATOR_PRINCIPAL.to_owned(),
        permissions: BTreeMap::from([("secrets".to_owned(), verbs)]),
        from: BEGINNING,
    }
}

fn assignment(number: u8, scope: &str, role: &str, principal: &str, kind: &str) -> RoleAssignment {
    RoleAssignment {
        name: format!("0f0f0f0f-0000-4000-8000-{number:012}"),
        scope: scope.to_owned(),
        role: role.to_owned(),
        principal_id: principal.to_owned(),
        principal_type: kind.to_owned(),
        description: None,
        condition: None,
        condition_version: None,
        created_by: seed::ANA.0.to_owned(),
        created: BEGINNING,
        arm_from: BEGINNING,
        vault_from: BEGINNING,
        storage_from: BEGINNING,
    }
}
