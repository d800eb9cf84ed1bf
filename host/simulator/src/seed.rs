//! What a new simulator contains: the tutorial's starting point.

use crate::{SealKey, StartError, State, azure, databricks, entra};

pub(crate) const TENANT: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const TENANT_DOMAIN: &str = "contoso.onmicrosoft.com";
pub(crate) const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const RESOURCE_GROUP: &str = "rg-data";
pub(crate) const LOCATION: &str = "eastus";
pub(crate) const FIRST_VAULT: &str = "kv-demo";
pub(crate) const POLICY_VAULT: &str = "kv-policy";
pub(crate) const STORAGE_ACCOUNT: &str = "stdemo";
pub(crate) const WORKSPACE: &str = "dbw-demo";
pub(crate) const WORKSPACE_HOST: &str = "adb-4242424242424242.2.azuredatabricks.net";
pub(crate) const WORKSPACE_ID: &str = "4242424242424242";
const ACCOUNT: &str = "aaaaaaaa-0000-4000-8000-00000000acc0";

pub(crate) const OPERATOR_NAME: &str = "lockkeeper-operator";
pub(crate) const OPERATOR_APPLICATION: &str = "0a0a0a0a-0000-4000-8000-000000000001";
pub(crate) const OPERATOR_CLIENT: &str = "0a0a0a0a-0000-4000-8000-000000000002";
pub(crate) const OPERATOR_PRINCIPAL: &str = "0a0a0a0a-0000-4000-8000-000000000003";
pub(crate) const DATABRICKS_PRINCIPAL: &str = "0b0b0b0b-0000-4000-8000-000000000001";
pub(crate) const ANA: (&str, &str, &str) = (
    "0c0c0c0c-0000-4000-8000-000000000001",
    "ana@contoso.com",
    "Ana",
);
pub(crate) const BOB: (&str, &str, &str) = (
    "0c0c0c0c-0000-4000-8000-000000000002",
    "bob@contoso.com",
    "Bob",
);

/// The operator's application: three identifiers of one principal, and its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The tenant's id.
    pub tenant_id: String,
    /// The client id (Graph `appId`).
    pub client_id: String,
    /// The application object's id.
    pub application_id: String,
    /// The service principal's object id.
    pub principal_id: String,
    /// The workspace's address, as Azure names it.
    pub workspace_url: String,
    /// The Databricks account.
    pub account_id: String,
}

impl Operator {
    /// The identifiers that every simulator is seeded with.
    pub fn seeded() -> Self {
        Self {
            tenant_id: TENANT.to_owned(),
            client_id: OPERATOR_CLIENT.to_owned(),
            application_id: OPERATOR_APPLICATION.to_owned(),
            principal_id: OPERATOR_PRINCIPAL.to_owned(),
            workspace_url: format!("https://{WORKSPACE_HOST}"),
            account_id: ACCOUNT.to_owned(),
        }
    }
}

/// The identifiers of the seeded directory and workspace, for the Databricks seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedIds {
    /// The Entra tenant.
    pub tenant_id: String,
    /// The Databricks account.
    pub account_id: String,
    /// The workspace's number.
    pub workspace_id: String,
    /// The workspace's host name, without a scheme.
    pub workspace_host: String,
    /// The workspace's Azure resource id.
    pub workspace_resource_id: String,
    /// The client id of the operator's application, a workspace admin.
    pub operator_client_id: String,
    /// The object id of the operator's service principal.
    pub operator_object_id: String,
    /// The display name of the operator's application.
    pub operator_display_name: String,
    /// Object id, user principal name and display name of the seeded users; the first is a
    /// workspace and account admin.
    pub users: Vec<(String, String, String)>,
}

impl SeedIds {
    fn seeded() -> Self {
        Self {
            tenant_id: TENANT.to_owned(),
            account_id: ACCOUNT.to_owned(),
            workspace_id: WORKSPACE_ID.to_owned(),
            workspace_host: WORKSPACE_HOST.to_owned(),
            workspace_resource_id: resource_id("Microsoft.Databricks/workspaces", WORKSPACE),
            operator_client_id: OPERATOR_CLIENT.to_owned(),
            operator_object_id: OPERATOR_PRINCIPAL.to_owned(),
            operator_display_name: OPERATOR_NAME.to_owned(),
            users: [ANA, BOB]
                .map(|(oid, upn, name)| (oid.to_owned(), upn.to_owned(), name.to_owned()))
                .to_vec(),
        }
    }
}

/// The resource id of a seeded resource in the seeded group.
pub(crate) fn resource_id(kind: &str, name: &str) -> String {
    format!("{}/providers/{kind}/{name}", resource_group_id())
}

pub(crate) fn resource_group_id() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}")
}

/// The state of a simulator that never ran.
pub(crate) fn first_state(key: &SealKey) -> Result<State, StartError> {
    let mut state = State::default();
    let signing = entra::signer::generate()?;
    let sealed = key.seal(&signing).map_err(|_| StartError::Key {
        what: "sealed signing key",
        reason: "the system's source of randomness failed".to_owned(),
    })?;
    state.entra = entra::seed::first_state(sealed);
    state.azure = azure::seed::first_state();
    databricks::seed(&mut state.databricks, SeedIds::seeded());
    Ok(state)
}

/// Makes this the operator's only client secret, valid for a century.
pub(crate) fn set_operator_secret(state: &mut State, secret: &str) {
    entra::seed::set_operator_secret(&mut state.entra, secret);
}
