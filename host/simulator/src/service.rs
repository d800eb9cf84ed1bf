//! Which service a request is for: by host name, or on loopback by path.

/// A simulated service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Control,
    Sts,
    Graph,
    Arm,
    /// The vault's name.
    KeyVault(String),
    /// The storage account's name, and whether it is the first segment of the path.
    Storage {
        account: String,
        in_path: bool,
    },
    Databricks,
    /// A host name that nothing here answers to.
    Unknown,
}

impl Service {
    /// The name in the request record.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Sts => "entra",
            Self::Graph => "graph",
            Self::Arm => "arm",
            Self::KeyVault(_) => "key-vault",
            Self::Storage { .. } => "storage",
            Self::Databricks => "databricks",
            Self::Unknown => "unknown",
        }
    }

    /// Decides from the `Host` header (port and case ignored) and the path.
    pub(crate) fn of(host: &str, path: &str) -> Self {
        if path.starts_with("/__simulator") {
            return Self::Control;
        }
        let name = host_name(host).to_ascii_lowercase();
        match name.as_str() {
            _ if is_authority(&name) => Self::Sts,
            "graph.microsoft.com" => Self::Graph,
            "management.azure.com" | "management.core.windows.net" => Self::Arm,
            "localhost" | "127.0.0.1" | "::1" => Self::by_path(path),
            _ => {
                if let Some(vault) = name.strip_suffix(".vault.azure.net") {
                    Self::KeyVault(vault.to_owned())
                } else if let Some(account) = name
                    .strip_suffix(".dfs.core.windows.net")
                    // Microsoft's own clients list by the one and read by the other.
                    .or_else(|| name.strip_suffix(".blob.core.windows.net"))
                {
                    Self::Storage {
                        account: account.to_owned(),
                        in_path: false,
                    }
                } else if name.ends_with(".azuredatabricks.net") {
                    Self::Databricks
                } else {
                    Self::Unknown
                }
            }
        }
    }

    fn by_path(path: &str) -> Self {
        let mut segments = path.trim_start_matches('/').split('/');
        let first = segments.next().unwrap_or_default();
        let second = segments.next().unwrap_or_default();
        let third = segments.next().unwrap_or_default();
        match (first, second, third) {
            ("api" | "oidc" | "aad" | "login.html", ..)
            | (".well-known", "databricks-config", _) => Self::Databricks,
            ("v1.0", ..) => Self::Graph,
            ("subscriptions" | "providers", ..) => Self::Arm,
            ("secrets" | "deletedsecrets", ..) => {
                Self::KeyVault(crate::seed::FIRST_VAULT.to_owned())
            }
            ("common", "discovery", "instance")
            | (_, "oauth2" | "discovery" | ".well-known", _)
            | (_, "v2.0", ".well-known") => Self::Sts,
            _ => Self::Storage {
                account: first.to_owned(),
                in_path: true,
            },
        }
    }
}

/// Whether this is a name of the authority host, in lower case.
pub(crate) fn is_authority(name: &str) -> bool {
    [
        "login.microsoftonline.com",
        "login.windows.net",
        "sts.windows.net",
    ]
    .contains(&name)
}

/// A `Host` header without its port.
pub(crate) fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_names_decide_alone() {
        assert_eq!(
            Service::of("login.microsoftonline.com", "/v1.0/x"),
            Service::Sts
        );
        assert_eq!(
            Service::of("Graph.Microsoft.com:443", "/anything"),
            Service::Graph
        );
        assert_eq!(
            Service::of("management.azure.com", "/secrets"),
            Service::Arm
        );
        assert_eq!(
            Service::of("kv-x.vault.azure.net", "/"),
            Service::KeyVault("kv-x".into())
        );
        assert_eq!(
            Service::of("accounts.azuredatabricks.net", "/oidc/accounts/a/v1/token"),
            Service::Databricks
        );
        for host in [
            "stdemo.dfs.core.windows.net",
            "stdemo.blob.core.windows.net",
        ] {
            assert_eq!(
                Service::of(host, "/fs"),
                Service::Storage {
                    account: "stdemo".into(),
                    in_path: false
                }
            );
        }
        assert_eq!(Service::of("example.com", "/v1.0"), Service::Unknown);
    }

    #[test]
    fn loopback_goes_by_path() {
        for (path, service) in [
            ("/v1.0/applications", Service::Graph),
            ("/subscriptions/s", Service::Arm),
            (
                "/providers/Microsoft.Authorization/roleDefinitions",
                Service::Arm,
            ),
            ("/api/2.0/x", Service::Databricks),
            ("/.well-known/databricks-config", Service::Databricks),
            ("/common/discovery/instance", Service::Sts),
            ("/contoso.onmicrosoft.com/oauth2/token", Service::Sts),
            ("/t/oauth2/v2.0/token", Service::Sts),
            ("/t/v2.0/.well-known/openid-configuration", Service::Sts),
            ("/t/discovery/v2.0/keys", Service::Sts),
            ("/__simulator/state", Service::Control),
            ("/secrets/a/", Service::KeyVault("kv-demo".into())),
            (
                "/stdemo/fs/a",
                Service::Storage {
                    account: "stdemo".into(),
                    in_path: true,
                },
            ),
        ] {
            assert_eq!(Service::of("127.0.0.1:18443", path), service, "{path}");
            assert_eq!(Service::of("[::1]:18443", path), service, "{path}");
        }
    }
}
