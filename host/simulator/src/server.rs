//! The listeners: connections, the choice of service, faults, the record.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderName, HeaderValue, Method, Request, Response, StatusCode,
        header::{CONTENT_LENGTH, HOST, RETRY_AFTER},
        request::Parts,
    },
};
use futures::stream;
use hyper::{body::Incoming as Streamed, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{
    RequestRecord, StartError, World, azure, control, databricks, entra,
    faults::{Action, Strike, kill_client},
    record::Caller,
    refusal::refusal,
    service::Service,
    wire::{Incoming, Reply, Scheme, iso},
    world::LAG,
};

/// No service here takes more in one request.
const LARGEST_BODY: usize = 32 << 20;

/// The two listeners; dropping them closes every connection.
pub(crate) struct Listeners {
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    tasks: JoinSet<()>,
}

impl Listeners {
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Opens both listeners on loopback.
pub(crate) async fn listen(
    world: &Arc<World>,
    tls: Arc<ServerConfig>,
    secure_port: u16,
    plain_port: u16,
) -> Result<Listeners, StartError> {
    let (secure, https) = bind(secure_port).await?;
    let (plain, http) = bind(plain_port).await?;
    let databricks = databricks::router(Arc::clone(world));
    let server = Server {
        world: Arc::clone(world),
        databricks,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(secure, server.clone(), Some(TlsAcceptor::from(tls))));
    tasks.spawn(accept(plain, server, None));
    Ok(Listeners { https, http, tasks })
}

async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |reason| StartError::Listen { port, reason };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

async fn accept(listener: TcpListener, server: Server, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: wait for connections to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        connections.spawn(connection(stream, server.clone(), tls.clone()));
    }
}

/// Serves one connection until either side ends it.
async fn connection(stream: TcpStream, server: Server, tls: Option<TlsAcceptor>) {
    let Ok((stream, resetter)) = with_resetter(stream) else {
        return;
    };
    match tls {
        None => server.serve(stream, "http", resetter).await,
        // A client that does not trust the certificate is told so by TLS itself.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                server.serve(stream, "https", resetter).await;
            }
        }
    }
}

/// A second handle on the connection's socket, by which its close can be made a reset.
fn with_resetter(stream: TcpStream) -> std::io::Result<(TcpStream, Arc<std::net::TcpStream>)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, Arc::new(second)))
}

/// The connection ends without a reply.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was cut by a fault")
    }
}

impl std::error::Error for Cut {}

#[derive(Clone)]
struct Server {
    world: Arc<World>,
    databricks: axum::Router,
}

impl Server {
    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
        resetter: Arc<std::net::TcpStream>,
    ) {
        let service = service_fn(|request| {
            let server = self.clone();
            let resetter = Arc::clone(&resetter);
            async move { server.answer(scheme, request, &resetter).await }
        });
        // An error here is a client that went away, or a cut on purpose.
        let _ended = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(
        &self,
        scheme: &'static str,
        request: Request<Streamed>,
        resetter: &std::net::TcpStream,
    ) -> Result<Response<Body>, Cut> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await;
        let too_large = body.is_err();
        let body = body.unwrap_or_default();
        let incoming = read(&parts, body, scheme, self.world.guid());
        let service = Service::of(&incoming.host, &incoming.path);
        if too_large {
            return Ok(refusal(&self.world, &service, &incoming, 413, None));
        }
        if service == Service::Control {
            return Ok(control::handle(&self.world, &incoming).into_response());
        }
        let arrived = Instant::now();
        let time = iso(self.world.now());
        let strike =
            self.world
                .faults()
                .strike(incoming.method.as_str(), &incoming.host, &incoming.path);
        let answer = self
            .struck(&service, &incoming, parts, strike.as_ref(), resetter)
            .await;
        let status = answer
            .as_ref()
            .ok()
            .map(|response| response.status().as_u16());
        let named = answer
            .as_ref()
            .ok()
            .and_then(|response| response.extensions().get::<Caller>());
        let caller = named
            .map(|caller| caller.0.clone())
            .or_else(|| entra::tokens::caller(&incoming));
        self.world.recorder().add(RequestRecord {
            seq: 0,
            time,
            service: service.name().to_owned(),
            method: incoming.method.to_string(),
            host: incoming.host.clone(),
            path: if incoming.raw_query.is_empty() {
                incoming.path.clone()
            } else {
                format!("{}?{}", incoming.path, incoming.raw_query)
            },
            status,
            caller,
            request_id: incoming.request_id.clone(),
            duration_ms: u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX),
            fault: strike.map(|strike| strike.action.name().to_owned()),
        });
        answer
    }

    /// Answers a request under the fault that strikes it, if any.
    async fn struck(
        &self,
        service: &Service,
        incoming: &Incoming,
        parts: Parts,
        strike: Option<&Strike>,
        resetter: &std::net::TcpStream,
    ) -> Result<Response<Body>, Cut> {
        let Some(strike) = strike else {
            return self.handled(service, incoming, parts).await;
        };
        let lag = match strike.action {
            Action::StaleRead { seconds } if incoming.method == Method::GET => {
                time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            _ => time::Duration::ZERO,
        };
        // These need the handler's reply or effect whatever the rule says.
        let runs = strike.after_handler
            || matches!(
                strike.action,
                Action::LostReply
                    | Action::SlowDrip { .. }
                    | Action::CrlfErrorTail
                    | Action::StaleRead { .. }
            );
        let response = if runs {
            Some(
                LAG.scope(lag, self.handled(service, incoming, parts))
                    .await?,
            )
        } else {
            None
        };
        let response = response.unwrap_or_default();
        match &strike.action {
            Action::Status {
                status,
                body,
                headers,
            } => {
                let mut response = refusal(&self.world, service, incoming, *status, body.as_ref());
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) = (
                        HeaderName::from_bytes(name.as_bytes()),
                        HeaderValue::from_str(value),
                    ) {
                        response.headers_mut().insert(name, value);
                    }
                }
                Ok(response)
            }
            Action::Throttle { retry_after } => {
                let mut response = refusal(&self.world, service, incoming, 429, None);
                if let Some(seconds) = retry_after {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from(*seconds));
                }
                Ok(response)
            }
            Action::Reset => {
                // Closing with a zero linger time sends RST instead of FIN.
                if let Ok(second) = resetter.try_clone() {
                    let _cannot = TcpSocket::from_std_stream(second).set_zero_linger();
                }
                Err(Cut)
            }
            Action::LostReply => Err(Cut),
            Action::Kill { pid } => {
                kill_client(*pid);
                Err(Cut)
            }
            Action::SlowDrip { bytes_per_second } => Ok(slowly(response, *bytes_per_second).await),
            Action::EndlessBody => Ok(endless()),
            Action::CrlfErrorTail => Ok(with_crlf_tail(response).await),
            Action::StaleRead { .. } => Ok(response),
        }
    }

    /// Answers a request by its service.
    async fn handled(
        &self,
        service: &Service,
        incoming: &Incoming,
        parts: Parts,
    ) -> Result<Response<Body>, Cut> {
        let world = &self.world;
        let reply = match service {
            Service::Sts => entra::sts::handle(world, incoming),
            Service::Graph => entra::graph::handle(world, incoming),
            Service::Arm => azure::arm::handle(world, incoming),
            Service::KeyVault(vault) => azure::key_vault::handle(world, incoming, vault),
            Service::Storage { account, in_path } => {
                azure::storage::handle(world, incoming, account, *in_path)
            }
            Service::Databricks => {
                let mut request = Request::from_parts(parts, Body::from(incoming.body.clone()));
                request.extensions_mut().insert(Scheme(incoming.scheme));
                return match self.databricks.clone().oneshot(request).await {
                    Ok(response) => {
                        let response = self.saved(response);
                        Ok(databricks::headed(world, incoming, response))
                    }
                    Err(never) => match never {},
                };
            }
            Service::Control | Service::Unknown => Reply::empty(421),
        };
        if reply.status == 0 {
            return Err(Cut);
        }
        let mut response = self.saved(reply.into_response());
        if incoming.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        Ok(response)
    }

    /// The reply, unless what it tells of could not be saved.
    fn saved(&self, response: Response<Body>) -> Response<Body> {
        let Some(reason) = self.world.take_unsaved() else {
            return response;
        };
        let message = format!("the simulator took the change back: {reason}");
        let body = json!({"error": {"code": "SimulatorCannotSave", "message": message}});
        Reply::json(500, &body).into_response()
    }
}

fn read(parts: &Parts, body: Bytes, scheme: &'static str, request_id: String) -> Incoming {
    let host = parts
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| Some(parts.headers.get(HOST)?.to_str().ok()?.to_owned()))
        .unwrap_or_default();
    Incoming {
        method: parts.method.clone(),
        scheme,
        host,
        path: parts.uri.path().to_owned(),
        raw_query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body,
        request_id,
    }
}

/// Keeps the reply's declared length and sends its body in tenths of seconds.
async fn slowly(response: Response<Body>, bytes_per_second: u64) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LARGEST_BODY)
        .await
        .unwrap_or_default();
    parts
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let step = usize::try_from(bytes_per_second.div_ceil(10).max(1)).unwrap_or(usize::MAX);
    let drips = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let drip = rest.split_to(step.min(rest.len()));
        Some((Ok::<_, Infallible>(drip), rest))
    });
    Response::from_parts(parts, Body::from_stream(drips))
}

fn endless() -> Response<Body> {
    let spaces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 16384])));
    let mut response = Response::new(Body::from_stream(spaces));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// Joins the ids at the end of an AADSTS description as bodies did until 2023.
async fn with_crlf_tail(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LARGEST_BODY)
        .await
        .unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for label in ["Trace ID:", "Correlation ID:", "Timestamp:"] {
        text = text.replace(&format!(" {label}"), &format!("\\r\\n{label}"));
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}
