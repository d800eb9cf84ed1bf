//! What `run onboard` is measured against: a program that sends the same requests with the same
//! client, one after another, and does nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path as File;

use lockkeeper_cloud::{
    Cloud, Credentials, Endpoints, Method, Path, Request, SecretSource, SecretString, Service,
    Target,
};
use lockkeeper_simulator::Operator;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use crate::script::Step;

/// The argument by which this program is told to be the plain one.
pub(crate) const PLAIN: &str = "plain";

/// The part of `serving.json` that a client needs.
#[derive(Deserialize)]
struct Serving {
    https: SocketAddr,
    ca_pem: String,
}

/// Sends the requests in the file `script` to the simulator that says in `serving` where it is;
/// `key` is the file that the operator's client secret is made from.
pub(crate) fn main(script: &File, serving: &File, key: &File) {
    let steps: Vec<Step> = serde_json::from_slice(&std::fs::read(script).unwrap()).unwrap();
    let serving: Serving = serde_json::from_slice(&std::fs::read(serving).unwrap()).unwrap();
    let key = std::fs::read(key).unwrap();
    let mut secret = String::new();
    for byte in key {
        write!(secret, "{byte:02x}").unwrap();
    }
    let operator = Operator::seeded();
    let target = Target {
        tenant_id: Some(operator.tenant_id),
        workspace: Some(operator.workspace_url),
        account_id: Some(operator.account_id),
        credentials: Credentials::ClientSecret {
            client_id: Some(operator.client_id),
            secret: Some(SecretSource::Value(SecretString::new(secret))),
        },
        databricks_rate: NonZeroU32::new(10_000),
        endpoints: Some(Endpoints {
            resolve_to: serving.https,
            ca_pem: serving.ca_pem,
        }),
        ..Target::default()
    };
    // One thread, as the command line has.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let cloud = Cloud::connect(target).await.unwrap();
            let mut ids = BTreeMap::new();
            for step in &steps {
                send(&cloud, step, &mut ids).await;
            }
        });
}

async fn send(cloud: &Cloud, step: &Step, ids: &mut BTreeMap<&'static str, Value>) {
    let replied = cloud.send(&request(step, ids)).await;
    let status = match &replied {
        Ok(reply) => Some(reply.status),
        Err(failure) => failure.status,
    };
    assert_eq!(status, step.status, "{step:?}: {replied:?}");
    if let Ok(reply) = replied {
        learn(&step.path, &reply.body, ids);
    }
}

/// The request of a step with its ids filled in.
fn request(step: &Step, ids: &BTreeMap<&str, Value>) -> Request {
    let service = match step.service.as_str() {
        "graph" => Service::Graph,
        "databricks" => Service::Databricks,
        other => panic!("a request to {other}"),
    };
    let method = match step.method.as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        other => panic!("a request with {other}"),
    };
    let mut address = step.path.clone();
    for (name, id) in ids {
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        address = address.replace(&format!("{{{name}}}"), &id);
    }
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    // Templates are static in the client; this program sends each of its paths once.
    let path = Path::new(path.to_owned().leak(), &[]).unwrap();
    let mut request = Request::new(service, "plain", method, path);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        let value = percent_decode_str(value).decode_utf8().unwrap();
        request = request.query(name.to_owned().leak(), value);
    }
    if request.service == Service::Graph && method == Method::Patch {
        request = request.header("Prefer", "create-if-missing");
    }
    match &step.body {
        None => request,
        Some(body) => request.json(filled(body, ids)),
    }
}

/// `body` with every `{name}` replaced; one that stands alone becomes the id itself.
fn filled(body: &Value, ids: &BTreeMap<&str, Value>) -> Value {
    match body {
        Value::String(text) => {
            let alone = text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'));
            if let Some(id) = alone.and_then(|name| ids.get(name)) {
                return id.clone();
            }
            let mut text = text.clone();
            for (name, id) in ids {
                if let Some(id) = id.as_str() {
                    text = text.replace(&format!("{{{name}}}"), id);
                }
            }
            text.into()
        }
        Value::Array(items) => items.iter().map(|item| filled(item, ids)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), filled(field, ids)))
            .collect(),
        scalar => scalar.clone(),
    }
}

/// Takes the ids out of the reply to `path`.
fn learn(path: &str, reply: &Value, ids: &mut BTreeMap<&'static str, Value>) {
    let places = [
        ("/v1.0/applications(", "/appId", "app_id"),
        ("/scim/v2/ServicePrincipals", "/id", "principal_id"),
        ("/rule-sets", "/etag", "etag"),
        ("/workspace/get-status", "/object_id", "notebook_id"),
        ("/jobs/create", "/job_id", "job_id"),
        ("/jobs/run-now", "/run_id", "run_id"),
        ("/runs/get?", "/tasks/0/run_id", "task_run_id"),
    ];
    for (place, pointer, name) in places {
        if path.contains(place)
            && let Some(id) = reply.pointer(pointer)
        {
            ids.insert(name, id.clone());
        }
    }
}
