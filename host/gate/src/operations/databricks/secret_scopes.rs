//! Secret scopes (reference/databricks.md, section 10). State: the [`SecretScope`].

use async_trait::async_trait;
use lockkeeper_cloud::Failure;
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{get, post};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::azure::key_vaults::with_slash;
use crate::operations::{state, wire};

/// The vault behind a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyVaultBackend {
    vault: String,
    url: String,
}

impl KeyVaultBackend {
    fn is(&self, other: &Self) -> bool {
        self.vault.eq_ignore_ascii_case(&other.vault)
            && with_slash(&self.url).eq_ignore_ascii_case(&with_slash(&other.url))
    }
}

/// A scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SecretScope {
    name: String,
    key_vault: Option<KeyVaultBackend>,
}

#[derive(Deserialize)]
struct Scopes {
    #[serde(default)]
    scopes: Vec<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    name: String,
    keyvault_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    resource_id: String,
    dns_name: String,
}

async fn look_up(
    context: &Context<'_>,
    operation: &'static str,
    name: &str,
) -> Result<Option<SecretScope>, Failure> {
    let reply = context
        .cloud
        .send(&get(operation, "/api/2.0/secrets/scopes/list")?)
        .await?;
    let scopes: Scopes = wire::read(operation, &reply.body)?;
    let found = scopes.scopes.into_iter().find(|scope| scope.name == name);
    Ok(found.map(|scope| SecretScope {
        name: scope.name,
        key_vault: scope.keyvault_metadata.map(|metadata| KeyVaultBackend {
            vault: metadata.resource_id,
            url: with_slash(&metadata.dns_name),
        }),
    }))
}

fn object(name: &str) -> Object {
    Object::new("secret scope", name)
}

/// The scope with this name, if the caller sees one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    name: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "databricks/secret-scopes.find";
    type State = SecretScope;

    fn about(&self) -> Object {
        object(&self.name)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        look_up(context, Self::NAME, &self.name).await
    }
}

/// Creates a scope, in Databricks itself or over a vault.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    key_vault: Option<KeyVaultBackend>,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "databricks/secret-scopes.create";
    const CLASS: Class = Class::Create;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(&look_up(context, Self::NAME, &self.name).await?))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = match &self.key_vault {
            None => json!({ "scope": self.name, "scope_backend_type": "DATABRICKS" }),
            Some(backend) => json!({
                "scope": self.name,
                "scope_backend_type": "AZURE_KEYVAULT",
                "backend_azure_keyvault": {
                    "resource_id": backend.vault,
                    "dns_name": with_slash(&backend.url),
                },
            }),
        };
        context
            .cloud
            .send(&post(Self::NAME, "/api/2.0/secrets/scopes/create", body)?)
            .await?;
        Ok(())
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<()>, Failure> {
        let found = look_up(context, Self::NAME, &self.name).await?;
        // A scope over something else is not this call's work.
        Ok(
            found.and_then(|scope| match (&scope.key_vault, &self.key_vault) {
                (None, None) => Some(()),
                (Some(there), Some(wanted)) => there.is(wanted).then_some(()),
                _ => None,
            }),
        )
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        // The service never changes a scope that is there.
        before.cloned().or_else(|| {
            state::of(&SecretScope {
                name: self.name.clone(),
                key_vault: self.key_vault.as_ref().map(|backend| KeyVaultBackend {
                    vault: backend.vault.clone(),
                    url: with_slash(&backend.url),
                }),
            })
        })
    }

    fn stays(&self) -> Option<&'static str> {
        self.key_vault.as_ref().map(|_| {
            "Databricks gave itself an access policy on the vault, which lets it read secrets where the vault goes by access policies"
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if before.is_some() {
            return Inverse::Nothing;
        }
        Inverse::of(&Delete {
            name: self.name.clone(),
        })
    }
}

/// Deletes a scope; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    name: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/secret-scopes.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(&look_up(context, Self::NAME, &self.name).await?))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "scope": self.name });
        let request = post(Self::NAME, "/api/2.0/secrets/scopes/delete", body)?.idempotent(true);
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if before.is_none() {
            return Inverse::Nothing;
        }
        Inverse::Impossible("the scope's secrets and permissions went with it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn create(url: Option<&str>) -> Create {
        Create {
            name: "app".to_owned(),
            key_vault: url.map(|url| KeyVaultBackend {
                vault: "/subscriptions/s/vaults/kv".to_owned(),
                url: url.to_owned(),
            }),
        }
    }

    #[test]
    fn what_was_created_is_deleted() {
        for create in [create(None), create(Some("https://kv.vault.azure.net"))] {
            assert_eq!(name(&taken_back(&create, None, &())), Some(Delete::NAME));
            let there = create.after(None, &());
            assert_eq!(taken_back(&create, there.as_ref(), &()), Inverse::Nothing);
        }
    }

    #[test]
    fn a_plan_finds_what_it_creates() {
        let find = Find {
            name: "app".to_owned(),
        };
        let after = create(Some("https://kv.vault.azure.net")).after(None, &());
        let scope = find
            .planned(after.as_ref(), &PLACEHOLDERS)
            .unwrap()
            .unwrap();
        assert_eq!(scope.key_vault.unwrap().url, "https://kv.vault.azure.net/");
        assert_eq!(find.planned(None, &PLACEHOLDERS).unwrap(), None);
    }
}
