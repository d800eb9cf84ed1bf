//! The simulated cloud as its state file has it, between commands.

use serde_json::Value;

use crate::support::Project;

pub(crate) const APP: &str = "etl-demo";

/// What every shipped workflow is run with: its plain variant, and the one with storage.
pub(crate) fn variants(project: &Project) -> [Vec<String>; 2] {
    let inputs = project.storage_inputs(APP).display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    [
        words(&["onboard", "-i", "app_name=etl-demo"]),
        words(&["onboard", "--inputs", &inputs]),
    ]
}

/// `command` with the arguments of a variant.
pub(crate) fn with<'a>(command: &'a str, variant: &'a [String]) -> Vec<&'a str> {
    std::iter::once(command)
        .chain(variant.iter().map(String::as_str))
        .collect()
}

/// Runs the variant; its run's id.
pub(crate) fn run(project: &Project, variant: &[String]) -> String {
    let (code, report) = project.json(&with("run", variant));
    assert_eq!(code, 0, "{report:#}");
    report["run"].as_str().unwrap().to_owned()
}

fn path(project: &Project) -> std::path::PathBuf {
    project.state().join("simulator/state.json")
}

/// The cloud, while no simulator runs.
pub(crate) fn state(project: &Project) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(project)).unwrap()).unwrap()
}

/// Changes the cloud behind lockkeeper's back.
pub(crate) fn change(project: &Project, change: impl FnOnce(&mut Value)) {
    let mut cloud = state(project);
    change(&mut cloud);
    std::fs::write(path(project), cloud.to_string()).unwrap();
}

/// How many requests the project's simulators have seen.
pub(crate) fn requests(project: &Project) -> Vec<Value> {
    let text = std::fs::read_to_string(project.state().join("simulator/requests.jsonl"));
    text.unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The requests from number `seen` on that may have changed something; sign-ins do not.
pub(crate) fn writes_since(project: &Project, seen: usize) -> Vec<String> {
    requests(project)[seen..]
        .iter()
        .filter(|request| request["service"] != "entra")
        .filter(|request| !matches!(request["method"].as_str(), Some("GET" | "HEAD")))
        .map(|request| format!("{} {}", request["method"], request["path"]))
        .collect()
}

/// The application's principal in the workspace.
pub(crate) fn principal(cloud: &mut Value) -> &mut Value {
    let principals = cloud["databricks"]["directory"]["principals"]
        .as_object_mut()
        .unwrap();
    principals
        .values_mut()
        .find(|it| it["display_name"] == APP)
        .unwrap()
}

/// The only job.
pub(crate) fn job(cloud: &mut Value) -> &mut Value {
    cloud["databricks"]["jobs"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap()
}

/// Adds an item to a list.
pub(crate) fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

/// The cloud without what an undo may leave, each of which its report names: objects that Entra
/// and the vault keep as deleted, Databricks' own access policy, the account's record of a
/// principal that left the workspace with its home folder, and what ran; without counters of
/// versions and times of replication.
pub(crate) fn lasting(mut cloud: Value) -> Value {
    let is_gone = |item: &Value| {
        item.get("deleted")
            .is_some_and(|deleted| !deleted.is_null())
    };
    for kind in ["applications", "service_principals"] {
        retain(&mut cloud["entra"][kind], |item| !is_gone(item));
    }
    for vault in cloud["azure"]["vaults"].as_array_mut().unwrap() {
        retain(&mut vault["secrets"], |item| !is_gone(item));
        vault["access_policies"] = Value::Null;
    }
    let databricks = &mut cloud["databricks"];
    let mut left = Vec::new();
    let principals = databricks["directory"]["principals"]
        .as_object_mut()
        .unwrap();
    principals.retain(|_, principal| {
        let gone = principal["member_since"].is_null();
        if gone {
            left.push(format!("/Users/{}", principal["name"].as_str().unwrap()));
        }
        !gone
    });
    for principal in principals.values_mut() {
        let rules = principal["rule_set"]["current"]["rules"].clone();
        principal["rule_set"] = rules;
    }
    let mut homes = Vec::new();
    databricks["objects"]
        .as_object_mut()
        .unwrap()
        .retain(|path, object| {
            let home = left.contains(path);
            if home {
                homes.push(format!("directories/{}", object["id"]));
            }
            !home
        });
    databricks["acls"]
        .as_object_mut()
        .unwrap()
        .retain(|on, _| !homes.contains(on));
    for job in databricks["jobs"].as_object_mut().unwrap().values_mut() {
        job["runs"] = Value::Null;
    }
    for volatile in ["runs", "clusters", "oauth_tokens"] {
        databricks[volatile] = Value::Null;
    }
    without_times(&mut cloud);
    cloud
}

fn retain(list: &mut Value, keep: impl Fn(&Value) -> bool) {
    list.as_array_mut().unwrap().retain(keep);
}

/// Drops the times at which something was last written or becomes free again.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["modified", "busy_until", "settled", "arrival"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Fails with the lines in which two clouds differ.
pub(crate) fn assert_same(found: &Value, expected: &Value) {
    if found == expected {
        return;
    }
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (found, expected) = (lines(found), lines(expected));
    let only = |these: &str, others: &str, sign: char| -> String {
        let others: Vec<&str> = others.lines().collect();
        let lines = these.lines().filter(|line| !others.contains(line));
        lines
            .flat_map(|line| [sign.to_string(), line.to_owned(), "\n".to_owned()])
            .collect()
    };
    panic!(
        "the cloud is another one\n{}{}",
        only(&expected, &found, '-'),
        only(&found, &expected, '+')
    );
}
