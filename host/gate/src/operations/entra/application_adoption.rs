//! Applications that were made elsewhere: found by any of their ids, and given the unique name by
//! which the others find them (reference/entra-azure.md, 2.2).

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure, Method};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::applications::{Application, SELECTED, Wire, look_up, object};
use super::{explained, graph};
use crate::definition::own_failure;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

/// An application registration that may have no unique name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    object_id: String,
    application_id: String,
    unique_name: Option<String>,
    display_name: String,
}

impl From<Wire> for Registration {
    fn from(wire: Wire) -> Self {
        Self {
            object_id: wire.id,
            application_id: wire.app_id,
            unique_name: wire.unique_name,
            display_name: wire.display_name.unwrap_or_default(),
        }
    }
}

/// What of a service principal tells its application.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Principal {
    app_id: String,
}

const BY_OBJECT_ID: &str = "/v1.0/applications/{}";
const BY_APPLICATION_ID: &str = "/v1.0/applications(appId='{}')";
const PRINCIPAL: &str = "/v1.0/servicePrincipals/{}";

async fn get(
    context: &Context<'_>,
    operation: &'static str,
    template: &'static str,
    id: &str,
) -> Result<Option<Wire>, Failure> {
    let request = graph(operation, Method::Get, template, &[id])?.query("$select", SELECTED);
    match wire::if_there(context.cloud.send(&request).await)? {
        Some(reply) => wire::read(operation, &reply.body).map(Some),
        None => Ok(None),
    }
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The application that has this id: its object id, its application id or the object id of its
/// service principal, tried in this order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookUp {
    id: String,
}

#[async_trait]
impl ReadState for LookUp {
    const NAME: &'static str = "entra/applications.look-up";
    type State = Registration;

    fn about(&self) -> Object {
        Object::new("application id", self.id.to_lowercase())
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        if !is_guid(&self.id) {
            let message = format!("`{}` is no GUID, and every id in Entra is one", self.id);
            return Err(wire::invalid(Self::NAME, message));
        }
        for template in [BY_OBJECT_ID, BY_APPLICATION_ID] {
            if let Some(found) = get(context, Self::NAME, template, &self.id).await? {
                return Ok(Some(found.into()));
            }
        }
        let request = graph(Self::NAME, Method::Get, PRINCIPAL, &[&self.id])?;
        let request = request.query("$select", "id,appId");
        let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
            return Ok(None);
        };
        let id = wire::read::<Principal>(Self::NAME, &reply.body)?.app_id;
        match get(context, Self::NAME, BY_APPLICATION_ID, &id).await? {
            Some(found) => Ok(Some(found.into())),
            None => Err(own_failure(
                FailureClass::NotFound,
                Self::NAME,
                "RegisteredElsewhere",
                format!(
                    "{} is the service principal of application {id}, which is not registered in this tenant",
                    self.id
                ),
            )),
        }
    }
}

/// Gives an application its unique name, which can be done once; one that has it already is left
/// alone. State: the [`Application`] of that unique name, or before that the [`Registration`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUniqueName {
    object_id: String,
    unique_name: String,
}

impl SetUniqueName {
    /// The application, unless it has another unique name.
    async fn nameable(&self, context: &Context<'_>) -> Result<Wire, Failure> {
        let Self {
            object_id,
            unique_name,
        } = self;
        let found = get(context, Self::NAME, BY_OBJECT_ID, object_id).await?;
        let found = found
            .ok_or_else(|| wire::not_there(Self::NAME, &format!("application {object_id}")))?;
        match &found.unique_name {
            Some(other) if other != unique_name => Err(own_failure(
                FailureClass::Conflict,
                Self::NAME,
                "HasAnotherUniqueName",
                format!(
                    "application {object_id} has the unique name {other}, which Entra never changes, and not {unique_name}"
                ),
            )),
            _ => Ok(found),
        }
    }
}

#[async_trait]
impl Write for SetUniqueName {
    const NAME: &'static str = "entra/applications.set-unique-name";
    const CLASS: Class = Class::Put;
    type Output = Application;

    fn object(&self) -> Object {
        // Under a name of its own: that nothing was found by the unique name says nothing of the
        // state that this application is in before.
        object(&self.unique_name).named(format!("{} ({})", self.unique_name, self.object_id))
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        if let Some(found) = look_up(context, Self::NAME, &self.unique_name).await? {
            return Ok(state::of(&found));
        }
        let found = get(context, Self::NAME, BY_OBJECT_ID, &self.object_id).await?;
        Ok(state::of(&found.map(Registration::from)))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let found = self.nameable(context).await?;
        if found.unique_name.is_none() {
            let request = graph(Self::NAME, Method::Patch, BY_OBJECT_ID, &[&self.object_id])?
                .json(json!({ "uniqueName": self.unique_name }))
                .idempotent(true);
            context.cloud.send(&request).await.map_err(explained)?;
        }
        Ok(found.named(&self.unique_name))
    }

    async fn check(&self, context: &Context<'_>) -> Result<(), Failure> {
        self.nameable(context).await.map(|_| ())
    }

    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        let found = state::read::<Registration>(before);
        let known = |known: Option<String>, what| known.unwrap_or_else(|| placeholders.make(what));
        let (application_id, display_name) = found
            .map(|found| (found.application_id, found.display_name))
            .unzip();
        Application {
            object_id: self.object_id.clone(),
            application_id: known(application_id, "application_id"),
            unique_name: self.unique_name.clone(),
            display_name: known(display_name, "display_name"),
        }
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(output)
    }

    fn inverse(&self, before: Option<&Value>, output: &Self::Output) -> Inverse {
        if before == state::of(output).as_ref() {
            return Inverse::Nothing;
        }
        Inverse::Impossible(
            "Entra never changes a unique name or takes it off; the application is otherwise as it was",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::entra::applications::Find;
    use crate::operations::testing::{PLACEHOLDERS, taken_back};

    fn set() -> SetUniqueName {
        SetUniqueName {
            object_id: "o-1".to_owned(),
            unique_name: "lockkeeper-etl".to_owned(),
        }
    }

    fn nameless() -> Option<Value> {
        state::of(&Registration {
            object_id: "o-1".to_owned(),
            application_id: "a-1".to_owned(),
            unique_name: None,
            display_name: "etl".to_owned(),
        })
    }

    #[test]
    fn a_unique_name_stays() {
        let named = set().preview(nameless().as_ref(), &PLACEHOLDERS);
        assert_eq!(named.application_id, "a-1");
        let inverse = taken_back(&set(), nameless().as_ref(), &named);
        assert!(matches!(inverse, Inverse::Impossible(_)));
        let after = set().after(nameless().as_ref(), &named);
        assert_eq!(
            taken_back(&set(), after.as_ref(), &named),
            Inverse::Nothing,
            "it had the name before"
        );
    }

    #[test]
    fn a_plan_finds_what_it_names() {
        let find: Find =
            serde_json::from_value(json!({ "unique_name": "lockkeeper-etl" })).unwrap();
        let (asked, named) = (find.object(), set().object());
        assert_eq!((asked.kind, asked.key), (named.kind, named.key));
        let output = set().preview(nameless().as_ref(), &PLACEHOLDERS);
        let after = set().after(nameless().as_ref(), &output);
        let found = find.planned(after.as_ref(), &PLACEHOLDERS).unwrap();
        assert_eq!(found, Some(output));
    }

    #[test]
    fn only_guids_are_ids() {
        assert!(is_guid("0a0a0a0a-0000-4000-8000-00000000000F"));
        for other in [
            "4177",
            "",
            "0a0a0a0a-0000-4000-8000-00000000000",
            "etl-demo",
        ] {
            assert!(!is_guid(other), "{other}");
        }
        assert!(!is_guid("0a0a0a0g-0000-4000-8000-000000000002"));
    }
}
