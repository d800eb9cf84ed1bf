//! A scope whose secrets Databricks itself keeps. They cannot be read and have no tags, so a key
//! beside each says in its own name which secret it is: `KEY.KEY-ID.UNIX-EXPIRY`.

use lockkeeper_guest::types::{Error, StepError};
use lockkeeper_guest::{Attempt, SHORT, progress, time, until};

use crate::bindings::Entry;
use crate::bindings::lockkeeper::databricks::secrets;
use crate::vault::lost;

/// Puts the secrets that have a value into the scope, and counts them; the others must be there.
pub(crate) fn keep(scope: &str, entries: &[Entry]) -> Result<u32, StepError> {
    if entries.is_empty() {
        return Ok(0);
    }
    let keys = until(
        "the workspace shows the scope",
        SHORT,
        || match secrets::list(scope) {
            Ok(keys) => Ok(Attempt::Done(keys)),
            Err(error) if error.is_missing() => Ok(Attempt::Again(error)),
            Err(error) => Err(refusal(error)),
        },
    )?;
    let mut written = 0;
    for entry in entries {
        let marker = entry.key_id.as_ref().map(|id| {
            let expires = entry.expires.as_ref();
            marker(
                &entry.name,
                &id.key_id,
                expires.map(|time| time.rfc3339.as_str()),
            )
        });
        let has = |key: &str| keys.iter().any(|other| other == key);
        let Some(value) = &entry.value else {
            if !has(&entry.name) {
                let message = format!(
                    "secret {} is not in scope {scope}, and no value was given",
                    entry.name
                );
                return Err(lost(message, "databricks/secrets.list"));
            }
            progress::note(&format!("secret {} was already there", entry.name));
            continue;
        };
        if has(&entry.name) && marker.as_deref().is_some_and(has) {
            progress::note(&format!("secret {} was already there", entry.name));
            continue;
        }
        progress::report(&format!("writing secret {}", entry.name));
        secrets::put(scope, &entry.name, value).map_err(refusal)?;
        // In this order, a marker without its secret cannot be.
        if let Some(marker) = &marker {
            secrets::put_text(scope, marker, &entry.application_id.application_id)
                .map_err(refusal)?;
        }
        for old in keys.iter().filter(|key| is_marker_of(&entry.name, key)) {
            if marker.as_ref() != Some(old) {
                secrets::delete(scope, old).map_err(refusal)?;
            }
        }
        written += 1;
    }
    Ok(written)
}

/// The key that says which secret `key` holds; 0 stands for an end that is not known.
fn marker(key: &str, key_id: &str, expires: Option<&str>) -> String {
    let expiry = expires.and_then(time::parse).unwrap_or(0);
    format!("{key}.{key_id}.{expiry}")
}

/// Whether `other` marks `key`: two more parts, the last of them a number.
fn is_marker_of(key: &str, other: &str) -> bool {
    let marked = other
        .strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('.'));
    marked
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(_, expiry)| expiry.parse::<i64>().is_ok())
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the scope belongs to somebody else",
            "have an identity with MANAGE on the scope give this one WRITE, or choose another name",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_secret() {
        let marker = marker("s", "id-1", Some("1970-01-02T00:00:00Z"));
        assert_eq!(marker, "s.id-1.86400");
        assert!(is_marker_of("s", &marker));
        assert!(!is_marker_of("s2", &marker));
        for other in ["s", "s.txt", "s.a.b", "st.id.1"] {
            assert!(!is_marker_of("s", other), "{other}");
        }
    }

    #[test]
    fn an_unknown_end_is_zero() {
        assert_eq!(marker("s", "id", None), "s.id.0");
        assert_eq!(
            marker("s", "id", Some("⟨known after register: ends⟩")),
            "s.id.0"
        );
    }
}
