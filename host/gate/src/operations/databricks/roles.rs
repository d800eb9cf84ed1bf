//! Roles on a service principal: its access-control rule set (reference/databricks.md, section 6).
//! State: the sorted [`RoleGrant`]s; none is no state.
//!
//! A rule set is only ever replaced as a whole, so it is read, changed and written under its
//! etag, and again when somebody else was faster.

use std::time::Duration;

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure, Method, Service};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{account_id, get};
use crate::definition::own_failure;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

/// The rule sets of a workspace's account, as its admins reach them.
const RULE_SETS: &str = "/api/2.0/preview/accounts/access-control/rule-sets";
const MANAGER: &str = "servicePrincipal.manager";
/// How often a rule set is read and written anew after somebody else's write.
const TRIES: u32 = 5;

/// One role held by one principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RoleGrant {
    role: String,
    principal: String,
}

impl RoleGrant {
    fn is(&self, other: &Self) -> bool {
        self.role == other.role && self.principal.eq_ignore_ascii_case(&other.principal)
    }
}

#[derive(Deserialize)]
struct RuleSet {
    name: String,
    #[serde(default)]
    etag: String,
    #[serde(default)]
    grant_rules: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
struct Rule {
    role: String,
    #[serde(default)]
    principals: Vec<String>,
}

impl RuleSet {
    fn grants(&self) -> Vec<RoleGrant> {
        let pairs = self.grant_rules.iter().flat_map(|rule| {
            let role = rule.role.strip_prefix("roles/").unwrap_or(&rule.role);
            rule.principals.iter().map(move |principal| RoleGrant {
                role: role.to_owned(),
                principal: principal.clone(),
            })
        });
        sorted(pairs.collect())
    }
}

fn sorted(mut grants: Vec<RoleGrant>) -> Vec<RoleGrant> {
    grants.sort();
    grants.dedup();
    grants
}

/// The rules that say the same as the grants.
fn rules(grants: &[RoleGrant]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for grant in grants {
        let principal = grant.principal.clone();
        let role = format!("roles/{}", grant.role);
        match rules.iter_mut().find(|same| same.role == role) {
            Some(same) => same.principals.push(principal),
            None => rules.push(Rule {
                role,
                principals: vec![principal],
            }),
        }
    }
    rules
}

async fn rule_set(
    context: &Context<'_>,
    operation: &'static str,
    application_id: &str,
) -> Result<RuleSet, Failure> {
    let account = account_id(context, operation).await?;
    let name = format!("accounts/{account}/servicePrincipals/{application_id}/ruleSets/default");
    let request = get(operation, RULE_SETS)?
        .query("name", name)
        .query("etag", "");
    wire::read(operation, &context.cloud.send(&request).await?.body)
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    application_id: &str,
) -> Result<Observed, Failure> {
    let set = wire::if_there(rule_set(context, operation, application_id).await)?;
    Ok(set.and_then(|set| state::of_list(&set.grants())))
}

/// Makes the grants on a service principal what `change` makes of them.
async fn rewrite(
    context: &Context<'_>,
    operation: &'static str,
    application_id: &str,
    change: impl Fn(&[RoleGrant]) -> Result<Vec<RoleGrant>, Failure>,
) -> Result<(), Failure> {
    let mut tries = 1;
    loop {
        let set = rule_set(context, operation, application_id).await?;
        let before = set.grants();
        let after = change(&before)?;
        if after == before {
            return Ok(());
        }
        let body = json!({
            "name": set.name,
            "rule_set": { "name": set.name, "etag": set.etag, "grant_rules": rules(&after) },
        });
        // A repeated write is either refused because of its etag or found done by the next read.
        let request =
            wire::request(operation, Service::Databricks, Method::Put, RULE_SETS, &[])?.json(body);
        match context.cloud.send(&request).await {
            Err(failure) if failure.class == FailureClass::Conflict && tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(100) * tries).await;
                tries += 1;
            }
            result => return result.map(|_| ()),
        }
    }
}

fn with(grants: &[RoleGrant], grant: &RoleGrant) -> Vec<RoleGrant> {
    let mut after = grants.to_vec();
    if !grants.iter().any(|held| held.is(grant)) {
        after.push(grant.clone());
    }
    sorted(after)
}

fn without(grants: &[RoleGrant], grant: &RoleGrant) -> Vec<RoleGrant> {
    grants
        .iter()
        .filter(|held| !held.is(grant))
        .cloned()
        .collect()
}

fn has_manager(grants: &[RoleGrant]) -> bool {
    grants.iter().any(|held| held.role == MANAGER)
}

fn object(application_id: &str) -> Object {
    Object::new("service principal roles", application_id.to_lowercase()).named(application_id)
}

/// Who holds which role on the service principal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    application_id: String,
}

#[async_trait]
impl Read for List {
    const NAME: &'static str = "databricks/roles.list";
    type Output = Vec<RoleGrant>;

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        Ok(rule_set(context, Self::NAME, &self.application_id)
            .await?
            .grants())
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

/// Grants a role; everybody else keeps theirs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    application_id: String,
    role: String,
    principal: String,
}

impl Grant {
    fn grant(&self) -> RoleGrant {
        RoleGrant {
            role: self.role.clone(),
            principal: self.principal.clone(),
        }
    }
}

#[async_trait]
impl Write for Grant {
    const NAME: &'static str = "databricks/roles.grant";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.application_id).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let grant = self.grant();
        rewrite(context, Self::NAME, &self.application_id, |held| {
            Ok(with(held, &grant))
        })
        .await
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        state::of_list(&with(&state::read_list(before), &self.grant()))
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        let before: Vec<RoleGrant> = state::read_list(before);
        let grant = self.grant();
        if before.iter().any(|held| held.is(&grant)) {
            Inverse::Nothing
        } else if self.role == MANAGER && !has_manager(&before) {
            Inverse::Impossible("it is the service principal's only manager, who is never removed")
        } else {
            Inverse::of(&Revoke {
                application_id: self.application_id.clone(),
                role: self.role.clone(),
                principal: self.principal.clone(),
            })
        }
    }
}

/// Revokes a role; one that is not held is no error. Refuses to drop the last manager, after whom
/// only an account admin could change anything.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    application_id: String,
    role: String,
    principal: String,
}

impl Revoke {
    fn grant(&self) -> RoleGrant {
        RoleGrant {
            role: self.role.clone(),
            principal: self.principal.clone(),
        }
    }

    fn leaves(&self, held: &[RoleGrant]) -> Result<Vec<RoleGrant>, Failure> {
        let after = without(held, &self.grant());
        if has_manager(held) && !has_manager(&after) {
            return Err(own_failure(
                FailureClass::Conflict,
                Self::NAME,
                "LastManager",
                format!(
                    "{} is the last manager of service principal {}; make somebody else manager first",
                    self.principal, self.application_id
                ),
            ));
        }
        Ok(after)
    }
}

#[async_trait]
impl Write for Revoke {
    const NAME: &'static str = "databricks/roles.revoke";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.application_id)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.application_id).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let done = rewrite(context, Self::NAME, &self.application_id, |held| {
            self.leaves(held)
        });
        wire::if_there(done.await).map(|_| ())
    }

    async fn check(&self, context: &Context<'_>) -> Result<(), Failure> {
        let set = rule_set(context, Self::NAME, &self.application_id).await;
        match wire::if_there(set)? {
            Some(set) => self.leaves(&set.grants()).map(|_| ()),
            None => Ok(()),
        }
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        state::of_list(&without(&state::read_list(before), &self.grant()))
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        let before: Vec<RoleGrant> = state::read_list(before);
        let grant = self.grant();
        // As it was spelled, which may differ in case.
        match before.into_iter().find(|held| held.is(&grant)) {
            None => Inverse::Nothing,
            Some(held) => Inverse::of(&Grant {
                application_id: self.application_id.clone(),
                role: held.role,
                principal: held.principal,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{name, taken_back};

    fn grant(role: &str, principal: &str) -> RoleGrant {
        RoleGrant {
            role: role.to_owned(),
            principal: principal.to_owned(),
        }
    }

    fn held() -> Vec<RoleGrant> {
        vec![
            grant(MANAGER, "users/ana@contoso.com"),
            grant("servicePrincipal.user", "groups/data"),
        ]
    }

    fn give(role: &str, principal: &str) -> Grant {
        Grant {
            application_id: "a-1".to_owned(),
            role: role.to_owned(),
            principal: principal.to_owned(),
        }
    }

    fn take(role: &str, principal: &str) -> Revoke {
        Revoke {
            application_id: "A-1".to_owned(),
            role: role.to_owned(),
            principal: principal.to_owned(),
        }
    }

    #[test]
    fn granting_and_revoking_are_inverse() {
        let before = state::of_list(&held());
        let user = "servicePrincipal.user";
        let granted = taken_back(&give(user, "users/bob@contoso.com"), before.as_ref(), &());
        assert_eq!(name(&granted), Some(Revoke::NAME));
        let again = taken_back(&give(user, "groups/Data"), before.as_ref(), &());
        assert_eq!(again, Inverse::Nothing);
        let revoked = take(user, "groups/DATA").inverse(before.as_ref(), &());
        let Inverse::Call(_, arguments) = revoked else {
            panic!()
        };
        assert_eq!(arguments["principal"], "groups/data");
    }

    #[test]
    fn the_last_manager_stays() {
        let ana = "users/ana@contoso.com";
        let failure = take(MANAGER, ana).leaves(&held()).unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Conflict, "LastManager")
        );
        let two = with(&held(), &grant(MANAGER, "users/bob@contoso.com"));
        assert_eq!(take(MANAGER, ana).leaves(&two).unwrap().len(), 2);
        assert!(matches!(
            give(MANAGER, ana).inverse(None, &()),
            Inverse::Impossible(_)
        ));
    }

    #[test]
    fn rules_and_grants_say_the_same() {
        let grants = with(&held(), &grant(MANAGER, "users/bob@contoso.com"));
        let set = RuleSet {
            name: String::new(),
            etag: String::new(),
            grant_rules: rules(&grants),
        };
        assert_eq!(set.grant_rules.len(), 2);
        assert_eq!(set.grant_rules[0].role, "roles/servicePrincipal.manager");
        assert_eq!(set.grants(), grants);
    }
}
