//! Applications (reference, section 2.2).

use serde_json::{Map, Value, json};
use time::Duration;

use super::{
    Answer, Request,
    error::{self, GraphError},
    odata::{Key, Operator},
    owners, passwords,
};
use crate::{
    State, World,
    entra::{Application, Arrival, Deletion},
    wire::{Reply, iso},
};

/// Properties that have a place of their own in [`Application`], or that clients cannot set.
const TYPED: [&str; 14] = [
    "id",
    "appId",
    "displayName",
    "uniqueName",
    "signInAudience",
    "identifierUris",
    "isDisabled",
    "owners",
    "owners@odata.bind",
    "passwordCredentials",
    "keyCredentials",
    "createdDateTime",
    "deletedDateTime",
    "publisherDomain",
];

/// Entries in the manifest before it is too large (reference, section 2.3).
const LARGEST_MANIFEST: usize = 1200;

fn has(app: &Application, key: &Key) -> bool {
    match key {
        Key::Id(id) => app.id.eq_ignore_ascii_case(id),
        Key::Alternate(name, value) if name == "appId" => app.app_id.eq_ignore_ascii_case(value),
        Key::Alternate(name, value) if name == "uniqueName" => {
            app.unique_name.as_ref() == Some(value)
        }
        Key::Alternate(..) => false,
    }
}

/// Whether the replica that answers this read shows the application.
fn shown(world: &World, app: &Application) -> bool {
    match &app.deleted {
        Some(deletion) => !world.sees(deletion.seen),
        None => world.sees(app.arrival.read),
    }
}

/// The application as reads see it; refused unless the caller may read it.
pub(super) fn readable<'s>(
    request: &Request<'_>,
    state: &'s State,
    key: &Key,
) -> Result<&'s Application, GraphError> {
    let apps = state.entra.applications.iter();
    // A living application goes before a dead one of the same key.
    let mut found: Vec<&Application> = apps
        .filter(|app| has(app, key) && shown(request.world, app))
        .collect();
    found.sort_by_key(|app| app.deleted.is_some());
    let app = found.first().ok_or_else(|| error::not_found(key.text()))?;
    if request.caller.may_read(&app.owners) {
        Ok(app)
    } else {
        Err(error::denied())
    }
}

/// The application for a write: refused unless the caller may change it, or while another write
/// to it is under way.
pub(super) fn writable<'s>(
    request: &Request<'_>,
    state: &'s mut State,
    key: &Key,
) -> Result<&'s mut Application, GraphError> {
    let world = request.world;
    let app = state
        .entra
        .applications
        .iter_mut()
        .find(|app| app.deleted.is_none() && has(app, key) && world.sees(app.arrival.read))
        .ok_or_else(|| error::not_found(key.text()))?;
    claim(request, app)?;
    Ok(app)
}

/// Marks the application as being written to.
fn claim(request: &Request<'_>, app: &mut Application) -> Result<(), GraphError> {
    if !request.caller.may_change(&app.owners) {
        return Err(error::denied());
    }
    let now = request.world.now();
    if now < app.busy_until {
        return Err(error::concurrent());
    }
    app.busy_until = now + request.world.profile().write_window();
    Ok(())
}

/// Refuses one more entry in a manifest that is full.
pub(super) fn check_size(app: &Application) -> Result<(), GraphError> {
    if app.passwords.len() + app.keys.len() + app.federated.len() < LARGEST_MANIFEST {
        return Ok(());
    }
    Err(GraphError::new(
        400,
        "Directory_ResourceSizeExceeded",
        "The size of the object has exceeded its limit. Please reduce the number of values and retry your request.",
    ))
}

pub(super) fn list(request: &Request<'_>, state: &State) -> Answer {
    let caller = &request.caller;
    let apps = state
        .entra
        .applications
        .iter()
        .filter(|app| shown(request.world, app));
    if !caller.reads_all() {
        // Who may only manage its own applications may look one up, but not list.
        let keyed = request.filter()?.iter().any(|condition| {
            condition.operator == Operator::Equal
                && !condition.negated
                && ["id", "appId", "uniqueName"].contains(&condition.property.as_str())
        });
        if !keyed || !caller.writes_owned() {
            return Err(error::denied());
        }
        let owned = apps.filter(|app| caller.may_read(&app.owners));
        let owned = owned
            .map(|app| printed(request.world, state, app))
            .collect();
        return request.page("applications", owned);
    }
    let all = apps.map(|app| printed(request.world, state, app)).collect();
    request.page("applications", all)
}

pub(super) fn get(request: &Request<'_>, state: &State, key: &Key) -> Answer {
    let app = readable(request, state, key)?;
    Ok(request.one(200, "applications", printed(request.world, state, app)))
}

pub(super) fn create(request: &Request<'_>, state: &mut State) -> Answer {
    let body = request.body()?;
    create_from(request, state, &body, None)
}

fn create_from(
    request: &Request<'_>,
    state: &mut State,
    body: &Value,
    unique_name: Option<&str>,
) -> Answer {
    if !request.caller.writes_owned() {
        return Err(error::denied());
    }
    check_claims_mapping(request, body)?;
    let world = request.world;
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let display_name = text("displayName").ok_or_else(|| {
        error::bad_request(
            "A value is required for property 'displayName' of resource 'Application'.",
        )
    })?;
    let unique_name = unique_name.or(text("uniqueName"));
    check_unique(state, None, unique_name, &uris(body))?;
    let mut owners = owners::bound(state, body)?;
    // An application that may manage only its own becomes an owner of what it creates.
    if request.caller.application
        && !request.caller.writes_all()
        && !owners.contains(&request.caller.oid)
    {
        owners.push(request.caller.oid.clone());
    }
    let now = world.now();
    let mut app = Application {
        id: world.guid(),
        app_id: world.guid(),
        display_name: display_name.to_owned(),
        unique_name: unique_name.map(str::to_owned),
        sign_in_audience: text("signInAudience")
            .unwrap_or("AzureADandPersonalMicrosoftAccount")
            .to_owned(),
        identifier_uris: uris(body),
        disabled: body
            .get("isDisabled")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        owners,
        passwords: Vec::new(),
        keys: Vec::new(),
        federated: Vec::new(),
        properties: Map::new(),
        created: now,
        arrival: Arrival::of_new(world),
        busy_until: now,
        deleted: None,
    };
    set_keys(world, &mut app, body);
    set_properties(&mut app, body);
    let mut shown_once = Vec::new();
    for wanted in body
        .get("passwordCredentials")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        shown_once.push(passwords::mint(
            world,
            &state.entra.credential_policy,
            &mut app,
            wanted,
        )?);
    }
    state.entra.applications.push(app.clone());
    let mut object = printed(world, state, &app);
    if let (false, Some(members)) = (shown_once.is_empty(), object.as_object_mut()) {
        members.insert("passwordCredentials".to_owned(), json!(shown_once));
    }
    Ok(request.one(201, "applications", object))
}

/// Updates an application, or under a unique name creates it when the client prefers that.
pub(super) fn patch(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let body = request.body()?;
    if let Key::Alternate(name, value) = key
        && name == "uniqueName"
        && request.creates_if_missing()
    {
        let mut apps = state.entra.applications.iter();
        if !apps.any(|app| app.deleted.is_none() && has(app, key)) {
            return create_from(request, state, &body, Some(value));
        }
    }
    if body
        .get("passwordCredentials")
        .and_then(Value::as_array)
        .is_some_and(|new| !new.is_empty())
    {
        return Err(passwords::only_by_action());
    }
    let upsert = request.creates_if_missing();
    let world = request.world;
    let index = state
        .entra
        .applications
        .iter()
        .position(|app| {
            // An upsert goes to the primary, which knows the application at once.
            app.deleted.is_none() && has(app, key) && (upsert || world.sees(app.arrival.read))
        })
        .ok_or_else(|| error::not_found(key.text()))?;
    let Some(mut app) = state.entra.applications.get(index).cloned() else {
        return Err(error::not_found(key.text()));
    };
    claim(request, &mut app)?;
    check_claims_mapping(request, &body)?;
    update(world, state, &mut app, &body)?;
    if let Some(slot) = state.entra.applications.get_mut(index) {
        *slot = app;
    }
    Ok(Reply::empty(204))
}

fn update(
    world: &World,
    state: &State,
    app: &mut Application,
    body: &Value,
) -> Result<(), GraphError> {
    if let Some(name) = body.get("uniqueName").and_then(Value::as_str) {
        match &app.unique_name {
            Some(have) if have == name => {}
            Some(_) => {
                return Err(error::bad_request(
                    "Property 'uniqueName' cannot be changed once it is set.",
                ));
            }
            None => {
                check_unique(state, Some(&app.id), Some(name), &[])?;
                app.unique_name = Some(name.to_owned());
            }
        }
    }
    if body.get("identifierUris").is_some() {
        check_unique(state, Some(&app.id), None, &uris(body))?;
        app.identifier_uris = uris(body);
    }
    if let Some(name) = body.get("displayName").and_then(Value::as_str) {
        name.clone_into(&mut app.display_name);
    }
    if let Some(audience) = body.get("signInAudience").and_then(Value::as_str) {
        audience.clone_into(&mut app.sign_in_audience);
    }
    if let Some(disabled) = body.get("isDisabled").and_then(Value::as_bool) {
        app.disabled = disabled;
    }
    set_keys(world, app, body);
    set_properties(app, body);
    Ok(())
}

/// Accepting mapped claims takes the permission to change every application.
fn check_claims_mapping(request: &Request<'_>, body: &Value) -> Result<(), GraphError> {
    let asked = body.pointer("/api/acceptMappedClaims");
    if request.caller.writes_all() || asked.is_none_or(Value::is_null) {
        Ok(())
    } else {
        Err(error::denied())
    }
}

/// Refuses names that another application has, even a soft-deleted one.
fn check_unique(
    state: &State,
    own: Option<&str>,
    unique_name: Option<&str>,
    uris: &[String],
) -> Result<(), GraphError> {
    for other in state
        .entra
        .applications
        .iter()
        .filter(|app| Some(app.id.as_str()) != own)
    {
        if unique_name.is_some() && other.unique_name.as_deref() == unique_name {
            return Err(error::taken("uniqueName"));
        }
        if uris.iter().any(|uri| other.identifier_uris.contains(uri)) {
            return Err(error::taken("identifierUris"));
        }
    }
    Ok(())
}

fn uris(body: &Value) -> Vec<String> {
    let uris = body.get("identifierUris").and_then(Value::as_array);
    uris.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Replaces the certificates, giving ids to new ones.
fn set_keys(world: &World, app: &mut Application, body: &Value) {
    let Some(keys) = body.get("keyCredentials").and_then(Value::as_array) else {
        return;
    };
    app.keys = keys
        .iter()
        .map(|key| {
            let mut key = key.clone();
            // A client that sends back what it read leaves the key itself out.
            let known = app
                .keys
                .iter()
                .find(|have| have.get("keyId") == key.get("keyId"));
            let known = known.and_then(|have| have.get("key")).cloned();
            if let Some(members) = key.as_object_mut() {
                if !members.contains_key("keyId") {
                    members.insert("keyId".to_owned(), json!(world.guid()));
                }
                if members.get("key").is_none_or(Value::is_null) {
                    members.insert("key".to_owned(), known.unwrap_or_default());
                }
            }
            key
        })
        .collect();
}

fn set_properties(app: &mut Application, body: &Value) {
    for (name, value) in body.as_object().into_iter().flatten() {
        if !TYPED.contains(&name.as_str()) && !name.starts_with('@') {
            app.properties.insert(name.clone(), value.clone());
        }
    }
}

pub(super) fn delete(request: &Request<'_>, state: &mut State, key: &Key) -> Answer {
    let deletion = Deletion::now(request.world);
    let app = writable(request, state, key)?;
    app.deleted = Some(deletion.clone());
    let app_id = app.app_id.clone();
    for sp in &mut state.entra.service_principals {
        if sp.app_id == app_id && sp.deleted.is_none() {
            sp.deleted = Some(deletion.clone());
        }
    }
    Ok(Reply::empty(204))
}

/// The application as Graph prints it.
pub(super) fn printed(world: &World, state: &State, app: &Application) -> Value {
    let mut object = json!({
        "id": app.id,
        "deletedDateTime": app.deleted.as_ref().map(|deletion| iso(deletion.at)),
        "appId": app.app_id,
        "applicationTemplateId": null,
        "createdDateTime": iso(app.created),
        "displayName": app.display_name,
        "description": null,
        "identifierUris": app.identifier_uris,
        "notes": null,
        "publisherDomain": state.entra.domain,
        "signInAudience": app.sign_in_audience,
        "tags": [],
        "uniqueName": app.unique_name,
        "isDisabled": app.disabled.then_some(true),
        "serviceManagementReference": null,
        "servicePrincipalLockConfiguration": null,
        "api": {
            "acceptMappedClaims": null,
            "knownClientApplications": [],
            "requestedAccessTokenVersion": null,
            "oauth2PermissionScopes": [],
            "preAuthorizedApplications": [],
        },
        "appRoles": [],
        "info": {
            "logoUrl": null,
            "marketingUrl": null,
            "privacyStatementUrl": null,
            "supportUrl": null,
            "termsOfServiceUrl": null,
        },
        "keyCredentials": app.keys.iter().map(without_key).collect::<Vec<_>>(),
        "passwordCredentials": app
            .passwords
            .iter()
            .filter(|password| world.sees(password.read_from))
            .map(passwords::printed)
            .collect::<Vec<_>>(),
        "publicClient": {"redirectUris": []},
        "requiredResourceAccess": [],
        "spa": {"redirectUris": []},
        "web": {"redirectUris": [], "homePageUrl": null, "logoutUrl": null},
    });
    if let Some(members) = object.as_object_mut() {
        for (name, value) in &app.properties {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}

/// Reads show a certificate without its bytes.
fn without_key(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(members) = key.as_object_mut() {
        members.insert("key".to_owned(), Value::Null);
    }
    key
}

/// The applications in the recycle bin that the caller may see.
pub(super) fn deleted<'s>(
    request: &Request<'_>,
    state: &'s State,
) -> impl Iterator<Item = &'s Application> {
    let kept_since = request.world.now() - Duration::days(30);
    let may: Vec<bool> = state
        .entra
        .applications
        .iter()
        .map(|app| request.caller.may_read(&app.owners))
        .collect();
    state
        .entra
        .applications
        .iter()
        .zip(may)
        .filter_map(move |(app, may)| {
            let deletion = app.deleted.as_ref()?;
            (may && deletion.at > kept_since).then_some(app)
        })
}
