//! The core: listeners, persistence, faults, the record.

use std::{process::Command, time::Instant};

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::{
    Profile, StartError, StoreError,
    faults::Chaos,
    seed,
    testing::{ARM, Cloud, GRAPH, LOGIN, SECRET, VAULT, options, text},
};

async fn fault(cloud: &Cloud, rule: Value) {
    cloud
        .send(
            "POST",
            "localhost",
            "/__simulator/faults",
            None,
            Some(rule),
            &[],
        )
        .await
        .ok(201);
}

#[tokio::test]
async fn https_serves_every_name_with_one_authority() {
    let cloud = Cloud::start().await;
    let address = cloud.running.https_address();
    let mut client = Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(cloud.running.ca_pem().as_bytes()).unwrap()]);
    let hosts = [
        LOGIN,
        GRAPH,
        ARM,
        VAULT,
        "adb-4242424242424242.2.azuredatabricks.net",
    ];
    for host in hosts {
        client = client.resolve(host, address);
    }
    let client = client.build().unwrap();
    for host in hosts.into_iter().chain(["127.0.0.1", "localhost"]) {
        let url = format!(
            "https://{host}:{}/common/discovery/instance",
            address.port()
        );
        let response = client.get(&url).send().await.unwrap();
        assert!(response.status().as_u16() >= 400, "{host}");
    }
    let stranger = Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    assert!(
        stranger
            .get(format!("https://{address}/"))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_restart_forgets_nothing_but_the_operators_old_secret() {
    let cloud = Cloud::start().await;
    let [app_id, id, sp, secret] = cloud.register("kept").await;
    let token = cloud.token("https://vault.azure.net").await;
    let body = Some(json!({"value": "not-a-real-value"}));
    cloud
        .vault(&token, "PUT", VAULT, "/secrets/kept", body)
        .await
        .ok(200);
    let before = cloud.world().read(Clone::clone);
    let cloud = cloud.restart(Profile::Instant).await;
    assert!(cloud.world().read(|state| *state == before));
    // Even tokens go on: the signing key is the same.
    let kept = cloud
        .vault(&token, "GET", VAULT, "/secrets/kept", None)
        .await
        .ok(200);
    assert_eq!(kept["value"], "not-a-real-value");
    cloud
        .token_of(&app_id, &secret, "https://graph.microsoft.com")
        .await;
    cloud
        .graph("GET", &format!("/applications/{id}"), None)
        .await
        .ok(200);
    cloud
        .graph("GET", &format!("/servicePrincipals/{sp}"), None)
        .await
        .ok(200);
    let disk = std::fs::read_to_string(cloud.folder.path().join("state.json")).unwrap();
    for hidden in [SECRET, secret.as_str(), "not-a-real-value"] {
        assert!(!disk.contains(hidden), "{hidden}");
    }

    let Cloud {
        running, folder, ..
    } = cloud;
    running.stop().await;
    let mut changed = options(&folder, Profile::Instant);
    changed.operator_secret = Zeroizing::new("another-unreal-secret".to_owned());
    let running = crate::start(changed).await.unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let cloud = Cloud {
        running,
        client,
        folder,
    };
    let scope = "https://graph.microsoft.com/.default";
    let got = cloud.grant(seed::OPERATOR_CLIENT, SECRET, scope).await;
    got.aadsts(401, "invalid_client", 7_000_215);
    cloud
        .grant(seed::OPERATOR_CLIENT, "another-unreal-secret", scope)
        .await
        .ok(200);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_refused() {
    let cloud = Cloud::start().await;
    let second = crate::start(options(&cloud.folder, Profile::Instant)).await;
    assert!(matches!(
        second.err(),
        Some(StartError::Store(StoreError::InUse(_)))
    ));
    let Cloud {
        running, folder, ..
    } = cloud;
    running.stop().await;
    let mut wrong = options(&folder, Profile::Instant);
    wrong.seal_key = Zeroizing::new([8; 32]);
    assert!(matches!(
        crate::start(wrong).await.err(),
        Some(StartError::WrongKey(_))
    ));
    std::fs::write(folder.path().join("state.json"), "{").unwrap();
    let damaged = crate::start(options(&folder, Profile::Instant)).await;
    assert!(matches!(
        damaged.err(),
        Some(StartError::Store(StoreError::Damaged { .. }))
    ));
    let file = folder.path().join("lock");
    let mut nested = options(&folder, Profile::Instant);
    nested.folder = file;
    assert!(matches!(
        crate::start(nested).await.err(),
        Some(StartError::Store(_))
    ));
}

#[tokio::test]
async fn what_cannot_be_saved_is_taken_back() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://vault.azure.net").await;
    let file = cloud.folder.path().join("state.json.new");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let body = || Some(json!({"value": "not-a-real-value"}));
    let got = cloud
        .vault(&token, "PUT", VAULT, "/secrets/lost", body())
        .await;
    got.refused(500, "SimulatorCannotSave");
    cloud
        .vault(&token, "GET", VAULT, "/secrets/lost", None)
        .await
        .refused(404, "SecretNotFound");
    std::fs::remove_file(&file).unwrap();
    cloud
        .vault(&token, "PUT", VAULT, "/secrets/lost", body())
        .await
        .ok(200);
}

#[tokio::test]
async fn requests_are_recorded_without_secrets() {
    let cloud = Cloud::start().await;
    let [app_id, ..] = cloud.register("seen").await;
    cloud
        .graph("GET", "/users?$filter=mail%20eq%20'a'", None)
        .await
        .ok(200);
    let records = cloud
        .send("GET", "localhost", "/__simulator/requests", None, None, &[])
        .await;
    let records = records.ok(200);
    let last = records.as_array().unwrap().last().unwrap();
    assert_eq!(last["service"], "graph");
    assert_eq!(last["path"], "/v1.0/users?$filter=mail%20eq%20%27a%27");
    assert_eq!(last["caller"], seed::OPERATOR_CLIENT);
    assert_eq!(last["status"], 200);
    let sts = records
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["service"] == "entra")
        .unwrap();
    assert_eq!(sts["caller"], seed::OPERATOR_CLIENT);
    let disk = std::fs::read_to_string(cloud.folder.path().join("requests.jsonl")).unwrap();
    assert_eq!(disk.lines().count(), records.as_array().unwrap().len());
    assert!(!disk.contains(SECRET) && !disk.contains("eyJ"));
    let cloud = cloud.restart(Profile::Instant).await;
    cloud
        .grant(&app_id, "wrong", "https://graph.microsoft.com/.default")
        .await;
    let first = &cloud.world().requests()[0];
    assert_eq!(first.seq, disk.lines().count() as u64 + 1);
}

#[tokio::test]
async fn the_state_is_shown_redacted() {
    let cloud = Cloud::start().await;
    let state = cloud
        .send("GET", "localhost", "/__simulator/state", None, None, &[])
        .await
        .ok(200);
    assert_eq!(state["entra"]["signing_key"]["sealed"], "(redacted)");
    assert_eq!(
        state["entra"]["applications"][0]["passwords"][0]["secret"]["sha256"],
        "(redacted)"
    );
    assert_eq!(state["azure"]["vaults"][0]["name"], "kv-demo");
}

/// R43, and every other way to fail.
#[tokio::test]
async fn faults_strike_as_told() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://graph.microsoft.com").await;
    let get = || cloud.send("GET", GRAPH, "/v1.0/organization", Some(&token), None, &[]);
    let rule = |action: Value| json!({"path": "/v1.0/**", "times": 1, "action": action});

    fault(&cloud, rule(json!({"throttle": {"retry_after": 7}}))).await;
    let got = get().await;
    got.refused(429, "TooManyRequests");
    assert_eq!(got.header("retry-after"), "7");
    fault(&cloud, rule(json!({"throttle": {}}))).await;
    assert_eq!(get().await.header("retry-after"), "");
    let answer = json!({"status": {"status": 418, "body": {"a": 1}, "headers": {"x-a": "b"}}});
    fault(&cloud, rule(answer)).await;
    let got = get().await;
    assert_eq!(
        (got.status, got.header("x-a"), &got.body),
        (418, "b", &json!({"a": 1}))
    );
    get().await.ok(200);

    let raw = || {
        let request = cloud.client.get(cloud.url("/v1.0/organization"));
        request.header("host", GRAPH).bearer_auth(&token).send()
    };
    for action in ["reset", "lost_reply"] {
        fault(&cloud, rule(json!(action))).await;
        assert!(raw().await.is_err(), "{action}");
    }
    fault(
        &cloud,
        rule(json!({"slow_drip": {"bytes_per_second": 600}})),
    )
    .await;
    let began = Instant::now();
    let slow = raw().await.unwrap();
    assert!(slow.headers().contains_key("content-length"));
    assert!(slow.json::<Value>().await.unwrap()["value"].is_array());
    assert!(began.elapsed().as_millis() > 200);
    fault(&cloud, rule(json!("endless_body"))).await;
    let mut endless = raw().await.unwrap();
    let mut size = 0;
    while size < 1 << 20 {
        size += endless.chunk().await.unwrap().unwrap().len();
    }
    drop(endless);
    get().await.ok(200);
    let named = cloud
        .world()
        .requests()
        .into_iter()
        .filter_map(|record| record.fault);
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            "throttle",
            "throttle",
            "status",
            "reset",
            "lost_reply",
            "slow_drip",
            "endless_body"
        ]
    );
}

#[tokio::test]
async fn a_lost_reply_has_taken_effect_and_a_reset_has_not() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://graph.microsoft.com").await;
    for (action, made) in [("reset", 0), ("lost_reply", 1)] {
        fault(
            &cloud,
            json!({"method": "POST", "path": "/v1.0/applications", "times": 1, "action": action}),
        )
        .await;
        let before = cloud.world().read(|state| state.entra.applications.len());
        let request = cloud
            .client
            .post(cloud.url("/v1.0/applications"))
            .header("host", GRAPH);
        let sent = request
            .bearer_auth(&token)
            .json(&json!({"displayName": action}))
            .send();
        assert!(sent.await.is_err());
        let after = cloud.world().read(|state| state.entra.applications.len());
        assert_eq!(after - before, made, "{action}");
    }
}

#[tokio::test]
async fn a_client_can_be_killed() {
    let cloud = Cloud::start().await;
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let rule = |pid: u32| json!({"path": "/v1.0/**", "action": {"kill": {"pid": pid}}});
    let refused = cloud
        .send(
            "POST",
            "localhost",
            "/__simulator/faults",
            None,
            Some(rule(1)),
            &[],
        )
        .await;
    assert_eq!(refused.status, 400);
    fault(&cloud, rule(child.id())).await;
    let request = cloud
        .client
        .get(cloud.url("/v1.0/me"))
        .header("host", GRAPH);
    assert!(request.send().await.is_err());
    assert!(!child.wait().unwrap().success());
    let faults = cloud
        .send(
            "DELETE",
            "localhost",
            "/__simulator/faults",
            None,
            None,
            &[],
        )
        .await;
    faults.ok(204);
}

#[tokio::test]
async fn a_stale_read_misses_what_is_new() {
    let cloud = Cloud::start().await;
    let body = json!({"displayName": "new"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    let path = format!("/applications/{}", text(&app["id"]));
    let stale = json!({"path": "/v1.0/**", "times": 1, "action": {"stale_read": {"seconds": 60}}});
    fault(&cloud, stale).await;
    cloud
        .graph("GET", &path, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    cloud.graph("GET", &path, None).await.ok(200);
}

#[tokio::test]
async fn chaos_fails_a_share_of_all_requests() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://graph.microsoft.com").await;
    cloud.world().set_chaos(Some(Chaos { rate: 0.5, seed: 3 }));
    let mut failed = 0;
    for _ in 0..40 {
        let request = cloud
            .client
            .get(cloud.url("/v1.0/organization"))
            .header("host", GRAPH);
        let got = request.bearer_auth(&token).send().await;
        failed += u32::from(got.is_err() || got.unwrap().status() != 200);
    }
    assert!((5..35).contains(&failed), "{failed}");
    cloud
        .send("DELETE", "localhost", "/__simulator/chaos", None, None, &[])
        .await
        .ok(204);
    cloud.token("https://graph.microsoft.com").await;
}

#[tokio::test]
async fn unknown_hosts_and_ports_in_use() {
    let cloud = Cloud::start().await;
    let got = cloud.send("GET", "example.com", "/", None, None, &[]).await;
    assert_eq!(got.status, 421);
    let folder = TempDir::new().unwrap();
    let mut taken = options(&folder, Profile::Instant);
    taken.http_port = cloud.running.http_address().port();
    assert!(matches!(
        crate::start(taken).await.err(),
        Some(StartError::Listen { .. })
    ));
}
