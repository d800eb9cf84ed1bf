//! Folders, notebooks and files of the workspace (reference/databricks.md, section 11).

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::State;
use super::caller::Caller;
use super::directory::{Kind, USERS};
use super::errors::Refusal;
use super::notebook_source::{self, Language};
use super::permissions::{self, DIRECTORIES, Entry, FILES, Grantee, NOTEBOOKS, Object, ObjectKind};
use super::request::{Answer, Request, done, millis, ok};
use crate::World;

/// 10 MB, of a notebook's source.
const LARGEST: usize = 10 * 1024 * 1024;

/// Something at a path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) content: Content,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    modified: OffsetDateTime,
}

/// What is at a path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) enum Content {
    Directory,
    /// The source in the notebook's language.
    Notebook {
        language: Language,
        source: String,
    },
    /// The bytes in base64.
    File(String),
}

impl Item {
    fn new(id: u64, content: Content, now: OffsetDateTime) -> Self {
        Self {
            id,
            content,
            created: now,
            modified: now,
        }
    }

    fn kind(&self) -> &'static ObjectKind {
        match self.content {
            Content::Directory => &DIRECTORIES,
            Content::Notebook { .. } => &NOTEBOOKS,
            Content::File(_) => &FILES,
        }
    }

    fn object(&self) -> Object {
        Object::new(self.kind(), self.id.to_string())
    }

    fn render(&self, path: &str) -> Value {
        let mut body = json!({
            "object_id": self.id,
            "path": path,
            "resource_id": self.id.to_string(),
            "created_at": millis(self.created),
            "modified_at": millis(self.modified),
        });
        let Some(fields) = body.as_object_mut() else {
            return body;
        };
        match &self.content {
            Content::Directory => {
                fields.insert("object_type".into(), json!("DIRECTORY"));
            }
            Content::Notebook { language, .. } => {
                fields.insert("object_type".into(), json!("NOTEBOOK"));
                fields.insert("language".into(), json!(language));
            }
            Content::File(bytes) => {
                fields.insert("object_type".into(), json!("FILE"));
                let size = BASE64_STANDARD.decode(bytes).map_or(0, |bytes| bytes.len());
                fields.insert("size".into(), json!(size));
            }
        }
        body
    }
}

/// A path without the `/Workspace` prefix and a closing slash.
fn canonical(path: &str) -> Result<String, Refusal> {
    let path = match path.strip_prefix("/Workspace") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Ok("/".into());
    }
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(Refusal::invalid(format!(
            "Path ({path}) doesn't start with '/'."
        )))
    }
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => path.get(..at).unwrap_or("/"),
    }
}

/// The item at a path, as a run or a request names it.
pub(super) fn at<'a>(state: &'a State, path: &str) -> Option<&'a Item> {
    state.objects.get(&canonical(path).ok()?)
}

/// Whether a principal has this level on the item at a path, or on the nearest folder above when
/// there is none.
pub(super) fn allows(state: &State, id: u64, path: &str, level: &str) -> bool {
    let Ok(path) = canonical(path) else {
        return false;
    };
    let mut nearest = path.as_str();
    loop {
        match state.objects.get(nearest) {
            Some(item) => return permissions::allows(state, id, &item.object(), level),
            None if nearest == "/" => return state.directory.is_admin(id),
            None => nearest = parent(nearest),
        }
    }
}

/// The folders above an item, with their ids; none for objects that are not in folders.
pub(super) fn folders_above(state: &State, kind: &ObjectKind, id: &str) -> Vec<(Object, u64)> {
    let found = find(state, kind, id);
    let mut folders = Vec::new();
    let Some((mut path, _)) = found else {
        return folders;
    };
    while path != "/" {
        path = parent(path);
        if let Some(item) = state.objects.get(path) {
            folders.push((item.object(), item.id));
        }
    }
    folders
}

/// Whether there is an item of this kind and id.
pub(super) fn is_present(state: &State, kind: &ObjectKind, id: &str) -> bool {
    find(state, kind, id).is_some()
}

fn find<'a>(state: &'a State, kind: &ObjectKind, id: &str) -> Option<(&'a str, &'a Item)> {
    if ![&NOTEBOOKS, &DIRECTORIES, &FILES].contains(&kind) {
        return None;
    }
    let id: u64 = id.parse().ok()?;
    state
        .objects
        .iter()
        .find(|(_, item)| item.id == id && item.kind() == kind)
        .map(|(path, item)| (path.as_str(), item))
}

/// The folders every workspace has, and the rights of all members in `/Shared`.
pub(super) fn seed(state: &mut State, now: OffsetDateTime) {
    for (id, path) in [(1, "/"), (2, "/Users"), (3, "/Shared"), (4, "/Repos")] {
        let item = Item::new(id, Content::Directory, now);
        if path == "/Shared" {
            let all = Entry::new(Grantee::Group(USERS.into()), "CAN_MANAGE");
            state.acls.insert(item.object().key(), vec![all]);
        }
        state.objects.insert(path.into(), item);
    }
}

/// Makes a member's home folder, which the member manages.
pub(super) fn ensure_home(world: &World, state: &mut State, kind: Kind, name: &str) {
    add_home(state, kind, name, world.number(), world.now());
}

/// Like [`ensure_home`], with a given id and time.
pub(super) fn add_home(state: &mut State, kind: Kind, name: &str, id: u64, now: OffsetDateTime) {
    let path = format!("/Users/{name}");
    if state.objects.contains_key(&path) {
        return;
    }
    let item = Item::new(id, Content::Directory, now);
    let own = Entry::new(Grantee::of(kind, name), "CAN_MANAGE");
    state.acls.insert(item.object().key(), vec![own]);
    state.objects.insert(path, item);
}

fn require(state: &State, caller: &Caller, path: &str, level: &str) -> Result<(), Refusal> {
    if allows(state, caller.id, path, level) {
        return Ok(());
    }
    Err(Refusal::denied(format!(
        "{} does not have {level} permission on {path}. Please contact the owner or an administrator for access.",
        caller.name
    )))
}

/// Everyone may look into these; what lies in them has its own rights.
fn is_open(path: &str) -> bool {
    ["/", "/Users", "/Repos"].contains(&path)
}

fn missing(path: &str) -> Refusal {
    Refusal::missing(format!("Path ({path}) doesn't exist."))
}

#[derive(Deserialize)]
struct Import {
    path: String,
    #[serde(default)]
    content: String,
    format: Option<String>,
    language: Option<Language>,
    #[serde(default)]
    overwrite: bool,
}

impl Import {
    /// From JSON with the content in base64, or from a form with the content as it is.
    fn read(request: &Request) -> Result<Self, Refusal> {
        let Some(fields) = request.form_data() else {
            return request.json();
        };
        let members = fields.into_iter().map(|(name, value)| {
            let text = String::from_utf8_lossy(value);
            let value = match name.as_str() {
                "content" => json!(BASE64_STANDARD.encode(value)),
                "overwrite" => json!(text == "true"),
                _ => json!(text),
            };
            (name, value)
        });
        serde_json::from_value(Value::Object(members.collect()))
            .map_err(|fault| Refusal::malformed(format!("Could not parse request object: {fault}")))
    }
}

/// `POST /api/2.0/workspace/import`
pub(super) fn import(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let body = Import::read(request)?;
    let mut path = canonical(&body.path)?;
    let bytes = BASE64_STANDARD
        .decode(&body.content)
        .map_err(|_| Refusal::malformed("The content is not valid base64."))?;
    let format = body.format.as_deref().unwrap_or("SOURCE");
    let content = match format {
        "SOURCE" | "JUPYTER" | "AUTO" => {
            let parsed = notebook_source::parse(format, &path, body.language, &bytes)
                .map_err(Refusal::invalid)?;
            match parsed {
                Some((language, source)) => {
                    if bytes.len() > LARGEST {
                        return Err(Refusal::new(
                            StatusCode::BAD_REQUEST,
                            "MAX_NOTEBOOK_SIZE_EXCEEDED",
                            format!(
                                "The notebook has {} bytes; {LARGEST} are allowed.",
                                bytes.len()
                            ),
                        ));
                    }
                    if format == "AUTO" {
                        path.truncate(notebook_source::without_extension(&path).len());
                    }
                    Content::Notebook { language, source }
                }
                None => Content::File(body.content),
            }
        }
        "RAW" => Content::File(body.content),
        other => {
            return Err(Refusal::invalid(format!(
                "The simulator does not import the format {other}; use SOURCE, JUPYTER, AUTO or RAW."
            )));
        }
    };
    let folder = parent(&path).to_owned();
    if !matches!(
        state.objects.get(&folder).map(|item| &item.content),
        Some(Content::Directory)
    ) {
        require(state, caller, &folder, "CAN_EDIT")?;
        return Err(Refusal::missing(format!(
            "The parent folder ({folder}) does not exist."
        )));
    }
    let now = request.now();
    if let Some(present) = state.objects.get(&path) {
        require(state, caller, &path, "CAN_EDIT")?;
        if !body.overwrite {
            return Err(Refusal::taken(format!(
                "{path} already exists. Please pass overwrite as true to overwrite it."
            )));
        }
        if std::mem::discriminant(&present.content) != std::mem::discriminant(&content) {
            return Err(Refusal::invalid(format!(
                "{path} already exists with another type; overwriting cannot change the type."
            )));
        }
    } else {
        require(state, caller, &folder, "CAN_EDIT")?;
    }
    let id = request.world.number();
    let item = state
        .objects
        .entry(path)
        .or_insert_with(|| Item::new(id, Content::Directory, now));
    item.content = content;
    item.modified = now;
    done()
}

#[derive(Deserialize)]
struct Path {
    path: String,
    #[serde(default)]
    recursive: bool,
}

/// `POST /api/2.0/workspace/mkdirs`: with all folders above; what is there stays.
pub(super) fn mkdirs(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let body: Path = request.json()?;
    let path = canonical(&body.path)?;
    let mut absent = Vec::new();
    let mut next = path.as_str();
    loop {
        match state.objects.get(next).map(|item| &item.content) {
            Some(Content::Directory) => break,
            Some(_) => {
                return Err(Refusal::taken(format!(
                    "A non-directory object with the name {next} already exists."
                )));
            }
            None => absent.push(next.to_owned()),
        }
        next = parent(next);
    }
    if !absent.is_empty() {
        require(state, caller, next, "CAN_EDIT")?;
    }
    for path in absent {
        let item = Item::new(request.world.number(), Content::Directory, request.now());
        state.objects.insert(path, item);
    }
    done()
}

fn readable<'a>(
    request: &Request,
    state: &'a State,
    caller: &Caller,
) -> Result<(String, &'a Item), Refusal> {
    let path = canonical(request.required_query("path")?)?;
    if !is_open(&path) {
        require(state, caller, &path, "CAN_READ")?;
    }
    let item = state.objects.get(&path).ok_or_else(|| missing(&path))?;
    Ok((path, item))
}

/// `GET /api/2.0/workspace/get-status?path=`
pub(super) fn get_status(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let path = canonical(request.required_query("path")?)?;
    let item = state.objects.get(&path).ok_or_else(|| missing(&path))?;
    if !is_open(&path) {
        require(state, caller, &path, "CAN_READ")?;
    }
    ok(item.render(&path))
}

/// `GET /api/2.0/workspace/list?path=`: what lies directly in a folder.
pub(super) fn list(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let (path, item) = readable(request, state, caller)?;
    if item.content != Content::Directory {
        return ok(json!({ "objects": [item.render(&path)] }));
    }
    let objects: Vec<Value> = state
        .objects
        .iter()
        .filter(|(other, _)| other.as_str() != "/" && parent(other) == path)
        .filter(|(other, _)| is_open(other) || allows(state, caller.id, other, "CAN_READ"))
        .map(|(other, item)| item.render(other))
        .collect();
    if objects.is_empty() {
        return done();
    }
    ok(json!({ "objects": objects }))
}

/// `GET /api/2.0/workspace/export?path=&format=&direct_download=`
pub(super) fn export(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let (path, item) = readable(request, &state.databricks, caller)?;
    let format = request.query("format").unwrap_or("SOURCE");
    if !["SOURCE", "AUTO", "RAW"].contains(&format) {
        return Err(Refusal::invalid(format!(
            "The simulator does not export the format {format}; use SOURCE or AUTO."
        )));
    }
    let (bytes, file_type) = match &item.content {
        Content::Directory => {
            return Err(Refusal::bad_request(format!(
                "The simulator does not export the folder {path}; export what lies in it."
            )));
        }
        Content::Notebook { language, source } => (
            notebook_source::with_header(*language, source).into_bytes(),
            language.extension(),
        ),
        Content::File(content) => (
            BASE64_STANDARD.decode(content).unwrap_or_default(),
            path.rsplit_once('.').map_or("", |(_, extension)| extension),
        ),
    };
    if request.flag("direct_download") {
        let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
        return Ok((kind, bytes).into_response());
    }
    ok(json!({ "content": BASE64_STANDARD.encode(bytes), "file_type": file_type }))
}

/// `POST /api/2.0/workspace/delete`
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let body: Path = request.json()?;
    let path = canonical(&body.path)?;
    require(state, caller, &path, "CAN_MANAGE")?;
    if is_open(&path) || path == "/Shared" {
        return Err(Refusal::bad_request(format!(
            "The folder {path} cannot be deleted."
        )));
    }
    if !state.objects.contains_key(&path) {
        return Err(missing(&path));
    }
    let below = format!("{path}/");
    let inside: Vec<String> = state
        .objects
        .keys()
        .filter(|other| other.starts_with(&below))
        .cloned()
        .collect();
    if !inside.is_empty() && !body.recursive {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "DIRECTORY_NOT_EMPTY",
            format!("Folder ({path}) is not empty."),
        ));
    }
    for path in inside.into_iter().chain([path]) {
        if let Some(item) = state.objects.remove(&path) {
            state.acls.remove(&item.object().key());
        }
    }
    done()
}
