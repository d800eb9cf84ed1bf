use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    entra,
    faults::Fault,
    seed::{OPERATOR_CLIENT, OPERATOR_PRINCIPAL, TENANT},
    testing::{Cloud, GRAPH, LOGIN, SECRET},
};

const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default";

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn fields<'a>(resource: &'a (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", OPERATOR_CLIENT),
        ("client_secret", SECRET),
        *resource,
    ]
}

#[tokio::test]
async fn v2_answers_numbers_and_a_v1_token() {
    let cloud = Cloud::start().await;
    let got = cloud.grant(OPERATOR_CLIENT, SECRET, DATABRICKS).await;
    assert!(got.header("cache-control").contains("no-store"));
    assert_eq!(got.headers.get_all("cache-control").iter().count(), 1);
    assert_eq!(
        got.header("content-length"),
        got.body.to_string().len().to_string()
    );
    let body = got.ok(200);
    assert_eq!(body["expires_in"], 3599);
    let claims = claims(body["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(claims["appid"], OPERATOR_CLIENT);
    assert_eq!(claims["oid"], OPERATOR_PRINCIPAL);
    assert_eq!(claims["idtyp"], "app");
    assert_eq!(claims["ver"], "1.0");
    assert_eq!(claims.get("roles"), None);
    let graph = cloud.token("https://graph.microsoft.com").await;
    let graph = self::claims(&graph);
    assert_eq!(
        graph["roles"],
        json!(["Application.ReadWrite.OwnedBy", "User.Read.All"])
    );
}

#[tokio::test]
async fn v1_answers_strings() {
    let cloud = Cloud::start().await;
    let path = format!("/{TENANT}/oauth2/token");
    let got = cloud
        .form(&path, &fields(&("resource", "https://storage.azure.com/")))
        .await;
    assert!(got.header("content-type").starts_with("application/json"));
    let body = got.ok(200);
    for name in [
        "expires_in",
        "ext_expires_in",
        "expires_on",
        "not_before",
        "resource",
    ] {
        assert!(body[name].is_string(), "{name}: {body}");
    }
    assert_eq!(
        claims(body["access_token"].as_str().unwrap())["aud"],
        "https://storage.azure.com/"
    );
}

/// Things that look odd and must work (reference, sections 1.1 and 7).
#[tokio::test]
async fn unusual_requests_are_granted() {
    let cloud = Cloud::start().await;
    for scope in [
        "https://management.core.windows.net//.default",
        "https://storage.azure.com//.default",
        "https://storage.azure.com/.default",
        "https://vault.azure.net/.default",
        "00000003-0000-0000-c000-000000000000/.default",
    ] {
        cloud.grant(OPERATOR_CLIENT, SECRET, scope).await.ok(200);
    }
    let mut more = fields(&("scope", DATABRICKS));
    more.extend([("client_info", "1"), ("claims", "{\"access_token\":{}}")]);
    cloud
        .form("/contoso.onmicrosoft.com/oauth2/v2.0/token", &more)
        .await
        .ok(200);
    let mut python = fields(&("resource", "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"));
    python.push(("scope", "all-apis"));
    cloud
        .form(&format!("/{TENANT}/oauth2/token"), &python)
        .await
        .ok(200);
    let basic = BASE64_STANDARD.encode(format!("{OPERATOR_CLIENT}:{SECRET}"));
    let request = cloud
        .client
        .post(cloud.url(&format!("/{TENANT}/oauth2/v2.0/token/")))
        .header("authorization", format!("Basic {basic}"))
        .form(&[("grant_type", "client_credentials"), ("scope", DATABRICKS)]);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn r01_unknown_tenant() {
    let cloud = Cloud::start().await;
    let other = "99999999-2222-4333-8444-555555555555";
    let path = format!("/{other}/oauth2/v2.0/token");
    let got = cloud.form(&path, &fields(&("scope", DATABRICKS))).await;
    assert!(got.aadsts(400, "invalid_request", 90002).contains(other));
    let got = cloud
        .form("/nonsense/oauth2/token", &fields(&("resource", "x")))
        .await;
    got.aadsts(400, "invalid_request", 900_023);
    let path = format!("/{other}/v2.0/.well-known/openid-configuration");
    let got = cloud.send("GET", LOGIN, &path, None, None, &[]).await;
    got.aadsts(400, "invalid_request", 90002);
}

#[tokio::test]
async fn r02_r03_r09_the_application_and_its_principal() {
    let cloud = Cloud::start().await;
    let stranger = "12345678-0000-4000-8000-000000000000";
    let got = cloud.grant(stranger, SECRET, DATABRICKS).await;
    got.aadsts(400, "unauthorized_client", 700_016);

    let body = json!({"displayName": "bare", "signInAudience": "AzureADMyOrg"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    let app_id = app["appId"].as_str().unwrap();
    let got = cloud.grant(app_id, SECRET, DATABRICKS).await;
    got.aadsts(401, "invalid_client", 7_000_229);

    let [app_id, _, sp, secret] = cloud.register("whole").await;
    cloud.grant(&app_id, &secret, DATABRICKS).await.ok(200);
    let path = format!("/servicePrincipals/{sp}");
    cloud
        .graph("PATCH", &path, Some(json!({"accountEnabled": false})))
        .await
        .ok(204);
    let got = cloud.grant(&app_id, &secret, DATABRICKS).await;
    got.aadsts(400, "unauthorized_client", 7_000_112);
}

#[tokio::test]
async fn r04_r05_r06_secrets() {
    let cloud = Cloud::start().await;
    let got = cloud.grant(OPERATOR_CLIENT, "wrong", DATABRICKS).await;
    assert!(
        got.aadsts(401, "invalid_client", 7_000_215)
            .contains(OPERATOR_CLIENT)
    );

    let [app_id, id, _, first] = cloud.register("app").await;
    let app = cloud
        .graph("GET", &format!("/applications/{id}"), None)
        .await
        .ok(200);
    let key_id = app["passwordCredentials"][0]["keyId"].as_str().unwrap();
    let got = cloud.grant(&app_id, key_id, DATABRICKS).await;
    got.aadsts(401, "invalid_client", 7_000_215);

    let add = format!("/applications/{id}/addPassword");
    let add = |body| cloud.graph("POST", &add, Some(json!({"passwordCredential": body})));
    let old = add(json!({"endDateTime": "2025-01-01T00:00:00Z"}))
        .await
        .ok(200);
    let got = cloud
        .grant(&app_id, old["secretText"].as_str().unwrap(), DATABRICKS)
        .await;
    got.aadsts(401, "invalid_client", 7_000_222);
    let future = json!({
        "startDateTime": "2098-01-01T00:00:00Z", "endDateTime": "2099-01-01T00:00:00Z",
    });
    let future = add(future).await.ok(200);
    let got = cloud
        .grant(&app_id, future["secretText"].as_str().unwrap(), DATABRICKS)
        .await;
    got.aadsts(401, "invalid_client", 7_000_215);

    cloud.grant(&app_id, &first, DATABRICKS).await.ok(200);
    let path = format!("/applications/{id}/removePassword");
    cloud
        .graph("POST", &path, Some(json!({"keyId": key_id})))
        .await
        .ok(204);
    let got = cloud.grant(&app_id, &first, DATABRICKS).await;
    got.aadsts(401, "invalid_client", 7_000_215);
}

#[tokio::test]
async fn r07_r08_r11_the_form() {
    let cloud = Cloud::start().await;
    let got = cloud.grant(OPERATOR_CLIENT, SECRET, "all-apis").await;
    got.aadsts(400, "invalid_scope", 1_002_012);
    let two = "https://vault.azure.net/.default https://storage.azure.com/.default";
    cloud
        .grant(OPERATOR_CLIENT, SECRET, two)
        .await
        .aadsts(400, "invalid_scope", 70011);
    let typo = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1e/.default";
    cloud
        .grant(OPERATOR_CLIENT, SECRET, typo)
        .await
        .aadsts(400, "invalid_resource", 500_011);

    let path = format!("/{TENANT}/oauth2/v2.0/token");
    for missing in ["grant_type", "client_id", "scope"] {
        let mut form = fields(&("scope", DATABRICKS));
        form.retain(|(name, _)| *name != missing);
        let got = cloud.form(&path, &form).await;
        assert!(
            got.aadsts(400, "invalid_request", 900_144)
                .contains(missing)
        );
    }
    let mut form = fields(&("scope", DATABRICKS));
    form.retain(|(name, _)| *name != "client_secret");
    cloud
        .form(&path, &form)
        .await
        .aadsts(401, "invalid_client", 7_000_216);
    form.retain(|(name, _)| *name != "grant_type");
    form.push(("grant_type", "password"));
    cloud
        .form(&path, &form)
        .await
        .aadsts(400, "unsupported_grant_type", 70003);
    let got = cloud
        .send("POST", LOGIN, &path, None, Some(json!({"scope": "x"})), &[])
        .await;
    got.aadsts(400, "invalid_request", 900_144);
}

#[tokio::test]
async fn r12_bearers_at_graph() {
    let cloud = Cloud::start().await;
    let path = "/v1.0/organization";
    let got = cloud.send("GET", GRAPH, path, None, None, &[]).await;
    assert_eq!(
        got.refused(401, "InvalidAuthenticationToken"),
        "Access token is empty."
    );
    let vault = cloud.token("https://vault.azure.net").await;
    let got = cloud
        .send("GET", GRAPH, path, Some(&vault), None, &[])
        .await;
    assert!(
        got.refused(401, "InvalidAuthenticationToken")
            .contains("Invalid audience")
    );
    let token = cloud.token("https://graph.microsoft.com").await;
    cloud
        .send("GET", GRAPH, path, Some(&token), None, &[])
        .await
        .ok(200);
    let forged = format!("{}AAAA", token.get(..token.len() - 4).unwrap());
    let got = cloud
        .send("GET", GRAPH, path, Some(&forged), None, &[])
        .await;
    got.refused(401, "InvalidAuthenticationToken");
    cloud.pass(3600);
    let got = cloud
        .send("GET", GRAPH, path, Some(&token), None, &[])
        .await;
    assert!(
        got.refused(401, "InvalidAuthenticationToken")
            .contains("expired")
    );
}

#[tokio::test]
async fn a_token_from_common_has_no_identity() {
    let cloud = Cloud::start().await;
    let scope = ("scope", "https://graph.microsoft.com/.default");
    let got = cloud
        .form("/common/oauth2/v2.0/token", &fields(&scope))
        .await
        .ok(200);
    let token = got["access_token"].as_str().unwrap();
    let got = cloud
        .send("GET", GRAPH, "/v1.0/organization", Some(token), None, &[])
        .await;
    got.refused(401, "Authorization_IdentityNotFound");
}

#[tokio::test]
async fn discovery_and_keys() {
    let cloud = Cloud::start().await;
    let get = |path: String| {
        let cloud = &cloud;
        async move {
            cloud
                .send("GET", LOGIN, &path, None, None, &[])
                .await
                .ok(200)
        }
    };
    let v2 = get(format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    assert_eq!(
        v2["issuer"],
        format!("https://login.microsoftonline.com/{TENANT}/v2.0")
    );
    assert_eq!(
        v2["token_endpoint"],
        format!("http://{LOGIN}/{TENANT}/oauth2/v2.0/token")
    );
    let keys = get(format!("/{TENANT}/discovery/v2.0/keys")).await;
    let token = cloud.token("https://graph.microsoft.com").await;
    let header: Value = serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap(),
    )
    .unwrap();
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
    let endpoint = format!("https%3A%2F%2F{LOGIN}%2F{TENANT}%2Foauth2%2Fv2.0%2Fauthorize");
    let known = get(format!(
        "/common/discovery/instance?api-version=1.0&authorization_endpoint={endpoint}"
    ))
    .await;
    assert_eq!(known["metadata"][0]["preferred_network"], LOGIN);
    let path = "/common/discovery/instance?authorization_endpoint=https://example.com/x/y";
    let got = cloud.send("GET", LOGIN, path, None, None, &[]).await;
    assert_eq!(
        (got.status, &got.body["error"]),
        (400, &json!("invalid_instance"))
    );
}

/// R40: what Spark's token provider quotes in the driver log.
#[tokio::test]
async fn r40_spark_sees_the_v1_error_body() {
    let cloud = Cloud::start().await;
    let world = cloud.world();
    let ask = |secret: &str| {
        world.read(|state| {
            entra::tokens::client_credentials(
                &world,
                state,
                TENANT,
                OPERATOR_CLIENT,
                secret,
                "https://storage.azure.com/",
            )
        })
    };
    let claims = entra::tokens::verify(&world, &ask(SECRET).unwrap()).unwrap();
    assert_eq!(claims.oid, OPERATOR_PRINCIPAL);
    let failure = ask("rotated").unwrap_err();
    assert_eq!(failure.status, 401);
    assert_eq!(failure.body["error_codes"], json!([7_000_215]));
}

#[tokio::test]
async fn the_error_tail_can_be_the_old_one() {
    let cloud = Cloud::start().await;
    let fault: Fault = serde_json::from_value(json!({
        "path": "/*/oauth2/v2.0/token", "times": 1, "action": "crlf_error_tail",
    }))
    .unwrap();
    cloud.world().add_fault(fault);
    let got = cloud.grant(OPERATOR_CLIENT, "wrong", DATABRICKS).await;
    assert!(
        got.body["error_description"]
            .as_str()
            .unwrap()
            .contains("\r\nTrace ID: ")
    );
    cloud
        .grant(OPERATOR_CLIENT, "wrong", DATABRICKS)
        .await
        .aadsts(401, "invalid_client", 7_000_215);
}
