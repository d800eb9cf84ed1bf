//! What is sent and what comes back, as values.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use crate::failure::{Class, Failure};
use crate::path::Path;
use crate::secret::SecretString;

/// The service a request goes to. The host follows from the target and from here, never from the request's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Entra's token endpoint (`login.microsoftonline.com`), called without a bearer token.
    Entra,
    /// Microsoft Graph; paths begin with `/v1.0/`.
    Graph,
    /// Azure Resource Manager; every request needs the query `api-version`.
    Arm,
    /// The data plane of one vault.
    KeyVault {
        /// `https://{vault}.vault.azure.net`; the suffix must be the cloud's.
        vault_url: String,
    },
    /// The ADLS (dfs) endpoint of one storage account.
    Storage {
        /// The account's name: 3 to 24 lower-case letters and digits.
        account: String,
    },
    /// The target's Databricks workspace.
    Databricks,
    /// The Databricks account console's API (`accounts.azuredatabricks.net`).
    DatabricksAccount,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entra => "Entra",
            Self::Graph => "Graph",
            Self::Arm => "ARM",
            Self::KeyVault { .. } => "Key Vault",
            Self::Storage { .. } => "Storage",
            Self::Databricks => "Databricks",
            Self::DatabricksAccount => "Databricks account",
        })
    }
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110 and RFC 5789 say what they are")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Patch,
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// A request body. Secrets are put in only at the moment of sending.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// No body.
    #[default]
    None,
    /// JSON without secrets.
    Json(Value),
    /// JSON whose secret values are kept apart.
    JsonWithSecrets {
        /// The document; at each secret's pointer stands `null` or nothing.
        json: Value,
        /// JSON pointer (RFC 6901) and value. The pointer's parent object must exist.
        secrets: Vec<(String, SecretString)>,
    },
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(&'static str, Field)>),
}

/// A form field's value.
#[derive(Clone, Debug)]
pub enum Field {
    /// A value that may be shown.
    Plain(String),
    /// A value that may not.
    Secret(SecretString),
}

/// One request, complete but for host, credentials and retries.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes.
    pub service: Service,
    /// The operation's name in messages, such as `applications.create`.
    pub operation: &'static str,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: Path,
    /// The query: names as written (`$filter`), values encoded when sent.
    pub query: Vec<(&'static str, String)>,
    /// Further headers, such as `Prefer`. `Authorization`, `Host` and the like are refused.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// Whether sending it twice has the effect of sending it once, so that a lost reply may be answered by sending again.
    pub idempotent: bool,
    /// JSON pointers of reply values that are secrets: they are moved to [`Reply::secrets`].
    pub secret_reply: Vec<String>,
}

impl Request {
    /// A request without query, headers or body; idempotent for every method but POST and PATCH.
    pub fn new(service: Service, operation: &'static str, method: Method, path: Path) -> Self {
        Self {
            service,
            operation,
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::None,
            idempotent: !matches!(method, Method::Post | Method::Patch),
            secret_reply: Vec::new(),
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets a JSON body without secrets.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// Says whether sending it twice is harmless.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Declares the reply value at a JSON pointer to be a secret.
    #[must_use]
    pub fn secret_reply(mut self, pointer: impl Into<String>) -> Self {
        self.secret_reply.push(pointer.into());
        self
    }

    /// The next page of this request, at the absolute address the service returned. Sending it elsewhere than to this
    /// request's own host is refused.
    #[must_use]
    pub fn next_page(&self, link: &str) -> Self {
        Self {
            path: self.path.following(link),
            query: Vec::new(),
            ..self.clone()
        }
    }

    /// The path's template, for messages and audit.
    pub fn path_template(&self) -> &'static str {
        self.path.template()
    }
}

/// A reply with a 2xx status. Live secrets in it are masked.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status, 200 to 299.
    pub status: u16,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
    /// The JSON body; `Null` when there is none or when it is file content.
    pub body: Value,
    /// The service's id of this request, for its support desk.
    pub request_id: Option<String>,
    /// Values taken out of the body because [`Request::secret_reply`] names them.
    pub secrets: Vec<(String, SecretString)>,
}

impl Reply {
    /// A header's value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Takes the secret at a declared pointer.
    pub fn take_secret(&mut self, pointer: &str) -> Option<SecretString> {
        let at = self.secrets.iter().position(|(key, _)| key == pointer)?;
        Some(self.secrets.swap_remove(at).1)
    }
}

/// How long and how often a request may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// No try begins, and no wait ends, after this. A wait that the service asks for moves it out.
    pub deadline: Instant,
    /// The deadline is not moved out beyond this.
    pub limit: Instant,
    /// Most tries, the first included.
    pub attempts: u32,
}

impl Budget {
    /// So long from now, with as many tries as fit.
    pub fn within(time: Duration) -> Self {
        let deadline = Instant::now() + time;
        Self {
            deadline,
            limit: deadline,
            attempts: 100,
        }
    }
}

impl Default for Budget {
    /// Five minutes, as the Databricks SDKs allow.
    fn default() -> Self {
        Self::within(Duration::from_mins(5))
    }
}

/// Is told what happens while a request is under way, and may end its waits.
#[async_trait]
pub trait Observer: Send + Sync {
    /// Ends when nobody wants to wait any more. A try that is under way goes on; a wait before the next one ends with a
    /// failure for which [`Failure::is_stopped`] holds.
    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }

    /// The request waits before its next try, because of `failure` at try number `attempt`.
    fn waiting(&self, request: &Request, failure: &Failure, delay: Duration, attempt: u32) {
        let _ = (request, failure, delay, attempt);
    }

    /// A try has ended: with a status, or without one when no reply came.
    fn sent(
        &self,
        request: &Request,
        status: Option<u16>,
        class: Option<Class>,
        duration: Duration,
    ) {
        let _ = (request, status, class, duration);
    }
}

/// Observes nothing, and waits to the end.
impl Observer for () {}
