use base64::Engine as _;
use serde_json::json;

use super::*;
use crate::actor::{Actor, ActorKind};
use crate::cloud::Cloud;
use crate::target::{Credentials, SecretSource};
use crate::testing::{APP, Fate, SECRET, Seen, Server, azure, get, post, token};

#[tokio::test]
async fn real_host_names_lead_to_the_one_address() {
    let server = Server::tls(|seen, _| {
        token(seen).unwrap_or_else(|| Fate::json(200, &json!({"ok": seen.host()})))
    })
    .await;
    let cloud = azure(&server, |target| target.account_id = Some("a-1".to_owned()));
    for (service, host) in [
        (Service::Graph, "graph.microsoft.com"),
        (Service::Arm, "management.azure.com"),
        (
            Service::KeyVault {
                vault_url: "https://kv-demo.vault.azure.net".to_owned(),
            },
            "kv-demo.vault.azure.net",
        ),
        (
            Service::Storage {
                account: "stdemo".to_owned(),
            },
            "stdemo.dfs.core.windows.net",
        ),
        (Service::Databricks, "adb-1.2.azuredatabricks.net"),
        (Service::DatabricksAccount, "accounts.azuredatabricks.net"),
    ] {
        let request = Request::new(service, "x", Method::Get, Path::fixed("/x"));
        for _ in 0..2 {
            assert_eq!(cloud.send(&request).await.unwrap().body["ok"], host);
        }
    }
    let seen = server.seen();
    let tokens: Vec<&Seen> = seen
        .iter()
        .filter(|seen| seen.host() == "login.microsoftonline.com")
        .collect();
    assert_eq!(tokens.len(), 6, "one token per audience");
    assert!(
        tokens
            .iter()
            .all(|seen| seen.target == "/tenant-1/oauth2/v2.0/token")
    );
    let scopes: Vec<bool> = [
        "graph.microsoft.com",
        "management.azure.com",
        "vault.azure.net",
        "storage.azure.com",
        "2ff814a6",
    ]
    .map(|part| tokens.iter().any(|seen| seen.body.contains(part)))
    .to_vec();
    assert_eq!(scopes, [true; 5]);
    let storage = seen
        .iter()
        .find(|seen| seen.host().starts_with("stdemo"))
        .unwrap();
    assert!(
        storage.headers.contains_key("x-ms-version")
            && storage.headers["x-ms-date"].ends_with(" GMT")
    );
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let (server, other) = (
        Server::tls(|_, _| Fate::Drop).await,
        Server::tls(|_, _| Fate::Drop).await,
    );
    let cloud = azure(&server, |target| {
        target
            .endpoints
            .as_mut()
            .unwrap()
            .ca_pem
            .clone_from(&other.ca_pem);
    });
    let request = Request::new(Service::Entra, "x", Method::Get, Path::fixed("/x"));
    let failure = cloud.send(&request).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.class, failure.sent),
        ("tls", Class::Other, Sent::NotSent)
    );
}

#[tokio::test]
async fn entras_refusal_survives_azure_identity() {
    let server = Server::tls(|_, _| {
        Fate::json(
            401,
            &json!({"error": "invalid_client", "error_codes": [7_000_215], "trace_id": "t-1",
                "error_description": format!("AADSTS7000215: Invalid client secret \"{SECRET}\" provided.\r\nTrace ID: t-1")}),
        )
    })
    .await;
    let request = Request::new(
        Service::Graph,
        "users.get",
        Method::Post,
        Path::fixed("/v1.0/users"),
    );
    let failure = azure(&server, |_| {}).send(&request).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "Entra token for Graph: POST /{tenant}/oauth2/v2.0/token -> 401 AADSTS7000215/invalid_client: AADSTS7000215: Invalid client secret \"[secret]\" provided. Trace ID: t-1 (request id t-1)"
    );
    assert_eq!(
        (failure.class, failure.sent),
        (Class::Unauthenticated, Sent::NotSent)
    );
    assert!(failure.may_be_replication());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_throttled_token_is_waited_for() {
    let server = Server::tls(|seen, before| match before {
        0 => Fate::json(429, &json!({"error": "temporarily_unavailable"})).with("Retry-After", "0"),
        _ => token(seen).unwrap_or_else(|| Fate::json(201, &json!({}))),
    })
    .await;
    let request = Request::new(
        Service::Graph,
        "x",
        Method::Post,
        Path::fixed("/v1.0/applications"),
    );
    assert_eq!(
        azure(&server, |_| {}).send(&request).await.unwrap().status,
        201
    );
}

#[tokio::test]
async fn a_vault_of_another_tenant_is_asked_with_that_tenants_token() {
    let server = Server::tls(|seen, _| {
        token(seen).unwrap_or_else(|| {
            if seen.headers["authorization"].contains("/tenant-2/") {
                return Fate::json(200, &json!({"value": "not-a-real-value"}));
            }
            let challenge = "Bearer authorization=\"https://login.microsoftonline.com/tenant-2\", resource=\"https://vault.azure.net\"";
            Fate::json(401, &json!({"error": {"code": "Unauthorized", "message": "AKV10032: Invalid issuer."}}))
                .with("www-authenticate", challenge)
        })
    })
    .await;
    let cloud = azure(&server, |_| {});
    let service = Service::KeyVault {
        vault_url: "https://kv-demo.vault.azure.net".to_owned(),
    };
    let path = Path::new("/secrets/{}", &["s"]).unwrap();
    let request = Request::new(service, "secrets.get", Method::Get, path)
        .query("api-version", "2025-07-01")
        .secret_reply("/value");
    for _ in 0..2 {
        assert_eq!(cloud.send(&request).await.unwrap().secrets.len(), 1);
    }
    assert_eq!(
        server.seen().len(),
        5,
        "two tokens, one refusal, two replies: the tenant is remembered"
    );
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let server = Server::tls(|seen, before| match seen.target.as_str() {
        "/oidc/.well-known/oauth-authorization-server" => Fate::json(404, &json!({})),
        "/oidc/v1/token" => Fate::json(
            200,
            &json!({"access_token": format!("not-a-real-token-{before}"), "expires_in": 3600}),
        ),
        _ if seen.headers["authorization"] == "Bearer not-a-real-token-1" => Fate::json(
            403,
            &json!({"error_code": 403, "message": "Invalid access token."}),
        ),
        _ => Fate::json(200, &json!({})),
    })
    .await;
    let cloud = azure(&server, |target| {
        target.credentials = Credentials::DatabricksOauth {
            client_id: Some(APP.to_owned()),
            secret: Some(SecretSource::Value(SecretString::new(SECRET.to_owned()))),
        };
    });
    cloud.send(&post()).await.unwrap();
    let seen = server.seen();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{APP}:{SECRET}"));
    assert_eq!(seen[1].headers["authorization"], format!("Basic {basic}"));
    assert_eq!(seen[1].body, "grant_type=client_credentials&scope=all-apis");
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn a_token_endpoint_elsewhere_gets_no_secret() {
    let server = Server::tls(|_, _| {
        Fate::json(
            200,
            &json!({"token_endpoint": "https://evil.example/token"}),
        )
    })
    .await;
    let cloud = azure(&server, |target| {
        target.credentials = Credentials::DatabricksOauth {
            client_id: Some(APP.to_owned()),
            secret: Some(SecretSource::Value(SecretString::new(SECRET.to_owned()))),
        };
    });
    assert_eq!(cloud.send(&get()).await.unwrap_err().code, "foreign-link");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_principal_may_sign_in_by_its_azure_role() {
    const ID: &str =
        "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.Databricks/workspaces/w";
    let server = Server::tls(|seen, _| {
        token(seen).unwrap_or_else(|| {
            Fate::json(
                200,
                &json!({"properties": {"workspaceUrl": "adb-1.2.azuredatabricks.net"}}),
            )
        })
    })
    .await;
    let cloud = azure(&server, |target| {
        target.workspace_resource_id = Some(ID.to_owned());
    });
    cloud.send(&get()).await.unwrap();
    let seen = server.seen();
    let call = seen
        .iter()
        .find(|seen| seen.host().starts_with("adb-"))
        .unwrap();
    assert_eq!(call.headers["x-databricks-azure-workspace-resource-id"], ID);
    assert!(
        call.headers
            .contains_key("x-databricks-azure-sp-management-token")
    );

    let target = Target {
        workspace: None,
        ..cloud.target().clone()
    };
    let found = Cloud::connect(target).await.unwrap();
    assert_eq!(
        found.target().workspace.as_deref(),
        Some("https://adb-1.2.azuredatabricks.net")
    );
}

#[tokio::test]
async fn a_fresh_client_secret_is_proven() {
    let server = Server::tls(|seen, before| match before {
        0 => Fate::json(401, &json!({"error": "invalid_client", "error_codes": [7_000_215], "error_description": "AADSTS7000215: x"})),
        _ => token(seen).unwrap_or(Fate::Drop),
    })
    .await;
    let cloud = azure(&server, |_| {});
    let fresh = SecretString::new("not-a-real~fresh".to_owned());
    let failure = cloud
        .prove_client_secret("tenant-1", APP, &fresh)
        .await
        .unwrap_err();
    assert!(failure.may_be_replication(), "{failure}");
    let end = cloud
        .prove_client_secret("tenant-1", APP, &fresh)
        .await
        .unwrap();
    assert!(end > OffsetDateTime::now_utc());
    assert!(
        server.seen()[1]
            .body
            .contains("client_secret=not-a-real~fresh&scope=2ff814a6")
    );
    assert_eq!(
        cloud
            .prove_client_secret("..", APP, &fresh)
            .await
            .unwrap_err()
            .code,
        "bad-tenant"
    );
}

#[tokio::test]
async fn actors() {
    let claims = json!({"upn": "ana@contoso.com", "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"})
        .to_string();
    let jwt = format!(
        "e30.{}.x",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims)
    );
    let server = Server::tls(move |seen, _| match seen.target.as_str() {
        "/api/2.0/preview/scim/v2/Me" => Fate::json(200, &json!({"userName": APP, "id": "1"})),
        _ => Fate::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": jwt}),
        ),
    })
    .await;
    let principal = Actor {
        id: APP.to_owned(),
        kind: ActorKind::ServicePrincipal,
    };
    assert_eq!(azure(&server, |_| {}).actor().await.unwrap(), principal);
    let person = Actor {
        id: "ana@contoso.com".to_owned(),
        kind: ActorKind::User,
    };
    assert_eq!(
        azure(&server, |target| target.workspace = None)
            .actor()
            .await
            .unwrap(),
        person
    );
}

#[tokio::test]
async fn a_foreign_token_is_exchanged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not-a-real-foreign-token").unwrap();
    let server =
        Server::tls(|seen, _| token(seen).unwrap_or_else(|| Fate::json(200, &json!({})))).await;
    let cloud = azure(&server, |target| {
        target.credentials = Credentials::WorkloadIdentity {
            client_id: Some(APP.to_owned()),
            token_file: Some(file.path().to_owned()),
        };
    });
    // Callers spawn it: the future must be `Send`.
    tokio::spawn(async move { cloud.send(&get()).await })
        .await
        .unwrap()
        .unwrap();
    assert!(
        server.seen()[0]
            .body
            .contains("client_assertion=not-a-real-foreign-token")
    );
}
