//! A client secret that was issued before a crash is the one that is put in its place after it,
//! and nothing on disk tells it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::death::{self, Death};
use crate::stage::{APP, Stage, entries, newest, onboard, run_keys};
use crate::support::{Project, Simulator};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const OPERATOR: &str = "0a0a0a0a-0000-4000-8000-000000000002";

/// The address of the outcome or intent of an operation, as crash points are named.
fn point(project: &Project, kind: &str, operation: &str) -> String {
    let (run, _) = newest(project, "run").unwrap();
    let entries = entries(project, &run);
    let entry = entries
        .iter()
        .find(|entry| entry["kind"] == kind && entry["facts"]["operation"] == operation)
        .unwrap();
    format!(
        "{}:{}",
        entry["address"].as_str().unwrap(),
        entry["position"]
    )
}

/// A token, by client secret; none when it is refused.
fn sign_in(simulator: &Simulator, client: &str, secret: &str, scope: &str) -> Option<String> {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={}&scope={}",
        encoded(secret),
        encoded(scope)
    );
    let request = format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        simulator.http(),
        form.len()
    );
    let mut stream = TcpStream::connect(simulator.http()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["access_token"].as_str().map(str::to_owned)
}

/// What the simulated vault holds, read as the operator.
fn in_vault(project: &Project, simulator: &Simulator) -> String {
    let keys = files(&project.keys());
    let key = keys
        .iter()
        .find(|path| path.ends_with("simulator-operator.key"))
        .unwrap();
    let mut secret = String::new();
    for byte in fs::read(key).unwrap() {
        secret.push_str(&format!("{byte:02x}"));
    }
    let token = sign_in(
        simulator,
        OPERATOR,
        &secret,
        "https://vault.azure.net/.default",
    )
    .unwrap();
    let path = format!("/secrets/{APP}-client-secret?api-version=2025-07-01");
    let proof = format!("Bearer {token}");
    let (status, reply) = simulator.send("GET", &path, &[("Authorization", &proof)], None);
    assert_eq!(status, 200, "{reply}");
    reply["value"].as_str().unwrap().to_owned()
}

fn application(simulator: &Simulator) -> Value {
    let state = simulator.control("GET", "/__simulator/state", None);
    let applications = state["entra"]["applications"].as_array().unwrap();
    applications
        .iter()
        .find(|app| app["display_name"] == APP)
        .unwrap()
        .clone()
}

fn issued(simulator: &Simulator) -> usize {
    let requests = simulator.control("GET", "/__simulator/requests", None);
    let path = |request: &Value| request["path"].as_str().unwrap().ends_with("/addPassword");
    requests
        .as_array()
        .unwrap()
        .iter()
        .filter(|request| path(request))
        .count()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn nowhere(needle: &str, project: &Project) {
    let spellings = [
        needle.as_bytes().to_vec(),
        BASE64_STANDARD.encode(needle).into_bytes(),
    ];
    for path in files(project.path()) {
        let bytes = fs::read(&path).unwrap();
        for spelling in &spellings {
            let found = bytes
                .windows(spelling.len())
                .any(|window| window == spelling);
            assert!(!found, "the secret is in {}", path.display());
        }
    }
}

/// Dies at the point, goes on, and gives the secret that is in the vault then.
fn put_after_death_at(stage: &Stage, moment: &str) -> (Simulator, String) {
    let simulator = stage.set();
    let project = &stage.project;
    death::die(
        project,
        &simulator,
        &onboard(),
        &Death::At(moment.to_owned()),
    );
    let (run, _) = newest(project, "run").unwrap();
    assert_eq!(run_keys(project), [format!("{run}.key")]);
    let before = application(&simulator)["passwords"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(before, 1, "the secret is issued when it dies");
    project.ok(&["resume", &run]);
    assert_eq!(run_keys(project), Vec::<String>::new());
    let secret = in_vault(project, &simulator);
    let application = application(&simulator);
    assert_eq!(application["passwords"].as_array().unwrap().len(), 1);
    let client = application["app_id"].as_str().unwrap();
    let scope = "https://graph.microsoft.com/.default";
    assert!(
        sign_in(&simulator, client, &secret, scope).is_some(),
        "the vault's secret signs in"
    );
    nowhere(&secret, project);
    (simulator, secret)
}

#[test]
fn a_secret_is_found_whichever_way_one_comes_to_the_project() {
    let stage = Stage::onboarded();
    let put_at = point(&stage.project, "intent", "azure/key-vault-secrets.set");
    let stage = Stage::new();
    let project = &stage.project;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(project.path(), &link).unwrap();
    let folder = project.path().file_name().unwrap().to_str().unwrap();
    for way in [
        link.to_str().unwrap(),
        &format!("../{folder}"),
        ".lockkeeper/..",
    ] {
        let simulator = stage.set();
        let death = Death::At(format!("{put_at}:recorded"));
        death::die(project, &simulator, &onboard(), &death);
        let (run, _) = newest(project, "run").unwrap();
        project.ok(&["resume", &run, "--project", way]);
        assert_eq!(run_keys(project), Vec::<String>::new(), "{way}");
        assert_eq!(fs::read_dir(project.keys()).unwrap().count(), 1, "{way}");
        assert_eq!(issued(&simulator), 1, "{way}");
    }
    // What lies at a plain path is called by that path.
    let plain = project.path().canonicalize().unwrap().join(".lockkeeper");
    let name = format!("{:x}", Sha256::digest(plain.to_str().unwrap()));
    assert!(project.keys().join(name).is_dir());
}

#[test]
fn an_issued_secret_outlives_the_process() {
    let stage = Stage::onboarded();
    let issued_at = point(&stage.project, "outcome", "entra/credentials.add-password");
    let put_at = point(&stage.project, "intent", "azure/key-vault-secrets.set");
    let stage = Stage::new();

    // Its issuing is on record, so it is not issued again.
    for moment in [
        format!("{issued_at}:recorded"),
        format!("{put_at}:recorded"),
    ] {
        let (simulator, _) = put_after_death_at(&stage, &moment);
        assert_eq!(issued(&simulator), 1, "{moment}");
    }

    // Nobody knows whether what was answered is kept: it is revoked, and another one is issued.
    let (simulator, _) = put_after_death_at(&stage, &format!("{issued_at}:done"));
    assert_eq!(issued(&simulator), 2);
}

#[test]
fn an_issued_secret_that_cannot_be_looked_for_is_not_taken_for_refused() {
    let stage = Stage::onboarded();
    let issued_at = point(&stage.project, "outcome", "entra/credentials.add-password");
    let stage = Stage::new();
    let simulator = stage.set();
    let project = &stage.project;
    let death = Death::At(format!("{issued_at}:done"));
    death::die(project, &simulator, &onboard(), &death);
    let (run, _) = newest(project, "run").unwrap();

    // The operator's right to read has been taken away meanwhile.
    let denied = json!({
        "method": "GET", "path": "/v1.0/applications/**", "times": 1,
        "action": { "status": { "status": 403 } },
    });
    simulator.control("POST", "/__simulator/faults", Some(&denied));
    let ran = project.run(&["resume", &run]);
    assert_eq!(ran.code(), 4, "{}", ran.stderr());
    assert!(
        ran.stderr()
            .contains("whether `entra/credentials.add-password` on"),
        "{}",
        ran.stderr()
    );
    let undo = project.run(&["undo", &run, "--yes"]);
    assert_eq!(undo.code(), 2, "{}", undo.stderr());
    assert!(
        undo.stderr().contains("settles it first"),
        "{}",
        undo.stderr()
    );

    project.ok(&["resume", &run]);
    assert_eq!(
        application(&simulator)["passwords"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(issued(&simulator), 2, "the lost one was revoked");
}
