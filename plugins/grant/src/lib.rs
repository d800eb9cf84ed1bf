//! Gives a service principal entitlements, and gives others roles on it.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod bindings;
mod principal;

use bindings::lockkeeper::databricks::{entitlements, roles};
use bindings::{Entitlement, Guest, Inputs, Outputs};
use lockkeeper_guest::types::{ApplicationId, Error, StepError, WorkspacePrincipalId};
use lockkeeper_guest::{Attempt, LONG, progress, until};

struct Grant;

impl Guest for Grant {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        let mut wanted = Vec::new();
        for grant in inputs.roles {
            wanted.push(roles::RoleGrant {
                principal: principal::name(&grant.principal)?,
                role: grant.role,
            });
        }
        let (entitlements, added) = entitle(&inputs.service_principal_id, &inputs.entitlements)?;
        let roles = give_roles(&inputs.application_id, &wanted)?;
        Ok(Outputs {
            entitlements,
            granted: added + roles,
        })
    }
}

/// The entitlements after adding what is missing, and how many were.
fn entitle(
    id: &WorkspacePrincipalId,
    wanted: &[Entitlement],
) -> Result<(Vec<String>, u32), StepError> {
    let has = entitlements::get(id)?;
    let wanted = wanted.iter().map(|entitlement| name(*entitlement));
    let missing: Vec<_> = wanted
        .filter(|name| !has.iter().any(|other| other == name))
        .map(str::to_owned)
        .collect();
    if missing.is_empty() {
        progress::note("the entitlements were already there");
        return Ok((has, 0));
    }
    progress::report(&format!("adding {}", missing.join(", ")));
    entitlements::add(id, &missing).map_err(entitlement_refusal)?;
    let has = until("the workspace shows the entitlements", LONG, || {
        let has = entitlements::get(id)?;
        let Some(lacking) = missing.iter().find(|name| !has.contains(name)) else {
            return Ok(Attempt::Done(has));
        };
        let message = format!("the workspace accepted {lacking} and does not show it");
        let operation = "databricks/entitlements.get";
        Ok(Attempt::not_visible(operation, message))
    })?;
    Ok((has, count(&missing)))
}

/// The service's name of an entitlement.
fn name(entitlement: Entitlement) -> &'static str {
    match entitlement {
        Entitlement::WorkspaceAccess => "workspace-access",
        Entitlement::DatabricksSqlAccess => "databricks-sql-access",
        Entitlement::AllowClusterCreate => "allow-cluster-create",
        Entitlement::WorkspaceConsume => "workspace-consume",
    }
}

fn entitlement_refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "only a workspace admin may change entitlements",
            "sign in as a workspace admin, or have one add this identity to the group admins",
        ),
        _ => error.into(),
    }
}

/// Grants the roles that are missing, waits until all are shown, and counts those granted.
fn give_roles(id: &ApplicationId, wanted: &[roles::RoleGrant]) -> Result<u32, StepError> {
    if wanted.is_empty() {
        return Ok(0);
    }
    let missing = lacking(wanted, &roles::list(id).map_err(role_refusal)?);
    if missing.is_empty() {
        progress::note("the roles were already there");
        return Ok(0);
    }
    for grant in &missing {
        progress::report(&format!("granting {} to {}", grant.role, grant.principal));
        roles::grant(id, &grant.role, &grant.principal).map_err(role_refusal)?;
    }
    until("the workspace shows the roles", LONG, || {
        let lacking = lacking(wanted, &roles::list(id)?);
        Ok(match lacking.first() {
            None => Attempt::Done(()),
            Some(grant) => {
                let message = format!("{} does not hold {} yet", grant.principal, grant.role);
                let operation = "databricks/roles.list";
                Attempt::not_visible(operation, message)
            }
        })
    })?;
    Ok(count(&missing))
}

fn lacking<'a>(
    wanted: &'a [roles::RoleGrant],
    held: &[roles::RoleGrant],
) -> Vec<&'a roles::RoleGrant> {
    let same = |a: &roles::RoleGrant, b: &roles::RoleGrant| {
        a.role == b.role && a.principal.eq_ignore_ascii_case(&b.principal)
    };
    let is_held = |grant: &roles::RoleGrant| held.iter().any(|other| same(grant, other));
    wanted.iter().filter(|grant| !is_held(grant)).collect()
}

fn role_refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity is not manager of the service principal: only the identity that added it to the workspace is, and account admins",
            "have a manager or an account admin give this identity servicePrincipal.manager",
        ),
        Error::Invalid(_) => error.because(
            "the workspace does not know the principal, or the group is one of the workspace and not of the account",
            "check the spelling; a role needs a user, service principal or group of the account",
        ),
        _ => error.into(),
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_granted() {
        let grant = |role: &str, principal: &str| roles::RoleGrant {
            role: role.to_owned(),
            principal: principal.to_owned(),
        };
        let wanted = [
            grant("user", "users/Ann@example.com"),
            grant("user", "groups/data"),
        ];
        let held = [
            grant("user", "users/ann@example.com"),
            grant("manager", "groups/data"),
        ];
        let missing = lacking(&wanted, &held);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].principal, "groups/data");
    }
}
