//! Every operation against the simulator: what a write says it leaves is what is there, its
//! inverse leads back, and a plan answers as the service would.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are not in test functions, where clippy allows these"
)]

#[path = "operations/adoption.rs"]
mod adoption;
#[path = "operations/azure.rs"]
mod azure;
mod common;
#[path = "operations/databricks.rs"]
mod databricks;
#[path = "operations/entra.rs"]
mod entra;
#[path = "operations/refused.rs"]
mod refused;

use common::Clouds;
use lockkeeper_gate::operations;
use serde_json::Value;

const OPERATOR: &str = "servicePrincipals/0a0a0a0a-0000-4000-8000-000000000002";
const VAULT: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-data/providers/Microsoft.KeyVault/vaults";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_keeps_its_word() {
    let clouds = Clouds::start().await;
    let (application_id, principal) = entra::applications(&clouds).await;
    azure::vaults(&clouds, &principal).await;
    let workspace_principal = databricks::principals(&clouds, &application_id).await;
    databricks::roles(&clouds, &application_id).await;
    databricks::entitlements(&clouds, &workspace_principal).await;
    databricks::scopes(&clouds).await;
    databricks::secrets(&clouds).await;
    databricks::acls(&clouds, &application_id).await;
    databricks::workspace(&clouds).await;
    databricks::permissions(&clouds, &application_id).await;
    databricks::clusters(&clouds).await;
    databricks::jobs(&clouds, &application_id).await;
    adoption::applications(&clouds).await;
    adoption::jobs(&clouds, &application_id).await;

    let all: Vec<_> = operations::ALL
        .iter()
        .map(|definition| definition.name())
        .collect();
    let untried: Vec<_> = all.into_iter().filter(|name| !clouds.tried(name)).collect();
    assert_eq!(untried, Vec::<&str>::new(), "not tried");
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}
