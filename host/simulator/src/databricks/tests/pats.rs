//! 17.8: personal access tokens.

use super::*;

const ACL: &str = "/api/2.0/permissions/authorization/tokens";
const CREATE: &str = "/api/2.0/token/create";

fn can_use(principals: &[&str]) -> Value {
    let list: Vec<Value> = principals
        .iter()
        .map(|name| json!({"service_principal_name": name, "permission_level": "CAN_USE"}))
        .collect();
    json!({ "access_control_list": list })
}

#[tokio::test]
async fn rows_8a_8c_8e_8g_8i_the_way_of_a_token() {
    let site = Site::start().await;
    let (sp, other) = (site.sp("one").await, site.sp("two").await);
    let early = site.op("PATCH", ACL, can_use(&[&sp.app_id])).await;
    refused(
        &early,
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "tokens tokens does not exist",
    );
    let denied = site.post(&sp.token, CREATE, json!({})).await;
    refused(
        &denied,
        403,
        "PERMISSION_DENIED",
        "User does not have permission to use tokens.",
    );
    site.op("POST", CREATE, json!({"comment": "first"}))
        .await
        .ok(200);
    assert_eq!(
        site.send(&sp.token, "PATCH", ACL, can_use(&[&sp.app_id]))
            .await
            .status,
        403
    );
    for name in [&sp.app_id, &other.app_id] {
        site.op("PATCH", ACL, can_use(&[name])).await.ok(200);
    }
    let zero = site
        .post(&sp.token, CREATE, json!({"lifetime_seconds": 0}))
        .await;
    assert_eq!(zero.status, 400);
    assert!(text(&zero.body["message"]).contains("Invalid timeout: 0"));

    let made = site
        .post(&sp.token, CREATE, json!({"comment": "c"}))
        .await
        .ok(200);
    let value = text(&made["token_value"]);
    assert!(value.starts_with("dapi"));
    let me = site.get(&value, &format!("{SCIM}/Me")).await.ok(200);
    assert_eq!(me["userName"], sp.app_id.as_str());
    let listed = site.get(&value, "/api/2.0/token/list").await.ok(200);
    assert_eq!(listed["token_infos"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains(&value));
    let all = site
        .op("GET", "/api/2.0/token-management/tokens", Value::Null)
        .await
        .ok(200);
    assert_eq!(all["token_infos"].as_array().unwrap().len(), 2);

    // A PUT that leaves somebody out deletes that principal's tokens.
    site.op("PUT", ACL, can_use(&[&other.app_id])).await.ok(200);
    refused(
        &site.get(&value, &format!("{SCIM}/Me")).await,
        403,
        403,
        "Invalid access token.",
    );
    site.op("PATCH", ACL, can_use(&[&sp.app_id])).await.ok(200);
    refused(
        &site.get(&value, &format!("{SCIM}/Me")).await,
        403,
        403,
        "Invalid access token.",
    );
    let gone = json!({"token_id": made["token_info"]["token_id"]});
    let got = site.post(&sp.token, "/api/2.0/token/delete", gone).await;
    refused(&got, 404, "RESOURCE_DOES_NOT_EXIST", "");
}

#[tokio::test]
async fn rows_8b_8d_8f_8h_settings() {
    let site = Site::start().await;
    let made = site.op("POST", CREATE, json!({})).await.ok(200);
    let value = text(&made["token_value"]);
    let conf = "/api/2.0/workspace-conf";
    let set = |values: Value| site.op("PATCH", conf, values);
    let bob = site.person(BOB);
    let denied = site
        .send(&bob, "PATCH", conf, json!({"enableTokensConfig": "false"}))
        .await;
    assert_eq!(denied.status, 403);
    assert_eq!(set(json!({"enableTokensConfig": false})).await.status, 400);
    set(json!({"enableTokensConfig": "false"})).await.ok(204);
    let off = site.op("POST", CREATE, json!({})).await;
    assert_eq!(
        (off.status, &off.body["message"]),
        (404, &json!("Tokens are disabled."))
    );
    assert_eq!(
        site.op("GET", "/api/2.0/token/list", Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(site.get(&value, &format!("{SCIM}/Me")).await.status, 403);
    set(json!({"enableTokensConfig": "true", "maxTokenLifetimeDays": "30"}))
        .await
        .ok(204);
    site.get(&value, &format!("{SCIM}/Me")).await.ok(200);
    let keys = format!("{conf}?keys=enableTokensConfig,other");
    let got = site.op("GET", &keys, Value::Null).await.ok(200);
    assert_eq!(got, json!({"enableTokensConfig": "true", "other": null}));
    let long = site
        .op("POST", CREATE, json!({"lifetime_seconds": 40 * 86_400}))
        .await;
    refused(&long, 400, "INVALID_PARAMETER_VALUE", "");
    let body = json!({"application_id": UNKNOWN});
    let obo = site
        .op(
            "POST",
            "/api/2.0/token-management/on-behalf-of/tokens",
            body,
        )
        .await;
    let text =
        "On-behalf-of token creation for service principals is not enabled for this workspace";
    assert!((400..500).contains(&obo.status) && obo.body["message"] == text);
}

#[tokio::test]
async fn row_8j_five_secrets() {
    let site = Site::start().await;
    let sp = site.sp("secretive").await;
    let path = format!(
        "/api/2.0/accounts/servicePrincipals/{}/credentials/secrets",
        sp.scim_id
    );
    for _ in 0..5 {
        site.op("POST", &path, json!({})).await.ok(200);
    }
    let sixth = site.op("POST", &path, json!({})).await;
    assert!((400..500).contains(&sixth.status));
    let list = site.op("GET", &path, Value::Null).await.ok(200);
    let first = &list["secrets"][0];
    assert!(first.get("secret").is_none() && first["status"] == "ACTIVE");
    let one = format!("{path}/{}", text(&first["id"]));
    site.op("DELETE", &one, Value::Null).await.ok(200);
    site.op("POST", &path, json!({})).await.ok(200);
    assert_eq!(
        site.post(&site.person(BOB), &path, json!({})).await.status,
        403
    );
}

#[tokio::test]
async fn tokens_end() {
    let site = Site::start().await;
    let made = site
        .op("POST", CREATE, json!({"lifetime_seconds": 60}))
        .await
        .ok(200);
    let value = text(&made["token_value"]);
    site.get(&value, &format!("{SCIM}/Me")).await.ok(200);
    site.cloud.pass(61);
    refused(
        &site.get(&value, &format!("{SCIM}/Me")).await,
        403,
        403,
        "Invalid access token.",
    );
}

#[tokio::test]
async fn admins_manage_tokens_without_being_granted_it() {
    let site = Site::start().await;
    site.op("POST", "/api/2.0/token/create", json!({}))
        .await
        .ok(200);
    let acl = site.op("GET", ACL, Value::Null).await.ok(200);
    let rows = acl["access_control_list"].as_array().unwrap();
    let admins = rows
        .iter()
        .find(|row| row["group_name"] == "admins")
        .unwrap();
    assert_eq!(
        admins["all_permissions"][0]["permission_level"],
        "CAN_MANAGE"
    );
    assert_eq!(admins["all_permissions"][0]["inherited"], true);
    let body = json!({"access_control_list": [
        {"user_name": BOB, "permission_level": "CAN_MANAGE"},
    ]});
    let got = site.op("PATCH", ACL, body).await;
    refused(&got, 400, "INVALID_PARAMETER_VALUE", "CAN_MANAGE");
    let denied = site.get(&site.person(BOB), ACL).await;
    assert_eq!(denied.status, 403);
}
