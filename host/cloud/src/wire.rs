//! Turns a [`Request`] into HTTP: address, query, headers, and secrets at the last moment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::utf8_percent_encode;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::{Class, Failure};
use crate::masker::Masker;
use crate::path::ENCODED;
use crate::request::{Body, Field, Request, Service};
use crate::secret::SecretString;

/// Any version from 2021-06-08 on accepts OAuth tokens (reference/entra-azure.md, 5).
const STORAGE_VERSION: &str = "2023-11-03";

/// What proves who is asking.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    None,
    Bearer(SecretString),
    Basic {
        user: String,
        password: SecretString,
    },
    /// A Databricks token together with an ARM token, for a principal that is not a member of the workspace yet
    /// (reference/databricks.md, 2.3).
    BearerWithManagement {
        token: SecretString,
        management: SecretString,
        resource_id: String,
    },
}

impl Proof {
    /// The bearer token, if that is what it is.
    pub(crate) fn token(&self) -> Option<&SecretString> {
        match self {
            Self::Bearer(token) | Self::BearerWithManagement { token, .. } => Some(token),
            Self::None | Self::Basic { .. } => None,
        }
    }
}

/// Builds the HTTP request. Every secret in it is known to the masker afterwards.
pub(crate) fn build(
    request: &Request,
    base: &Url,
    proof: &Proof,
    masker: &Masker,
) -> Result<reqwest::Request, Failure> {
    let invalid =
        |code: &str, message: &str| Failure::not_sent(request, Class::Invalid, code, message);
    let mut http = reqwest::Request::new(method(request.method), address(request, base)?);
    let headers = http.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    for (name, value) in own_headers(&request.service) {
        headers.insert(
            name,
            HeaderValue::from_str(&value).map_err(|_| invalid("bad-header", name))?,
        );
    }
    for (name, value) in &request.headers {
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("x-databricks-azure-") {
            return Err(invalid(
                "reserved-header",
                &format!("header `{name}` is set by the client alone"),
            ));
        }
        let name = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| invalid("bad-header", "a header's name is malformed"))?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            invalid(
                "bad-header",
                &format!("the value of header `{name}` contains a control character"),
            )
        })?;
        headers.insert(name, value);
    }
    for (name, value) in credentials(proof) {
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| invalid("bad-credential", "the credential is malformed"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if let Some((kind, bytes)) = body(request, masker)? {
        http.headers_mut()
            .insert("content-type", HeaderValue::from_static(kind));
        *http.body_mut() = Some(bytes.into());
    }
    Ok(http)
}

/// Headers that a request may not set: they decide who asks, whom, and how the message is framed.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "forwarded",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

fn method(method: crate::request::Method) -> Method {
    use crate::request::Method as Ours;
    match method {
        Ours::Get => Method::GET,
        Ours::Head => Method::HEAD,
        Ours::Put => Method::PUT,
        Ours::Post => Method::POST,
        Ours::Patch => Method::PATCH,
        Ours::Delete => Method::DELETE,
    }
}

fn address(request: &Request, base: &Url) -> Result<Url, Failure> {
    let invalid =
        |code: &str, message: &str| Failure::not_sent(request, Class::Invalid, code, message);
    if let Some(link) = &request.path.link {
        let url = Url::parse(link)
            .map_err(|_| invalid("bad-link", "the address of the next page is malformed"))?;
        if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "foreign-link",
                "the address of the next page leads to another host; no token is sent there",
            ));
        }
        return Ok(url);
    }
    let mut text = format!(
        "{}{}",
        base.as_str().trim_end_matches('/'),
        request.path.as_str()
    );
    for (at, (name, value)) in request.query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, ENCODED));
    }
    let url = Url::parse(&text).map_err(|_| invalid("bad-path", "the path is malformed"))?;
    // The parser must not have seen anything but the path that was meant.
    if url.origin() != base.origin()
        || url.path() != request.path.as_str()
        || url.fragment().is_some()
    {
        return Err(invalid("bad-path", "the path does not survive URL parsing"));
    }
    Ok(url)
}

fn own_headers(service: &Service) -> Vec<(&'static str, String)> {
    let id = Uuid::new_v4().to_string();
    match service {
        Service::Entra => vec![("client-request-id", id)],
        Service::Graph => vec![
            ("client-request-id", id),
            ("return-client-request-id", "true".to_owned()),
        ],
        Service::Arm | Service::KeyVault { .. } => vec![("x-ms-client-request-id", id)],
        Service::Storage { .. } => {
            let format = format_description!(
                "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
            );
            let date = OffsetDateTime::now_utc().format(format).unwrap_or_default();
            vec![
                ("x-ms-client-request-id", id),
                ("x-ms-version", STORAGE_VERSION.to_owned()),
                ("x-ms-date", date),
            ]
        }
        Service::Databricks | Service::DatabricksAccount => Vec::new(),
    }
}

fn credentials(proof: &Proof) -> Vec<(HeaderName, Zeroizing<String>)> {
    let bearer = |token: &SecretString| Zeroizing::new(format!("Bearer {}", token.expose()));
    match proof {
        Proof::None => Vec::new(),
        Proof::Bearer(token) => vec![(AUTHORIZATION, bearer(token))],
        Proof::Basic { user, password } => {
            let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
            vec![(
                AUTHORIZATION,
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))),
            )]
        }
        Proof::BearerWithManagement {
            token,
            management,
            resource_id,
        } => vec![
            (AUTHORIZATION, bearer(token)),
            (
                HeaderName::from_static("x-databricks-azure-sp-management-token"),
                Zeroizing::new(management.expose().to_owned()),
            ),
            (
                HeaderName::from_static("x-databricks-azure-workspace-resource-id"),
                Zeroizing::new(resource_id.clone()),
            ),
        ],
    }
}

/// Content type and bytes.
fn body(request: &Request, masker: &Masker) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
    let broken = |message: &str| Failure::not_sent(request, Class::Invalid, "bad-body", message);
    Ok(match &request.body {
        Body::None => None,
        Body::Json(json) => Some(("application/json", json.to_string().into_bytes())),
        Body::JsonWithSecrets { json, secrets } => {
            let mut whole = json.clone();
            for (pointer, secret) in secrets {
                masker.register(secret);
                put(&mut whole, pointer, secret).ok_or_else(|| {
                    broken(&format!(
                        "the body has no place for a secret at `{pointer}`"
                    ))
                })?;
            }
            let bytes = whole.to_string().into_bytes();
            for (pointer, _) in secrets {
                if let Some(Value::String(text)) = whole.pointer_mut(pointer) {
                    text.zeroize();
                }
            }
            Some(("application/json", bytes))
        }
        Body::Form(fields) => {
            let mut form = Zeroizing::new(String::new());
            for (name, field) in fields {
                let value = match field {
                    Field::Plain(value) => value,
                    Field::Secret(secret) => {
                        masker.register(secret);
                        secret.expose()
                    }
                };
                if !form.is_empty() {
                    form.push('&');
                }
                form.push_str(name);
                form.push('=');
                form.extend(utf8_percent_encode(value, ENCODED));
            }
            Some((
                "application/x-www-form-urlencoded",
                form.as_bytes().to_vec(),
            ))
        }
    })
}

/// Puts a secret at a JSON pointer, whose parent object or array element must exist.
fn put(json: &mut Value, pointer: &str, secret: &SecretString) -> Option<()> {
    let value = Value::String(secret.expose().to_owned());
    if let Some(place) = json.pointer_mut(pointer) {
        *place = value;
        return Some(());
    }
    let (parent, key) = pointer.rsplit_once('/')?;
    let object = json.pointer_mut(parent)?.as_object_mut()?;
    object.insert(key.replace("~1", "/").replace("~0", "~"), value);
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::path::Path;
    use crate::request::Method as Ours;

    fn request() -> Request {
        Request::new(
            Service::Graph,
            "x",
            Ours::Post,
            Path::new("/v1.0/users/{}", &["a?b"]).unwrap(),
        )
    }

    fn built(request: &Request) -> Result<reqwest::Request, Failure> {
        let base = Url::parse("https://graph.microsoft.com").unwrap();
        build(
            request,
            &base,
            &Proof::Bearer(SecretString::new("t".to_owned())),
            &Masker::default(),
        )
    }

    #[test]
    fn address_query_and_credential() {
        let http = built(&request().query("$filter", "displayName eq 'a&b'")).unwrap();
        let url =
            "https://graph.microsoft.com/v1.0/users/a%3Fb?$filter=displayName%20eq%20%27a%26b%27";
        assert_eq!(http.url().as_str(), url);
        assert!(http.headers()["authorization"].is_sensitive());
        assert!(http.headers().contains_key("client-request-id"));
    }

    #[test]
    fn some_headers_are_the_clients_alone() {
        for name in [
            "Authorization",
            "host",
            "Cookie",
            "X-Databricks-Azure-SP-Management-Token",
        ] {
            assert_eq!(
                built(&request().header(name, "x")).unwrap_err().code,
                "reserved-header"
            );
        }
        assert_eq!(
            built(&request().header("prefer", "a\r\nHost: b"))
                .unwrap_err()
                .code,
            "bad-header"
        );
        assert_eq!(
            built(&request().header("Prefer", "create-if-missing"))
                .unwrap()
                .headers()["prefer"],
            "create-if-missing"
        );
    }

    #[test]
    fn the_next_page_stays_on_the_host() {
        let next =
            |link: &str| built(&request().next_page(link)).map(|http| http.url().to_string());
        let link = "https://graph.microsoft.com/v1.0/users?$skiptoken=x";
        assert_eq!(next(link).as_deref(), Ok(link));
        for link in [
            "https://evil.example/v1.0/users",
            "http://graph.microsoft.com/",
            "https://u:p@graph.microsoft.com/",
            "/x",
            "https://graph.microsoft.com:444/",
        ] {
            assert!(
                matches!(
                    next(link).unwrap_err().code.as_str(),
                    "foreign-link" | "bad-link"
                ),
                "{link}"
            );
        }
    }

    #[test]
    fn secrets_are_put_in_when_it_is_sent() {
        let secret = SecretString::new("not-a-real-secret".to_owned());
        let body = |pointer: &str| Request {
            body: Body::JsonWithSecrets {
                json: json!({"a": {"b": null}}),
                secrets: vec![(pointer.to_owned(), secret.clone())],
            },
            ..request()
        };
        let sent = |pointer: &str| {
            let http = built(&body(pointer))?;
            Ok::<_, Failure>(
                String::from_utf8(http.body().unwrap().as_bytes().unwrap().to_vec()).unwrap(),
            )
        };
        assert_eq!(sent("/a/b").unwrap(), r#"{"a":{"b":"not-a-real-secret"}}"#);
        assert_eq!(
            sent("/a/c").unwrap(),
            r#"{"a":{"b":null,"c":"not-a-real-secret"}}"#
        );
        assert_eq!(sent("/x/y").unwrap_err().code, "bad-body");
        assert!(!format!("{:?}", body("/a/b")).contains("not-a-real"));
    }

    #[test]
    fn forms_are_encoded() {
        let fields = vec![
            ("scope", Field::Plain("a b/.default".to_owned())),
            ("s", Field::Secret(SecretString::new("~&=+".to_owned()))),
        ];
        let http = built(&Request {
            body: Body::Form(fields),
            ..request()
        })
        .unwrap();
        assert_eq!(
            http.body().unwrap().as_bytes().unwrap(),
            b"scope=a%20b%2F.default&s=~%26%3D%2B"
        );
    }
}
