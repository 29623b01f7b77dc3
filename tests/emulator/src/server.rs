//! HTTP: takes connections and sends each request to the part that answers it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::world::World;
use crate::{call, control, issue};

/// More than the largest valid `StartSession`.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A reply.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The connection is to be closed without a reply.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("closed by a fault")
    }
}

impl std::error::Error for Closed {}

/// The world, shared by all connections.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world; never to be held over an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes connections until the task is aborted, and then closes them.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that cannot be accepted (no more file descriptors, say) may be followed by one that can.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                connections.spawn(serve_connection(stream, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Shared) {
    // Replies are small and the client waits for each: Nagle's algorithm would only add time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { route(&shared, request).await }
    });
    // An error is a client that left or a fault that closes the connection: nothing to do for either.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn route(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Closed> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes)
    else {
        return Ok(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", None, String::new()));
    };
    if let Some(path) = parts.uri.path().strip_prefix("/_emulator/") {
        return Ok(control::answer(shared, &parts.method, path, &body));
    }
    if parts.uri.path() == issue::AGENT && parts.method == Method::GET {
        return Ok(issue::agent(shared, &parts));
    }
    if parts.uri.path() == "/" && parts.method == Method::POST {
        return call::call(shared, parts, body).await;
    }
    Ok(answer(
        StatusCode::NOT_FOUND,
        "text/plain",
        None,
        "POST /, GET /v1/credentials or /_emulator/\n".to_owned(),
    ))
}

/// A reply with an optional request id.
pub(crate) fn answer(
    status: StatusCode,
    kind: &'static str,
    request_id: Option<&str>,
    body: String,
) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        answer.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}
