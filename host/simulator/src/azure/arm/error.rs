//! The resource manager's refusals.

use serde_json::json;

use crate::wire::Reply;

/// A refusal before it is put on the wire.
#[derive(Debug)]
pub(super) struct ArmError {
    status: u16,
    code: &'static str,
    message: String,
    challenge: Option<String>,
}

impl ArmError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            challenge: None,
        }
    }

    /// A 401 that says where to get a token.
    pub(super) fn challenge(self, tenant: &str) -> Self {
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/{tenant}\", error=\"invalid_token\", error_description=\"{}\"",
            self.message
        );
        Self {
            challenge: Some(challenge),
            ..self
        }
    }

    pub(super) fn reply(&self) -> Reply {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let reply = Reply::json(self.status, &body);
        match &self.challenge {
            Some(challenge) => reply.with("www-authenticate", challenge.clone()),
            None => reply,
        }
    }
}

pub(super) fn unknown_type(path: &str) -> ArmError {
    ArmError::new(
        404,
        "InvalidResourceType",
        format!("The resource type could not be found for the path '{path}'."),
    )
}

pub(super) fn no_subscription(id: &str) -> ArmError {
    let message = format!("The subscription '{id}' could not be found.");
    ArmError::new(404, "SubscriptionNotFound", message)
}

pub(super) fn no_group(name: &str) -> ArmError {
    let message = format!("Resource group '{name}' could not be found.");
    ArmError::new(404, "ResourceGroupNotFound", message)
}

pub(super) fn no_resource(kind: &str, name: &str, group: &str) -> ArmError {
    ArmError::new(
        404,
        "ResourceNotFound",
        format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        ),
    )
}

pub(super) fn bad_request(message: impl Into<String>) -> ArmError {
    ArmError::new(400, "BadRequest", message)
}

/// A refusal that has no cause in the request.
pub(super) fn failing(status: u16, tenant: &str) -> ArmError {
    let (code, message) = crate::refusal::plain(status);
    match status {
        401 => ArmError::new(401, "InvalidAuthenticationToken", message).challenge(tenant),
        403 => ArmError::new(403, "AuthorizationFailed", message),
        404 => ArmError::new(404, "ResourceNotFound", message),
        409 => ArmError::new(409, "AnotherOperationInProgress", message),
        _ => ArmError::new(status, code, message),
    }
}
