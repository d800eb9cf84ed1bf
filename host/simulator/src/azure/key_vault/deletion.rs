//! Deleted secrets: both deletion and recovery take their time (reference, section 4.2).

use serde_json::Value;

use super::{
    bundle,
    model::Vault,
    permission::{VaultRefusal, Verb},
    refusals::{being_recovered, deleted_not_found, not_found},
    secrets::{Answer, Request},
};
use crate::{Plane, State, World, wire::Reply};

impl Request<'_> {
    pub(super) fn delete(&self, state: &mut State, name: &str) -> Answer {
        self.check(state, Verb::Delete, Some(name))?;
        let (now, settled) = (
            self.world.now(),
            self.world.visible_at(Plane::KeyVaultObject),
        );
        let vault = self.vault_mut(state)?;
        let known = vault
            .secrets
            .iter_mut()
            .find(|secret| secret.name.eq_ignore_ascii_case(name));
        let secret = known
            .filter(|secret| secret.deleted.is_none())
            .ok_or_else(|| not_found(name))?;
        if !self.world.sees(secret.settled) {
            return Err(being_recovered(name));
        }
        secret.deleted = Some(now);
        secret.settled = settled;
        let vault = self.vault(state)?;
        deleted_bundle(vault, name, true).map(|bundle| Reply::json(200, &bundle))
    }

    pub(super) fn list_deleted(&self, state: &State) -> Answer {
        self.check(state, Verb::ListDeleted, None)?;
        let vault = self.vault(state)?;
        let deleted = vault
            .secrets
            .iter()
            .filter(|secret| secret.deleted.is_some());
        let settled = deleted.filter(|secret| self.world.sees(secret.settled));
        Ok(self.page(
            settled
                .filter_map(|secret| bundle::deleted(vault, secret, false))
                .collect(),
        ))
    }

    pub(super) fn get_deleted(&self, state: &State, name: &str) -> Answer {
        self.check(state, Verb::GetDeleted, Some(name))?;
        let vault = self.vault(state)?;
        settled(self.world, vault, name)?;
        deleted_bundle(vault, name, true).map(|bundle| Reply::json(200, &bundle))
    }

    pub(super) fn recover(&self, state: &mut State, name: &str) -> Answer {
        self.check(state, Verb::Recover, Some(name))?;
        settled(self.world, self.vault(state)?, name)?;
        let at = self.world.visible_at(Plane::KeyVaultObject);
        let vault = self.vault_mut(state)?;
        for secret in &mut vault.secrets {
            if secret.name.eq_ignore_ascii_case(name) {
                secret.deleted = None;
                secret.settled = at;
            }
        }
        let vault = self.vault(state)?;
        let secret = vault.secret(name).ok_or_else(|| not_found(name))?;
        let newest = secret.versions.last().ok_or_else(|| not_found(name))?;
        Ok(Reply::json(200, &bundle::version(vault, secret, newest)))
    }

    pub(super) fn purge(&self, state: &mut State, name: &str) -> Answer {
        self.check(state, Verb::Purge, Some(name))?;
        let vault = self.vault(state)?;
        settled(self.world, vault, name)?;
        if vault.purge_protection {
            return Err(VaultRefusal::new(403, "Forbidden", "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.".to_owned()).inner("ForbiddenByPolicy"));
        }
        let vault = self.vault_mut(state)?;
        vault
            .secrets
            .retain(|secret| !secret.name.eq_ignore_ascii_case(name));
        Ok(Reply::empty(204))
    }
}

/// Refuses while there is no deleted secret of this name, or its deletion is under way.
fn settled(world: &World, vault: &Vault, name: &str) -> Result<(), VaultRefusal> {
    vault
        .secrets
        .iter()
        .find(|secret| secret.deleted.is_some() && secret.name.eq_ignore_ascii_case(name))
        .filter(|secret| world.sees(secret.settled))
        .map(|_| ())
        .ok_or_else(|| deleted_not_found(name))
}

fn deleted_bundle(vault: &Vault, name: &str, with_version: bool) -> Result<Value, VaultRefusal> {
    vault
        .secrets
        .iter()
        .find(|secret| secret.deleted.is_some() && secret.name.eq_ignore_ascii_case(name))
        .and_then(|secret| bundle::deleted(vault, secret, with_version))
        .ok_or_else(|| deleted_not_found(name))
}
