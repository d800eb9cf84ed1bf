//! Refusals that no service came to make itself: by a fault, or before a service was asked. They
//! have the shape and the headers of the service all the same.

use axum::{body::Body, http::Response};
use serde_json::Value;

use crate::{
    World, azure, databricks, entra,
    service::Service,
    wire::{Incoming, Reply},
};

/// A refusal with this status as the service makes it, or with this body and the service's headers.
pub(crate) fn refusal(
    world: &World,
    service: &Service,
    incoming: &Incoming,
    status: u16,
    body: Option<&Value>,
) -> Response<Body> {
    let given = body.map(|body| Reply::json(status, body));
    let reply = match service {
        Service::Databricks => {
            let response = match given {
                Some(reply) => reply.into_response(),
                None => databricks::failing(world, &incoming.path, status),
            };
            return databricks::headed(world, incoming, response);
        }
        Service::Sts => entra::sts::headed(
            incoming,
            given.unwrap_or_else(|| entra::sts::failing(world, status)),
        ),
        Service::Graph => entra::graph::headed(
            incoming,
            given.unwrap_or_else(|| entra::graph::failing(world, incoming, status)),
        ),
        Service::Arm => azure::arm::headed(
            incoming,
            given.unwrap_or_else(|| azure::arm::failing(world, status)),
        ),
        Service::KeyVault(_) => azure::key_vault::headed(
            incoming,
            given.unwrap_or_else(|| azure::key_vault::failing(world, status)),
        ),
        Service::Storage { .. } => azure::storage::headed(
            incoming,
            given.unwrap_or_else(|| azure::storage::failing(world, status)),
        ),
        Service::Control | Service::Unknown => given.unwrap_or_else(|| Reply::empty(status)),
    };
    reply.into_response()
}

/// What most services say with a status that is nobody's in particular: a code and a message.
pub(crate) fn plain(status: u16) -> (&'static str, &'static str) {
    match status {
        413 => ("RequestEntityTooLarge", "The request is too large."),
        429 => (
            "TooManyRequests",
            "Too many requests. Please try again later.",
        ),
        503 => (
            "ServiceUnavailable",
            "The service is temporarily unavailable.",
        ),
        504 => (
            "GatewayTimeout",
            "The gateway did not receive a response in time.",
        ),
        500.. => (
            "InternalServerError",
            "The server encountered an internal error.",
        ),
        _ => ("BadRequest", "The request was refused."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        seed,
        testing::{ARM, Cloud, GRAPH, Got, LOGIN, STORAGE, VAULT},
    };

    const ME: &str = "/api/2.0/preview/scim/v2/Me";

    /// What a request to a path is answered when a fault gives it this status.
    async fn struck(cloud: &Cloud, status: u16, host: &str, path: &str) -> Got {
        let rule = json!({"path": "**", "times": 1, "action": {"status": {"status": status}}});
        let faults = "/__simulator/faults";
        cloud
            .send("POST", "localhost", faults, None, Some(rule), &[])
            .await
            .ok(201);
        cloud.send("GET", host, path, None, None, &[]).await
    }

    #[track_caller]
    fn has(got: &Got, headers: &[&str]) {
        for name in headers {
            assert!(!got.header(name).is_empty(), "{name}: {:?}", got.headers);
        }
    }

    #[tokio::test]
    async fn azure_planes_refuse_in_their_own_shapes() {
        let cloud = Cloud::start().await;
        let got = struck(&cloud, 429, LOGIN, "/t/oauth2/v2.0/token").await;
        got.aadsts(429, "temporarily_unavailable", 90033);
        for name in ["trace_id", "correlation_id", "timestamp"] {
            assert!(got.body[name].is_string(), "{}", got.body);
        }
        has(&got, &["x-ms-request-id", "x-ms-ests-server"]);
        let got = struck(&cloud, 403, LOGIN, "/t/oauth2/v2.0/token").await;
        got.aadsts(403, "access_denied", 53003);

        let got = struck(&cloud, 409, GRAPH, "/v1.0/me").await;
        got.refused(409, "Directory_ConcurrencyViolation");
        has(&got, &["request-id", "client-request-id"]);
        assert_eq!(
            got.body["error"]["innerError"]["request-id"],
            got.header("request-id")
        );

        let got = struck(&cloud, 503, ARM, "/subscriptions").await;
        got.refused(503, "ServiceUnavailable");
        assert_eq!(got.body["error"].as_object().unwrap().len(), 2);
        has(&got, &["x-ms-request-id", "x-ms-correlation-request-id"]);

        for (status, code) in [(429, "Throttled"), (503, "ServiceUnavailable")] {
            let got = struck(&cloud, status, VAULT, "/secrets/a").await;
            got.refused(status, code);
            assert!(got.body["error"].get("innerError").is_none());
            has(&got, &["x-ms-request-id", "x-ms-keyvault-region"]);
        }
        let got = struck(&cloud, 401, VAULT, "/secrets/a").await;
        has(&got, &["www-authenticate"]);

        let got = struck(&cloud, 503, STORAGE, "/data").await;
        let message = got.refused(503, "ServerBusy");
        assert!(!message.is_empty());
        assert_eq!(got.header("x-ms-error-code"), "ServerBusy");
        has(&got, &["x-ms-request-id", "x-ms-version"]);
    }

    #[tokio::test]
    async fn databricks_refuses_in_the_shape_of_the_path() {
        let cloud = Cloud::start().await;
        let host = seed::WORKSPACE_HOST;
        for (status, code) in [
            (409, "RESOURCE_CONFLICT"),
            (429, "RESOURCE_EXHAUSTED"),
            (500, "INTERNAL_ERROR"),
            (503, "TEMPORARILY_UNAVAILABLE"),
        ] {
            let got = struck(&cloud, status, host, "/api/2.2/jobs/list").await;
            assert_eq!(
                (got.status, &got.body["error_code"]),
                (status, &json!(code))
            );
            has(&got, &["x-request-id", "x-databricks-org-id"]);
        }
        let got = struck(&cloud, 503, host, ME).await;
        assert_eq!(got.body["status"], "503", "{}", got.body);
        assert!(got.body["schemas"].is_array(), "{}", got.body);
        has(&got, &["x-request-id"]);
        for (status, error) in [(401, "invalid_client"), (503, "temporarily_unavailable")] {
            let got = struck(&cloud, status, host, "/oidc/v1/token").await;
            assert_eq!((got.status, &got.body["error"]), (status, &json!(error)));
            assert!(got.body["error_id"].is_string(), "{}", got.body);
        }
        let unknown = cloud
            .send("GET", host, "/api/2.0/none", None, None, &[])
            .await;
        has(&unknown, &["x-request-id"]);
    }

    #[tokio::test]
    async fn a_body_beyond_every_limit_is_refused_in_the_services_shape() {
        let cloud = Cloud::start().await;
        let body = json!({"content": "-".repeat(32 << 20)});
        let path = "/api/2.0/workspace/import";
        let host = seed::WORKSPACE_HOST;
        let got = cloud.send("POST", host, path, None, Some(body), &[]).await;
        assert_eq!(
            (got.status, &got.body["error_code"]),
            (413, &json!("BAD_REQUEST"))
        );
    }
}
