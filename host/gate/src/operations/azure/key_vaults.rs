//! Key Vaults as Azure resources (reference/entra-azure.md, 3.1). State: the [`KeyVault`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Object, Observed, Placeholders, Read};
use crate::operations::{state, wire};

const API_VERSION: &str = "2026-02-01";

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
    fn a_vault_that_a_plan_does_not_know_is_not_there() {
        let get = Get {
            id: "/subscriptions/s/vaults/KV".to_owned(),
        };
        assert_eq!(get.object().name, "KV");
        let failure = get.planned(None, &PLACEHOLDERS).unwrap_err();
        assert_eq!(failure.class, lockkeeper_cloud::Class::NotFound);
    }
}
