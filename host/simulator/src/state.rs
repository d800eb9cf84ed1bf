//! Everything the simulated cloud remembers.

use serde::{Deserialize, Serialize};

use crate::{azure, databricks, entra};

/// The state of all simulated services; secret values in it are sealed or hashed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Microsoft Entra: the directory and the token service.
    pub entra: entra::State,
    /// Azure: resources, role assignments, vaults.
    pub azure: azure::State,
    /// Databricks: the account and the workspace.
    pub databricks: databricks::State,
}
