//! Applications, service principals and their credentials.

use serde_json::{Value, json};

use crate::common::Clouds;
use crate::text;

/// Leaves an application with a service principal and returns their ids.
pub(crate) async fn applications(clouds: &Clouds) -> (String, String) {
    let find = (
        "entra/applications.find",
        json!({ "unique_name": "lockkeeper-a" }),
    );
    let a = json!({ "unique_name": "lockkeeper-a", "display_name": "a" });
    assert_eq!(clouds.read(&find).await, Value::Null);
    clouds
        .there_and_back("entra/applications.create", a.clone(), &[&find])
        .await;
    // Its unique name is still taken: it is restored, with the ids it had.
    let restored = clouds.send("entra/applications.create", a.clone()).await;
    clouds
        .for_good(
            "entra/applications.delete",
            json!({ "object_id": restored["object_id"], "unique_name": "lockkeeper-a" }),
            &[&find],
        )
        .await;
    let again = clouds.send("entra/applications.create", a).await;
    assert_eq!(again, restored);

    let b = json!({ "unique_name": "lockkeeper-b", "display_name": "b" });
    let find = (
        "entra/applications.find",
        json!({ "unique_name": "lockkeeper-b" }),
    );
    let made = clouds
        .made("entra/applications.create", b.clone(), &[&find])
        .await;
    // A second create finds the first.
    assert_eq!(clouds.send("entra/applications.create", b).await, made);
    let application_id = text(&made, "application_id");
    let object_id = text(&made, "object_id");

    let principal = json!({ "application_id": application_id });
    let find = ("entra/service-principals.find", principal.clone());
    clouds
        .there_and_back(
            "entra/service-principals.create",
            principal.clone(),
            &[&find],
        )
        .await;
    let made = clouds
        .made("entra/service-principals.create", principal, &[&find])
        .await;
    assert_eq!(made["enabled"], true);
    let principal_id = text(&made, "object_id");

    credentials(clouds, &object_id, &application_id).await;

    let c = json!({ "unique_name": "lockkeeper-c", "display_name": "c" });
    let c = clouds.send("entra/applications.create", c).await;
    let id = json!({ "application_id": text(&c, "application_id") });
    let sp = clouds
        .send("entra/service-principals.create", id.clone())
        .await;
    let delete = json!({ "object_id": sp["object_id"], "application_id": sp["application_id"] });
    let find = ("entra/service-principals.find", id);
    clouds
        .for_good("entra/service-principals.delete", delete.clone(), &[&find])
        .await;
    clouds.send("entra/service-principals.delete", delete).await;
    let delete = json!({ "object_id": c["object_id"], "unique_name": "lockkeeper-c" });
    clouds
        .for_good("entra/applications.delete", delete.clone(), &[])
        .await;
    clouds
        .send("entra/applications.delete", delete.clone())
        .await;
    clouds
        .for_good("entra/applications.purge", delete.clone(), &[])
        .await;
    clouds.send("entra/applications.purge", delete).await;
    (application_id, principal_id)
}

async fn credentials(clouds: &Clouds, object_id: &str, application_id: &str) {
    let add = json!({
        "application": object_id,
        "display_name": "lockkeeper",
        "ends": "2030-01-02T03:04:05Z",
    });
    let list = (
        "entra/credentials.list-passwords",
        json!({ "application": object_id }),
    );
    assert_eq!(clouds.read(&list).await, json!([]));
    clouds
        .there_and_back("entra/credentials.add-password", add.clone(), &[&list])
        .await;

    // A lost reply: what carries the mark is revoked, and nothing else is.
    let kept = clouds
        .send("entra/credentials.add-password", add.clone())
        .await;
    clouds
        .sends_and_loses("entra/credentials.add-password", add)
        .await;
    let left = clouds.read(&list).await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["key_id"], kept["key_id"]);

    let prove = json!({ "application": application_id, "value": kept["value"] });
    assert_eq!(
        clouds.read(&("entra/credentials.prove", prove)).await,
        Value::Null
    );

    let remove = json!({ "application": object_id, "key_id": kept["key_id"] });
    clouds
        .for_good(
            "entra/credentials.remove-password",
            remove.clone(),
            &[&list],
        )
        .await;
    clouds
        .send("entra/credentials.remove-password", remove)
        .await;
}
