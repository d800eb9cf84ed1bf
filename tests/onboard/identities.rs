//! Identities that are not lockkeeper's to hold: who is signed in to the Azure CLI, and the managed
//! identity of the machine. A script and a loopback server stand in for both and for a workspace.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{Project, Ran};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
/// The client id of a user-assigned identity.
const CLIENT: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";
const HEADER: &str = "not-a-real-identity-header";
const TOKEN: &str = "not-a-real-access-token";
/// Azure Databricks, as a resource that tokens are for.
const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";

/// Signs in, and then has nothing to do.
const WORKFLOW: &str = "lockkeeper = 1
[workflow]
name = \"nothing\"
[steps.import]
plugin = \"import\"
when = \"false\"
with.application_id = \"11111111-2222-4333-8444-555555555555\"
";

/// Answers as a workspace, and as the token endpoint of a managed identity.
struct Loopback {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Loopback {
    /// With the status of the token endpoint.
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads = seen.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _gone = answer(stream, status, &heads);
            }
        });
        Self { address, seen }
    }

    /// The heads of the requests to this path, in lower case.
    fn seen(&self, path: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let to = |head: &&String| head.starts_with(&format!("get {path}"));
        seen.iter().filter(to).cloned().collect()
    }
}

fn answer(mut stream: TcpStream, status: u16, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let is_token = head.starts_with("get /msi/token");
    seen.lock().unwrap().push(head);
    let (status, body) = match (is_token, status) {
        (true, 200) => (
            200,
            json!({ "access_token": TOKEN, "expires_on": "4102444800", "resource": DATABRICKS, "token_type": "Bearer" }),
        ),
        (true, status) => (
            status,
            json!({ "error": "invalid_request", "error_description": "Identity not found" }),
        ),
        (false, _) => (200, json!({ "userName": "ana@contoso.com", "id": "1" })),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Runs the workflow as `auth` says, with these variables.
fn run(project: &Project, server: &Loopback, auth: &str, variables: &[(&str, &str)]) -> Ran {
    project.ok(&["init"]);
    let config = project.path().join("lockkeeper.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let target = format!(
        "\n[targets.dev]\ntenant_id = \"{TENANT}\"\nworkspace = \"http://{}\"\nauth = {auth}\n",
        server.address
    );
    std::fs::write(&config, text + &target).unwrap();
    let file = project.write("nothing.toml", WORKFLOW);
    let mut command = project.command(&["run", file.to_str().unwrap(), "--target", "dev"]);
    let ran = Ran(command.envs(variables.iter().copied()).output().unwrap());
    let said = format!("{}{}", ran.stdout(), ran.stderr());
    assert!(!said.contains(TOKEN), "{said}");
    ran
}

/// A project whose `az` is this script; the value of `PATH` that finds it.
fn az(script: &str) -> (Project, String) {
    let project = Project::new();
    let az = project.write("bin/az", &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", project.path().join("bin").display());
    (project, path)
}

/// Who signed in is who the audit log names, and the token is written nowhere.
fn signed_in(project: &Project, server: &Loopback, ran: &Ran) {
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let asked = server.seen("/api/2.0/preview/scim/v2/me");
    let bearer = format!("authorization: bearer {TOKEN}");
    assert!(asked[0].contains(&bearer), "{asked:?}");
    let audit = std::fs::read_to_string(project.state().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"actor\":\"ana@contoso.com\""), "{audit}");
    let mut files = Vec::new();
    crate::needles::files(&project.state(), &mut files);
    for (file, held) in files {
        let held = String::from_utf8_lossy(&held);
        assert!(!held.contains(TOKEN), "{file}");
    }
}

#[test]
fn whoever_is_signed_in_to_the_azure_cli() {
    let answer = json!({
        "accessToken": TOKEN, "expires_on": 4_102_444_800_i64, "tokenType": "Bearer",
    });
    let (project, path) = az(&format!("echo \"$@\" > \"$SEEN\"\necho '{answer}'"));
    let seen = project.path().join("az.seen");
    let variables = [("PATH", path.as_str()), ("SEEN", seen.to_str().unwrap())];
    let server = Loopback::start(200);
    let ran = run(&project, &server, "{ kind = \"azure-cli\" }", &variables);
    signed_in(&project, &server, &ran);
    let asked = std::fs::read_to_string(seen).unwrap();
    for piece in [
        "account get-access-token",
        &format!("--scope {DATABRICKS}/.default"),
        &format!("--tenant {TENANT}"),
    ] {
        assert!(asked.contains(piece), "{piece}: {asked}");
    }
}

#[test]
fn nobody_is_signed_in_to_the_azure_cli() {
    let (project, path) = az("echo \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1");
    let server = Loopback::start(200);
    let auth = "{ kind = \"azure-cli\" }";
    let ran = run(&project, &server, auth, &[("PATH", &path)]);
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    for piece in ["cannot sign in to target `dev`", "az login"] {
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
    }
    assert!(server.seen("/").is_empty());
}

/// A run on a machine whose managed identities answer with this status.
fn managed(status: u16, auth: &str) -> (Project, Loopback, Ran) {
    let (project, server) = (Project::new(), Loopback::start(status));
    let endpoint = format!("http://{}/msi/token", server.address);
    let variables = [
        ("IDENTITY_ENDPOINT", endpoint.as_str()),
        ("IDENTITY_HEADER", HEADER),
    ];
    let ran = run(&project, &server, auth, &variables);
    (project, server, ran)
}

#[test]
fn the_managed_identity_of_the_machine() {
    let auth = format!("{{ kind = \"managed-identity\", client_id = \"{CLIENT}\" }}");
    let (project, server, ran) = managed(200, &auth);
    signed_in(&project, &server, &ran);
    let asked = server.seen("/msi/token");
    for piece in [
        &format!("resource={DATABRICKS}"),
        &format!("client_id={CLIENT}"),
        &format!("x-identity-header: {HEADER}"),
    ] {
        assert!(asked[0].contains(piece), "{piece}: {asked:?}");
    }
}

#[test]
fn a_machine_without_that_managed_identity() {
    let (_project, _server, ran) = managed(400, "{ kind = \"managed-identity\" }");
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    for piece in ["cannot sign in to target `dev`", "Identity not found"] {
        assert!(ran.stderr().contains(piece), "{piece}\n{}", ran.stderr());
    }
    assert!(!ran.stderr().contains(HEADER));
}
