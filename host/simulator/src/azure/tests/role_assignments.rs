use serde_json::{Value, json};

use super::{SECRETS_USER, assignment, vault};
use crate::{
    Profile,
    azure::access,
    seed::{self, DATABRICKS_PRINCIPAL, OPERATOR_APPLICATION, OPERATOR_PRINCIPAL},
    testing::{ARM, Cloud, text},
};

fn body(principal: &str, kind: Option<&str>) -> Value {
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}",
        seed::SUBSCRIPTION
    );
    let mut properties = json!({"roleDefinitionId": role, "principalId": principal});
    if let Some(kind) = kind {
        properties["principalType"] = json!(kind);
    }
    json!({"properties": properties})
}

#[tokio::test]
async fn r29_r30_r44_one_assignment_of_a_kind() {
    let cloud = Cloud::start().await;
    let scope = vault("kv-demo");
    let path = assignment(&scope, 1);
    let sent = Some(body(DATABRICKS_PRINCIPAL, Some("ServicePrincipal")));
    let made = cloud.arm("PUT", &path, sent.clone()).await.ok(201);
    assert_eq!(made["id"], json!(path));
    cloud.arm("PUT", &path, sent.clone()).await.ok(200);
    let got = cloud.arm("PUT", &assignment(&scope, 2), sent).await;
    got.refused(409, "RoleAssignmentExists");
    let other = Some(body(seed::ANA.0, None));
    cloud
        .arm("PUT", &path, other)
        .await
        .refused(400, "RoleAssignmentUpdateNotPermitted");

    let list = format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
    let filter = format!("{list}?$filter=principalId%20eq%20'{DATABRICKS_PRINCIPAL}'");
    let found = cloud.arm("GET", &filter, None).await.ok(200);
    assert_eq!(found["value"][0]["name"], made["name"]);
    // Inherited ones are listed too: the operator's two on the group and one on the vault.
    let mine = format!("{list}?$filter=assignedTo('{OPERATOR_PRINCIPAL}')");
    let found = cloud.arm("GET", &mine, None).await.ok(200);
    assert_eq!(found["value"].as_array().unwrap().len(), 3);

    cloud.arm("DELETE", &path, None).await.ok(200);
    cloud.arm("DELETE", &path, None).await.ok(204);
    cloud
        .arm("GET", &path, None)
        .await
        .refused(404, "RoleAssignmentNotFound");
}

#[tokio::test]
async fn callers_can_ask_what_they_may_do() {
    let cloud = Cloud::start().await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/permissions",
        vault("kv-demo")
    );
    let found = cloud.arm("GET", &path, None).await.ok(200);
    let held = found["value"].as_array().unwrap();
    // Contributor and User Access Administrator on the group, an officer's role on the vault.
    assert_eq!(held.len(), 3, "{found:#}");
    assert_eq!(held[0]["actions"], json!(["*"]));
    assert_eq!(held[0]["notActions"][1], "Microsoft.Authorization/*/Write");
    assert_eq!(
        held[2]["dataActions"],
        json!(["Microsoft.KeyVault/vaults/secrets/*"])
    );
}

#[tokio::test]
async fn r27_principals() {
    let cloud = Cloud::with(Profile::Typical).await;
    let scope = vault("kv-demo");
    let put = |number, body| {
        let (cloud, path) = (&cloud, assignment(&scope, number));
        async move { cloud.arm("PUT", &path, body).await }
    };
    for kind in [None, Some("ServicePrincipal")] {
        let got = put(1, Some(body(OPERATOR_APPLICATION, kind))).await;
        assert!(
            got.refused(400, "PrincipalNotFound")
                .contains("replication delay")
        );
    }
    let app = json!({"displayName": "fresh", "signInAudience": "AzureADMyOrg"});
    let app = cloud
        .graph("POST", "/applications", Some(app))
        .await
        .ok(201);
    cloud.pass(31);
    let sp = json!({"appId": app["appId"]});
    let sp = text(
        &cloud
            .graph("POST", "/servicePrincipals", Some(sp))
            .await
            .ok(201)["id"],
    );
    put(2, Some(body(&sp, None)))
        .await
        .refused(400, "PrincipalNotFound");
    put(2, Some(body(&sp, Some("ServicePrincipal"))))
        .await
        .ok(201);
    cloud
        .arm("DELETE", &assignment(&scope, 2), None)
        .await
        .ok(200);
    cloud.pass(31);
    put(3, Some(body(&sp, None))).await.ok(201);
    // A type that was not sent is found out.
    put(4, Some(body(seed::BOB.0, None))).await.ok(201);
}

#[tokio::test]
async fn r28_granting_takes_a_role() {
    let cloud = Cloud::start().await;
    let [app_id, _, sp, secret] = cloud.register("weak").await;
    let weak = cloud
        .token_of(&app_id, &secret, "https://management.core.windows.net/")
        .await;
    let path = assignment(&vault("kv-demo"), 1);
    let sent = Some(body(DATABRICKS_PRINCIPAL, Some("ServicePrincipal")));
    let got = cloud.arm_as(&weak, "PUT", &path, sent.clone()).await;
    let message = got.refused(403, "AuthorizationFailed");
    assert!(
        message.contains("'Microsoft.Authorization/roleAssignments/write'"),
        "{message}"
    );
    assert!(
        message.contains(&sp) && message.contains(&app_id),
        "{message}"
    );
    // Over the subscription the operator has no role.
    let above = assignment(&format!("/subscriptions/{}", seed::SUBSCRIPTION), 1);
    cloud
        .arm("PUT", &above, sent)
        .await
        .refused(403, "AuthorizationFailed");
}

#[tokio::test]
async fn r45_and_tokens() {
    let cloud = Cloud::start().await;
    let path = format!("/subscriptions/{}", seed::SUBSCRIPTION);
    let token = cloud.token("https://management.azure.com/").await;
    let send = |path: String, bearer: Option<String>| {
        let cloud = &cloud;
        async move {
            cloud
                .send("GET", ARM, &path, bearer.as_deref(), None, &[])
                .await
        }
    };
    send(path.clone(), Some(token))
        .await
        .refused(400, "MissingApiVersionParameter");
    let versioned = format!("{path}?api-version=2022-04-01");
    let got = send(versioned.clone(), None).await;
    got.refused(401, "AuthenticationFailed");
    assert!(
        got.header("www-authenticate")
            .contains("authorization_uri=")
    );
    let graph = cloud.token("https://graph.microsoft.com").await;
    send(versioned, Some(graph))
        .await
        .refused(401, "InvalidAuthenticationToken");
    let other = "/subscriptions/00000000-0000-4000-8000-00000000ffff/resourceGroups";
    cloud
        .arm("GET", other, None)
        .await
        .refused(404, "SubscriptionNotFound");
}

#[tokio::test]
async fn definitions_are_found_by_name() {
    let cloud = Cloud::start().await;
    let path = "/providers/Microsoft.Authorization/roleDefinitions";
    let path = format!(
        "/subscriptions/{}{path}?$filter=roleName%20eq%20'Key%20Vault%20Secrets%20User'",
        seed::SUBSCRIPTION
    );
    let found = cloud.arm("GET", &path, None).await.ok(200);
    assert_eq!(found["value"][0]["name"], SECRETS_USER);
}

#[tokio::test]
async fn the_workspace_resource() {
    let cloud = Cloud::start().await;
    let path = seed::resource_id("Microsoft.Databricks/workspaces", "dbw-demo");
    let found = cloud.arm("GET", &path, None).await.ok(200);
    assert_eq!(found["properties"]["workspaceId"], "4242424242424242");
    assert_eq!(
        found["properties"]["workspaceUrl"],
        "adb-4242424242424242.2.azuredatabricks.net"
    );
    let gone = seed::resource_id("Microsoft.Databricks/workspaces", "other");
    cloud
        .arm("GET", &gone, None)
        .await
        .refused(404, "ResourceNotFound");
    let list = format!(
        "/subscriptions/{}/providers/Microsoft.Databricks/workspaces",
        seed::SUBSCRIPTION
    );
    let found = cloud.arm("GET", &list, None).await.ok(200);
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn other_planes_ask_about_roles() {
    let cloud = Cloud::start().await;
    let world = cloud.world();
    let may = |oid: &str, action: &str, scope: &str| {
        world.read(|state| access::allowed(&world, state, oid, action, scope))
    };
    let workspace = seed::resource_id("Microsoft.Databricks/workspaces", "dbw-demo");
    assert!(may(
        OPERATOR_PRINCIPAL,
        "Microsoft.Databricks/workspaces/write",
        &workspace
    ));
    assert!(!may(
        DATABRICKS_PRINCIPAL,
        "Microsoft.Databricks/workspaces/read",
        &workspace
    ));
    assert!(may(
        seed::ANA.0,
        "Microsoft.KeyVault/vaults/write",
        &vault("kv-policy")
    ));
}
