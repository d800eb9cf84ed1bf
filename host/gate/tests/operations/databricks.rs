//! What a workspace holds.

use lockkeeper_cloud::Class as FailureClass;
use lockkeeper_gate::{Inverse, operations};
use serde_json::{Value, json};

use crate::common::Clouds;
use crate::{OPERATOR, VAULT, text};

pub(crate) async fn principals(clouds: &Clouds, application_id: &str) -> String {
    let id = json!({ "application_id": application_id });
    let find = ("databricks/service-principals.find", id);
    let create = json!({ "application_id": application_id, "display_name": "etl" });
    let name = "databricks/service-principals.create";
    clouds.there_and_back(name, create.clone(), &[&find]).await;
    let made = clouds.made(name, create, &[&find]).await;
    let rename =
        json!({ "id": made["id"], "application_id": application_id, "display_name": "new" });
    clouds
        .there_and_back("databricks/service-principals.rename", rename, &[&find])
        .await;

    let other = json!({
        "application_id": "99999999-0000-4000-8000-000000000009", "display_name": "other",
    });
    let other = clouds.send(name, other).await;
    let delete = json!({ "id": other["id"], "application_id": other["application_id"] });
    clouds
        .for_good("databricks/service-principals.delete", delete.clone(), &[])
        .await;
    clouds
        .send("databricks/service-principals.delete", delete)
        .await;
    text(&made, "id")
}

pub(crate) async fn roles(clouds: &Clouds, application_id: &str) {
    let list = (
        "databricks/roles.list",
        json!({ "application_id": application_id }),
    );
    let role = |role: &str, principal: &str| json!({ "application_id": application_id, "role": role, "principal": principal });
    let (user, manager) = ("servicePrincipal.user", "servicePrincipal.manager");
    // Whoever adds a service principal manages it.
    assert_eq!(
        clouds.read(&list).await,
        json!([{ "role": manager, "principal": OPERATOR }])
    );
    let (grant, revoke) = ("databricks/roles.grant", "databricks/roles.revoke");
    clouds
        .there_and_back(grant, role(user, "users/bob@contoso.com"), &[&list])
        .await;
    clouds.made(grant, role(user, OPERATOR), &[&list]).await;
    clouds
        .there_and_back(grant, role(user, OPERATOR), &[&list])
        .await;
    clouds
        .made(grant, role(manager, "users/ana@contoso.com"), &[&list])
        .await;
    clouds
        .there_and_back(revoke, role(manager, "users/ana@contoso.com"), &[&list])
        .await;
    clouds
        .made(revoke, role(manager, "users/ana@contoso.com"), &[&list])
        .await;
    // Writers who get in each other's way all get through.
    let [ana, bob] =
        ["users/ana@contoso.com", "users/bob@contoso.com"].map(|name| role(user, name));
    tokio::join!(clouds.send(grant, ana), clouds.send(grant, bob));
    assert_eq!(clouds.read(&list).await.as_array().unwrap().len(), 4);
    let failure = clouds.refused(revoke, role(manager, OPERATOR)).await;
    assert_eq!(failure.code, "LastManager");
}

pub(crate) async fn entitlements(clouds: &Clouds, principal: &str) {
    let get = (
        "databricks/entitlements.get",
        json!({ "principal": principal }),
    );
    let names = |names: &[&str]| json!({ "principal": principal, "entitlements": names });
    let (add, remove) = (
        "databricks/entitlements.add",
        "databricks/entitlements.remove",
    );
    let both = names(&["allow-cluster-create", "workspace-access"]);
    clouds.there_and_back(add, both.clone(), &[&get]).await;
    clouds
        .made(add, names(&["workspace-access"]), &[&get])
        .await;
    clouds.there_and_back(add, both.clone(), &[&get]).await;
    clouds.there_and_back(remove, both, &[&get]).await;
    clouds
        .there_and_back(remove, names(&["databricks-sql-access"]), &[&get])
        .await;
}

pub(crate) async fn scopes(clouds: &Clouds) {
    let create = |backend: Value| json!({ "name": "over", "key_vault": backend });
    let find = ("databricks/secret-scopes.find", json!({ "name": "over" }));
    let name = "databricks/secret-scopes.create";
    clouds
        .there_and_back(name, create(Value::Null), &[&find])
        .await;
    let backend = json!({
        "vault": format!("{VAULT}/kv-policy"), "url": "https://kv-policy.vault.azure.net",
    });
    clouds.there_and_back(name, create(backend), &[&find]).await;
    clouds
        .made(name, json!({ "name": "app", "key_vault": null }), &[])
        .await;
    clouds
        .made(name, json!({ "name": "gone", "key_vault": null }), &[])
        .await;
    let delete = json!({ "name": "gone" });
    clouds
        .for_good("databricks/secret-scopes.delete", delete.clone(), &[])
        .await;
    clouds.send("databricks/secret-scopes.delete", delete).await;
}

pub(crate) async fn secrets(clouds: &Clouds) {
    let list = ("databricks/secrets.list", json!({ "scope": "app" }));
    let text = |key: &str| json!({ "scope": "app", "key": key, "text": "2030-01-02" });
    let value = clouds.secret("not-a-real-secret-either").await;
    let secret = json!({ "scope": "app", "key": "client-secret", "value": value });
    let (put, put_text) = ("databricks/secrets.put", "databricks/secrets.put-text");
    clouds
        .there_and_back(put_text, text("ends"), &[&list])
        .await;
    clouds.made(put_text, text("ends"), &[&list]).await;
    clouds.there_and_back(put, secret.clone(), &[&list]).await;
    clouds.made(put, secret, &[&list]).await;
    let before = clouds.state(put_text, &text("ends")).await;
    let inverse = operations::find(put_text).unwrap();
    let inverse = inverse
        .inverse(&text("ends"), before.as_ref(), &Value::Null)
        .unwrap();
    assert!(matches!(inverse, Inverse::Impossible(_)));
    let delete = json!({ "scope": "app", "key": "ends" });
    clouds
        .for_good("databricks/secrets.delete", delete.clone(), &[&list])
        .await;
    clouds.send("databricks/secrets.delete", delete).await;
}

pub(crate) async fn acls(clouds: &Clouds, application_id: &str) {
    let of = json!({ "scope": "app", "principal": application_id });
    let find = ("databricks/secret-acls.find", of.clone());
    let put = |permission: &str| json!({ "scope": "app", "principal": application_id, "permission": permission });
    assert_eq!(clouds.read(&find).await, Value::Null);
    let name = "databricks/secret-acls.put";
    clouds.there_and_back(name, put("read"), &[&find]).await;
    clouds.made(name, put("read"), &[&find]).await;
    clouds.there_and_back(name, put("manage"), &[&find]).await;
    clouds
        .there_and_back("databricks/secret-acls.delete", of.clone(), &[&find])
        .await;
    clouds
        .send("databricks/secret-acls.delete", of.clone())
        .await;
    clouds.send("databricks/secret-acls.delete", of).await;
}

pub(crate) async fn workspace(clouds: &Clouds) {
    let path = |path: &str| json!({ "path": path });
    let find = (
        "databricks/workspace-objects.find",
        path("/Workspace/Shared/a/b/c"),
    );
    assert_eq!(clouds.read(&find).await, Value::Null);
    let (mkdirs, delete) = (
        "databricks/workspace-objects.mkdirs",
        "databricks/workspace-objects.delete",
    );
    clouds
        .there_and_back(mkdirs, path("/Shared/a/b/c"), &[&find])
        .await;
    let gone = ("databricks/workspace-objects.find", path("/Shared/a"));
    assert_eq!(clouds.read(&gone).await, Value::Null);
    clouds.made(mkdirs, path("/Shared/a"), &[]).await;
    clouds.there_and_back(mkdirs, path("/Shared/a"), &[]).await;
    clouds
        .there_and_back(mkdirs, path("/Shared/a/b"), &[])
        .await;
    clouds.there_and_back(delete, path("/Shared/a"), &[]).await;

    let write = |source: &str| json!({ "path": "/Workspace/Shared/a/x", "language": "sql", "source": source });
    let name = "databricks/workspace-objects.write-notebook";
    let find = ("databricks/workspace-objects.find", path("/Shared/a/x"));
    let read = (
        "databricks/workspace-objects.read-notebook",
        path("/Shared/a/x"),
    );
    assert_eq!(clouds.read(&read).await, Value::Null);
    clouds
        .there_and_back(name, write("SELECT 2"), &[&find, &read])
        .await;
    clouds.made(name, write("SELECT 1"), &[&find, &read]).await;
    assert_eq!(clouds.read(&read).await, "SELECT 1");
    clouds
        .there_and_back(name, write("SELECT 2\n"), &[&find, &read])
        .await;
    let two_cells = write("SELECT 1\n\n-- COMMAND ----------\n\nSELECT 2");
    clouds
        .there_and_back(name, two_cells, &[&find, &read])
        .await;
    clouds
        .there_and_back(delete, path("/Shared/a/x"), &[&find, &read])
        .await;
    let failure = clouds.refused(delete, path("/Shared/a")).await;
    assert_eq!(failure.code, "DIRECTORY_NOT_EMPTY", "{failure}");
    clouds.send(delete, path("/Shared/nothing")).await;
}

pub(crate) async fn permissions(clouds: &Clouds, application_id: &str) {
    let found = clouds
        .read(&(
            "databricks/workspace-objects.find",
            json!({ "path": "/Shared/a/x" }),
        ))
        .await;
    let id = text(&found, "object_id");
    let list = (
        "databricks/permissions.list",
        json!({ "securable": "notebook", "id": id }),
    );
    let grant = |level: &str| {
        json!({
            "securable": "notebook", "id": id,
            "application_id": application_id, "level": level,
        })
    };
    let revoke = json!({ "securable": "notebook", "id": id, "application_id": application_id });
    let name = "databricks/permissions.grant";
    clouds
        .there_and_back(name, grant("CAN_RUN"), &[&list])
        .await;
    clouds.made(name, grant("CAN_READ"), &[&list]).await;
    clouds
        .there_and_back(name, grant("CAN_RUN"), &[&list])
        .await;
    clouds
        .there_and_back("databricks/permissions.revoke", revoke, &[&list])
        .await;
}

pub(crate) async fn clusters(clouds: &Clouds) {
    let types = clouds
        .read(&("databricks/clusters.list-node-types", json!({})))
        .await;
    let memory: Vec<_> = types
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["memory_mb"].as_u64())
        .collect();
    assert!(!memory.is_empty() && memory.is_sorted());
    let versions = clouds
        .read(&("databricks/clusters.list-spark-versions", json!({})))
        .await;
    assert!(
        versions[0].as_str().unwrap().contains("-scala"),
        "{versions}"
    );
}

pub(crate) async fn jobs(clouds: &Clouds, application_id: &str) {
    let settings = |name: &str, notebook: &str, compute: Value| {
        json!({ "settings": {
            "name": name, "notebook_path": notebook, "run_as": application_id,
            "compute": compute, "tag": ["lockkeeper", "demo"],
        } })
    };
    let cluster = json!({ "new-cluster": {
        "spark_version": "15.4.x-scala2.12", "node_type": "Standard_DS3_v2",
        "spark_conf": [["b", "2"], ["a", "{{secrets/app/client-secret}}"]],
    } });
    let serverless = json!("serverless");
    let named = |name: &str| json!({ "name": name, "tag": ["lockkeeper", "demo"] });
    let find = ("databricks/jobs.find", named("nightly"));
    assert_eq!(clouds.read(&find).await, Value::Null);
    let create = "databricks/jobs.create";
    let classic = settings("nightly", "/Shared/a/x", cluster);
    clouds
        .there_and_back(create, classic.clone(), &[&find])
        .await;
    let plain = settings("nightly", "/Shared/a/x", serverless.clone());
    let job = clouds.made(create, plain.clone(), &[&find]).await;
    assert_eq!(job["run_as_user_name"], application_id);
    let id = text(&job, "id");
    assert_eq!(
        job["url"],
        format!("https://adb-4242424242424242.2.azuredatabricks.net/?o=4242424242424242#job/{id}")
    );
    // A second job beside it: the first is still the one that is found.
    clouds.there_and_back(create, plain, &[&find]).await;

    let update = |settings: &Value| json!({ "id": id, "settings": settings["settings"] });
    let elsewhere = settings("nightly", "/Shared/a/y", serverless);
    clouds
        .there_and_back("databricks/jobs.update", update(&elsewhere), &[&find])
        .await;
    clouds
        .there_and_back("databricks/jobs.update", update(&classic), &[&find])
        .await;

    let on_job = json!({
        "securable": "job", "id": id,
        "application_id": application_id, "level": "CAN_MANAGE_RUN",
    });
    let list = (
        "databricks/permissions.list",
        json!({ "securable": "job", "id": id }),
    );
    clouds
        .there_and_back("databricks/permissions.grant", on_job, &[&list])
        .await;

    let run = clouds
        .starts_once("databricks/jobs.run-now", json!({ "id": id }))
        .await;
    let run = clouds
        .until("databricks/jobs.get-run", json!({ "id": run }), "finished")
        .await;
    assert_eq!(run["outcome"], "SUCCESS", "{run}");
    assert_eq!(
        (&run["state"], &run["code"]),
        (&json!("TERMINATED"), &json!("SUCCESS"))
    );
    let output = clouds
        .read(&("databricks/jobs.get-output", json!({ "task": run["task"] })))
        .await;
    assert_eq!(output["error"], "", "{output}");

    let failure = clouds
        .refused("databricks/jobs.get-run", json!({ "id": "1" }))
        .await;
    assert_eq!(failure.class, FailureClass::NotFound, "{failure}");
    let mut delete = named("nightly");
    delete["id"] = json!(id);
    clouds
        .for_good("databricks/jobs.delete", delete.clone(), &[&find])
        .await;
    clouds.send("databricks/jobs.delete", delete).await;
}
