//! Azure role assignments (reference/entra-azure.md, 3.3). State: the [`RoleAssignment`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method, Request, Service};
use lockkeeper_types::{Value, unknown};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

const API_VERSION: &str = "2022-04-01";
const COLLECTION: &str = "{arm}/providers/Microsoft.Authorization/roleAssignments";
const ONE: &str = "{arm}/providers/Microsoft.Authorization/roleAssignments/{}";

/// A built-in role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    KeyVaultSecretsUser,
    KeyVaultSecretsOfficer,
    StorageBlobDataReader,
    StorageBlobDataContributor,
}

impl Role {
    /// The role definition's name (reference/entra-azure.md, section 0).
    fn guid(self) -> &'static str {
        match self {
            Self::KeyVaultSecretsUser => "4633458b-17de-408a-b874-0445c86b69e6",
            Self::KeyVaultSecretsOfficer => "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
            Self::StorageBlobDataReader => "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
            Self::StorageBlobDataContributor => "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::KeyVaultSecretsUser => "Key Vault Secrets User",
            Self::KeyVaultSecretsOfficer => "Key Vault Secrets Officer",
            Self::StorageBlobDataReader => "Storage Blob Data Reader",
            Self::StorageBlobDataContributor => "Storage Blob Data Contributor",
        }
    }

    /// The id of the role definition, in the subscription of `scope` if that lies in one.
    fn definition_id(self, scope: &str) -> String {
        let mut parts = scope.split('/').skip(1);
        let subscription = match (parts.next(), parts.next()) {
            (Some(first), Some(id)) if first.eq_ignore_ascii_case("subscriptions") => {
                format!("/subscriptions/{id}")
            }
            _ => String::new(),
        };
        let guid = self.guid();
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}")
    }
}

/// A role held by a service principal on a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoleAssignment {
    name: String,
    scope: String,
    role: Role,
    principal: String,
}

#[derive(Deserialize)]
struct Wire {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    scope: Option<String>,
    role_definition_id: String,
    principal_id: String,
}

/// What tells an assignment apart: Azure allows one per scope, role and principal.
struct Assignment<'a> {
    scope: &'a str,
    role: Role,
    principal: &'a str,
}

impl Assignment<'_> {
    fn object(&self) -> Object {
        let key = format!("{}|{}|{}", self.scope, self.role.guid(), self.principal).to_lowercase();
        let on = self.scope.rsplit('/').next().unwrap_or(self.scope);
        Object::new("role assignment", key).named(format!(
            "{} on {on} for {}",
            self.role.title(),
            self.principal
        ))
    }

    /// The name that lockkeeper gives it, always the same, so that assigning is repeatable.
    fn own_name(&self) -> String {
        let text = format!(
            "{}|{}|{}",
            self.scope.to_lowercase(),
            self.role.guid(),
            self.principal.to_lowercase()
        );
        Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()).to_string()
    }

    fn named(&self, name: String) -> RoleAssignment {
        RoleAssignment {
            name,
            scope: self.scope.to_owned(),
            role: self.role,
            principal: self.principal.to_owned(),
        }
    }

    fn is(&self, wire: &Wire) -> bool {
        let properties = &wire.properties;
        let role = properties
            .role_definition_id
            .rsplit('/')
            .next()
            .unwrap_or_default();
        role.eq_ignore_ascii_case(self.role.guid())
            && properties.principal_id.eq_ignore_ascii_case(self.principal)
            && properties.scope.as_deref().is_some_and(|scope| {
                scope
                    .trim_end_matches('/')
                    .eq_ignore_ascii_case(self.scope.trim_end_matches('/'))
            })
    }

    async fn look_up(
        &self,
        context: &Context<'_>,
        operation: &'static str,
    ) -> Result<Option<RoleAssignment>, Failure> {
        let first = arm(operation, Method::Get, COLLECTION, &[self.scope])?.query(
            "$filter",
            format!("principalId eq {}", wire::odata_text(self.principal)),
        );
        let held = wire::pages::<Wire>(context.cloud, first, "nextLink").await;
        // The answer holds assignments above and below the scope too.
        let mut held = wire::if_there(held)?.unwrap_or_default().into_iter();
        Ok(held
            .find(|wire| self.is(wire))
            .map(|wire| self.named(wire.name)))
    }
}

fn arm(
    operation: &'static str,
    method: Method,
    template: &'static str,
    arguments: &[&str],
) -> Result<Request, Failure> {
    Ok(
        wire::request(operation, Service::Arm, method, template, arguments)?
            .query("api-version", API_VERSION),
    )
}

macro_rules! assignment {
    ($call:expr) => {
        Assignment {
            scope: &$call.scope,
            role: $call.role,
            principal: &$call.principal,
        }
    };
}

/// The assignment of this role to this principal on exactly this scope, if there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    scope: String,
    role: Role,
    principal: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "azure/role-assignments.find";
    type State = RoleAssignment;

    fn about(&self) -> Object {
        assignment!(self).object()
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        assignment!(self).look_up(context, Self::NAME).await
    }
}

/// Assigns a role to a service principal. An assignment that is there is given back.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    scope: String,
    role: Role,
    principal: String,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "azure/role-assignments.create";
    const CLASS: Class = Class::Create;
    type Output = RoleAssignment;

    fn object(&self) -> Object {
        assignment!(self).object()
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &assignment!(self).look_up(context, Self::NAME).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let assignment = assignment!(self);
        let name = assignment.own_name();
        let request = arm(Self::NAME, Method::Put, ONE, &[&self.scope, &name])?.json(json!({
            "properties": {
                "roleDefinitionId": self.role.definition_id(&self.scope),
                "principalId": self.principal,
                // Keeps ARM from looking for a principal that has not reached it yet.
                "principalType": "ServicePrincipal",
            }
        }));
        match context.cloud.send(&request).await {
            Ok(_) => Ok(assignment.named(name)),
            Err(failure) if failure.code == "RoleAssignmentExists" => {
                self.find(context).await?.ok_or(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        assignment!(self).look_up(context, Self::NAME).await
    }

    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        let assignment = assignment!(self);
        state::read(before).unwrap_or_else(|| {
            let known = unknown::source(&self.scope)
                .or(unknown::source(&self.principal))
                .is_none();
            let name = if known {
                assignment.own_name()
            } else {
                placeholders.make("assignment_name")
            };
            assignment.named(name)
        })
    }

    fn after(&self, _: Option<&Value>, output: &Self::Output) -> Option<Value> {
        state::of(output)
    }

    fn inverse(&self, before: Option<&Value>, _: &Self::Output) -> Inverse {
        if before.is_some() {
            return Inverse::Nothing;
        }
        Inverse::of(&Delete {
            scope: self.scope.clone(),
            role: self.role,
            principal: self.principal.clone(),
        })
    }
}

/// Deletes an assignment; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    scope: String,
    role: Role,
    principal: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "azure/role-assignments.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        assignment!(self).object()
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &assignment!(self).look_up(context, Self::NAME).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let Some(found) = assignment!(self).look_up(context, Self::NAME).await? else {
            return Ok(());
        };
        let request = arm(Self::NAME, Method::Delete, ONE, &[&self.scope, &found.name])?;
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
        Inverse::of(&Create {
            scope: self.scope.clone(),
            role: self.role,
            principal: self.principal.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    const SCOPE: &str =
        "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";

    fn create(scope: &str) -> Create {
        Create {
            scope: scope.to_owned(),
            role: Role::KeyVaultSecretsUser,
            principal: "p-1".to_owned(),
        }
    }

    #[test]
    fn assigning_and_deleting_are_inverse() {
        let made = create(SCOPE).preview(None, &PLACEHOLDERS);
        assert_eq!(
            name(&taken_back(&create(SCOPE), None, &made)),
            Some(Delete::NAME)
        );
        let there = state::of(&made);
        assert_eq!(
            taken_back(&create(SCOPE), there.as_ref(), &made),
            Inverse::Nothing
        );
        let delete = Delete {
            scope: SCOPE.to_owned(),
            role: Role::KeyVaultSecretsUser,
            principal: "p-1".to_owned(),
        };
        assert_eq!(
            name(&taken_back(&delete, there.as_ref(), &())),
            Some(Create::NAME)
        );
        assert_eq!(taken_back(&delete, None, &()), Inverse::Nothing);
    }

    #[test]
    fn the_name_follows_from_what_is_assigned() {
        let name = |scope: &str| create(scope).preview(None, &PLACEHOLDERS).name;
        assert_eq!(name(SCOPE), name(&SCOPE.to_uppercase()));
        assert_ne!(name(SCOPE), name("/subscriptions/s-2"));
        assert!(unknown::source(&name(&PLACEHOLDERS.make("scope"))).is_some());
    }

    #[test]
    fn a_role_is_named_within_the_subscription() {
        let guid = Role::KeyVaultSecretsUser.guid();
        let rest = format!("/providers/Microsoft.Authorization/roleDefinitions/{guid}");
        assert_eq!(
            Role::KeyVaultSecretsUser.definition_id(SCOPE),
            format!("/subscriptions/s-1{rest}")
        );
        let group = "/providers/Microsoft.Management/managementGroups/g";
        assert_eq!(Role::KeyVaultSecretsUser.definition_id(group), rest);
    }

    #[test]
    fn only_the_assignment_on_this_very_scope_counts() {
        let create = create(SCOPE);
        let wire = |scope: &str| Wire {
            name: "n".to_owned(),
            properties: Properties {
                scope: Some(scope.to_owned()),
                role_definition_id: create.role.definition_id(SCOPE),
                principal_id: "P-1".to_owned(),
            },
        };
        assert!(assignment!(create).is(&wire(&SCOPE.to_uppercase())));
        assert!(!assignment!(create).is(&wire("/subscriptions/s-1")));
    }
}
