use serde_json::json;

use crate::{
    entra,
    seed::OPERATOR_PRINCIPAL,
    testing::{Cloud, GRAPH, text},
};

#[tokio::test]
async fn r18_r19_principals_need_one_application_each() {
    let cloud = Cloud::start().await;
    let stranger = json!({"appId": "12345678-0000-4000-8000-000000000000"});
    let got = cloud
        .graph("POST", "/servicePrincipals", Some(stranger))
        .await;
    got.refused(400, "Request_BadRequest");
    assert_eq!(
        got.body["error"]["details"][0]["code"],
        "NoBackingApplicationObject"
    );
    let [app_id, _, sp, _] = cloud.register("twice").await;
    let got = cloud
        .graph("POST", "/servicePrincipals", Some(json!({"appId": app_id})))
        .await;
    let message = got.refused(409, "Request_MultipleObjectsWithSameKeyValue");
    assert!(message.contains(&app_id), "{message}");
    let key = format!("/servicePrincipals(appId='{app_id}')");
    cloud.upsert(&key, json!({})).await.ok(204);
    cloud
        .graph("DELETE", &format!("/servicePrincipals/{sp}"), None)
        .await
        .ok(204);
    cloud
        .graph("GET", &key, None)
        .await
        .refused(404, "Request_ResourceNotFound");
    let made = cloud.upsert(&key, json!({"tags": ["t"]})).await.ok(201);
    assert_eq!(made["servicePrincipalNames"], json!([app_id]));
    assert_eq!(made["tags"], json!(["t"]));
}

#[tokio::test]
async fn first_party_principals_can_be_looked_up() {
    let cloud = Cloud::start().await;
    let key = "/servicePrincipals(appId='2ff814a6-3304-4ab8-85cb-cd0e6f879c1d')";
    let sp = cloud.graph("GET", key, None).await.ok(200);
    assert_eq!(sp["displayName"], "AzureDatabricks");
    let filter = "/servicePrincipals?$filter=displayName%20eq%20'AzureDatabricks'";
    let found = cloud.graph("GET", filter, None).await.ok(200);
    assert_eq!(found["value"][0]["id"], sp["id"]);
}

#[tokio::test]
async fn advanced_queries_say_that_they_are() {
    let cloud = Cloud::start().await;
    let token = cloud.token("https://graph.microsoft.com").await;
    let get = |query: &str, header: bool| {
        let (cloud, token) = (&cloud, &token);
        let path = format!("/v1.0/servicePrincipals?{}", query.replace(' ', "%20"));
        async move {
            let headers = [("consistencylevel", "eventual")];
            let headers = if header { &headers[..] } else { &[] };
            cloud
                .send("GET", GRAPH, &path, Some(token), None, headers)
                .await
        }
    };
    for query in [
        "$filter=displayName ne 'x'",
        "$filter=not startswith(displayName,'x')",
        "$filter=endswith(displayName,'s')",
        "$filter=accountEnabled eq true&$orderby=displayName",
    ] {
        for (query, header) in [
            (query.to_owned(), false),
            (query.to_owned(), true),
            (format!("{query}&$count=true"), false),
        ] {
            get(&query, header)
                .await
                .refused(400, "Request_UnsupportedQuery");
        }
        get(&format!("{query}&$count=true"), true).await.ok(200);
    }
    let mut names = Vec::new();
    for query in ["$orderby=displayName", "$orderby=displayName desc"] {
        let found = get(query, false).await.ok(200);
        let found = found["value"].as_array().unwrap();
        names.push(
            found
                .iter()
                .map(|sp| text(&sp["displayName"]).to_lowercase())
                .collect::<Vec<_>>(),
        );
    }
    assert!(names[0].len() > 1 && names[0].is_sorted(), "{names:?}");
    names[1].reverse();
    assert_eq!(names[0], names[1]);
}

#[tokio::test]
async fn users_and_self() {
    let cloud = Cloud::start().await;
    let ana = cloud
        .graph("GET", "/users/ana@contoso.com?$select=id,mail", None)
        .await
        .ok(200);
    assert_eq!(ana["mail"], "ana@contoso.com");
    cloud
        .graph("GET", "/users/eve@contoso.com", None)
        .await
        .refused(404, "Request_ResourceNotFound");
    let found = cloud
        .graph("GET", "/users?$filter=mail%20eq%20'bob@contoso.com'", None)
        .await;
    assert_eq!(found.ok(200)["value"].as_array().unwrap().len(), 1);
    let got = cloud.graph("GET", "/me", None).await;
    assert!(got.refused(400, "BadRequest").contains("delegated"));
    let world = cloud.world();
    let token = world.read(|state| {
        entra::tokens::for_user(
            &world,
            state,
            "ana@contoso.com",
            "https://graph.microsoft.com",
        )
    });
    let me = cloud
        .send("GET", GRAPH, "/v1.0/me", token.as_deref(), None, &[])
        .await
        .ok(200);
    assert_eq!(me["id"], ana["id"]);
    let [app_id, _, _, secret] = cloud.register("weak").await;
    let weak = cloud
        .token_of(&app_id, &secret, "https://graph.microsoft.com")
        .await;
    let got = cloud
        .send(
            "GET",
            GRAPH,
            "/v1.0/users/ana@contoso.com",
            Some(&weak),
            None,
            &[],
        )
        .await;
    got.refused(403, "Authorization_RequestDenied");
    let tenant = cloud.graph("GET", "/organization", None).await.ok(200);
    assert_eq!(
        tenant["value"][0]["verifiedDomains"][0]["name"],
        "contoso.onmicrosoft.com"
    );
}

#[tokio::test]
async fn app_roles_reach_later_tokens() {
    let cloud = Cloud::start().await;
    let [app_id, _, sp, secret] = cloud.register("reader").await;
    let graph = cloud
        .graph(
            "GET",
            "/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')",
            None,
        )
        .await
        .ok(200);
    let path = format!(
        "/servicePrincipals/{}/appRoleAssignedTo",
        text(&graph["id"])
    );
    let role = "df021288-bdef-4463-88db-98f22de89214";
    let body = json!({"principalId": sp, "resourceId": graph["id"], "appRoleId": role});
    let got = cloud.graph("POST", &path, Some(body.clone())).await;
    got.refused(403, "Authorization_RequestDenied");
    cloud.world().write(|state| {
        let mut grant = state.entra.app_role_assignments[0].clone();
        "extra".clone_into(&mut grant.id);
        "06b708a9-e830-4db3-a914-8e69da51d44f".clone_into(&mut grant.app_role_id);
        OPERATOR_PRINCIPAL.clone_into(&mut grant.principal_id);
        state.entra.app_role_assignments.push(grant);
    });
    let grant = cloud.graph("POST", &path, Some(body.clone())).await.ok(201);
    assert_eq!(grant["principalDisplayName"], "reader");
    cloud
        .graph("POST", &path, Some(body))
        .await
        .refused(400, "Request_BadRequest");
    let token = cloud
        .token_of(&app_id, &secret, "https://graph.microsoft.com")
        .await;
    cloud
        .send(
            "GET",
            GRAPH,
            "/v1.0/users/ana@contoso.com",
            Some(&token),
            None,
            &[],
        )
        .await
        .ok(200);
    let path = format!("{path}/{}", text(&grant["id"]));
    cloud.graph("DELETE", &path, None).await.ok(204);
}
