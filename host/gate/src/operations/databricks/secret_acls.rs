//! Who may use a secret scope (reference/databricks.md, section 10). State: the [`Permission`].

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{get, post};
use crate::definition::own_failure;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

/// What a principal may do in a scope; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Permission {
    #[serde(alias = "READ")]
    Read,
    #[serde(alias = "WRITE")]
    Write,
    #[serde(alias = "MANAGE")]
    Manage,
}

impl Permission {
    fn on_the_wire(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Manage => "MANAGE",
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    permission: Permission,
}

async fn look_up(
    context: &Context<'_>,
    operation: &'static str,
    scope: &str,
    principal: &str,
) -> Result<Option<Permission>, Failure> {
    let request = get(operation, "/api/2.0/secrets/acls/get")?
        .query("scope", scope)
        .query("principal", principal);
    let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
        return Ok(None);
    };
    Ok(Some(wire::read::<Wire>(operation, &reply.body)?.permission))
}

fn object(scope: &str, principal: &str) -> Object {
    let key = format!("{scope}|{}", principal.to_lowercase());
    Object::new("secret ACL", key).named(format!("{principal} on {scope}"))
}

/// What a principal may do in a scope.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    scope: String,
    principal: String,
}

#[async_trait]
impl ReadState for Find {
    const NAME: &'static str = "databricks/secret-acls.find";
    type State = Permission;

    fn about(&self) -> Object {
        object(&self.scope, &self.principal)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        look_up(context, Self::NAME, &self.scope, &self.principal).await
    }
}

/// Sets what a principal may do in a scope.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    scope: String,
    principal: String,
    permission: Permission,
}

#[async_trait]
impl Write for Put {
    const NAME: &'static str = "databricks/secret-acls.put";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.scope, &self.principal)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.scope, &self.principal).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({
            "scope": self.scope,
            "principal": self.principal,
            "permission": self.permission.on_the_wire(),
        });
        let request = post(Self::NAME, "/api/2.0/secrets/acls/put", body)?.idempotent(true);
        context.cloud.send(&request).await?;
        // For a principal that is new to the workspace the service may answer 200 and do nothing.
        let held = look_up(context, Self::NAME, &self.scope, &self.principal).await?;
        if held == Some(self.permission) {
            return Ok(());
        }
        Err(own_failure(
            FailureClass::NotYetVisible,
            Self::NAME,
            "NotInEffect",
            format!(
                "the workspace accepted {} on scope {} for {} and does not show it; a new principal takes a while to get there",
                self.permission.on_the_wire(),
                self.scope,
                self.principal
            ),
        ))
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        state::of(&self.permission)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read::<Permission>(before) {
            None => Inverse::of(&Delete {
                scope: self.scope.clone(),
                principal: self.principal.clone(),
            }),
            Some(permission) if permission == self.permission => Inverse::Nothing,
            Some(permission) => Inverse::of(&Self {
                scope: self.scope.clone(),
                principal: self.principal.clone(),
                permission,
            }),
        }
    }
}

/// Takes a principal's permission away; none is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    scope: String,
    principal: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/secret-acls.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.scope, &self.principal)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &look_up(context, Self::NAME, &self.scope, &self.principal).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "scope": self.scope, "principal": self.principal });
        let request = post(Self::NAME, "/api/2.0/secrets/acls/delete", body)?.idempotent(true);
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read(before) {
            None => Inverse::Nothing,
            Some(permission) => Inverse::of(&Put {
                scope: self.scope.clone(),
                principal: self.principal.clone(),
                permission,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::taken_back;

    const ALL: [Option<Permission>; 4] = [
        None,
        Some(Permission::Read),
        Some(Permission::Write),
        Some(Permission::Manage),
    ];

    #[test]
    fn the_permission_from_before_is_put_back() {
        let (scope, principal) = ("app".to_owned(), "A-1".to_owned());
        for before in ALL {
            let before = state::of(&before);
            for permission in ALL.into_iter().flatten() {
                let put = Put {
                    scope: scope.clone(),
                    principal: principal.clone(),
                    permission,
                };
                taken_back(&put, before.as_ref(), &());
            }
            let delete = Delete {
                scope: scope.clone(),
                principal: principal.clone(),
            };
            taken_back(&delete, before.as_ref(), &());
        }
    }

    #[test]
    fn permissions_are_read_in_both_spellings_and_written_in_one() {
        for permission in ALL.into_iter().flatten() {
            let text = permission.on_the_wire();
            assert_eq!(
                serde_json::from_value::<Permission>(json!(text)).unwrap(),
                permission
            );
            assert_eq!(
                serde_json::to_value(permission).unwrap(),
                json!(text.to_lowercase())
            );
        }
    }
}
