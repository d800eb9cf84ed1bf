//! Whether a vault lets a principal do something, and how it refuses (reference, section 4).

use serde_json::{Value, json};

use super::Vault;
use crate::{State, World, azure::access, entra};

/// Who asks a vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// A first-party service's name, which its refusals begin with.
    pub name: Option<String>,
    /// The client id.
    pub appid: String,
    /// The object id.
    pub oid: String,
}

/// What a vault answered instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct VaultRefusal {
    /// The status code.
    pub status: u16,
    /// The error code.
    pub code: &'static str,
    /// The inner error code, where the vault gives one.
    pub inner: Option<&'static str>,
    /// The message.
    pub message: String,
}

impl VaultRefusal {
    pub(crate) fn new(status: u16, code: &'static str, message: String) -> Self {
        Self {
            status,
            code,
            inner: None,
            message,
        }
    }

    pub(crate) fn inner(self, inner: &'static str) -> Self {
        Self {
            inner: Some(inner),
            ..self
        }
    }

    /// The error document.
    pub fn body(&self) -> Value {
        match self.inner {
            Some(inner) => json!({"error": {
                "code": self.code,
                "message": self.message,
                "innererror": {"code": inner},
            }}),
            None => json!({"error": {"code": self.code, "message": self.message}}),
        }
    }
}

/// Something that may be done with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Set,
    Update,
    Delete,
    ListDeleted,
    GetDeleted,
    Recover,
    Purge,
    Backup,
    Restore,
}

impl Verb {
    /// The data action that a role has to allow.
    fn action(self) -> &'static str {
        match self {
            Self::Get => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::List | Self::ListDeleted | Self::GetDeleted => {
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
            }
            Self::Set => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Self::Update => "Microsoft.KeyVault/vaults/secrets/update/action",
            Self::Delete => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::Purge => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Self::Backup => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Self::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
        }
    }

    /// The verb that an access policy has to list.
    fn policy(self) -> &'static str {
        match self {
            Self::Get | Self::GetDeleted => "get",
            Self::List | Self::ListDeleted => "list",
            Self::Set | Self::Update => "set",
            Self::Delete => "delete",
            Self::Recover => "recover",
            Self::Purge => "purge",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// Refuses unless the reader may do this, with this secret if one is named.
pub(crate) fn check(
    world: &World,
    state: &State,
    vault: &Vault,
    reader: &Reader,
    verb: Verb,
    secret: Option<&str>,
) -> Result<(), VaultRefusal> {
    if !vault.public {
        return Err(VaultRefusal::new(
            403,
            "Forbidden",
            "Client address is not authorized and caller is not a trusted service.".to_owned(),
        )
        .inner("ForbiddenByFirewall"));
    }
    if vault.uses_rbac() {
        check_roles(world, state, vault, reader, verb, secret)
    } else {
        check_policies(world, state, vault, reader, verb)
    }
}

fn check_roles(
    world: &World,
    state: &State,
    vault: &Vault,
    reader: &Reader,
    verb: Verb,
    secret: Option<&str>,
) -> Result<(), VaultRefusal> {
    let resource = match secret {
        Some(name) => format!("{}/secrets/{name}", vault.id),
        None => vault.id.clone(),
    };
    let action = verb.action();
    if access::vault_data_allowed(world, state, &reader.oid, action, &resource, secret) {
        return Ok(());
    }
    let name = reader
        .name
        .as_ref()
        .map(|name| format!("name={name};"))
        .unwrap_or_default();
    let Reader { appid, oid, .. } = reader;
    Err(VaultRefusal::new(
        403,
        "Forbidden",
        format!(
            "Caller is not authorized to perform action on resource.\r\n\
             If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n\
             Caller: {name}appid={appid};oid={oid};iss=https://sts.windows.net/{tenant}/\r\n\
             Action: '{action}'\r\n\
             Resource: '{resource}'\r\n\
             Assignment: (not found)\r\n\
             DenyAssignmentId: null\r\n\
             DecisionReason: null \r\n\
             Vault: {vault};location={location}\r\n",
            tenant = entra::tenant_of(state),
            resource = resource.to_ascii_lowercase(),
            vault = vault.name,
            location = vault.location,
        ),
    )
    .inner("ForbiddenByRbac"))
}

fn check_policies(
    world: &World,
    state: &State,
    vault: &Vault,
    reader: &Reader,
    verb: Verb,
) -> Result<(), VaultRefusal> {
    let wanted = verb.policy();
    let permitted = vault
        .access_policies
        .iter()
        .filter(|policy| policy.object_id.eq_ignore_ascii_case(&reader.oid))
        .filter(|policy| world.sees(policy.from))
        .filter_map(|policy| policy.permissions.get("secrets"))
        .flatten()
        .any(|verb| verb.eq_ignore_ascii_case(wanted) || verb.eq_ignore_ascii_case("all"));
    if permitted {
        return Ok(());
    }
    Err(VaultRefusal::new(
        403,
        "Forbidden",
        format!(
            "The user, group or application 'appid={};oid={};iss=https://sts.windows.net/{}/' does not have secrets {wanted} permission on key vault '{};location={}'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            reader.appid, reader.oid, entra::tenant_of(state), vault.name, vault.location,
        ),
    )
    .inner("AccessDenied"))
}
