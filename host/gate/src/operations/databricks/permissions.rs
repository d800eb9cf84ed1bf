//! Permissions on workspace objects and jobs (reference/databricks.md, section 7). State: what
//! each principal [holds](Held), sorted by principal; nothing is no state.

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Request, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

/// What the permissions are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Securable {
    Notebook,
    Directory,
    Job,
    ClusterPolicy,
}

impl Securable {
    fn plural(self) -> &'static str {
        match self {
            Self::Notebook => "notebooks",
            Self::Directory => "directories",
            Self::Job => "jobs",
            Self::ClusterPolicy => "cluster-policies",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Notebook => "notebook",
            Self::Directory => "directory",
            Self::Job => "job",
            Self::ClusterPolicy => "cluster policy",
        }
    }
}

/// Levels from weak to strong; no securable has two that are not in this order.
const LEVELS: [&str; 8] = [
    "CAN_USE",
    "CAN_VIEW",
    "CAN_READ",
    "CAN_RUN",
    "CAN_EDIT",
    "CAN_MANAGE_RUN",
    "CAN_MANAGE",
    OWNER,
];
const OWNER: &str = "IS_OWNER";

fn strength(level: &str) -> usize {
    LEVELS
        .iter()
        .position(|known| *known == level)
        .map_or(0, |at| at + 1)
}

fn stronger(a: Option<String>, b: Option<String>) -> Option<String> {
    a.into_iter().chain(b).max_by_key(|level| strength(level))
}

/// The strongest levels a principal holds by itself and through what the object lies in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    principal: String,
    direct: Option<String>,
    inherited: Option<String>,
}

#[derive(Deserialize)]
struct Acl {
    #[serde(default)]
    access_control_list: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    user_name: Option<String>,
    group_name: Option<String>,
    service_principal_name: Option<String>,
    #[serde(default)]
    all_permissions: Vec<Level>,
}

#[derive(Deserialize)]
struct Level {
    permission_level: String,
    #[serde(default)]
    inherited: bool,
}

impl Entry {
    /// The field that names the principal, and its name.
    fn principal(&self) -> Option<(&'static str, &str)> {
        let fields = [
            ("service_principal_name", &self.service_principal_name),
            ("group_name", &self.group_name),
            ("user_name", &self.user_name),
        ];
        fields
            .into_iter()
            .find_map(|(field, name)| Some((field, name.as_deref()?)))
    }

    fn strongest(&self, inherited: bool) -> Option<String> {
        let levels = self
            .all_permissions
            .iter()
            .filter(|level| level.inherited == inherited);
        levels
            .map(|level| level.permission_level.clone())
            .max_by_key(|level| strength(level))
    }

    fn held(&self) -> Option<Held> {
        let principal = match self.principal()? {
            ("group_name", name) => format!("groups/{name}"),
            (_, name) => name.to_owned(),
        };
        let (direct, inherited) = (self.strongest(false), self.strongest(true));
        (direct.is_some() || inherited.is_some()).then_some(Held {
            principal,
            direct,
            inherited,
        })
    }
}

impl Acl {
    fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self
            .access_control_list
            .iter()
            .filter_map(Entry::held)
            .collect();
        held.sort_by(|a, b| a.principal.cmp(&b.principal));
        held
    }

    /// The list that replaces this one when a service principal is to hold nothing directly;
    /// `None` when it does not.
    fn without(&self, application_id: &str) -> Option<Vec<Value>> {
        let mut others = Vec::new();
        let mut found = false;
        for entry in &self.access_control_list {
            let (Some((field, name)), Some(level)) = (entry.principal(), entry.strongest(false))
            else {
                continue;
            };
            if field == "service_principal_name" && name.eq_ignore_ascii_case(application_id) {
                found = true;
            } else {
                others.push(json!({ field: name, "permission_level": level }));
            }
        }
        found.then_some(others)
    }
}

fn request(
    operation: &'static str,
    method: Method,
    securable: Securable,
    id: &str,
) -> Result<Request, Failure> {
    let path = "/api/2.0/permissions/{}/{}";
    wire::request(
        operation,
        Service::Databricks,
        method,
        path,
        &[securable.plural(), id],
    )
}

async fn acl(
    context: &Context<'_>,
    operation: &'static str,
    securable: Securable,
    id: &str,
) -> Result<Acl, Failure> {
    let reply = context
        .cloud
        .send(&request(operation, Method::Get, securable, id)?)
        .await?;
    wire::read(operation, &reply.body)
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    securable: Securable,
    id: &str,
) -> Result<Observed, Failure> {
    let acl = wire::if_there(acl(context, operation, securable, id).await)?;
    Ok(acl.and_then(|acl| state::of_list(&acl.held())))
}

fn object(securable: Securable, id: &str) -> Object {
    let noun = securable.noun();
    Object::new("permissions", format!("{}|{id}", securable.plural())).named(format!("{noun} {id}"))
}

fn strongest_of_each(held: Vec<Held>) -> Vec<(String, String)> {
    let strongest = |held: Held| Some((held.principal, stronger(held.direct, held.inherited)?));
    held.into_iter().filter_map(strongest).collect()
}

/// What a service principal holds directly.
fn direct_level(held: &[Held], application_id: &str) -> Option<String> {
    let own = held
        .iter()
        .find(|held| held.principal.eq_ignore_ascii_case(application_id))?;
    own.direct.clone()
}

/// The strongest level each principal holds, inherited ones included.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    securable: Securable,
    id: String,
}

#[async_trait]
impl Read for List {
    const NAME: &'static str = "databricks/permissions.list";
    type Output = Vec<(String, String)>;

    fn object(&self) -> Object {
        object(self.securable, &self.id)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let acl = acl(context, Self::NAME, self.securable, &self.id).await?;
        Ok(strongest_of_each(acl.held()))
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(strongest_of_each(state::read_list(state)))
    }
}

/// Gives a service principal a level; others keep theirs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    securable: Securable,
    id: String,
    application_id: String,
    level: String,
}

#[async_trait]
impl Write for Grant {
    const NAME: &'static str = "databricks/permissions.grant";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(self.securable, &self.id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, self.securable, &self.id).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        // PATCH merges; PUT would take everybody else's away.
        let request = request(Self::NAME, Method::Patch, self.securable, &self.id)?
            .json(json!({ "access_control_list": [{
                "service_principal_name": self.application_id,
                "permission_level": self.level,
            }] }))
            .idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut held: Vec<Held> = state::read_list(before);
        let own = |held: &&mut Held| held.principal.eq_ignore_ascii_case(&self.application_id);
        match held.iter_mut().find(own) {
            Some(own) => own.direct = Some(self.level.clone()),
            None => held.push(Held {
                principal: self.application_id.clone(),
                direct: Some(self.level.clone()),
                inherited: None,
            }),
        }
        held.sort_by(|a, b| a.principal.cmp(&b.principal));
        state::of_list(&held)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match direct_level(&state::read_list::<Held>(before), &self.application_id) {
            Some(level) if level == self.level => Inverse::Nothing,
            _ if self.level == OWNER => {
                Inverse::Impossible("there is exactly one owner: make the earlier one owner again")
            }
            Some(level) => Inverse::of(&Self {
                securable: self.securable,
                id: self.id.clone(),
                application_id: self.application_id.clone(),
                level,
            }),
            None => Inverse::of(&Revoke {
                securable: self.securable,
                id: self.id.clone(),
                application_id: self.application_id.clone(),
            }),
        }
    }
}

/// Takes away what a service principal holds directly; nothing is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    securable: Securable,
    id: String,
    application_id: String,
}

#[async_trait]
impl Write for Revoke {
    const NAME: &'static str = "databricks/permissions.revoke";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(self.securable, &self.id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, self.securable, &self.id).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let acl = acl(context, Self::NAME, self.securable, &self.id).await;
        let Some(others) = wire::if_there(acl)?.and_then(|acl| acl.without(&self.application_id))
        else {
            return Ok(());
        };
        // PATCH cannot take away, so the list is replaced by itself without this entry.
        let request = request(Self::NAME, Method::Put, self.securable, &self.id)?
            .json(json!({ "access_control_list": others }));
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut held: Vec<Held> = state::read_list(before);
        for own in &mut held {
            if own.principal.eq_ignore_ascii_case(&self.application_id) {
                own.direct = None;
            }
        }
        held.retain(|held| held.direct.is_some() || held.inherited.is_some());
        state::of_list(&held)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match direct_level(&state::read_list::<Held>(before), &self.application_id) {
            None => Inverse::Nothing,
            Some(level) => Inverse::of(&Grant {
                securable: self.securable,
                id: self.id.clone(),
                application_id: self.application_id.clone(),
                level,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn grant(level: &str) -> Grant {
        Grant {
            securable: Securable::Job,
            id: "7".to_owned(),
            application_id: "a-1".to_owned(),
            level: level.to_owned(),
        }
    }

    fn revoke() -> Revoke {
        Revoke {
            securable: Securable::Job,
            id: "7".to_owned(),
            application_id: "a-1".to_owned(),
        }
    }

    fn acl() -> Acl {
        serde_json::from_value(json!({ "access_control_list": [
            { "user_name": "ana@contoso.com", "all_permissions": [
                { "permission_level": "IS_OWNER", "inherited": false }] },
            { "group_name": "admins", "all_permissions": [
                { "permission_level": "CAN_MANAGE", "inherited": true }] },
            { "service_principal_name": "a-1", "all_permissions": [
                { "permission_level": "CAN_VIEW", "inherited": false },
                { "permission_level": "CAN_MANAGE", "inherited": true }] },
        ] }))
        .unwrap()
    }

    #[test]
    fn granting_and_revoking_are_inverse_whatever_was_held() {
        let states = [
            None,
            state::of_list(&acl().held()),
            revoke().after(state::of_list(&acl().held()).as_ref(), &()),
        ];
        for before in states {
            for level in ["CAN_VIEW", "CAN_MANAGE_RUN"] {
                taken_back(&grant(level), before.as_ref(), &());
            }
            taken_back(&revoke(), before.as_ref(), &());
        }
        assert_eq!(
            name(&grant("CAN_VIEW").inverse(None, &())),
            Some(Revoke::NAME)
        );
    }

    #[test]
    fn a_list_tells_the_strongest_level() {
        let list = List {
            securable: Securable::Job,
            id: "7".to_owned(),
        };
        let listed = list
            .planned(state::of_list(&acl().held()).as_ref(), &PLACEHOLDERS)
            .unwrap();
        let pair = |name: &str, level: &str| (name.to_owned(), level.to_owned());
        assert_eq!(
            listed,
            [
                pair("a-1", "CAN_MANAGE"),
                pair("ana@contoso.com", "IS_OWNER"),
                pair("groups/admins", "CAN_MANAGE"),
            ]
        );
    }

    #[test]
    fn revoking_keeps_the_owner_and_leaves_out_what_is_inherited() {
        assert_eq!(
            acl().without("A-1").unwrap(),
            [json!({ "user_name": "ana@contoso.com", "permission_level": "IS_OWNER" })]
        );
        assert_eq!(acl().without("other"), None);
    }

    #[test]
    fn ownership_is_not_taken_back() {
        assert!(matches!(
            grant(OWNER).inverse(None, &()),
            Inverse::Impossible(_)
        ));
    }
}
