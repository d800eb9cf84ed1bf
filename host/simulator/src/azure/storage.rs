//! ADLS Gen2: what a smoke test asks of a storage account (reference, section 5).

use axum::http::Method;
use serde_json::{Value, json};

use super::{Filesystem, StorageAccount, access};
use crate::{
    State, World, azure, entra,
    entra::tokens::{self, TokenFault},
    wire::{Incoming, Reply},
};

const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
const WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
const OLDEST_VERSION: &str = "2021-06-08";
const STAMP: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

/// Whether there is such an account.
pub fn account_exists(state: &State, account: &str) -> bool {
    find(state, account).is_some()
}

/// Whether a role lets the principal read data anywhere in the account.
pub fn may_read(world: &World, state: &State, oid: &str, account: &str) -> bool {
    find(state, account).is_some_and(|account| {
        access::storage_data_allowed(world, state, oid, READ, &account.id)
            || account
                .filesystems
                .iter()
                .any(|filesystem| permitted(world, state, oid, account, filesystem, "r"))
    })
}

fn find<'a>(state: &'a State, name: &str) -> Option<&'a StorageAccount> {
    let mut accounts = state.azure.storage_accounts.iter();
    accounts.find(|account| account.name.eq_ignore_ascii_case(name))
}

/// Roles first; the access-control list only where no role decides (reference, section 5).
fn permitted(
    world: &World,
    state: &State,
    oid: &str,
    account: &StorageAccount,
    filesystem: &Filesystem,
    wanted: &str,
) -> bool {
    let container = format!(
        "{}/blobServices/default/containers/{}",
        account.id, filesystem.name
    );
    let action = if wanted.contains('w') { WRITE } else { READ };
    access::storage_data_allowed(world, state, oid, action, &container)
        || filesystem.acl.get(oid).is_some_and(|have| {
            wanted
                .chars()
                .filter(|right| *right != '-')
                .all(|right| have.contains(right))
        })
}

struct Refusal {
    status: u16,
    code: &'static str,
    message: &'static str,
}

const fn refusal(status: u16, code: &'static str, message: &'static str) -> Refusal {
    Refusal {
        status,
        code,
        message,
    }
}

/// Answers a request to a storage account's host, or under the account's name on loopback.
pub(crate) fn handle(world: &World, incoming: &Incoming, account: &str, in_path: bool) -> Reply {
    let segments = incoming.segments();
    let path: Vec<&str> = segments
        .iter()
        .map(String::as_str)
        .skip(usize::from(in_path))
        .collect();
    world.read(|state| {
        let Some(account) = find(state, account) else {
            return if in_path {
                Reply::empty(404)
            } else {
                Reply::none()
            };
        };
        let answer = answer(world, state, incoming, account, &path);
        headed(
            incoming,
            answer.unwrap_or_else(|refusal| refusal.reply(state)),
        )
    })
}

impl Refusal {
    fn reply(&self, state: &State) -> Reply {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let reply = Reply::json(self.status, &body).with("x-ms-error-code", self.code);
        if self.status == 401 {
            reply.with(
                "www-authenticate",
                format!(
                    "Bearer authorization_uri=https://login.microsoftonline.com/{}/oauth2/authorize resource_id=https://storage.azure.com",
                    entra::tenant_of(state)
                ),
            )
        } else {
            reply
        }
    }
}

/// A refusal with this status that has no cause in the request.
pub(crate) fn failing(world: &World, status: u16) -> Reply {
    let (code, message) = crate::refusal::plain(status);
    let code = match status {
        401 => "InvalidAuthenticationInfo",
        403 => "AuthorizationFailure",
        404 => "ResourceNotFound",
        503 => "ServerBusy",
        500.. => "InternalError",
        _ => code,
    };
    world.read(|state| refusal(status, code, message).reply(state))
}

/// The reply with the headers of every reply.
pub(crate) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    reply
        .with("x-ms-request-id", incoming.request_id.clone())
        .with(
            "x-ms-version",
            incoming.header("x-ms-version").unwrap_or(OLDEST_VERSION),
        )
}

fn answer(
    world: &World,
    state: &State,
    incoming: &Incoming,
    account: &StorageAccount,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let oid = authenticate(world, state, incoming)?;
    check_version(incoming)?;
    let Some((name, rest)) = path.split_first() else {
        return Err(refusal(400, "InvalidUri", "The request URI is invalid."));
    };
    let filesystem = account
        .filesystems
        .iter()
        .find(|filesystem| filesystem.name == *name)
        .ok_or(refusal(
            404,
            "FilesystemNotFound",
            "The specified filesystem does not exist.",
        ))?;
    let asked = incoming
        .query("fsAction")
        .unwrap_or_else(|| "r--".to_owned());
    if !permitted(world, state, &oid, account, filesystem, &asked) {
        return Err(refusal(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        ));
    }
    if rest.is_empty() && incoming.query("resource").as_deref() == Some("filesystem") {
        return match incoming.method {
            Method::GET => list(incoming, filesystem),
            Method::HEAD => Ok(Reply::empty(200)
                .with("x-ms-namespace-enabled", "true")
                .with("last-modified", STAMP)
                .with("etag", "\"0x1\"")),
            _ => Err(unsupported()),
        };
    }
    let path = rest.join("/");
    let node = Node::find(filesystem, &path).ok_or(refusal(
        404,
        "PathNotFound",
        "The specified path does not exist.",
    ))?;
    match incoming.method {
        Method::HEAD => Ok(node
            .head()
            .with("content-length", node.length().to_string())),
        // Microsoft's own clients read with the second.
        Method::GET => {
            let range = incoming.header("range");
            Ok(node.read(range.or_else(|| incoming.header("x-ms-range"))))
        }
        _ => Err(unsupported()),
    }
}

/// A token is honoured with a version of the protocol that is new enough.
fn check_version(incoming: &Incoming) -> Result<(), Refusal> {
    let version = incoming.header("x-ms-version").ok_or(refusal(
        400,
        "MissingRequiredHeader",
        "An HTTP header that's mandatory for this request is not specified: x-ms-version.",
    ))?;
    if azure::is_date(version) && version >= OLDEST_VERSION {
        return Ok(());
    }
    Err(refusal(
        400,
        "InvalidHeaderValue",
        "The value for one of the HTTP headers is not in the correct format: x-ms-version.",
    ))
}

fn unsupported() -> Refusal {
    refusal(
        405,
        "UnsupportedHttpVerb",
        "The resource doesn't support the specified HTTP verb.",
    )
}

/// The object id of the caller.
fn authenticate(world: &World, state: &State, incoming: &Incoming) -> Result<String, Refusal> {
    let invalid = |message| refusal(401, "InvalidAuthenticationInfo", message);
    let bearer = incoming.bearer().ok_or(refusal(
        401,
        "NoAuthenticationInformation",
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
    ))?;
    let claims = tokens::verify(world, bearer).map_err(|fault| {
        invalid(match fault {
            TokenFault::Expired { .. } => {
                "Server failed to authenticate the request. The token is expired."
            }
            _ => "Server failed to authenticate the request. The token is not valid.",
        })
    })?;
    let audience = claims.aud.trim_end_matches('/');
    let own = format!("{}://{}", incoming.scheme, incoming.host);
    if audience != "https://storage.azure.com"
        && audience != "e406a681-f3d4-42a8-90b6-c2b029497af1"
        && audience != own
    {
        return Err(invalid(
            "Audience validation failed. Audience did not match.",
        ));
    }
    if claims.tid != entra::tenant_of(state) {
        return Err(invalid("Issuer validation failed. Issuer did not match."));
    }
    Ok(claims.oid)
}

/// A file or a directory.
struct Node<'a> {
    content: Option<&'a str>,
}

impl<'a> Node<'a> {
    fn find(filesystem: &'a Filesystem, path: &str) -> Option<Self> {
        if let Some(content) = filesystem.paths.get(path) {
            return Some(Self {
                content: Some(content),
            });
        }
        let below = format!("{path}/");
        let directory = path.is_empty()
            || filesystem
                .paths
                .keys()
                .any(|known| known.starts_with(&below));
        directory.then_some(Self { content: None })
    }

    fn length(&self) -> usize {
        self.content.map_or(0, str::len)
    }

    fn head(&self) -> Reply {
        let directory = self.content.is_none();
        Reply::empty(200)
            .with("x-ms-owner", "$superuser")
            .with("x-ms-group", "$superuser")
            .with("x-ms-permissions", "rwxr-x---")
            .with("x-ms-acl", "user::rwx,group::r-x,other::---")
            .with(
                "x-ms-resource-type",
                if directory { "directory" } else { "file" },
            )
            .with("last-modified", STAMP)
            .with("etag", "\"0x1\"")
    }

    fn read(&self, range: Option<&str>) -> Reply {
        let content = self.content.unwrap_or_default().as_bytes();
        let reply = |status| self.head_with(status);
        let Some((from, to)) = range.and_then(|text| bounds(text, content.len())) else {
            return reply(200).body(content.to_vec());
        };
        match content.get(from..=to) {
            Some(part) => reply(206)
                .with(
                    "content-range",
                    format!("bytes {from}-{to}/{}", content.len()),
                )
                .body(part.to_vec()),
            None => reply(416).with("x-ms-error-code", "InvalidRange"),
        }
    }

    fn head_with(&self, status: u16) -> Reply {
        Reply {
            status,
            ..self.head()
        }
        .with("content-type", "application/octet-stream")
    }
}

/// `bytes=a-b`, cut to the length.
fn bounds(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let last = length.saturating_sub(1);
    Some((from, to.parse().unwrap_or(last).min(last)))
}

fn list(incoming: &Incoming, filesystem: &Filesystem) -> Result<Reply, Refusal> {
    let directory = incoming.query("directory").unwrap_or_default();
    let directory = directory.trim_matches('/');
    if Node::find(filesystem, directory).is_none_or(|node| node.content.is_some()) {
        return Err(refusal(
            404,
            "PathNotFound",
            "The specified path does not exist.",
        ));
    }
    let recursive = incoming.query("recursive").as_deref() == Some("true");
    let prefix = if directory.is_empty() {
        String::new()
    } else {
        format!("{directory}/")
    };
    let mut paths: Vec<(String, Option<usize>)> = Vec::new();
    for (path, content) in &filesystem.paths {
        let Some(below) = path.strip_prefix(&prefix).filter(|below| !below.is_empty()) else {
            continue;
        };
        let shown = match below.split_once('/') {
            Some((first, rest)) if !recursive || rest.is_empty() => {
                (format!("{prefix}{first}"), None)
            }
            _ => (path.trim_end_matches('/').to_owned(), Some(content.len())),
        };
        if !paths.iter().any(|(known, _)| *known == shown.0) {
            paths.push(shown);
        }
    }
    let most = incoming
        .query("maxResults")
        .and_then(|text| text.parse().ok())
        .unwrap_or(5000);
    let skip: usize = incoming
        .query("continuation")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let more = paths.len() > skip.saturating_add(most);
    let shown: Vec<Value> = paths
        .into_iter()
        .skip(skip)
        .take(most)
        .map(|(name, length)| {
            let mut entry = json!({
                "name": name,
                "contentLength": length.unwrap_or(0).to_string(),
                "lastModified": STAMP,
                "etag": "0x1",
                "owner": "$superuser",
                "group": "$superuser",
                "permissions": "rwxr-x---",
            });
            if let (None, Some(members)) = (length, entry.as_object_mut()) {
                members.insert("isDirectory".to_owned(), json!("true"));
            }
            entry
        })
        .collect();
    let reply = Reply::json(200, &json!({"paths": shown}));
    Ok(if more {
        reply.with("x-ms-continuation", (skip + most).to_string())
    } else {
        reply
    })
}
