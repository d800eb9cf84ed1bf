//! What tests of the whole program share: a project of its own, and the program run in it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test target includes this file and uses its part"
)]

pub mod component;
pub mod elsewhere;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The seeded vault in role mode.
pub const VAULT: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-data/providers/Microsoft.KeyVault/vaults/kv-demo";

/// A folder with a state, keys and a home of its own. Compiled plugins are shared by all tests.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// An empty folder: the shipped workflows, plugins and grants are used.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join(".lockkeeper")
    }

    /// Where this project's keys lie, apart from its state.
    pub fn keys(&self) -> PathBuf {
        self.path().join("keys")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The inputs file of the storage variant for `app`.
    pub fn storage_inputs(&self, app: &str) -> PathBuf {
        self.write(
            &format!("{app}.inputs.toml"),
            &format!(
                "app_name = \"{app}\"\n[storage]\naccount = \"stdemo\"\nvault_id = \"{VAULT}\"\nvault_url = \"https://kv-demo.vault.azure.net\"\n"
            ),
        )
    }

    /// The program, ready to run here with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockkeeper"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LOCKKEEPER_KEYS", self.keys())
            .env("LOCKKEEPER_CACHE", cache)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran(self.command(arguments).output().unwrap())
    }

    /// Runs it, and fails the test unless it exits with 0.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(
            ran.code(),
            0,
            "{arguments:?}\n{}\n{}",
            ran.stdout(),
            ran.stderr()
        );
        ran
    }

    /// Runs it with `--output json`, and gives its exit code and document.
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let ran = self.run(&[arguments, &["--output", "json"]].concat());
        let document = serde_json::from_str(&ran.stdout())
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", ran.stdout(), ran.stderr()));
        (ran.code(), document)
    }

    /// Starts `sim start` here; other commands here use it until it is dropped.
    pub fn simulator(&self, arguments: &[&str]) -> Simulator {
        let mut child = self
            .command(&[&["sim", "start", "--output", "json"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut documents = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
        let serving = documents
            .next()
            .expect("the simulator says where it serves")
            .unwrap();
        Simulator {
            child,
            http: serving["http"].as_str().unwrap().to_owned(),
        }
    }
}

/// What the program said.
pub struct Ran(pub Output);

impl Ran {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

/// A simulator in a process of its own, stopped when dropped.
pub struct Simulator {
    child: Child,
    http: String,
}

impl Simulator {
    /// Where its plain-HTTP port is: `127.0.0.1:PORT`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Ends it before its time.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a request to its control surface: `/__simulator/…`.
    pub fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.send(method, path, &[], body).1
    }

    /// Sends a plain-HTTP request to any of its services, by loopback path.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, Value) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        self.exchange(method, path, &headers, &body)
    }

    /// Posts a body that is no JSON.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> (u16, Value) {
        self.exchange("POST", path, &[("Content-Type", content_type)], body)
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.http).unwrap();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.http,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("an HTTP reply");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
