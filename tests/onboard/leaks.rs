//! No secret is anywhere but where it belongs, whatever happens to the run that issues it.

use std::path::Path;

use crate::needles::{self, Needle};
use crate::spy::Spy;
use crate::support::{Project, Simulator};

/// A project on a spied-on simulator, and all that its commands have printed.
struct Watched {
    project: Project,
    simulator: Simulator,
    spy: Spy,
    printed: Vec<(String, Vec<u8>)>,
}

impl Watched {
    fn new() -> Self {
        let project = Project::new();
        let simulator = project.simulator(&[]);
        let spy = Spy::before(&project, &simulator);
        Self {
            project,
            simulator,
            spy,
            printed: Vec::new(),
        }
    }

    /// Runs a command and keeps what it prints; gives its exit code.
    fn run(&mut self, arguments: &[&str]) -> i32 {
        let ran = self.project.run(arguments);
        let code = ran.code();
        self.printed
            .push((format!("stdout of {arguments:?}"), ran.0.stdout));
        self.printed
            .push((format!("stderr of {arguments:?}"), ran.0.stderr));
        code
    }

    /// Runs the storage variant for `app` with more arguments.
    fn onboard(&mut self, app: &str, more: &[&str]) -> i32 {
        let inputs = self.project.storage_inputs(app);
        let arguments = ["run", "onboard", "--inputs", inputs.to_str().unwrap()];
        self.run(&[&arguments[..], more].concat())
    }

    /// Everything that shows what happened, asked in every way there is.
    fn look_at_everything(&mut self) {
        let (_, runs) = self.project.json(&["runs", "list"]);
        for run in runs.as_array().unwrap() {
            let id = run["id"].as_str().unwrap();
            assert_eq!(self.run(&["runs", "show", id]), 0);
            assert_eq!(self.run(&["runs", "show", id, "--output", "json"]), 0);
            self.run(&["runs", "watch", id, "--output", "ndjson"]);
        }
        self.run(&["runs", "list", "--output", "json"]);
        self.run(&["sim", "calls"]);
        self.run(&["sim", "calls", "--output", "json"]);
        for path in [
            "/__simulator/state",
            "/__simulator/requests",
            "/__simulator/faults",
        ] {
            let reply = self.simulator.control("GET", path, None);
            self.printed
                .push((path.to_owned(), reply.to_string().into_bytes()));
        }
    }

    /// Looks for all secrets in all that was printed and all that is on disk. There has to be
    /// at least one client secret that was issued, or the search would prove nothing.
    fn nothing_leaked(mut self) {
        self.look_at_everything();
        let secrets = self.spy.secrets();
        let issued = |secret: &&Needle| secret.what == "an issued client secret";
        assert!(
            secrets.iter().any(|secret| issued(&secret)),
            "no secret was issued"
        );
        let mut places = self.printed;
        needles::files(self.project.path(), &mut places);
        for wanted in ["journal.db", "audit.jsonl", "state.json", "requests.jsonl"] {
            assert!(
                places.iter().any(|(name, _)| name.ends_with(wanted)),
                "{wanted} is searched"
            );
        }
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        let mut cached = Vec::new();
        needles::files(&cache, &mut cached);
        for secret in &secrets {
            for (name, bytes) in &places {
                assert!(!secret.is_in(bytes), "{} is in {name}", secret.what);
            }
        }
        for secret in secrets.iter().filter(issued) {
            for (name, bytes) in &cached {
                assert!(!secret.is_in(bytes), "{} is in {name}", secret.what);
            }
            // The same search does find it where it has been put.
            let planted = self.project.write("planted", "");
            let form = secret.forms().next().unwrap();
            std::fs::write(&planted, [b"x", form, b"y"].concat()).unwrap();
            assert!(secret.is_in(&std::fs::read(&planted).unwrap()));
        }
    }

    fn last_run(&self) -> String {
        let (_, runs) = self.project.json(&["runs", "list"]);
        runs[0]["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn when_all_goes_well() {
    let mut watched = Watched::new();
    for output in ["text", "json", "ndjson"] {
        assert_eq!(
            watched.onboard(&format!("etl-{output}"), &["--output", output]),
            0
        );
    }
    let inputs = watched.project.storage_inputs("etl-text");
    watched.run(&[
        "plan",
        "onboard",
        "--inputs",
        inputs.to_str().unwrap(),
        "--out",
        "saved.plan",
    ]);
    let run = watched.last_run();
    watched.run(&["drift", &run]);
    assert_eq!(watched.run(&["undo", &run, "--yes", "--output", "json"]), 0);
    watched.nothing_leaked();
}

#[test]
fn when_the_vault_refuses_and_repeats_what_it_was_sent() {
    for (status, output) in [(403, "text"), (400, "ndjson")] {
        let mut watched = Watched::new();
        watched.spy.echo("PUT", "/secrets/", status);
        assert_eq!(watched.onboard("etl-demo", &["--output", output]), 4);
        assert_eq!(watched.spy.echoes_left(), 0);
        let refused = watched.last_run();
        assert_eq!(watched.run(&["resume", &refused, "--output", output]), 0);
        watched.nothing_leaked();
    }
}

#[test]
fn when_the_vault_fails_repeating_what_it_was_sent() {
    let mut watched = Watched::new();
    watched.spy.echo("PUT", "/secrets/", 500);
    assert_eq!(watched.onboard("etl-demo", &["--output", "json"]), 0);
    assert_eq!(watched.spy.echoes_left(), 0);
    watched.nothing_leaked();
}

/// A scope without a vault behind it: the value goes to the workspace itself.
const SCOPE: &str = r#"lockkeeper = 1
[workflow]
name = "scoped"
[steps.register]
plugin = "register"
with.display_name = "etl-demo"
with.secret = { lifetime = "90d", databricks_scope = { scope = "own", key = "client-secret" } }
[steps.scope]
plugin = "scope"
with.name = "own"
with.acl = []
[[steps.scope.with.secrets]]
name = "client-secret"
value = "${steps.register.client_secret}"
key_id = "${steps.register.key_id}"
expires = "${steps.register.secret_expires}"
application_id = "${steps.register.app_id}"
"#;

#[test]
fn when_the_workspace_refuses_and_repeats_what_it_was_sent() {
    let mut watched = Watched::new();
    let file = watched.project.write("scoped.toml", SCOPE);
    watched.spy.echo("POST", "/api/2.0/secrets/put", 400);
    assert_eq!(watched.run(&["run", file.to_str().unwrap()]), 4);
    assert_eq!(watched.spy.echoes_left(), 0);
    let refused = watched.last_run();
    assert_eq!(watched.run(&["resume", &refused]), 0);
    watched.nothing_leaked();
}

#[test]
fn when_a_run_is_taken_back_before_its_secret_was_stored() {
    let mut watched = Watched::new();
    watched.spy.echo("PUT", "/secrets/", 403);
    assert_eq!(watched.onboard("etl-demo", &["--output", "json"]), 4);
    let refused = watched.last_run();
    watched.run(&["undo", &refused, "--yes"]);
    watched.nothing_leaked();
}

#[test]
fn when_the_sign_in_with_the_new_secret_is_refused_with_its_body() {
    let mut watched = Watched::new();
    // The first sign-in is the operator's own; whichever it hits repeats a client secret.
    watched.spy.echo("POST", "/oauth2/v2.0/token", 401);
    let code = watched.onboard("etl-demo", &[]);
    assert_eq!(code, 3);
    assert_eq!(watched.onboard("etl-demo", &[]), 0);
    watched.nothing_leaked();
}

#[test]
fn when_the_reply_with_the_secret_is_lost() {
    let mut watched = Watched::new();
    let fault = serde_json::json!({
        "method": "POST", "path": "/v1.0/applications/*/addPassword", "times": 1, "action": "lost_reply",
    });
    watched
        .simulator
        .control("POST", "/__simulator/faults", Some(&fault));
    assert_eq!(watched.onboard("etl-demo", &["--output", "json"]), 0);
    watched.nothing_leaked();
}
