//! HTTP: takes a request, journals it, applies its fault and passes it on.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use harness::http::{Closed, accept, lock, requests};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::faults::{self, Fault, FaultKind};
use crate::journal::{Journal, Outcome};
use crate::line::{Line, LineStream};
use crate::reply;
use crate::request::Operation;
use crate::upstream::{Upstream, Whole, end_to_end};
use crate::watch::{Versions, events, note_list};

pub(crate) type Body = BoxBody<Bytes, Closed>;
pub(crate) type Answer = Response<Body>;

/// What stands before the name of a client in an address.
pub(crate) const CLIENTS: &str = "/clients/";

#[derive(Default)]
pub(crate) struct State {
    pub(crate) journal: Journal,
    pub(crate) faults: Vec<Fault>,
    pub(crate) versions: Versions,
    held: Vec<(usize, Whole)>,
    /// True if the resourceVersion of a status that is written is replaced by the present one.
    pub(crate) writes_blindly: bool,
    lines: Vec<Weak<Line>>,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    upstream: Upstream,
    state: Mutex<State>,
    cuts: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self(Arc::new(Inner { upstream, state: Mutex::default(), cuts: watch::Sender::new(0) }))
    }

    /// The state; never to be held over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    pub(crate) fn cut_watches(&self) {
        self.0.cuts.send_modify(|count| *count += 1);
    }

    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.0.cuts.subscribe()
    }

    /// Sends a request to the API server; with the present resourceVersion where writes are blind.
    async fn send(&self, mut whole: Whole) -> anyhow::Result<Response<Incoming>> {
        if self.state().writes_blindly
            && let Some(read) = whole.read_of_status_write()
        {
            let present = self.0.upstream.send(read).await?.collect().await?.to_bytes();
            whole.set_version(&present)?;
        }
        self.0.upstream.send(whole).await
    }

    fn hold(&self, number: usize, whole: Whole) {
        let mut state = self.state();
        state.journal.conclude(number, Outcome::Held);
        state.held.push((number, whole));
    }

    /// A connection that begins.
    fn line(&self) -> Arc<Line> {
        let line = Arc::new(Line::default());
        let mut state = self.state();
        state.lines.retain(|line| line.strong_count() > 0);
        state.lines.push(Arc::downgrade(&line));
        line
    }

    fn silence(&self, client: Option<&str>) {
        self.state().lines.iter().filter_map(Weak::upgrade).for_each(|line| line.silence(client));
    }

    fn conclude(&self, number: usize, outcome: Outcome) {
        self.state().journal.conclude(number, outcome);
    }
}

/// Takes connections until the task is aborted, and then closes them.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) {
    accept(listener, |stream| {
        let (shared, line) = (shared.clone(), shared.line());
        requests(LineStream::new(stream, line.clone()), move |request| {
            let (shared, line) = (shared.clone(), line.clone());
            async move { answer(&shared, &line, request).await }
        })
    })
    .await;
}

/// Takes the name of the client out of an address.
fn take_client(address: &mut Uri) -> Option<String> {
    let told = address.path_and_query()?.as_str().strip_prefix(CLIENTS)?;
    let (client, path) = told.split_once('/').unwrap_or((told, ""));
    let (client, path) = (client.to_owned(), format!("/{path}"));
    *address = path.parse().ok()?;
    Some(client)
}

async fn answer(shared: &Shared, line: &Line, request: Request<Incoming>) -> Result<Answer, Closed> {
    let (mut parts, body) = request.into_parts();
    let client = take_client(&mut parts.uri);
    line.is_of(client.as_deref());
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let operation = Operation::new(&parts.method, &parts.uri);
    let (whole, verb) = (Whole { parts, body }, operation.verb.clone());
    let (number, fault) = {
        let mut state = shared.state();
        let fault = faults::take(&mut state.faults, &operation);
        let body = serde_json::from_slice(&whole.body).unwrap_or_default();
        (state.journal.arrive(client.clone(), whole.parts.method.clone(), operation, body), fault)
    };
    match fault {
        None => pass(shared, number, whole, &verb).await,
        Some(FaultKind::Delay(duration)) => {
            tokio::time::sleep(duration).await;
            pass(shared, number, whole, &verb).await
        }
        Some(FaultKind::DropBefore) => {
            shared.conclude(number, Outcome::DroppedBefore);
            Err(Closed)
        }
        Some(FaultKind::DropAfter) => {
            shared.conclude(
                number,
                effect(shared, whole).await.map_or(Outcome::Unreachable, Outcome::DroppedAfter),
            );
            Err(Closed)
        }
        Some(FaultKind::Fail { code, retry_after }) => {
            shared.conclude(number, Outcome::Failed(code));
            Ok(reply::failure(code, retry_after))
        }
        Some(FaultKind::Hang { effect: false }) => {
            shared.conclude(number, Outcome::HungBefore);
            pending().await
        }
        Some(FaultKind::Hang { effect: true }) => {
            shared.conclude(
                number,
                effect(shared, whole).await.map_or(Outcome::Unreachable, Outcome::HungAfter),
            );
            pending().await
        }
        Some(FaultKind::Slow(delay)) => {
            let answer = pass(shared, number, whole, &verb).await?;
            shared.conclude(number, Outcome::Slowed(answer.status().as_u16()));
            tokio::time::sleep(delay).await;
            Ok(answer)
        }
        Some(FaultKind::Silence) => {
            shared.conclude(number, Outcome::Silenced);
            shared.silence(client.as_deref());
            pending().await
        }
        Some(FaultKind::Late) => {
            shared.hold(number, whole);
            pending().await
        }
        Some(FaultKind::Gone) => {
            shared.conclude(number, Outcome::Gone);
            Ok(reply::gone())
        }
        Some(FaultKind::StaleList { back }) => {
            let earlier = shared.state().versions.earlier(whole.parts.uri.path(), back).map(str::to_owned);
            let Some(version) = earlier else {
                return pass(shared, number, whole, &verb).await;
            };
            let answer = pass(
                shared,
                number,
                whole.with_query(&format!("resourceVersion={version}&resourceVersionMatch=Exact")),
                &verb,
            )
            .await;
            shared.conclude(number, Outcome::Stale(version));
            answer
        }
    }
}

/// Passes a request on and its reply back.
async fn pass(shared: &Shared, number: usize, whole: Whole, verb: &str) -> Result<Answer, Closed> {
    let path = whole.parts.uri.path().to_owned();
    let Ok(reply) = shared.send(whole).await else {
        shared.conclude(number, Outcome::Unreachable);
        return Err(Closed);
    };
    let status = reply.status();
    shared.conclude(number, Outcome::Passed(status.as_u16()));
    let (mut parts, incoming) = reply.into_parts();
    parts.headers = end_to_end(&parts.headers);
    let body = match verb {
        "watch" if status.is_success() => events(shared, &path, incoming),
        _ => {
            let body = incoming.collect().await.map_err(|_| Closed)?.to_bytes();
            if verb == "list" && status.is_success() {
                note_list(shared, &path, &body);
            }
            Full::new(body).map_err(|never| match never {}).boxed()
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// Has the server do what a request asks, and tells its status alone.
async fn effect(shared: &Shared, whole: Whole) -> Option<u16> {
    let shared = shared.clone();
    // A client that leaves meanwhile does not take the effect back.
    let sent = tokio::spawn(async move { shared.send(whole).await }).await;
    sent.ok()?.ok().map(|reply| reply.status().as_u16())
}

pub(crate) async fn deliver(shared: &Shared) -> anyhow::Result<Vec<u16>> {
    let held = std::mem::take(&mut shared.state().held);
    let mut statuses = Vec::new();
    for (number, whole) in held {
        let status = shared.send(whole).await?.status().as_u16();
        shared.conclude(number, Outcome::Delivered(status));
        statuses.push(status);
    }
    Ok(statuses)
}
