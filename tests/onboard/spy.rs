//! A server between the program and its simulator that reads everything on the wire: so a test
//! knows every secret there ever was, and can answer a request with its own body.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::needles::{Needle, hex};
use crate::support::{Project, Simulator};

/// What the simulator answers for, as the clients name it.
const NAMES: [&str; 6] = [
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "management.azure.com",
    "*.vault.azure.net",
    "*.azuredatabricks.net",
    "*.2.azuredatabricks.net",
];

pub struct Spy {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    /// Values by what they are.
    secrets: Vec<(String, String)>,
    /// Requests to answer with their own body: method, piece of the path, status.
    echoes: Vec<(String, String, u16)>,
}

impl Spy {
    /// Puts itself between the commands of `project` and its running simulator.
    pub fn before(project: &Project, simulator: &Simulator) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (config, authority) = identity();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let serving = project.state().join("simulator/serving.json");
        let mut document: Value =
            serde_json::from_str(&std::fs::read_to_string(&serving).unwrap()).unwrap();
        document["https"] = json!(listener.local_addr().unwrap());
        document["ca_pem"] = json!(authority);
        std::fs::write(&serving, document.to_string()).unwrap();
        let (shared, upstream) = (heard.clone(), simulator.http().parse().unwrap());
        // Ends with the test's process; each connection carries one request.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, heard) = (config.clone(), shared.clone());
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    let _gone = pass(StreamOwned::new(connection, stream), upstream, &heard);
                });
            }
        });
        Self { heard }
    }

    /// Answers the next such request with `status` and everything it sent, in several encodings.
    pub fn echo(&self, method: &str, path: &str, status: u16) {
        self.heard
            .lock()
            .unwrap()
            .echoes
            .push((method.into(), path.into(), status));
    }

    /// How many echoes are still to come.
    pub fn echoes_left(&self) -> usize {
        self.heard.lock().unwrap().echoes.len()
    }

    /// Every secret that went over the wire.
    pub fn secrets(&self) -> Vec<Needle> {
        let heard = self.heard.lock().unwrap();
        heard
            .secrets
            .iter()
            .map(|(what, value)| Needle::new(what, value))
            .collect()
    }
}

impl Heard {
    fn learn(&mut self, what: &str, value: &str) {
        if !self.secrets.iter().any(|(_, known)| known == value) {
            self.secrets.push((what.to_owned(), value.to_owned()));
        }
    }

    fn read(&mut self, request: &str, reply: &[u8]) {
        for pair in request.split('&') {
            if let Some(value) = pair.strip_prefix("client_secret=") {
                self.learn("a client secret that signed in", &decoded(value));
            }
        }
        let text = String::from_utf8_lossy(reply);
        let Some((_, body)) = text.split_once("\r\n\r\n") else {
            return;
        };
        let Ok(document) = serde_json::from_str::<Value>(body) else {
            return;
        };
        for (name, what) in [
            ("secretText", "an issued client secret"),
            ("access_token", "an access token"),
        ] {
            if let Some(value) = document[name].as_str() {
                self.learn(what, value);
            }
        }
    }
}

/// Text of a form field.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let code = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&code).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(plain).unwrap()
}

/// Passes one request on and its reply back.
fn pass(
    mut client: impl Read + Write,
    upstream: SocketAddr,
    shared: &Mutex<Heard>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned())
    };
    let length = field("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let sent = String::from_utf8_lossy(&body).into_owned();
    if let Some(status) = echoed(shared, &head) {
        let hex = hex(&body);
        let message = format!("refused {sent} = {} = {hex}", STANDARD.encode(&body));
        let body = json!({ "error": { "code": "Refused", "message": message } }).to_string();
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        return client.flush();
    }
    let mut server = TcpStream::connect(upstream)?;
    let (first, fields) = head.split_once("\r\n").unwrap();
    write!(server, "{first}\r\nConnection: close\r\n{fields}")?;
    server.write_all(&body)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    shared.lock().unwrap().read(&sent, &reply);
    client.write_all(&reply)?;
    client.flush()
}

/// The status of the echo that is due for this request.
fn echoed(shared: &Mutex<Heard>, head: &str) -> Option<u16> {
    let mut known = shared.lock().unwrap();
    let due = known.echoes.iter().position(|(method, path, _)| {
        head.starts_with(&format!("{method} ")) && head.lines().next().unwrap().contains(path)
    })?;
    Some(known.echoes.remove(due).2)
}

/// A certificate for the services' names, and the authority to trust for it.
fn identity() -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let leaf = CertificateParams::new(NAMES.map(str::to_owned).to_vec()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    (Arc::new(config), issuer.pem())
}
