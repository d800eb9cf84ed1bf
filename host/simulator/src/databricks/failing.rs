//! Errors that no endpoint makes itself, in the shape that the path's API has
//! (reference/databricks.md, 3.1 and 3.2), and the headers of every reply.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;

use super::errors::Refusal;
use crate::World;
use crate::wire::Incoming;

/// A refusal with this status.
pub(crate) fn failing(world: &World, path: &str, status: u16) -> Response<Body> {
    let known = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (_, message) = crate::refusal::plain(status);
    if path.contains("/scim/v2/") {
        return Refusal::scim(known, None, message).into_response();
    }
    if path.starts_with("/oidc/") && path.ends_with("/v1/token") {
        let (error, message) = match status {
            401 => ("invalid_client", "Client authentication failed"),
            429 | 503 => ("temporarily_unavailable", message),
            500.. => ("server_error", message),
            _ => ("invalid_request", message),
        };
        return Refusal::oauth(known, error, message, world.guid()).into_response();
    }
    let code = match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "RESOURCE_DOES_NOT_EXIST",
        409 => "RESOURCE_CONFLICT",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "NOT_IMPLEMENTED",
        503 => "TEMPORARILY_UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL_ERROR",
        _ => "BAD_REQUEST",
    };
    Refusal::new(known, code, message).into_response()
}

/// The reply with the workspace's number and the request's id.
pub(crate) fn headed(
    world: &World,
    incoming: &Incoming,
    mut response: Response<Body>,
) -> Response<Body> {
    let org = world.read(|state| state.databricks.workspace.id.to_string());
    for (name, value) in [
        ("x-databricks-org-id", org),
        ("x-request-id", incoming.request_id.clone()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    response
}
