//! Every operation there is: one file per WIT interface, one `impl` per function.

mod azure;
mod databricks;
mod entra;
pub(crate) mod state;
#[cfg(test)]
mod testing;
mod times;
mod wire;

use crate::definition::{Definition, ReadDefinition, WriteDefinition};

macro_rules! definitions {
    ($($kind:ident $call:path),* $(,)?) => {
        &[$(definitions!(@ $kind $call)),*]
    };
    (@ read $call:path) => { &ReadDefinition::<$call>::new() };
    (@ write $call:path) => { &WriteDefinition::<$call>::new() };
}

/// All definitions, in the order of the WIT packages.
pub static ALL: &[&dyn Definition] = definitions![
    read entra::applications::Find,
    read entra::application_adoption::LookUp,
    write entra::application_adoption::SetUniqueName,
    write entra::applications::Create,
    write entra::applications::Delete,
    write entra::applications::Purge,
    read entra::service_principals::Find,
    write entra::service_principals::Create,
    write entra::service_principals::Delete,
    read entra::credentials::ListPasswords,
    write entra::credentials::AddPassword,
    write entra::credentials::RemovePassword,
    read entra::credentials::Prove,
    read azure::key_vaults::Get,
    read azure::key_vaults::May,
    read azure::key_vault_secrets::Find,
    write azure::key_vault_secrets::Set,
    write azure::key_vault_secrets::Delete,
    write azure::key_vault_secrets::Purge,
    read azure::role_assignments::Find,
    write azure::role_assignments::Create,
    write azure::role_assignments::Delete,
    read databricks::service_principals::Find,
    write databricks::service_principals::Create,
    write databricks::service_principals::Rename,
    write databricks::service_principals::Delete,
    read databricks::entitlements::Get,
    write databricks::entitlements::Add,
    write databricks::entitlements::Remove,
    read databricks::roles::List,
    write databricks::roles::Grant,
    write databricks::roles::Revoke,
    read databricks::secret_scopes::Find,
    write databricks::secret_scopes::Create,
    write databricks::secret_scopes::Delete,
    read databricks::secrets::List,
    write databricks::secrets::Put,
    write databricks::secrets::PutText,
    write databricks::secrets::Delete,
    read databricks::secret_acls::Find,
    write databricks::secret_acls::Put,
    write databricks::secret_acls::Delete,
    read databricks::workspace_objects::Find,
    write databricks::workspace_objects::Mkdirs,
    read databricks::workspace_objects::ReadNotebook,
    write databricks::workspace_objects::WriteNotebook,
    write databricks::workspace_objects::Delete,
    read databricks::permissions::List,
    write databricks::permissions::Grant,
    write databricks::permissions::Revoke,
    read databricks::jobs::Find,
    read databricks::job_adoption::Get,
    write databricks::job_adoption::Adopt,
    write databricks::job_adoption::Release,
    write databricks::jobs::Create,
    write databricks::jobs::Update,
    write databricks::jobs::Delete,
    write databricks::runs::RunNow,
    read databricks::runs::GetRun,
    read databricks::runs::GetOutput,
    read databricks::clusters::ListNodeTypes,
    read databricks::clusters::ListSparkVersions,
];

/// The definition of the operation called `name`: `entra/applications.create`.
pub fn find(name: &str) -> Option<&'static dyn Definition> {
    ALL.iter()
        .copied()
        .find(|definition| definition.name() == name)
}
