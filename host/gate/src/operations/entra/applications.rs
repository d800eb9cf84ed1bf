//! Application registrations (reference/entra-azure.md, 2.2). State: the [`Application`].

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure, Method};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{explained, graph, owned, upsert};
use crate::Call;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, times, wire};

/// An application registration, single tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the ids are told apart by Entra's own names"
)]
pub(crate) struct Application {
    pub(super) object_id: String,
    pub(super) application_id: String,
    pub(super) unique_name: String,
    pub(super) display_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    pub(super) id: String,
    pub(super) app_id: String,
    pub(super) display_name: Option<String>,
    pub(super) unique_name: Option<String>,
}

/// What of an application [`Wire`] holds.
pub(super) const SELECTED: &str = "id,appId,uniqueName,displayName";

impl Wire {
    pub(super) fn named(self, unique_name: &str) -> Application {
        Application {
            object_id: self.id,
            application_id: self.app_id,
            unique_name: unique_name.to_owned(),
            display_name: self.display_name.unwrap_or_default(),
        }
    }
}

const BY_UNIQUE_NAME: &str = "/v1.0/applications(uniqueName='{}')";

/// The application that has this unique name.
pub(super) async fn look_up(
    context: &Context<'_>,
    operation: &'static str,
    unique_name: &str,
) -> Result<Option<Application>, Failure> {
    let request =
        graph(operation, Method::Get, BY_UNIQUE_NAME, &[unique_name])?.query("$select", SELECTED);
    let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
        return Ok(None);
    };
    Ok(Some(
        wire::read::<Wire>(operation, &reply.body)?.named(unique_name),
    ))
}

/// Brings back the deleted application that has the unique name, if there is one (section 2.2).
async fn restore(context: &Context<'_>, unique_name: &str) -> Result<Option<Application>, Failure> {
    const DELETED: &str = "/v1.0/directory/deletedItems/microsoft.graph.application";
    const RESTORE: &str = "/v1.0/directory/deletedItems/{}/restore";
    let request = graph(Create::NAME, Method::Get, DELETED, &[])?;
    let deleted = wire::pages::<Wire>(context.cloud, request, "@odata.nextLink").await?;
    let Some(ours) = deleted
        .into_iter()
        .find(|item| item.unique_name.as_deref() == Some(unique_name))
    else {
        return Ok(None);
    };
    let request = graph(Create::NAME, Method::Post, RESTORE, &[&ours.id])?.idempotent(true);
    context.cloud.send(&request).await?;
    Ok(Some(ours.named(unique_name)))
}

pub(super) fn object(unique_name: &str) -> Object {
    Object::new("application", unique_name)
}

/// The application with this unique name, if there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    unique_name: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "entra/applications.find";
    type State = Application;

    fn about(&self) -> Object {
        object(&self.unique_name)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        look_up(context, Self::NAME, &self.unique_name).await
    }
}

/// Creates a single-tenant application that the caller owns. One that has the unique name already
/// is given back unchanged; one that was deleted lately is restored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    unique_name: String,
    display_name: String,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "entra/applications.create";
    const CLASS: Class = Class::Create;
    type Output = Application;

    fn object(&self) -> Object {
        object(&self.unique_name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.unique_name).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        // The upsert would rename an application that is there.
        if let Some(found) = self.find(context).await? {
            return Ok(found);
        }
        let body = json!({ "displayName": self.display_name, "signInAudience": "AzureADMyOrg" });
        let body = owned(context, body).await?;
        let request = upsert(Self::NAME, BY_UNIQUE_NAME, &self.unique_name, body)?;
        let reply = match context.cloud.send(&request).await.map_err(explained) {
            Err(failure) if failure.class == FailureClass::Conflict => {
                // A deleted application keeps its unique name for 30 days; ours is wanted again.
                return restore(context, &self.unique_name).await?.ok_or(failure);
            }
            other => other?,
        };
        if reply.status == 201 {
            return Ok(wire::read::<Wire>(Self::NAME, &reply.body)?.named(&self.unique_name));
        }
        self.find(context)
            .await?
            .ok_or_else(|| wire::unexpected(Self::NAME, "Graph says it is there and shows it not"))
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        look_up(context, Self::NAME, &self.unique_name).await
    }

    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        state::read(before).unwrap_or_else(|| Application {
            object_id: placeholders.make("object_id"),
            application_id: placeholders.make("application_id"),
            unique_name: self.unique_name.clone(),
            display_name: self.display_name.clone(),
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
            unique_name: self.unique_name.clone(),
        })
    }
}

/// Deletes an application and its service principal; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    object_id: String,
    unique_name: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "entra/applications.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.unique_name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.unique_name).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let request = graph(
            Self::NAME,
            Method::Delete,
            "/v1.0/applications/{}",
            &[&self.object_id],
        )?;
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn purge(&self) -> Option<Call> {
        Call::of(&Purge {
            object_id: self.object_id.clone(),
            unique_name: self.unique_name.clone(),
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if before.is_none() {
            return Inverse::Nothing;
        }
        Inverse::Impossible(
            "a deleted application can only be restored in Entra, for 30 days, under Deleted applications",
        )
    }
}

/// Deletes for good an application that was deleted lately; one that is not kept is no error.
/// State: when it was deleted and until when Entra keeps it (section 2.2).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    object_id: String,
    unique_name: String,
}

/// A deleted object is kept for 30 days (section 2.2).
const KEPT: time::Duration = time::Duration::days(30);
const DELETED_ITEM: &str = "/v1.0/directory/deletedItems/{}";

#[async_trait]
impl Write for Purge {
    const NAME: &'static str = "entra/applications.purge";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        Object::new("deleted application", &self.object_id).named(&self.unique_name)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        let request = graph(Self::NAME, Method::Get, DELETED_ITEM, &[&self.object_id])?;
        let kept = wire::if_there(context.cloud.send(&request).await)?;
        Ok(kept.map(|reply| {
            let deleted = reply.body.get("deletedDateTime").and_then(Value::as_str);
            let deleted = deleted.and_then(times::to_unix);
            let until = deleted.and_then(|at| times::from_unix(at + KEPT.whole_seconds()));
            json!({ "kept_until": until })
        }))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let request = graph(Self::NAME, Method::Delete, DELETED_ITEM, &[&self.object_id])?;
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match before {
            None => Inverse::Nothing,
            Some(_) => Inverse::Impossible("what was deleted for good cannot be brought back"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn create() -> Create {
        Create {
            unique_name: "lockkeeper-etl".to_owned(),
            display_name: "etl".to_owned(),
        }
    }

    #[test]
    fn what_was_created_is_deleted_and_what_was_there_stays() {
        let made = create().preview(None, &PLACEHOLDERS);
        let inverse = taken_back(&create(), None, &made);
        assert_eq!(name(&inverse), Some(Delete::NAME));
        let there = state::of(&made);
        assert_eq!(create().preview(there.as_ref(), &PLACEHOLDERS), made);
        assert_eq!(
            taken_back(&create(), there.as_ref(), &made),
            Inverse::Nothing
        );
    }

    #[test]
    fn a_plan_finds_what_it_creates() {
        let made = create().preview(None, &PLACEHOLDERS);
        let find = Find {
            unique_name: "lockkeeper-etl".to_owned(),
        };
        assert_eq!(find.object(), create().object());
        let after = create().after(None, &made);
        assert_eq!(
            find.planned(after.as_ref(), &PLACEHOLDERS).unwrap(),
            Some(made.clone())
        );
        assert_eq!(find.observed(&Some(made)), Some(after));
        assert_eq!(find.planned(None, &PLACEHOLDERS).unwrap(), None);
    }
}
