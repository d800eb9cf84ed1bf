//! An Azure Databricks workspace (reference/databricks.md).

pub(super) mod clusters;
pub(super) mod entitlements;
pub(super) mod job_adoption;
mod job_settings;
pub(super) mod jobs;
pub(super) mod permissions;
pub(super) mod roles;
pub(super) mod runs;
pub(super) mod secret_acls;
pub(super) mod secret_scopes;
pub(super) mod secrets;
pub(super) mod service_principals;
pub(super) mod workspace_objects;
mod workspace_state;

use lockkeeper_cloud::{Failure, Method, Request, Service};
use lockkeeper_types::Value;

use super::wire;
use crate::operation::Context;

fn get(operation: &'static str, path: &'static str) -> Result<Request, Failure> {
    wire::request(operation, Service::Databricks, Method::Get, path, &[])
}

/// A POST, which most writes are here; none of them is safe to send twice unless said so.
fn post(operation: &'static str, path: &'static str, body: Value) -> Result<Request, Failure> {
    Ok(wire::request(operation, Service::Databricks, Method::Post, path, &[])?.json(body))
}

/// What a workspace says of itself without credentials (section 2.1).
async fn configuration(context: &Context<'_>, operation: &'static str) -> Result<Value, Failure> {
    let request = get(operation, "/.well-known/databricks-config")?;
    Ok(context.cloud.send(&request).await?.body)
}

fn text(value: &Value, field: &str) -> Option<String> {
    match value.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The Databricks account of the workspace, from the target or from the workspace itself.
async fn account_id(context: &Context<'_>, operation: &'static str) -> Result<String, Failure> {
    if let Some(id) = &context.cloud.target().account_id {
        return Ok(id.clone());
    }
    text(&configuration(context, operation).await?, "account_id").ok_or_else(|| {
        wire::invalid(
            operation,
            "the workspace does not tell which Databricks account it belongs to; set account_id in the target",
        )
    })
}

/// The host name of the workspace.
fn host<'a>(context: &Context<'a>, operation: &str) -> Result<&'a str, Failure> {
    let workspace = context.cloud.target().workspace.as_deref();
    let workspace = workspace.ok_or_else(|| {
        wire::invalid(
            operation,
            "the target names no workspace; set workspace in it",
        )
    })?;
    Ok(workspace
        .trim_start_matches("https://")
        .trim_end_matches('/'))
}

/// The workspace's number, from its host name or from the workspace itself.
async fn workspace_id(
    context: &Context<'_>,
    operation: &'static str,
) -> Result<Option<String>, Failure> {
    if let Some(id) = id_in_host(host(context, operation)?) {
        return Ok(Some(id.to_owned()));
    }
    Ok(text(
        &configuration(context, operation).await?,
        "workspace_id",
    ))
}

/// The number in `adb-NUMBER.N.azuredatabricks.net`.
fn id_in_host(host: &str) -> Option<&str> {
    let id = host.strip_prefix("adb-")?.split('.').next()?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

/// A SCIM filter's string literal.
fn scim_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workspace_is_known_by_its_host() {
        assert_eq!(
            id_in_host("adb-4242424242424242.2.azuredatabricks.net"),
            Some("4242424242424242")
        );
        assert_eq!(id_in_host("adb-x.2.azuredatabricks.net"), None);
        assert_eq!(id_in_host("workspace.example"), None);
    }

    #[test]
    fn a_filter_cannot_end_early() {
        assert_eq!(scim_text(r#"a" or x eq "b\"#), r#""a\" or x eq \"b\\""#);
    }

    #[test]
    fn ids_come_as_text_or_number() {
        let body = json!({ "a": "1", "b": 2, "c": "", "d": null });
        assert_eq!(text(&body, "a").as_deref(), Some("1"));
        assert_eq!(text(&body, "b").as_deref(), Some("2"));
        assert_eq!(
            (text(&body, "c"), text(&body, "d"), text(&body, "e")),
            (None, None, None)
        );
    }
}
