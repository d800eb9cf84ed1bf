//! What all operations share on the wire: composing requests, reading replies, and telling an
//! object that is not there from a failure.

use lockkeeper_cloud::{Class, Cloud, Failure, Method, Path, Reply, Request, Sent, Service};
use lockkeeper_types::Value;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::definition::own_failure;

/// A request whose path is `template` with `arguments` in its placeholders.
pub(super) fn request(
    operation: &'static str,
    service: Service,
    method: Method,
    template: &'static str,
    arguments: &[&str],
) -> Result<Request, Failure> {
    let path =
        Path::new(template, arguments).map_err(|error| invalid(operation, error.to_string()))?;
    Ok(Request::new(service, operation, method, path))
}

/// Arguments that cannot be sent.
pub(super) fn invalid(operation: &str, message: impl Into<String>) -> Failure {
    own_failure(Class::Invalid, operation, "InvalidArguments", message)
}

/// There is no such object, as lockkeeper itself knows.
pub(super) fn not_there(operation: &str, what: &str) -> Failure {
    own_failure(
        Class::NotFound,
        operation,
        "NotFound",
        format!("there is no {what}"),
    )
}

/// A reply of success that lacks what it should hold. What was asked for may have been done.
pub(super) fn unexpected(operation: &str, reason: impl std::fmt::Display) -> Failure {
    let message = format!("the service's reply is not as documented: {reason}");
    Failure {
        sent: Sent::MaybeHandled,
        ..own_failure(Class::Other, operation, "UnexpectedReply", message)
    }
}

/// The part of a reply that `T` describes.
pub(super) fn read<T: DeserializeOwned>(operation: &str, body: &Value) -> Result<T, Failure> {
    T::deserialize(body).map_err(|error| unexpected(operation, error))
}

/// Whether the service says that the object is not there. Some Databricks calls say so with
/// `INVALID_PARAMETER_VALUE` (reference/databricks.md, 3.2).
pub(super) fn is_missing(failure: &Failure) -> bool {
    let says_so = || {
        ["does not exist", "doesn't exist"]
            .iter()
            .any(|text| failure.message.contains(text))
    };
    failure.class == Class::NotFound || (failure.code == "INVALID_PARAMETER_VALUE" && says_so())
}

/// `None` when the object is not there.
pub(super) fn if_there<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(failure) if is_missing(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Success when the object is gone, whoever removed it.
pub(super) fn gone(result: Result<Reply, Failure>) -> Result<(), Failure> {
    if_there(result).map(|_| ())
}

/// The `value` items of all pages; `link` names the field with the next page's address.
pub(super) async fn pages<T: DeserializeOwned>(
    cloud: &Cloud,
    first: Request,
    link: &str,
) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    let mut request = first;
    loop {
        let reply = cloud.send(&request).await?;
        let page = reply.body.get("value").unwrap_or(&Value::Null);
        items.extend(read::<Vec<T>>(request.operation, page)?);
        match reply.body.get(link).and_then(Value::as_str) {
            Some(next) if !next.is_empty() => request = request.next_page(next),
            _ => return Ok(items),
        }
    }
}

/// A call's mark as 64 hexadecimal digits, for services that restrict characters and length.
pub(super) fn token(mark: &str) -> String {
    format!("{:x}", Sha256::digest(mark))
}

/// A string literal of an `OData` filter: its quotes are doubled.
pub(super) fn odata_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: Class, code: &str, message: &str) -> Failure {
        own_failure(class, "x", code, message)
    }

    #[test]
    fn the_ways_to_say_that_nothing_is_there() {
        let missing = |class, code, message| is_missing(&failure(class, code, message));
        assert!(missing(Class::NotFound, "Request_ResourceNotFound", ""));
        assert!(missing(
            Class::Invalid,
            "INVALID_PARAMETER_VALUE",
            "Job 7 does not exist."
        ));
        assert!(missing(
            Class::Invalid,
            "INVALID_PARAMETER_VALUE",
            "Run: 1 in job: 2 doesn't exist"
        ));
        assert!(!missing(
            Class::Invalid,
            "INVALID_PARAMETER_VALUE",
            "name is too long"
        ));
        assert!(!missing(
            Class::Denied,
            "PERMISSION_DENIED",
            "Job 7 does not exist."
        ));
    }

    #[test]
    fn a_token_fits_and_tells_marks_apart() {
        for mark in ["run/step#1/2", &"s".repeat(300)] {
            assert_eq!(token(mark).len(), 64);
        }
        assert_ne!(token("run/step#1/2"), token("run/step#1/3"));
    }

    #[test]
    fn arguments_that_cannot_be_a_path_are_invalid() {
        let failure = request("x", Service::Graph, Method::Get, "/v1.0/{}", &[".."]).unwrap_err();
        assert_eq!(
            (failure.class, failure.sent),
            (Class::Invalid, Sent::NotSent)
        );
    }

    #[test]
    fn odata_text_cannot_end_early() {
        assert_eq!(odata_text("a' or 'b"), "'a'' or ''b'");
    }
}
