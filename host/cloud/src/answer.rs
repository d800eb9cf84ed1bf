//! Reads error answers in every shape the services write them.
//!
//! Shapes: reference/databricks.md 3.1 (six of them), reference/entra-azure.md 1.3 (Entra), 2 (Graph), 3 (ARM),
//! 4.1 (Key Vault) and 5 (Storage).

use std::time::Duration;

use serde_json::Value;

use crate::masker::Masker;
use crate::request::Service;

/// Longest text from a service that is passed on, in bytes.
const LONGEST: usize = 2048;

/// The longest that a service is waited for, whatever it asks: no time can be added to for ever.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// An error answer, read but not yet judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: String,
    pub(crate) detail_codes: Vec<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

/// Reads an answer. Header names are in lower case.
pub(crate) fn read(
    service: &Service,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> Answer {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let text = String::from_utf8_lossy(body);
    let mut answer = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => json(&Value::Object(object)),
        _ => plain(text.trim()),
    };
    if matches!(service, Service::Storage { .. })
        && let Some(code) = header("x-ms-error-code")
    {
        code.clone_into(&mut answer.code);
    }
    if answer.code.is_empty() {
        answer.code = format!("http-{status}");
    }
    if answer.message.is_empty() {
        answer.message =
            header("x-databricks-reason-phrase").map_or_else(|| silence(status), str::to_owned);
    }
    if let Some(id) = request_id(headers) {
        answer.request_id = Some(id);
    }
    // Azure's own form of the header has milliseconds; seconds that cannot be read count as one, as in the vendor's SDKs.
    let asked = header("retry-after-ms")
        .or_else(|| header("x-ms-retry-after-ms"))
        .and_then(|text| text.trim().parse().ok())
        .map(Duration::from_millis)
        .or_else(|| {
            header("retry-after").map(|text| Duration::from_secs(text.trim().parse().unwrap_or(1)))
        });
    let asked = asked.or(answer.retry_after);
    answer.retry_after = asked.map(|asked| asked.min(LONGEST_WAIT));
    answer
}

/// The service's id of a request, from its headers.
pub(crate) fn request_id(headers: &[(String, String)]) -> Option<String> {
    [
        "request-id",
        "x-ms-request-id",
        "x-request-id",
        "x-ms-correlation-request-id",
    ]
    .into_iter()
    .find_map(|name| headers.iter().find(|(key, _)| key == name))
    .map(|(_, value)| value.clone())
}

/// Remote text made fit to show: secrets masked, one line, control characters escaped, at most 2 kB.
pub(crate) fn clean(masker: &Masker, text: &str) -> String {
    let mut shown = String::new();
    let mut gap = false;
    for c in masker.mask(text).chars() {
        if matches!(c, '\r' | '\n' | '\t' | ' ' | '\u{2028}' | '\u{2029}') {
            gap = !shown.is_empty();
            continue;
        }
        if std::mem::take(&mut gap) {
            shown.push(' ');
        }
        // Direction marks can make a text read as another one.
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        if shown.len() > LONGEST {
            let end = (0..=LONGEST - '…'.len_utf8())
                .rev()
                .find(|at| shown.is_char_boundary(*at))
                .unwrap_or(0);
            shown.truncate(end);
            shown.push('…');
            break;
        }
    }
    shown
}

/// Whether a body is a web page: what a sign-in page in place of an API is.
pub(crate) fn is_html(content_type: Option<&str>, body: &[u8]) -> bool {
    let start = String::from_utf8_lossy(body.get(..256).unwrap_or(body))
        .trim_start()
        .to_ascii_lowercase();
    content_type.is_some_and(|kind| kind.trim_start().starts_with("text/html"))
        || start.starts_with("<!doctype html")
        || start.starts_with("<html")
}

fn string(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        // Graph's legacy paths: `{"lang": "en", "value": "…"}`.
        Value::Object(object) => string(object.get("value")),
        _ => None,
    }
}

fn json(body: &Value) -> Answer {
    let schemas = body.get("schemas").and_then(Value::as_array);
    if schemas.is_some_and(|all| {
        all.iter()
            .any(|one| one.as_str().is_some_and(|name| name.ends_with(":Error")))
    }) {
        return scim(body);
    }
    match body.get("error") {
        Some(Value::Object(_)) => azure(body.get("error").unwrap_or(&Value::Null)),
        Some(Value::String(error)) => oauth(body, error),
        _ if body.get("error_code").is_some() => databricks(body),
        // Graph and ARM both sometimes leave the outer member out.
        _ if body.get("code").is_some() => azure(body),
        _ => Answer {
            message: string(body.get("message")).unwrap_or_else(|| body.to_string()),
            ..Answer::default()
        },
    }
}

/// `{"error_code": …, "message": …, "details": […]}`; the code may be a number.
fn databricks(body: &Value) -> Answer {
    let mut answer = Answer {
        code: string(body.get("error_code")).unwrap_or_default(),
        message: string(body.get("message")).unwrap_or_default(),
        ..Answer::default()
    };
    for detail in body
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let kind = detail
            .get("@type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "ErrorInfo" => answer.detail_codes.extend(string(detail.get("reason"))),
            "RequestInfo" => answer.request_id = string(detail.get("request_id")),
            "RetryInfo" => {
                answer.retry_after = detail
                    .get("retry_delay")
                    .and_then(Value::as_str)
                    .and_then(seconds);
            }
            _ => {}
        }
    }
    answer
}

/// `"1.5s"`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

/// RFC 7644, 3.12; the SDKs' naming of the code.
fn scim(body: &Value) -> Answer {
    let kind = string(body.get("scimType"));
    let detail = string(body.get("detail")).filter(|detail| detail != "null");
    let message = [kind.clone(), detail]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    Answer {
        code: format!("SCIM_{}", string(body.get("status")).unwrap_or_default()),
        detail_codes: kind.into_iter().collect(),
        message: if message.is_empty() {
            "SCIM API internal error".to_owned()
        } else {
            message
        },
        ..Answer::default()
    }
}

/// Token endpoints (RFC 6749, 5.2), and the bare `{"error": "…"}` of Databricks' oldest API.
fn oauth(body: &Value, error: &str) -> Answer {
    let Some(description) = string(body.get("error_description")) else {
        return Answer {
            message: error.to_owned(),
            ..Answer::default()
        };
    };
    let number = body
        .get("error_codes")
        .and_then(|codes| codes.get(0))
        .and_then(Value::as_u64)
        .map(|code| code.to_string());
    let written = description.strip_prefix("AADSTS").map(|rest| {
        rest.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    });
    let (code, detail_codes) = match number.or(written) {
        Some(number) => (format!("AADSTS{number}"), vec![error.to_owned()]),
        None => (error.to_owned(), Vec::new()),
    };
    let request_id = string(body.get("trace_id")).or_else(|| string(body.get("error_id")));
    Answer {
        code,
        detail_codes,
        message: description,
        request_id,
        retry_after: None,
    }
}

/// Graph, ARM, Key Vault and Storage: `{"error": {"code", "message", "details", "innererror"}}`.
fn azure(error: &Value) -> Answer {
    let mut answer = Answer {
        code: string(error.get("code")).unwrap_or_default(),
        message: string(error.get("message")).unwrap_or_default(),
        ..Answer::default()
    };
    match error.get("details") {
        Some(Value::Array(details)) => answer
            .detail_codes
            .extend(details.iter().filter_map(|one| string(one.get("code")))),
        Some(detail) => answer.detail_codes.extend(string(detail.get("code"))),
        None => {}
    }
    let mut inner = error.get("innerError").or_else(|| error.get("innererror"));
    // The chain may go on; a bound keeps a hostile answer from being followed for long.
    for _ in 0..8 {
        let Some(object) = inner else { break };
        answer.detail_codes.extend(string(object.get("code")));
        answer.request_id = answer
            .request_id
            .or_else(|| string(object.get("request-id")));
        inner = object
            .get("innererror")
            .or_else(|| object.get("innerError"));
    }
    answer
}

/// Text: `CODE: message`, a gateway's HTML, or anything else.
fn plain(text: &str) -> Answer {
    if is_html(None, text.as_bytes()) || text.starts_with('<') {
        let message = ["pre", "title", "h1", "h2"]
            .into_iter()
            .find_map(|tag| element(text, tag));
        return Answer {
            message: message.unwrap_or_else(|| "the answer is a web page".to_owned()),
            ..Answer::default()
        };
    }
    if let Some((code, message)) = text.split_once(": ")
        && code.len() > 3
        && code
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    {
        return Answer {
            code: code.to_owned(),
            message: message.to_owned(),
            ..Answer::default()
        };
    }
    Answer {
        message: text.to_owned(),
        ..Answer::default()
    }
}

fn element(html: &str, tag: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("<{tag}"))?;
    let (_, rest) = rest.split_once('>')?;
    let (inner, _) = rest.split_once(&format!("</{tag}>"))?;
    let inner = inner.trim();
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&amp;", "&"),
    ];
    let text = entities
        .into_iter()
        .fold(inner.to_owned(), |text, (entity, plain)| {
            text.replace(entity, plain)
        });
    (!text.is_empty()).then_some(text)
}

fn silence(status: u16) -> String {
    match reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
    {
        Some(reason) => format!("{reason}, without a message"),
        None => "no message".to_owned(),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
