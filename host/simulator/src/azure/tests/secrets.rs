use serde_json::{Value, json};

use super::{SECRETS_USER, assignment, vault};
use crate::{
    Profile,
    azure::key_vault::{self, Reader},
    seed::{self, DATABRICKS_PRINCIPAL, TENANT},
    testing::{Cloud, Got, VAULT, text},
};

const POLICY: &str = "kv-policy.vault.azure.net";
const VALUE: &str = "not-a-real-secret";

async fn call(cloud: &Cloud, method: &str, path: &str, body: Option<Value>) -> Got {
    let token = cloud.token("https://vault.azure.net").await;
    cloud.vault(&token, method, VAULT, path, body).await
}

fn value() -> Value {
    json!({"value": VALUE, "tags": {"run": "1"}, "attributes": {"exp": 4_000_000_000_u64}})
}

#[tokio::test]
async fn versions_come_and_go() {
    let cloud = Cloud::start().await;
    let first = call(&cloud, "PUT", "/secrets/sp", Some(value()))
        .await
        .ok(200);
    assert_eq!(
        first["attributes"]["recoveryLevel"],
        "Recoverable+Purgeable"
    );
    let id = text(&first["id"]);
    let version = id
        .strip_prefix("https://kv-demo.vault.azure.net/secrets/sp/")
        .unwrap();
    assert_eq!(version.len(), 32);
    let second = json!({"value": "another"});
    let second = call(&cloud, "PUT", "/secrets/sp", Some(second))
        .await
        .ok(200);
    assert_ne!(second["id"], first["id"]);
    // SDKs send the slash when they mean the newest version.
    let newest = call(&cloud, "GET", "/secrets/sp/", None).await.ok(200);
    assert_eq!(newest["value"], "another");
    let old = call(&cloud, "GET", &format!("/secrets/sp/{version}"), None)
        .await
        .ok(200);
    assert_eq!(
        (&old["value"], &old["tags"]["run"]),
        (&json!(VALUE), &json!("1"))
    );
    let versions = call(&cloud, "GET", "/secrets/sp/versions", None)
        .await
        .ok(200);
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);
    let list = call(&cloud, "GET", "/secrets?maxresults=25", None)
        .await
        .ok(200);
    assert_eq!(
        list["value"][0]["id"],
        "https://kv-demo.vault.azure.net/secrets/sp"
    );
    assert_eq!(list["value"][0].get("value"), None);

    let off = json!({"attributes": {"enabled": false}});
    let patched = call(
        &cloud,
        "PATCH",
        &format!("/secrets/sp/{version}"),
        Some(off),
    )
    .await
    .ok(200);
    assert_eq!(patched.get("value"), None);
    let got = call(&cloud, "GET", &format!("/secrets/sp/{version}"), None).await;
    got.refused(403, "Forbidden");
    assert_eq!(got.body["error"]["innererror"]["code"], "SecretDisabled");
    let got = call(&cloud, "GET", "/secrets/none", None).await;
    assert!(
        got.refused(404, "SecretNotFound")
            .contains("(name/id) none was not found")
    );
    // Past its exp a secret is still given out.
    let past = json!({"value": VALUE, "attributes": {"exp": 1_600_000_000}});
    call(&cloud, "PUT", "/secrets/past", Some(past))
        .await
        .ok(200);
    call(&cloud, "GET", "/secrets/past", None).await.ok(200);
    assert!(
        !std::fs::read_to_string(cloud.folder.path().join("state.json"))
            .unwrap()
            .contains(VALUE)
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cloud = Cloud::start().await;
    for number in 0..26 {
        call(&cloud, "PUT", &format!("/secrets/s{number}"), Some(value()))
            .await
            .ok(200);
    }
    let page = call(&cloud, "GET", "/secrets", None).await.ok(200);
    assert_eq!(page["value"].as_array().unwrap().len(), 25);
    let next = text(&page["nextLink"]);
    let path = next.strip_prefix("http://kv-demo.vault.azure.net").unwrap();
    let page = call(&cloud, "GET", path, None).await.ok(200);
    assert_eq!(page["value"].as_array().unwrap().len(), 1);
    assert_eq!(page["nextLink"], json!(null));
}

#[tokio::test]
async fn r33_r34_tokens() {
    let cloud = Cloud::start().await;
    let path = "/secrets/x/?api-version=2025-07-01";
    let got = cloud.send("PUT", VAULT, path, None, None, &[]).await;
    assert!(got.refused(401, "Unauthorized").starts_with("AKV10000"));
    assert_eq!(
        got.header("www-authenticate"),
        format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{TENANT}\", resource=\"https://vault.azure.net\""
        )
    );
    for resource in ["https://management.azure.com", "https://vault.azure.net/"] {
        let token = cloud.token(resource).await;
        let got = cloud
            .send("GET", VAULT, path, Some(&token), None, &[])
            .await;
        assert!(
            got.refused(401, "Unauthorized").starts_with("AKV10022"),
            "{}",
            got.body
        );
        assert!(!got.header("www-authenticate").is_empty());
    }
    let token = cloud.token("https://vault.azure.net").await;
    cloud
        .world()
        .write(|state| "other".clone_into(&mut state.entra.tenant_id));
    let got = cloud
        .send("GET", VAULT, path, Some(&token), None, &[])
        .await;
    assert!(got.refused(401, "Unauthorized").starts_with("AKV10032"));
}

#[tokio::test]
async fn r35_both_access_models_refuse_in_their_words() {
    let cloud = Cloud::with(Profile::Typical).await;
    let ana = cloud.world().read(|state| {
        crate::entra::tokens::for_user(
            &cloud.world(),
            state,
            "ana@contoso.com",
            "https://vault.azure.net",
        )
    });
    let ana = ana.unwrap();
    // Ana owns the subscription, which is not enough.
    let got = cloud.vault(&ana, "GET", VAULT, "/secrets/x", None).await;
    let message = got.refused(403, "Forbidden");
    assert!(
        message.contains("\r\nAssignment: (not found)\r\n"),
        "{message}"
    );
    assert!(
        message.contains("'Microsoft.KeyVault/vaults/secrets/getSecret/action'"),
        "{message}"
    );
    assert_eq!(got.body["error"]["innererror"]["code"], "ForbiddenByRbac");
    let got = cloud.vault(&ana, "GET", POLICY, "/secrets/x", None).await;
    let message = got.refused(403, "Forbidden");
    assert!(message.contains("does not have secrets get permission on key vault 'kv-policy"));
    assert_eq!(got.body["error"]["innererror"]["code"], "AccessDenied");

    let role =
        json!({"properties": {"roleDefinitionId": SECRETS_USER, "principalId": seed::ANA.0}});
    let path = assignment(&vault("kv-demo"), 1);
    cloud.arm("PUT", &path, Some(role)).await.ok(201);
    let get = || cloud.vault(&ana, "GET", VAULT, "/secrets/x", None);
    get().await.refused(403, "Forbidden");
    cloud.pass(301);
    get().await.refused(404, "SecretNotFound");
    let got = cloud
        .vault(&ana, "PUT", VAULT, "/secrets/x", Some(value()))
        .await;
    got.refused(403, "Forbidden");
    // The operator's policy on the other vault.
    let token = cloud.token("https://vault.azure.net").await;
    cloud
        .vault(&token, "PUT", POLICY, "/secrets/x", Some(value()))
        .await
        .ok(200);
    cloud
        .vault(&token, "GET", POLICY, "/secrets/x", None)
        .await
        .ok(200);
    let got = cloud
        .vault(&token, "DELETE", POLICY, "/deletedsecrets/x", None)
        .await;
    got.refused(403, "Forbidden");
}

#[tokio::test]
async fn a_firewall_refuses_everybody() {
    let cloud = Cloud::start().await;
    let closed = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    cloud
        .arm("PATCH", &vault("kv-demo"), Some(closed))
        .await
        .ok(200);
    let got = call(&cloud, "GET", "/secrets", None).await;
    got.refused(403, "Forbidden");
    assert_eq!(
        got.body["error"]["innererror"]["code"],
        "ForbiddenByFirewall"
    );
}

#[tokio::test]
async fn r36_deletion_and_recovery_take_their_time() {
    let cloud = Cloud::with(Profile::Typical).await;
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
    let inner = |got: &Got| got.body["error"]["innererror"]["code"].clone();
    let deleted = call(&cloud, "DELETE", "/secrets/s", None).await.ok(200);
    assert_eq!(
        deleted["recoveryId"],
        "https://kv-demo.vault.azure.net/deletedsecrets/s"
    );
    call(&cloud, "GET", "/secrets/s", None)
        .await
        .refused(404, "SecretNotFound");
    call(&cloud, "GET", "/deletedsecrets/s", None)
        .await
        .refused(404, "SecretNotFound");
    let got = call(&cloud, "PUT", "/secrets/s", Some(value())).await;
    got.refused(409, "Conflict");
    assert_eq!(inner(&got), "ObjectIsBeingDeleted");
    cloud.pass(11);
    call(&cloud, "GET", "/deletedsecrets/s", None).await.ok(200);
    let got = call(&cloud, "PUT", "/secrets/s", Some(value())).await;
    got.refused(409, "Conflict");
    assert_eq!(inner(&got), "ObjectIsDeletedButRecoverable");
    call(&cloud, "POST", "/deletedsecrets/s/recover", None)
        .await
        .ok(200);
    let got = call(&cloud, "PUT", "/secrets/s", Some(value())).await;
    got.refused(409, "Conflict");
    assert_eq!(inner(&got), "ObjectIsBeingRecovered");
    cloud.pass(11);
    assert_eq!(
        call(&cloud, "GET", "/secrets/s", None).await.ok(200)["value"],
        VALUE
    );
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
}

#[tokio::test]
async fn r37_names_and_limits() {
    let cloud = Cloud::start().await;
    for name in ["under_score", "dot.ted", &"n".repeat(128)] {
        let got = call(&cloud, "PUT", &format!("/secrets/{name}"), Some(value())).await;
        assert!(got.refused(400, "BadParameter").contains("invalid name"));
    }
    let big = json!({"value": "v".repeat(25 * 1024 + 1)});
    call(&cloud, "PUT", "/secrets/big", Some(big))
        .await
        .refused(400, "BadParameter");
    let tags: serde_json::Map<String, Value> = (0..16)
        .map(|number| (number.to_string(), json!("t")))
        .collect();
    let tagged = json!({"value": VALUE, "tags": tags});
    call(&cloud, "PUT", "/secrets/tagged", Some(tagged))
        .await
        .refused(400, "BadParameter");
    call(&cloud, "PUT", "/secrets/empty", Some(json!({})))
        .await
        .refused(400, "BadParameter");
}

#[tokio::test]
async fn r38_purging() {
    let cloud = Cloud::start().await;
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
    call(&cloud, "DELETE", "/secrets/s", None).await.ok(200);
    call(&cloud, "DELETE", "/deletedsecrets/s", None)
        .await
        .ok(204);
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
    call(&cloud, "DELETE", "/secrets/s", None).await.ok(200);
    let protect = json!({"properties": {"enablePurgeProtection": true}});
    cloud
        .arm("PATCH", &vault("kv-demo"), Some(protect))
        .await
        .ok(200);
    let got = call(&cloud, "DELETE", "/deletedsecrets/s", None).await;
    assert!(got.refused(403, "Forbidden").contains("purge protection"));
}

#[tokio::test]
async fn backups_restore() {
    let cloud = Cloud::start().await;
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
    let backup = call(&cloud, "POST", "/secrets/s/backup", None)
        .await
        .ok(200);
    call(&cloud, "POST", "/secrets/restore", Some(backup.clone()))
        .await
        .refused(409, "Conflict");
    call(&cloud, "DELETE", "/secrets/s", None).await.ok(200);
    call(&cloud, "DELETE", "/deletedsecrets/s", None)
        .await
        .ok(204);
    call(&cloud, "POST", "/secrets/restore", Some(backup))
        .await
        .ok(200);
    assert_eq!(
        call(&cloud, "GET", "/secrets/s", None).await.ok(200)["value"],
        VALUE
    );
    let broken = json!({"value": "AAAA"});
    call(&cloud, "POST", "/secrets/restore", Some(broken))
        .await
        .refused(400, "BadParameter");
}

/// R39: the vault's half of a Key-Vault-backed scope.
#[tokio::test]
async fn r39_databricks_reads_as_itself() {
    let cloud = Cloud::start().await;
    call(&cloud, "PUT", "/secrets/s", Some(value()))
        .await
        .ok(200);
    let reader = Reader {
        name: Some("AzureDatabricks".to_owned()),
        appid: "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d".to_owned(),
        oid: DATABRICKS_PRINCIPAL.to_owned(),
    };
    let world = cloud.world();
    let read = |dns: &str, secret: &str| {
        world.read(|state| key_vault::read_secret_as(&world, state, &reader, dns, secret))
    };
    let dns = "https://kv-demo.vault.azure.net/";
    let refusal = read(dns, "s").unwrap_err();
    assert_eq!(
        (refusal.status, refusal.inner),
        (403, Some("ForbiddenByRbac"))
    );
    assert!(
        refusal
            .message
            .contains("Caller: name=AzureDatabricks;appid=2ff814a6-")
    );
    let role = json!({"properties": {
        "roleDefinitionId": SECRETS_USER, "principalId": DATABRICKS_PRINCIPAL,
    }});
    cloud
        .arm("PUT", &assignment(&vault("kv-demo"), 1), Some(role))
        .await
        .ok(201);
    assert_eq!(read(dns, "s").unwrap().as_str(), VALUE);
    assert_eq!(read(dns, "none").unwrap_err().status, 404);
    assert_eq!(
        read("https://kv-none.vault.azure.net", "s")
            .unwrap_err()
            .status,
        0
    );
    let listed = world.read(|state| key_vault::list_secrets_as(&world, state, &reader, dns));
    assert_eq!(listed.unwrap()[0].0, "s");
}

#[tokio::test]
async fn conditions_narrow_a_role() {
    let cloud = Cloud::start().await;
    for name in ["run-1", "other"] {
        call(&cloud, "PUT", &format!("/secrets/{name}"), Some(value()))
            .await
            .ok(200);
    }
    let [app_id, _, sp, secret] = cloud.register("runner").await;
    let role = json!({"properties": {
        "roleDefinitionId": SECRETS_USER, "principalId": sp, "conditionVersion": "2.0",
        "condition": "@Resource[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'run-'",
    }});
    cloud
        .arm("PUT", &assignment(&vault("kv-demo"), 1), Some(role))
        .await
        .ok(201);
    let token = cloud
        .token_of(&app_id, &secret, "https://vault.azure.net")
        .await;
    cloud
        .vault(&token, "GET", VAULT, "/secrets/run-1", None)
        .await
        .ok(200);
    cloud
        .vault(&token, "GET", VAULT, "/secrets/other", None)
        .await
        .refused(403, "Forbidden");
}
