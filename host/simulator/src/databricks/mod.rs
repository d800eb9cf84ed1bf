//! Databricks: the account and the workspace.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{SeedIds, World};

/// The state of the Databricks account and workspace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {}

/// The Databricks routes.
pub fn router(_world: Arc<World>) -> axum::Router {
    axum::Router::new()
}

/// Fills a new state.
pub fn seed(_state: &mut State, _ids: SeedIds) {}
