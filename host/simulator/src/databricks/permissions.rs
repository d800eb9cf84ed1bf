//! Who may do what with an object: levels, inheritance, ownership
//! (reference/databricks.md, section 7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::State;
use super::caller::Caller;
use super::directory::{ADMINS, Directory, Kind};
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, ok};
use super::workspace_objects;

/// A type of object that has permissions.
#[derive(Debug, PartialEq)]
pub(super) struct ObjectKind {
    /// As in paths: `jobs`, `sql/warehouses`.
    pub(super) path: &'static str,
    /// As in replies.
    name: &'static str,
    /// From weak to strong.
    levels: &'static [&'static str],
    /// The strongest level an admin has without being asked; whoever has it may change the ACL.
    manage: &'static str,
}

pub(super) static JOBS: ObjectKind = ObjectKind {
    path: "jobs",
    name: "job",
    levels: &["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", OWNER],
    manage: "CAN_MANAGE",
};
pub(super) static NOTEBOOKS: ObjectKind = ObjectKind {
    path: "notebooks",
    name: "notebook",
    levels: WORKSPACE_LEVELS,
    manage: "CAN_MANAGE",
};
pub(super) static DIRECTORIES: ObjectKind = ObjectKind {
    path: "directories",
    name: "directory",
    levels: WORKSPACE_LEVELS,
    manage: "CAN_MANAGE",
};
pub(super) static FILES: ObjectKind = ObjectKind {
    path: "files",
    name: "file",
    levels: WORKSPACE_LEVELS,
    manage: "CAN_MANAGE",
};
pub(super) static CLUSTERS: ObjectKind = ObjectKind {
    path: "clusters",
    name: "cluster",
    levels: &["CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"],
    manage: "CAN_MANAGE",
};
pub(super) static POLICIES: ObjectKind = ObjectKind {
    path: "cluster-policies",
    name: "cluster-policy",
    levels: &["CAN_USE"],
    manage: "CAN_USE",
};
pub(super) static WAREHOUSES: ObjectKind = ObjectKind {
    path: "sql/warehouses",
    name: "warehouses",
    levels: &["CAN_VIEW", "CAN_MONITOR", "CAN_USE", "CAN_MANAGE", OWNER],
    manage: "CAN_MANAGE",
};
pub(super) static TOKENS: ObjectKind = ObjectKind {
    path: "authorization",
    name: "tokens",
    levels: &["CAN_USE", "CAN_MANAGE"],
    manage: "CAN_MANAGE",
};

const WORKSPACE_LEVELS: &[&str] = &["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"];
/// The level of the one owner.
pub(super) const OWNER: &str = "IS_OWNER";

impl ObjectKind {
    fn by_path(path: &str) -> Option<&'static Self> {
        [
            &JOBS,
            &NOTEBOOKS,
            &DIRECTORIES,
            &FILES,
            &CLUSTERS,
            &POLICIES,
            &WAREHOUSES,
            &TOKENS,
        ]
        .into_iter()
        .find(|kind| kind.path == path)
    }

    fn rank(&self, level: &str) -> Option<usize> {
        self.levels.iter().position(|known| *known == level)
    }

    fn has_owner(&self) -> bool {
        self.levels.contains(&OWNER)
    }

    /// Whether having the object at all is not enough to change its ACL.
    fn is_managed_by_admins(&self) -> bool {
        self == &POLICIES || self == &TOKENS
    }
}

/// One object.
#[derive(Debug, PartialEq)]
pub(super) struct Object {
    kind: &'static ObjectKind,
    id: String,
}

impl Object {
    /// The object of a kind with this id.
    pub(super) fn new(kind: &'static ObjectKind, id: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
        }
    }

    /// The key of its access-control list.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.kind.path, self.id)
    }
}

/// Whom an entry is for, by name.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) enum Grantee {
    User(String),
    Group(String),
    ServicePrincipal(String),
}

impl Grantee {
    /// The principal itself.
    pub(super) fn of(kind: Kind, name: &str) -> Self {
        match kind {
            Kind::User => Self::User(name.to_owned()),
            Kind::ServicePrincipal => Self::ServicePrincipal(name.to_owned()),
        }
    }

    fn key(&self) -> (&'static str, &str) {
        match self {
            Self::User(name) => ("user_name", name),
            Self::Group(name) => ("group_name", name),
            Self::ServicePrincipal(name) => ("service_principal_name", name),
        }
    }

    fn includes(&self, directory: &Directory, id: u64) -> bool {
        match self {
            Self::Group(name) => directory.is_in(id, name),
            Self::User(name) | Self::ServicePrincipal(name) => directory
                .principals
                .get(&id)
                .is_some_and(|principal| principal.name.eq_ignore_ascii_case(name)),
        }
    }
}

/// A level for somebody.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) who: Grantee,
    pub(super) level: String,
}

impl Entry {
    /// A new entry.
    pub(super) fn new(who: Grantee, level: &str) -> Self {
        Self {
            who,
            level: level.to_owned(),
        }
    }
}

/// Entries that an object has from what it lies in, each with where it comes from.
fn inherited(state: &State, object: &Object) -> Vec<(Entry, String)> {
    let admins = Entry::new(Grantee::Group(ADMINS.into()), object.kind.manage);
    let mut entries = vec![(admins, format!("/{}/", object.kind.path))];
    for (folder, id) in workspace_objects::folders_above(state, object.kind, &object.id) {
        let direct = state.acls.get(&folder.key()).into_iter().flatten().cloned();
        entries.extend(direct.map(|entry| (entry, format!("/directories/{id}"))));
    }
    entries
}

/// Whether a principal has at least this level on an object.
pub(super) fn allows(state: &State, id: u64, object: &Object, level: &str) -> bool {
    let wanted = object.kind.rank(level);
    let reaches = |entry: &Entry| {
        object.kind.rank(&entry.level) >= wanted && entry.who.includes(&state.directory, id)
    };
    wanted.is_some()
        && (state
            .acls
            .get(&object.key())
            .into_iter()
            .flatten()
            .any(&reaches)
            || inherited(state, object)
                .iter()
                .any(|(entry, _)| reaches(entry)))
}

/// The owner named by an object's list.
pub(super) fn owner<'a>(state: &'a State, object: &Object) -> Option<&'a str> {
    state
        .acls
        .get(&object.key())?
        .iter()
        .find(|entry| entry.level == OWNER)
        .map(|entry| entry.who.key().1)
}

fn render(state: &State, object: &Object) -> Value {
    let mut rows: Vec<(Grantee, Vec<Value>)> = Vec::new();
    let mut add =
        |who: &Grantee, permission: Value| match rows.iter_mut().find(|(known, _)| known == who) {
            Some((_, permissions)) => permissions.push(permission),
            None => rows.push((who.clone(), vec![permission])),
        };
    for entry in state.acls.get(&object.key()).into_iter().flatten() {
        add(
            &entry.who,
            json!({ "permission_level": entry.level, "inherited": false }),
        );
    }
    for (entry, from) in inherited(state, object) {
        add(
            &entry.who,
            json!({ "permission_level": entry.level, "inherited": true, "inherited_from_object": [from] }),
        );
    }
    let list: Vec<Value> = rows
        .into_iter()
        .map(|(who, permissions)| {
            let (key, name) = who.key();
            let mut row = Map::new();
            row.insert(key.into(), json!(name));
            if let Some(principal) = state.directory.named(name) {
                row.insert("display_name".into(), json!(principal.display_name));
            }
            row.insert("all_permissions".into(), json!(permissions));
            Value::Object(row)
        })
        .collect();
    json!({
        "object_id": format!("/{}", object.key()),
        "object_type": object.kind.name,
        "access_control_list": list,
    })
}

/// Reads and checks a requested list. Of several entries for one principal the last counts.
pub(super) fn entries(
    request: &Request,
    state: &State,
    kind: &ObjectKind,
    list: &Value,
) -> Result<Vec<Entry>, Refusal> {
    let mut entries: Vec<Entry> = Vec::new();
    for row in list.as_array().into_iter().flatten() {
        let text = |key: &str| row.field(key).as_str().filter(|text| !text.is_empty());
        let who = match (
            text("user_name"),
            text("group_name"),
            text("service_principal_name"),
        ) {
            (Some(name), None, None) => Grantee::User(name.to_owned()),
            (None, Some(name), None) => Grantee::Group(name.to_owned()),
            (None, None, Some(name)) => Grantee::ServicePrincipal(name.to_owned()),
            _ => {
                return Err(Refusal::invalid(
                    "Exactly one of user_name, group_name and service_principal_name must be given in an access control entry.",
                ));
            }
        };
        require_known(request, &state.directory, &who)?;
        let level = text("permission_level")
            .ok_or_else(|| Refusal::invalid("Missing required field: permission_level"))?;
        // Admins manage tokens because they are admins; nobody is granted it.
        let is_implicit = kind == &TOKENS && level == kind.manage;
        if kind.rank(level).is_none() || is_implicit {
            return Err(Refusal::invalid(format!(
                "Permission level {level} is not supported on a {}; it has {}",
                kind.name,
                kind.levels.join(", ")
            )));
        }
        if kind != &TOKENS
            && who == Grantee::Group(ADMINS.into())
            && kind.rank(level) < kind.rank(kind.manage)
        {
            return Err(Refusal::bad_request(format!(
                "Cannot change permissions for group 'admins' to {level}."
            )));
        }
        if level == OWNER && matches!(who, Grantee::Group(_)) {
            return Err(Refusal::invalid(format!(
                "A group cannot be the owner of a {}.",
                kind.name
            )));
        }
        entries.retain(|entry| entry.who != who);
        entries.push(Entry::new(who, level));
    }
    Ok(entries)
}

fn require_known(request: &Request, directory: &Directory, who: &Grantee) -> Result<(), Refusal> {
    let is_visible = |kind, name: &str| {
        directory
            .find(kind, name)
            .is_some_and(|principal| principal.is_visible(&request.world))
    };
    let (form, name, is_known) = match who {
        Grantee::User(name) => ("UserName", name, is_visible(Kind::User, name)),
        Grantee::ServicePrincipal(name) => (
            "ServicePrincipalName",
            name,
            is_visible(Kind::ServicePrincipal, name),
        ),
        Grantee::Group(name) => (
            "GroupName",
            name,
            directory
                .group(name)
                .is_some_and(|group| group.in_workspace),
        ),
    };
    if is_known {
        Ok(())
    } else {
        Err(Refusal::missing(format!(
            "Principal: {form}({name}) does not exist"
        )))
    }
}

/// A job has exactly one owner, whichever way its list is written.
pub(super) fn require_one_owner(kind: &ObjectKind, entries: &[Entry]) -> Result<(), Refusal> {
    let owners = entries.iter().filter(|entry| entry.level == OWNER).count();
    if kind == &JOBS && owners != 1 {
        return Err(Refusal::invalid("The job must have exactly one owner."));
    }
    if owners > 1 {
        return Err(Refusal::invalid(format!(
            "The {} must have exactly one owner.",
            kind.name
        )));
    }
    Ok(())
}

/// The object a path names, if the caller may manage it; rights are looked at before existence.
fn managed(request: &Request, state: &State, caller: &Caller) -> Result<Object, Refusal> {
    let (path, id) = (request.parameter("type"), request.parameter("id"));
    let path = if request
        .path
        .starts_with("/api/2.0/permissions/sql/warehouses/")
    {
        WAREHOUSES.path
    } else {
        path
    };
    let kind = ObjectKind::by_path(path)
        .filter(|kind| *kind != &TOKENS || id == "tokens")
        .ok_or_else(|| Refusal::invalid(format!("'{path}' is not a supported object type.")))?;
    let object = Object::new(kind, id);
    let may_manage = caller.admin
        || !kind.is_managed_by_admins() && allows(state, caller.id, &object, kind.manage);
    if !may_manage {
        return Err(Refusal::denied(if kind == &JOBS {
            format!(
                "{} does not have Manage permissions on Job with ID: ElasticJobId({id}). Please contact the owner or an administrator for access.",
                caller.name
            )
        } else {
            format!(
                "{} does not have Manage permissions on {} with ID: {id}. Please contact the owner or an administrator for access.",
                caller.name, kind.name
            )
        }));
    }
    require_present(state, &object)?;
    Ok(object)
}

fn require_present(state: &State, object: &Object) -> Result<(), Refusal> {
    let id = object.id.as_str();
    let is_present = match object.kind.path {
        "jobs" => id.parse().is_ok_and(|id: i64| state.jobs.contains_key(&id)),
        "clusters" => state.clusters.contains_key(id),
        "cluster-policies" => state.policies.contains_key(id),
        "sql/warehouses" => state.warehouses.contains_key(id),
        "authorization" => state.had_token,
        _ => workspace_objects::is_present(state, object.kind, id),
    };
    if is_present {
        return Ok(());
    }
    Err(Refusal::missing(match object.kind.path {
        "jobs" => format!("Job {id} does not exist."),
        "authorization" => "tokens tokens does not exist".to_owned(),
        _ => format!("{} {id} does not exist.", object.kind.name),
    }))
}

/// `GET /api/2.0/permissions/{type}/{id}`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let object = managed(request, state, caller)?;
    ok(render(state, &object))
}

/// `GET /api/2.0/permissions/{type}/{id}/permissionLevels`
pub(super) fn levels(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let object = managed(request, &state.databricks, caller)?;
    let levels: Vec<Value> = object
        .kind
        .levels
        .iter()
        .map(|level| json!({ "permission_level": level, "description": format!("{level} on a {}", object.kind.name) }))
        .collect();
    ok(json!({ "permission_levels": levels }))
}

/// `PUT /api/2.0/permissions/{type}/{id}`: replaces the list. A tokens list that leaves somebody
/// out deletes that principal's tokens (7.1).
pub(super) fn put(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let object = managed(request, state, caller)?;
    let body: Value = request.json()?;
    let mut entries = entries(
        request,
        state,
        object.kind,
        body.field("access_control_list"),
    )?;
    let has_owner = entries.iter().any(|entry| entry.level == OWNER);
    if object.kind == &WAREHOUSES && !has_owner {
        let owner = state
            .acls
            .get(&object.key())
            .and_then(|list| list.iter().find(|entry| entry.level == OWNER).cloned())
            .ok_or_else(|| {
                Refusal::invalid(format!(
                    "PUT requests for warehouse {} with no existing owner must provide a new owner.",
                    object.id
                ))
            })?;
        entries.retain(|entry| entry.who != owner.who);
        entries.push(owner);
    }
    write(state, &object, entries)
}

/// `PATCH /api/2.0/permissions/{type}/{id}`: sets the named principals' levels.
pub(super) fn patch(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    let state = &mut state.databricks;
    let object = managed(request, state, caller)?;
    let body: Value = request.json()?;
    let sent = entries(
        request,
        state,
        object.kind,
        body.field("access_control_list"),
    )?;
    let mut entries = state.acls.get(&object.key()).cloned().unwrap_or_default();
    entries.retain(|entry| sent.iter().all(|other| other.who != entry.who));
    entries.extend(sent);
    write(state, &object, entries)
}

fn write(state: &mut State, object: &Object, entries: Vec<Entry>) -> Answer {
    if object.kind.has_owner() {
        require_one_owner(object.kind, &entries)?;
    }
    state.acls.insert(object.key(), entries);
    if object.kind == &TOKENS {
        let lost: Vec<String> = state
            .pats
            .values()
            .filter(|pat| !super::tokens::may_use(state, pat.owner))
            .map(|pat| pat.token_id.clone())
            .collect();
        for token in lost {
            state.pats.remove(&token);
        }
    }
    ok(render(state, object))
}
