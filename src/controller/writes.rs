//! The writes to the API server, each compare-and-swap by `resourceVersion`.

use std::time::Duration;

use futures::TryFutureExt;
use http::HeaderValue;
use http::header::ACCEPT;
use kube::api::{DeleteParams, GetParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{Request, Status};
use kube::{Client, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::api::{AthenaSession, AthenaSessionSpec, AthenaSessionStatus, FIELD_MANAGER, FINALIZER};
use crate::runtime::kubernetes::error_text;
use crate::session::pass::{Found, Written};
use crate::session::refused_write::{ADD_FINALIZER, DELETE, REMOVE_FINALIZER, STATUS, UNREADABLE};

/// Longest time for one request to the API server, the reading of its reply included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Accept header for an object's metadata alone.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

const READ: &str = "read the object";

/// Failed request to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the request, or could not be reached.
    #[error("cannot {0}: {said}", said = error_text(.1))]
    Api(&'static str, #[source] Box<kube::Error>),
    /// There was no answer in time.
    #[error("cannot {0}: no answer from the API server in time")]
    Timeout(&'static str),
    /// The server accepted the write, and it had no effect.
    #[error("cannot {0}: {UNDONE}")]
    Undone(&'static str),
    /// The present version of the object cannot be read. The error is not shown: its text could contain any part of the object.
    #[error("cannot read the object: it is not as this version knows it")]
    Unreadable,
}

const UNDONE: &str = "the API server accepts the write and does not store it as it was sent: a mutating policy or webhook changes it, \
                      or the CustomResourceDefinition is another version's";

/// Result of a request to the API server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the kind of the failure, without the server's text.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Api(..) => match self.status().map(|status| status.code) {
                Some(400..500) => "the API server refuses the request",
                Some(_) => "the API server fails",
                None => "the API server cannot be reached",
            },
            Self::Timeout(_) => "the API server does not answer in time",
            Self::Undone(_) => "the API server undoes the write",
            Self::Unreadable => "the object cannot be read",
        }
    }

    /// Returns the name of the write that the server refuses or undoes, and the reason. Status 4xx is a refusal, except 408 and 429. Status 500 is one only
    /// if `again`, after an earlier failure: a webhook that is down or a full storage lasts, while other internal errors pass.
    pub fn refused_write(&self, again: bool) -> Option<(&'static str, &str)> {
        let what = match self {
            Self::Api(what, _) => *what,
            Self::Undone(what) => return Some((what, UNDONE)),
            Self::Timeout(_) | Self::Unreadable => return None,
        };
        let status = self.status()?;
        let is_refusal = match status.code {
            408 | 429 => false,
            500 => again,
            code => (400..500).contains(&code),
        };
        (is_refusal && what != READ).then_some((what, status.message.as_str()))
    }

    /// Returns the wait that the server requests before the next try: no longer than a minute, since deadlines do not wait.
    pub fn retry_after(&self) -> Option<Duration> {
        const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER))
    }

    fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    /// Returns the server's answer, if it refused the request or failed.
    fn status(&self) -> Option<&Status> {
        let Self::Api(_, error) = self else { return None };
        let kube::Error::Api(status) = error.as_ref() else { return None };
        Some(status)
    }
}

/// Adds the operator's finalizer to `object`, or removes it; those of others stay.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn write_finalizer(client: &Client, object: &AthenaSession, present: bool) -> Result<Written> {
    let mut finalizers = if object.spec.trimmed {
        // The finalizers of others may not have been kept.
        let is_same = |Reply { metadata, .. }: &Reply| {
            metadata.uid == object.metadata.uid
                && metadata.resource_version == object.metadata.resource_version
        };
        match read(client, &object.metadata).await?.filter(is_same) {
            Some(Reply { metadata, .. }) => metadata.finalizers,
            None => return Ok(Written::Conflict),
        }
    } else {
        object.finalizers().to_vec()
    };
    finalizers.retain(|name| name != FINALIZER);
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch = json!({ "metadata": { "resourceVersion": object.metadata.resource_version, "finalizers": finalizers } });
    let what = if present { ADD_FINALIZER } else { REMOVE_FINALIZER };
    patch_finalizers(client, &object.metadata, what, &patch, present).await
}

/// Writes a merge patch of the finalizers of `object`, after which that of the operator is to be `present` or not. An object that ends with the
/// write is returned in its last version: the finalizers show the effect.
async fn patch_finalizers(
    client: &Client,
    object: &ObjectMeta,
    what: &'static str,
    patch: &Value,
    present: bool,
) -> Result<Written> {
    let request = requests(object).patch_metadata(name(object), &parameters(), &Patch::Merge(patch));
    // If nothing has changed, the watch brings nothing.
    let is_undone = |reply: &Reply| reply.metadata.finalizers.iter().any(|name| name == FINALIZER) != present;
    written(client, object, what, send(client, what, request), is_undone).await
}

/// Replaces the status of `object` by `status`. A replacement costs the server less than any patch, see `docs/benchmarks.md`. The rest of the object
/// is left out: the server keeps its own. Where the status records an attempt, a session or an end, the reply is the whole object, which shows whether
/// the server has stored the record; otherwise the reply is the metadata alone, which costs the server less.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn write_status(
    client: &Client,
    object: &AthenaSession,
    status: &AthenaSessionStatus,
) -> Result<Written> {
    let meta = &object.metadata;
    let ObjectMeta { name, namespace, uid, resource_version, .. } = meta;
    let body = json!({
        "apiVersion": AthenaSession::api_version(&()),
        "kind": AthenaSession::kind(&()),
        "metadata": { "name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version },
        "status": status,
    });
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let body = body.to_string().into_bytes();
    let request = requests(meta).replace_subresource("status", &object.name_any(), &parameters, body);
    let is_record = object.status.as_ref().is_none_or(|before| record(before) != record(status));
    let request = if is_record { request } else { for_metadata(request) };
    let is_undone = |reply: &Reply| {
        let is_stored = || {
            AthenaSessionStatus::deserialize(&reply.status)
                .is_ok_and(|stored| record(&stored) == record(status))
        };
        reply.metadata.resource_version == *resource_version || is_record && !is_stored()
    };
    written(client, meta, STATUS, send(client, STATUS, request), is_undone).await
}

/// Returns `object` as the server has it, though it may not be readable; nothing, if it is gone.
///
/// # Errors
/// When the server refuses or does not answer, or the reply is not JSON.
pub async fn read_raw(client: &Client, object: &ObjectMeta) -> Result<Option<Value>> {
    let is_same =
        |found: &Value| found.pointer("/metadata/uid").and_then(Value::as_str) == object.uid.as_deref();
    Ok(read(client, object).await?.filter(is_same))
}

/// Returns the whole spec of `object`, as the server has it; nothing, if the object is gone.
///
/// # Errors
/// When the server refuses or does not answer, or the spec can no longer be read.
pub async fn read_spec(client: &Client, object: &AthenaSession) -> Result<Option<AthenaSessionSpec>> {
    #[derive(Deserialize)]
    struct Found {
        metadata: Identity,
        spec: AthenaSessionSpec,
    }
    let is_same = |found: &Found| found.metadata.uid == object.metadata.uid;
    Ok(read(client, &object.metadata).await?.filter(is_same).map(|found| found.spec))
}

/// Part of an object's metadata that is read from replies. The rest is not decoded: it costs time, and no decoder here may accept it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    uid: Option<String>,
    resource_version: Option<String>,
    #[serde(default)]
    finalizers: Vec<String>,
}

/// An object in a reply.
#[derive(Default, Deserialize)]
struct Reply {
    metadata: Identity,
    /// Null in a reply with the metadata alone.
    #[serde(default)]
    status: Value,
}

/// Request, unless it could not be built.
type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// Builds requests about AthenaSessions in the namespace of `object`.
fn requests(object: &ObjectMeta) -> Request {
    Request::new(AthenaSession::url_path(&(), object.namespace.as_deref()))
}

fn name(object: &ObjectMeta) -> &str {
    object.name.as_deref().unwrap_or_default()
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// Has the reply to `request` show the object's metadata alone.
fn for_metadata(request: Built) -> Built {
    request.map(|mut request| {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(METADATA));
        request
    })
}

/// Sends `request`, and returns its decoded reply. Errors say that the operator cannot do `what`.
fn send<T: DeserializeOwned>(
    client: &Client,
    what: &'static str,
    request: Built,
) -> impl Future<Output = Result<T>> {
    answer(what, async { client.request(request.map_err(kube::Error::BuildRequest)?).await })
}

fn answer<T>(
    what: &'static str,
    request: impl Future<Output = kube::Result<T>>,
) -> impl Future<Output = Result<T>> {
    // Boxed: in its caller the request would make every reconcile as large as the largest request is.
    let request = Box::pin(request);
    async move {
        match tokio::time::timeout(TIMEOUT, request).await {
            Ok(reply) => reply.map_err(|error| Error::Api(what, Box::new(error))),
            Err(_) => Err(Error::Timeout(what)),
        }
    }
}

/// Reads `object` as the server has it; nothing, if there is none. Decodes it without kube, which logs a text that it cannot decode.
async fn read<T: DeserializeOwned>(client: &Client, object: &ObjectMeta) -> Result<Option<T>> {
    let request = requests(object).get(name(object), &GetParams::default());
    let text = async { client.request_text(request.map_err(kube::Error::BuildRequest)?).await };
    match answer(READ, text).await {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| Error::Unreadable),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a merge patch to an object that may not be readable: of the status, or one that removes the operator's finalizer. The patch carries the
/// resourceVersion.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn write_raw(client: &Client, object: &ObjectMeta, patch: &Value, status: bool) -> Result<Written> {
    if !status {
        return patch_finalizers(client, object, UNREADABLE, patch, false).await;
    }
    let patch = Patch::Merge(patch);
    let request = requests(object).patch_subresource("status", name(object), &parameters(), &patch);
    let is_undone = |reply: &Reply| reply.metadata.resource_version == object.resource_version;
    written(client, object, UNREADABLE, send(client, UNREADABLE, for_metadata(request)), is_undone).await
}

/// Deletes `object` in the version that was read: one that has changed since, or was created again, stays.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn delete(client: &Client, object: &AthenaSession) -> Result<Written> {
    let meta = &object.metadata;
    let preconditions =
        Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let request = requests(meta).delete(&object.name_any(), &parameters);
    // The object, or a Status without its metadata.
    let reply = send(client, DELETE, request).map_ok(|IgnoredAny| Reply::default());
    written(client, meta, DELETE, reply, |_| false).await
}

/// Looks for `object` at the server and not in the cache.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn find(client: &Client, object: &ObjectMeta) -> Result<Found> {
    let request = requests(object).get_metadata(name(object), &GetParams::default());
    match send(client, READ, request).await {
        Ok(Reply { metadata, .. }) if metadata.uid != object.uid => Ok(Found::Gone),
        Ok(Reply { metadata, .. }) if metadata.resource_version == object.resource_version => Ok(Found::Same),
        Ok(_) => Ok(Found::Changed),
        Err(error) if error.is_not_found() => Ok(Found::Gone),
        Err(error) => Err(error),
    }
}

/// Returns the part of a status that decides whether a session is started, ended or looked for.
fn record(status: &AthenaSessionStatus) -> impl PartialEq + '_ {
    let AthenaSessionStatus { attempt, attempt_time, region, account_id, session_id, .. } = status;
    let AthenaSessionStatus { stop_cause, end_reason, restarts, .. } = status;
    (attempt, attempt_time, region, account_id, session_id, stop_cause, end_reason, restarts)
}

/// Returns the outcome of a write of `object`, by the `reply` to it. `is_undone` says whether a reply shows that the server has not stored what
/// was sent.
async fn written(
    client: &Client,
    object: &ObjectMeta,
    what: &'static str,
    reply: impl Future<Output = Result<Reply>>,
    is_undone: impl Fn(&Reply) -> bool,
) -> Result<Written> {
    match reply.await {
        Ok(reply) if is_undone(&reply) => Err(Error::Undone(what)),
        Ok(Reply { metadata, .. }) => {
            Ok(Written::Yes(metadata.resource_version.and_then(|version| version.parse().ok())))
        }
        Err(error) if error.status().is_some_and(Status::is_conflict) => Ok(Written::Conflict),
        // A proxy may say so too, and the watch brings no deletion of an object that is still there.
        Err(error) if error.is_not_found() => match find(client, object).await? {
            Found::Gone => Ok(Written::Gone),
            Found::Same | Found::Changed => Ok(Written::Conflict),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_ask_for_a_minute_at_most() {
        let asked = |seconds| {
            let status: Status =
                serde_json::from_value(json!({ "code": 429, "details": { "retryAfterSeconds": seconds } }))
                    .expect("a status");
            Error::Api(STATUS, Box::new(kube::Error::Api(Box::new(status)))).retry_after()
        };
        assert_eq!(
            [0, 1, 60, 86_400].map(asked),
            [None, Some(Duration::from_secs(1)), Some(Duration::from_mins(1)), Some(Duration::from_mins(1))]
        );
        assert_eq!(Error::Timeout(STATUS).retry_after(), None);
    }

    #[test]
    fn refused_writes_are_distinguished_from_transient_errors() {
        let error = |what, code: u16| {
            let status: Status =
                serde_json::from_value(json!({ "code": code, "message": "no" })).expect("a status");
            Error::Api(what, Box::new(kube::Error::Api(Box::new(status))))
        };
        for (code, first, second) in [
            (400, true, true),
            (401, true, true),
            (403, true, true),
            (422, true, true),
            (408, false, false),
            (429, false, false),
            (500, false, true),
            (503, false, false),
            (504, false, false),
        ] {
            let refused = |again| error(STATUS, code).refused_write(again) == Some((STATUS, "no"));
            assert_eq!((refused(false), refused(true)), (first, second), "{code}");
        }
        assert_eq!(error(READ, 403).refused_write(true), None, "no write");
        assert_eq!(Error::Timeout(STATUS).refused_write(true), None);
    }
}
