//! Role assignments, vaults and their secrets.

use serde_json::{Value, json};

use crate::VAULT;
use crate::common::Clouds;

pub(crate) async fn vaults(clouds: &Clouds, principal: &str) {
    let id = format!("{VAULT}/kv-demo");
    let vault = clouds
        .read(&("azure/key-vaults.get", json!({ "id": id })))
        .await;
    assert_eq!(vault["url"], "https://kv-demo.vault.azure.net/");
    assert_eq!(vault["uses_roles"], true);
    let policy = json!({ "id": format!("{VAULT}/kv-policy") });
    assert_eq!(
        clouds.read(&("azure/key-vaults.get", policy)).await["uses_roles"],
        false
    );
    for (action, allowed) in [
        ("Microsoft.KeyVault/vaults/write", true),
        ("Microsoft.Authorization/roleAssignments/write", true),
    ] {
        let may = json!({ "id": id, "action": action });
        assert_eq!(clouds.read(&("azure/key-vaults.may", may)).await, allowed);
    }

    let secret = clouds.secret("not-a-real-secret").await;
    let set = |name: &str, expires: Value| {
        json!({
            "vault_url": vault["url"], "name": name, "value": secret,
            "expires": expires, "tags": [["b", "2"], ["a", "1"]],
        })
    };
    let of = |name: &str| json!({ "vault_url": vault["url"], "name": name });
    let find = ("azure/key-vault-secrets.find", of("one"));
    assert_eq!(clouds.read(&find).await, Value::Null);
    let expires = json!("2030-01-02T03:04:05Z");
    clouds
        .there_and_back(
            "azure/key-vault-secrets.set",
            set("one", expires.clone()),
            &[&find],
        )
        .await;
    let find = ("azure/key-vault-secrets.find", of("two"));
    let made = clouds
        .made("azure/key-vault-secrets.set", set("two", expires), &[&find])
        .await;
    assert_eq!(made["tags"], json!([["a", "1"], ["b", "2"]]));
    clouds
        .for_good("azure/key-vault-secrets.delete", of("two"), &[&find])
        .await;
    clouds
        .send("azure/key-vault-secrets.delete", of("two"))
        .await;
    clouds
        .for_good("azure/key-vault-secrets.purge", of("two"), &[])
        .await;
    clouds
        .send("azure/key-vault-secrets.purge", of("two"))
        .await;

    let assignment =
        json!({ "scope": id, "role": "key-vault-secrets-user", "principal": principal });
    let find = ("azure/role-assignments.find", assignment.clone());
    clouds
        .there_and_back(
            "azure/role-assignments.create",
            assignment.clone(),
            &[&find],
        )
        .await;
    clouds
        .made(
            "azure/role-assignments.create",
            assignment.clone(),
            &[&find],
        )
        .await;
    clouds
        .there_and_back(
            "azure/role-assignments.delete",
            assignment.clone(),
            &[&find],
        )
        .await;
    clouds
        .send("azure/role-assignments.delete", assignment.clone())
        .await;
    clouds
        .send("azure/role-assignments.delete", assignment)
        .await;
}
