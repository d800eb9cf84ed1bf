//! A loopback HTTP server for this crate's tests, plain or with TLS for every host name the services have, and clients of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::cloud::Cloud;
use crate::path::Path;
use crate::request::{Method, Request, Service};
use crate::secret::SecretString;
use crate::target::{Credentials, Endpoints, Environment, SecretSource, Target};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The raw request target: path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn host(&self) -> &str {
        &self.headers["host"]
    }
}

/// What the server does with a request.
pub(crate) enum Fate {
    Reply {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Closes the connection after the whole request has arrived.
    Drop,
    /// Never answers.
    Hang,
}

impl Fate {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Reply {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Reply {
                status,
                mut headers,
                body,
            } => {
                headers.push((name, value.to_owned()));
                Self::Reply {
                    status,
                    headers,
                    body,
                }
            }
            other => other,
        }
    }
}

type Script = dyn Fn(&Seen, usize) -> Fate + Send + Sync;

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers by a script, which is told how many requests came before.
    pub(crate) async fn plain(
        script: impl Fn(&Seen, usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        Self::start(Arc::new(script), false).await
    }

    pub(crate) async fn tls(script: impl Fn(&Seen, usize) -> Fate + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(script), true).await
    }

    async fn start(script: Arc<Script>, tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (acceptor, ca_pem) = certificates();
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, acceptor) = (script.clone(), log.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if tls {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &*script, &log).await;
                        }
                    } else {
                        serve(stream, &*script, &log).await;
                    }
                });
            }
        });
        Self {
            address,
            ca_pem,
            seen,
            task,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints {
            resolve_to: self.address,
            ca_pem: self.ca_pem.clone(),
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Script,
    log: &Mutex<Vec<Seen>>,
) {
    let Some(seen) = read(&mut stream).await else {
        return;
    };
    let fate = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(seen.clone());
        script(&seen, log.len() - 1)
    };
    match fate {
        Fate::Reply {
            status,
            headers,
            body,
        } => {
            let mut head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head.push_str(&[name, ": ", &value, "\r\n"].concat());
            }
            head.push_str("\r\n");
            // The client may have gone away on purpose.
            let _ = stream.write_all(head.as_bytes()).await;
            if seen.method != "HEAD" {
                let _ = stream.write_all(&body).await;
            }
            let _ = stream.shutdown().await;
        }
        Fate::Drop => {}
        Fate::Hang => std::future::pending().await,
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        let mut chunk = [0; 4096];
        let count = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut chunk = [0; 4096];
        let count = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        body.extend_from_slice(&chunk[..count]);
    }
    Some(Seen {
        method,
        target,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn certificates() -> (TlsAcceptor, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let names = [
        "login.microsoftonline.com",
        "graph.microsoft.com",
        "management.azure.com",
        "*.vault.azure.net",
        "*.dfs.core.windows.net",
        "adb-1.2.azuredatabricks.net",
        "accounts.azuredatabricks.net",
    ];
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names.map(str::to_owned).to_vec())
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}

pub(crate) const PAT: &str = "not-a-real-token-1";
pub(crate) const SECRET: &str = "not-a-real-secret-1";
pub(crate) const APP: &str = "11111111-2222-3333-4444-555555555555";

/// A client of a plain server that plays a Databricks workspace.
pub(crate) fn databricks(server: &Server) -> Cloud {
    connect(Target {
        workspace: Some(format!("http://{}", server.address)),
        credentials: Credentials::DatabricksPat {
            token: Some(SecretSource::Value(SecretString::new(PAT.to_owned()))),
        },
        endpoints: Some(server.endpoints()),
        ..Target::default()
    })
}

/// A client whose every host is this server.
pub(crate) fn azure(server: &Server, more: impl FnOnce(&mut Target)) -> Cloud {
    let mut target = Target {
        tenant_id: Some("tenant-1".to_owned()),
        workspace: Some("https://adb-1.2.azuredatabricks.net".to_owned()),
        credentials: Credentials::ClientSecret {
            client_id: Some(APP.to_owned()),
            secret: Some(SecretSource::Value(SecretString::new(SECRET.to_owned()))),
        },
        endpoints: Some(server.endpoints()),
        ..Target::default()
    };
    more(&mut target);
    connect(target)
}

pub(crate) fn connect(target: Target) -> Cloud {
    Cloud::new(target, &Environment::default()).unwrap()
}

pub(crate) fn get() -> Request {
    Request::new(
        Service::Databricks,
        "jobs.list",
        Method::Get,
        Path::fixed("/api/2.2/jobs/list"),
    )
}

pub(crate) fn post() -> Request {
    Request::new(
        Service::Databricks,
        "jobs.create",
        Method::Post,
        Path::fixed("/api/2.2/jobs/create"),
    )
    .json(json!({"name": "x"}))
}

pub(crate) fn token(seen: &Seen) -> Option<Fate> {
    let reply = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": format!("not-a-real-token-for{}", seen.target)});
    seen.target
        .ends_with("/oauth2/v2.0/token")
        .then(|| Fate::json(200, &reply))
}
