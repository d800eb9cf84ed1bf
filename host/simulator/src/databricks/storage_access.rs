//! A run's way to ADLS Gen2: secret references in its Spark configuration, the token it gets with
//! them, and the data it then may read (reference/databricks.md, 10.2; entra-azure.md, section 5).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::errors::Refusal;
use super::request::Field as _;
use super::secrets;
use super::sql_engine::Table;
use crate::World;
use crate::azure::storage;
use crate::entra::tokens as entra_tokens;
use crate::service;

const PREFIX: &str = "fs.azure.account.";
const SUFFIX: &str = ".dfs.core.windows.net";
const RESOURCE: &str = "https://storage.azure.com/";
const PROVIDER: &str = "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider";

/// A Spark configuration with its secrets in the clear; lives as long as a run computes.
pub(super) type Conf = BTreeMap<String, Zeroizing<String>>;

/// The identities that a run has tokens for, by storage account.
#[derive(Default)]
pub(super) struct Storage {
    principals: BTreeMap<String, String>,
}

/// Replaces each `{{secrets/<scope>/<key>}}` that is a whole value, reading as the owner of the
/// cluster (id and name).
pub(super) fn resolve(
    world: &World,
    state: &crate::State,
    owner: (u64, &str),
    values: &Value,
) -> Result<Conf, Refusal> {
    let mut conf = Conf::new();
    for (name, value) in values.as_object().into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let value = match reference(&text) {
            Some((scope, key)) => secrets::resolve_text(world, state, owner, scope, key)?,
            None => Zeroizing::new(text),
        };
        conf.insert(name.clone(), value);
    }
    Ok(conf)
}

fn reference(value: &str) -> Option<(&str, &str)> {
    value
        .strip_prefix("{{secrets/")?
        .strip_suffix("}}")?
        .rsplit_once('/')
}

impl Storage {
    /// Whether any token was obtained.
    pub(super) fn has_token(&self) -> bool {
        !self.principals.is_empty()
    }

    /// Gets a token for every account that the configuration sets up for client credentials.
    pub(super) fn connect(
        &mut self,
        world: &World,
        state: &crate::State,
        conf: &Conf,
    ) -> Result<(), String> {
        let accounts: Vec<&str> = conf
            .iter()
            .filter(|(_, value)| value.as_str() == "OAuth")
            .filter_map(|(name, _)| name.strip_prefix(PREFIX)?.strip_prefix("auth.type."))
            .filter_map(|host| host.strip_suffix(SUFFIX))
            .collect();
        for account in accounts {
            let field = |name: &str| {
                conf.get(&format!("{PREFIX}{name}.{account}{SUFFIX}"))
                    .map(|value| value.as_str())
                    .ok_or_else(|| {
                        format!("Failure to initialize configuration for storage account {account}{SUFFIX}: Configuration property {PREFIX}{name} not found.")
                    })
            };
            if field("oauth.provider.type")? != PROVIDER {
                return Err(format!(
                    "Unable to load OAuth token provider class for {account}{SUFFIX}; the simulator knows {PROVIDER}"
                ));
            }
            let endpoint = field("oauth2.client.endpoint")?;
            let token = token(
                world,
                state,
                endpoint,
                field("oauth2.client.id")?,
                field("oauth2.client.secret")?,
            )?;
            if let Some(oid) = object_id(&token) {
                self.principals.insert(account.to_owned(), oid);
            }
        }
        Ok(())
    }

    /// The files at an `abfss://container@account.dfs.core.windows.net/path` and their contents,
    /// if the identity for that account has a role there.
    pub(super) fn files(
        &self,
        world: &World,
        state: &crate::State,
        url: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let (container, account, path) = split(url)
            .ok_or_else(|| format!("java.net.URISyntaxException: {url} is no abfss address"))?;
        let oid = self.principals.get(account).ok_or_else(|| {
            format!("Failure to initialize configuration for storage account {account}{SUFFIX}: Invalid configuration value detected for fs.azure.account.key")
        })?;
        let address = format!("https://{account}{SUFFIX}/{container}/{path}");
        if !storage::account_exists(state, account) {
            return Err(format!("java.net.UnknownHostException: {account}{SUFFIX}"));
        }
        if !storage::may_read(world, state, oid, account) {
            return Err(format!(
                "Operation failed: \"This request is not authorized to perform this operation using this permission.\", 403, HEAD, {address}?upn=false&action=getStatus&timeout=90, AuthorizationPermissionMismatch"
            ));
        }
        let folder = format!("{}/", path.trim_end_matches('/'));
        let found: Vec<(String, String)> = state
            .azure
            .storage_accounts
            .iter()
            .filter(|known| known.name.eq_ignore_ascii_case(account))
            .flat_map(|known| &known.filesystems)
            .filter(|known| known.name == container)
            .flat_map(|known| &known.paths)
            .filter(|(name, _)| !name.ends_with('/'))
            .filter(|(name, _)| {
                path.is_empty() || name.as_str() == path || name.starts_with(&folder)
            })
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect();
        if found.is_empty() {
            return Err(format!("[PATH_NOT_FOUND] Path does not exist: {url}."));
        }
        Ok(found)
    }

    /// The lines of all files at an address.
    pub(super) fn lines(
        &self,
        world: &World,
        state: &crate::State,
        url: &str,
    ) -> Result<Table, String> {
        let files = self.files(world, state, url)?;
        let lines = files
            .iter()
            .flat_map(|(_, content)| content.lines().map(str::to_owned));
        Ok(Table::of_lines("value", lines))
    }
}

fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (container, rest) = url.strip_prefix("abfss://")?.split_once('@')?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((container, host.strip_suffix(SUFFIX)?, path))
}

/// What Hadoop's client-credentials provider does: one request to the v1 endpoint.
fn token(
    world: &World,
    state: &crate::State,
    endpoint: &str,
    client: &str,
    secret: &str,
) -> Result<String, String> {
    let failed = |status: u16, response: &str| {
        format!(
            "HTTP Error {status}; url='{endpoint}' AADToken: HTTP connection to {endpoint} failed for getting token from AzureAD. HTTP response: {status} response '{response}'"
        )
    };
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return Err(format!(
            "java.net.MalformedURLException: no protocol: {endpoint}"
        ));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = service::host_name(authority);
    if !service::is_authority(&host.to_ascii_lowercase()) {
        return Err(format!("java.net.UnknownHostException: {host}"));
    }
    if scheme != "https" {
        // The authority has no plain HTTP to talk to.
        return Err(format!(
            "java.net.ConnectException: Connection refused: {endpoint}"
        ));
    }
    let answer = match path.split('/').collect::<Vec<_>>().as_slice() {
        [tenant, "oauth2", "token"] => {
            entra_tokens::client_credentials(world, state, tenant, client, secret, RESOURCE)
        }
        [tenant, "oauth2", "v2.0", "token"] => Err(entra_tokens::client_credentials_without_scope(
            world, state, tenant,
        )),
        _ => return Err(failed(404, "")),
    };
    answer.map_err(|fault| failed(fault.status, &fault.body.to_string()))
}

/// The object id in a token that the directory has just issued.
fn object_id(token: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?)
        .ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.field("oid").as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_whole_values() {
        assert_eq!(
            reference("{{secrets/my-scope/key}}"),
            Some(("my-scope", "key"))
        );
        assert_eq!(reference("x{{secrets/my-scope/key}}y"), None);
    }

    #[test]
    fn addresses_are_split() {
        assert_eq!(
            split("abfss://data@st.dfs.core.windows.net/raw/x.csv"),
            Some(("data", "st", "raw/x.csv"))
        );
        assert_eq!(split("wasbs://data@st.blob.core.windows.net/x"), None);
    }
}
