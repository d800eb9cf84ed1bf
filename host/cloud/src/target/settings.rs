//! What environment variables and a profile of `~/.databrickscfg` have configured (reference/databricks.md, 2.7).

use std::collections::HashMap;
use std::path::PathBuf;

use super::ConfigError;

/// One setting: its name in a profile and its variables, the first that is set counting.
#[derive(Debug)]
pub(crate) struct Setting {
    key: &'static str,
    variables: &'static [&'static str],
}

pub(crate) const HOST: Setting = Setting {
    key: "host",
    variables: &["DATABRICKS_HOST"],
};
pub(crate) const ACCOUNT_ID: Setting = Setting {
    key: "account_id",
    variables: &["DATABRICKS_ACCOUNT_ID"],
};
pub(crate) const TOKEN: Setting = Setting {
    key: "token",
    variables: &["DATABRICKS_TOKEN"],
};
pub(crate) const CLIENT_ID: Setting = Setting {
    key: "client_id",
    variables: &["DATABRICKS_CLIENT_ID"],
};
pub(crate) const CLIENT_SECRET: Setting = Setting {
    key: "client_secret",
    variables: &["DATABRICKS_CLIENT_SECRET"],
};
pub(crate) const AZURE_CLIENT_ID: Setting = Setting {
    key: "azure_client_id",
    variables: &["ARM_CLIENT_ID", "AZURE_CLIENT_ID"],
};
pub(crate) const AZURE_CLIENT_SECRET: Setting = Setting {
    key: "azure_client_secret",
    variables: &["ARM_CLIENT_SECRET", "AZURE_CLIENT_SECRET"],
};
pub(crate) const AZURE_TENANT_ID: Setting = Setting {
    key: "azure_tenant_id",
    variables: &["ARM_TENANT_ID", "AZURE_TENANT_ID"],
};
pub(crate) const AZURE_RESOURCE_ID: Setting = Setting {
    key: "azure_workspace_resource_id",
    variables: &["DATABRICKS_AZURE_RESOURCE_ID"],
};
pub(crate) const AZURE_USE_MSI: Setting = Setting {
    key: "azure_use_msi",
    variables: &["ARM_USE_MSI"],
};
pub(crate) const AZURE_ENVIRONMENT: Setting = Setting {
    key: "azure_environment",
    variables: &["ARM_ENVIRONMENT"],
};
/// Kubernetes' name; the SDKs have no profile field for it.
pub(crate) const FEDERATED_TOKEN_FILE: Setting = Setting {
    key: "azure_federated_token_file",
    variables: &["AZURE_FEDERATED_TOKEN_FILE"],
};
pub(crate) const AUTH_TYPE: Setting = Setting {
    key: "auth_type",
    variables: &["DATABRICKS_AUTH_TYPE"],
};
pub(crate) const RATE_LIMIT: Setting = Setting {
    key: "rate_limit",
    variables: &["DATABRICKS_RATE_LIMIT"],
};
const PROFILE: Setting = Setting {
    key: "profile",
    variables: &["DATABRICKS_CONFIG_PROFILE"],
};
const CONFIG_FILE: Setting = Setting {
    key: "config_file",
    variables: &["DATABRICKS_CONFIG_FILE"],
};

/// A setting's value and who gave it, for messages.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) value: String,
    pub(crate) origin: String,
}

/// The process's environment, or a test's.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) variables: HashMap<String, String>,
    pub(crate) home: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn process() -> Self {
        // Names and values that are not Unicode cannot be any of ours.
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = variables
            .get("HOME")
            .or_else(|| variables.get("USERPROFILE"))
            .map(PathBuf::from);
        Self { variables, home }
    }

    fn find(&self, setting: &Setting) -> Option<Found> {
        setting.variables.iter().find_map(|name| {
            let value = self
                .variables
                .get(*name)
                .filter(|value| !value.is_empty())?;
            Some(Found {
                value: value.clone(),
                origin: (*name).to_owned(),
            })
        })
    }
}

/// A profile's name and values.
type Profile = (String, HashMap<String, String>);

/// The environment above one profile.
pub(crate) struct Settings<'a> {
    pub(crate) environment: &'a Environment,
    profile: Option<Profile>,
}

impl<'a> Settings<'a> {
    /// Reads the named profile; without a name, the default one, and only if `wanted` says that nothing else is configured.
    pub(crate) fn read(
        environment: &'a Environment,
        named: Option<&str>,
        wanted: bool,
    ) -> Result<Self, ConfigError> {
        let named = named
            .map(str::to_owned)
            .or_else(|| environment.find(&PROFILE).map(|found| found.value));
        let anything = [
            &HOST,
            &TOKEN,
            &CLIENT_SECRET,
            &AZURE_CLIENT_SECRET,
            &AZURE_RESOURCE_ID,
            &AZURE_USE_MSI,
            &FEDERATED_TOKEN_FILE,
        ]
        .into_iter()
        .any(|setting| environment.find(setting).is_some());
        let profile = match named {
            None if anything || !wanted => None,
            named => profile(environment, named.as_deref())?,
        };
        Ok(Self {
            environment,
            profile,
        })
    }

    pub(crate) fn find(&self, setting: &Setting) -> Option<Found> {
        self.environment.find(setting).or_else(|| {
            let (name, values) = self.profile.as_ref()?;
            let value = values.get(setting.key).filter(|value| !value.is_empty())?;
            Some(Found {
                value: value.clone(),
                origin: format!("`{}` of profile {name}", setting.key),
            })
        })
    }

    pub(crate) fn value(&self, setting: &Setting) -> Option<String> {
        self.find(setting).map(|found| found.value)
    }
}

fn profile(environment: &Environment, named: Option<&str>) -> Result<Option<Profile>, ConfigError> {
    let file = environment
        .find(&CONFIG_FILE)
        .map(|found| PathBuf::from(found.value))
        .or_else(|| Some(environment.home.as_ref()?.join(".databrickscfg")));
    let text = match file.as_ref().map(std::fs::read_to_string) {
        Some(Ok(text)) => text,
        Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound && named.is_some() => {
            return Err(ConfigError::Invalid {
                field: "profile",
                reason: format!(
                    "{} cannot be looked up: there is no {}",
                    named.unwrap_or_default(),
                    file.map(|file| file.display().to_string())
                        .unwrap_or_default()
                ),
            });
        }
        Some(Err(error)) if named.is_some() || error.kind() != std::io::ErrorKind::NotFound => {
            let what = file
                .map(|file| file.display().to_string())
                .unwrap_or_default();
            return Err(ConfigError::Unreadable {
                what,
                reason: error.to_string(),
            });
        }
        _ => String::new(),
    };
    let mut sections = sections(&text);
    let name = named
        .map(str::to_owned)
        .or_else(|| {
            sections
                .get("__settings__")?
                .get("default_profile")
                .cloned()
        })
        .unwrap_or_else(|| "DEFAULT".to_owned());
    match sections.remove(&name) {
        Some(values) => Ok(Some((name, values))),
        None if named.is_some() => Err(ConfigError::Invalid {
            field: "profile",
            reason: format!(
                "{name} is not in {}",
                file.map(|file| file.display().to_string())
                    .unwrap_or_default()
            ),
        }),
        None => Ok(None),
    }
}

/// The INI dialect of the SDKs: sections, `key = value`, comments by `#` or `;`.
fn sections(text: &str) -> HashMap<String, HashMap<String, String>> {
    let mut sections: HashMap<String, HashMap<String, String>> = HashMap::new();
    let mut current = "DEFAULT".to_owned();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.trim().clone_into(&mut current);
            sections.entry(current.clone()).or_default();
        } else if let Some((key, value)) = line.split_once('=') {
            sections
                .entry(current.clone())
                .or_default()
                .insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    sections
}
