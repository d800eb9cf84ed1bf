//! Refusals in the shapes that the different APIs use (reference/databricks.md, 3.1 and 3.2).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refused request: its HTTP status and the body that this API answers with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    status: StatusCode,
    shape: Shape,
    message: String,
    /// The `metadata` of an `ErrorInfo` among the details.
    metadata: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// `{error_code, message}`; the code is a string, or a number for refused credentials.
    Standard(Value),
    /// The SCIM error resource, with its optional `scimType`.
    Scim(Option<&'static str>),
    /// The token endpoint's `{error, error_description, error_id}`.
    OAuth {
        error: &'static str,
        error_id: String,
    },
    /// The sign-in page that a workspace shows for paths which belong to the account.
    SignIn,
}

impl Refusal {
    /// A standard error with any status and code.
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            shape: Shape::Standard(Value::from(code)),
            message: message.into(),
            metadata: None,
        }
    }

    /// The same with an `ErrorInfo` that carries this metadata.
    pub(super) fn with_metadata(self, metadata: Value) -> Self {
        Self {
            metadata: Some(metadata),
            ..self
        }
    }

    /// 400 `INVALID_PARAMETER_VALUE`.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)
    }

    /// 400 `BAD_REQUEST`.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// 400 `MALFORMED_REQUEST`.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", message)
    }

    /// 400 `INVALID_STATE`.
    pub(super) fn invalid_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_STATE", message)
    }

    /// 400 `RESOURCE_ALREADY_EXISTS`, as secrets and workspace objects answer.
    pub(super) fn taken(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "RESOURCE_ALREADY_EXISTS", message)
    }

    /// 403 `PERMISSION_DENIED`.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message)
    }

    /// 404 `RESOURCE_DOES_NOT_EXIST`.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", message)
    }

    /// A refused credential: the code is the status as a number, and the reason is repeated in a header.
    pub(super) fn credential(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            shape: Shape::Standard(Value::from(status.as_u16())),
            message: message.into(),
            metadata: None,
        }
    }

    /// The answer of an account API to anyone but an account admin.
    pub(super) fn not_account_admin() -> Self {
        Self::denied(
            "This API is disabled for users without account admin status. Contact your administrator for more information.",
        )
    }

    /// A SCIM error.
    pub(super) fn scim(
        status: StatusCode,
        scim_type: Option<&'static str>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            shape: Shape::Scim(scim_type),
            message: detail.into(),
            metadata: None,
        }
    }

    /// A token endpoint's error.
    pub(super) fn oauth(
        status: StatusCode,
        error: &'static str,
        description: impl Into<String>,
        error_id: String,
    ) -> Self {
        Self {
            status,
            shape: Shape::OAuth { error, error_id },
            message: description.into(),
            metadata: None,
        }
    }

    /// The HTML sign-in page.
    pub(super) fn sign_in_page() -> Self {
        Self {
            status: StatusCode::OK,
            shape: Shape::SignIn,
            message: String::new(),
            metadata: None,
        }
    }

    /// No such API (also for a known path with another method).
    pub(super) fn no_such_endpoint(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ENDPOINT_NOT_FOUND",
            format!("No API found for '{method} {path}'"),
        )
    }

    /// What went wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The code and what went wrong, as the service's own clients print it.
    pub(super) fn summary(&self) -> String {
        match &self.shape {
            Shape::Standard(Value::String(code)) => format!("{code}: {}", self.message),
            _ => self.message.clone(),
        }
    }
}

/// The page that people sign in on; API clients that reach it have the wrong kind of host.
pub(super) const SIGN_IN_PAGE: &str = "<!doctype html><html><head><title>Databricks - Sign In</title></head><body><pre>Sign in to Databricks</pre></body></html>";

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = match &self.shape {
            Shape::Standard(code) => {
                let mut body = json!({ "error_code": code, "message": self.message });
                if let (Some(fields), Some(metadata)) = (body.as_object_mut(), &self.metadata) {
                    let detail = json!({
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": code,
                        "domain": "databricks.com",
                        "metadata": metadata,
                    });
                    fields.insert("details".into(), json!([detail]));
                }
                body
            }
            Shape::Scim(scim_type) => {
                let mut body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                    "detail": self.message,
                    "status": self.status.as_u16().to_string(),
                });
                if let (Some(fields), Some(scim_type)) = (body.as_object_mut(), scim_type) {
                    fields.insert("scimType".into(), Value::from(*scim_type));
                }
                body
            }
            Shape::OAuth { error, error_id } => json!({
                "error": error,
                "error_id": error_id,
                "error_description": self.message,
            }),
            Shape::SignIn => {
                return (
                    self.status,
                    [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
                    SIGN_IN_PAGE,
                )
                    .into_response();
            }
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Ok(reason) = HeaderValue::from_str(&self.message) {
            response.headers_mut().insert(
                HeaderName::from_static("x-databricks-reason-phrase"),
                reason,
            );
        }
        response
    }
}
