//! Federated identity credentials (reference, section 2.4).

use serde_json::{Value, json};

use super::{
    Answer, Request, applications,
    error::{self, GraphError},
    odata::{self, Key},
};
use crate::{
    Plane, State,
    entra::{Application, Federated},
    wire::Reply,
};

const MOST: usize = 20;
const LONGEST_NAME: usize = 120;
const LONGEST_TEXT: usize = 600;

fn context(app: &Application) -> String {
    format!("applications('{}')/federatedIdentityCredentials", app.id)
}

fn printed(trust: &Federated) -> Value {
    json!({
        "id": trust.id,
        "name": trust.name,
        "issuer": trust.issuer,
        "subject": trust.subject,
        "description": trust.description,
        "audiences": [trust.audience],
    })
}

fn is(trust: &Federated, key: &str) -> bool {
    trust.id.eq_ignore_ascii_case(key) || trust.name == key
}

pub(super) fn get(request: &Request<'_>, state: &State, key: &Key, rest: &[&str]) -> Answer {
    let app = applications::readable(request, state, key)?;
    let mut shown = app
        .federated
        .iter()
        .filter(|trust| request.world.sees(trust.read_from));
    match rest {
        [] => request.page(&context(app), shown.map(printed).collect()),
        [wanted] => {
            let trust = shown.find(|trust| is(trust, wanted));
            let trust = trust.ok_or_else(|| error::not_found(wanted))?;
            Ok(request.one(200, &context(app), printed(trust)))
        }
        _ => Err(error::not_found(&rest.join("/"))),
    }
}

/// Creates, updates or deletes; `part` is the path segment, perhaps with a name in parentheses.
pub(super) fn change(
    request: &Request<'_>,
    state: &mut State,
    key: &Key,
    part: &str,
    rest: &[&str],
) -> Answer {
    let body = request.body()?;
    let (_, named) = odata::split_key(part);
    let wanted = named.as_ref().map(Key::text).or(rest.first().copied());
    let app = applications::writable(request, state, key)?;
    let found = wanted.and_then(|wanted| app.federated.iter().position(|have| is(have, wanted)));
    match (request.incoming.method.as_str(), wanted, found) {
        ("POST", None, _) => create(request, app, &body, None),
        ("PATCH", Some(name), None) if named.is_some() && request.creates_if_missing() => {
            create(request, app, &body, Some(name))
        }
        ("PATCH", Some(_), Some(index)) => {
            update(app, index, &body)?;
            Ok(Reply::empty(204))
        }
        ("DELETE", Some(_), Some(index)) => {
            app.federated.remove(index);
            Ok(Reply::empty(204))
        }
        (_, Some(wanted), None) => Err(error::not_found(wanted)),
        _ => Err(error::bad_request(
            "The request is not valid for this resource.",
        )),
    }
}

fn create(
    request: &Request<'_>,
    app: &mut Application,
    body: &Value,
    name: Option<&str>,
) -> Answer {
    let world = request.world;
    let trust = Federated {
        id: world.guid(),
        name: match name {
            Some(name) => name.to_owned(),
            None => text(body, "name")?.to_owned(),
        },
        issuer: text(body, "issuer")?.to_owned(),
        subject: text(body, "subject")?.to_owned(),
        audience: audience(body)?,
        description: body
            .get("description")
            .and_then(Value::as_str)
            .map(str::to_owned),
        read_from: world.visible_at(Plane::GraphRead),
        sts_from: world.visible_at(Plane::StsFederation),
    };
    if app.federated.iter().any(|have| have.name == trust.name) {
        return Err(GraphError::new(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            format!(
                "FederatedIdentityCredential with name {} already exists.",
                trust.name
            ),
        ));
    }
    if app.federated.len() >= MOST {
        return Err(error::bad_request(format!(
            "The number of federated identity credentials on an application cannot exceed {MOST}."
        )));
    }
    check(app, &trust)?;
    applications::check_size(app)?;
    let mut object = printed(&trust);
    if let Some(members) = object.as_object_mut() {
        members.insert(
            "@odata.id".to_owned(),
            json!(format!(
                "https://graph.microsoft.com/v2/applications/{}/federatedIdentityCredentials/{}",
                app.id, trust.id
            )),
        );
    }
    let reply = request.one(201, &context(app), object);
    app.federated.push(trust);
    Ok(reply)
}

fn update(app: &mut Application, index: usize, body: &Value) -> Result<(), GraphError> {
    let Some(mut trust) = app.federated.get(index).cloned() else {
        return Ok(());
    };
    if body
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|name| name != trust.name)
    {
        return Err(error::bad_request(
            "The name of a federated identity credential cannot be changed.",
        ));
    }
    for (property, slot) in [
        ("issuer", &mut trust.issuer),
        ("subject", &mut trust.subject),
    ] {
        if let Some(text) = body.get(property).and_then(Value::as_str) {
            text.clone_into(slot);
        }
    }
    if body.get("audiences").is_some() {
        trust.audience = audience(body)?;
    }
    if let Some(text) = body.get("description") {
        trust.description = text.as_str().map(str::to_owned);
    }
    check(app, &trust)?;
    if let Some(slot) = app.federated.get_mut(index) {
        *slot = trust;
    }
    Ok(())
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, GraphError> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| {
        error::bad_request(format!(
            "A value is required for property '{name}' of resource 'FederatedIdentityCredential'."
        ))
    })
}

fn audience(body: &Value) -> Result<String, GraphError> {
    let audiences = body.get("audiences").and_then(Value::as_array);
    match audiences.map(Vec::as_slice) {
        Some([Value::String(one)]) => Ok(one.clone()),
        _ => Err(error::bad_request(
            "Federated identity credentials must have exactly one audience.",
        )),
    }
}

/// The limits on a credential, and its uniqueness among the application's others.
fn check(app: &Application, trust: &Federated) -> Result<(), GraphError> {
    let name_fits = trust.name.len() <= LONGEST_NAME
        && trust
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
    if !name_fits {
        return Err(error::bad_request(format!(
            "The name of a federated identity credential has at most {LONGEST_NAME} URL-friendly characters."
        )));
    }
    let description = trust.description.as_deref().unwrap_or_default();
    let texts = [&trust.issuer, &trust.subject, &trust.audience];
    if texts.iter().any(|text| text.len() > LONGEST_TEXT) || description.len() > LONGEST_TEXT {
        return Err(error::bad_request(format!(
            "Issuer, subject, description and audience have at most {LONGEST_TEXT} characters."
        )));
    }
    let twin = app.federated.iter().any(|have| {
        have.id != trust.id && have.issuer == trust.issuer && have.subject == trust.subject
    });
    if twin {
        let (issuer, subject) = (&trust.issuer, &trust.subject);
        return Err(GraphError::new(
            400,
            "InvalidFederatedIdentityCredentialValue",
            format!(
                "The combination of issuer and subject must be unique for the application. Issuer {issuer} and Subject: {subject} already exist. paramName: FederatedIdentityCredential.Subject, paramValue: {subject}, objectType: Microsoft.Online.DirectoryServices.Application"
            ),
        ));
    }
    Ok(())
}
