//! 17.2: SCIM.

use super::*;

#[tokio::test]
async fn row_2a_only_admins_add() {
    let site = Site::start().await;
    let body = json!({ "applicationId": UNKNOWN });
    let got = site
        .post(
            &site.person(BOB),
            &format!("{SCIM}/ServicePrincipals"),
            body,
        )
        .await;
    assert_eq!(got.status, 403);
    assert!(text(&got.body["detail"]).contains("only accessible by admins"));
}

#[tokio::test]
async fn rows_1f_and_2b_unvalidated_ids_once() {
    let site = Site::start().await;
    let path = format!("{SCIM}/ServicePrincipals");
    let made = site
        .op("POST", &path, json!({ "applicationId": UNKNOWN }))
        .await
        .ok(201);
    assert_eq!(made["displayName"], UNKNOWN);
    assert_eq!(made["active"], true);
    let again = site
        .op("POST", &path, json!({ "applicationId": UNKNOWN }))
        .await;
    let text = again.body["detail"].as_str().unwrap();
    assert!(text.contains(&format!(
        "Service principal with application ID {UNKNOWN} already exists"
    )));
}

#[tokio::test]
async fn lists_filter_and_page() {
    let site = Site::start().await;
    let path = format!("{SCIM}/ServicePrincipals");
    for name in ["one", "two", "three"] {
        site.op("POST", &path, json!({ "displayName": name }))
            .await
            .ok(201);
    }
    let page = site
        .op(
            "GET",
            &format!("{path}?startIndex=1&count=10000"),
            Value::Null,
        )
        .await
        .ok(200);
    assert_eq!(page["totalResults"], 4);
    let end = site
        .op(
            "GET",
            &format!("{path}?startIndex=5&count=10000"),
            Value::Null,
        )
        .await
        .ok(200);
    assert_eq!(end["Resources"], json!([]));
    let filter = "filter=displayName%20eq%20%22TWO%22";
    let found = site
        .op("GET", &format!("{path}?{filter}"), Value::Null)
        .await
        .ok(200);
    assert_eq!(found["totalResults"], 1);
    assert_eq!(found["Resources"][0]["displayName"], "two");
    let reduced = site
        .get(&site.person(BOB), &format!("{path}?{filter}"))
        .await
        .ok(200);
    assert!(reduced["Resources"][0].get("entitlements").is_none());
}

#[tokio::test]
async fn entitlements_are_added_idempotently_and_pools_refused() {
    let site = Site::start().await;
    let sp = site.sp("entitled").await;
    for _ in 0..2 {
        site.entitle(&sp, "add", "allow-cluster-create").await;
    }
    let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
    let listed = || async {
        let resource = site.op("GET", &path, Value::Null).await.ok(200);
        resource["entitlements"].as_array().unwrap().len()
    };
    assert_eq!(listed().await, 2);
    site.entitle(&sp, "remove", "allow-cluster-create").await;
    assert_eq!(listed().await, 1);
    let pools = json!({"Operations": [{"op": "add", "path": "entitlements", "value": [{"value": "allow-instance-pool-create"}]}]});
    assert_eq!(site.op("PATCH", &path, pools).await.status, 400);
    assert_eq!(listed().await, 1);
    assert_eq!(
        site.op(
            "GET",
            &format!("{SCIM}/ServicePrincipals/{}", sp.app_id),
            Value::Null
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn row_2m_deactivated_principals_cannot_log_in() {
    let site = Site::start().await;
    let sp = site.sp("sleeper").await;
    let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
    let body = json!({"Operations": [{"op": "replace", "path": "active", "value": false}]});
    site.op("PATCH", &path, body).await.ok(204);
    assert_eq!(site.get(&sp.token, &format!("{SCIM}/Me")).await.status, 403);
    site.grant(
        &sp.app_id,
        "roles/servicePrincipal.user",
        &format!("servicePrincipals/{}", seed::OPERATOR_CLIENT),
    )
    .await;
    let got = site
        .create_job(&site.operator, notebook_job("/Shared/x", Some(&sp.app_id)))
        .await;
    let text = format!(
        "Invalid user: '{}' does not exist or deactivated",
        sp.app_id
    );
    assert_eq!(got.status, 400);
    assert!(got.body["message"].as_str().unwrap().contains(&text));
}

#[tokio::test]
async fn groups_give_what_they_have() {
    let site = Site::start().await;
    let sp = site.sp("member").await;
    site.entitle(&sp, "remove", "workspace-access").await;
    let body = json!({
        "displayName": "engineers",
        "entitlements": [{"value": "workspace-access"}],
        "members": [{"value": sp.scim_id}],
    });
    let group = site
        .op("POST", &format!("{SCIM}/Groups"), body)
        .await
        .ok(201);
    let me = site.get(&sp.token, &format!("{SCIM}/Me")).await.ok(200);
    let names: Vec<&Value> = me["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["display"])
        .collect();
    assert!(names.contains(&&json!("engineers")) && names.contains(&&json!("users")));
    let path = format!("{SCIM}/Groups/{}", text(&group["id"]));
    let remove = json!({"op": "remove", "path": format!("members[value eq \"{}\"]", sp.scim_id)});
    site.op("PATCH", &path, json!({ "Operations": [remove] }))
        .await
        .ok(204);
    let left = site.op("GET", &path, Value::Null).await.ok(200);
    assert_eq!(left["members"], json!([]));
    site.op("DELETE", &path, Value::Null).await.ok(204);
    let admins = site
        .op(
            "GET",
            &format!("{SCIM}/Groups?filter=displayName%20eq%20admins"),
            Value::Null,
        )
        .await
        .ok(200);
    let path = format!("{SCIM}/Groups/{}", text(&admins["Resources"][0]["id"]));
    assert_eq!(site.op("DELETE", &path, Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_newcomer_is_not_seen_everywhere_at_once() {
    let site = Site::with(Profile::Typical).await;
    let body = json!({ "applicationId": UNKNOWN });
    site.op("POST", &format!("{SCIM}/ServicePrincipals"), body)
        .await
        .ok(201);
    site.scope("late", "k", "v").await;
    site.put_acl("late", UNKNOWN, "READ").await.ok(200);
    let path = format!("/api/2.0/secrets/acls/get?scope=late&principal={UNKNOWN}");
    let dropped = site.op("GET", &path, Value::Null).await;
    refused(&dropped, 404, "RESOURCE_DOES_NOT_EXIST", UNKNOWN);
    site.cloud.pass(60);
    site.put_acl("late", UNKNOWN, "READ").await.ok(200);
    site.op("GET", &path, Value::Null).await.ok(200);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_the_scim_shape() {
    let site = Site::start().await;
    let sp = site.sp("patched").await;
    let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
    for body in [json!({}), json!({"Operations": "none"}), json!([])] {
        let got = site.op("PATCH", &path, body).await;
        assert_eq!(got.status, 400, "{}", got.body);
        assert_eq!(
            got.body["schemas"],
            json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
        );
        assert_eq!(got.body["status"], "400");
        assert!(got.body["detail"].is_string(), "{}", got.body);
    }
}

#[tokio::test]
async fn workspace_consume_stands_alone() {
    let site = Site::start().await;
    let sp = site.sp("consumer").await;
    let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
    let add = |entitlement: &str| {
        json!({"Operations": [
            {"op": "add", "path": "entitlements", "value": [{"value": entitlement}]},
        ]})
    };
    let got = site.op("PATCH", &path, add("workspace-consume")).await;
    assert_eq!(
        (got.status, &got.body["scimType"]),
        (400, &json!("invalidValue")),
        "{}",
        got.body
    );
    site.entitle(&sp, "remove", "workspace-access").await;
    site.entitle(&sp, "add", "workspace-consume").await;
    let got = site.op("PATCH", &path, add("databricks-sql-access")).await;
    assert_eq!(got.status, 400, "{}", got.body);
    let group = json!({
        "displayName": "both",
        "entitlements": [{"value": "workspace-consume"}, {"value": "workspace-access"}],
    });
    let got = site.op("POST", &format!("{SCIM}/Groups"), group).await;
    assert_eq!(got.status, 400, "{}", got.body);
}
