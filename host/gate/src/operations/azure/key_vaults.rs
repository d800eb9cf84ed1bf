//! Key Vaults as Azure resources (reference/entra-azure.md, 3.1). State: the [`KeyVault`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Object, Observed, Placeholders, Read};
use crate::operations::{state, wire};

const API_VERSION: &str = "2026-02-01";
const PERMISSIONS_VERSION: &str = "2022-04-01";

/// A vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyVault {
    id: String,
    url: String,
    uses_roles: bool,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    vault_uri: String,
    enable_rbac_authorization: Option<bool>,
}

/// The vault with this resource id.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    id: String,
}

#[async_trait]
impl Read for Get {
    const NAME: &'static str = "azure/key-vaults.get";
    type Output = KeyVault;

    fn object(&self) -> Object {
        let name = self.id.rsplit('/').next().unwrap_or(&self.id);
        Object::new("key vault", self.id.to_lowercase()).named(name)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let request = wire::request(Self::NAME, Service::Arm, Method::Get, "{arm}", &[&self.id])?
            .query("api-version", API_VERSION);
        let reply = context.cloud.send(&request).await?;
        let vault: Wire = wire::read(Self::NAME, &reply.body)?;
        Ok(KeyVault {
            id: vault.id,
            url: with_slash(&vault.properties.vault_uri),
            // Null on a vault that exists keeps meaning access policies.
            uses_roles: vault.properties.enable_rbac_authorization.unwrap_or(false),
        })
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        state::read(state).ok_or_else(|| wire::not_there(Self::NAME, "such vault"))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(state::of(output))
    }
}

/// What one of the caller's roles allows on a resource, in patterns with `*` for any text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Permission {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl Permission {
    fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
        any(&self.actions) && !any(&self.not_actions)
    }
}

/// Whether an action, whose case does not matter, has the form of a pattern.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == action;
    };
    let Some(mut left) = action.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// Whether the caller may do an action on a vault: Azure's own list of the caller's permissions
/// ("Permissions - List For Resource" of the Authorization REST API).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct May {
    id: String,
    action: String,
}

#[async_trait]
impl Read for May {
    const NAME: &'static str = "azure/key-vaults.may";
    type Output = bool;

    fn object(&self) -> Object {
        Get {
            id: self.id.clone(),
        }
        .object()
    }

    async fn send(&self, context: &Context<'_>) -> Result<bool, Failure> {
        let template = "{arm}/providers/Microsoft.Authorization/permissions";
        let request = wire::request(Self::NAME, Service::Arm, Method::Get, template, &[&self.id])?
            .query("api-version", PERMISSIONS_VERSION);
        let held: Vec<Permission> = wire::pages(context.cloud, request, "nextLink").await?;
        Ok(held
            .iter()
            .any(|permission| permission.allows(&self.action)))
    }

    fn planned(&self, _: Option<&Value>, _: &Placeholders<'_>) -> Result<bool, Failure> {
        Err(wire::not_there(Self::NAME, "such vault"))
    }
}

/// A vault's address in the one spelling that everything here uses.
pub(crate) fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::PLACEHOLDERS;

    #[test]
    fn an_address_ends_with_one_slash() {
        assert_eq!(
            with_slash("https://kv.vault.azure.net"),
            "https://kv.vault.azure.net/"
        );
        assert_eq!(
            with_slash("https://kv.vault.azure.net/"),
            "https://kv.vault.azure.net/"
        );
    }

    #[test]
    fn roles_allow_by_patterns_without_case() {
        const WRITE: &str = "Microsoft.KeyVault/vaults/write";
        let permission = |actions: &[&str], not_actions: &[&str]| Permission {
            actions: actions.iter().map(ToString::to_string).collect(),
            not_actions: not_actions.iter().map(ToString::to_string).collect(),
        };
        for (actions, not_actions, allowed) in [
            (&["*"][..], &[][..], true),
            (&["*"], &["Microsoft.Authorization/*/Write"], true),
            (&["*"], &["microsoft.keyvault/*"], false),
            (&["*/read", "Microsoft.Authorization/*"], &[], false),
            (&["Microsoft.KeyVault/*"], &[], true),
            (&["Microsoft.KeyVault/vaults/Write"], &[], true),
            (&["Microsoft.KeyVault/*/write"], &[], true),
            (&["Microsoft.*/vaults/*/write"], &[], false),
            (&["Microsoft.KeyVault/vaults/*/read"], &[], false),
            (&[], &[], false),
        ] {
            assert_eq!(
                permission(actions, not_actions).allows(WRITE),
                allowed,
                "{actions:?} but {not_actions:?}"
            );
        }
    }

    #[test]
    fn a_vault_that_a_plan_does_not_know_is_not_there() {
        let get = Get {
            id: "/subscriptions/s/vaults/KV".to_owned(),
        };
        assert_eq!(get.object().name, "KV");
        let failure = get.planned(None, &PLACEHOLDERS).unwrap_err();
        assert_eq!(failure.class, lockkeeper_cloud::Class::NotFound);
    }
}
