//! What surfaces only in a run: rows of 17.2, 17.4, 17.5 and 17.7.

use super::*;

/// A service principal that the operator may run jobs as.
async fn runner(site: &Site) -> Sp {
    let sp = site.sp("runner").await;
    let operator = format!("servicePrincipals/{}", seed::OPERATOR_CLIENT);
    site.grant(&sp.app_id, "roles/servicePrincipal.user", &operator)
        .await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    sp
}

#[tokio::test]
async fn select_1_runs() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", Some(&sp.app_id)))
        .await;
    let (run, output) = site.run(job).await;
    succeeded(&run);
    assert!(text(&output["notebook_output"]["result"]).contains('1'));
    let id = &run["run_id"];
    let url = format!(
        "https://{}/?o={}#job/{job}/run/{id}",
        seed::WORKSPACE_HOST,
        seed::WORKSPACE_ID
    );
    assert_eq!(run["run_page_url"], url);
}

#[tokio::test]
async fn sql_errors_fail_the_task() {
    let site = Site::start().await;
    site.notebook("/Shared/bad", "SQL", "SELECT * FROM absent")
        .await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/bad", None))
        .await;
    let ran = site.run(job).await;
    code_failed(&ran, "TABLE_OR_VIEW_NOT_FOUND");
    assert!(text(&ran.1["error"]).contains("TABLE_OR_VIEW_NOT_FOUND"));
}

#[tokio::test]
async fn row_2j_no_workspace_access() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", Some(&sp.app_id)))
        .await;
    site.entitle(&sp, "remove", "workspace-access").await;
    let text = format!(
        "The user '{}' does not have access to Databricks Workspace",
        sp.app_id
    );
    could_not_start(&site.run(job).await.0, "UNAUTHORIZED_ERROR", &text);
    site.entitle(&sp, "add", "workspace-access").await;
    succeeded(&site.run(job).await.0);
}

#[tokio::test]
async fn an_instance_pool_says_the_node_type() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let mut settings = cluster_job("/Shared/n", &sp.app_id, &json!({}));
    settings["tasks"][0]["new_cluster"]["instance_pool_id"] = json!("0101-120000-pool1-pool-abc");
    let both = site.create_job(&site.operator, settings.clone()).await;
    refused(
        &both,
        400,
        "INVALID_PARAMETER_VALUE",
        "'node_type_id' cannot be supplied",
    );
    let cluster = settings["tasks"][0]["new_cluster"].as_object_mut().unwrap();
    cluster.remove("node_type_id");
    site.job(&site.operator, settings).await;
}

#[tokio::test]
async fn row_2k_no_cluster_right() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let settings = cluster_job("/Shared/n", &sp.app_id, &json!({}));
    let job = site.job(&site.operator, settings.clone()).await;
    let text = "Unexpected user error while preparing the cluster for the job. Cause: PERMISSION_DENIED: You are not authorized to create clusters. Please contact your administrator.";
    could_not_start(&site.run(job).await.0, "INVALID_CLUSTER_REQUEST", text);

    let policies = site
        .op("GET", "/api/2.0/policies/clusters/list", Value::Null)
        .await
        .ok(200);
    let policy = super::text(&policies["policies"][0]["policy_id"]);
    let mut with_policy = settings;
    with_policy["tasks"][0]["new_cluster"]["policy_id"] = json!(policy);
    let other = site.job(&site.operator, with_policy).await;
    could_not_start(
        &site.run(other).await.0,
        "INVALID_CLUSTER_REQUEST",
        "not authorized",
    );
    let acl = json!({"access_control_list": [{"service_principal_name": sp.app_id, "permission_level": "CAN_USE"}]});
    site.op(
        "PATCH",
        &format!("/api/2.0/permissions/cluster-policies/{policy}"),
        acl,
    )
    .await
    .ok(200);
    succeeded(&site.run(other).await.0);

    site.entitle(&sp, "add", "allow-cluster-create").await;
    let (run, _) = site.run(job).await;
    succeeded(&run);
    let id = super::text(&run["tasks"][0]["cluster_instance"]["cluster_id"]);
    let path = format!("/api/2.1/clusters/get?cluster_id={id}");
    assert_eq!(
        site.op("GET", &path, Value::Null).await.ok(200)["cluster_source"],
        "JOB"
    );
}

#[tokio::test]
async fn row_4i_dbutils_without_read() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    site.scope("own", "k", "not-a-real-secret").await;
    let source =
        "value = dbutils.secrets.get(scope=\"own\", key='k')\ndbutils.notebook.exit(value)";
    site.notebook("/Shared/py", "PYTHON", source).await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/py", Some(&sp.app_id)))
        .await;
    let text = format!(
        "PERMISSION_DENIED: User {} does not have READ permission on scope own",
        sp.app_id
    );
    code_failed(&site.run(job).await, &text);
    site.put_acl("own", &sp.app_id, "READ").await.ok(200);
    let (run, output) = site.run(job).await;
    succeeded(&run);
    assert_eq!(output["notebook_output"]["result"], "[REDACTED]");
    let file = site.cloud.folder.path().join("state.json");
    assert!(
        !std::fs::read_to_string(file)
            .unwrap()
            .contains("not-a-real-secret")
    );
}

#[tokio::test]
async fn row_4j_references_in_the_spark_configuration() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    site.entitle(&sp, "add", "allow-cluster-create").await;
    site.scope("own", "k", "v").await;
    let conf = json!({"spark.some.secret": "{{secrets/own/k}}"});
    let job = site
        .job(&site.operator, cluster_job("/Shared/n", &sp.app_id, &conf))
        .await;
    let (run, _) = site.run(job).await;
    could_not_start(
        &run,
        "CLUSTER_ERROR",
        "does not have READ permission on scope own",
    );
    let id = text(&run["tasks"][0]["cluster_instance"]["cluster_id"]);
    let path = format!("/api/2.1/clusters/get?cluster_id={id}");
    let cluster = site.op("GET", &path, Value::Null).await.ok(200);
    assert_eq!(cluster["state"], "TERMINATED");
    assert!(cluster["termination_reason"]["parameters"]["databricks_error_message"].is_string());
    site.put_acl("own", &sp.app_id, "READ").await.ok(200);
    succeeded(&site.run(job).await.0);
}

#[tokio::test]
async fn rows_4n_and_4o_storage() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    site.entitle(&sp, "add", "allow-cluster-create").await;
    site.scope("own", "right", &sp.secret).await;
    site.scope("other", "wrong", "not-the-secret").await;
    for scope in ["own", "other"] {
        site.put_acl(scope, &sp.app_id, "READ").await.ok(200);
    }
    let job = |reference: &str, tenant: &str, path: &str| {
        let conf = adls_conf(&sp.app_id, reference, tenant);
        cluster_job(path, &sp.app_id, &conf)
    };
    let wrong = job("{{secrets/other/wrong}}", seed::TENANT, "/Shared/n");
    let wrong = site.job(&site.operator, wrong).await;
    let ran = site.run(wrong).await;
    code_failed(&ran, "AADSTS7000215");
    code_failed(&ran, "HTTP Error 401");
    assert!(!ran.1.to_string().contains("not-the-secret"));
    let elsewhere = job("{{secrets/own/right}}", UNKNOWN, "/Shared/n");
    let elsewhere = site.job(&site.operator, elsewhere).await;
    code_failed(&site.run(elsewhere).await, "AADSTS90002");

    let right = job("{{secrets/own/right}}", seed::TENANT, "/Shared/n");
    let right = site.job(&site.operator, right).await;
    let (run, _) = site.run(right).await;
    succeeded(&run);
    let id = run["run_id"].as_i64().unwrap();
    let obtained = site.cloud.world().read(|state| {
        let task = &state.databricks.runs[&id].tasks[0];
        task.course.as_ref().unwrap().outcome.storage_token_obtained
    });
    assert!(obtained);

    let read = "df = spark.read.csv('abfss://data@stdemo.dfs.core.windows.net/raw/numbers.csv')\ndbutils.notebook.exit(str(df.count()))";
    site.notebook("/Shared/read", "PYTHON", read).await;
    let reading = job("{{secrets/own/right}}", seed::TENANT, "/Shared/read");
    let reading = site.job(&site.operator, reading).await;
    code_failed(&site.run(reading).await, "AuthorizationPermissionMismatch");
    let account = seed::resource_id("Microsoft.Storage/storageAccounts", seed::STORAGE_ACCOUNT);
    let path = format!(
        "{account}/providers/Microsoft.Authorization/roleAssignments/12345678-0000-4000-8000-000000000003"
    );
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        seed::SUBSCRIPTION
    );
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": sp.oid, "principalType": "ServicePrincipal"}});
    site.cloud.arm("PUT", &path, Some(body)).await.ok(201);
    let (run, output) = site.run(reading).await;
    succeeded(&run);
    assert_eq!(output["notebook_output"]["result"], "4");
}

#[tokio::test]
async fn the_login_endpoint_is_the_first_versions_at_the_authority() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    site.entitle(&sp, "add", "allow-cluster-create").await;
    let tenant = seed::TENANT;
    for (endpoint, fragments) in [
        (
            format!("https://login.example.com/{tenant}/oauth2/token"),
            vec!["UnknownHostException: login.example.com"],
        ),
        (
            format!("http://login.microsoftonline.com/{tenant}/oauth2/token"),
            vec!["ConnectException"],
        ),
        (
            format!("login.microsoftonline.com/{tenant}/oauth2/token"),
            vec!["MalformedURLException"],
        ),
        (
            format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"),
            vec!["HTTP Error 400", "AADSTS900144", "'scope'"],
        ),
        (
            format!("https://login.microsoftonline.com/{UNKNOWN}/oauth2/v2.0/token"),
            vec!["HTTP Error 400", "AADSTS90002"],
        ),
    ] {
        let mut conf = adls_conf(&sp.app_id, &sp.secret, tenant);
        conf["fs.azure.account.oauth2.client.endpoint.stdemo.dfs.core.windows.net"] =
            json!(endpoint);
        let settings = cluster_job("/Shared/n", &sp.app_id, &conf);
        let job = site.job(&site.operator, settings).await;
        let ran = site.run(job).await;
        for fragment in fragments {
            code_failed(&ran, fragment);
        }
    }
}

#[tokio::test]
async fn row_5a_notebook_out_of_reach() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let home = format!("/Users/{ANA}/private");
    site.notebook(&home, "SQL", "SELECT 1").await;
    for path in ["/Shared/absent", home.as_str()] {
        let job = site
            .job(&site.operator, notebook_job(path, Some(&sp.app_id)))
            .await;
        let text = format!(
            "Unable to access the notebook \"{path}\" in the workspace. Either it does not exist, or the identity used to run this job, runner ({}), lacks the required permissions.",
            sp.app_id
        );
        could_not_start(&site.run(job).await.0, "RESOURCE_NOT_FOUND", &text);
    }
}

#[tokio::test]
async fn rows_5f_and_5g_existing_clusters() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let spec = json!({"spark_version": "15.4.x-scala2.12", "num_workers": 0, "data_security_mode": "SINGLE_USER", "single_user_name": ANA});
    let made = site
        .op("POST", "/api/2.1/clusters/create", spec)
        .await
        .ok(200);
    let id = text(&made["cluster_id"]);
    let mut settings = notebook_job("/Shared/n", Some(&sp.app_id));
    settings["tasks"][0]["existing_cluster_id"] = json!(id);
    let job = site.job(&site.operator, settings).await;
    let text = "lacks 'Attach' permissions on the underlying cluster";
    could_not_start(&site.run(job).await.0, "UNAUTHORIZED_ERROR", text);
    let acl = json!({"access_control_list": [{"service_principal_name": sp.app_id, "permission_level": "CAN_ATTACH_TO"}]});
    site.op("PATCH", &format!("/api/2.0/permissions/clusters/{id}"), acl)
        .await
        .ok(200);
    let (run, _) = site.run(job).await;
    could_not_start(
        &run,
        "UNAUTHORIZED_ERROR",
        "Single-user check failed: user '",
    );
    let bob = site.person(BOB);
    let spec = json!({"spark_version": "15.4.x-scala2.12"});
    let denied = site.post(&bob, "/api/2.1/clusters/create", spec).await;
    refused(
        &denied,
        403,
        "PERMISSION_DENIED",
        "You are not authorized to create clusters.",
    );
}

#[tokio::test]
async fn row_5i_passthrough() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    site.entitle(&sp, "add", "allow-cluster-create").await;
    let conf = json!({"spark.databricks.passthrough.enabled": "true"});
    let job = site
        .job(&site.operator, cluster_job("/Shared/n", &sp.app_id, &conf))
        .await;
    could_not_start(
        &site.run(job).await.0,
        "INVALID_RUN_CONFIGURATION",
        "passthrough",
    );
}

#[tokio::test]
async fn row_6g_without_run_as_it_runs_as_its_creator() {
    let site = Site::start().await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", None))
        .await;
    succeeded(&site.run(job).await.0);
    let read = site
        .op(
            "GET",
            &format!("/api/2.2/jobs/get?job_id={job}"),
            Value::Null,
        )
        .await
        .ok(200);
    assert_eq!(read["run_as_user_name"], seed::OPERATOR_CLIENT);
}

#[tokio::test]
async fn rows_7a_7b_7g_rights_on_runs() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let bob = site.person(BOB);
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", Some(&sp.app_id)))
        .await;
    let body = json!({ "job_id": job });
    let denied = site.post(&bob, "/api/2.2/jobs/run-now", body.clone()).await;
    let text =
        format!("User {BOB} does not have Manage Run or Admin or Owner permissions on job {job}");
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    let run = site.start_run(&site.operator, job).await;
    let path = format!("/api/2.2/jobs/runs/get?run_id={run}");
    let denied = site.get(&bob, &path).await;
    let text = format!(
        "User {BOB} does not have View or Admin or Manage Run or Owner permissions on job {job}"
    );
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    // Running needs a right on the job and none on the service principal.
    let acl =
        json!({"access_control_list": [{"user_name": BOB, "permission_level": "CAN_MANAGE_RUN"}]});
    site.op("PATCH", &format!("/api/2.0/permissions/jobs/{job}"), acl)
        .await
        .ok(200);
    site.post(&bob, "/api/2.2/jobs/run-now", body).await.ok(200);
    succeeded(&site.get(&bob, &path).await.ok(200));
    let absent = site
        .op("POST", "/api/2.2/jobs/run-now", json!({"job_id": 7}))
        .await;
    assert!(
        [400, 404].contains(&absent.status) && absent.body["message"] == "Job 7 does not exist."
    );
    assert_eq!(
        site.post(&bob, "/api/2.2/jobs/run-now", json!({"job_id": 7}))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn rows_7h_and_7i_after_binding() {
    let site = Site::start().await;
    let sp = runner(&site).await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", Some(&sp.app_id)))
        .await;
    let set = site.rules(&site.operator, &sp.app_id).await.ok(200);
    let manager = json!([set["grant_rules"][0]]);
    site.put_rules(&site.operator, &sp.app_id, &set["etag"], manager)
        .await
        .ok(200);
    succeeded(&site.run(job).await.0);
    let path = format!("{SCIM}/ServicePrincipals/{}", sp.scim_id);
    site.op("DELETE", &path, Value::Null).await.ok(204);
    let text = format!(
        "Invalid user: '{}' does not exist or deactivated",
        sp.app_id
    );
    could_not_start(&site.run(job).await.0, "UNAUTHORIZED_ERROR", &text);
}

#[tokio::test]
async fn submitted_runs_take_parameters_and_python() {
    let site = Site::start().await;
    site.notebook("/Shared/p", "SQL", "SELECT :who AS who")
        .await;
    let python = "# Databricks notebook source\nrow = spark.sql('''SELECT 6 * 7 AS n''').collect()[0]\ndbutils.notebook.exit(\n  str(row[0])\n)";
    site.notebook("/Shared/py", "PYTHON", python).await;
    site.notebook("/Shared/not", "PYTHON", "for x in range(3): print(x)")
        .await;
    let submit = |path: &str| {
        let task = json!({"task_key": "main", "notebook_task": {"notebook_path": path, "base_parameters": {"who": "ana"}}});
        json!({ "run_name": "once", "tasks": [task] })
    };
    let mut results = Vec::new();
    for path in ["/Shared/p", "/Shared/py", "/Shared/not"] {
        let body = site
            .op("POST", "/api/2.1/jobs/runs/submit", submit(path))
            .await
            .ok(200);
        let output = format!("/api/2.1/jobs/runs/get-output?run_id={}", body["run_id"]);
        results.push(site.op("GET", &output, Value::Null).await.ok(200));
    }
    assert!(text(&results[0]["notebook_output"]["result"]).contains("ana"));
    assert_eq!(results[1]["notebook_output"]["result"], "42");
    assert!(text(&results[2]["error"]).contains("the simulator does not run this Python"));
}
