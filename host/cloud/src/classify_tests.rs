use super::*;
use crate::path::Path;
use crate::request::{Method, Request};

fn answer(code: &str, message: &str) -> Answer {
    Answer {
        code: code.to_owned(),
        message: message.to_owned(),
        ..Answer::default()
    }
}

fn judged(service: &Service, template: &str, status: u16, code: &str, message: &str) -> Class {
    classify(service, template, status, &answer(code, message)).0
}

#[test]
fn code_goes_before_status() {
    for (service, status, code, class) in [
        (
            Service::Databricks,
            400,
            "RESOURCE_DOES_NOT_EXIST",
            Class::NotFound,
        ),
        (
            Service::Databricks,
            400,
            "RESOURCE_ALREADY_EXISTS",
            Class::Conflict,
        ),
        (
            Service::Databricks,
            400,
            "REQUEST_LIMIT_EXCEEDED",
            Class::Throttled,
        ),
        (
            Service::Databricks,
            404,
            "ENDPOINT_NOT_FOUND",
            Class::Invalid,
        ),
        (Service::Databricks, 409, "ABORTED", Class::Conflict),
        (
            Service::Graph,
            409,
            "Directory_ConcurrencyViolation",
            Class::Throttled,
        ),
        (
            Service::Graph,
            401,
            "Authorization_IdentityNotFound",
            Class::Unauthenticated,
        ),
        (Service::Arm, 400, "PrincipalNotFound", Class::Invalid),
        (Service::Arm, 409, "RoleAssignmentExists", Class::Conflict),
        (Service::Entra, 400, "AADSTS700016", Class::Unauthenticated),
        (Service::Entra, 400, "AADSTS1002012", Class::Invalid),
        (Service::Entra, 429, "http-429", Class::Throttled),
        (Service::Graph, 404, "new-code", Class::NotFound),
        (Service::Graph, 418, "new-code", Class::Invalid),
        (Service::Graph, 503, "new-code", Class::Unavailable),
        (Service::Graph, 302, "new-code", Class::Other),
    ] {
        assert_eq!(
            judged(&service, "/x", status, code, "m"),
            class,
            "{code} {status}"
        );
    }
}

#[test]
fn absent_jobs_are_not_invalid_requests() {
    let judge = |template, message| {
        judged(
            &Service::Databricks,
            template,
            400,
            "INVALID_PARAMETER_VALUE",
            message,
        )
    };
    assert_eq!(
        judge("/api/2.2/jobs/get", "Job 7 does not exist."),
        Class::NotFound
    );
    assert_eq!(
        judge("/api/2.2/jobs/runs/get", "Run: 7 in job: 8 doesn't exist"),
        Class::NotFound
    );
    assert_eq!(
        judge("/api/2.1/clusters/get", "Cluster x does not exist"),
        Class::NotFound
    );
    let run_as = "'x' cannot be set as run_as service principal, because it doesn't exist.";
    assert_eq!(judge("/api/2.2/jobs/create", run_as), Class::Invalid);
}

#[test]
fn texts_without_a_code_of_their_own() {
    let judge = |status, code, message| judged(&Service::Databricks, "/x", status, code, message);
    assert_eq!(
        judge(403, "403", "Invalid access token."),
        Class::Unauthenticated
    );
    assert_eq!(
        judge(
            400,
            "http-400",
            "io.jsonwebtoken.IncorrectClaimException: Expected iss"
        ),
        Class::Unauthenticated
    );
    assert_eq!(
        judge(
            400,
            "BAD_REQUEST",
            "GetUserPermissionsRequest RPC token bucket limit has been exceeded."
        ),
        Class::Throttled
    );
    assert_eq!(
        judge(400, "BAD_REQUEST", "worker env w-1 not found"),
        Class::Unavailable
    );
    assert_eq!(
        judge(400, "SCIM_400", "User with username x already exists."),
        Class::Conflict
    );
    let conflict = Answer {
        detail_codes: vec!["ObjectConflict".to_owned()],
        ..answer("Request_BadRequest", "m")
    };
    assert_eq!(
        classify(&Service::Graph, "/x", 400, &conflict),
        (Class::Conflict, Sent::Answered)
    );
}

#[test]
fn only_a_clear_refusal_counts_as_answered() {
    let sent = |status, code: &str| classify(&Service::Graph, "/x", status, &answer(code, "m")).1;
    assert_eq!(sent(403, "Forbidden"), Sent::Answered);
    assert_eq!(sent(429, "http-429"), Sent::Answered);
    assert_eq!(sent(503, "TooManyRequests"), Sent::Answered);
    assert_eq!(sent(503, "http-503"), Sent::MaybeHandled);
    assert_eq!(sent(500, "http-500"), Sent::MaybeHandled);
    assert_eq!(sent(408, "http-408"), Sent::MaybeHandled);
}

#[test]
fn refusals_that_may_be_replication() {
    let request = Request::new(
        Service::Graph,
        "x",
        Method::Get,
        Path::new("/x", &[]).unwrap(),
    );
    let failure = |code: &str, detail: &str, message: &str| Failure {
        detail_codes: vec![detail.to_owned()],
        ..Failure::not_sent(&request, Class::Other, code, message)
    };
    for (code, detail, message) in [
        ("Request_BadRequest", "NoBackingApplicationObject", "m"),
        (
            "Authorization_RequestDenied",
            "",
            "When using this permission, the backing application of the service principal being created must in the local tenant",
        ),
        ("AADSTS7000215", "invalid_client", "m"),
        ("AADSTS7000229", "invalid_client", "m"),
        ("AADSTS700016", "unauthorized_client", "m"),
        ("PrincipalNotFound", "", "m"),
        ("Forbidden", "ForbiddenByRbac", "m"),
        ("Request_ResourceNotFound", "", "m"),
    ] {
        assert!(
            failure(code, detail, message).may_be_replication(),
            "{code} {detail}"
        );
    }
    for (code, detail, message) in [
        (
            "Authorization_RequestDenied",
            "",
            "Insufficient privileges to complete the operation.",
        ),
        ("Forbidden", "ForbiddenByFirewall", "m"),
        ("AADSTS70011", "invalid_scope", "m"),
        ("PERMISSION_DENIED", "", "Cannot bind the service principal"),
    ] {
        assert!(
            !failure(code, detail, message).may_be_replication(),
            "{code} {detail}"
        );
    }
}
