//! Who exists in the account and in the workspace: users, service principals, groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::rule_sets::RuleSet;
use crate::World;

/// The system group of workspace administrators.
pub(super) const ADMINS: &str = "admins";
/// The system group of all members of a workspace; its membership is not stored but follows.
pub(super) const USERS: &str = "users";
/// The account role of an account administrator.
pub(super) const ACCOUNT_ADMIN: &str = "account_admin";

/// A person or a service principal.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A person, named by an email address.
    User,
    /// A service principal, named by its application id.
    ServicePrincipal,
}

impl Kind {
    /// The SCIM resource type, as it stands in paths.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::ServicePrincipal => "ServicePrincipals",
        }
    }
}

/// A principal of the account, and its membership in the workspace.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Principal {
    /// The SCIM id.
    pub(super) id: u64,
    /// Person or service principal.
    pub(super) kind: Kind,
    /// The email address or the application id; what every other API calls the principal.
    pub(super) name: String,
    /// The name people read.
    pub(super) display_name: String,
    /// The id the identity provider gave, if it said one.
    pub(super) external_id: Option<String>,
    /// Whether the principal may do anything.
    pub(super) active: bool,
    /// Entitlements held directly.
    pub(super) entitlements: BTreeSet<String>,
    /// Account roles.
    pub(super) roles: BTreeSet<String>,
    /// Since when the workspace's other services see the principal; none outside the workspace.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) member_since: Option<OffsetDateTime>,
    /// Who uses and who manages the service principal.
    pub(super) rule_set: RuleSet,
    /// The application's Databricks OAuth secrets.
    pub(super) oauth_secrets: Vec<super::sp_secrets::OAuthSecret>,
    /// The application's federation policies.
    pub(super) federation_policies: Vec<super::federation::Policy>,
}

impl Principal {
    /// Whether the rest of the workspace already sees this principal as a member.
    pub(super) fn is_visible(&self, world: &World) -> bool {
        self.member_since.is_some_and(|since| world.sees(since))
    }
}

/// A group.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Group {
    /// The SCIM id.
    pub(super) id: u64,
    /// Its unique name.
    pub(super) name: String,
    /// The id the identity provider gave, if it said one.
    pub(super) external_id: Option<String>,
    /// The SCIM ids of principals and groups in it.
    pub(super) members: BTreeSet<u64>,
    /// Entitlements all members have.
    pub(super) entitlements: BTreeSet<String>,
    /// Account roles all members have.
    pub(super) roles: BTreeSet<String>,
    /// Whether it belongs to the account; else to the workspace alone.
    pub(super) of_account: bool,
    /// Whether it is assigned to (or part of) the workspace.
    pub(super) in_workspace: bool,
}

/// All principals and groups by SCIM id.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub(super) struct Directory {
    /// Users and service principals.
    pub(super) principals: BTreeMap<u64, Principal>,
    /// Groups.
    pub(super) groups: BTreeMap<u64, Group>,
}

impl Directory {
    /// The principal of this kind and name; the comparison ignores case.
    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<&Principal> {
        self.principals
            .values()
            .find(|principal| principal.kind == kind && principal.name.eq_ignore_ascii_case(name))
    }

    /// The principal with this name, whatever it is.
    pub(super) fn named(&self, name: &str) -> Option<&Principal> {
        self.principals
            .values()
            .find(|principal| principal.name.eq_ignore_ascii_case(name))
    }

    /// The group of this name.
    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.name == name)
    }

    /// Adds a principal of the account that is not in the workspace.
    pub(super) fn add(
        &mut self,
        id: u64,
        kind: Kind,
        name: &str,
        display_name: &str,
    ) -> &mut Principal {
        self.principals.entry(id).or_insert_with(|| Principal {
            id,
            kind,
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            external_id: None,
            active: true,
            entitlements: BTreeSet::new(),
            roles: BTreeSet::new(),
            member_since: None,
            rule_set: RuleSet::default(),
            oauth_secrets: Vec::new(),
            federation_policies: Vec::new(),
        })
    }

    /// The groups a principal is in, directly or through other groups, with `users` for members.
    pub(super) fn groups_of(&self, id: u64) -> Vec<&Group> {
        let mut found: BTreeSet<u64> = BTreeSet::new();
        let mut open = vec![id];
        while let Some(member) = open.pop() {
            for group in self.groups.values() {
                if group.members.contains(&member) && found.insert(group.id) {
                    open.push(group.id);
                }
            }
        }
        let is_member = self
            .principals
            .get(&id)
            .is_some_and(|principal| principal.member_since.is_some());
        self.groups
            .values()
            .filter(|group| found.contains(&group.id) || (is_member && group.name == USERS))
            .collect()
    }

    /// The direct members of a group; those of `users` are all members of the workspace.
    pub(super) fn members_of(&self, group: &Group) -> Vec<u64> {
        if group.name == USERS {
            return self
                .principals
                .values()
                .filter(|principal| principal.member_since.is_some())
                .map(|principal| principal.id)
                .collect();
        }
        group.members.iter().copied().collect()
    }

    /// Whether a principal is in the group of this name.
    pub(super) fn is_in(&self, id: u64, group: &str) -> bool {
        self.groups_of(id).iter().any(|found| found.name == group)
    }

    /// Whether a principal administers the workspace.
    pub(super) fn is_admin(&self, id: u64) -> bool {
        self.is_in(id, ADMINS)
    }

    /// Whether a principal administers the account.
    pub(super) fn is_account_admin(&self, id: u64) -> bool {
        self.principals
            .get(&id)
            .is_some_and(|principal| principal.roles.contains(ACCOUNT_ADMIN))
            || self
                .groups_of(id)
                .iter()
                .any(|group| group.of_account && group.roles.contains(ACCOUNT_ADMIN))
    }

    /// Whether a principal has an entitlement, directly, through a group, or as an admin.
    pub(super) fn is_entitled(&self, id: u64, entitlement: &str) -> bool {
        self.principals
            .get(&id)
            .is_some_and(|principal| principal.entitlements.contains(entitlement))
            || self
                .groups_of(id)
                .iter()
                .any(|group| group.name == ADMINS || group.entitlements.contains(entitlement))
    }

    /// Takes a principal out of the workspace, with everything it had there.
    pub(super) fn leave_workspace(&mut self, id: u64) {
        if let Some(principal) = self.principals.get_mut(&id) {
            principal.member_since = None;
            principal.entitlements.clear();
        }
        for group in self.groups.values_mut().filter(|group| !group.of_account) {
            group.members.remove(&id);
        }
    }
}
