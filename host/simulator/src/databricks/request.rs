//! One request to the Databricks plane, and how an endpoint is mounted on the router.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, RawPathParams, Request as HttpRequest};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::caller::{self, Caller, Credential, Plane};
use super::errors::Refusal;
use super::form_data;
use crate::World;
use crate::wire::Scheme;

/// What an endpoint answers.
pub(super) type Answer = Result<Response, Refusal>;
/// An endpoint that changes nothing.
pub(super) type Reading = fn(&Request, &crate::State, &Caller) -> Answer;
/// An endpoint that may change the state; it must not change anything before it refuses.
pub(super) type Writing = fn(&Request, &mut crate::State, &Caller) -> Answer;
/// An endpoint that asks for no credential, or looks at the credential itself.
pub(super) type Public = fn(&Request, &mut crate::State) -> Answer;

#[derive(Clone, Copy)]
enum Endpoint {
    Reading(Plane, Reading),
    Writing(Plane, Writing),
    Public(Public),
}

/// A request that has been read completely.
pub(super) struct Request {
    pub(super) world: Arc<World>,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    scheme: &'static str,
    parameters: BTreeMap<String, String>,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    async fn read(world: Arc<World>, request: HttpRequest) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let parameters = RawPathParams::from_request_parts(&mut parts, &())
            .await
            .map_err(IntoResponse::into_response)?
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let query = pairs(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path().to_owned();
        let headers = parts.headers.clone();
        let scheme = parts
            .extensions
            .get()
            .map_or("https", |Scheme(scheme)| scheme);
        // The listener has read it whole, within its own limit.
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|fault| Refusal::malformed(fault.to_string()).into_response())?;
        Ok(Self {
            world,
            path,
            headers,
            scheme,
            parameters,
            query,
            body,
        })
    }

    /// The simulated time.
    pub(super) fn now(&self) -> OffsetDateTime {
        self.world.now()
    }

    /// A variable part of the path; empty when the route has no such part.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// A query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// A query parameter that the call cannot do without.
    pub(super) fn required_query(&self, name: &str) -> Result<&str, Refusal> {
        self.query(name)
            .ok_or_else(|| Refusal::invalid(format!("Missing required field: {name}")))
    }

    /// A required query parameter that holds an int64.
    pub(super) fn required_id(&self, name: &str) -> Result<i64, Refusal> {
        let text = self.required_query(name)?;
        text.parse()
            .map_err(|_| Refusal::invalid(format!("Invalid value for {name}: '{text}'")))
    }

    /// A query parameter that is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.query(name).is_some_and(|text| text == "true")
    }

    /// The size of a page, from `name`, at most `most`.
    pub(super) fn page_size(&self, name: &str, usual: usize, most: usize) -> usize {
        self.query(name)
            .and_then(|text| text.parse().ok())
            .filter(|size| *size > 0)
            .unwrap_or(usual)
            .min(most)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The host and port the client believes to talk to.
    pub(super) fn host(&self) -> &str {
        self.header(header::HOST.as_str()).unwrap_or("localhost")
    }

    /// The scheme and authority the client used, for absolute links in replies.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(if self.body.is_empty() {
            b"{}"
        } else {
            self.body.as_ref()
        })
        .map_err(|fault| {
            let fault = fault.to_string();
            match fault.strip_prefix("missing field `") {
                Some(rest) => Refusal::invalid(format!(
                    "Missing required field: {}",
                    rest.split('`').next().unwrap_or(rest)
                )),
                None => Refusal::malformed(format!("Could not parse request object: {fault}")),
            }
        })
    }

    /// The fields of a `multipart/form-data` body; nothing for any other.
    pub(super) fn form_data(&self) -> Option<BTreeMap<String, &[u8]>> {
        form_data::fields(self.header(header::CONTENT_TYPE.as_str())?, &self.body)
    }

    /// The body as form fields.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        pairs(&String::from_utf8_lossy(&self.body))
            .into_iter()
            .collect()
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn pairs(encoded: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    encoded
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Reads members of JSON that may be missing.
pub(super) trait Field {
    /// The member of this name; null when there is none.
    fn field(&self, name: &str) -> &Value;
}

impl Field for Value {
    fn field(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

/// 200 with a JSON body.
#[allow(
    clippy::unnecessary_wraps,
    reason = "endpoints end with this, and their type is Answer"
)]
pub(super) fn ok(body: Value) -> Answer {
    Ok(Json(body).into_response())
}

/// 200 with `{}`, as classic calls that return nothing answer.
pub(super) fn done() -> Answer {
    ok(json!({}))
}

/// One page of a short list, by `page_size` and `page_token`, under this name.
pub(super) fn paged(request: &Request, name: &str, all: Vec<Value>) -> Answer {
    let size = request.page_size("page_size", 100, 100);
    let from: usize = request
        .query("page_token")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let has_more = all.len() > from + size;
    let page: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    let mut body = json!({ name: page });
    if let (true, Some(fields)) = (has_more, body.as_object_mut()) {
        fields.insert("next_page_token".into(), json!((from + size).to_string()));
    }
    ok(body)
}

/// 201 with a JSON body.
#[allow(
    clippy::unnecessary_wraps,
    reason = "endpoints end with this, and their type is Answer"
)]
pub(super) fn created(body: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// 204.
#[allow(
    clippy::unnecessary_wraps,
    reason = "endpoints end with this, and their type is Answer"
)]
pub(super) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Methods of one path of the workspace's or the account's API.
pub(super) struct Methods {
    world: Arc<World>,
    plane: Plane,
    router: MethodRouter,
}

impl Methods {
    /// No methods yet.
    pub(super) fn new(world: &Arc<World>, plane: Plane) -> Self {
        Self {
            world: Arc::clone(world),
            plane,
            router: MethodRouter::new(),
        }
    }

    /// Answers `GET` with an endpoint that changes nothing.
    pub(super) fn get(self, endpoint: Reading) -> Self {
        let endpoint = Endpoint::Reading(self.plane, endpoint);
        self.mount(MethodFilter::GET, endpoint)
    }

    /// Answers `method` with an endpoint that may change the state.
    pub(super) fn write(self, method: MethodFilter, endpoint: Writing) -> Self {
        let endpoint = Endpoint::Writing(self.plane, endpoint);
        self.mount(method, endpoint)
    }

    /// Answers `POST`.
    pub(super) fn post(self, endpoint: Writing) -> Self {
        self.write(MethodFilter::POST, endpoint)
    }

    /// Answers `PUT`.
    pub(super) fn put(self, endpoint: Writing) -> Self {
        self.write(MethodFilter::PUT, endpoint)
    }

    /// Answers `PATCH`.
    pub(super) fn patch(self, endpoint: Writing) -> Self {
        self.write(MethodFilter::PATCH, endpoint)
    }

    /// Answers `DELETE`.
    pub(super) fn delete(self, endpoint: Writing) -> Self {
        self.write(MethodFilter::DELETE, endpoint)
    }

    /// Answers `method` without looking at credentials.
    pub(super) fn public(self, method: MethodFilter, endpoint: Public) -> Self {
        self.mount(method, Endpoint::Public(endpoint))
    }

    /// The finished route; other methods are unknown endpoints.
    pub(super) fn route(self) -> MethodRouter {
        self.router.fallback(no_such_endpoint)
    }

    fn mount(mut self, method: MethodFilter, endpoint: Endpoint) -> Self {
        let world = Arc::clone(&self.world);
        self.router = self.router.merge(on(method, move |request: HttpRequest| {
            answer(Arc::clone(&world), endpoint, request)
        }));
        self
    }
}

/// 404 for a path, or a method of a path, that nobody serves.
pub(super) async fn no_such_endpoint(request: HttpRequest) -> Response {
    Refusal::no_such_endpoint(request.method().as_str(), request.uri().path()).into_response()
}

async fn answer(world: Arc<World>, endpoint: Endpoint, request: HttpRequest) -> Response {
    let request = match Request::read(world, request).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    serve(endpoint, &request).unwrap_or_else(IntoResponse::into_response)
}

fn serve(endpoint: Endpoint, request: &Request) -> Answer {
    match endpoint {
        Endpoint::Public(endpoint) => request.world.write(|state| endpoint(request, state)),
        Endpoint::Reading(plane, endpoint) => {
            let credential = authenticated(request, plane)?;
            request.world.read(|state| {
                let caller = caller::identify(request, state, &credential, plane)?;
                Ok(signed(endpoint(request, state, &caller), caller))
            })
        }
        Endpoint::Writing(plane, endpoint) => {
            let credential = authenticated(request, plane)?;
            request.world.write(|state| {
                let caller = caller::identify(request, state, &credential, plane)?;
                Ok(signed(endpoint(request, state, &caller), caller))
            })
        }
    }
}

/// The reply with the caller's name, which the request record takes from it.
fn signed(answer: Answer, caller: Caller) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(crate::Caller(caller.name));
    response
}

/// Checks the credential, and lets in a newcomer who shows enough rights in Azure.
fn authenticated(request: &Request, plane: Plane) -> Result<Credential, Refusal> {
    let credential = caller::credential(request, plane)?;
    let world = &request.world;
    if plane == Plane::Workspace
        && world.read(|state| caller::may_admit(request, state, &credential))
    {
        world.write(|state| caller::admit(request, &mut state.databricks, &credential));
    }
    Ok(credential)
}

/// A time in milliseconds since 1970.
pub(super) fn millis(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

/// Reads an int64 that a client may have sent as a number or as its decimal text.
pub(super) fn int64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match <Form as serde::Deserialize>::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
