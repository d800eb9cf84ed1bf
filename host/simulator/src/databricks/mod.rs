//! Databricks: one account and one workspace of it, with their real rules
//! (reference/databricks.md; section 17 lists the refusals).

mod assignments;
mod caller;
mod clusters;
mod directory;
mod errors;
mod failing;
mod federation;
mod form_data;
mod groups;
mod job_settings;
mod jobs;
mod key_vault_scopes;
mod notebook;
mod notebook_source;
mod oidc;
mod permissions;
mod principals;
mod python;
mod request;
mod routes;
mod rule_sets;
mod run_as;
mod run_cancel;
mod run_schedule;
mod run_start;
mod run_states;
mod run_views;
mod runs;
mod scim;
mod secret_acls;
mod secrets;
mod seed;
mod settings;
mod sp_secrets;
mod sql_engine;
mod storage_access;
mod tokens;
mod warehouses;
mod web;
mod workspace_objects;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::failing::{failing, headed};
pub use self::routes::router;
pub use self::seed::seed;

/// Everything the account and the workspace remember. Secrets are sealed, tokens hashed.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub struct State {
    account_id: String,
    workspace: Workspace,
    directory: directory::Directory,
    /// Policies of the whole account.
    federation_policies: Vec<federation::Policy>,
    /// Databricks OAuth tokens by their SHA-256.
    oauth_tokens: BTreeMap<String, oidc::OAuthToken>,
    /// Personal access tokens by token id.
    pats: BTreeMap<String, tokens::Pat>,
    /// Whether there ever was a personal access token; before, the ACL of tokens does not exist.
    had_token: bool,
    settings: settings::Settings,
    /// Access-control lists by object, as in `jobs/123`.
    acls: BTreeMap<String, Vec<permissions::Entry>>,
    scopes: BTreeMap<String, secrets::Scope>,
    /// Workspace objects by path.
    objects: BTreeMap<String, workspace_objects::Item>,
    jobs: BTreeMap<i64, jobs::Job>,
    runs: BTreeMap<i64, run_states::Run>,
    clusters: BTreeMap<String, clusters::Cluster>,
    policies: BTreeMap<String, clusters::Policy>,
    warehouses: BTreeMap<String, warehouses::Warehouse>,
    statements: BTreeMap<String, warehouses::Statement>,
}

/// The workspace's names.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
struct Workspace {
    id: u64,
    host: String,
    resource_id: String,
    tenant_id: String,
}

impl State {
    /// Refuses paths that name another account.
    fn require_account(&self, account: &str) -> Result<(), errors::Refusal> {
        if account == self.account_id {
            Ok(())
        } else {
            Err(errors::Refusal::missing(format!(
                "Account {account} does not exist."
            )))
        }
    }

    /// Whether personal access tokens are off for the whole workspace.
    fn tokens_disabled(&self) -> bool {
        self.settings.conf(settings::ENABLE_TOKENS) == Some("false")
    }

    /// The longest life of a new token that the workspace allows, in days.
    fn longest_token_days(&self) -> Option<i64> {
        let days = self.settings.conf(settings::TOKEN_DAYS)?.parse().ok()?;
        (days > 0).then_some(days)
    }

    /// Deletes all tokens of a principal that has left or been deactivated.
    fn revoke_credentials(&mut self, id: u64) {
        self.pats.retain(|_, pat| pat.owner != id);
        self.oauth_tokens.retain(|_, token| token.principal != id);
    }
}
