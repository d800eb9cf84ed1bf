use serde_json::json;

use crate::{
    Profile,
    seed::{OPERATOR_APPLICATION, OPERATOR_PRINCIPAL},
    testing::{Cloud, GRAPH, text},
};

#[tokio::test]
async fn an_application_lives_and_comes_back() {
    let cloud = Cloud::start().await;
    let path = "/applications(uniqueName='lockkeeper-a')";
    cloud
        .graph("PATCH", path, Some(json!({"displayName": "a"})))
        .await
        .refused(404, "Request_ResourceNotFound"); // R17
    let body = json!({"displayName": "a", "signInAudience": "AzureADMyOrg", "tags": ["lk"]});
    let got = cloud.upsert(path, body.clone()).await;
    let location = got.header("location").to_owned();
    let app = got.ok(201);
    let kind = "Microsoft.DirectoryServices.Application";
    let end = format!("/directoryObjects/{}/{kind}", text(&app["id"]));
    assert!(location.ends_with(&end), "{location}");
    let id = text(&app["id"]);
    cloud.upsert(path, body).await.ok(204);
    let again = cloud.graph("GET", path, None).await.ok(200);
    assert_eq!(again["id"], app["id"]);
    assert_eq!(again["tags"], json!(["lk"]));
    let by_key = format!("/applications(appId='{}')", text(&app["appId"]));
    cloud.graph("GET", &by_key, None).await.ok(200);

    let one = format!("/applications/{id}");
    let notes = json!({"notes": "n", "@odata.type": "#microsoft.graph.application"});
    cloud.graph("PATCH", &one, Some(notes)).await.ok(204);
    let selected = cloud
        .graph("GET", &format!("{one}?$select=id,notes"), None)
        .await
        .ok(200);
    assert_eq!(selected["notes"], "n");
    assert_eq!(selected.get("appId"), None);

    cloud.graph("DELETE", &one, None).await.ok(204);
    cloud
        .graph("DELETE", &one, None)
        .await
        .refused(404, "Request_ResourceNotFound"); // R44
    cloud
        .graph("GET", &one, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    let bin = "/directory/deletedItems/microsoft.graph.application";
    let kept = cloud.graph("GET", bin, None).await.ok(200);
    assert_eq!(kept["value"][0]["id"], json!(id));
    let restore = format!("/directory/deletedItems/{id}/restore");
    cloud.graph("POST", &restore, None).await.ok(200);
    cloud.graph("GET", &one, None).await.ok(200);
    cloud.graph("DELETE", &one, None).await.ok(204);
    cloud
        .graph("DELETE", &format!("/directory/deletedItems/{id}"), None)
        .await
        .ok(204);
    cloud
        .upsert(path, json!({"displayName": "a"}))
        .await
        .ok(201);
}

#[tokio::test]
async fn r13_r14_permissions() {
    let cloud = Cloud::start().await;
    let [app_id, _, _, secret] = cloud.register("powerless").await;
    let weak = cloud
        .token_of(&app_id, &secret, "https://graph.microsoft.com")
        .await;
    let body = json!({"displayName": "x"});
    let path = "/v1.0/applications";
    let got = cloud
        .send("POST", GRAPH, path, Some(&weak), Some(body.clone()), &[])
        .await;
    got.refused(403, "Authorization_RequestDenied");
    cloud
        .graph("GET", "/applications", None)
        .await
        .refused(403, "Authorization_RequestDenied");
    let filter = "/applications?$filter=displayName%20eq%20'powerless'";
    cloud
        .graph("GET", filter, None)
        .await
        .refused(403, "Authorization_RequestDenied");
    // The operator's own application belongs to a user.
    let foreign = format!("/applications/{OPERATOR_APPLICATION}");
    cloud
        .graph("PATCH", &foreign, Some(body))
        .await
        .refused(403, "Authorization_RequestDenied");
    let password = format!("{foreign}/addPassword");
    cloud
        .graph("POST", &password, None)
        .await
        .refused(403, "Authorization_RequestDenied");

    let own = cloud
        .graph("POST", "/applications", Some(json!({"displayName": "own"})))
        .await
        .ok(201);
    let own = format!("/applications/{}", text(&own["id"]));
    let mapped = json!({"displayName": "x", "api": {"acceptMappedClaims": true}});
    for (method, path) in [("POST", "/applications"), ("PATCH", own.as_str())] {
        cloud
            .graph(method, path, Some(mapped.clone()))
            .await
            .refused(403, "Authorization_RequestDenied");
    }
    cloud.graph("DELETE", &own, None).await.ok(204);

    // What OwnedBy does include.
    let owned = format!("/applications?$filter=appId%20eq%20'{app_id}'");
    let found = cloud.graph("GET", &owned, None).await.ok(200);
    assert_eq!(found["value"][0]["displayName"], "powerless");
    let path = format!("/servicePrincipals/{OPERATOR_PRINCIPAL}/ownedObjects");
    let owned = cloud.graph("GET", &path, None).await.ok(200);
    assert_eq!(owned["value"].as_array().unwrap().len(), 2);
    let path = format!("{path}/microsoft.graph.application");
    let owned = cloud.graph("GET", &path, None).await.ok(200);
    assert_eq!(owned["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn r15_r16_r23_creation() {
    let cloud = Cloud::start().await;
    let create = |body| cloud.graph("POST", "/applications", Some(body));
    let got = create(json!({})).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("displayName")
    );
    let app = create(json!({"displayName": "one", "uniqueName": "u"}))
        .await
        .ok(201);
    assert_eq!(app["signInAudience"], "AzureADandPersonalMicrosoftAccount");
    let clash = json!({"displayName": "two", "uniqueName": "u"});
    let got = create(clash.clone()).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("property uniqueName already exists")
    );
    assert_eq!(got.body["error"]["details"][0]["code"], "ObjectConflict");
    let path = format!("/applications/{}", text(&app["id"]));
    cloud.graph("DELETE", &path, None).await.ok(204);
    create(clash).await.refused(400, "Request_BadRequest");
    let got = cloud
        .upsert("/applications(uniqueName='u')", json!({"displayName": "o"}))
        .await;
    got.refused(400, "Request_BadRequest");
    let secret = json!({"displayName": "s", "passwordCredentials": [{"secretText": "mine"}]});
    let got = create(secret).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("service actions")
    );
    // Display names are not unique, and a secret may be asked for on creation.
    create(json!({"displayName": "same"})).await.ok(201);
    let with = json!({"displayName": "same", "passwordCredentials": [{"displayName": "k"}]});
    let app = create(with).await.ok(201);
    assert_eq!(
        app["passwordCredentials"][0]["secretText"]
            .as_str()
            .unwrap()
            .len(),
        40
    );
    let path = format!("/applications/{}", text(&app["id"]));
    let read = cloud.graph("GET", &path, None).await.ok(200);
    assert_eq!(read["passwordCredentials"][0]["secretText"], json!(null));
}

#[tokio::test]
async fn r21_r22_passwords() {
    let cloud = Cloud::start().await;
    let body = json!({"displayName": "personal"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    let path = format!("/applications/{}/addPassword", text(&app["id"]));
    let first = cloud.graph("POST", &path, Some(json!({}))).await.ok(200);
    assert!(!text(&first["secretText"]).contains("Q~"));
    assert!(text(&first["secretText"]).starts_with(&text(&first["hint"])));
    cloud.graph("POST", &path, None).await.ok(200);
    let got = cloud.graph("POST", &path, None).await;
    assert!(
        got.refused(400, "TooManyAppPasswords")
            .contains("add 3 passwords")
    );

    let [_, id, _, _] = cloud.register("ours").await;
    let path = format!("/applications/{id}/addPassword");
    let own = json!({"passwordCredential": {"secretText": "mine"}});
    cloud
        .graph("POST", &path, Some(own))
        .await
        .refused(400, "Request_BadRequest");
    cloud
        .world()
        .write(|state| state.entra.credential_policy.longest_days = Some(30));
    let got = cloud.graph("POST", &path, Some(json!({}))).await;
    got.refused(400, "CredentialInvalidLifetimeAsPerAppPolicy");
    assert_eq!(got.body["error"]["details"][0]["code"], "InvalidKeyEndDate");
    let soon = cloud.world().now() + time::Duration::days(7);
    let soon = json!({"passwordCredential": {"endDateTime": crate::wire::iso(soon)}});
    cloud.graph("POST", &path, Some(soon.clone())).await.ok(200);
    cloud
        .world()
        .write(|state| state.entra.credential_policy.passwords_banned = true);
    let got = cloud.graph("POST", &path, Some(soon)).await;
    got.refused(400, "CredentialTypeNotAllowedAsPerAppPolicy");
    let path = format!("/applications/{id}/removePassword");
    let unknown = json!({"keyId": "12345678-0000-4000-8000-000000000000"});
    cloud
        .graph("POST", &path, Some(unknown))
        .await
        .refused(400, "Request_BadRequest");
}

#[tokio::test]
async fn r25_writes_to_one_application_meet() {
    let cloud = Cloud::with(Profile::Typical).await;
    let body = json!({"displayName": "busy", "signInAudience": "AzureADMyOrg"});
    let app = cloud
        .graph("POST", "/applications", Some(body))
        .await
        .ok(201);
    cloud.pass(60);
    let path = format!("/v1.0/applications/{}/addPassword", text(&app["id"]));
    let token = cloud.token("https://graph.microsoft.com").await;
    let add = || cloud.send("POST", GRAPH, &path, Some(&token), Some(json!({})), &[]);
    let (one, other) = tokio::join!(add(), add());
    let (won, lost) = if one.status == 200 {
        (one, other)
    } else {
        (other, one)
    };
    won.ok(200);
    lost.refused(409, "Directory_ConcurrencyViolation");
    cloud.pass(1);
    add().await.ok(200);
}

#[tokio::test]
async fn owners_are_users_and_principals() {
    let cloud = Cloud::start().await;
    let [_, id, sp, _] = cloud.register("owned").await;
    let path = format!("/applications/{id}/owners/$ref");
    let of = |oid: &str| {
        Some(
            json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{oid}")}),
        )
    };
    let got = cloud.graph("POST", &path, of(OPERATOR_APPLICATION)).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("'owners' reference")
    );
    cloud.graph("POST", &path, of(&sp)).await.ok(204);
    let got = cloud.graph("POST", &path, of(&sp)).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("already exist")
    );
    let owners = cloud
        .graph("GET", &format!("/applications/{id}/owners"), None)
        .await
        .ok(200);
    assert_eq!(owners["value"].as_array().unwrap().len(), 2);
    let bound = json!({
        "displayName": "b",
        "owners@odata.bind":
            [format!("https://graph.microsoft.com/v1.0/directoryObjects/{OPERATOR_PRINCIPAL}")],
    });
    let app = cloud
        .graph("POST", "/applications", Some(bound))
        .await
        .ok(201);
    let path = format!("/applications/{}/owners", text(&app["id"]));
    let owners = cloud.graph("GET", &path, None).await.ok(200);
    assert_eq!(owners["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cloud = Cloud::start().await;
    for name in ["p1", "p2", "p3"] {
        cloud
            .graph("POST", "/applications", Some(json!({"displayName": name})))
            .await
            .ok(201);
    }
    let owned =
        format!("/servicePrincipals/{OPERATOR_PRINCIPAL}/ownedObjects/microsoft.graph.application");
    let page = cloud
        .graph("GET", &format!("{owned}?$top=2&$select=displayName"), None)
        .await;
    let page = page.ok(200);
    assert_eq!(
        page["value"],
        json!([{"displayName": "p1"}, {"displayName": "p2"}])
    );
    let next = text(&page["@odata.nextLink"]);
    let rest = next
        .strip_prefix("http://graph.microsoft.com/v1.0")
        .unwrap();
    let page = cloud.graph("GET", rest, None).await.ok(200);
    assert_eq!(page["value"].as_array().unwrap().len(), 1);
    assert_eq!(page.get("@odata.nextLink"), None);
}

#[tokio::test]
async fn a_unique_name_is_set_once() {
    let cloud = Cloud::start().await;
    let create = |body| cloud.graph("POST", "/applications", Some(body));
    let ours = create(json!({"displayName": "a"})).await.ok(201);
    assert_eq!(ours["uniqueName"], json!(null));
    let other = create(json!({"displayName": "a"})).await.ok(201);
    let [one, two] = [&ours, &other].map(|app| format!("/applications/{}", text(&app["id"])));
    let name = |name: &str| Some(json!({"uniqueName": name}));
    cloud.graph("PATCH", &one, name("first")).await.ok(204);
    let found = "/applications(uniqueName='first')";
    let found = cloud.graph("GET", found, None).await.ok(200);
    assert_eq!(found["id"], ours["id"]);
    // Immutable from then on, though sending it once more does no harm.
    cloud.graph("PATCH", &one, name("first")).await.ok(204);
    let got = cloud.graph("PATCH", &one, name("second")).await;
    assert!(
        got.refused(400, "Request_BadRequest")
            .contains("uniqueName")
    );
    // Taken, also by an application that was deleted lately.
    for _ in ["living", "deleted"] {
        let got = cloud.graph("PATCH", &two, name("first")).await;
        assert!(
            got.refused(400, "Request_BadRequest")
                .contains("property uniqueName already exists")
        );
        cloud.graph("DELETE", &one, None).await;
    }
    // Only an owner may set it.
    let foreign = format!("/applications/{OPERATOR_APPLICATION}");
    cloud
        .graph("PATCH", &foreign, name("mine"))
        .await
        .refused(403, "Authorization_RequestDenied");
}
