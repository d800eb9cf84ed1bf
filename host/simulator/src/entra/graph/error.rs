//! Graph's refusals (reference, section 2).

use serde_json::{Value, json};

use super::odata::Target;
use crate::{
    World,
    wire::{Incoming, Reply, iso},
};

/// A refusal before it is put on the wire.
#[derive(Debug)]
pub(super) struct GraphError {
    status: u16,
    code: &'static str,
    message: String,
    details: Option<Value>,
}

impl GraphError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: None,
        }
    }

    /// Adds the one detail, about a property.
    pub(super) fn detail(mut self, code: &str, target: &str) -> Self {
        self.details = Some(json!([{"code": code, "message": self.message, "target": target}]));
        self
    }

    pub(super) fn reply(&self, world: &World, incoming: &Incoming) -> Reply {
        let client_id = incoming
            .header("client-request-id")
            .unwrap_or(&incoming.request_id);
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(members) = error.as_object_mut() {
            if let Some(details) = &self.details {
                members.insert("details".to_owned(), details.clone());
            }
            members.insert(
                "innerError".to_owned(),
                json!({
                    "date": iso(world.now()).trim_end_matches('Z'),
                    "request-id": incoming.request_id,
                    "client-request-id": client_id,
                }),
            );
        }
        Reply::json(self.status, &json!({"error": error}))
    }
}

pub(super) fn bad_request(message: impl Into<String>) -> GraphError {
    GraphError::new(400, "Request_BadRequest", message)
}

pub(super) fn denied() -> GraphError {
    GraphError::new(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

pub(super) fn not_found(id: &str) -> GraphError {
    GraphError::new(
        404,
        "Request_ResourceNotFound",
        format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

pub(super) fn taken(property: &str) -> GraphError {
    bad_request(format!(
        "Another object with the same value for property {property} already exists."
    ))
    .detail("ObjectConflict", property)
}

pub(super) fn concurrent() -> GraphError {
    GraphError::new(
        409,
        "Directory_ConcurrencyViolation",
        "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
    )
}

/// A refusal that has no cause in the request.
pub(super) fn failing(status: u16) -> GraphError {
    let (code, message) = crate::refusal::plain(status);
    match status {
        400 => bad_request(message),
        401 => GraphError::new(401, "InvalidAuthenticationToken", "Access token is empty."),
        403 => denied(),
        404 => GraphError::new(404, "Request_ResourceNotFound", message),
        409 => concurrent(),
        _ => GraphError::new(status, code, message),
    }
}

pub(super) fn unsupported_query(what: &str) -> GraphError {
    GraphError::new(
        400,
        "Request_UnsupportedQuery",
        format!(
            "{what} is not supported without the header ConsistencyLevel: eventual and the parameter $count=true."
        ),
    )
}

pub(super) fn no_segment(target: &Target) -> GraphError {
    let segment = target.rest.last().unwrap_or(&target.collection);
    GraphError::new(
        400,
        "BadRequest",
        format!("Resource not found for the segment '{segment}'."),
    )
}
