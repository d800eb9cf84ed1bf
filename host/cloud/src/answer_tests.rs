use serde_json::json;

use super::*;
use crate::secret::SecretString;

fn read_json(service: &Service, status: u16, body: &Value) -> Answer {
    read(service, status, &[], body.to_string().as_bytes())
}

fn read_text(body: &str) -> Answer {
    read(&Service::Databricks, 400, &[], body.as_bytes())
}

fn vault() -> Service {
    Service::KeyVault {
        vault_url: "https://kv-demo.vault.azure.net".to_owned(),
    }
}

#[test]
fn databricks_standard() {
    let body = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such job", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "JOB_GONE", "domain": "jobs"},
        {"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": "r-1"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.5s"}]});
    let answer = read_json(&Service::Databricks, 404, &body);
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("RESOURCE_DOES_NOT_EXIST", "no such job")
    );
    assert_eq!(answer.detail_codes, ["JOB_GONE"]);
    assert_eq!(answer.request_id.as_deref(), Some("r-1"));
    assert_eq!(answer.retry_after, Some(Duration::from_millis(1500)));
}

#[test]
fn databricks_numeric_code() {
    let answer = read_json(
        &Service::Databricks,
        403,
        &json!({"error_code": 403, "message": "Invalid access token."}),
    );
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("403", "Invalid access token.")
    );
}

#[test]
fn databricks_legacy() {
    let answer = read_json(
        &Service::Databricks,
        400,
        &json!({"error": "ContextStatusInput is wrong"}),
    );
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("http-400", "ContextStatusInput is wrong")
    );
}

#[test]
fn databricks_scim() {
    let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:Error"]);
    let body =
        json!({"schemas": schemas, "detail": "not there", "status": "404", "scimType": "noTarget"});
    let answer = read_json(&Service::Databricks, 404, &body);
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("SCIM_404", "noTarget not there")
    );
    let answer = read_json(
        &Service::Databricks,
        500,
        &json!({"schemas": schemas, "detail": "null", "status": "500"}),
    );
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("SCIM_500", "SCIM API internal error")
    );
}

#[test]
fn databricks_oauth() {
    let body = json!({"error": "invalid_client", "error_id": "e-1", "error_description": "Client authentication failed"});
    let answer = read_json(&Service::Databricks, 401, &body);
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("invalid_client", "Client authentication failed")
    );
    assert_eq!(answer.request_id.as_deref(), Some("e-1"));
}

#[test]
fn databricks_text() {
    let answer = read_text("INVALID_STATE: the workspace is being deleted");
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("INVALID_STATE", "the workspace is being deleted")
    );
    assert_eq!(read_text("Note: nothing").code, "http-400");
}

#[test]
fn databricks_html() {
    let answer = read_text(
        "<html><head><title>Error 400 x</title></head><body><pre>it &lt;broke&gt;</pre></body></html>",
    );
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("http-400", "it <broke>")
    );
    assert_eq!(
        read_text("<!doctype html><title>Error 403 User not authorized.</title>").message,
        "Error 403 User not authorized."
    );
    assert_eq!(
        read_text("<html></html>").message,
        "the answer is a web page"
    );
}

#[test]
fn nothing_at_all() {
    let headers = [(
        "x-databricks-reason-phrase".to_owned(),
        "Invalid access token.".to_owned(),
    )];
    assert_eq!(
        read(&Service::Databricks, 403, &headers, b"").message,
        "Invalid access token."
    );
    assert_eq!(
        read(&Service::Graph, 403, &[], b"").message,
        "Forbidden, without a message"
    );
}

#[test]
fn graph() {
    let body = json!({"error": {"code": "Request_BadRequest", "message": "m",
        "details": [{"code": "NoBackingApplicationObject", "target": "appId"}],
        "innerError": {"date": "2026-01-01T00:00:00", "request-id": "r-2"}}});
    let answer = read_json(&Service::Graph, 400, &body);
    assert_eq!(
        (answer.code.as_str(), answer.message.as_str()),
        ("Request_BadRequest", "m")
    );
    assert_eq!(answer.detail_codes, ["NoBackingApplicationObject"]);
    assert_eq!(answer.request_id.as_deref(), Some("r-2"));

    let body = json!({"error": {"code": "c", "message": {"lang": "en", "value": "v"}, "details": {"code": "d"}}});
    let answer = read_json(&Service::Graph, 400, &body);
    assert_eq!(
        (answer.message.as_str(), answer.detail_codes),
        ("v", vec!["d".to_owned()])
    );
}

#[test]
fn arm() {
    let body = json!({"error": {"code": "AuthorizationFailed", "message": "no", "target": null, "details": [], "additionalInfo": []}});
    let headers = [("x-ms-request-id".to_owned(), "r-3".to_owned())];
    let answer = read(&Service::Arm, 403, &headers, body.to_string().as_bytes());
    assert_eq!(
        (answer.code.as_str(), answer.request_id.as_deref()),
        ("AuthorizationFailed", Some("r-3"))
    );
}

#[test]
fn key_vault_with_line_breaks() {
    let body = json!({"error": {"code": "Forbidden", "message": "Caller is not authorized.\r\nAction: 'x'\r\n",
        "innererror": {"code": "ForbiddenByRbac"}}});
    let answer = read_json(&vault(), 403, &body);
    assert_eq!(
        (answer.code.as_str(), answer.detail_codes),
        ("Forbidden", vec!["ForbiddenByRbac".to_owned()])
    );
    assert_eq!(
        clean(&Masker::default(), &answer.message),
        "Caller is not authorized. Action: 'x'"
    );
}

#[test]
fn storage_header_wins() {
    let service = Service::Storage {
        account: "stdemo".to_owned(),
    };
    let headers = [(
        "x-ms-error-code".to_owned(),
        "AuthorizationPermissionMismatch".to_owned(),
    )];
    assert_eq!(
        read(&service, 403, &headers, b"").code,
        "AuthorizationPermissionMismatch"
    );
}

#[test]
fn entra() {
    let body = json!({"error": "invalid_client", "error_codes": [7_000_215], "trace_id": "t-1",
        "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: t-1"});
    let answer = read_json(&Service::Entra, 401, &body);
    assert_eq!(
        (answer.code.as_str(), answer.detail_codes),
        ("AADSTS7000215", vec!["invalid_client".to_owned()])
    );
    assert_eq!(answer.request_id.as_deref(), Some("t-1"));

    let body = json!({"error": "invalid_client", "error_description": "AADSTS700016: Application not found"});
    assert_eq!(read_json(&Service::Entra, 400, &body).code, "AADSTS700016");
}

#[test]
fn retry_after_forms() {
    let wait = |name: &str, value: &str| {
        read(
            &Service::Graph,
            429,
            &[(name.to_owned(), value.to_owned())],
            b"",
        )
        .retry_after
    };
    assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("retry-after", "soon"), Some(Duration::from_secs(1)));
    assert_eq!(
        wait("x-ms-retry-after-ms", "250"),
        Some(Duration::from_millis(250))
    );
    assert_eq!(wait("x-other", "7"), None);
    let day = Some(Duration::from_hours(24));
    assert_eq!(wait("retry-after", &u64::MAX.to_string()), day);
    assert_eq!(wait("retry-after-ms", &u64::MAX.to_string()), day);
}

#[test]
fn remote_text_is_made_harmless() {
    let masker = Masker::default();
    masker.register(&SecretString::new("not-a-real-secret".to_owned()));
    assert_eq!(
        clean(&masker, "  a\r\n\tb \u{1b}[31m\0 not-a-real-secret\u{202e}"),
        "a b \\u{1b}[31m\\u{0} [secret]\\u{202e}"
    );
    let long = clean(&masker, &"é".repeat(5000));
    assert!(long.len() <= LONGEST && long.ends_with('…'));
    // A secret at the cut is masked before the text is cut.
    let text = clean(
        &masker,
        &format!("{}not-a-real-secret", "x".repeat(LONGEST - 8)),
    );
    assert!(!text.contains("not-a"));
}
