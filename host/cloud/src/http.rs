//! One HTTP exchange under the house rules: https only (plain only to loopback), no redirects, no proxies, bounded time and
//! size, and an honest account of a lost reply.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Url};
use tokio::time::Instant;

use crate::failure::{Class, Sent};
use crate::target::{ConfigError, Endpoints};

const CONNECT: Duration = Duration::from_secs(20);
const READ: Duration = Duration::from_mins(1);
/// No reply that any operation needs comes near it.
const MAX_BODY: usize = 16 << 20;
/// Where Azure machines offer the tokens of their managed identity; it has no TLS.
const METADATA: &str = "169.254.169.254";

/// The client below everything.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    simulated: bool,
}

/// Any reply.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body was longer than allowed, and is cut.
    pub(crate) cut: bool,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// No reply, or not all of it.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) class: Class,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) sent: Sent,
}

impl Lost {
    /// Time ran out with the request possibly under way to `server`.
    pub(crate) fn deadline(server: &str) -> Self {
        Self {
            class: Class::Unavailable,
            code: "timeout",
            message: format!("no complete reply came from {server} before the deadline"),
            sent: Sent::MaybeHandled,
        }
    }
}

impl Http {
    pub(crate) fn new(endpoints: Option<&Endpoints>) -> Result<Self, ConfigError> {
        // An error means that the process has one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(READ);
        if let Some(endpoints) = endpoints {
            let invalid = |error: reqwest::Error| ConfigError::Invalid {
                field: "endpoints.ca_pem",
                reason: format!("cannot be read: {}", chain(&error)),
            };
            let authority = Certificate::from_pem(endpoints.ca_pem.as_bytes()).map_err(invalid)?;
            builder = builder
                .tls_certs_only([authority])
                .dns_resolver(OneAddress(endpoints.resolve_to));
        }
        let client = builder.build().map_err(|error| ConfigError::Unreadable {
            what: "the trusted certificate authorities".to_owned(),
            reason: chain(&error),
        })?;
        Ok(Self {
            client,
            simulated: endpoints.is_some(),
        })
    }

    /// Sends once. The deadline holds for the whole exchange.
    pub(crate) async fn exchange(
        &self,
        request: reqwest::Request,
        deadline: Instant,
    ) -> Result<Raw, Lost> {
        if !self.may_dial(request.url()) {
            return Err(Lost {
                class: Class::Invalid,
                code: "insecure-address",
                message: "credentials are sent over https only".to_owned(),
                sent: Sent::NotSent,
            });
        }
        let server = server(request.url());
        match tokio::time::timeout_at(deadline, self.unbounded(request, &server)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Lost::deadline(&server)),
        }
    }

    fn may_dial(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || is_loopback(url)
            || (url.host_str() == Some(METADATA) && !self.simulated)
    }

    async fn unbounded(&self, request: reqwest::Request, server: &str) -> Result<Raw, Lost> {
        let executed = self.client.execute(request).await;
        let mut response = executed.map_err(|error| lost(error, server))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let mut body = Vec::new();
        let mut cut = false;
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => {
                    cut = true;
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // A refusal is a refusal, even if its text is lost.
                Err(_) if (400..500).contains(&status) => break,
                Err(error) => return Err(lost(error, server)),
            }
        }
        Ok(Raw {
            status,
            headers,
            body,
            cut,
        })
    }
}

/// Whether the address is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Answers every name with one address.
struct OneAddress(SocketAddr);

impl Resolve for OneAddress {
    fn resolve(&self, _: Name) -> Resolving {
        let address = self.0;
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

/// The host and port of an address.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn lost(error: reqwest::Error, server: &str) -> Lost {
    let error = error.without_url();
    let (class, code, sent) = if is_tls(&error) {
        (Class::Other, "tls", Sent::NotSent)
    } else if error.is_dns() {
        (Class::Unavailable, "dns", Sent::NotSent)
    } else if error.is_connect() {
        (Class::Unavailable, "connect", Sent::NotSent)
    } else if error.is_builder() {
        (Class::Invalid, "request", Sent::NotSent)
    } else if error.is_timeout() {
        (Class::Unavailable, "timeout", Sent::MaybeHandled)
    } else {
        (Class::Unavailable, "connection-lost", Sent::MaybeHandled)
    };
    let message = match code {
        "dns" => format!(
            "the host name of {server} does not resolve: {}",
            chain(&error)
        ),
        "connect" => format!("no connection to {server}: {}", chain(&error)),
        "tls" => format!(
            "the certificate or TLS of {server} is not acceptable: {}",
            chain(&error)
        ),
        _ => format!("no complete reply came from {server}: {}", chain(&error)),
    };
    Lost {
        class,
        code,
        message,
        sent,
    }
}

/// A TLS failure stays one however often it is tried.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    // An I/O error's source is its inner error's source: the inner error itself must be asked for.
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
