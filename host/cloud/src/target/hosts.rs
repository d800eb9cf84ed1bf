//! The hosts and token audiences of a target. A request's host comes from here and nowhere else.

use reqwest::Url;

use super::{AzureCloud, ConfigError, Target};
use crate::http::is_loopback;
use crate::request::Service;
use crate::tokens::Audience;

/// Azure Databricks' application id, the same in all clouds (reference/databricks.md, 2.2).
pub(crate) const DATABRICKS_RESOURCE: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";

/// Names of one Azure cloud (reference/entra-azure.md, 0; reference/databricks.md, 2.1).
struct Names {
    entra: &'static str,
    graph: &'static str,
    arm: &'static str,
    vault: &'static str,
    storage: &'static str,
    databricks_account: &'static str,
}

const PUBLIC: Names = Names {
    entra: "https://login.microsoftonline.com",
    graph: "https://graph.microsoft.com",
    arm: "https://management.azure.com",
    vault: "vault.azure.net",
    storage: "dfs.core.windows.net",
    databricks_account: "https://accounts.azuredatabricks.net",
};
const US_GOVERNMENT: Names = Names {
    entra: "https://login.microsoftonline.us",
    graph: "https://graph.microsoft.us",
    arm: "https://management.usgovcloudapi.net",
    vault: "vault.usgovcloudapi.net",
    storage: "dfs.core.usgovcloudapi.net",
    databricks_account: "https://accounts.databricks.azure.us",
};
const CHINA: Names = Names {
    entra: "https://login.chinacloudapi.cn",
    graph: "https://microsoftgraph.chinacloudapi.cn",
    arm: "https://management.chinacloudapi.cn",
    vault: "vault.azure.cn",
    storage: "dfs.core.chinacloudapi.cn",
    databricks_account: "https://accounts.databricks.azure.cn",
};

impl AzureCloud {
    fn names(self) -> &'static Names {
        match self {
            Self::Public => &PUBLIC,
            Self::UsGovernment => &US_GOVERNMENT,
            Self::China => &CHINA,
        }
    }

    /// The authority's origin.
    pub(crate) fn authority(self) -> &'static str {
        self.names().entra
    }

    /// The scope that asks for a token of an audience.
    pub(crate) fn scope(self, audience: Audience) -> String {
        let names = self.names();
        match audience {
            Audience::Graph => format!("{}/.default", names.graph),
            Audience::Arm => format!("{}/.default", names.arm),
            Audience::KeyVault => format!("https://{}/.default", names.vault),
            Audience::Storage => "https://storage.azure.com/.default".to_owned(),
            Audience::Databricks | Audience::DatabricksAccount => {
                format!("{DATABRICKS_RESOURCE}/.default")
            }
        }
    }

    /// Whether a vault's challenge may be trusted with this vault's name: the authority is the cloud's own, and the vault
    /// lies under the challenge's resource (reference/entra-azure.md, 4.1). Returns the tenant.
    pub(crate) fn challenge_tenant(self, challenge: &str) -> Option<String> {
        let names = self.names();
        let field = |name: &str| {
            let (_, rest) = challenge.split_once(name)?;
            rest.strip_prefix("=\"")?
                .split_once('"')
                .map(|(value, _)| value)
        };
        let resource = field("resource")
            .or_else(|| field("scope"))?
            .trim_end_matches("/.default")
            .trim_end_matches('/');
        let authority =
            Url::parse(field("authorization").or_else(|| field("authorization_uri"))?).ok()?;
        let known = [names.entra, "https://login.windows.net"];
        let trusted = known
            .iter()
            .any(|origin| Url::parse(origin).is_ok_and(|url| url.origin() == authority.origin()));
        let tenant = authority.path().trim_matches('/');
        (trusted && resource == format!("https://{}", names.vault) && is_tenant(tenant))
            .then(|| tenant.to_owned())
    }
}

/// A tenant's id or verified domain: what may stand in an authority's path.
pub(crate) fn is_tenant(tenant: &str) -> bool {
    !tenant.is_empty()
        && tenant.len() <= 253
        && !tenant.starts_with('.')
        && tenant
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

/// Reads a workspace's address: `adb-1.2.azuredatabricks.net`, with or without scheme, trailing slash and `?o=`.
pub(crate) fn workspace(written: &str) -> Result<Url, ConfigError> {
    let invalid = |reason: &str| ConfigError::Invalid {
        field: "workspace",
        reason: reason.to_owned(),
    };
    let written = written.trim();
    let full = if written.contains("://") {
        written.to_owned()
    } else {
        format!("https://{written}")
    };
    let mut url =
        Url::parse(&full).map_err(|error| invalid(&format!("is not an address: {error}")))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(invalid("must be an https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("must not contain credentials"));
    }
    if url.path() != "/" {
        return Err(invalid("must be a host alone, without a path"));
    }
    if url
        .host_str()
        .is_some_and(|host| host.starts_with("accounts."))
    {
        return Err(invalid(
            "is the account console's address; give the workspace's, and `account_id` for the account",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

impl Target {
    /// The origin that a service's requests go to; the reason when there is none.
    pub(crate) fn base(&self, service: &Service) -> Result<Url, &'static str> {
        let names = self.cloud.names();
        let parsed =
            |text: &str| Url::parse(text).map_err(|_| "the service's address is malformed");
        match service {
            Service::Entra => parsed(names.entra),
            Service::Graph => parsed(names.graph),
            Service::Arm => parsed(names.arm),
            Service::KeyVault { vault_url } => {
                let host = vault_url
                    .strip_prefix("https://")
                    .ok_or("a vault's address begins with https://")?;
                let host = host.trim_end_matches('/').to_ascii_lowercase();
                let name = host
                    .strip_suffix(names.vault)
                    .and_then(|name| name.strip_suffix('.'));
                if name.is_some_and(|name| is_label(name, 24, true)) {
                    parsed(&format!("https://{host}"))
                } else {
                    Err("the address is not one of a vault in this cloud; no token is sent there")
                }
            }
            Service::Storage { account } if is_label(account, 24, false) => {
                parsed(&format!("https://{account}.{}", names.storage))
            }
            Service::Storage { .. } => {
                Err("a storage account's name is 3 to 24 lower-case letters and digits")
            }
            Service::Databricks => {
                let workspace = self
                    .workspace
                    .as_deref()
                    .ok_or("this target has no Databricks workspace: set `workspace`")?;
                workspace_url(workspace)
            }
            Service::DatabricksAccount if self.account_id.is_some() => {
                parsed(names.databricks_account)
            }
            Service::DatabricksAccount => {
                Err("this target has no Databricks account: set `account_id`")
            }
        }
    }
}

fn workspace_url(text: &str) -> Result<Url, &'static str> {
    workspace(text).map_err(|_| "the workspace's address is malformed")
}

fn is_label(name: &str, longest: usize, hyphens: bool) -> bool {
    (3..=longest).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || (hyphens && c == '-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(service: &Service) -> Result<String, &'static str> {
        let target = Target {
            workspace: Some("adb-1.2.azuredatabricks.net".to_owned()),
            ..Target::default()
        };
        target.base(service).map(|url| url.to_string())
    }

    #[test]
    fn tokens_go_to_known_hosts_only() {
        let vault = |url: &str| {
            base(&Service::KeyVault {
                vault_url: url.to_owned(),
            })
        };
        assert_eq!(
            vault("https://kv-demo.vault.azure.net/").unwrap(),
            "https://kv-demo.vault.azure.net/"
        );
        assert_eq!(
            vault("https://KV-Demo.vault.azure.net").unwrap(),
            "https://kv-demo.vault.azure.net/"
        );
        for url in [
            "http://kv-demo.vault.azure.net",
            "https://evil.example",
            "https://evil.example/kv.vault.azure.net",
            "https://evil.example#kv.vault.azure.net",
            "https://u@kv-demo.vault.azure.net",
            "https://a.b.vault.azure.net",
            "https://kv-demo.vault.azure.net.evil.example",
            "https://kv-demo.vault.azure.net:8443",
            "https://kvvault.azure.net",
            "https://vault.azure.net",
        ] {
            assert!(vault(url).is_err(), "{url}");
        }
        let storage = |account: &str| {
            base(&Service::Storage {
                account: account.to_owned(),
            })
        };
        assert_eq!(
            storage("stdemo").unwrap(),
            "https://stdemo.dfs.core.windows.net/"
        );
        for account in ["", "st", "evil.example/", "a@b", "UPPER", "with-hyphen"] {
            assert!(storage(account).is_err(), "{account}");
        }
        assert_eq!(
            base(&Service::Databricks).unwrap(),
            "https://adb-1.2.azuredatabricks.net/"
        );
        assert!(base(&Service::DatabricksAccount).is_err());
    }

    #[test]
    fn workspace_addresses() {
        for written in [
            "adb-1.2.azuredatabricks.net",
            "https://adb-1.2.azuredatabricks.net/?o=1",
            " https://adb-1.2.azuredatabricks.net ",
        ] {
            assert_eq!(
                workspace(written).unwrap().as_str(),
                "https://adb-1.2.azuredatabricks.net/"
            );
        }
        assert!(workspace("http://127.0.0.1:8080").is_ok());
        for written in [
            "http://adb-1.2.azuredatabricks.net",
            "https://u:p@host",
            "https://host/path",
            "https://accounts.azuredatabricks.net",
            "ftp://h",
            "",
        ] {
            assert!(workspace(written).is_err(), "{written}");
        }
    }

    #[test]
    fn challenges_of_others_are_not_followed() {
        let tenant = |authority: &str, resource: &str| {
            AzureCloud::Public.challenge_tenant(&format!(
                "Bearer authorization=\"{authority}\", resource=\"{resource}\""
            ))
        };
        let entra = "https://login.microsoftonline.com/72f988bf";
        assert_eq!(
            tenant(entra, "https://vault.azure.net").as_deref(),
            Some("72f988bf")
        );
        assert_eq!(
            tenant(
                "https://login.windows.net/72f988bf",
                "https://vault.azure.net"
            )
            .as_deref(),
            Some("72f988bf")
        );
        assert_eq!(
            tenant("https://evil.example/72f988bf", "https://vault.azure.net"),
            None
        );
        assert_eq!(tenant(entra, "https://graph.microsoft.com"), None);
        assert_eq!(
            tenant(
                "https://login.microsoftonline.com/a/b",
                "https://vault.azure.net"
            ),
            None
        );
        let uri = format!(
            "Bearer authorization_uri=\"{entra}\", scope=\"https://vault.azure.net/.default\""
        );
        assert_eq!(
            AzureCloud::Public.challenge_tenant(&uri).as_deref(),
            Some("72f988bf")
        );
    }
}
