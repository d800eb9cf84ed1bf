use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::testing::{Fate, PAT, Seen, Server, connect, databricks, get, post};

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

/// Has had enough as soon as it is told of a wait.
#[derive(Default)]
struct Impatient(tokio::sync::Notify);

#[async_trait::async_trait]
impl Observer for Impatient {
    async fn stopped(&self) {
        self.0.notified().await;
    }

    fn waiting(&self, _: &Request, _: &Failure, _: Duration, _: u32) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_wait_ends_when_nobody_wants_to_wait_any_more() {
    let server = Server::plain(|_, _| {
        Fate::json(
            429,
            &json!({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}),
        )
        .with("Retry-After", "600")
    })
    .await;
    let budget = Budget::within(Duration::from_hours(1));
    let failure = databricks(&server)
        .send_with(&post(), &budget, &Impatient::default())
        .await
        .unwrap_err();
    assert!(failure.is_stopped(), "{failure}");
    assert_eq!((failure.sent, failure.status), (Sent::Answered, Some(429)));
    assert!(
        failure
            .message
            .ends_with("it last answered REQUEST_LIMIT_EXCEEDED: slow down"),
        "{failure}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_wait_for_the_rate_limit_ends_so_too() {
    let server = Server::plain(|_, _| Fate::json(200, &json!({}))).await;
    let target = Target {
        databricks_rate: NonZeroU32::new(1),
        ..databricks(&server).target().clone()
    };
    let cloud = connect(target);
    let impatient = Impatient::default();
    let budget = Budget::within(Duration::from_hours(1));
    impatient.0.notify_one();
    let failure = loop {
        if let Err(failure) = cloud.send_with(&get(), &budget, &impatient).await {
            break failure;
        }
    };
    assert!(failure.is_stopped(), "{failure}");
    assert_eq!(failure.sent, Sent::NotSent);
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
    assert!(
        failure
            .message
            .starts_with(&format!("no connection to {free}: ")),
        "{failure}"
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
