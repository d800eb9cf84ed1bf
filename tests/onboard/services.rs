//! Services that cannot be reached, or misbehave.

use serde_json::{Value, json};

use crate::cloud;
use crate::support::{Project, Ran};

const PLAIN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];

/// A run while one kind of request is answered badly; the step that failed, or none.
fn under(fault: &Value) -> (i32, Value) {
    let project = Project::new();
    let simulator = project.simulator(&[]);
    simulator.control("POST", "/__simulator/faults", Some(fault));
    let outcome = project.json(&PLAIN);
    simulator.control("DELETE", "/__simulator/faults", None);
    if outcome.0 == 4 {
        let run = outcome.1["run"].as_str().unwrap();
        assert_eq!(
            project.json(&["resume", run]).0,
            0,
            "it can be resumed once the fault is gone"
        );
    }
    drop(simulator);
    let cloud = cloud::state(&project);
    let own = |list: &Value, name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .filter(|one| one[name] == "etl-demo")
            .count()
    };
    assert_eq!(own(&cloud["entra"]["applications"], "display_name"), 1);
    assert_eq!(
        own(&cloud["entra"]["service_principals"], "display_name"),
        1
    );
    assert_eq!(cloud["databricks"]["jobs"].as_object().unwrap().len(), 1);
    outcome
}

#[test]
fn a_page_instead_of_an_answer() {
    let fault = json!({
        "method": "GET", "path": "/v1.0/servicePrincipals**", "times": 1,
        "action": { "status": { "status": 200, "body": "<html>Sign in</html>", "headers": { "content-type": "text/html" } } },
    });
    let (code, document) = under(&fault);
    assert_eq!(code, 4, "{document:#}");
    assert_eq!(document["steps"][0]["result"], "failed");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let fault =
        json!({ "method": "GET", "path": "/v1.0/**", "times": 1, "action": "endless_body" });
    let (code, document) = under(&fault);
    assert!([0, 4].contains(&code), "{document:#}");
}

#[test]
fn failures_that_pass_are_waited_out() {
    for action in [
        json!({ "status": { "status": 500 } }),
        json!({ "status": { "status": 503 } }),
        json!({ "throttle": { "retry_after": 1 } }),
        json!("reset"),
    ] {
        let fault = json!({ "path": "/api/2.0/**", "times": 1, "action": action });
        let (code, document) = under(&fault);
        assert_eq!(code, 0, "{document:#}");
    }
}

#[test]
fn a_lost_reply_to_a_create_leaves_one_object() {
    for path in [
        "/v1.0/applications",
        "/v1.0/servicePrincipals",
        "/api/2.2/jobs/create",
    ] {
        let fault = json!({ "method": "POST", "path": path, "times": 1, "action": "lost_reply" });
        let (code, document) = under(&fault);
        assert_eq!(code, 0, "{document:#}");
    }
}

/// The closed port stands in for a workspace that is not there.
#[test]
fn a_server_that_is_gone() {
    let project = Project::new();
    let mut simulator = project.simulator(&[]);
    let serving = project.state().join("simulator/serving.json");
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(&serving).unwrap()).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    document["https"] = json!(closed);
    std::fs::write(&serving, document.to_string()).unwrap();
    let ran = project.run(&PLAIN);
    unreachable(&ran, "sim", "login.microsoftonline.com:443");
    simulator.stop();
}

/// The message names the server, what it most likely means and what to look at.
fn unreachable(ran: &Ran, target: &str, server: &str) {
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    for piece in [
        &format!("cannot reach target `{target}`, so nothing was run: "),
        &format!("no connection to {server}: "),
        "Connection refused",
        "help: check the network, its name service (DNS) and firewall",
        &format!("`workspace` of target `{target}`"),
        "proxy",
    ] {
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
    }
    assert_eq!(ran.stdout(), "");
}

#[test]
fn a_workspace_that_is_gone() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let project = Project::new();
    project.ok(&["init"]);
    let text = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
    project.write(
        "lockkeeper.toml",
        &format!(
            "{text}\n[targets.dev]\nworkspace = \"http://{closed}\"\nauth = {{ kind = \"databricks-pat\", token = {{ env = \"TOKEN\" }} }}\n"
        ),
    );
    let ran = project
        .command(&[&PLAIN[..], &["--target", "dev"]].concat())
        .env("TOKEN", "not-a-real-token")
        .output()
        .map(Ran)
        .unwrap();
    unreachable(&ran, "dev", &closed.to_string());
    assert!(!ran.stderr().contains("not-a-real-token"));
}

#[test]
fn a_target_without_what_it_needs() {
    let project = Project::new();
    project.ok(&["init"]);
    let text = std::fs::read_to_string(project.path().join("lockkeeper.toml")).unwrap();
    for (target, code, piece) in [
        (
            "tenant_id = \"t\"",
            2,
            "lockkeeper.toml has no `workspace`, and step `register` calls Databricks",
        ),
        (
            "tenant_id = \"t\"",
            2,
            "help: add under [targets.dev]: workspace = \"https://adb-",
        ),
        (
            "tenant_id = \"t\"\nworkspace = \"adb-1.2.azuredatabricks.net\"",
            3,
            "az not found on PATH",
        ),
        (
            "tenant_id = \"11111111-2222-4333-8444-555555555555\"\nworkspace = \"http://127.0.0.1:1\"\nauth = { kind = \"client-secret\", client_id = \"c\", secret = { env = \"NOT_SET\" } }",
            3,
            "NOT_SET",
        ),
    ] {
        project.write(
            "lockkeeper.toml",
            &format!("{text}\n[targets.dev]\n{target}\n"),
        );
        let ran = project.run(&[&PLAIN[..], &["--target", "dev"]].concat());
        assert_eq!(ran.code(), code, "{}", ran.stderr());
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
        assert!(cloud::requests(&project).is_empty());
    }
}
