//! The token endpoint's refusals (reference, section 1.3).

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{State, World, wire::iso};

/// A refusal by the token endpoint, as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct StsFailure {
    /// The status code.
    pub status: u16,
    /// The error document.
    pub body: Value,
}

/// A refusal before its trace ids are drawn.
#[derive(Debug)]
pub(crate) struct StsError {
    code: u32,
    error: &'static str,
    status: u16,
    text: String,
}

fn client(code: u32, text: String) -> StsError {
    StsError {
        code,
        error: "invalid_client",
        status: 401,
        text,
    }
}

fn request(code: u32, error: &'static str, text: String) -> StsError {
    StsError {
        code,
        error,
        status: 400,
        text,
    }
}

/// Gives a refusal its ids and the shape on the wire: the tail is joined by spaces.
pub(crate) fn failure(world: &World, error: StsError) -> StsFailure {
    let timestamp = iso(world.now()).replace('T', " ");
    let (trace, correlation) = (world.guid(), world.guid());
    let StsError {
        code,
        error,
        status,
        text,
    } = error;
    StsFailure {
        status,
        body: json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
            ),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        }),
    }
}

/// Whether the tenant in the path is one of the shared names; an error if it is no tenant here.
pub(crate) fn check_tenant(world: &World, state: &State, tenant: &str) -> Result<bool, StsFailure> {
    if matches!(tenant, "common" | "organizations") {
        return Ok(true);
    }
    if state.entra.is_tenant(tenant) {
        return Ok(false);
    }
    let looks_right = uuid::Uuid::parse_str(tenant).is_ok() || tenant.contains('.');
    let error = if looks_right {
        request(
            90002,
            "invalid_request",
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        )
    } else {
        request(
            900_023,
            "invalid_request",
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        )
    };
    Err(failure(world, error))
}

pub(crate) fn unknown_application(state: &State, app_id: &str) -> StsError {
    request(
        700_016,
        "unauthorized_client",
        format!(
            "Application with identifier '{app_id}' was not found in the directory '{}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
            state.entra.display_name
        ),
    )
}

pub(crate) fn missing_principal(state: &State, app_id: &str) -> StsError {
    client(
        7_000_229,
        format!(
            "The client application {app_id} is missing service principal in the tenant {}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119",
            state.entra.tenant_id
        ),
    )
}

pub(crate) fn disabled(app_id: &str, name: &str) -> StsError {
    let text = format!("Application '{app_id}'({name}) is disabled.");
    request(7_000_112, "unauthorized_client", text)
}

pub(crate) fn wrong_secret(app_id: &str) -> StsError {
    client(
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{app_id}'."
        ),
    )
}

pub(crate) fn expired_secret(app_id: &str) -> StsError {
    client(
        7_000_222,
        format!(
            "The provided client secret keys for app '{app_id}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."
        ),
    )
}

pub(crate) fn no_credential() -> StsError {
    client(7_000_216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.".to_owned())
}

pub(crate) fn missing_field(name: &str) -> StsError {
    let text = format!("The request body must contain the following parameter: '{name}'.");
    request(900_144, "invalid_request", text)
}

pub(crate) fn unsupported_grant(grant: &str) -> StsError {
    let text = format!("The app requested an unsupported grant type '{grant}'.");
    request(70003, "unsupported_grant_type", text)
}

pub(crate) fn bad_scope(scope: &str) -> StsError {
    request(
        70011,
        "invalid_scope",
        format!(
            "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
        ),
    )
}

pub(crate) fn scope_without_default(scope: &str) -> StsError {
    request(
        1_002_012,
        "invalid_scope",
        format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
        ),
    )
}

pub(crate) fn unknown_resource(state: &State, resource: &str) -> StsError {
    request(
        500_011,
        "invalid_resource",
        format!(
            "The resource principal named {resource} was not found in the tenant named {}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
            state.entra.display_name
        ),
    )
}

pub(crate) fn assertion_out_of_time(
    now: OffsetDateTime,
    from: OffsetDateTime,
    until: OffsetDateTime,
) -> StsError {
    client(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of assertion {}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
            iso(now),
            iso(from),
            iso(until)
        ),
    )
}

pub(crate) fn bad_assertion(why: &str) -> StsError {
    client(
        700_027,
        format!("Client assertion failed signature validation. {why}"),
    )
}

const FEDERATION_HELP: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

pub(crate) fn no_federation(code: u32, what: &str, value: &str) -> StsError {
    client(
        code,
        format!(
            "No matching federated identity record found for presented assertion {what} '{value}'. {FEDERATION_HELP}"
        ),
    )
}

pub(crate) fn federation_case(subject: &str) -> StsError {
    client(
        7_002_138,
        format!(
            "No matching federated identity record found for presented assertion subject '{subject}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. {FEDERATION_HELP}"
        ),
    )
}

pub(crate) fn assertion_too_long() -> StsError {
    let text =
        "External OIDC Provider token must have a lifetime of less than or equal to 1.01:00:00";
    request(70023, "invalid_request", text.to_owned())
}

pub(crate) fn no_randomness() -> StsError {
    failing(503)
}

/// A refusal that has no cause in the request; 403 is that of an access policy.
pub(crate) fn failing(status: u16) -> StsError {
    let (code, error, text) = if status == 403 {
        let text = "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.";
        (53003, "access_denied", text)
    } else {
        let text = "A transient error has occurred. Please try again.";
        (90033, "temporarily_unavailable", text)
    };
    StsError {
        code,
        error,
        status,
        text: text.to_owned(),
    }
}
