//! Requests and replies as the services see them.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The method.
    pub method: Method,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The `Host` header, with its port if it had one.
    pub host: String,
    /// The path as sent, still percent-encoded.
    pub path: String,
    /// The query as sent, without the question mark.
    pub raw_query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The id the service answers with.
    pub request_id: String,
}

/// `https` or `http`, among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Scheme(pub &'static str);

impl Incoming {
    /// The path's segments, decoded; empty ones (a trailing slash) left out.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decode)
            .collect()
    }

    /// The first query parameter of this name, decoded; names are compared without case.
    pub fn query(&self, name: &str) -> Option<String> {
        self.raw_query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| form_decode(key).eq_ignore_ascii_case(name))
            .map(|(_, value)| form_decode(value))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bearer token, if there is one.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }

    /// The scheme and authority the client used, for absolute links in replies.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    /// The body as a JSON object; an empty body is an empty object.
    pub fn json(&self) -> Option<Value> {
        if self.body.is_empty() {
            return Some(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body)
            .ok()
            .filter(Value::is_object)
    }
}

/// Percent-decodes a path segment; bytes that are no UTF-8 are replaced.
fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Decodes a form or query component, where `+` is a space.
pub(crate) fn form_decode(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// The fields of a form body, decoded, in order.
pub(crate) fn form_fields(body: &[u8]) -> Vec<(String, String)> {
    String::from_utf8_lossy(body)
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (form_decode(name), form_decode(value)))
        .collect()
}

/// A whole reply; the listener sends it with a `Content-Length`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers; values that HTTP cannot carry are dropped.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// No reply at all: the connection is closed, as near as loopback comes to a host name that
    /// does not resolve.
    pub fn none() -> Self {
        Self::empty(0)
    }

    /// A reply without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A JSON reply.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::empty(status)
            .with("content-type", "application/json; charset=utf-8")
            .body(value.to_string().into_bytes())
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// The reply as axum sends it.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        if !response.headers().contains_key(header::CACHE_CONTROL) {
            let never = HeaderValue::from_static("no-cache");
            response.headers_mut().insert(header::CACHE_CONTROL, never);
        }
        response
    }
}

/// A time as the services print it: RFC 3339 in UTC, whole seconds.
pub(crate) fn iso(at: time::OffsetDateTime) -> String {
    let at = at
        .to_offset(time::UtcOffset::UTC)
        .replace_nanosecond(0)
        .unwrap_or(at);
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

/// A time as clients send it.
pub(crate) fn parse_iso(text: &str) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_decode_plus_and_percent() {
        assert_eq!(
            form_fields(b"a=1+2&b=%7E.-&c"),
            [("a", "1 2"), ("b", "~.-"), ("c", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn times_round_trip() {
        let at = parse_iso("2031-02-03T04:05:06.789Z").unwrap();
        assert_eq!(iso(at), "2031-02-03T04:05:06Z");
        assert_eq!(parse_iso("next week"), None);
    }
}
