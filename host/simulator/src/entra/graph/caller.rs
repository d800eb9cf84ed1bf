//! Who calls Graph, and which of its permissions the token carries.

use super::error::GraphError;
use crate::{
    State, World, entra,
    entra::tokens::{self, TokenFault},
    wire::Incoming,
};

/// A caller with a valid token.
pub(super) struct Caller {
    /// The object id.
    pub(super) oid: String,
    /// Whether an application calls for itself, not a user through one.
    pub(super) application: bool,
    permissions: Vec<String>,
}

impl Caller {
    pub(super) fn of(
        world: &World,
        state: &State,
        incoming: &Incoming,
    ) -> Result<Self, GraphError> {
        let refuse = |message: &str| GraphError::new(401, "InvalidAuthenticationToken", message);
        let bearer = incoming
            .bearer()
            .ok_or_else(|| refuse("Access token is empty."))?;
        let claims = tokens::verify(world, bearer).map_err(|fault| {
            refuse(match fault {
                TokenFault::Malformed => "IDX14100: JWT is not well formed.",
                TokenFault::BadSignature => {
                    "Access token validation failure. Signature verification failed."
                }
                TokenFault::Expired { .. } => "Lifetime validation failed, the token is expired.",
            })
        })?;
        let audience = claims.aud.trim_end_matches('/');
        if audience != "https://graph.microsoft.com"
            && audience != "00000003-0000-0000-c000-000000000000"
        {
            return Err(refuse("Access token validation failure. Invalid audience."));
        }
        if claims.tid != entra::tenant_of(state) {
            return Err(refuse("Access token validation failure. Invalid issuer."));
        }
        let user = state.entra.user(&claims.oid).is_some();
        let known = user
            || state
                .entra
                .principal(&claims.oid)
                .is_some_and(|sp| world.sees(sp.arrival.read));
        if claims.oid.is_empty() || !known {
            return Err(GraphError::new(
                401,
                "Authorization_IdentityNotFound",
                "The identity of the calling application could not be established.",
            ));
        }
        let scopes = claims.scp.split_whitespace().map(str::to_owned);
        Ok(Self {
            oid: claims.oid,
            application: !user,
            permissions: claims.roles.into_iter().chain(scopes).collect(),
        })
    }

    pub(super) fn has(&self, permission: &str) -> bool {
        self.permissions.iter().any(|have| have == permission)
    }

    /// May change every application.
    pub(super) fn writes_all(&self) -> bool {
        self.has("Application.ReadWrite.All")
    }

    /// May read every application.
    pub(super) fn reads_all(&self) -> bool {
        self.writes_all() || self.has("Application.Read.All") || self.has("Directory.Read.All")
    }

    /// May create applications, and change those it owns.
    pub(super) fn writes_owned(&self) -> bool {
        self.writes_all() || self.has("Application.ReadWrite.OwnedBy")
    }

    pub(super) fn may_change(&self, owners: &[String]) -> bool {
        self.writes_all() || (self.writes_owned() && owners.contains(&self.oid))
    }

    pub(super) fn may_read(&self, owners: &[String]) -> bool {
        self.reads_all() || self.may_change(owners)
    }

    /// May read service principals, which every application permission includes.
    pub(super) fn reads_principals(&self) -> bool {
        self.reads_all() || self.writes_owned()
    }

    pub(super) fn reads_users(&self) -> bool {
        ["User.Read.All", "User.ReadBasic.All", "Directory.Read.All"]
            .iter()
            .any(|permission| self.has(permission))
    }
}
