//! 17.3 and 17.6: rule sets, and binding jobs to a service principal.

use super::*;

const USER: &str = "roles/servicePrincipal.user";
const MANAGER: &str = "roles/servicePrincipal.manager";

#[track_caller]
fn cannot_bind(got: &Got, app_id: &str) {
    let text = format!(
        "Cannot bind the service principal provided in 'run_as' field ({app_id}) to the job."
    );
    refused(got, 403, "PERMISSION_DENIED", &text);
    let tail = "must have 'servicePrincipal.user' role on the service principal.";
    refused(got, 403, "PERMISSION_DENIED", tail);
}

#[tokio::test]
async fn rows_3a_to_3e_who_may_bind() {
    let site = Site::start().await;
    let sp = site.sp("bound").await;
    let job = notebook_job("/Shared/x", Some(&sp.app_id));
    // The operator is a workspace admin and, as its creator, the manager.
    cannot_bind(
        &site.create_job(&site.operator, job.clone()).await,
        &sp.app_id,
    );
    cannot_bind(&site.create_job(&sp.token, job.clone()).await, &sp.app_id);
    let bob = site.person(BOB);
    cannot_bind(&site.create_job(&bob, job.clone()).await, &sp.app_id);
    site.grant(&sp.app_id, USER, &format!("users/{BOB}")).await;
    // Bob is no admin and no manager, and cannot create clusters.
    site.job(&bob, job.clone()).await;
    site.job(&bob, cluster_job("/Shared/x", &sp.app_id, &json!({})))
        .await;

    let ana = site.person(ANA);
    cannot_bind(&site.create_job(&ana, job.clone()).await, &sp.app_id);
    let group = site
        .account(
            &ana,
            "POST",
            "/scim/v2/Groups",
            json!({"displayName": "binders"}),
        )
        .await
        .ok(201);
    let ana_id = text(&site.get(&ana, &format!("{SCIM}/Me")).await.ok(200)["id"]);
    let path = format!("/scim/v2/Groups/{}", text(&group["id"]));
    let add =
        json!({"Operations": [{"op": "add", "path": "members", "value": [{"value": ana_id}]}]});
    site.account(&ana, "PATCH", &path, add).await.ok(204);
    site.grant(&sp.app_id, USER, "groups/binders").await;
    site.job(&ana, job).await;
}

#[tokio::test]
async fn rows_2f_and_2g_unknown_principals() {
    let site = Site::start().await;
    let sp = site.sp("named").await;
    for name in [UNKNOWN, "named", sp.oid.as_str(), sp.scim_id.as_str()] {
        let got = site
            .create_job(&site.operator, notebook_job("/Shared/x", Some(name)))
            .await;
        let text = format!(
            "'{name}' cannot be set as run_as service principal, because it doesn't exist."
        );
        refused(&got, 400, "INVALID_PARAMETER_VALUE", &text);
    }
}

#[tokio::test]
async fn rows_3f_3g_3j_3k_writing_rules() {
    let site = Site::start().await;
    let sp = site.sp("ruled").await;
    let operator = format!("servicePrincipals/{}", seed::OPERATOR_CLIENT);
    let first = site.rules(&site.operator, &sp.app_id).await.ok(200);
    assert_eq!(
        first["grant_rules"][0],
        json!({"role": MANAGER, "principals": [operator]})
    );
    let rules = json!([
        {"role": MANAGER, "principals": [operator]},
        {"role": USER, "principals": [format!("users/{ANA}")]},
    ]);
    let no_etag = site
        .put_rules(&site.operator, &sp.app_id, &Value::Null, rules.clone())
        .await;
    refused(
        &no_etag,
        400,
        "INVALID_PARAMETER_VALUE",
        "Missing required field: rule_set.etag",
    );
    let second = site
        .put_rules(&site.operator, &sp.app_id, &first["etag"], rules.clone())
        .await
        .ok(200);
    assert_ne!(second["etag"], first["etag"]);
    let stale = site
        .put_rules(&site.operator, &sp.app_id, &first["etag"], rules)
        .await;
    refused(
        &stale,
        409,
        "RESOURCE_CONFLICT",
        "Conflict with another RuleSet operation",
    );
    for principal in ["groups/", "ana@contoso.com", "users/nobody@contoso.com"] {
        let rules = json!([{"role": USER, "principals": [principal]}]);
        let got = site
            .put_rules(&site.operator, &sp.app_id, &second["etag"], rules)
            .await;
        let text = format!("Unsupported principal: {principal}");
        refused(&got, 400, "INVALID_PARAMETER_VALUE", &text);
    }
    // Dropping oneself is accepted, and then one is out.
    let rules = json!([{"role": USER, "principals": [operator]}]);
    site.put_rules(&site.operator, &sp.app_id, &second["etag"], rules)
        .await
        .ok(200);
    assert_eq!(site.rules(&site.operator, &sp.app_id).await.status, 403);
    // An account admin can repair it.
    site.rules(&site.person(ANA), &sp.app_id).await.ok(200);
}

#[tokio::test]
async fn rows_3h_and_3i_reading_rules() {
    let site = Site::start().await;
    let sp = site.sp("guarded").await;
    let denied = site.rules(&site.person(BOB), &sp.app_id).await;
    refused(&denied, 403, "PERMISSION_DENIED", "");
    let by_number = site.rules(&site.operator, &sp.scim_id).await;
    assert!([400, 404].contains(&by_number.status));
    let path = "/api/2.0/preview/accounts/access-control/assignable-roles?resource=";
    let resource = format!(
        "accounts/{}/servicePrincipals/{}",
        site.account_id(),
        sp.app_id
    );
    let roles = site
        .op("GET", &format!("{path}{resource}"), Value::Null)
        .await
        .ok(200);
    assert_eq!(roles, json!({"roles": [{"name": MANAGER}, {"name": USER}]}));
}

#[tokio::test]
async fn rules_are_read_late_by_profile() {
    let site = Site::with(Profile::Typical).await;
    let body = json!({ "applicationId": UNKNOWN });
    site.op("POST", &format!("{SCIM}/ServicePrincipals"), body)
        .await
        .ok(201);
    let first = site.rules(&site.operator, UNKNOWN).await.ok(200);
    let second = site
        .put_rules(
            &site.operator,
            UNKNOWN,
            &first["etag"],
            first["grant_rules"].clone(),
        )
        .await;
    let second = second.ok(200);
    assert_eq!(
        site.rules(&site.operator, UNKNOWN).await.ok(200)["etag"],
        first["etag"]
    );
    site.cloud.pass(60);
    assert_eq!(
        site.rules(&site.operator, UNKNOWN).await.ok(200)["etag"],
        second["etag"]
    );
}

#[tokio::test]
async fn rows_6a_to_6g_run_as() {
    let site = Site::start().await;
    let sp = site.sp("runner").await;
    let bob = site.person(BOB);
    site.grant(&sp.app_id, USER, &format!("users/{BOB}")).await;
    let job = site
        .job(&bob, notebook_job("/Shared/x", Some(&sp.app_id)))
        .await;
    let read = || async {
        site.get(&bob, &format!("/api/2.2/jobs/get?job_id={job}"))
            .await
            .ok(200)
    };
    assert_eq!(read().await["run_as_user_name"], sp.app_id.as_str());
    assert_eq!(read().await["creator_user_name"], BOB);

    let rename = json!({"job_id": job, "new_settings": {"name": "renamed"}});
    site.post(&bob, "/api/2.2/jobs/update", rename.clone())
        .await
        .ok(200);
    let reset = json!({"job_id": job, "new_settings": notebook_job("/Shared/y", None)});
    site.post(&bob, "/api/2.2/jobs/reset", reset).await.ok(200);
    assert_eq!(read().await["run_as_user_name"], sp.app_id.as_str());

    let denied = site.post(&sp.token, "/api/2.2/jobs/update", rename).await;
    let text = format!(
        "User {} does not have Admin or Owner permissions on job {job}",
        sp.app_id
    );
    refused(&denied, 403, "PERMISSION_DENIED", &text);

    let set = |run_as: Value| json!({"job_id": job, "new_settings": {"run_as": run_as}});
    for run_as in [
        json!({}),
        json!({"user_name": BOB, "service_principal_name": sp.app_id}),
    ] {
        let got = site.post(&bob, "/api/2.2/jobs/update", set(run_as)).await;
        refused(&got, 400, "INVALID_PARAMETER_VALUE", "run_as");
    }
    let nobody = json!({"user_name": "nobody@contoso.com"});
    let got = site.post(&bob, "/api/2.2/jobs/update", set(nobody)).await;
    let text = "'nobody@contoso.com' cannot be set as run_as, either because the user does not exist or it is not active";
    refused(&got, 400, "INVALID_PARAMETER_VALUE", text);
    let other = site
        .post(
            &bob,
            "/api/2.2/jobs/update",
            set(json!({ "user_name": ANA })),
        )
        .await;
    refused(&other, 403, "PERMISSION_DENIED", "");
    site.op(
        "POST",
        "/api/2.2/jobs/update",
        set(json!({ "user_name": ANA })),
    )
    .await
    .ok(200);
    assert_eq!(read().await["run_as_user_name"], ANA);

    let restriction = "/api/2.0/settings/types/restrict_workspace_admins/names/default";
    let etag = site.op("GET", restriction, Value::Null).await.ok(200)["etag"].clone();
    let body = json!({"allow_missing": true, "setting": {"etag": etag, "restrict_workspace_admins": {"status": "RESTRICT_TOKENS_AND_JOB_RUN_AS"}}});
    site.op("PATCH", restriction, body.clone()).await.ok(200);
    let stale = site.op("PATCH", restriction, body.clone()).await;
    refused(&stale, 409, "RESOURCE_CONFLICT", "etag");
    let mut fresh = body;
    fresh["setting"]["etag"] = stale.body["details"][0]["metadata"]["etag"].clone();
    assert!(fresh["setting"]["etag"].is_string(), "{}", stale.body);
    site.op("PATCH", restriction, fresh).await.ok(200);
    let got = site
        .op(
            "POST",
            "/api/2.2/jobs/update",
            set(json!({ "user_name": BOB })),
        )
        .await;
    assert_eq!(got.status, 403);
}

#[tokio::test]
async fn rows_6e_and_6f_a_job_has_one_owner() {
    let site = Site::start().await;
    let bob = site.person(BOB);
    let job = site.job(&bob, notebook_job("/Shared/x", None)).await;
    let path = format!("/api/2.0/permissions/jobs/{job}");
    let list = |entries: Value| json!({ "access_control_list": entries });
    let owner = |name: &str| json!({"user_name": name, "permission_level": "IS_OWNER"});
    for entries in [json!([]), json!([owner(ANA), owner(BOB)])] {
        let got = site.send(&bob, "PUT", &path, list(entries)).await;
        refused(
            &got,
            400,
            "INVALID_PARAMETER_VALUE",
            "The job must have exactly one owner.",
        );
    }
    let group = json!([{"group_name": "users", "permission_level": "IS_OWNER"}]);
    refused(
        &site.send(&bob, "PUT", &path, list(group)).await,
        400,
        "INVALID_PARAMETER_VALUE",
        "",
    );
    let unknown = json!([{"service_principal_name": UNKNOWN, "permission_level": "CAN_VIEW"}]);
    let got = site.send(&bob, "PATCH", &path, list(unknown)).await;
    let text = format!("Principal: ServicePrincipalName({UNKNOWN}) does not exist");
    assert!(got.status == 404 && text == got.body["message"]);
    // Of two entries for one principal the last one counts.
    let twice = json!([owner(BOB), {"user_name": ANA, "permission_level": "CAN_MANAGE"}, {"user_name": ANA, "permission_level": "CAN_VIEW"}]);
    let got = site.send(&bob, "PUT", &path, list(twice)).await.ok(200);
    assert_eq!(got["object_id"], format!("/jobs/{job}"));
    let rows = got["access_control_list"].as_array().unwrap();
    let row = |key: &str, name: &str| rows.iter().find(|row| row[key] == name).unwrap();
    assert_eq!(
        row("user_name", ANA)["all_permissions"][0]["permission_level"],
        "CAN_VIEW"
    );
    assert_eq!(
        row("group_name", "admins")["all_permissions"][0]["inherited_from_object"],
        json!(["/jobs/"])
    );
    let ana = site.person(ANA);
    let denied = site.get(&ana, &path).await;
    let text = format!(
        "{ANA} does not have Manage permissions on Job with ID: ElasticJobId({job}). Please contact the owner or an administrator for access."
    );
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    let denied = site
        .post(&ana, "/api/2.2/jobs/run-now", json!({ "job_id": job }))
        .await;
    refused(&denied, 403, "PERMISSION_DENIED", "Manage Run");
    // The owner decides whom the job runs as when nobody said.
    let hand_over = json!([owner(ANA)]);
    site.send(&bob, "PUT", &path, list(hand_over)).await.ok(200);
    let read = site
        .get(&ana, &format!("/api/2.1/jobs/get?job_id={job}"))
        .await
        .ok(200);
    assert_eq!(read["run_as_user_name"], ANA);
}

#[tokio::test]
async fn creating_a_job_needs_workspace_access_and_deleting_it_its_owner() {
    let site = Site::start().await;
    let maker = site.sp("maker").await;
    let manager = site.sp("manager").await;
    site.entitle(&maker, "remove", "workspace-access").await;
    let denied = site
        .create_job(&maker.token, notebook_job("/Shared/n", None))
        .await;
    refused(&denied, 403, "PERMISSION_DENIED", "workspace-access");
    site.entitle(&maker, "add", "workspace-access").await;
    let job = site
        .job(&maker.token, notebook_job("/Shared/n", None))
        .await;
    let other = site
        .job(&maker.token, notebook_job("/Shared/n", None))
        .await;
    let acl = json!({"access_control_list": [
        {"service_principal_name": manager.app_id, "permission_level": "CAN_MANAGE"},
    ]});
    site.op("PATCH", &format!("/api/2.0/permissions/jobs/{job}"), acl)
        .await
        .ok(200);
    let delete = "/api/2.2/jobs/delete";
    let denied = site
        .post(&manager.token, delete, json!({ "job_id": job }))
        .await;
    let text = format!(
        "User {} does not have Admin or Owner permissions on job {job}",
        manager.app_id
    );
    refused(&denied, 403, "PERMISSION_DENIED", &text);
    site.post(&maker.token, delete, json!({ "job_id": job }))
        .await
        .ok(200);
    site.op("POST", delete, json!({ "job_id": other }))
        .await
        .ok(200);
}
