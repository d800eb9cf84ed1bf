//! From a successful HTTP reply to a [`Reply`]: declared secrets taken out, all others masked.

use serde_json::Value;

use crate::answer::{is_html, request_id};
use crate::failure::Failure;
use crate::http::Raw;
use crate::masker::Masker;
use crate::request::{Reply, Request, Service};
use crate::secret::SecretString;

/// Reads a 2xx reply.
pub(crate) fn read(request: &Request, raw: Raw, masker: &Masker) -> Result<Reply, Failure> {
    if raw.cut {
        return Err(Failure::unreadable(
            request,
            &raw,
            "reply-too-large",
            "the reply is larger than 16 MiB",
            masker,
        ));
    }
    // Storage's JSON is its listings; anything else is the content of a file, which no caller reads through here.
    let storage = matches!(request.service, Service::Storage { .. });
    let mut body = match serde_json::from_slice::<Value>(&raw.body) {
        Ok(body) => body,
        Err(_) if storage || raw.body.iter().all(u8::is_ascii_whitespace) => Value::Null,
        Err(_) if is_html(raw.header("content-type"), &raw.body) => {
            return Err(Failure::web_page(request, &raw, masker));
        }
        Err(_) => {
            return Err(Failure::unreadable(
                request,
                &raw,
                "unreadable-reply",
                "the reply is not JSON",
                masker,
            ));
        }
    };
    let mut secrets = Vec::new();
    for pointer in &request.secret_reply {
        let text = match body.pointer_mut(pointer).map(Value::take) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        let secret = SecretString::new(text);
        masker.register(&secret);
        secrets.push((pointer.clone(), secret));
    }
    masker.mask_json(&mut body);
    Ok(Reply {
        status: raw.status,
        request_id: request_id(&raw.headers).map(|id| masker.mask(&id)),
        headers: raw
            .headers
            .into_iter()
            .map(|(name, value)| (name, masker.mask(&value)))
            .collect(),
        body,
        secrets,
    })
}
