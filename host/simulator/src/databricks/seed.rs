//! The account and workspace of a simulator that never ran.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use time::macros::datetime;

use super::State;
use super::clusters::Policy;
use super::directory::{ACCOUNT_ADMIN, ADMINS, Group, Kind, USERS};
use super::permissions::{Entry, Grantee, Object, WAREHOUSES};
use super::warehouses::Warehouse;
use super::workspace_objects;
use crate::SeedIds;

const BEGINNING: OffsetDateTime = datetime!(2025-01-01 00:00 UTC);
const POLICY: &str = "D0C0FFEE00000001";
const WAREHOUSE: &str = "d0c0ffee00000001";

/// Fills an empty state: the operator administers the workspace; the users use it, and the first
/// of them administers the account. The group `users` does not give `workspace-access`, as in
/// newer workspaces (reference/databricks.md, section 4.1).
pub fn seed(state: &mut State, ids: SeedIds) {
    state.workspace.id = ids.workspace_id.parse().unwrap_or_default();
    state.account_id = ids.account_id;
    state.workspace.host = ids.workspace_host;
    state.workspace.resource_id = ids.workspace_resource_id;
    state.workspace.tenant_id = ids.tenant_id;
    workspace_objects::seed(state, BEGINNING);
    let operator = 7_345_223_481_991;
    for (id, name, entitlements) in [
        (
            7_100_000_000_001,
            ADMINS,
            vec![
                "workspace-access",
                "databricks-sql-access",
                "allow-cluster-create",
            ],
        ),
        (7_100_000_000_002, USERS, vec!["databricks-sql-access"]),
    ] {
        let group = Group {
            id,
            name: name.into(),
            external_id: None,
            members: BTreeSet::new(),
            entitlements: entitlements.into_iter().map(str::to_owned).collect(),
            roles: BTreeSet::new(),
            of_account: false,
            in_workspace: true,
        };
        state.directory.groups.insert(id, group);
    }
    let mut join = |id, kind, name: &str, display: &str, external: String, entitled: bool| {
        let principal = state.directory.add(id, kind, name, display);
        principal.external_id = Some(external);
        principal.member_since = Some(BEGINNING);
        if entitled {
            principal.entitlements.insert("workspace-access".into());
        }
        workspace_objects::add_home(state, kind, name, id + 500_000, BEGINNING);
    };
    join(
        operator,
        Kind::ServicePrincipal,
        &ids.operator_client_id,
        &ids.operator_display_name,
        ids.operator_object_id,
        false,
    );
    for (id, (oid, upn, display)) in (operator + 1..).zip(ids.users) {
        join(id, Kind::User, &upn, &display, oid, true);
    }
    if let Some(first) = state.directory.principals.get_mut(&(operator + 1)) {
        first.roles.insert(ACCOUNT_ADMIN.into());
    }
    if let Some(admins) = state.directory.groups.get_mut(&7_100_000_000_001) {
        admins.members.insert(operator);
    }
    state.policies.insert(
        POLICY.into(),
        Policy {
            name: "Job compute".into(),
            definition: r#"{"cluster_type":{"type":"fixed","value":"job"}}"#.into(),
            creator: ids.operator_client_id.clone(),
        },
    );
    state.warehouses.insert(
        WAREHOUSE.into(),
        Warehouse {
            name: "Starter Warehouse".into(),
            creator: ids.operator_client_id.clone(),
            is_running: false,
        },
    );
    let members = Entry::new(Grantee::Group(USERS.into()), "CAN_USE");
    let owner = Entry::new(
        Grantee::ServicePrincipal(ids.operator_client_id),
        "IS_OWNER",
    );
    state.acls.insert(
        Object::new(&WAREHOUSES, WAREHOUSE).key(),
        vec![owner, members],
    );
}
