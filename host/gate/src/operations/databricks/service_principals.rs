//! Service principals in the workspace (reference/databricks.md, 4.1). State: the
//! [`ServicePrincipal`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{get, post, scim_text};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

const COLLECTION: &str = "/api/2.0/preview/scim/v2/ServicePrincipals";
pub(super) const ONE: &str = "/api/2.0/preview/scim/v2/ServicePrincipals/{}";
pub(super) const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A service principal as the workspace knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServicePrincipal {
    id: String,
    application_id: String,
    display_name: String,
    active: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    application_id: String,
    display_name: Option<String>,
    active: Option<bool>,
}

impl Wire {
    fn of(self, application_id: &str) -> ServicePrincipal {
        ServicePrincipal {
            id: self.id,
            application_id: application_id.to_owned(),
            display_name: self.display_name.unwrap_or_default(),
            active: self.active.unwrap_or(true),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, rename = "Resources")]
    resources: Vec<Wire>,
}

async fn look_up(
    context: &Context<'_>,
    operation: &'static str,
    application_id: &str,
) -> Result<Option<ServicePrincipal>, Failure> {
    let request = get(operation, COLLECTION)?
        .query(
            "filter",
            format!("applicationId eq {}", scim_text(application_id)),
        )
        .query("startIndex", "1")
        .query("count", "10");
    let reply = context.cloud.send(&request).await?;
    let page: Page = wire::read(operation, &reply.body)?;
    let mut found = page.resources.into_iter();
    let found = found.find(|wire| wire.application_id.eq_ignore_ascii_case(application_id));
    Ok(found.map(|wire| wire.of(application_id)))
}

fn object(application_id: &str) -> Object {
    Object::new("workspace service principal", application_id.to_lowercase()).named(application_id)
}

/// The service principal with this application id, if the workspace has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    application_id: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "databricks/service-principals.find";
    type State = ServicePrincipal;

    fn about(&self) -> Object {
        object(&self.application_id)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        look_up(context, Self::NAME, &self.application_id).await
    }
}

/// Adds a service principal to the workspace.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    application_id: String,
    display_name: String,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "databricks/service-principals.create";
    const CLASS: Class = Class::Create;
    type Output = ServicePrincipal;

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.application_id).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"],
            "applicationId": self.application_id,
            "displayName": self.display_name,
            "active": true,
        });
        let reply = context
            .cloud
            .send(&post(Self::NAME, COLLECTION, body)?)
            .await?;
        Ok(wire::read::<Wire>(Self::NAME, &reply.body)?.of(&self.application_id))
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        look_up(context, Self::NAME, &self.application_id).await
    }

    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        state::read(before).unwrap_or_else(|| ServicePrincipal {
            id: placeholders.make("workspace_principal_id"),
            application_id: self.application_id.clone(),
            display_name: self.display_name.clone(),
            active: true,
        })
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(output)
    }

    fn stays(&self) -> Option<&'static str> {
        Some(
            "it is out of the workspace; its home folder stays there, and the account still knows it",
        )
    }

    fn inverse(&self, before: Option<&Value>, output: &Self::Output) -> Inverse {
        if before.is_some() {
            return Inverse::Nothing;
        }
        Inverse::of(&Delete {
            id: output.id.clone(),
            application_id: self.application_id.clone(),
        })
    }
}

/// Changes the display name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    id: String,
    application_id: String,
    display_name: String,
}

#[async_trait]
impl Write for Rename {
    const NAME: &'static str = "databricks/service-principals.rename";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.application_id).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let rename = json!({ "op": "replace", "path": "displayName", "value": self.display_name });
        let request = wire::request(
            Self::NAME,
            Service::Databricks,
            Method::Patch,
            ONE,
            &[&self.id],
        )?
        .json(json!({ "schemas": [PATCH_SCHEMA], "Operations": [rename] }))
        .idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let before: ServicePrincipal = state::read(before)?;
        state::of(&ServicePrincipal {
            display_name: self.display_name.clone(),
            ..before
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read::<ServicePrincipal>(before) {
            Some(before) if before.display_name != self.display_name => Inverse::of(&Self {
                id: self.id.clone(),
                application_id: self.application_id.clone(),
                display_name: before.display_name,
            }),
            _ => Inverse::Nothing,
        }
    }
}

/// Removes a service principal from the workspace; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    id: String,
    application_id: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/service-principals.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.application_id).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let request = wire::request(
            Self::NAME,
            Service::Databricks,
            Method::Delete,
            ONE,
            &[&self.id],
        )?;
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
        Inverse::Impossible(
            "the workspace forgot the service principal's entitlements and permissions with it",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn create() -> Create {
        Create {
            application_id: "A-1".to_owned(),
            display_name: "etl".to_owned(),
        }
    }

    fn rename(display_name: &str) -> Rename {
        Rename {
            id: "7".to_owned(),
            application_id: "a-1".to_owned(),
            display_name: display_name.to_owned(),
        }
    }

    #[test]
    fn what_was_added_is_removed() {
        let made = create().preview(None, &PLACEHOLDERS);
        assert_eq!(
            name(&taken_back(&create(), None, &made)),
            Some(Delete::NAME)
        );
        let there = state::of(&made);
        assert_eq!(
            taken_back(&create(), there.as_ref(), &made),
            Inverse::Nothing
        );
    }

    #[test]
    fn the_old_name_is_put_back() {
        let there = create().after(None, &create().preview(None, &PLACEHOLDERS));
        let inverse = taken_back(&rename("new"), there.as_ref(), &());
        assert_eq!(name(&inverse), Some(Rename::NAME));
        assert_eq!(
            taken_back(&rename("etl"), there.as_ref(), &()),
            Inverse::Nothing
        );
        assert_eq!(taken_back(&rename("new"), None, &()), Inverse::Nothing);
    }

    #[test]
    fn a_plan_finds_what_it_adds_and_renames() {
        let find = Find {
            application_id: "a-1".to_owned(),
        };
        let added = create().after(None, &create().preview(None, &PLACEHOLDERS));
        let renamed = rename("new").after(added.as_ref(), &());
        assert_eq!(find.object().key, rename("new").object().key);
        assert_eq!(
            find.planned(renamed.as_ref(), &PLACEHOLDERS)
                .unwrap()
                .unwrap()
                .display_name,
            "new"
        );
    }
}
