//! Who calls the resource manager.

use super::error::ArmError;
use crate::{
    State, World, entra,
    entra::tokens::{self, TokenFault},
    wire::Incoming,
};

const AUDIENCES: [&str; 3] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
];

/// A caller with a valid token.
pub(super) struct Caller {
    pub(super) oid: String,
    /// The client id of an application, the user principal name of a user.
    name: String,
}

impl Caller {
    pub(super) fn of(world: &World, state: &State, incoming: &Incoming) -> Result<Self, ArmError> {
        let tenant = entra::tenant_of(state);
        let refuse =
            |code: &'static str, message: &str| ArmError::new(401, code, message).challenge(tenant);
        let bearer = incoming.bearer().ok_or_else(|| {
            refuse(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            )
        })?;
        let claims = tokens::verify(world, bearer).map_err(|fault| match fault {
            TokenFault::Expired { .. } => refuse(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
            TokenFault::Malformed | TokenFault::BadSignature => {
                refuse("InvalidAuthenticationToken", "The access token is invalid.")
            }
        })?;
        if !AUDIENCES.contains(&claims.aud.trim_end_matches('/')) {
            return Err(refuse(
                "InvalidAuthenticationToken",
                &format!(
                    "The access token has been obtained for wrong audience or resource '{}'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.azure.com/'.",
                    claims.aud
                ),
            ));
        }
        if claims.tid != tenant {
            return Err(refuse(
                "InvalidAuthenticationTokenTenant",
                &format!(
                    "The access token is from the wrong issuer '{}'. It must match the tenant 'https://sts.windows.net/{tenant}/' associated with this subscription.",
                    claims.iss
                ),
            ));
        }
        if claims.oid.is_empty() {
            return Err(refuse(
                "InvalidAuthenticationToken",
                "The received access token is not valid: at least one of the claims 'puid' or 'altsecid' or 'oid' should be present. If you are accessing as application please make sure service principal is properly created in the tenant.",
            ));
        }
        let name = claims.upn.or(claims.appid).unwrap_or_default();
        Ok(Self {
            oid: claims.oid,
            name,
        })
    }

    pub(super) fn unauthorized(&self, action: &str, scope: &str) -> ArmError {
        ArmError::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                self.name, self.oid
            ),
        )
    }
}
