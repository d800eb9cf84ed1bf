//! Where a client secret is kept, and which one is kept there.

use lockkeeper_guest::types::{ApplicationId, Error, StepError};

use crate::bindings::lockkeeper::azure::key_vault_secrets;
use crate::bindings::lockkeeper::databricks::secrets;
use crate::bindings::{KeyVaultPlace, ScopePlace, SecretRequest};

/// The one place that keeps a client secret.
pub(crate) enum Place<'a> {
    KeyVault(&'a KeyVaultPlace),
    Scope(&'a ScopePlace),
}

impl<'a> Place<'a> {
    /// The place that a request names.
    pub(crate) fn of(request: &'a SecretRequest) -> Result<Self, StepError> {
        match (&request.key_vault, &request.databricks_scope) {
            (Some(place), None) => Ok(Self::KeyVault(place)),
            (None, Some(place)) => Ok(Self::Scope(place)),
            _ => {
                let message = "a secret needs exactly one place that keeps it".to_owned();
                Err(
                    Error::of(Error::Invalid, "register", "PLACE", message).because(
                        "without a place, a secret would be issued anew at every run and lost",
                        "set either secret.key_vault or secret.databricks_scope",
                    ),
                )
            }
        }
    }

    /// A short name for people: `kv-demo/client-secret`.
    pub(crate) fn label(&self) -> String {
        let (holder, name) = match self {
            Self::KeyVault(place) => (host_label(&place.vault_url), &place.name),
            Self::Scope(place) => (place.scope.as_str(), &place.key),
        };
        format!("{holder}/{name}")
    }

    /// The key id of the application's secret that is kept there, if one is.
    pub(crate) fn stored(&self, application: &ApplicationId) -> Result<Option<String>, StepError> {
        match self {
            Self::KeyVault(place) => {
                let found = key_vault_secrets::find(&place.vault_url, &place.name)
                    .map_err(vault_refusal)?;
                let tag = |name: &str| {
                    let tags = &found.as_ref()?.tags;
                    Some(tags.iter().find(|(key, _)| key == name)?.1.clone())
                };
                if found.is_some()
                    && tag("application_id").as_ref() != Some(&application.application_id)
                {
                    return Err(taken(&self.label()));
                }
                let enabled = found.as_ref().is_some_and(|secret| secret.enabled);
                Ok(tag("key_id").filter(|_| enabled))
            }
            Self::Scope(place) => match secrets::list(&place.scope) {
                Ok(keys) => Ok(marked(&place.key, &keys)),
                Err(Error::NotFound(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// A secret of somebody else, which must not be replaced.
fn taken(label: &str) -> StepError {
    let message = format!("{label} does not hold a secret of this application");
    Error::of(
        Error::Conflict,
        "azure/key-vault-secrets.find",
        "TAKEN",
        message,
    )
    .because(
        "something else uses that name, or the application was made anew since",
        "choose another name, or delete and purge the secret if nothing uses it",
    )
}

fn vault_refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may not read this Key Vault's secrets; Owner or Contributor is not enough",
            "give it the role Key Vault Secrets Officer on the vault, and wait some minutes",
        ),
        Error::Unavailable(_) => error.because(
            "there may be no such vault, or its firewall keeps this machine out",
            "check vault_url and the vault's networking",
        ),
        _ => error.into(),
    }
}

/// `kv-demo` of `https://kv-demo.vault.azure.net/`.
fn host_label(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.split(['.', '/', ':']).next().unwrap_or(host)
}

/// The key id in the newest marker beside `key`: a key named `KEY.KEY-ID.UNIX-EXPIRY`, as a
/// scope's values cannot be read and its keys have no tags.
fn marked(key: &str, keys: &[String]) -> Option<String> {
    if !keys.iter().any(|other| other == key) {
        return None;
    }
    let marks = keys.iter().filter_map(|other| {
        let (id, expiry) = other
            .strip_prefix(key)?
            .strip_prefix('.')?
            .split_once('.')?;
        Some((expiry.parse::<i64>().ok()?, id))
    });
    marks.max().map(|(_, id)| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_marker_counts() {
        let keys: Vec<_> = ["s", "s.old.100", "s.new.200", "other.x.900", "s.nonsense"]
            .map(str::to_owned)
            .into();
        assert_eq!(marked("s", &keys).as_deref(), Some("new"));
        assert_eq!(marked("other", &keys), None, "a marker without its secret");
        assert_eq!(marked("absent", &keys), None);
    }

    #[test]
    fn a_vault_goes_by_its_name() {
        assert_eq!(host_label("https://kv-demo.vault.azure.net/"), "kv-demo");
        assert_eq!(host_label("https://kv-demo:8443/"), "kv-demo");
    }

    #[test]
    fn a_secret_without_a_place_is_refused() {
        let request = SecretRequest {
            lifetime: lockkeeper_guest::types::Duration { seconds: 60 },
            key_vault: None,
            databricks_scope: None,
            display_name: None,
        };
        assert!(Place::of(&request).is_err());
    }
}
