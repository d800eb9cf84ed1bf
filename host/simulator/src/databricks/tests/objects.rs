//! The workspace's folders and notebooks, and the rows of 17.5 that are answered at once.

use super::*;

const IMPORT: &str = "/api/2.0/workspace/import";

fn notebook(path: &str, overwrite: bool) -> Value {
    json!({
        "path": path, "format": "SOURCE", "language": "SQL", "overwrite": overwrite,
        "content": BASE64_STANDARD.encode("SELECT 1"),
    })
}

#[tokio::test]
async fn rows_5b_5c_5d_import() {
    let site = Site::start().await;
    site.op("POST", IMPORT, notebook("/Shared/a", false))
        .await
        .ok(200);
    let again = site
        .op("POST", IMPORT, notebook("/Workspace/Shared/a", false))
        .await;
    refused(
        &again,
        400,
        "RESOURCE_ALREADY_EXISTS",
        "/Shared/a already exists",
    );
    site.op("POST", IMPORT, notebook("/Shared/a", true))
        .await
        .ok(200);
    let orphan = site
        .op("POST", IMPORT, notebook("/Shared/no/a", false))
        .await;
    let text = "The parent folder (/Shared/no) does not exist.";
    refused(&orphan, 404, "RESOURCE_DOES_NOT_EXIST", text);
    let bob = site.person(BOB);
    let foreign = site
        .post(&bob, IMPORT, notebook(&format!("/Users/{ANA}/a"), false))
        .await;
    refused(&foreign, 403, "PERMISSION_DENIED", "");
    site.post(&bob, IMPORT, notebook(&format!("/Users/{BOB}/a"), false))
        .await
        .ok(200);
}

#[tokio::test]
async fn the_size_of_a_notebook_has_its_own_limit() {
    let site = Site::start().await;
    let sized = |bytes: usize| {
        let mut body = notebook("/Shared/large", true);
        body["content"] = json!(BASE64_STANDARD.encode("-".repeat(bytes)));
        body
    };
    site.op("POST", IMPORT, sized(9 << 20)).await.ok(200);
    let got = site.op("POST", IMPORT, sized(11 << 20)).await;
    refused(&got, 400, "MAX_NOTEBOOK_SIZE_EXCEEDED", "");
    assert!(!got.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_tree_is_made_listed_exported_and_deleted() {
    let site = Site::start().await;
    let mkdirs = "/api/2.0/workspace/mkdirs";
    for _ in 0..2 {
        site.op("POST", mkdirs, json!({"path": "/Shared/x/y"}))
            .await
            .ok(200);
    }
    site.op("POST", IMPORT, notebook("/Shared/x/n", false))
        .await
        .ok(200);
    let in_the_way = site
        .op("POST", mkdirs, json!({"path": "/Shared/x/n/z"}))
        .await;
    refused(&in_the_way, 400, "RESOURCE_ALREADY_EXISTS", "/Shared/x/n");
    let list = site
        .op("GET", "/api/2.0/workspace/list?path=/Shared/x", Value::Null)
        .await
        .ok(200);
    assert_eq!(list["objects"].as_array().unwrap().len(), 2);
    let status = "/api/2.0/workspace/get-status?path=/Shared/x/n";
    let item = site.op("GET", status, Value::Null).await.ok(200);
    assert_eq!(
        (&item["object_type"], &item["language"]),
        (&json!("NOTEBOOK"), &json!("SQL"))
    );
    let export = "/api/2.0/workspace/export?path=/Shared/x/n&format=SOURCE";
    let content = text(&site.op("GET", export, Value::Null).await.ok(200)["content"]);
    let source = BASE64_STANDARD.decode(content).unwrap();
    assert_eq!(source, b"-- Databricks notebook source\nSELECT 1");
    let raw = site
        .op(
            "GET",
            &format!("{export}&direct_download=true"),
            Value::Null,
        )
        .await;
    assert!(text(&raw.body).ends_with("SELECT 1"));
    let delete = "/api/2.0/workspace/delete";
    let full = site.op("POST", delete, json!({"path": "/Shared/x"})).await;
    refused(&full, 400, "DIRECTORY_NOT_EMPTY", "/Shared/x");
    site.op(
        "POST",
        delete,
        json!({"path": "/Shared/x", "recursive": true}),
    )
    .await
    .ok(200);
    let gone = site.op("GET", status, Value::Null).await;
    refused(
        &gone,
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Path (/Shared/x/n) doesn't exist.",
    );
}

#[tokio::test]
async fn a_folder_passes_its_permissions_on() {
    let site = Site::start().await;
    let (ana, bob) = (site.person(ANA), site.person(BOB));
    let path = format!("/Users/{ANA}/a");
    site.post(&ana, IMPORT, notebook(&path, false))
        .await
        .ok(200);
    let status = format!("/api/2.0/workspace/get-status?path={path}");
    assert_eq!(site.get(&bob, &status).await.status, 403);
    let home = site
        .get(
            &ana,
            &format!("/api/2.0/workspace/get-status?path=/Users/{ANA}"),
        )
        .await
        .ok(200);
    let acl = format!("/api/2.0/permissions/directories/{}", home["object_id"]);
    let body = json!({"access_control_list": [{"user_name": BOB, "permission_level": "CAN_READ"}]});
    site.send(&ana, "PATCH", &acl, body).await.ok(200);
    let item = site.get(&bob, &status).await.ok(200);
    let acl = format!("/api/2.0/permissions/notebooks/{}", item["object_id"]);
    let list = site.get(&ana, &acl).await.ok(200);
    let rows = list["access_control_list"].as_array().unwrap();
    let row = rows.iter().find(|row| row["user_name"] == BOB).unwrap();
    assert_eq!(row["all_permissions"][0]["inherited"], true);
    assert_eq!(site.get(&bob, &acl).await.status, 403);
}

#[tokio::test]
async fn rows_5e_and_5h_and_the_form_of_jobs() {
    let site = Site::start().await;
    let mut job = notebook_job("/Shared/a", None);
    job["tasks"][0]["existing_cluster_id"] = json!("0101-000000-absent00");
    let got = site.create_job(&site.operator, job).await;
    let text = "Cluster 0101-000000-absent00 does not exist";
    refused(&got, 400, "INVALID_PARAMETER_VALUE", text);
    let mut job = notebook_job("/Shared/a", None);
    job["git_source"] = json!({"git_url": "https://example.com/x", "git_branch": "main"});
    let got = site.create_job(&site.operator, job).await;
    refused(
        &got,
        400,
        "INVALID_PARAMETER_VALUE",
        "git_source.git_provider must be one of:",
    );

    let first = site
        .job(&site.operator, notebook_job("/Shared/a", None))
        .await;
    let second = site
        .job(&site.operator, notebook_job("/Shared/a", None))
        .await;
    assert!(first != second && first > 1 << 53);
    let list = site
        .op("GET", "/api/2.2/jobs/list?name=TEST", Value::Null)
        .await
        .ok(200);
    assert_eq!(list["jobs"].as_array().unwrap().len(), 2);
    assert!(list["jobs"][0]["settings"].get("tasks").is_none());
    let path = format!("/api/2.2/jobs/get?job_id={first}");
    let settings = site.op("GET", &path, Value::Null).await.ok(200)["settings"].clone();
    assert_eq!(settings["format"], "MULTI_TASK");
    assert_eq!(settings["tasks"][0]["notebook_task"]["source"], "WORKSPACE");
    assert!(settings.get("run_as").is_none() && settings.get("queue").is_none());
    site.op("POST", "/api/2.2/jobs/delete", json!({ "job_id": first }))
        .await
        .ok(200);
    let gone = site.op("GET", &path, Value::Null).await;
    refused(
        &gone,
        400,
        "INVALID_PARAMETER_VALUE",
        &format!("Job {first} does not exist."),
    );
    // Without rights one does not learn that it is gone.
    let denied = site.get(&site.person(BOB), &path).await;
    let text = format!(
        "User {BOB} does not have View or Admin or Manage Run or Owner permissions on job {first}"
    );
    refused(&denied, 403, "PERMISSION_DENIED", &text);
}

#[tokio::test]
async fn an_update_replaces_tags_whole_and_removes_fields() {
    let site = Site::start().await;
    let bob = site.person(BOB);
    let mut settings = notebook_job("/Shared/x", None);
    settings["tags"] = json!({"team": "data", "cost": "7"});
    let job = site.job(&bob, settings.clone()).await;
    let read = async || {
        let path = format!("/api/2.2/jobs/get?job_id={job}");
        site.get(&bob, &path).await.ok(200)["settings"].clone()
    };
    let update = async |body: Value| {
        let mut body = body;
        body["job_id"] = json!(job);
        site.post(&bob, "/api/2.2/jobs/update", body).await
    };
    let before = read().await;
    let tags = json!({"team": "data", "lockkeeper": "a"});
    update(json!({"new_settings": {"name": "renamed", "tags": tags}}))
        .await
        .ok(200);
    let after = read().await;
    assert_eq!((&after["tags"], &after["name"]), (&tags, &json!("renamed")));
    assert_eq!(after["tasks"], before["tasks"]);
    update(json!({"fields_to_remove": ["tags"]})).await.ok(200);
    assert_eq!(read().await.get("tags"), None);
    let many: serde_json::Map<_, _> = (0..26).map(|n| (n.to_string(), json!("x"))).collect();
    let got = update(json!({"new_settings": {"tags": many}})).await;
    refused(&got, 400, "INVALID_PARAMETER_VALUE", "25 tags");
}

#[tokio::test]
async fn settings_that_no_job_can_have_are_refused() {
    let site = Site::start().await;
    let with = |name: &str, value: Value| {
        let mut settings = notebook_job("/Shared/n", None);
        settings[name] = value;
        settings
    };
    let task = |members: Value| {
        let mut task = json!({"task_key": "main"});
        task.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        with("tasks", json!([task]))
    };
    let notebook = json!({"notebook_path": "/Shared/n"});
    for (settings, fragment) in [
        (
            with("description", json!("x".repeat(27_701))),
            "description",
        ),
        (
            with(
                "git_source",
                json!({"git_url": "https://example.com/r", "git_provider": "svn"}),
            ),
            "git_source.git_provider must be one of:",
        ),
        (task(json!({})), "exactly one task type"),
        (
            task(json!({"notebook_task": notebook, "sql_task": {}})),
            "exactly one task type",
        ),
    ] {
        let got = site.create_job(&site.operator, settings).await;
        refused(&got, 400, "INVALID_PARAMETER_VALUE", fragment);
    }
    let longest = with("description", json!("x".repeat(27_700)));
    site.job(&site.operator, longest).await;
    let submit = "/api/2.2/jobs/runs/submit";
    for body in [json!({}), json!({"tasks": []})] {
        let got = site.op("POST", submit, body).await;
        refused(&got, 400, "INVALID_PARAMETER_VALUE", "tasks");
    }
}
