//! SQL warehouses and statements (section 14), and the lists of section 13.

use super::*;

#[tokio::test]
async fn select_1_by_statement() {
    let site = Site::start().await;
    let bob = site.person(BOB);
    let list = site.get(&bob, "/api/2.0/sql/warehouses").await.ok(200);
    let id = text(&list["warehouses"][0]["id"]);
    let path = "/api/2.0/sql/statements";
    let run = |statement: &str, wait: &str| {
        let body = json!({"warehouse_id": id, "statement": statement, "wait_timeout": wait});
        site.cloud.send(
            "POST",
            seed::WORKSPACE_HOST,
            path,
            Some(&bob),
            Some(body),
            &[],
        )
    };
    let one = run("SELECT 1", "30s").await.ok(200);
    assert_eq!(one["status"]["state"], "SUCCEEDED");
    assert_eq!(one["result"]["data_array"], json!([["1"]]));
    let column = &one["manifest"]["schema"]["columns"][0];
    assert_eq!(
        (&column["name"], &column["type_name"]),
        (&json!("1"), &json!("INT"))
    );
    let failed = run("SELEC 1", "30s").await.ok(200);
    assert_eq!(failed["status"]["state"], "FAILED");
    let later = run("SELECT 2", "0s").await.ok(200);
    assert_eq!(later["status"]["state"], "PENDING");
    let statement = format!("{path}/{}", text(&later["statement_id"]));
    let read = site.get(&bob, &statement).await.ok(200);
    assert_eq!(read["result"]["data_array"], json!([["2"]]));
    site.get(&bob, &format!("{statement}/result/chunks/0"))
        .await
        .ok(200);
    assert_eq!(site.get(&site.person(ANA), &statement).await.status, 404);
    assert_eq!(run("SELECT 1", "3s").await.status, 400);

    let owner =
        json!([{"service_principal_name": seed::OPERATOR_CLIENT, "permission_level": "IS_OWNER"}]);
    let acl = format!("/api/2.0/permissions/sql/warehouses/{id}");
    site.op("PUT", &acl, json!({ "access_control_list": owner }))
        .await
        .ok(200);
    refused(&run("SELECT 1", "30s").await, 403, "PERMISSION_DENIED", &id);
}

#[tokio::test]
async fn what_clusters_can_be_made_of() {
    let site = Site::start().await;
    let types = site
        .op("GET", "/api/2.1/clusters/list-node-types", Value::Null)
        .await
        .ok(200);
    assert!(types["node_types"][0]["node_type_id"].is_string());
    let versions = site
        .op("GET", "/api/2.1/clusters/spark-versions", Value::Null)
        .await
        .ok(200);
    assert!(text(&versions["versions"][0]["key"]).contains("-scala"));
    let body = json!({"name": "small", "definition": "{}"});
    let path = "/api/2.0/policies/clusters/create";
    assert_eq!(
        site.post(&site.person(BOB), path, body.clone())
            .await
            .status,
        403
    );
    let policy = site.op("POST", path, body).await.ok(200);
    assert_eq!(text(&policy["policy_id"]).len(), 16);
    let missing = site
        .op("GET", "/api/2.1/clusters/get?cluster_id=none", Value::Null)
        .await;
    refused(
        &missing,
        400,
        "INVALID_PARAMETER_VALUE",
        "Cluster none does not exist",
    );
}
