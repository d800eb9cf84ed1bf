use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rcgen::{CertificateParams, PKCS_RSA_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::{
    entra::signer::{self, Signer},
    seed::TENANT,
    testing::{Cloud, Got, text},
};

const ISSUER: &str = "https://token.example.com";
const SUBJECT: &str = "repo:Org/Repo:ref:refs/heads/main";
const AUDIENCE: &str = "api://AzureADTokenExchange";

async fn exchange(cloud: &Cloud, app_id: &str, assertion: &str) -> Got {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    cloud
        .form(
            &format!("/{TENANT}/oauth2/v2.0/token"),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", app_id),
                ("client_assertion_type", kind),
                ("client_assertion", assertion),
                ("scope", "https://graph.microsoft.com/.default"),
            ],
        )
        .await
}

fn credential(name: &str, subject: &str) -> Value {
    json!({
        "name": name, "issuer": ISSUER, "subject": subject, "audiences": [AUDIENCE],
    })
}

fn claims(cloud: &Cloud) -> Value {
    let now = cloud.world().now().unix_timestamp();
    json!({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": now, "exp": now + 600})
}

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn r10_outside_assertions() {
    let cloud = Cloud::start().await;
    let [app_id, id, _, _] = cloud.register("federated").await;
    let path = format!("/applications/{id}/federatedIdentityCredentials");
    cloud
        .graph("POST", &path, Some(credential("gh-main", SUBJECT)))
        .await
        .ok(201);
    let idp = Signer::from_pkcs8(&signer::generate().unwrap()).unwrap();
    let keys = json!({"issuer": ISSUER, "jwks": idp.jwks(ISSUER)});
    cloud
        .send(
            "POST",
            "localhost",
            "/__simulator/issuers",
            None,
            Some(keys),
            &[],
        )
        .await
        .ok(204);
    let good = claims(&cloud);
    let try_with = |claims: Value| {
        let (cloud, app_id, jwt) = (&cloud, &app_id, idp.sign(&claims).unwrap());
        async move { exchange(cloud, app_id, &jwt).await }
    };
    try_with(good.clone()).await.ok(200);
    let cases = [
        ("iss", json!("https://token.example.com/"), 700_211),
        ("aud", json!("api://other"), 700_212),
        ("sub", json!("repo:Org/Other:ref:refs/heads/main"), 700_213),
        ("sub", json!(SUBJECT.to_lowercase()), 7_002_138),
        ("exp", json!(1_700_000_000), 700_024),
    ];
    for (name, value, code) in cases {
        try_with(changed(good.clone(), name, value))
            .await
            .aadsts(401, "invalid_client", code);
    }
    let long = json!(good["iat"].as_i64().unwrap() + 26 * 3600);
    try_with(changed(good.clone(), "exp", long))
        .await
        .aadsts(400, "invalid_request", 70023);
    let forged = cloud.world().signer().sign(&good).unwrap();
    exchange(&cloud, &app_id, &forged)
        .await
        .aadsts(401, "invalid_client", 700_027);
    exchange(&cloud, &app_id, "nonsense")
        .await
        .aadsts(401, "invalid_client", 700_027);
}

#[tokio::test]
async fn certificates_prove_their_application() {
    let cloud = Cloud::start().await;
    let [app_id, id, _, _] = cloud.register("certified").await;
    let pkcs8 = signer::generate().unwrap();
    let der = BASE64_STANDARD.decode(pkcs8.as_str()).unwrap();
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(der.as_slice()),
        &PKCS_RSA_SHA256,
    )
    .unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let owner = Signer::from_pkcs8(&pkcs8).unwrap();
    let now = cloud.world().now().unix_timestamp();
    let claims = json!({
        "iss": app_id, "sub": app_id, "jti": "1", "nbf": now, "exp": now + 300,
        "aud": format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"),
    });
    let jwt = owner.sign(&claims).unwrap();
    exchange(&cloud, &app_id, &jwt)
        .await
        .aadsts(401, "invalid_client", 700_027);
    let body = json!({"keyCredentials": [{
        "type": "AsymmetricX509Cert", "usage": "Verify",
        "key": BASE64_STANDARD.encode(certificate.der()),
    }]});
    cloud
        .graph("PATCH", &format!("/applications/{id}"), Some(body))
        .await
        .ok(204);
    let token = text(&exchange(&cloud, &app_id, &jwt).await.ok(200)["access_token"]);
    let minted = token.split('.').nth(1).unwrap();
    let minted: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(minted).unwrap()).unwrap();
    assert_eq!(minted["appidacr"], "2");
    let elsewhere = owner
        .sign(&changed(claims.clone(), "aud", json!("https://x")))
        .unwrap();
    exchange(&cloud, &app_id, &elsewhere)
        .await
        .aadsts(401, "invalid_client", 700_027);
    let for_another = owner
        .sign(&changed(claims.clone(), "sub", json!("another")))
        .unwrap();
    exchange(&cloud, &app_id, &for_another)
        .await
        .aadsts(401, "invalid_client", 700_027);
    let late = owner
        .sign(&changed(claims, "exp", json!(now - 10)))
        .unwrap();
    exchange(&cloud, &app_id, &late)
        .await
        .aadsts(401, "invalid_client", 700_024);
}

#[tokio::test]
async fn r24_federated_credentials() {
    let cloud = Cloud::start().await;
    let [_, id, _, _] = cloud.register("federated").await;
    let path = format!("/applications/{id}/federatedIdentityCredentials");
    let post = |body| cloud.graph("POST", &path, body);
    post(Some(credential("first", SUBJECT))).await.ok(201);
    post(Some(credential("first", "other")))
        .await
        .refused(409, "Request_MultipleObjectsWithSameKeyValue");
    post(Some(credential("second", SUBJECT)))
        .await
        .refused(400, "InvalidFederatedIdentityCredentialValue");
    let two = json!({
        "name": "two", "issuer": ISSUER, "subject": "s", "audiences": ["a", "b"],
    });
    let got = post(Some(two)).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("exactly one audience")
    );
    for number in 2..=20 {
        post(Some(credential(
            &format!("n{number}"),
            &format!("s{number}"),
        )))
        .await
        .ok(201);
    }
    post(Some(credential("n21", "s21")))
        .await
        .refused(400, "Request_BadRequest");

    let upsert = format!("{path}(name='first')");
    cloud
        .upsert(&upsert, credential("first", "moved"))
        .await
        .ok(204);
    let read = cloud
        .graph("GET", &format!("{path}/first"), None)
        .await
        .ok(200);
    assert_eq!(read["subject"], "moved");
    cloud
        .graph("DELETE", &format!("{path}/first"), None)
        .await
        .ok(204);
    cloud
        .graph("DELETE", &format!("{path}/first"), None)
        .await
        .refused(404, "Request_ResourceNotFound");
    cloud
        .upsert(&upsert, credential("first", "moved"))
        .await
        .ok(201);
    let all = cloud.graph("GET", &path, None).await.ok(200);
    assert_eq!(all["value"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn an_assertion_comes_with_its_type() {
    let cloud = Cloud::start().await;
    let [app_id, ..] = cloud.register("untyped").await;
    let send = |kind: Option<&'static str>| {
        let (cloud, app_id) = (&cloud, &app_id);
        async move {
            let mut fields = vec![
                ("grant_type", "client_credentials"),
                ("client_id", app_id.as_str()),
                ("client_assertion", "a.b.c"),
                ("scope", "https://graph.microsoft.com/.default"),
            ];
            fields.extend(kind.map(|kind| ("client_assertion_type", kind)));
            let path = format!("/{TENANT}/oauth2/v2.0/token");
            cloud.form(&path, &fields).await
        }
    };
    let missing = send(None).await;
    let text = missing.aadsts(400, "invalid_request", 900_144);
    assert!(text.contains("'client_assertion_type'"), "{text}");
    send(Some(
        "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
    ))
    .await
    .aadsts(401, "invalid_client", 7_000_216);
}
