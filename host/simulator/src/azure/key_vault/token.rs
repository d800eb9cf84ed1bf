//! The bearer token that a vault demands, and its challenge (reference, section 4.1).

use super::permission::{Reader, VaultRefusal};
use crate::{
    State, World, entra,
    entra::tokens::{self, TokenFault},
    wire::Incoming,
};

const RESOURCE: &str = "https://vault.azure.net";

/// Where to get a token, for the `WWW-Authenticate` header.
pub(super) fn challenge(state: &State) -> String {
    format!(
        "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"{RESOURCE}\"",
        entra::tenant_of(state)
    )
}

/// Who the token says is asking; every refusal is a 401.
pub(super) fn reader(
    world: &World,
    state: &State,
    incoming: &Incoming,
) -> Result<Reader, VaultRefusal> {
    let refuse = |message: String| VaultRefusal::new(401, "Unauthorized", message);
    let bearer = incoming
        .bearer()
        .ok_or_else(|| refuse("AKV10000: Request is missing a Bearer or PoP token.".to_owned()))?;
    let claims = tokens::verify(world, bearer).map_err(|fault| {
        refuse(match fault {
            TokenFault::Malformed => "AKV10001: The bearer token could not be parsed.".to_owned(),
            TokenFault::BadSignature => "AKV10021: The token's signature is not valid.".to_owned(),
            TokenFault::Expired { .. } => {
                "AKV10023: Lifetime validation failed. The token is expired.".to_owned()
            }
        })
    })?;
    // Only the bare form: the same with a slash is refused (azure-sdk-for-rust#243).
    if claims.aud != RESOURCE && claims.aud != "cfa8b339-82a2-471a-a3c9-0fc0be7a4093" {
        return Err(refuse(format!(
            "AKV10022: Invalid audience. Expected {RESOURCE}, found: {}.",
            claims.aud
        )));
    }
    let expected = format!("https://sts.windows.net/{}/", entra::tenant_of(state));
    if claims.iss != expected {
        return Err(refuse(format!(
            "AKV10032: Invalid issuer. Expected one of {expected}, found {}.",
            claims.iss
        )));
    }
    Ok(Reader {
        name: None,
        appid: claims.appid.unwrap_or_default(),
        oid: claims.oid,
    })
}
