use serde_json::{Value, json};

use super::assignment;
use crate::{
    Profile,
    azure::storage,
    seed,
    testing::{Cloud, Got, STORAGE, text},
};

const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

fn account() -> String {
    seed::resource_id("Microsoft.Storage/storageAccounts", "stdemo")
}

fn role(principal: &str) -> Value {
    json!({"properties": {
        "roleDefinitionId": READER, "principalId": principal,
        "principalType": "ServicePrincipal",
    }})
}

async fn read(cloud: &Cloud, token: &str, method: &str, path: &str) -> Got {
    let version = [("x-ms-version", "2021-06-08")];
    cloud
        .send(method, STORAGE, path, Some(token), None, &version)
        .await
}

#[tokio::test]
async fn r41_r42_data_takes_a_data_role() {
    let cloud = Cloud::with(Profile::Typical).await;
    let app = json!({"displayName": "job", "signInAudience": "AzureADMyOrg"});
    let app = cloud
        .graph("POST", "/applications", Some(app))
        .await
        .ok(201);
    let (id, app_id) = (text(&app["id"]), text(&app["appId"]));
    cloud.pass(31);
    let sp = cloud
        .graph("POST", "/servicePrincipals", Some(json!({"appId": app_id})))
        .await;
    let sp = text(&sp.ok(201)["id"]);
    let secret = cloud
        .graph(
            "POST",
            &format!("/applications/{id}/addPassword"),
            Some(json!({})),
        )
        .await;
    let secret = text(&secret.ok(200)["secretText"]);
    cloud.pass(31);
    let token = cloud
        .token_of(&app_id, &secret, "https://storage.azure.com/")
        .await;
    let probe = "/data/raw?action=checkAccess&fsAction=r-x";
    let got = read(&cloud, &token, "HEAD", probe).await;
    assert_eq!(
        got.header("x-ms-error-code"),
        "AuthorizationPermissionMismatch"
    );
    assert_eq!((got.status, &got.body), (403, &json!("")));
    read(&cloud, &token, "GET", "/data/raw/numbers.csv")
        .await
        .refused(403, "AuthorizationPermissionMismatch");

    // The classic mistake: rights for the application object.
    cloud
        .arm("PUT", &assignment(&account(), 1), Some(role(&id)))
        .await
        .refused(400, "PrincipalNotFound");
    cloud.world().write(|state| {
        let acl = &mut state.azure.storage_accounts[0].filesystems[0].acl;
        acl.insert(id.clone(), "r-x".to_owned());
    });
    assert_eq!(read(&cloud, &token, "HEAD", probe).await.status, 403);

    cloud
        .arm("PUT", &assignment(&account(), 2), Some(role(&sp)))
        .await
        .ok(201);
    assert_eq!(read(&cloud, &token, "HEAD", probe).await.status, 403);
    cloud.pass(301);
    let token = cloud
        .token_of(&app_id, &secret, "https://storage.azure.com/")
        .await;
    assert_eq!(read(&cloud, &token, "HEAD", probe).await.status, 200);
    let world = cloud.world();
    assert!(world.read(|state| storage::may_read(&world, state, &sp, "stdemo")));
    assert!(!world.read(|state| storage::may_read(&world, state, seed::BOB.0, "stdemo")));
    assert!(world.read(|state| storage::account_exists(state, "stdemo")));
    assert!(!world.read(|state| storage::account_exists(state, "other")));
}

#[tokio::test]
async fn probes() {
    let cloud = Cloud::start().await;
    let [app_id, _, sp, secret] = cloud.register("job").await;
    cloud
        .arm("PUT", &assignment(&account(), 1), Some(role(&sp)))
        .await
        .ok(201);
    let token = cloud
        .token_of(&app_id, &secret, "https://storage.azure.com/")
        .await;
    let got = read(
        &cloud,
        &token,
        "HEAD",
        "/data/raw?action=getAccessControl&upn=false",
    )
    .await;
    assert_eq!(got.header("x-ms-resource-type"), "directory");
    let list = "/data?resource=filesystem&recursive=false&directory=raw&maxResults=5";
    let found = read(&cloud, &token, "GET", list).await.ok(200);
    assert_eq!(found["paths"][0]["name"], "raw/numbers.csv");
    assert!(found["paths"][0]["contentLength"].is_string());
    let root = read(
        &cloud,
        &token,
        "GET",
        "/data?resource=filesystem&recursive=false",
    )
    .await;
    assert_eq!(root.ok(200)["paths"][0]["isDirectory"], "true");
    let path = "/data/raw/numbers.csv";
    for name in ["range", "x-ms-range"] {
        let range = [("x-ms-version", "2021-06-08"), (name, "bytes=0-0")];
        let got = cloud
            .send("GET", STORAGE, path, Some(&token), None, &range)
            .await;
        assert_eq!((got.status, &got.body), (206, &json!("n")));
    }
    let got = read(&cloud, &token, "HEAD", path).await;
    assert_eq!(got.header("content-length"), "8");
    read(&cloud, &token, "GET", "/none?resource=filesystem")
        .await
        .refused(404, "FilesystemNotFound");
    read(&cloud, &token, "GET", "/data/none")
        .await
        .refused(404, "PathNotFound");
    let got = cloud.send("GET", STORAGE, path, None, None, &[]).await;
    got.refused(401, "NoAuthenticationInformation");
    assert!(
        got.header("www-authenticate")
            .contains("resource_id=https://storage.azure.com")
    );
    let graph = cloud.token("https://graph.microsoft.com").await;
    read(&cloud, &graph, "GET", path)
        .await
        .refused(401, "InvalidAuthenticationInfo");
    // SDKs on loopback put the account into the path.
    let on_loopback = cloud.running.http_address().to_string();
    let path = "/stdemo/data/raw/numbers.csv";
    let got = cloud
        .send(
            "GET",
            &on_loopback,
            path,
            Some(&token),
            None,
            &[("x-ms-version", "2021-06-08")],
        )
        .await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn a_token_needs_a_version_that_is_new_enough() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://storage.azure.com/").await;
    for (headers, code) in [
        (vec![], "MissingRequiredHeader"),
        (vec![("x-ms-version", "2015-02-21")], "InvalidHeaderValue"),
        (vec![("x-ms-version", "newest")], "InvalidHeaderValue"),
    ] {
        let path = "/data/raw/numbers.csv";
        let got = cloud
            .send("GET", STORAGE, path, Some(&token), None, &headers)
            .await;
        got.refused(400, code);
        assert_eq!(got.header("x-ms-error-code"), code);
    }
}
