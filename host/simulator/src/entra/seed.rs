//! The seeded directory.

use serde_json::{Map, json};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::{
    AppRole, AppRoleAssignment, Application, Arrival, CredentialPolicy, Password, ServicePrincipal,
    State, User,
};
use crate::{Hashed, Sealed, seed};

/// When everything seeded came to be.
const BEGINNING: OffsetDateTime = datetime!(2025-01-01 00:00 UTC);
const MICROSOFT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";
const GRAPH_PRINCIPAL: &str = "0b0b0b0b-0000-4000-8000-000000000002";

/// App roles that Graph offers: value and id (reference, section 0).
const GRAPH_ROLES: [(&str, &str); 6] = [
    (
        "Application.ReadWrite.OwnedBy",
        "18a4783c-866b-4cc7-a460-3d5e5662c884",
    ),
    (
        "Application.ReadWrite.All",
        "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    ),
    (
        "Application.Read.All",
        "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    ),
    (
        "AppRoleAssignment.ReadWrite.All",
        "06b708a9-e830-4db3-a914-8e69da51d44f",
    ),
    ("Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61"),
    ("User.Read.All", "df021288-bdef-4463-88db-98f22de89214"),
];

/// Microsoft's own service principals: name, client id, object id, resource names.
const FIRST_PARTY: [(&str, &str, &str, &[&str]); 5] = [
    (
        "AzureDatabricks",
        "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
        seed::DATABRICKS_PRINCIPAL,
        &[],
    ),
    (
        "Microsoft Graph",
        "00000003-0000-0000-c000-000000000000",
        GRAPH_PRINCIPAL,
        &["https://graph.microsoft.com"],
    ),
    (
        "Windows Azure Service Management API",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        "0b0b0b0b-0000-4000-8000-000000000003",
        &[
            "https://management.azure.com",
            "https://management.core.windows.net",
        ],
    ),
    (
        "Azure Key Vault",
        "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
        "0b0b0b0b-0000-4000-8000-000000000004",
        &["https://vault.azure.net"],
    ),
    (
        "Azure Storage",
        "e406a681-f3d4-42a8-90b6-c2b029497af1",
        "0b0b0b0b-0000-4000-8000-000000000005",
        &["https://storage.azure.com"],
    ),
];

pub(crate) fn first_state(signing_key: Sealed) -> State {
    let mut service_principals: Vec<_> = FIRST_PARTY
        .iter()
        .map(|(name, app_id, id, names)| {
            let mut sp = principal(id, app_id, name);
            sp.names.extend(names.iter().map(ToString::to_string));
            sp.properties
                .insert("appOwnerOrganizationId".to_owned(), json!(MICROSOFT));
            if *id == GRAPH_PRINCIPAL {
                sp.app_roles = GRAPH_ROLES
                    .iter()
                    .map(|(value, id)| AppRole {
                        id: (*id).to_owned(),
                        value: (*value).to_owned(),
                    })
                    .collect();
            }
            sp
        })
        .collect();
    service_principals.push(principal(
        seed::OPERATOR_PRINCIPAL,
        seed::OPERATOR_CLIENT,
        seed::OPERATOR_NAME,
    ));
    State {
        tenant_id: seed::TENANT.to_owned(),
        domain: seed::TENANT_DOMAIN.to_owned(),
        display_name: "Contoso".to_owned(),
        signing_key: Some(signing_key),
        token_lifetime: 3599,
        credential_policy: CredentialPolicy {
            id: "0d0d0d0d-0000-4000-8000-000000000001".to_owned(),
            longest_days: None,
            passwords_banned: false,
        },
        applications: vec![operator()],
        service_principals,
        users: [seed::ANA, seed::BOB]
            .map(|(id, upn, name)| User {
                id: id.to_owned(),
                upn: upn.to_owned(),
                display_name: name.to_owned(),
            })
            .to_vec(),
        app_role_assignments: [GRAPH_ROLES[0], GRAPH_ROLES[5]]
            .iter()
            .enumerate()
            .map(|(index, (_, role))| AppRoleAssignment {
                id: format!("operator-grant-{index}"),
                app_role_id: (*role).to_owned(),
                principal_id: seed::OPERATOR_PRINCIPAL.to_owned(),
                resource_id: GRAPH_PRINCIPAL.to_owned(),
                created: BEGINNING,
            })
            .collect(),
        issuers: Vec::new(),
    }
}

fn principal(id: &str, app_id: &str, name: &str) -> ServicePrincipal {
    ServicePrincipal {
        id: id.to_owned(),
        app_id: app_id.to_owned(),
        display_name: name.to_owned(),
        enabled: true,
        names: vec![app_id.to_owned()],
        app_roles: Vec::new(),
        owners: Vec::new(),
        passwords: Vec::new(),
        properties: Map::new(),
        created: BEGINNING,
        arrival: Arrival::long_ago(),
        deleted: None,
    }
}

fn operator() -> Application {
    Application {
        id: seed::OPERATOR_APPLICATION.to_owned(),
        app_id: seed::OPERATOR_CLIENT.to_owned(),
        display_name: seed::OPERATOR_NAME.to_owned(),
        unique_name: None,
        sign_in_audience: "AzureADMyOrg".to_owned(),
        identifier_uris: Vec::new(),
        disabled: false,
        owners: vec![seed::ANA.0.to_owned()],
        passwords: Vec::new(),
        keys: Vec::new(),
        federated: Vec::new(),
        properties: Map::new(),
        created: BEGINNING,
        arrival: Arrival::long_ago(),
        busy_until: BEGINNING,
        deleted: None,
    }
}

/// Makes this the operator's only client secret.
pub(crate) fn set_operator_secret(state: &mut State, secret: &str) {
    let operator = state
        .applications
        .iter_mut()
        .find(|app| app.app_id == seed::OPERATOR_CLIENT);
    if let Some(operator) = operator {
        operator.passwords = vec![Password {
            key_id: "0e0e0e0e-0000-4000-8000-000000000001".to_owned(),
            display_name: Some("bootstrap".to_owned()),
            hint: String::new(),
            secret: Hashed::of(secret),
            start: BEGINNING,
            end: BEGINNING + Duration::weeks(52 * 100),
            read_from: BEGINNING,
            sts_from: BEGINNING,
        }];
    }
}
