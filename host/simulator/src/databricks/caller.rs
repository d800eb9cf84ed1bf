//! Who is calling: the credential, the principal behind it and what it may do in general.

use axum::http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::State;
use super::directory::{ADMINS, Kind, Principal};
use super::errors::Refusal;
use super::request::Request;
use super::workspace_objects;
use crate::entra::tokens::{self as entra_tokens, Claims};
use crate::{World, azure};

/// The application id that stands for Azure Databricks as the audience of Entra tokens.
pub(super) const DATABRICKS_APPLICATION: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
/// Azure Databricks refuses tokens that end sooner, in seconds (reference/databricks.md, 2.2).
const LEAST_LIFE: i64 = 30;
/// The right that lets a service principal in without being a member (2.3).
const WORKSPACE_WRITE: &str = "Microsoft.Databricks/workspaces/write";

/// Whose API a path belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plane {
    /// The workspace's.
    Workspace,
    /// The account's.
    Account,
}

/// A credential whose own validity has been checked as far as that goes without the state.
pub(super) struct Credential {
    token: String,
    entra: Option<Claims>,
    management: Option<Claims>,
}

/// The principal that makes a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The SCIM id.
    pub(super) id: u64,
    /// The email address or application id.
    pub(super) name: String,
    /// Person or service principal.
    pub(super) kind: Kind,
    /// Whether it administers the workspace.
    pub(super) admin: bool,
    /// Whether it administers the account.
    pub(super) account_admin: bool,
    /// The identity in Entra, when the credential is an Entra token.
    pub(super) entra: Option<EntraIdentity>,
}

/// The Entra identity of a caller with an Entra token.
#[derive(Clone, Debug)]
pub(super) struct EntraIdentity {
    /// The directory object's id.
    pub(super) oid: String,
}

impl Caller {
    /// Refuses everyone but account admins.
    pub(super) fn require_account_admin(&self) -> Result<(), Refusal> {
        if self.account_admin {
            Ok(())
        } else {
            Err(Refusal::not_account_admin())
        }
    }

    /// Refuses everyone but workspace admins, in the standard shape.
    pub(super) fn require_admin(&self, what: &str) -> Result<(), Refusal> {
        if self.admin {
            Ok(())
        } else {
            Err(Refusal::denied(format!(
                "{what} is only accessible by admins"
            )))
        }
    }
}

/// The SHA-256 of a token, in lower-case hexadecimal; all that is kept of it.
pub(super) fn digest(token: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(token.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

/// Reads and checks the credential of a request. Takes no part of the state.
pub(super) fn credential(request: &Request, plane: Plane) -> Result<Credential, Refusal> {
    refuse_wrong_host(request.host(), plane)?;
    let unsupported = || {
        Refusal::credential(
            StatusCode::UNAUTHORIZED,
            "Credential was not sent or was of an unsupported type for this API.",
        )
    };
    let token = request
        .header(header::AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty())
        .map(|(_, token)| token.trim().to_owned())
        .ok_or_else(unsupported)?;
    let entra = if looks_signed(&token) {
        Some(verified(&request.world, &token)?)
    } else {
        None
    };
    let management = request
        .header("x-databricks-azure-sp-management-token")
        .and_then(|token| entra_tokens::verify(&request.world, token).ok());
    Ok(Credential {
        token,
        entra,
        management,
    })
}

/// Finds the principal behind a credential. For a service principal that shows Azure rights on
/// the workspace, but is no member of it, see [`admit`].
pub(super) fn identify(
    request: &Request,
    state: &crate::State,
    credential: &Credential,
    plane: Plane,
) -> Result<Caller, Refusal> {
    let (principal, entra) = match &credential.entra {
        Some(claims) => {
            refuse_foreign(&state.databricks, claims)?;
            let principal = principal_of(&state.databricks, claims);
            let identity = EntraIdentity {
                oid: claims.oid.clone(),
            };
            (principal.ok_or_else(|| stranger(plane))?, Some(identity))
        }
        None => (
            own_token(request, &state.databricks, credential, plane)?,
            None,
        ),
    };
    let may_enter =
        principal.active && (plane == Plane::Account || principal.is_visible(&request.world));
    if !may_enter {
        return Err(stranger(plane));
    }
    let directory = &state.databricks.directory;
    Ok(Caller {
        id: principal.id,
        name: principal.name.clone(),
        kind: principal.kind,
        admin: directory.is_admin(principal.id),
        account_admin: directory.is_account_admin(principal.id),
        entra,
    })
}

/// Whether the management headers of a request prove enough Azure rights to be let in, for a
/// caller that is no member yet (reference/databricks.md, 2.3).
pub(super) fn may_admit(request: &Request, state: &crate::State, credential: &Credential) -> bool {
    let (Some(claims), Some(management)) = (&credential.entra, &credential.management) else {
        return false;
    };
    let workspace = &state.databricks.workspace;
    let resource = request
        .header("x-databricks-azure-workspace-resource-id")
        .is_some_and(|id| id.eq_ignore_ascii_case(&workspace.resource_id));
    let arm = [
        "https://management.core.windows.net",
        "https://management.azure.com",
    ]
    .contains(&management.aud.trim_end_matches('/'));
    let member = principal_of(&state.databricks, claims)
        .is_some_and(|principal| principal.member_since.is_some());
    !member
        && resource
        && arm
        && refuse_foreign(&state.databricks, claims).is_ok()
        && claims.oid == management.oid
        && claims.upn.is_none()
        && azure::access::allowed(
            &request.world,
            state,
            &management.oid,
            WORKSPACE_WRITE,
            &workspace.resource_id,
        )
}

/// Makes the caller a member and an admin of the workspace.
pub(super) fn admit(request: &Request, state: &mut State, credential: &Credential) {
    let Some(application) = credential
        .entra
        .as_ref()
        .and_then(|claims| claims.appid.clone())
    else {
        return;
    };
    let known = state
        .directory
        .find(Kind::ServicePrincipal, &application)
        .map(|principal| principal.id);
    let id = known.unwrap_or_else(|| {
        let id = request.world.number();
        state
            .directory
            .add(id, Kind::ServicePrincipal, &application, &application)
            .id
    });
    join_workspace(&request.world, state, id, true);
    if let Some(admins) = state
        .directory
        .groups
        .values_mut()
        .find(|group| group.name == ADMINS)
    {
        admins.members.insert(id);
    }
}

/// Makes a principal of the account a member of the workspace, with a home folder. What the rest
/// of the workspace sees of it lags behind, unless `at_once`.
pub(super) fn join_workspace(world: &World, state: &mut State, id: u64, at_once: bool) {
    let since = if at_once {
        world.now()
    } else {
        world.visible_at(crate::Plane::Databricks)
    };
    let Some(principal) = state.directory.principals.get_mut(&id) else {
        return;
    };
    if principal.member_since.is_none() {
        principal.member_since = Some(since);
    }
    let (kind, name) = (principal.kind, principal.name.clone());
    workspace_objects::ensure_home(world, state, kind, &name);
}

fn verified(world: &World, token: &str) -> Result<Claims, Refusal> {
    let claims = entra_tokens::verify(world, token).map_err(|fault| {
        Refusal::credential(
            StatusCode::FORBIDDEN,
            format!("Invalid access token. {fault}"),
        )
    })?;
    if claims.aud.trim_end_matches('/') != DATABRICKS_APPLICATION {
        return Err(Refusal::credential(
            StatusCode::UNAUTHORIZED,
            format!(
                "Invalid access token. The audience of the token is {}; expected {DATABRICKS_APPLICATION}",
                claims.aud
            ),
        ));
    }
    if claims.exp - world.now().unix_timestamp() < LEAST_LIFE {
        return Err(Refusal::credential(
            StatusCode::FORBIDDEN,
            "Invalid access token. The token is expired.",
        ));
    }
    Ok(claims)
}

fn refuse_foreign(state: &State, claims: &Claims) -> Result<(), Refusal> {
    let expected = format!("https://sts.windows.net/{}/", state.workspace.tenant_id);
    if claims.iss == expected {
        return Ok(());
    }
    Err(Refusal::credential(
        StatusCode::BAD_REQUEST,
        format!(
            "io.jsonwebtoken.IncorrectClaimException: Expected iss claim to be: {expected}, but was: {}",
            claims.iss
        ),
    ))
}

fn principal_of<'a>(state: &'a State, claims: &Claims) -> Option<&'a Principal> {
    match (&claims.upn, &claims.appid) {
        (Some(upn), _) => state.directory.find(Kind::User, upn),
        (None, Some(application)) => state.directory.find(Kind::ServicePrincipal, application),
        (None, None) => None,
    }
}

/// The principal behind a PAT or a Databricks OAuth token.
fn own_token<'a>(
    request: &Request,
    state: &'a State,
    credential: &Credential,
    plane: Plane,
) -> Result<&'a Principal, Refusal> {
    let invalid = || Refusal::credential(StatusCode::FORBIDDEN, "Invalid access token.");
    let digest = digest(&credential.token);
    let now = request.now();
    if let Some(token) = state.oauth_tokens.get(&digest) {
        let principal = state.directory.principals.get(&token.principal);
        return principal
            .filter(|_| token.expires > now && token.of_account == (plane == Plane::Account))
            .ok_or_else(invalid);
    }
    state
        .pats
        .values()
        .find(|pat| pat.digest == digest)
        .filter(|pat| plane == Plane::Workspace && pat.is_live(now))
        .filter(|pat| !state.tokens_disabled() && super::tokens::may_use(state, pat.owner))
        .and_then(|pat| state.directory.principals.get(&pat.owner))
        .filter(|owner| owner.active)
        .ok_or_else(invalid)
}

fn stranger(plane: Plane) -> Refusal {
    match plane {
        Plane::Workspace => Refusal::credential(StatusCode::FORBIDDEN, "User not authorized."),
        Plane::Account => Refusal::not_account_admin(),
    }
}

/// A workspace host does not serve the account's API, nor the reverse; loopback serves both.
fn refuse_wrong_host(host: &str, plane: Plane) -> Result<(), Refusal> {
    let is_wrong = match plane {
        Plane::Account => host.starts_with("adb-"),
        Plane::Workspace => host.starts_with("accounts."),
    };
    if is_wrong {
        Err(Refusal::sign_in_page())
    } else {
        Ok(())
    }
}

fn looks_signed(token: &str) -> bool {
    token.split('.').count() == 3
}
