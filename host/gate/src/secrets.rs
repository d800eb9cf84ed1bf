//! Where the secrets of a run live: in memory while it runs, sealed beside the journal in between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::definition::own_failure;
use async_trait::async_trait;
use lockkeeper_cloud::{Class, Failure, SecretString};
use lockkeeper_types::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret by its name in the run, as calls carry it. Serialises to the handle of
/// [`lockkeeper_types::secret`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef(pub String);

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        lockkeeper_types::secret(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        lockkeeper_types::secret_name(&value)
            .map(|name| Self(name.to_owned()))
            .ok_or_else(|| serde::de::Error::custom("a secret handle is expected here"))
    }
}

/// The secrets of one run.
pub struct Secrets {
    open: Mutex<HashMap<String, SecretString>>,
    vault: Option<Box<dyn SealedStore>>,
}

/// Keeps secrets across a crash, encrypted; see [`crate::sealing`].
#[async_trait]
pub trait SealedStore: Send + Sync {
    /// Keeps a secret before its issuing is recorded.
    async fn put(&self, name: &str, value: &SecretString) -> Result<(), String>;
    /// Gives back what was kept under the name.
    async fn get(&self, name: &str) -> Result<Option<SecretString>, String>;
}

impl Secrets {
    /// Secrets that live no longer than this process: what a plan uses.
    pub fn in_memory() -> Self {
        Self {
            open: Mutex::default(),
            vault: None,
        }
    }

    /// Secrets that survive a crash in `vault`.
    pub fn sealed_in(vault: Box<dyn SealedStore>) -> Self {
        Self {
            open: Mutex::default(),
            vault: Some(vault),
        }
    }

    /// Keeps a secret under a name that is the same after a crash, such as the call's mark.
    pub async fn keep(&self, name: &str, value: SecretString) -> Result<SecretRef, Failure> {
        if let Some(vault) = &self.vault {
            vault.put(name, &value).await.map_err(|message| {
                own_failure(Class::Other, "secrets", "SecretNotKept", message)
            })?;
        }
        self.lock().insert(name.to_owned(), value);
        Ok(SecretRef(name.to_owned()))
    }

    /// The value behind a handle.
    pub async fn open(&self, secret: &SecretRef) -> Result<SecretString, Failure> {
        if let Some(value) = self.lock().get(&secret.0) {
            return Ok(value.clone());
        }
        let lost = |message: String| own_failure(Class::Other, "secrets", "SecretLost", message);
        let kept = match &self.vault {
            Some(vault) => vault.get(&secret.0).await.map_err(lost)?,
            None => None,
        };
        let value = kept.ok_or_else(|| {
            lost(format!(
                "the value of secret {} is no longer kept; start a new run, which issues a new one",
                secret.0
            ))
        })?;
        self.lock().insert(secret.0.clone(), value.clone());
        Ok(value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, SecretString>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
