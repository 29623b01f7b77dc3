//! An API server of one object, which refuses what a real one would refuse, and takes note of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use harness::http::lock;
use harness::merge;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use crate::{rules, secrets};

#[derive(Debug)]
struct State {
    object: Option<Value>,
    version: u64,
    writes: usize,
}

/// The server.
#[derive(Clone, Debug)]
pub(crate) struct Server(Arc<Mutex<State>>);

impl Server {
    /// A server that stores `object`.
    pub(crate) fn new(object: Value) -> Self {
        Self(Arc::new(Mutex::new(State { object: Some(object), version: 7, writes: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// The object, while there is one.
    pub(crate) fn object(&self) -> Option<Value> {
        self.state().object.clone()
    }

    /// How often something was written.
    pub(crate) fn writes(&self) -> usize {
        self.state().writes
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                let (status, reply) = server.answer(&head.method, head.uri.path(), &body);
                let mut response = Response::new(Full::new(Bytes::from(reply.to_string())));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "team")
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if path.contains("/events") {
            return (StatusCode::CREATED, event(method, body));
        }
        let mut state = self.state();
        let Some(object) = state.object.clone() else { return failure(StatusCode::NOT_FOUND, "NotFound") };
        if method == Method::GET {
            return (StatusCode::OK, object);
        }
        state.writes += 1;
        if method == Method::DELETE {
            state.object = None;
            return (
                StatusCode::OK,
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {} }),
            );
        }
        assert!(
            *method == Method::PATCH || *method == Method::PUT && path.ends_with("/status"),
            "{method} {path}"
        );
        if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        let mut changed = if *method == Method::PUT {
            rules::replace(&object, &body["status"])
        } else if path.ends_with("/status") {
            rules::apply(&object, &json!({ "status": body["status"] }))
        } else {
            let mut changed = object.clone();
            merge(&mut changed, &json!({ "metadata": { "finalizers": body["metadata"]["finalizers"] } }));
            changed
        };
        state.version += 1;
        changed["metadata"]["resourceVersion"] = state.version.to_string().into();
        let gone = changed["metadata"]["deletionTimestamp"].is_string()
            && changed["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        state.object = (!gone).then(|| changed.clone());
        (StatusCode::OK, changed)
    }
}

fn event(method: &Method, mut event: Value) -> Value {
    secrets::check("an event", &event.to_string());
    let text = |name: &str| event[name].as_str();
    // Of an event that is there already, only what is new is written.
    let word = |name: &str| text(name).or((*method == Method::PATCH).then_some("There")).unwrap_or_default();
    rules::check_event_fields(word("reason"), text("message").unwrap_or_default(), word("action"));
    event["metadata"]["resourceVersion"] = "1".into();
    event
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let code = status.as_u16();
    (
        status,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code }),
    )
}
