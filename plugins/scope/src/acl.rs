//! Who may use a scope.

use lockkeeper_guest::types::{Error, StepError};
use lockkeeper_guest::{Attempt, LONG, progress, until};

use crate::bindings::AclEntry;
use crate::bindings::lockkeeper::databricks::secret_acls::{self, Permission};

/// Makes sure that a principal has a permission. A principal that this run has just brought into the
/// workspace may not be known yet, which the gate waits for, or be accepted without effect: so it is
/// read back, and written again. One that the run did not bring is refused for good.
pub(crate) fn allow(scope: &str, entry: &AclEntry) -> Result<(), StepError> {
    let AclEntry {
        principal,
        permission,
    } = entry;
    let holds = || -> Result<bool, Error> {
        let held = secret_acls::find(scope, principal)?;
        Ok(held.is_some_and(|held| strength(held) >= strength(*permission)))
    };
    if holds()? {
        progress::note(&format!(
            "{principal} already had its permission on scope {scope}"
        ));
        return Ok(());
    }
    progress::report(&format!(
        "giving {principal} its permission on scope {scope}"
    ));
    until("the scope shows the permission", LONG, || {
        match secret_acls::put(scope, principal, *permission) {
            Ok(()) => {}
            Err(error @ Error::NotYetVisible(_)) => return Ok(Attempt::Again(error)),
            Err(error) => return Err(refusal(error)),
        }
        if holds()? {
            return Ok(Attempt::Done(()));
        }
        let message =
            format!("the workspace accepted the permission of {principal} and does not show it");
        let operation = "databricks/secret-acls.find";
        Ok(Attempt::not_visible(operation, message))
    })
}

fn strength(permission: Permission) -> u8 {
    match permission {
        Permission::Read => 1,
        Permission::Write => 2,
        Permission::Manage => 3,
    }
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity does not manage the scope: its creator does",
            "have the creator or a workspace admin give this identity MANAGE on the scope",
        ),
        Error::NotFound(_) | Error::Invalid(_) => error.because(
            "the workspace does not know the principal: it takes an application id, never a display name or an object id",
            "check the principal in the acl of the scope step; if it came into the workspace a moment ago, resume the run",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permission_includes_the_one_before() {
        assert!(strength(Permission::Manage) > strength(Permission::Write));
        assert!(strength(Permission::Write) > strength(Permission::Read));
    }
}
