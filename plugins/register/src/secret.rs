//! The client secret: kept if a live one is where it belongs, issued if not.

use lockkeeper_guest::types::{ApplicationId, Error, KeyId, Secret, StepError, Timestamp};
use lockkeeper_guest::{Attempt, LONG, progress, time, timer, until};

use crate::bindings::SecretRequest;
use crate::bindings::lockkeeper::entra::applications::Application;
use crate::bindings::lockkeeper::entra::credentials::{self, Issued, Password};
use crate::place::Place;

/// The live client secret; its value only when it was issued now.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) secret: Option<Secret>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) expires: Option<Timestamp>,
}

/// Makes sure that the application has a live secret which is kept in its place.
pub(crate) fn ensure(
    application: &Application,
    created: bool,
    request: &SecretRequest,
) -> Result<Held, StepError> {
    let place = Place::of(request)?;
    let label = request
        .display_name
        .clone()
        .unwrap_or_else(|| place.label());
    let purpose = format!("lockkeeper {label}");
    let lifetime = i64::try_from(request.lifetime.seconds).unwrap_or(i64::MAX);
    let now = now()?;

    let stored = place.stored(&application.application_id)?;
    if !created {
        let passwords = credentials::list_passwords(&application.object_id)?;
        if let Some(live) = live(&passwords, stored.as_deref(), now + lifetime / 10) {
            progress::note(&format!(
                "the secret in {} was already there",
                place.label()
            ));
            return Ok(Held {
                secret: None,
                key_id: Some(live.key_id.clone()),
                expires: Some(live.ends.clone()),
            });
        }
        for orphan in orphans(&passwords, &purpose, stored.as_deref()) {
            credentials::remove_password(&application.object_id, &orphan.key_id)?;
            progress::note("a secret that was issued before and never stored was revoked");
        }
    }

    let ends = Timestamp {
        rfc3339: time::format(now.saturating_add(lifetime)),
    };
    let issued = issue(application, created, &purpose, &ends)?;
    prove(&application.application_id, &issued.value)?;
    Ok(Held {
        secret: Some(issued.value),
        key_id: Some(issued.key_id),
        expires: Some(issued.ends),
    })
}

fn now() -> Result<i64, StepError> {
    let now = timer::now().rfc3339;
    time::parse(&now).ok_or_else(|| {
        let message = format!("`{now}` is no time in UTC");
        Error::of(Error::Other, "step/timer.now", "TIME", message).into()
    })
}

/// The stored secret, if the application still has it and it ends after `until`.
fn live<'a>(passwords: &'a [Password], stored: Option<&str>, until: i64) -> Option<&'a Password> {
    passwords.iter().find(|password| {
        stored.is_some_and(|id| id.eq_ignore_ascii_case(&password.key_id.key_id))
            && time::parse(&password.ends.rfc3339).is_none_or(|ends| ends > until)
    })
}

/// Secrets issued for this purpose that are not the stored one: their values are lost.
fn orphans<'a>(
    passwords: &'a [Password],
    purpose: &'a str,
    stored: Option<&'a str>,
) -> impl Iterator<Item = &'a Password> {
    passwords.iter().filter(move |password| {
        // The host appends its own mark to the name, after a space.
        let ours = password
            .display_name
            .strip_prefix(purpose)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        ours && !stored.is_some_and(|id| id.eq_ignore_ascii_case(&password.key_id.key_id))
    })
}

fn issue(
    application: &Application,
    created: bool,
    purpose: &str,
    ends: &Timestamp,
) -> Result<Issued, StepError> {
    progress::report("issuing a client secret");
    until("Entra takes a secret for the new application", LONG, || {
        match credentials::add_password(&application.object_id, purpose, ends) {
            Ok(issued) => Ok(Attempt::Done(issued)),
            Err(error) if created && error.is_missing() => Ok(Attempt::Again(error)),
            Err(error) if error.says("CredentialInvalidLifetimeAsPerAppPolicy") => Err(error.because(
                "a policy of the tenant allows only shorter-lived secrets",
                "ask for a shorter lifetime",
            )),
            Err(error) if error.says("CredentialTypeNotAllowedAsPerAppPolicy") => Err(error.because(
                "a policy of the tenant forbids client secrets",
                "have an administrator exempt the application, or use federated credentials",
            )),
            Err(error @ Error::Denied(_)) if error.failure().service != "lockkeeper" => Err(error.because(
                "the signed-in identity does not own the application",
                "make it an owner of the application in Entra, or give it Application.ReadWrite.All",
            )),
            Err(error) => Err(error.into()),
        }
    })
}

/// Waits until the token endpoint accepts the new secret. Until it has arrived there, the
/// endpoint's answers are those for a wrong secret or an unknown application.
fn prove(application: &ApplicationId, value: &Secret) -> Result<(), StepError> {
    progress::report("signing in with the new secret");
    until("the token endpoint accepts the new secret", LONG, || {
        match credentials::prove(application, value) {
            Ok(()) => Ok(Attempt::Done(())),
            Err(error) if is_not_there_yet(&error) => Ok(Attempt::Again(error)),
            Err(error) if error.says("AADSTS500011") => Err(error.because(
                "the tenant does not know Azure Databricks: it has no workspace yet, or this is the wrong tenant",
                "check the target's tenant_id",
            )),
            Err(error) if error.says("AADSTS7000112") => Err(error.because(
                "the service principal is disabled",
                "enable it under Enterprise applications in Entra",
            )),
            Err(error) => Err(error.into()),
        }
    })
}

fn is_not_there_yet(error: &Error) -> bool {
    let codes = [
        "AADSTS7000215",
        "AADSTS7000222",
        "AADSTS700016",
        "AADSTS7000229",
    ];
    error.is_missing() || codes.iter().any(|code| error.says(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(key_id: &str, name: &str, ends: &str) -> Password {
        Password {
            key_id: KeyId {
                key_id: key_id.to_owned(),
            },
            display_name: name.to_owned(),
            ends: Timestamp {
                rfc3339: ends.to_owned(),
            },
        }
    }

    fn passwords() -> [Password; 4] {
        [
            password("a", "lockkeeper kv/s mark-1", "2026-03-01T00:00:00Z"),
            password("b", "lockkeeper kv/s mark-2", "2026-06-01T00:00:00Z"),
            password("c", "lockkeeper kv/s2 mark-3", "2026-06-01T00:00:00Z"),
            password("d", "by hand", "2026-06-01T00:00:00Z"),
        ]
    }

    #[test]
    fn the_stored_secret_is_live_until_its_end_is_near() {
        let all = passwords();
        let march = time::parse("2026-03-01T00:00:00Z").unwrap();
        assert!(
            live(&all, Some("A"), march - 1).is_some(),
            "ids have no case"
        );
        assert!(live(&all, Some("a"), march).is_none(), "it ends too soon");
        assert!(live(&all, Some("gone"), 0).is_none(), "it was revoked");
        assert!(live(&all, None, 0).is_none(), "nothing is stored");
    }

    #[test]
    fn only_lost_secrets_of_this_purpose_are_orphans() {
        let all = passwords();
        let ids = |stored| -> Vec<_> {
            orphans(&all, "lockkeeper kv/s", stored)
                .map(|password| password.key_id.key_id.clone())
                .collect()
        };
        assert_eq!(ids(Some("a")), ["b"]);
        assert_eq!(ids(None), ["a", "b"]);
    }

    #[test]
    fn a_new_secret_is_refused_before_it_arrives() {
        let refused = |code: &str| Error::of(Error::Denied, "prove", code, String::new());
        assert!(is_not_there_yet(&refused("AADSTS7000215")));
        assert!(!is_not_there_yet(&refused("AADSTS7000112")));
    }
}
