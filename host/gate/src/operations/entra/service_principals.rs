//! Service principals (reference/entra-azure.md, 2.5). State: the [`ServicePrincipal`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{explained, graph, owned, upsert};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

/// An application's identity in the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServicePrincipal {
    object_id: String,
    application_id: String,
    display_name: String,
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    display_name: Option<String>,
    account_enabled: Option<bool>,
}

impl Wire {
    fn of(self, application_id: &str) -> ServicePrincipal {
        ServicePrincipal {
            object_id: self.id,
            application_id: application_id.to_owned(),
            display_name: self.display_name.unwrap_or_default(),
            enabled: self.account_enabled.unwrap_or(true),
        }
    }
}

const BY_APPLICATION: &str = "/v1.0/servicePrincipals(appId='{}')";

async fn look_up(
    context: &Context<'_>,
    operation: &'static str,
    application_id: &str,
) -> Result<Option<ServicePrincipal>, Failure> {
    let request = graph(operation, Method::Get, BY_APPLICATION, &[application_id])?
        .query("$select", "id,appId,displayName,accountEnabled");
    let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
        return Ok(None);
    };
    Ok(Some(
        wire::read::<Wire>(operation, &reply.body)?.of(application_id),
    ))
}

fn object(application_id: &str) -> Object {
    Object::new("service principal", application_id.to_lowercase()).named(application_id)
}

/// The service principal of an application, if there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    application_id: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "entra/service-principals.find";
    type State = ServicePrincipal;

    fn about(&self) -> Object {
        object(&self.application_id)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        look_up(context, Self::NAME, &self.application_id).await
    }
}

/// Creates the service principal of an application, owned by the caller. One that is there
/// already is given back unchanged.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    application_id: String,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "entra/service-principals.create";
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
        // Owners cannot be bound to a service principal that is there.
        if let Some(found) = self.find(context).await? {
            return Ok(found);
        }
        let body = owned(context, json!({ "appId": self.application_id })).await?;
        let request = upsert(Self::NAME, BY_APPLICATION, &self.application_id, body)?;
        let reply = context.cloud.send(&request).await.map_err(explained)?;
        if reply.status == 201 {
            return Ok(wire::read::<Wire>(Self::NAME, &reply.body)?.of(&self.application_id));
        }
        self.find(context)
            .await?
            .ok_or_else(|| wire::unexpected(Self::NAME, "Graph says it is there and shows it not"))
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        look_up(context, Self::NAME, &self.application_id).await
    }

    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        state::read(before).unwrap_or_else(|| ServicePrincipal {
            object_id: placeholders.make("service_principal_object_id"),
            application_id: self.application_id.clone(),
            display_name: placeholders.make("display_name"),
            enabled: true,
        })
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(output)
    }

    fn inverse(&self, before: Option<&Value>, output: &Self::Output) -> Inverse {
        if before.is_some() {
            return Inverse::Nothing;
        }
        Inverse::of(&Delete {
            object_id: output.object_id.clone(),
            application_id: self.application_id.clone(),
        })
    }
}

/// Deletes a service principal; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    object_id: String,
    application_id: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "entra/service-principals.delete";
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
        let request = graph(
            Self::NAME,
            Method::Delete,
            "/v1.0/servicePrincipals/{}",
            &[&self.object_id],
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
            "a new service principal would have another object id, and lack the roles of the old one",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    #[test]
    fn what_was_created_is_deleted_and_what_was_there_stays() {
        let create = Create {
            application_id: "A-1".to_owned(),
        };
        let made = create.preview(None, &PLACEHOLDERS);
        assert_eq!(name(&taken_back(&create, None, &made)), Some(Delete::NAME));
        let there = state::of(&made);
        assert_eq!(taken_back(&create, there.as_ref(), &made), Inverse::Nothing);
    }

    #[test]
    fn case_does_not_make_another_principal() {
        let find = Find {
            application_id: "a-1".to_owned(),
        };
        let create = Create {
            application_id: "A-1".to_owned(),
        };
        assert_eq!(find.object().key, create.object().key);
        let made = create.preview(None, &PLACEHOLDERS);
        let after = create.after(None, &made);
        assert_eq!(
            find.planned(after.as_ref(), &PLACEHOLDERS).unwrap(),
            Some(made)
        );
    }
}
