use serde_json::json;

use crate::{
    Profile,
    testing::{Cloud, GRAPH, text},
};

const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default";

/// R18, R20, R04: each stage of a new application's way through the planes.
#[tokio::test]
async fn a_new_application_arrives_by_and_by() {
    let cloud = Cloud::with(Profile::Typical).await;
    let body = json!({"displayName": "fresh", "signInAudience": "AzureADMyOrg"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    let (id, app_id) = (text(&app["id"]), text(&app["appId"]));
    let one = format!("/applications/{id}");
    cloud
        .graph("GET", &one, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    let patch = json!({"notes": "n"});
    cloud
        .graph("PATCH", &one, Some(patch))
        .await
        .refused(404, "Request_ResourceNotFound");
    let principal = json!({"appId": app_id});
    let got = cloud
        .graph("POST", "/servicePrincipals", Some(principal.clone()))
        .await;
    match got.status {
        400 => got.refused(400, "Request_BadRequest"),
        _ => got.refused(403, "Authorization_RequestDenied"),
    };
    cloud
        .grant(&app_id, "any", DATABRICKS)
        .await
        .aadsts(400, "unauthorized_client", 700_016);

    cloud.pass(31);
    cloud.graph("GET", &one, None).await.ok(200);
    let sp = cloud
        .graph("POST", "/servicePrincipals", Some(principal))
        .await
        .ok(201);
    let sp = format!("/servicePrincipals/{}", text(&sp["id"]));
    let add = format!("{one}/addPassword");
    let minted = cloud.graph("POST", &add, Some(json!({}))).await.ok(200);
    let secret = text(&minted["secretText"]);
    cloud
        .graph("GET", &sp, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    cloud
        .grant(&app_id, &secret, DATABRICKS)
        .await
        .aadsts(401, "invalid_client", 7_000_229);
    cloud.pass(31);
    cloud.graph("GET", &sp, None).await.ok(200);
    cloud.grant(&app_id, &secret, DATABRICKS).await.ok(200);
    let minted = cloud.graph("POST", &add, Some(json!({}))).await.ok(200);
    let second = text(&minted["secretText"]);
    cloud
        .grant(&app_id, &second, DATABRICKS)
        .await
        .aadsts(401, "invalid_client", 7_000_215);
    cloud.pass(20);
    cloud.grant(&app_id, &second, DATABRICKS).await.ok(200);

    cloud.graph("DELETE", &one, None).await.ok(204);
    cloud.graph("GET", &one, None).await.ok(200); // R44
    cloud
        .graph("DELETE", &one, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    cloud.pass(61);
    cloud
        .graph("GET", &one, None)
        .await
        .refused(404, "Request_ResourceNotFound");
}

#[tokio::test]
async fn reads_flap_until_all_replicas_have_it() {
    let cloud = Cloud::with(Profile::Flapping).await;
    let body = json!({"displayName": "flap"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    let path = format!("/v1.0/applications/{}", text(&app["id"]));
    let token = cloud.token("https://graph.microsoft.com").await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(
            cloud
                .send("GET", GRAPH, &path, Some(&token), None, &[])
                .await
                .status,
        );
    }
    assert!(seen.contains(&200) && seen.contains(&404), "{seen:?}");
    cloud.pass(31);
    for _ in 0..6 {
        cloud
            .send("GET", GRAPH, &path, Some(&token), None, &[])
            .await
            .ok(200);
    }
}

#[tokio::test]
async fn an_upsert_does_not_make_a_second_one() {
    let cloud = Cloud::with(Profile::Typical).await;
    let path = "/applications(uniqueName='once')";
    cloud
        .upsert(path, json!({"displayName": "once"}))
        .await
        .ok(201);
    cloud
        .upsert(path, json!({"displayName": "once"}))
        .await
        .ok(204);
    assert_eq!(
        cloud.world().read(|state| state.entra.applications.len()),
        2
    );
}
