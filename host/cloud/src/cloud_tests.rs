use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use serde_json::json;

use super::*;
use crate::actor::{Actor, ActorKind};
use crate::target::{Credentials, SecretSource};
use crate::testing::{Fate, Seen, Server};

const PAT: &str = "not-a-real-token-1";
const SECRET: &str = "not-a-real-secret-1";
const APP: &str = "11111111-2222-3333-4444-555555555555";

/// A client of a plain server that plays a Databricks workspace.
fn databricks(server: &Server) -> Cloud {
    connect(Target {
        workspace: Some(format!("http://{}", server.address)),
        credentials: Credentials::DatabricksPat {
            token: Some(SecretSource::Value(SecretString::new(PAT.to_owned()))),
        },
        endpoints: Some(server.endpoints()),
        ..Target::default()
    })
}

/// A client whose every host is this server.
fn azure(server: &Server, more: impl FnOnce(&mut Target)) -> Cloud {
    let mut target = Target {
        tenant_id: Some("tenant-1".to_owned()),
        workspace: Some("https://adb-1.2.azuredatabricks.net".to_owned()),
        credentials: Credentials::ClientSecret {
            client_id: Some(APP.to_owned()),
            secret: Some(SecretSource::Value(SecretString::new(SECRET.to_owned()))),
        },
        endpoints: Some(server.endpoints()),
        ..Target::default()
    };
    more(&mut target);
    connect(target)
}

fn connect(target: Target) -> Cloud {
    Cloud::new(target, &Environment::default()).unwrap()
}

fn get() -> Request {
    Request::new(
        Service::Databricks,
        "jobs.list",
        Method::Get,
        Path::fixed("/api/2.2/jobs/list"),
    )
}

fn post() -> Request {
    Request::new(
        Service::Databricks,
        "jobs.create",
        Method::Post,
        Path::fixed("/api/2.2/jobs/create"),
    )
    .json(json!({"name": "x"}))
}

fn token(seen: &Seen) -> Option<Fate> {
    let reply = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": format!("not-a-real-token-for{}", seen.target)});
    seen.target
        .ends_with("/oauth2/v2.0/token")
        .then(|| Fate::json(200, &reply))
}

#[derive(Default)]
struct Waits(AtomicUsize, AtomicUsize);

impl Observer for Waits {
    fn waiting(&self, _: &Request, failure: &Failure, delay: Duration, attempt: u32) {
        assert_eq!((failure.class, attempt), (Class::Throttled, 1));
        assert!(delay <= Duration::from_secs(1));
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn sent(&self, _: &Request, status: Option<u16>, _: Option<Class>, _: Duration) {
        assert!(status.is_some());
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn throttled_requests_are_sent_again_even_if_not_idempotent() {
    let server = Server::plain(|_, before| match before {
        0 => Fate::json(
            429,
            &json!({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}),
        )
        .with("Retry-After", "0"),
        _ => Fate::json(200, &json!({"job_id": 7})).with("x-request-id", "r-1"),
    })
    .await;
    let waits = Waits::default();
    let reply = databricks(&server)
        .send_with(&post(), &Budget::default(), &waits)
        .await
        .unwrap();
    assert_eq!(
        (reply.body["job_id"].as_i64(), reply.request_id.as_deref()),
        (Some(7), Some("r-1"))
    );
    assert_eq!((waits.0.into_inner(), waits.1.into_inner()), (1, 2));
    let seen = &server.seen()[1];
    assert_eq!(seen.headers["authorization"], format!("Bearer {PAT}"));
    assert_eq!(
        (seen.method.as_str(), seen.body.as_str()),
        ("POST", r#"{"name":"x"}"#)
    );
    assert!(seen.headers["user-agent"].starts_with("lockkeeper/"));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let server =
        Server::plain(|_, _| Fate::json(429, &json!({})).with("Retry-After", "3600")).await;
    let failure = databricks(&server).send(&post()).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.retry_after),
        (Class::Throttled, Some(Duration::from_hours(1)))
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_lost_reply_is_sent_again_only_if_that_is_harmless() {
    let lose_first = |_: &Seen, before| {
        if before == 0 {
            Fate::Drop
        } else {
            Fate::json(200, &json!({}))
        }
    };
    let server = Server::plain(lose_first).await;
    let failure = databricks(&server).send(&post()).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.sent, failure.code.as_str()),
        (Class::Unavailable, Sent::MaybeHandled, "connection-lost")
    );
    assert_eq!(server.seen().len(), 1);

    let server = Server::plain(lose_first).await;
    databricks(&server).send(&get()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_unavailable_service_may_have_acted() {
    let fail_first = |_: &Seen, before| {
        if before == 0 {
            Fate::json(503, &json!({}))
        } else {
            Fate::json(200, &json!({}))
        }
    };
    let server = Server::plain(fail_first).await;
    let failure = databricks(&server).send(&post()).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.sent, failure.status),
        (Class::Unavailable, Sent::MaybeHandled, Some(503))
    );

    let server = Server::plain(fail_first).await;
    databricks(&server)
        .send(&post().idempotent(true))
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_means_not_sent() {
    let server = Server::plain(|_, _| Fate::Drop).await;
    let cloud = databricks(&server);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = Target {
        workspace: Some(format!("http://{free}")),
        ..cloud.target().clone()
    };
    let budget = Budget {
        attempts: 2,
        ..Budget::default()
    };
    let failure = connect(target)
        .send_with(&post(), &budget, &())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.sent, failure.code.as_str()),
        (Class::Unavailable, Sent::NotSent, "connect")
    );
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let server = Server::plain(|_, _| Fate::Hang).await;
    let budget = Budget::within(Duration::from_millis(300));
    let failure = databricks(&server)
        .send_with(&get(), &budget, &())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.sent),
        ("timeout", Sent::MaybeHandled)
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::plain(|_, _| {
        Fate::json(302, &json!({})).with("location", "https://evil.example/login?x")
    })
    .await;
    let failure = databricks(&server).send(&get()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.class),
        ("redirect", Class::Other)
    );
    assert!(
        failure.message.contains("evil.example") && failure.message.contains("wrong kind"),
        "{failure}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn replies_that_cannot_be_used() {
    let server = Server::plain(|_, before| {
        let reply = |kind: &str, body: Vec<u8>| Fate::Reply {
            status: 200,
            headers: vec![("content-type", kind.to_owned())],
            body,
        };
        match before {
            0 => reply(
                "text/html; charset=utf-8",
                b"<!doctype html><title>Sign in</title>".to_vec(),
            ),
            1 => reply("application/json", vec![b' '; (16 << 20) + 1]),
            2 => reply("application/json", b"{\"half\":".to_vec()),
            _ => reply("application/json", Vec::new()),
        }
    })
    .await;
    let cloud = databricks(&server);
    let failure = cloud.send(&get()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.sent),
        ("wrong-host-kind", Sent::Answered)
    );
    for code in ["reply-too-large", "unreadable-reply"] {
        let failure = cloud.send(&get()).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.sent),
            (code, Sent::MaybeHandled)
        );
    }
    assert_eq!(cloud.send(&get()).await.unwrap().body, Value::Null);
}

#[tokio::test]
async fn a_failure_names_everything_and_no_secret() {
    let server = Server::plain(|seen, _| {
        let reflected = format!(
            "bad header \"{}\"\r\n\u{1b}[31m",
            seen.headers["authorization"]
        );
        Fate::json(
            403,
            &json!({"error_code": "PERMISSION_DENIED", "message": reflected}),
        )
        .with("x-request-id", "r-9")
    })
    .await;
    let failure = databricks(&server).send(&get()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "Databricks jobs.list: GET /api/2.2/jobs/list -> 403 PERMISSION_DENIED: bad header \"Bearer [secret]\" \\u{1b}[31m (request id r-9)"
    );
    let copied: Failure = serde_json::from_str(&serde_json::to_string(&failure).unwrap()).unwrap();
    assert_eq!(copied, failure);
}

#[tokio::test]
async fn declared_secrets_leave_the_body_and_others_are_masked() {
    let server = Server::plain(|seen, _| {
        Fate::json(200, &json!({"value": "not-a-real-issued-1", "again": "is not-a-real-issued-1", "echo": seen.headers["authorization"]}))
            .with("x-echo", "not-a-real-issued-1")
    })
    .await;
    let cloud = databricks(&server);
    let mut reply = cloud
        .send(&post().secret_reply("/value").secret_reply("/absent"))
        .await
        .unwrap();
    assert_eq!(
        reply.body,
        json!({"value": null, "again": "is [secret]", "echo": "Bearer [secret]"})
    );
    assert_eq!(reply.header("x-echo"), Some("[secret]"));
    assert_eq!(
        reply.take_secret("/value").unwrap().expose(),
        "not-a-real-issued-1"
    );
    assert!(reply.take_secret("/absent").is_none());
    assert_eq!(cloud.masker().mask("not-a-real-issued-1"), "[secret]");
}

#[tokio::test]
async fn hostile_arguments_reach_the_server_as_one_segment() {
    let server = Server::plain(|_, _| Fate::json(200, &json!({}))).await;
    let cloud = databricks(&server);
    for argument in [
        "../x",
        "%2e%2e",
        ";x=",
        "//evil.example",
        "?a=b",
        "#f",
        "a\\b",
        "@evil.example",
    ] {
        let path = Path::new("/api/2.0/preview/scim/v2/Users/{}", &[argument]).unwrap();
        cloud
            .send(&Request::new(Service::Databricks, "x", Method::Get, path))
            .await
            .unwrap();
    }
    for seen in server.seen() {
        let last = seen
            .target
            .strip_prefix("/api/2.0/preview/scim/v2/Users/")
            .unwrap();
        assert!(
            last.chars()
                .all(|c| c.is_ascii_alphanumeric() || "%-._~".contains(c)),
            "{last}"
        );
    }
}

#[tokio::test]
async fn databricks_credentials_open_only_databricks() {
    let server = Server::plain(|_, _| Fate::Drop).await;
    let request = Request::new(Service::Graph, "x", Method::Get, Path::fixed("/v1.0/users"));
    let failure = databricks(&server).send(&request).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.sent),
        ("wrong-credentials", Sent::NotSent)
    );
    assert!(server.seen().is_empty());
}

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
