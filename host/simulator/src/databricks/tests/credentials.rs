//! 17.0, 17.1 and the bootstrap rows of 17.2: who is let in.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn row_0a_no_credential() {
    let site = Site::start().await;
    let path = format!("{SCIM}/Me");
    let none = site
        .cloud
        .send("GET", seed::WORKSPACE_HOST, &path, None, None, &[])
        .await;
    refused(
        &none,
        401,
        401,
        "Credential was not sent or was of an unsupported type for this API.",
    );
    let headers = [("authorization", "Basic anVuaw==")];
    let basic = site
        .cloud
        .send("GET", seed::WORKSPACE_HOST, &path, None, None, &headers)
        .await;
    refused(&basic, 401, 401, "unsupported type");
}

#[tokio::test]
async fn row_0b_bad_pat() {
    let site = Site::start().await;
    let got = site
        .get(
            "dapi00000000000000000000000000000000-2",
            &format!("{SCIM}/Me"),
        )
        .await;
    refused(&got, 403, 403, "Invalid access token.");
    assert_eq!(
        got.header("x-databricks-reason-phrase"),
        "Invalid access token."
    );
}

#[tokio::test]
async fn row_0c_tokens_end_thirty_seconds_early() {
    let site = Site::start().await;
    site.cloud.world().advance(Duration::from_secs(3599 - 40));
    site.op("GET", &format!("{SCIM}/Me"), Value::Null)
        .await
        .ok(200);
    site.cloud.world().advance(Duration::from_secs(20));
    assert_eq!(
        site.op("GET", &format!("{SCIM}/Me"), Value::Null)
            .await
            .status,
        403
    );
    site.cloud.world().advance(Duration::from_mins(1));
    assert_eq!(
        site.op("GET", &format!("{SCIM}/Me"), Value::Null)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn row_0d_wrong_audience() {
    let site = Site::start().await;
    let token = site.cloud.token("https://management.azure.com").await;
    assert_eq!(site.get(&token, &format!("{SCIM}/Me")).await.status, 401);
}

#[tokio::test]
async fn row_0e_wrong_tenant() {
    let site = Site::start().await;
    let own = "66666666-0000-4000-8000-000000000006";
    site.cloud
        .world()
        .write(|state| state.databricks.workspace.tenant_id = own.into());
    let got = site.op("GET", &format!("{SCIM}/Me"), Value::Null).await;
    let text = format!(
        "Expected iss claim to be: https://sts.windows.net/{own}/, but was: https://sts.windows.net/{}/",
        seed::TENANT
    );
    refused(&got, 400, 400, &text);
}

#[tokio::test]
async fn rows_0f_and_0g_account_paths() {
    let site = Site::start().await;
    let got = site
        .account(
            &site.operator,
            "GET",
            "/scim/v2/ServicePrincipals",
            Value::Null,
        )
        .await;
    let text = "This API is disabled for users without account admin status. Contact your administrator for more information.";
    refused(&got, 403, "PERMISSION_DENIED", text);
    let ana = site.person(ANA);
    site.account(&ana, "GET", "/scim/v2/ServicePrincipals", Value::Null)
        .await
        .ok(200);
    let path = format!(
        "/api/2.0/accounts/{}/scim/v2/ServicePrincipals",
        site.account_id()
    );
    let page = site.get(&ana, &path).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{:?}",
        page.headers
    );
    let me = site
        .cloud
        .send(
            "GET",
            ACCOUNTS,
            &format!("{SCIM}/Me"),
            Some(&ana),
            None,
            &[],
        )
        .await;
    assert!(me.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn loopback_serves_both_planes() {
    let site = Site::start().await;
    let host = site.cloud.running.http_address().to_string();
    let ana = site.person(ANA);
    let path = format!("/api/2.0/accounts/{}/scim/v2/Groups", site.account_id());
    site.cloud
        .send("GET", &host, &path, Some(&ana), None, &[])
        .await
        .ok(200);
    let path = format!("{SCIM}/Me");
    let me = site
        .cloud
        .send("GET", &host, &path, Some(&ana), None, &[])
        .await;
    assert_eq!(me.header("x-databricks-org-id"), seed::WORKSPACE_ID);
    assert_eq!(me.ok(200)["userName"], ANA);
}

#[tokio::test]
async fn row_1e_entra_secret_is_no_databricks_secret() {
    let site = Site::start().await;
    let sp = site.sp("m2m").await;
    let request = |secret: String| {
        site.cloud
            .client
            .post(site.cloud.url("/oidc/v1/token"))
            .header("host", seed::WORKSPACE_HOST)
            .basic_auth(&sp.app_id, Some(secret))
            .form(&[("grant_type", "client_credentials"), ("scope", "all-apis")])
            .send()
    };
    let got = request(sp.secret.clone()).await.unwrap();
    assert_eq!(got.status(), 401);
    let body: Value = got.json().await.unwrap();
    assert_eq!(body["error"], "invalid_client");
    assert_eq!(body["error_description"], "Client authentication failed");
    assert!(body["error_id"].is_string());

    let path = format!(
        "/api/2.0/accounts/servicePrincipals/{}/credentials/secrets",
        sp.scim_id
    );
    let secret = site
        .op("POST", &path, json!({"lifetime": "3600s"}))
        .await
        .ok(200);
    let got = request(text(&secret["secret"])).await.unwrap();
    assert_eq!(got.status(), 200);
    let body: Value = got.json().await.unwrap();
    assert_eq!(body["expires_in"], 3600);
    let me = site
        .get(
            body["access_token"].as_str().unwrap(),
            &format!("{SCIM}/Me"),
        )
        .await
        .ok(200);
    assert_eq!(me["userName"], sp.app_id.as_str());
    let path = format!("/api/2.0/accounts/{}/scim/v2/Groups", site.account_id());
    let token = body["access_token"].as_str();
    let crossed = site
        .cloud
        .send("GET", ACCOUNTS, &path, token, None, &[])
        .await;
    refused(&crossed, 403, 403, "Invalid access token.");
}

#[tokio::test]
async fn row_2c_valid_token_of_a_stranger() {
    let site = Site::start().await;
    let [app_id, _, _, secret] = site.cloud.register("stranger").await;
    let token = site.cloud.token_of(&app_id, &secret, DATABRICKS).await;
    refused(
        &site.get(&token, &format!("{SCIM}/Me")).await,
        403,
        403,
        "User not authorized.",
    );
}

#[tokio::test]
async fn rows_2d_and_2e_management_headers() {
    let site = Site::start().await;
    let [app_id, _, oid, secret] = site.cloud.register("newcomer").await;
    let token = site.cloud.token_of(&app_id, &secret, DATABRICKS).await;
    let arm = "https://management.core.windows.net/";
    let management = site.cloud.token_of(&app_id, &secret, arm).await;
    let resource = seed::resource_id("Microsoft.Databricks/workspaces", seed::WORKSPACE);
    let headers = [
        (
            "x-databricks-azure-sp-management-token",
            management.as_str(),
        ),
        (
            "x-databricks-azure-workspace-resource-id",
            resource.as_str(),
        ),
    ];
    let path = format!("{SCIM}/Me");
    let host = seed::WORKSPACE_HOST;
    let without = site
        .cloud
        .send("GET", host, &path, Some(&token), None, &headers)
        .await;
    assert_eq!(without.status, 403);

    let contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let assignment = format!(
        "{resource}/providers/Microsoft.Authorization/roleAssignments/12345678-0000-4000-8000-000000000001"
    );
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{contributor}",
        seed::SUBSCRIPTION
    );
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": oid, "principalType": "ServicePrincipal"}});
    site.cloud.arm("PUT", &assignment, Some(body)).await.ok(201);
    let me = site
        .cloud
        .send("GET", host, &path, Some(&token), None, &headers)
        .await
        .ok(200);
    assert!(
        me["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|group| group["display"] == "admins")
    );
    site.get(&token, &path).await.ok(200);
}

#[tokio::test]
async fn row_2n_account_principal_without_assignment() {
    let site = Site::start().await;
    let ana = site.person(ANA);
    let body = json!({ "displayName": "account only" });
    let sp = site
        .account(&ana, "POST", "/scim/v2/ServicePrincipals", body)
        .await
        .ok(201);
    let (id, app_id) = (text(&sp["id"]), text(&sp["applicationId"]));
    let path = format!("/servicePrincipals/{id}/credentials/secrets");
    let secret = site.account(&ana, "POST", &path, json!({})).await.ok(200);
    let secret = text(&secret["secret"]);
    let token = |path: String, host: &'static str| {
        site.cloud
            .client
            .post(site.cloud.url(&path))
            .header("host", host)
            .basic_auth(&app_id, Some(&secret))
            .form(&[("grant_type", "client_credentials")])
            .send()
    };
    let workspace = || token("/oidc/v1/token".into(), seed::WORKSPACE_HOST);
    assert_eq!(workspace().await.unwrap().status(), 401);
    let account = format!("/oidc/accounts/{}/v1/token", site.account_id());
    assert_eq!(token(account, ACCOUNTS).await.unwrap().status(), 200);
    let wrong = format!("/oidc/accounts/{UNKNOWN}/v1/token");
    assert_eq!(token(wrong, ACCOUNTS).await.unwrap().status(), 401);

    let path = format!(
        "/workspaces/{}/permissionassignments/principals/{id}",
        seed::WORKSPACE_ID
    );
    let body = json!({"permissions": ["USER"]});
    let assigned = site.account(&ana, "PUT", &path, body).await.ok(200);
    assert_eq!(assigned["permissions"], json!(["USER"]));
    assert_eq!(workspace().await.unwrap().status(), 200);
    site.account(&ana, "DELETE", &path, Value::Null)
        .await
        .ok(200);
    assert_eq!(workspace().await.unwrap().status(), 401);
}

#[tokio::test]
async fn what_needs_no_credential() {
    let site = Site::start().await;
    let get = |host: &'static str, path: &'static str| {
        site.cloud.send("GET", host, path, None, None, &[])
    };
    let config = get(seed::WORKSPACE_HOST, "/.well-known/databricks-config")
        .await
        .ok(200);
    assert_eq!(
        config["oidc_endpoint"],
        format!("http://{}/oidc", seed::WORKSPACE_HOST)
    );
    assert_eq!(config["account_id"], site.account_id());
    assert_eq!(config["workspace_id"], seed::WORKSPACE_ID);
    let account = get(ACCOUNTS, "/.well-known/databricks-config")
        .await
        .ok(200);
    assert_eq!(account["host_type"], "account");
    let discovery = get(
        seed::WORKSPACE_HOST,
        "/oidc/.well-known/oauth-authorization-server",
    )
    .await;
    let endpoint = text(&discovery.ok(200)["token_endpoint"]);
    assert_eq!(
        endpoint,
        format!("http://{}/oidc/v1/token", seed::WORKSPACE_HOST)
    );
    let missing = get(seed::WORKSPACE_HOST, "/api/2.0/nothing/here").await;
    refused(
        &missing,
        404,
        "ENDPOINT_NOT_FOUND",
        "No API found for 'GET /api/2.0/nothing/here'",
    );
    let method = site
        .op("DELETE", "/api/2.0/token/create", Value::Null)
        .await;
    refused(
        &method,
        404,
        "ENDPOINT_NOT_FOUND",
        "No API found for 'DELETE /api/2.0/token/create'",
    );

    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let tenant = client
        .get(site.cloud.url("/aad/auth"))
        .send()
        .await
        .unwrap();
    assert_eq!(tenant.status(), 302);
    let location = tenant.headers()["location"].to_str().unwrap();
    let expected = format!(
        "https://login.microsoftonline.com/{}/oauth2/authorize",
        seed::TENANT
    );
    assert!(location.starts_with(&expected), "{location}");
}

#[tokio::test]
async fn federated_tokens_are_exchanged() {
    let site = Site::start().await;
    let ana = site.person(ANA);
    let sp = site.sp("federated").await;
    let path = format!("/servicePrincipals/{}/federationPolicies", sp.scim_id);
    let policy = json!({"oidc_policy": {
        "issuer": format!("https://sts.windows.net/{}/", seed::TENANT),
        "audiences": ["https://vault.azure.net"],
        "subject": seed::OPERATOR_PRINCIPAL,
    }});
    let named = format!("{path}?policy_id=ci");
    let denied = site
        .account(&site.operator, "POST", &named, policy.clone())
        .await;
    assert_eq!(denied.status, 403);
    let made = site
        .account(&ana, "POST", &named, policy.clone())
        .await
        .ok(200);
    assert_eq!(made["policy_id"], "ci");
    refused(
        &site.account(&ana, "POST", &named, policy).await,
        409,
        "ALREADY_EXISTS",
        "ci",
    );

    let exchange = |token: String| {
        let fields = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange".to_owned(),
            ),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:jwt".to_owned(),
            ),
            ("subject_token", token),
            ("scope", "all-apis".to_owned()),
            ("client_id", sp.app_id.clone()),
        ];
        let url = site.cloud.url("/oidc/v1/token");
        site.cloud
            .client
            .post(url)
            .header("host", seed::WORKSPACE_HOST)
            .form(&fields)
            .send()
    };
    let foreign = site.cloud.token("https://vault.azure.net").await;
    let body: Value = exchange(foreign).await.unwrap().json().await.unwrap();
    let me = site
        .get(
            body["access_token"].as_str().unwrap(),
            &format!("{SCIM}/Me"),
        )
        .await
        .ok(200);
    assert_eq!(me["userName"], sp.app_id.as_str());
    let refused = exchange(site.operator.clone()).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(
        refused.json::<Value>().await.unwrap()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn secrets_of_a_service_principal_come_in_pages() {
    let site = Site::start().await;
    let sp = site.sp("paged").await;
    let path = format!(
        "/api/2.0/accounts/servicePrincipals/{}/credentials/secrets",
        sp.scim_id
    );
    for _ in 0..3 {
        site.op("POST", &path, json!({})).await.ok(200);
    }
    let first = format!("{path}?page_size=2");
    let first = site.op("GET", &first, Value::Null).await.ok(200);
    assert_eq!(first["secrets"].as_array().unwrap().len(), 2);
    let token = text(&first["next_page_token"]);
    let second = format!("{path}?page_size=2&page_token={token}");
    let second = site.op("GET", &second, Value::Null).await.ok(200);
    assert_eq!(second["secrets"].as_array().unwrap().len(), 1);
    assert!(second.get("next_page_token").is_none());
}
