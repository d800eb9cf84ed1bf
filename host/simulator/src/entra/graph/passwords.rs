//! Client secrets (reference, section 2.3).

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{
    Answer, Request, applications,
    error::{self, GraphError},
    odata::Key,
    principals,
};
use crate::{
    Hashed, Plane, State, World,
    entra::{Application, CredentialPolicy, Password},
    wire::{Reply, iso, parse_iso},
};

/// How long a secret lives when the client does not say.
const DEFAULT_LIFETIME: Duration = Duration::days(730);
/// Secrets of an application that personal accounts may use.
const MOST_FOR_PERSONAL: usize = 2;

pub(super) fn add(request: &Request<'_>, state: &mut State, collection: &str, key: &Key) -> Answer {
    let body = request.body()?;
    let wanted = body.get("passwordCredential").unwrap_or(&Value::Null);
    let policy = state.entra.credential_policy.clone();
    let minted = if collection == "applications" {
        let app = applications::writable(request, state, key)?;
        mint(request.world, &policy, app, wanted)?
    } else {
        let principal = principals::writable(request, state, key)?;
        let (password, shown) = new_password(request.world, &policy, wanted)?;
        principal.passwords.push(password);
        shown
    };
    let mut shown = json!({
        "@odata.context":
            "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.passwordCredential",
    });
    if let (Some(all), Value::Object(minted)) = (shown.as_object_mut(), minted) {
        all.extend(minted);
    }
    Ok(Reply::json(200, &shown))
}

/// Gives an application a secret; the answer is the one place that shows it.
pub(super) fn mint(
    world: &World,
    policy: &CredentialPolicy,
    app: &mut Application,
    wanted: &Value,
) -> Result<Value, GraphError> {
    let personal = app.sign_in_audience.contains("PersonalMicrosoftAccount");
    let next = app.passwords.len() + 1;
    if personal && next > MOST_FOR_PERSONAL {
        return Err(GraphError::new(
            400,
            "TooManyAppPasswords",
            format!(
                "Not allowed to add {next} passwords. You can only add a maximum of {MOST_FOR_PERSONAL} passwords."
            ),
        ));
    }
    applications::check_size(app)?;
    let (password, shown) = new_password(world, policy, wanted)?;
    app.passwords.push(password);
    Ok(shown)
}

fn new_password(
    world: &World,
    policy: &CredentialPolicy,
    wanted: &Value,
) -> Result<(Password, Value), GraphError> {
    if wanted.get("secretText").is_some_and(|text| !text.is_null()) {
        return Err(only_by_action());
    }
    let start = time(wanted, "startDateTime")?.unwrap_or_else(|| world.now());
    let end = time(wanted, "endDateTime")?.unwrap_or(start + DEFAULT_LIFETIME);
    check_policy(policy, start, end)?;
    // Forty characters that need form-encoding, as real ones do, and that no scanner for leaked
    // secrets takes for a real one.
    let secret = format!("{}~sim.{}-", world.hex(16), world.hex(18));
    let hint: String = secret.chars().take(3).collect();
    let password = Password {
        key_id: world.guid(),
        display_name: wanted
            .get("displayName")
            .and_then(Value::as_str)
            .map(str::to_owned),
        hint,
        secret: Hashed::of(&secret),
        start,
        end,
        read_from: world.visible_at(Plane::GraphRead),
        sts_from: world.visible_at(Plane::Sts),
    };
    let mut shown = printed(&password);
    if let Some(members) = shown.as_object_mut() {
        members.insert("secretText".to_owned(), json!(secret));
    }
    Ok((password, shown))
}

fn time(wanted: &Value, name: &str) -> Result<Option<OffsetDateTime>, GraphError> {
    match wanted.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().and_then(parse_iso).map(Some).ok_or_else(|| {
            error::bad_request(format!(
                "Cannot convert the value of property '{name}' to the expected type 'Edm.DateTimeOffset'."
            ))
        }),
    }
}

fn check_policy(
    policy: &CredentialPolicy,
    start: OffsetDateTime,
    end: OffsetDateTime,
) -> Result<(), GraphError> {
    let id = &policy.id;
    if policy.passwords_banned {
        let message = format!("Credential type not allowed as per assigned policy '{id}'.");
        return Err(GraphError::new(
            400,
            "CredentialTypeNotAllowedAsPerAppPolicy",
            message,
        ));
    }
    let longest = policy
        .longest_days
        .map(|days| Duration::days(i64::from(days)));
    if longest.is_some_and(|longest| end - start > longest) {
        let message = format!(
            "Credential lifetime exceeds the max value allowed as per assigned policy '{id}'."
        );
        return Err(
            GraphError::new(400, "CredentialInvalidLifetimeAsPerAppPolicy", message)
                .detail("InvalidKeyEndDate", "EndDate"),
        );
    }
    Ok(())
}

pub(super) fn remove(
    request: &Request<'_>,
    state: &mut State,
    collection: &str,
    key: &Key,
) -> Answer {
    let body = request.body()?;
    let id = body
        .get("keyId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let passwords = if collection == "applications" {
        &mut applications::writable(request, state, key)?.passwords
    } else {
        &mut principals::writable(request, state, key)?.passwords
    };
    let before = passwords.len();
    passwords.retain(|password| !password.key_id.eq_ignore_ascii_case(&id));
    if passwords.len() == before {
        return Err(error::bad_request(
            "No password credential found with keyId.",
        ));
    }
    Ok(Reply::empty(204))
}

pub(super) fn only_by_action() -> GraphError {
    error::bad_request("New password credentials must be generated with service actions.")
}

/// A secret as reads show it.
pub(super) fn printed(password: &Password) -> Value {
    json!({
        "customKeyIdentifier": null,
        "displayName": password.display_name,
        "endDateTime": iso(password.end),
        "hint": password.hint,
        "keyId": password.key_id,
        "secretText": null,
        "startDateTime": iso(password.start),
    })
}
