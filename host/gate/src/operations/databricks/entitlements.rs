//! Entitlements that a principal holds itself (reference/databricks.md, 4.1). State: their sorted
//! names; none is no state.

use std::collections::BTreeSet;

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Request, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::scim_text;
use super::service_principals::{ONE, PATCH_SCHEMA};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

#[derive(Deserialize)]
struct Holder {
    #[serde(default)]
    entitlements: Vec<Entitlement>,
}

#[derive(Deserialize)]
struct Entitlement {
    value: String,
}

/// The entitlements of a principal, sorted. Fails when the principal is not there.
async fn held(
    context: &Context<'_>,
    operation: &'static str,
    principal: &str,
) -> Result<Vec<String>, Failure> {
    let request = wire::request(
        operation,
        Service::Databricks,
        Method::Get,
        ONE,
        &[principal],
    )?;
    let reply = context.cloud.send(&request).await?;
    let holder: Holder = wire::read(operation, &reply.body)?;
    let names: BTreeSet<_> = holder
        .entitlements
        .into_iter()
        .map(|held| held.value)
        .collect();
    Ok(names.into_iter().collect())
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    principal: &str,
) -> Result<Observed, Failure> {
    let held = wire::if_there(held(context, operation, principal).await)?;
    Ok(state::of_list(&held.unwrap_or_default()))
}

fn patch(
    operation: &'static str,
    principal: &str,
    operations: &[Value],
) -> Result<Request, Failure> {
    Ok(wire::request(
        operation,
        Service::Databricks,
        Method::Patch,
        ONE,
        &[principal],
    )?
    .json(json!({ "schemas": [PATCH_SCHEMA], "Operations": operations }))
    .idempotent(true))
}

fn object(principal: &str) -> Object {
    Object::new("entitlements", principal)
}

fn names(state: Option<&Value>) -> BTreeSet<String> {
    state::read_list(state).into_iter().collect()
}

fn of_names(names: BTreeSet<String>) -> Option<Value> {
    state::of_list(&names.into_iter().collect::<Vec<_>>())
}

/// The entitlements of a principal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    principal: String,
}

#[async_trait]
impl Read for Get {
    const NAME: &'static str = "databricks/entitlements.get";
    type Output = Vec<String>;

    fn object(&self) -> Object {
        object(&self.principal)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        held(context, Self::NAME, &self.principal).await
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(state::read_list(state))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(state::of_list(output))
    }
}

/// Adds entitlements; those it has stay.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    principal: String,
    entitlements: Vec<String>,
}

#[async_trait]
impl Write for Add {
    const NAME: &'static str = "databricks/entitlements.add";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.principal)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.principal).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let values: Vec<_> = self
            .entitlements
            .iter()
            .map(|name| json!({ "value": name }))
            .collect();
        if values.is_empty() {
            return Ok(());
        }
        let add = json!({ "op": "add", "path": "entitlements", "value": values });
        context
            .cloud
            .send(&patch(Self::NAME, &self.principal, &[add])?)
            .await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut names = names(before);
        names.extend(self.entitlements.iter().cloned());
        of_names(names)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        let had = names(before);
        let added: BTreeSet<_> = self
            .entitlements
            .iter()
            .filter(|name| !had.contains(*name))
            .cloned()
            .collect();
        if added.is_empty() {
            return Inverse::Nothing;
        }
        Inverse::of(&Remove {
            principal: self.principal.clone(),
            entitlements: added.into_iter().collect(),
        })
    }
}

/// Removes entitlements; those it does not have are no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remove {
    principal: String,
    entitlements: Vec<String>,
}

#[async_trait]
impl Write for Remove {
    const NAME: &'static str = "databricks/entitlements.remove";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.principal)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.principal).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        // Removing what is not held may be refused (`invalidPath`).
        let held = wire::if_there(held(context, Self::NAME, &self.principal).await)?;
        let held = held.unwrap_or_default();
        let removals: Vec<_> = held
            .iter()
            .filter(|name| self.entitlements.contains(name))
            .map(|name| {
                let path = format!("entitlements[value eq {}]", scim_text(name));
                json!({ "op": "remove", "path": path })
            })
            .collect();
        if !removals.is_empty() {
            context
                .cloud
                .send(&patch(Self::NAME, &self.principal, &removals)?)
                .await?;
        }
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut names = names(before);
        names.retain(|name| !self.entitlements.contains(name));
        of_names(names)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        let mut removed = names(before);
        removed.retain(|name| self.entitlements.contains(name));
        if removed.is_empty() {
            return Inverse::Nothing;
        }
        Inverse::of(&Add {
            principal: self.principal.clone(),
            entitlements: removed.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{name, taken_back};

    const NAMES: [&str; 3] = [
        "allow-cluster-create",
        "databricks-sql-access",
        "workspace-access",
    ];

    /// Every set of the three names.
    fn sets() -> Vec<Vec<String>> {
        let member = |set: usize, at: usize| set & (1 << at) != 0;
        (0..8_usize)
            .map(|set| {
                let names = NAMES.iter().enumerate().filter(|(at, _)| member(set, *at));
                names.map(|(_, name)| (*name).to_owned()).collect()
            })
            .collect()
    }

    #[test]
    fn adding_and_removing_are_inverse_whatever_was_held() {
        for held in sets() {
            let before = state::of_list(&held);
            for entitlements in sets() {
                let principal = "7".to_owned();
                let add = Add {
                    principal: principal.clone(),
                    entitlements: entitlements.clone(),
                };
                taken_back(&add, before.as_ref(), &());
                taken_back(
                    &Remove {
                        principal,
                        entitlements,
                    },
                    before.as_ref(),
                    &(),
                );
            }
        }
    }

    #[test]
    fn only_what_was_added_is_removed() {
        let before = state::of_list(&["workspace-access"]);
        let add = Add {
            principal: "7".to_owned(),
            entitlements: vec![
                "workspace-access".to_owned(),
                "allow-cluster-create".to_owned(),
            ],
        };
        let inverse = add.inverse(before.as_ref(), &());
        assert_eq!(name(&inverse), Some(Remove::NAME));
        let Inverse::Call(_, arguments) = inverse else {
            panic!()
        };
        assert_eq!(arguments["entitlements"], json!(["allow-cluster-create"]));
    }
}
