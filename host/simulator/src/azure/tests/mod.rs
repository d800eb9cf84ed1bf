//! The resource manager, vaults and storage, over HTTP.

mod role_assignments;
mod secrets;
mod storage;
mod vaults;

use crate::seed;

pub(super) const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";

pub(super) fn vault(name: &str) -> String {
    seed::resource_id("Microsoft.KeyVault/vaults", name)
}

/// The path of a role assignment numbered by a test.
pub(super) fn assignment(scope: &str, number: u8) -> String {
    format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/10000000-0000-4000-8000-{number:012}"
    )
}
