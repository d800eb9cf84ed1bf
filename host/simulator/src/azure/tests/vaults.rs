use serde_json::{Value, json};

use super::{SECRETS_USER, assignment, vault};
use crate::{
    Profile,
    azure::key_vault,
    seed::{self, DATABRICKS_PRINCIPAL},
    testing::{Cloud, VAULT, text},
};

fn body(rbac: bool) -> Value {
    json!({"location": "eastus", "properties": {
        "tenantId": seed::TENANT,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": rbac,
        "accessPolicies": [],
    }})
}

#[tokio::test]
async fn a_vault_is_made_deleted_and_recovered() {
    let cloud = Cloud::with(Profile::Typical).await;
    let path = vault("kv-new");
    cloud
        .arm("GET", &path, None)
        .await
        .refused(404, "ResourceNotFound");
    let made = cloud.arm("PUT", &path, Some(body(true))).await.ok(200);
    assert_eq!(made["properties"]["provisioningState"], "RegisteringDns");
    let state = |got: Value| text(&got["properties"]["provisioningState"]);
    assert_eq!(
        state(cloud.arm("GET", &path, None).await.ok(200)),
        "RegisteringDns"
    );
    // Its name does not resolve yet: no reply at all.
    let token = cloud.token("https://vault.azure.net").await;
    let request = cloud
        .client
        .get(cloud.url("/secrets?api-version=7.4"))
        .header("host", "kv-new.vault.azure.net")
        .bearer_auth(&token);
    assert!(request.send().await.is_err());
    cloud.pass(21);
    assert_eq!(
        state(cloud.arm("GET", &path, None).await.ok(200)),
        "Succeeded"
    );

    let sent = json!({"properties": {
        "roleDefinitionId": SECRETS_USER,
        "principalId": DATABRICKS_PRINCIPAL,
        "principalType": "ServicePrincipal",
    }});
    cloud
        .arm("PUT", &assignment(&path, 1), Some(sent))
        .await
        .ok(201);
    cloud.arm("DELETE", &path, None).await.ok(200);
    cloud.arm("DELETE", &path, None).await.ok(204);
    cloud
        .arm("PUT", &path, Some(body(true)))
        .await
        .refused(409, "ConflictError"); // R31
    let mut recover = body(true);
    recover["properties"]["createMode"] = json!("recover");
    cloud.arm("PUT", &path, Some(recover)).await.ok(200);
    // Role assignments do not come back.
    cloud
        .arm("GET", &assignment(&path, 1), None)
        .await
        .refused(404, "RoleAssignmentNotFound");
}

#[tokio::test]
async fn r31_r32_names_and_permissions() {
    let cloud = Cloud::start().await;
    cloud.world().write(|state| {
        let mut other = state.azure.vaults[0].clone();
        "kv-taken".clone_into(&mut other.name);
        other.id =
            "/subscriptions/other/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-taken"
                .to_owned();
        state.azure.vaults.push(other);
    });
    cloud
        .arm("PUT", &vault("kv-taken"), Some(body(true)))
        .await
        .refused(409, "VaultAlreadyExists");
    cloud
        .arm("PUT", &vault("kv--bad"), Some(body(true)))
        .await
        .refused(400, "VaultNameNotValid");
    let check = format!(
        "/subscriptions/{}/providers/Microsoft.KeyVault/checkNameAvailability",
        seed::SUBSCRIPTION
    );
    for (name, free) in [("kv-taken", false), ("kv-free", true), ("kv-demo", false)] {
        let sent = json!({"name": name, "type": "Microsoft.KeyVault/vaults"});
        let got = cloud.arm("POST", &check, Some(sent)).await.ok(200);
        assert_eq!(got["nameAvailable"], json!(free), "{name}");
    }
    let [app_id, _, _, secret] = cloud.register("weak").await;
    let weak = cloud
        .token_of(&app_id, &secret, "https://management.azure.com")
        .await;
    let got = cloud
        .arm_as(&weak, "PUT", &vault("kv-new"), Some(body(true)))
        .await;
    let message = got.refused(403, "AuthorizationFailed");
    assert!(
        message.contains("'Microsoft.KeyVault/vaults/write'"),
        "{message}"
    );
    let group = format!(
        "/subscriptions/{}/resourceGroups/rg-none",
        seed::SUBSCRIPTION
    );
    let path = format!("{group}/providers/Microsoft.KeyVault/vaults/kv-new");
    cloud
        .arm("PUT", &path, Some(body(true)))
        .await
        .refused(404, "ResourceGroupNotFound");
}

/// Whether roles decide depends on the api-version unless it is said.
#[tokio::test]
async fn roles_decide_by_default_since_2026() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://management.azure.com").await;
    let silent = json!({"location": "eastus", "properties": {"accessPolicies": []}});
    let put = |name: &str, version: &str| {
        let path = format!("{}?api-version={version}", vault(name));
        let (cloud, token, silent) = (&cloud, &token, silent.clone());
        async move {
            let host = crate::testing::ARM;
            let got = cloud
                .send("PUT", host, &path, Some(token), Some(silent), &[])
                .await;
            got.ok(200)["properties"]["enableRbacAuthorization"].clone()
        }
    };
    assert_eq!(put("kv-new", "2026-02-01").await, json!(true));
    assert_eq!(put("kv-old", "2024-11-01").await, json!(null));
    let bare = json!({"location": "eastus", "properties": {"enableRbacAuthorization": false}});
    cloud
        .arm("PUT", &vault("kv-bare"), Some(bare))
        .await
        .refused(400, "BadRequest");
}

#[tokio::test]
async fn access_policies_are_added_and_lost() {
    let cloud = Cloud::start().await;
    let path = vault("kv-policy");
    let policy = |verbs: Value| {
        Some(json!({"properties": {"accessPolicies": [{
            "tenantId": seed::TENANT, "objectId": seed::BOB.0,
            "permissions": {"secrets": verbs},
        }]}}))
    };
    let add = format!("{path}/accessPolicies/add");
    cloud.arm("PUT", &add, policy(json!(["get"]))).await.ok(200);
    let got = cloud
        .arm("PUT", &add, policy(json!(["list"])))
        .await
        .ok(200);
    let policies = got["properties"]["accessPolicies"].as_array().unwrap();
    assert_eq!(
        policies[1]["permissions"]["secrets"],
        json!(["get", "list"])
    );
    let remove = format!("{path}/accessPolicies/remove");
    cloud.arm("PUT", &remove, policy(json!([]))).await.ok(200);
    let tags = json!({"tags": {"a": "b"}});
    let patched = cloud.arm("PATCH", &path, Some(tags)).await.ok(200);
    assert_eq!(
        patched["properties"]["accessPolicies"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // A PUT that leaves them out empties them.
    let silent = json!({"location": "eastus", "properties": {"enableRbacAuthorization": false}});
    let emptied = cloud.arm("PUT", &path, Some(silent)).await.ok(200);
    assert_eq!(emptied["properties"]["accessPolicies"], json!([]));

    cloud.world().write(|state| {
        key_vault::grant_access_policy(state, &path, DATABRICKS_PRINCIPAL);
        key_vault::grant_access_policy(state, &path, DATABRICKS_PRINCIPAL);
        assert_eq!(
            key_vault::vault_by(state, &path)
                .unwrap()
                .access_policies
                .len(),
            1
        );
    });
}

#[tokio::test]
async fn deleted_vaults_are_purged() {
    let cloud = Cloud::start().await;
    let path = vault("kv-demo");
    cloud.arm("DELETE", &path, None).await.ok(200);
    let deleted = format!(
        "/subscriptions/{}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-demo",
        seed::SUBSCRIPTION
    );
    let kept = cloud.arm("GET", &deleted, None).await.ok(200);
    assert_eq!(kept["properties"]["vaultId"], json!(path));
    let got = cloud.arm("POST", &format!("{deleted}/purge"), None).await;
    assert!(got.header("location").contains("operationResults"));
    got.ok(202);
    cloud
        .arm("GET", &path, None)
        .await
        .refused(404, "ResourceNotFound");
    cloud.arm("PUT", &path, Some(body(true))).await.ok(200);
    cloud.arm("DELETE", &path, None).await.ok(200);
    cloud.world().write(|state| {
        for vault in &mut state.azure.vaults {
            vault.purge_protection = true;
        }
    });
    cloud
        .arm("POST", &format!("{deleted}/purge"), None)
        .await
        .refused(405, "MethodNotAllowed");
}

#[tokio::test]
async fn the_data_plane_takes_well_formed_versions() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://vault.azure.net").await;
    for (version, status) in [
        ("2026-04-01", 200),
        ("2025-06-01-preview", 200),
        ("7.1", 200),
        ("7.x", 400),
        ("latest", 400),
        ("", 400),
    ] {
        let path = format!("/secrets?api-version={version}");
        let got = cloud
            .send("GET", VAULT, &path, Some(&token), None, &[])
            .await;
        assert_eq!(got.status, status, "{version}: {}", got.body);
    }
}
