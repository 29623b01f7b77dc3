//! Bounds the memory of replies from the API server.
//!
//! kube's client reads each reply whole before it decodes it, and requests pages by number of objects, whatever their size. The service of this
//! module is a layer below kube's client:
//!
//! - It replaces the `limit` of a list by one that it fits to the size of the pages. It stops reading a page that grows beyond `LONGEST_PAGE`, and
//!   requests a smaller one.
//! - Of any other reply except a watch, it reads `FREE_BYTES` bytes at once, and the rest under one of `PERMITS` permits, which a page needs too. A caller
//!   that decodes a reply as soon as it ends, as kube's client does, holds no more than that many large replies at a time.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower::{BoxError, service_fn};

/// Bytes of a reply that are read without a permit.
const FREE_BYTES: usize = 32 << 10;
/// Number of replies of more than [`FREE_BYTES`] bytes that are read at a time.
const PERMITS: usize = 2;
/// Size of a page to aim at, in bytes.
const PAGE: usize = 1 << 20;
/// Largest size of a page of several objects, in bytes. A page of one object is read to its end.
const LONGEST_PAGE: usize = 2 * PAGE;
/// Limit of the first page of a list, in objects: their size is not known yet.
const FIRST_LIMIT: u32 = 16;
/// Factor by which the limit may grow from one page to the next, and by which it shrinks after a page that was too large.
const LIMIT_FACTOR: u32 = 4;
/// Longest time for reading a page, so that a stalled page does not hold a permit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a client that sends its requests through `client` and bounds the replies.
pub fn bounded_replies(client: Client, default_namespace: String) -> Client {
    let replies = Arc::new(Replies { permits: Arc::new(Semaphore::new(PERMITS)), limits: Mutex::default() });
    let service = service_fn(move |request: Request<Body>| {
        let (client, replies) = (client.clone(), replies.clone());
        async move {
            match ListRequest::of(&request) {
                Some(list) => replies.list(&client, list, request).await,
                None if is_watch(request.uri()) => Ok(client.send(request).await?.map(Reply::free)),
                None => {
                    Ok(client.send(request).await?.map(|body| Reply::gated(body, replies.permits.clone())))
                }
            }
        }
    });
    Client::new(service, default_namespace)
}

struct Replies {
    permits: Arc<Semaphore>,
    /// Limit of the next page of a list, in objects, by the path of the list.
    limits: Mutex<HashMap<String, u32>>,
}

impl Replies {
    async fn list(
        &self,
        client: &Client,
        list: ListRequest,
        request: Request<Body>,
    ) -> Result<Response<Reply>, BoxError> {
        let (parts, _) = request.into_parts();
        let known = self.limits.lock().get(&list.path).copied().filter(|_| list.is_continued);
        let mut limit = known.unwrap_or(FIRST_LIMIT).min(list.limit);
        loop {
            let mut parts = parts.clone();
            parts.uri = list.with_limit(limit)?;
            let (head, body) = client.send(Request::from_parts(parts, Body::empty())).await?.into_parts();
            let mut page = Reply::gated(body, self.permits.clone());
            if !head.status.is_success() {
                return Ok(Response::from_parts(head, page));
            }
            let longest = if limit > 1 { LONGEST_PAGE } else { usize::MAX };
            let is_whole = tokio::time::timeout(TIMEOUT, page.read_ahead(longest))
                .await
                .map_err(|_| "no page of a list in time")??;
            if is_whole {
                self.limits.lock().insert(list.path, next_limit(limit, page.bytes));
                return Ok(Response::from_parts(head, page));
            }
            limit = (limit / LIMIT_FACTOR).max(1);
        }
    }
}

/// Returns the limit of the page after one that had a limit of `limit` objects and a size of `bytes`.
fn next_limit(limit: u32, bytes: usize) -> u32 {
    let fitting = u64::from(limit) * PAGE as u64 / (bytes.max(1) as u64);
    u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, limit.saturating_mul(LIMIT_FACTOR))
}

/// A request for a page of a list.
#[derive(Debug, PartialEq, Eq)]
struct ListRequest {
    path: String,
    /// Query parameters except `limit`.
    query: String,
    limit: u32,
    is_continued: bool,
}

impl ListRequest {
    fn of(request: &Request<Body>) -> Option<Self> {
        let uri = request.uri();
        if request.method() != Method::GET || is_watch(uri) {
            return None;
        }
        let is_limit = |pair: &&str| pair.starts_with("limit=");
        let (limits, others): (Vec<_>, Vec<_>) =
            uri.query()?.split('&').filter(|pair| !pair.is_empty()).partition(is_limit);
        let limit = limits.first()?.strip_prefix("limit=")?.parse().ok().filter(|limit| *limit > 0)?;
        let is_continued = others.iter().any(|pair| pair.starts_with("continue="));
        Some(Self { path: uri.path().to_owned(), query: others.join("&"), limit, is_continued })
    }

    /// Returns the URI with this limit.
    fn with_limit(&self, limit: u32) -> Result<Uri, BoxError> {
        let separator = if self.query.is_empty() { "" } else { "&" };
        let path = PathAndQuery::try_from(format!("{}?{}{separator}limit={limit}", self.path, self.query))?;
        Ok(Uri::from(path))
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

/// The body of a reply.
struct Reply {
    /// Data that was read ahead.
    ahead: VecDeque<Bytes>,
    body: Body,
    /// Size of the data that was read.
    bytes: usize,
    /// The permits, one of which is needed for the part beyond [`FREE_BYTES`] bytes, unless the reply is free.
    permits: Option<PollSemaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reply {
    fn free(body: Body) -> Self {
        Self { ahead: VecDeque::new(), body, bytes: 0, permits: None, permit: None }
    }

    fn gated(body: Body, permits: Arc<Semaphore>) -> Self {
        Self { permits: Some(PollSemaphore::new(permits)), ..Self::free(body) }
    }

    /// Reads the whole reply, with its permit, before its caller does. Returns false if it is longer than `longest` bytes.
    async fn read_ahead(&mut self, longest: usize) -> kube::Result<bool> {
        let mut ahead = VecDeque::new();
        while let Some(frame) = self.frame().await {
            ahead.extend(frame?.into_data());
            if self.bytes > longest {
                return Ok(false);
            }
        }
        (self.ahead, self.body) = (ahead, Body::empty());
        Ok(true)
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, kube::Error>>> {
        let reply = &mut *self;
        if let Some(data) = reply.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(permits) =
            reply.permits.as_mut().filter(|_| reply.bytes > FREE_BYTES && reply.permit.is_none())
        {
            reply.permit = ready!(permits.poll_acquire(context));
        }
        let frame = ready!(Pin::new(&mut reply.body).poll_frame(context));
        reply.bytes += frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        Poll::Ready(frame)
    }
}

#[cfg(test)]
#[path = "bounded_replies_tests.rs"]
mod tests;
