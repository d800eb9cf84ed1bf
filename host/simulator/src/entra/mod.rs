//! Microsoft Entra: the directory, its token service and Microsoft Graph.

mod assertion;
mod discovery;
pub(crate) mod graph;
pub(crate) mod seed;
pub(crate) mod signer;
pub(crate) mod sts;
mod sts_error;
#[cfg(test)]
mod tests;
pub mod tokens;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{Hashed, Plane, Sealed, World};

/// One tenant's directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The tenant's id.
    pub tenant_id: String,
    /// Its initial domain, which names the tenant as well as its id does.
    pub domain: String,
    /// Its display name.
    pub display_name: String,
    /// The RSA key that signs tokens: PKCS#8 in base64, sealed.
    pub signing_key: Option<Sealed>,
    /// How long a token lives, in seconds.
    pub token_lifetime: u32,
    /// The tenant's policy for application credentials.
    pub credential_policy: CredentialPolicy,
    /// The applications, soft-deleted ones among them.
    pub applications: Vec<Application>,
    /// The service principals.
    pub service_principals: Vec<ServicePrincipal>,
    /// The users.
    pub users: Vec<User>,
    /// The app roles granted to principals.
    pub app_role_assignments: Vec<AppRoleAssignment>,
    /// The outside identity providers whose keys are known.
    pub issuers: Vec<Issuer>,
}

/// When a new directory object arrives at those who ask for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// At the replicas that answer Graph reads.
    #[serde(with = "time::serde::rfc3339")]
    pub read: OffsetDateTime,
    /// At the partition where service principals are made.
    #[serde(with = "time::serde::rfc3339")]
    pub backing: OffsetDateTime,
    /// At the token endpoint.
    #[serde(with = "time::serde::rfc3339")]
    pub sts: OffsetDateTime,
    /// At ARM.
    #[serde(with = "time::serde::rfc3339")]
    pub arm: OffsetDateTime,
}

impl Arrival {
    /// Draws the times for an object made now.
    pub(crate) fn of_new(world: &World) -> Self {
        Self {
            read: world.visible_at(Plane::GraphRead),
            backing: world.visible_at(Plane::GraphApplication),
            sts: world.visible_at(Plane::Sts),
            arm: world.visible_at(Plane::ArmDirectory),
        }
    }

    /// Everywhere already.
    pub(crate) fn long_ago() -> Self {
        let at = OffsetDateTime::UNIX_EPOCH;
        Self {
            read: at,
            backing: at,
            sts: at,
            arm: at,
        }
    }
}

/// A deletion, and when the replicas that answer reads hear of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// When reads begin to miss the object.
    #[serde(with = "time::serde::rfc3339")]
    pub seen: OffsetDateTime,
}

impl Deletion {
    pub(crate) fn now(world: &World) -> Self {
        Self {
            at: world.now(),
            seen: world.visible_at(Plane::GraphDelete),
        }
    }
}

/// A registered application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// The object id.
    pub id: String,
    /// The client id.
    pub app_id: String,
    /// The display name; not unique.
    pub display_name: String,
    /// The client-chosen alternate key; set once.
    pub unique_name: Option<String>,
    /// Whose accounts may sign in.
    pub sign_in_audience: String,
    /// The identifier URIs, unique in the tenant.
    pub identifier_uris: Vec<String>,
    /// Whether the application was deactivated.
    pub disabled: bool,
    /// Object ids of the owners.
    pub owners: Vec<String>,
    /// The client secrets.
    pub passwords: Vec<Password>,
    /// The certificates, as Graph shows them.
    pub keys: Vec<Value>,
    /// The federated identity credentials.
    pub federated: Vec<Federated>,
    /// Every other property, as it was set.
    pub properties: Map<String, Value>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it arrives elsewhere.
    pub arrival: Arrival,
    /// Until when another write meets this one.
    #[serde(with = "time::serde::rfc3339")]
    pub busy_until: OffsetDateTime,
    /// The soft deletion.
    pub deleted: Option<Deletion>,
}

/// A client secret: all but the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Password {
    /// Its id.
    pub key_id: String,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its first three characters.
    pub hint: String,
    /// Its digest.
    pub secret: Hashed,
    /// From when it is valid.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// Until when it is valid.
    #[serde(with = "time::serde::rfc3339")]
    pub end: OffsetDateTime,
    /// When reads show it.
    #[serde(with = "time::serde::rfc3339")]
    pub read_from: OffsetDateTime,
    /// When the token endpoint knows it.
    #[serde(with = "time::serde::rfc3339")]
    pub sts_from: OffsetDateTime,
}

/// A federated identity credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Federated {
    /// Its id.
    pub id: String,
    /// Its name, unique in the application.
    pub name: String,
    /// The outside issuer, byte for byte.
    pub issuer: String,
    /// The outside subject, case and all.
    pub subject: String,
    /// The one audience.
    pub audience: String,
    /// A note.
    pub description: Option<String>,
    /// When reads show it.
    #[serde(with = "time::serde::rfc3339")]
    pub read_from: OffsetDateTime,
    /// When the token endpoint knows it.
    #[serde(with = "time::serde::rfc3339")]
    pub sts_from: OffsetDateTime,
}

/// An application's identity in the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePrincipal {
    /// The object id, which grants name.
    pub id: String,
    /// The client id of its application.
    pub app_id: String,
    /// The display name.
    pub display_name: String,
    /// Whether it may get tokens.
    pub enabled: bool,
    /// The names by which it is a resource.
    pub names: Vec<String>,
    /// The roles it offers as a resource.
    pub app_roles: Vec<AppRole>,
    /// Object ids of the owners.
    pub owners: Vec<String>,
    /// Client secrets on the service principal itself.
    pub passwords: Vec<Password>,
    /// Every other property, as it was set.
    pub properties: Map<String, Value>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it arrives elsewhere.
    pub arrival: Arrival,
    /// The deletion.
    pub deleted: Option<Deletion>,
}

/// A role that a resource offers to applications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRole {
    /// Its id.
    pub id: String,
    /// What tokens say.
    pub value: String,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The object id.
    pub id: String,
    /// The user principal name, also the mail address.
    pub upn: String,
    /// The display name.
    pub display_name: String,
}

/// An app role granted to a service principal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRoleAssignment {
    /// Its id.
    pub id: String,
    /// The role.
    pub app_role_id: String,
    /// To whom.
    pub principal_id: String,
    /// On which resource's service principal.
    pub resource_id: String,
    /// When it was granted.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

/// What the tenant allows application credentials to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CredentialPolicy {
    /// The policy's id.
    pub id: String,
    /// The longest lifetime of a client secret, in days.
    pub longest_days: Option<u32>,
    /// Whether client secrets are banned.
    pub passwords_banned: bool,
}

/// An outside identity provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its issuer identifier.
    pub issuer: String,
    /// Its JSON Web Key Set.
    pub jwks: Value,
}

/// The tenant's id.
pub fn tenant_of(state: &crate::State) -> &str {
    &state.entra.tenant_id
}

impl State {
    /// The live application with this client id.
    pub fn application(&self, app_id: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|app| app.deleted.is_none() && app.app_id.eq_ignore_ascii_case(app_id))
    }

    /// The live service principal with this client id.
    pub fn principal_of(&self, app_id: &str) -> Option<&ServicePrincipal> {
        self.service_principals
            .iter()
            .find(|sp| sp.deleted.is_none() && sp.app_id.eq_ignore_ascii_case(app_id))
    }

    /// The live service principal with this object id.
    pub fn principal(&self, oid: &str) -> Option<&ServicePrincipal> {
        self.service_principals
            .iter()
            .find(|sp| sp.deleted.is_none() && sp.id.eq_ignore_ascii_case(oid))
    }

    /// The user with this object id or user principal name.
    pub fn user(&self, key: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.id.eq_ignore_ascii_case(key) || user.upn.eq_ignore_ascii_case(key))
    }

    /// Whether the text names this tenant, by id or domain.
    pub fn is_tenant(&self, text: &str) -> bool {
        text.eq_ignore_ascii_case(&self.tenant_id) || text.eq_ignore_ascii_case(&self.domain)
    }
}
