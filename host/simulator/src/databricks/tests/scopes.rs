//! 17.4: secret scopes.

use super::*;

const CREATE: &str = "/api/2.0/secrets/scopes/create";

fn vault_scope(name: &str, vault: &str) -> Value {
    json!({
        "scope": name,
        "scope_backend_type": "AZURE_KEYVAULT",
        "backend_azure_keyvault": {
            "resource_id": seed::resource_id("Microsoft.KeyVault/vaults", vault),
            "dns_name": format!("https://{vault}.vault.azure.net/"),
        },
    })
}

/// A PAT of the operator.
async fn pat(site: &Site) -> String {
    text(
        &site
            .op("POST", "/api/2.0/token/create", json!({}))
            .await
            .ok(200)["token_value"],
    )
}

async fn fill(site: &Site, vault: &str, name: &str, value: &str) {
    let token = site.cloud.token("https://vault.azure.net").await;
    let host = format!("{vault}.vault.azure.net");
    let body = json!({ "value": value });
    site.cloud
        .vault(
            &token,
            "PUT",
            &host,
            &format!("/secrets/{name}"),
            Some(body),
        )
        .await
        .ok(200);
}

#[tokio::test]
async fn row_4a_needs_an_entra_token() {
    let site = Site::start().await;
    let pat = pat(&site).await;
    let got = site
        .post(&pat, CREATE, vault_scope("kv", "kv-policy"))
        .await;
    let text = "Scope with Azure KeyVault must have userAADToken defined!";
    refused(&got, 400, "INVALID_PARAMETER_VALUE", text);
    site.post(&pat, CREATE, json!({ "scope": "own" }))
        .await
        .ok(200);
}

#[tokio::test]
async fn rows_4b_and_4c_the_callers_right_and_the_vault() {
    let site = Site::start().await;
    let got = site
        .post(&site.person(BOB), CREATE, vault_scope("kv", "kv-policy"))
        .await;
    let text = "Unable to grant read/list permission to Databricks service principal to KeyVault 'https://kv-policy.vault.azure.net/': Status code 403,";
    assert!([400, 403].contains(&got.status));
    assert!(
        got.body["message"].as_str().unwrap().contains(text),
        "{}",
        got.body
    );
    let absent = site
        .op("POST", CREATE, vault_scope("kv", "kv-absent"))
        .await;
    assert!(
        absent.body["message"]
            .as_str()
            .unwrap()
            .contains("Azure KeyVault is not available")
    );
}

#[tokio::test]
async fn a_policy_vault_is_opened_by_creation() {
    let site = Site::start().await;
    fill(&site, "kv-policy", "key", "not-a-real-secret-1").await;
    site.op("POST", CREATE, vault_scope("kv", "kv-policy"))
        .await
        .ok(200);
    let list = site
        .op("GET", "/api/2.0/secrets/list?scope=kv", Value::Null)
        .await
        .ok(200);
    assert_eq!(list["secrets"][0]["key"], "key");
    let got = site
        .op("GET", "/api/2.0/secrets/get?scope=kv&key=key", Value::Null)
        .await
        .ok(200);
    assert_eq!(
        BASE64_STANDARD.decode(text(&got["value"])).unwrap(),
        b"not-a-real-secret-1"
    );
    let missing = site
        .op(
            "GET",
            "/api/2.0/secrets/get?scope=kv&key=other",
            Value::Null,
        )
        .await;
    let text = "Secret does not exist with scope: kv and key: other";
    refused(&missing, 404, "RESOURCE_DOES_NOT_EXIST", text);
    let body = json!({"scope": "kv", "key": "new", "string_value": "x"});
    let put = site.op("POST", "/api/2.0/secrets/put", body).await;
    refused(&put, 400, "BAD_REQUEST", "kv");
}

#[tokio::test]
async fn row_4l_a_role_vault_has_to_be_opened() {
    let site = Site::start().await;
    fill(&site, "kv-demo", "key", "not-a-real-secret-2").await;
    site.op("POST", CREATE, vault_scope("kv", "kv-demo"))
        .await
        .ok(200);
    let closed = site
        .op("GET", "/api/2.0/secrets/list?scope=kv", Value::Null)
        .await;
    let text = "Invalid permissions on the specified KeyVault https://kv-demo.vault.azure.net/";
    refused(&closed, 403, "PERMISSION_DENIED", text);
    let caller = "Caller: name=AzureDatabricks;appid=2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
    refused(&closed, 403, "PERMISSION_DENIED", caller);
    let vault = seed::resource_id("Microsoft.KeyVault/vaults", "kv-demo");
    let path = format!(
        "{vault}/providers/Microsoft.Authorization/roleAssignments/12345678-0000-4000-8000-000000000002"
    );
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6",
        seed::SUBSCRIPTION
    );
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": seed::DATABRICKS_PRINCIPAL, "principalType": "ServicePrincipal"}});
    site.cloud.arm("PUT", &path, Some(body)).await.ok(201);
    site.op("GET", "/api/2.0/secrets/get?scope=kv&key=key", Value::Null)
        .await
        .ok(200);
}

#[tokio::test]
async fn rows_4d_4f_4g_4h_scopes_and_rights() {
    let site = Site::start().await;
    site.scope("own", "Key.1", "one").await;
    let again = site.op("POST", CREATE, json!({ "scope": "own" })).await;
    refused(
        &again,
        400,
        "RESOURCE_ALREADY_EXISTS",
        "Scope own already exists",
    );
    let absent = site
        .op("GET", "/api/2.0/secrets/list?scope=none", Value::Null)
        .await;
    refused(
        &absent,
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Scope none does not exist",
    );
    let absent = site
        .op(
            "GET",
            "/api/2.0/secrets/get?scope=own&key=none",
            Value::Null,
        )
        .await;
    let text = "Secret does not exist with scope: own and key: none";
    refused(&absent, 404, "RESOURCE_DOES_NOT_EXIST", text);
    // Overwriting is no error, and keys do not mind their case.
    let body = json!({"scope": "own", "key": "KEY.1", "string_value": "two"});
    site.op("POST", "/api/2.0/secrets/put", body).await.ok(200);
    let got = site
        .op(
            "GET",
            "/api/2.0/secrets/get?scope=own&key=key.1",
            Value::Null,
        )
        .await
        .ok(200);
    assert_eq!(got["value"], BASE64_STANDARD.encode("two"));
    let neither = json!({"scope": "own", "key": "k"});
    let got = site.op("POST", "/api/2.0/secrets/put", neither).await;
    refused(&got, 400, "MALFORMED_REQUEST", "string_value");
    let bad = site
        .op("POST", CREATE, json!({ "scope": "no spaces" }))
        .await;
    refused(&bad, 400, "INVALID_PARAMETER_VALUE", "no spaces");

    let bob = site.person(BOB);
    let body = json!({"scope": "own", "principal": BOB, "permission": "READ"});
    let denied = site.post(&bob, "/api/2.0/secrets/acls/put", body).await;
    let text = format!("User {BOB} does not have MANAGE permission on scope own");
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    let denied = site
        .get(&bob, "/api/2.0/secrets/get?scope=own&key=key.1")
        .await;
    let text = format!("User {BOB} does not have READ permission on scope own");
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    for permission in ["READ", "READ", "WRITE"] {
        site.put_acl("own", BOB, permission).await.ok(200);
    }
    site.get(&bob, "/api/2.0/secrets/get?scope=own&key=key.1")
        .await
        .ok(200);
    let acls = site
        .op("GET", "/api/2.0/secrets/acls/list?scope=own", Value::Null)
        .await
        .ok(200);
    assert!(
        acls["items"]
            .as_array()
            .unwrap()
            .contains(&json!({"principal": BOB, "permission": "WRITE"}))
    );
    let body = json!({"scope": "own", "principal": BOB});
    site.op("POST", "/api/2.0/secrets/acls/delete", body.clone())
        .await
        .ok(200);
    let again = site.op("POST", "/api/2.0/secrets/acls/delete", body).await;
    refused(&again, 404, "RESOURCE_DOES_NOT_EXIST", BOB);
}

#[tokio::test]
async fn rows_2i_and_4k_only_the_application_id_names_a_principal() {
    let site = Site::start().await;
    let sp = site.sp("reader").await;
    site.scope("own", "k", "v").await;
    for name in ["reader", sp.oid.as_str(), UNKNOWN] {
        let got = site.put_acl("own", name, "READ").await;
        assert!([400, 404].contains(&got.status), "{}", got.body);
    }
    site.put_acl("own", &sp.app_id, "READ").await.ok(200);
    site.get(&sp.token, "/api/2.0/secrets/get?scope=own&key=k")
        .await
        .ok(200);
}

#[tokio::test]
async fn secret_values_are_not_in_the_state_file() {
    let site = Site::start().await;
    site.scope("own", "k", "not-a-real-secret-3").await;
    let pat = pat(&site).await;
    let file = std::fs::read_to_string(site.cloud.folder.path().join("state.json")).unwrap();
    assert!(!file.contains("not-a-real-secret-3"));
    assert!(!file.contains(&BASE64_STANDARD.encode("not-a-real-secret-3")));
    assert!(!file.contains(&pat));
}

#[tokio::test]
async fn a_key_that_no_vault_can_have_is_an_invalid_parameter() {
    let site = Site::start().await;
    site.op("POST", CREATE, vault_scope("kv", "kv-policy"))
        .await
        .ok(200);
    let path = "/api/2.0/secrets/get?scope=kv&key=no_such.name";
    let got = site.op("GET", path, Value::Null).await;
    refused(
        &got,
        400,
        "INVALID_PARAMETER_VALUE",
        "invalid name: no_such.name",
    );
}
