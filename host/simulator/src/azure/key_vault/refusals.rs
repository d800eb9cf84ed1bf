//! How a vault refuses what is asked of its secrets (reference, section 4.3).

use super::permission::VaultRefusal;

pub(super) fn bad(message: String) -> VaultRefusal {
    VaultRefusal::new(400, "BadParameter", message)
}

pub(super) fn not_found(name: &str) -> VaultRefusal {
    VaultRefusal::new(
        404,
        "SecretNotFound",
        format!(
            "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        ),
    )
}

pub(super) fn deleted_not_found(name: &str) -> VaultRefusal {
    let message = format!("Deleted Secret not found: {name}");
    VaultRefusal::new(404, "SecretNotFound", message)
}

pub(super) fn conflict(inner: &'static str, message: String) -> VaultRefusal {
    VaultRefusal::new(409, "Conflict", message).inner(inner)
}

pub(super) fn being_deleted(name: &str) -> VaultRefusal {
    conflict(
        "ObjectIsBeingDeleted",
        format!("Secret {name} is currently being deleted and cannot be re-created; retry later."),
    )
}

pub(super) fn being_recovered(name: &str) -> VaultRefusal {
    conflict(
        "ObjectIsBeingRecovered",
        format!(
            "Secret {name} is currently being recovered and cannot be re-created; retry later."
        ),
    )
}

pub(super) fn gone() -> VaultRefusal {
    VaultRefusal::new(404, "VaultNotFound", "The vault was deleted.".to_owned())
}

pub(super) fn unsealed() -> VaultRefusal {
    let message = "The value cannot be encrypted or decrypted.".to_owned();
    VaultRefusal::new(500, "InternalServerError", message)
}

/// A refusal that has no cause in the request.
pub(super) fn failing(status: u16) -> VaultRefusal {
    let (code, message) = crate::refusal::plain(status);
    let code = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "SecretNotFound",
        409 => "Conflict",
        429 => "Throttled",
        400..=499 => "BadParameter",
        _ => code,
    };
    VaultRefusal::new(status, code, message.to_owned())
}
