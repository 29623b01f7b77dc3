//! HTTP: takes connections and sends each request to the part that answers it.

use std::sync::{Arc, Mutex, MutexGuard};

use harness::http::{Closed, accept, lock, requests};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::world::World;
use crate::{call, control, issue};

/// More than the largest valid `StartSession`.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A reply.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The world, shared by all connections.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world; never to be held over an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0)
    }
}

/// Takes connections until the task is aborted, and then closes them.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) {
    accept(listener, |stream| {
        let shared = shared.clone();
        requests(stream, move |request| {
            let shared = shared.clone();
            async move { route(&shared, request).await }
        })
    })
    .await;
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
