//! Judges error answers: by code first, then by status, then by the few texts that have no code of their own.

use crate::answer::Answer;
use crate::failure::{Class, Failure, Sent};
use crate::request::Service;

/// What kind of failure an answer is, and whether the service can have acted.
pub(crate) fn classify(
    service: &Service,
    template: &str,
    status: u16,
    answer: &Answer,
) -> (Class, Sent) {
    let class = by_text(service, template, answer)
        .or_else(|| answer.detail_codes.iter().find_map(|code| by_detail(code)))
        .or_else(|| by_code(&answer.code))
        .unwrap_or_else(|| by_status(status));
    // A gateway's 5xx does not tell whether the request had been passed on; 501 is the service's own refusal.
    let sent = if (status >= 500 && status != 501 && class != Class::Throttled)
        || status == 408
        || status == 499
    {
        Sent::MaybeHandled
    } else {
        Sent::Answered
    };
    (class, sent)
}

/// Codes inside an answer that say more than its outer code.
fn by_detail(code: &str) -> Option<Class> {
    match code {
        // reference/entra-azure.md, R16: a taken unique name is a plain 400 outside.
        "ObjectConflict" => Some(Class::Conflict),
        _ => None,
    }
}

fn by_code(code: &str) -> Option<Class> {
    if let Some(number) = code.strip_prefix("AADSTS") {
        return Some(by_aadsts(number));
    }
    Some(match code {
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" | "SCIM_404" | "Request_ResourceNotFound" | "ResourceNotFound"
        | "SubscriptionNotFound" | "ResourceGroupNotFound" | "SecretNotFound" | "VaultNotFound" | "FilesystemNotFound"
        | "PathNotFound" | "RoleAssignmentNotFound" => Class::NotFound,

        "RESOURCE_CONFLICT" | "ALREADY_EXISTS" | "RESOURCE_ALREADY_EXISTS" | "ABORTED" | "SCIM_409" | "DIRECTORY_NOT_EMPTY"
        | "Request_MultipleObjectsWithSameKeyValue" | "RoleAssignmentExists" | "VaultAlreadyExists" | "ConflictError"
        | "Conflict" | "AnotherOperationInProgress" => Class::Conflict,

        "PERMISSION_DENIED" | "CUSTOMER_UNAUTHORIZED" | "SCIM_403" | "Authorization_RequestDenied" | "AuthorizationFailed"
        | "LinkedAuthorizationFailed" | "Forbidden" | "AuthorizationPermissionMismatch" | "AuthorizationFailure"
        | "RequestDisallowedByPolicy" | "Directory_QuotaExceeded" | "access_denied" => Class::Denied,

        "UNAUTHENTICATED" | "SCIM_401" | "invalid_client" | "unauthorized_client" | "invalid_grant" | "InvalidAuthenticationToken"
        | "InvalidAuthenticationTokenTenant" | "ExpiredAuthenticationToken" | "AuthenticationFailed"
        | "Authorization_IdentityNotFound" | "NoAuthenticationInformation" | "InvalidAuthenticationInfo" => Class::Unauthenticated,

        // The directory refuses parallel writers and asks for a short wait: nothing was done.
        "Directory_ConcurrencyViolation"
        | "REQUEST_LIMIT_EXCEEDED" | "RESOURCE_EXHAUSTED" | "TooManyRequests" | "activityLimitReached" | "ApplicationThrottled"
        | "Throttled" | "SubscriptionRequestsThrottled" | "ServerBusy" => Class::Throttled,

        "TEMPORARILY_UNAVAILABLE" | "DEADLINE_EXCEEDED" | "INTERNAL_ERROR" | "CANCELLED" => Class::Unavailable,

        // An unknown path is a mistake of ours, not an absent object, though its status is 404 as well.
        "ENDPOINT_NOT_FOUND" | "FEATURE_DISABLED" | "NOT_IMPLEMENTED" | "MissingSubscriptionRegistration"
        // The object asked for is another one; the principal is an argument.
        | "PrincipalNotFound" | "UnmatchedPrincipalType"
        | "INVALID_PARAMETER_VALUE" | "MALFORMED_REQUEST" | "BAD_REQUEST" | "INVALID_STATE" | "QUOTA_EXCEEDED"
        | "RESOURCE_LIMIT_EXCEEDED" | "MAX_NOTEBOOK_SIZE_EXCEEDED" | "BadParameter" | "invalid_request" | "invalid_scope"
        | "invalid_resource" => Class::Invalid,
        _ => return None,
    })
}

/// reference/entra-azure.md, 1.3.
fn by_aadsts(number: &str) -> Class {
    match number {
        "70011" | "1002012" | "500011" | "90002" | "900023" | "900144" | "70003" => Class::Invalid,
        "53003" => Class::Denied,
        "90033" | "90055" => Class::Unavailable,
        _ => Class::Unauthenticated,
    }
}

fn by_status(status: u16) -> Class {
    match status {
        401 => Class::Unauthenticated,
        403 => Class::Denied,
        404 | 410 => Class::NotFound,
        409 | 412 => Class::Conflict,
        408 | 499 | 500 | 502..=599 => Class::Unavailable,
        429 => Class::Throttled,
        400..=498 | 501 => Class::Invalid,
        _ => Class::Other,
    }
}

/// Answers whose code misleads.
fn by_text(service: &Service, template: &str, answer: &Answer) -> Option<Class> {
    let message = answer.message.as_str();
    match service {
        Service::Databricks | Service::DatabricksAccount => databricks_text(template, answer),
        Service::Graph
            if message.contains("already exist") && answer.code != "Request_ResourceNotFound" =>
        {
            Some(Class::Conflict)
        }
        _ => None,
    }
}

fn databricks_text(template: &str, answer: &Answer) -> Option<Class> {
    let message = answer.message.as_str();
    if message.contains("token bucket limit has been exceeded") {
        return Some(Class::Throttled);
    }
    if UNREADY.iter().any(|text| message.contains(text))
        || (message.contains("worker env") && message.contains("not found"))
    {
        return Some(Class::Unavailable);
    }
    if message.contains("Invalid access token")
        || message.contains("io.jsonwebtoken.")
        || message.contains("Token is expired")
    {
        return Some(Class::Unauthenticated);
    }
    let absent = message.contains("does not exist") || message.contains("doesn't exist");
    // reference/databricks.md, 3.2: three reads answer 400 INVALID_PARAMETER_VALUE for what is not there.
    if answer.code == "INVALID_PARAMETER_VALUE" && absent {
        let about = |path: &str, nouns: &[&str]| {
            template.contains(path) && nouns.iter().any(|noun| message.starts_with(noun))
        };
        if about("/jobs/", &["Job ", "Run ", "Run: "]) || about("/clusters/", &["Cluster "]) {
            return Some(Class::NotFound);
        }
    }
    if answer.code.starts_with("SCIM_") && message.contains("already exists") {
        return Some(Class::Conflict);
    }
    None
}

/// Databricks' words for "try again" (reference/databricks.md, 3.3).
const UNREADY: &[&str] = &[
    "UnknownWorkerEnvironmentException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "ClusterNotReadyException",
    "Timed out after ",
    "deadline exceeded",
];

impl Failure {
    /// Whether this is one of the refusals that also mean "not here yet". It turns into [`Class::NotYetVisible`] only with
    /// the knowledge that the object or the grant was made a moment ago, which is the caller's
    /// (reference/entra-azure.md, 2.5 and 4.3).
    pub fn may_be_replication(&self) -> bool {
        const CODES: &[&str] = &[
            "AADSTS7000215",
            "AADSTS7000222",
            "AADSTS700016",
            "AADSTS7000229",
            "AADSTS700213",
            "AADSTS70021",
            "NoBackingApplicationObject",
            "PrincipalNotFound",
            "Authorization_IdentityNotFound",
            "Request_ResourceNotFound",
            "ForbiddenByRbac",
            "AccessDenied",
            "AuthorizationFailed",
            "AuthorizationPermissionMismatch",
            "RESOURCE_DOES_NOT_EXIST",
            "SCIM_404",
        ];
        const TEXTS: &[&str] = &[
            "does not reference a valid application object",
            "the backing application of the service principal being created must in the local tenant",
            "Not a valid reference update",
            "'puid' or 'altsecid' or 'oid'",
            "Client authentication failed",
            "User not authorized.",
            "cannot be set as run_as service principal",
            "not in workspace",
            "Invalid permissions on the specified KeyVault",
        ];
        let codes = || std::iter::once(&self.code).chain(&self.detail_codes);
        codes().any(|code| CODES.contains(&code.as_str()))
            || TEXTS.iter().any(|text| self.message.contains(text))
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
