//! Microsoft Entra through Microsoft Graph v1.0 (reference/entra-azure.md, section 2).

pub(super) mod application_adoption;
pub(super) mod applications;
pub(super) mod credentials;
pub(super) mod service_principals;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockkeeper_cloud::{Audience, AzureCloud, Class, Failure, Method, Request, Service};
use lockkeeper_types::Value;

use super::wire;
use crate::operation::Context;

fn graph(
    operation: &'static str,
    method: Method,
    template: &'static str,
    arguments: &[&str],
) -> Result<Request, Failure> {
    wire::request(operation, Service::Graph, method, template, arguments)
}

/// Makes the object if it is missing; 201 with the object, or 204 without one (section 2.2).
fn upsert(
    operation: &'static str,
    template: &'static str,
    key: &str,
    body: Value,
) -> Result<Request, Failure> {
    Ok(graph(operation, Method::Patch, template, &[key])?
        .header("Prefer", "create-if-missing")
        .json(body)
        .idempotent(true))
}

/// `body` with the calling application as an owner, so that `Application.ReadWrite.OwnedBy` is
/// enough for what comes after (section 2.1). Graph makes a person the owner by itself.
async fn owned(context: &Context<'_>, mut body: Value) -> Result<Value, Failure> {
    let token = context.cloud.token(Audience::Graph).await?;
    if let Some(object_id) = calling_application(token.value.expose()) {
        let graph = match context.cloud.target().cloud {
            AzureCloud::Public => "https://graph.microsoft.com",
            AzureCloud::UsGovernment => "https://graph.microsoft.us",
            AzureCloud::China => "https://microsoftgraph.chinacloudapi.cn",
        };
        let owner = format!("{graph}/v1.0/directoryObjects/{object_id}");
        if let Some(fields) = body.as_object_mut() {
            fields.insert("owners@odata.bind".to_owned(), Value::from(vec![owner]));
        }
    }
    Ok(body)
}

/// The object id of the service principal that an access token stands for; `None` for a person.
fn calling_application(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    // Only delegated tokens carry scopes.
    if claims.get("scp").is_some() {
        return None;
    }
    Some(claims.get("oid")?.as_str()?.to_owned())
}

/// Names the refusals of Graph that are told apart by their text alone (sections 2.2 and 2.5).
fn explained(failure: Failure) -> Failure {
    let has = |code: &str| {
        failure.code == code || failure.detail_codes.iter().any(|detail| detail == code)
    };
    let says = |text: &str| failure.message.contains(text);
    if has("NoBackingApplicationObject")
        || says("does not reference a valid application object")
        || says("the backing application of the service principal being created must")
    {
        return Failure {
            class: Class::NotYetVisible,
            ..failure
        };
    }
    if says("property uniqueName already exists") {
        let message = format!(
            "{} A deleted application keeps its unique name for 30 days: restore it or delete it for good, or choose another name.",
            failure.message
        );
        return Failure {
            class: Class::Conflict,
            message,
            ..failure
        };
    }
    failure
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::own_failure;

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn the_calling_application_is_in_its_token() {
        let application = token(&json!({ "oid": "o-1", "idtyp": "app" }));
        assert_eq!(calling_application(&application).as_deref(), Some("o-1"));
        let person = token(&json!({ "oid": "o-2", "scp": "User.Read" }));
        assert_eq!(calling_application(&person), None);
        assert_eq!(calling_application("opaque"), None);
    }

    #[test]
    fn an_upsert_may_be_sent_twice() {
        let request = upsert("x", "/v1.0/applications(uniqueName='{}')", "o'b", json!({})).unwrap();
        assert!(request.idempotent);
        assert_eq!(
            request.headers,
            [("Prefer", "create-if-missing".to_owned())]
        );
        assert_eq!(
            request.path.as_str(),
            "/v1.0/applications(uniqueName='o%27%27b')"
        );
    }

    #[test]
    fn misleading_refusals_are_named() {
        let class = |class, message| explained(own_failure(class, "x", "c", message)).class;
        assert_eq!(
            class(
                Class::Denied,
                "When using this permission, the backing application of the service principal being created must in the local tenant"
            ),
            Class::NotYetVisible
        );
        assert_eq!(
            class(
                Class::Invalid,
                "Another object with the same value for property uniqueName already exists."
            ),
            Class::Conflict
        );
        assert_eq!(
            class(
                Class::Denied,
                "Insufficient privileges to complete the operation."
            ),
            Class::Denied
        );
    }
}
