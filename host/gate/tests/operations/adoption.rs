//! What was made elsewhere: found by its ids, given the mark by which steps find it, given back.

use lockkeeper_cloud::{Class as FailureClass, Method, Service};
use serde_json::{Value, json};

use crate::common::Clouds;
use crate::text;

/// Applications made elsewhere, which have no unique name.
pub(crate) async fn applications(clouds: &Clouds) {
    let made = async || {
        let body = json!({ "displayName": "theirs", "signInAudience": "AzureADMyOrg" });
        let path = "/v1.0/applications";
        clouds
            .elsewhere(Service::Graph, Method::Post, path, body)
            .await
    };
    let (theirs, other) = (made().await, made().await);
    let object_id = text(&theirs, "id");
    let principal = clouds
        .send(
            "entra/service-principals.create",
            json!({ "application_id": theirs["appId"] }),
        )
        .await;

    let look_up = |id: &Value| ("entra/applications.look-up", json!({ "id": id }));
    for id in [&theirs["id"], &theirs["appId"], &principal["object_id"]] {
        let found = clouds.read(&look_up(id)).await;
        assert_eq!(
            found,
            json!({
                "object_id": object_id, "application_id": theirs["appId"],
                "unique_name": null, "display_name": "theirs",
            })
        );
    }
    let nobody = json!("0d0d0d0d-0000-4000-8000-00000000000d");
    assert_eq!(clouds.read(&look_up(&nobody)).await, Value::Null);
    let wrong = clouds
        .refused("entra/applications.look-up", json!({ "id": "4177" }))
        .await;
    assert_eq!(wrong.class, FailureClass::Invalid, "{wrong}");
    // Databricks' own service principal, whose application is Microsoft's.
    let microsofts = json!({ "id": "0b0b0b0b-0000-4000-8000-000000000001" });
    let failure = clouds
        .refused("entra/applications.look-up", microsofts)
        .await;
    assert_eq!(failure.code, "RegisteredElsewhere", "{failure}");

    let find = (
        "entra/applications.find",
        json!({ "unique_name": "lockkeeper-theirs" }),
    );
    let set = "entra/applications.set-unique-name";
    let name = json!({ "object_id": object_id, "unique_name": "lockkeeper-theirs" });
    clouds.for_good(set, name.clone(), &[&find]).await;
    // Again, as after a lost reply; this time there is nothing to take back.
    clouds.there_and_back(set, name, &[&find]).await;
    let found = clouds.read(&look_up(&theirs["appId"])).await;
    assert_eq!(found["unique_name"], "lockkeeper-theirs");

    let again = json!({ "object_id": object_id, "unique_name": "lockkeeper-new" });
    let taken = json!({ "object_id": other["id"], "unique_name": "lockkeeper-theirs" });
    let gone = json!({ "object_id": nobody, "unique_name": "lockkeeper-new" });
    for (arguments, class, said) in [
        (again, FailureClass::Conflict, "never changes"),
        (taken, FailureClass::Conflict, "already exists"),
        (gone, FailureClass::NotFound, "there is no application"),
    ] {
        let failure = clouds.refused(set, arguments).await;
        assert_eq!(failure.class, class, "{failure}");
        assert!(failure.to_string().contains(said), "{failure}");
    }
}

/// Jobs made elsewhere, with a name, tags and a task of their own.
pub(crate) async fn jobs(clouds: &Clouds, application_id: &str) {
    let made = async |tags: Value, tasks: Value| {
        let mut body = json!({
            "name": "theirs", "tasks": tasks, "timeout_seconds": 60,
            "run_as": { "service_principal_name": application_id },
        });
        if !tags.is_null() {
            body["tags"] = tags;
        }
        let path = "/api/2.2/jobs/create";
        let made = clouds
            .elsewhere(Service::Databricks, Method::Post, path, body)
            .await;
        made["job_id"].to_string()
    };
    let task = |key: &str| json!({ "task_key": key, "notebook_task": { "notebook_path": "/a" } });
    let tag = json!(["lockkeeper", "adopted"]);
    let (adopt, release) = ("databricks/jobs.adopt", "databricks/jobs.release");
    let arguments = |id: &str| json!({ "id": id, "name": "adopted", "tag": tag });
    let get = |id: &str| {
        let arguments = json!({ "id": id, "tag": "lockkeeper" });
        ("databricks/jobs.get", arguments)
    };
    let find = (
        "databricks/jobs.find",
        json!({ "name": "adopted", "tag": tag }),
    );
    assert_eq!(clouds.read(&get("7")).await, Value::Null);
    assert_eq!(
        clouds
            .refused("databricks/jobs.get", json!({ "id": "x", "tag": "t" }))
            .await
            .class,
        FailureClass::Invalid
    );

    // One with a tag of somebody, and one without any.
    for tags in [json!({ "team": "data" }), Value::Null] {
        let id = made(tags.clone(), json!([task("theirs")])).await;
        let raw = async || {
            let listed = clouds
                .elsewhere(
                    Service::Databricks,
                    Method::Get,
                    "/api/2.2/jobs/list",
                    Value::Null,
                )
                .await;
            let jobs = listed["jobs"].as_array().unwrap().clone();
            let ours = |job: &&Value| job["job_id"].as_i64() == id.parse().ok();
            jobs.iter().find(ours).unwrap()["settings"].clone()
        };
        let before = raw().await;
        clouds.there_and_back(adopt, arguments(&id), &[&find]).await;
        assert_eq!(raw().await, before, "given back whole");

        clouds.made(adopt, arguments(&id), &[&find]).await;
        clouds.there_and_back(adopt, arguments(&id), &[&find]).await;
        let job = clouds.read(&get(&id)).await;
        assert_eq!(job["settings"]["tag"], tag);
        assert_eq!(raw().await["timeout_seconds"], 60);
        assert_eq!(raw().await["tags"]["team"], before["tags"]["team"]);

        // What a step does to it leaves it one task, under the key that it had.
        let mut settings = job["settings"].clone();
        settings["notebook_path"] = json!("/Shared/a/x");
        let update = json!({ "id": id, "settings": settings });
        clouds
            .there_and_back("databricks/jobs.update", update, &[&find])
            .await;

        // Another job cannot be adopted beside it, nor this one under another name.
        let second = made(json!({}), json!([task("a")])).await;
        let failure = clouds.refused(adopt, arguments(&second)).await;
        assert_eq!(failure.class, FailureClass::Conflict, "{failure}");
        assert!(failure.message.contains(&id), "{failure}");
        let elsewhere = json!({ "id": id, "name": "other", "tag": ["lockkeeper", "other"] });
        let failure = clouds.refused(adopt, elsewhere).await;
        assert!(failure.message.contains("kept as `adopted`"), "{failure}");

        let back = json!({
            "id": id, "name": "adopted", "tag": tag,
            "former_name": "theirs", "former_tag": null,
        });
        clouds.there_and_back(release, back.clone(), &[]).await;
        clouds.made(release, back, &[&find]).await;
    }
    for tasks in [
        json!([task("a"), task("b")]),
        json!([{ "task_key": "a", "spark_python_task": { "python_file": "/a.py" } }]),
    ] {
        let id = made(json!({}), tasks).await;
        let failure = clouds.refused(adopt, arguments(&id)).await;
        assert!(failure.message.contains("one notebook task"), "{failure}");
    }
    let failure = clouds.refused(adopt, arguments("7")).await;
    assert_eq!(failure.class, FailureClass::NotFound, "{failure}");
    let back = json!({ "id": "7", "name": "a", "tag": tag, "former_name": "b" });
    let failure = clouds.refused(release, back).await;
    assert_eq!(failure.class, FailureClass::NotFound, "{failure}");
}
