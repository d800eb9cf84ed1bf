//! Azure Resource Manager and the Key Vault data plane (reference/entra-azure.md, 3 and 4).

pub(super) mod key_vault_secrets;
pub(super) mod key_vaults;
pub(super) mod role_assignments;
