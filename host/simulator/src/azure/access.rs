//! Who may do what: role assignments, inherited down from scope to scope.

use time::OffsetDateTime;

use super::{RoleAssignment, roles};
use crate::{State, World};

/// Whether the principal may do a control-plane action over the scope.
pub fn allowed(world: &World, state: &State, oid: &str, action: &str, scope: &str) -> bool {
    held(world, state, oid, scope).any(|role| role.allows(action))
}

/// The roles that the principal holds over the scope.
pub(crate) fn held<'a>(
    world: &'a World,
    state: &'a State,
    oid: &'a str,
    scope: &'a str,
) -> impl Iterator<Item = &'static roles::Role> {
    assignments(world, state, oid, scope, |grant| grant.arm_from)
        .filter_map(|grant| roles::by_id(&grant.role))
}

/// Whether the principal may grant this role over the scope.
pub(crate) fn may_grant(
    world: &World,
    state: &State,
    oid: &str,
    action: &str,
    scope: &str,
    granted: &str,
) -> bool {
    held(world, state, oid, scope)
        .filter(|role| role.allows(action))
        .any(|role| {
            role.id != roles::VAULT_ACCESS_ADMINISTRATOR
                || roles::by_id(granted).is_some_and(|role| role.name.starts_with("Key Vault"))
        })
}

/// Whether a vault grants the principal a data action on one of its secrets or on itself.
pub(crate) fn vault_data_allowed(
    world: &World,
    state: &State,
    oid: &str,
    action: &str,
    scope: &str,
    secret: Option<&str>,
) -> bool {
    assignments(world, state, oid, scope, |grant| grant.vault_from)
        .filter(|grant| condition_holds(grant.condition.as_deref(), secret))
        .filter_map(|grant| roles::by_id(&grant.role))
        .any(|role| role.allows_data(action))
}

/// Whether storage grants the principal a data action over the scope.
pub(crate) fn storage_data_allowed(
    world: &World,
    state: &State,
    oid: &str,
    action: &str,
    scope: &str,
) -> bool {
    assignments(world, state, oid, scope, |grant| grant.storage_from)
        .filter_map(|grant| roles::by_id(&grant.role))
        .any(|role| role.allows_data(action))
}

fn assignments<'a>(
    world: &'a World,
    state: &'a State,
    oid: &'a str,
    scope: &'a str,
    from: impl Fn(&RoleAssignment) -> OffsetDateTime + 'a,
) -> impl Iterator<Item = &'a RoleAssignment> {
    state
        .azure
        .role_assignments
        .iter()
        .filter(move |grant| grant.principal_id.eq_ignore_ascii_case(oid))
        .filter(move |grant| covers(&grant.scope, scope))
        .filter(move |grant| world.sees(from(grant)))
}

/// Whether `inner` is `outer` or lies below it; resource ids are compared without case.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let outer = outer.trim_end_matches('/').to_ascii_lowercase();
    let inner = inner.trim_end_matches('/').to_ascii_lowercase();
    inner
        .strip_prefix(&outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Evaluates the one form of condition that vaults have (reference, section 4.3): a comparison of
/// the secret's name. Any other condition is taken to hold, since nothing is known of it.
fn condition_holds(condition: Option<&str>, secret: Option<&str>) -> bool {
    let Some((_, rest)) =
        condition.and_then(|text| text.split_once("Microsoft.KeyVault/vaults/secrets:name]"))
    else {
        return true;
    };
    let mut words = rest.split_whitespace();
    let operator = words.next().unwrap_or_default();
    let Some(wanted) = rest.split('\'').nth(1) else {
        return true;
    };
    let Some(name) = secret else { return false };
    match operator {
        "StringStartsWith" => name.starts_with(wanted),
        "StringEquals" => name == wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_at_segments() {
        assert!(covers("/", "/subscriptions/s"));
        assert!(covers(
            "/subscriptions/S",
            "/subscriptions/s/resourceGroups/rg"
        ));
        assert!(!covers(
            "/subscriptions/s/resourceGroups/rg",
            "/subscriptions/s/resourceGroups/rg2"
        ));
        assert!(!covers(
            "/subscriptions/s/resourceGroups/rg",
            "/subscriptions/s"
        ));
    }

    #[test]
    fn conditions_compare_the_secrets_name() {
        let starts =
            Some("((@Resource[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'run-'))");
        assert!(condition_holds(starts, Some("run-7")));
        assert!(!condition_holds(starts, Some("Run-7")));
        assert!(!condition_holds(starts, None));
        assert!(condition_holds(Some("@Request[x] StringEquals 'y'"), None));
        assert!(condition_holds(None, None));
    }

    #[test]
    fn contributor_may_not_grant() {
        let contributor = roles::by_id("b24988ac-6180-42a0-ab88-20f7382dd24c").unwrap();
        assert!(contributor.allows("Microsoft.KeyVault/vaults/write"));
        assert!(!contributor.allows("Microsoft.Authorization/roleAssignments/write"));
        assert!(!contributor.allows_data("Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    }
}
