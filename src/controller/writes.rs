//! The writes to the API server, each compare-and-swap by `resourceVersion`.

use std::time::Duration;

use http::HeaderValue;
use http::header::ACCEPT;
use kube::api::{DeleteParams, GetParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
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

impl Error {
    /// Returns the kind of the failure, without the server's text.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Api(_, error) => match error.as_ref() {
                kube::Error::Api(status) if (400..500).contains(&status.code) => {
                    "the API server refuses the request"
                }
                kube::Error::Api(_) => "the API server fails",
                _ => "the API server cannot be reached",
            },
            Self::Timeout(_) => "the API server does not answer in time",
            Self::Undone(_) => "the API server undoes the write",
            Self::Unreadable => "the object cannot be read",
        }
    }

    /// Returns the write that the server refuses, and its message. A failure inside the server counts if it comes `again`: that of a webhook, or of a
    /// storage that is full, lasts; others pass, as missing answers and rates do.
    pub fn refused_write(&self, again: bool) -> Option<(&'static str, &str)> {
        let (what, error) = match self {
            Self::Api(what, error) => (what, error),
            Self::Undone(what) => return Some((what, UNDONE)),
            Self::Timeout(_) | Self::Unreadable => return None,
        };
        let kube::Error::Api(status) = error.as_ref() else { return None };
        let is_refusal = match status.code {
            408 | 429 => false,
            500 => again,
            code => (400..500).contains(&code),
        };
        (is_refusal && *what != READ).then_some((what, status.message.as_str()))
    }

    /// Returns the wait that the server requests before the next try: no longer than a minute, since deadlines do not wait.
    pub fn retry_after(&self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_mins(1);
        let Self::Api(_, error) = self else { return None };
        let kube::Error::Api(status) = error.as_ref() else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(LONGEST))
    }
}

/// Adds the operator's finalizer to `object`, or removes it; those of others stay.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn write_finalizer(
    client: &Client,
    object: &AthenaSession,
    present: bool,
) -> Result<Written, Error> {
    let read;
    let before = if object.spec.trimmed {
        // The finalizers of others may not have been kept.
        read = match read_finalizers(client, object).await? {
            Some(finalizers) => finalizers,
            None => return Ok(Written::Conflict),
        };
        &read
    } else {
        object.finalizers()
    };
    let mut finalizers: Vec<&str> =
        before.iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if present {
        finalizers.push(FINALIZER);
    }
    let patch = json!({ "metadata": { "resourceVersion": object.metadata.resource_version, "finalizers": finalizers } });
    let request = async {
        let patch = requests(&object.metadata).patch_metadata(
            &object.name_any(),
            &parameters(),
            &Patch::Merge(patch),
        );
        send(client, patch.map_err(kube::Error::BuildRequest)?).await
    };
    let what = if present { ADD_FINALIZER } else { REMOVE_FINALIZER };
    let answer = timed(request).await;
    if let Some(Ok(written)) = &answer
        && written.metadata.finalizers.iter().any(|name| name == FINALIZER) != present
    {
        // If nothing has changed, the watch brings nothing.
        return Err(Error::Undone(what));
    }
    confirmed(client, &object.metadata, outcome(what, answer)).await
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
) -> Result<Written, Error> {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = &object.metadata;
    let body = json!({
        "apiVersion": AthenaSession::api_version(&()),
        "kind": AthenaSession::kind(&()),
        "metadata": { "name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version },
        "status": status,
    });
    let request = async {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let body = serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?;
        let replacement =
            requests(&object.metadata).replace_subresource("status", &object.name_any(), &parameters, body);
        let replacement = replacement.map_err(kube::Error::BuildRequest)?;
        if object.status.as_ref().is_some_and(|before| record(before) == record(status)) {
            return Ok((send(client, replacement).await?, None));
        }
        let Stored { metadata, status } = client.request(replacement).await?;
        Ok((Reply { metadata }, Some(status)))
    };
    let answer = timed(request).await;
    let is_undone = |(reply, stored): &(Reply, Option<Value>)| {
        let is_other = |stored: &Value| {
            !AthenaSessionStatus::deserialize(stored).is_ok_and(|stored| record(&stored) == record(status))
        };
        reply.metadata.resource_version == *resource_version || stored.as_ref().is_some_and(is_other)
    };
    if matches!(&answer, Some(Ok(answer)) if is_undone(answer)) {
        return Err(Error::Undone(STATUS));
    }
    let reply = answer.map(|answer| answer.map(|(reply, _)| reply));
    confirmed(client, &object.metadata, outcome(STATUS, reply)).await
}

/// Returns `object` as the server has it, though it may not be readable; nothing, if it is gone.
///
/// # Errors
/// When the server refuses or does not answer, or the reply is not JSON.
pub async fn read_raw(client: &Client, object: &ObjectMeta) -> Result<Option<Value>, Error> {
    let Some(text) = read_text(client, object).await? else { return Ok(None) };
    let found: Value = serde_json::from_str(&text).map_err(|_| Error::Unreadable)?;
    let same = found.pointer("/metadata/uid").and_then(Value::as_str) == object.uid.as_deref();
    Ok(Some(found).filter(|_| same))
}

/// Returns the whole spec of `object`, as the server has it; nothing, if the object is gone.
///
/// # Errors
/// When the server refuses or does not answer, or the spec can no longer be read.
pub async fn read_spec(client: &Client, object: &AthenaSession) -> Result<Option<AthenaSessionSpec>, Error> {
    #[derive(Deserialize)]
    struct Found {
        metadata: Identity,
        spec: AthenaSessionSpec,
    }
    let Some(text) = read_text(client, &object.metadata).await? else { return Ok(None) };
    let found: Found = serde_json::from_str(&text).map_err(|_| Error::Unreadable)?;
    Ok(Some(found.spec).filter(|_| found.metadata.uid == object.metadata.uid))
}

/// Returns all finalizers of `object`, if the server has it in the version that was read before.
async fn read_finalizers(client: &Client, object: &AthenaSession) -> Result<Option<Vec<String>>, Error> {
    let Some(text) = read_text(client, &object.metadata).await? else { return Ok(None) };
    let Reply { metadata } = serde_json::from_str(&text).map_err(|_| Error::Unreadable)?;
    let same =
        metadata.uid == object.metadata.uid && metadata.resource_version == object.metadata.resource_version;
    Ok(Some(metadata.finalizers).filter(|_| same))
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

/// An object in a reply, read for its metadata only.
#[derive(Default, Deserialize)]
struct Reply {
    metadata: Identity,
}

/// An object in the reply to a write of its status.
#[derive(Deserialize)]
struct Stored {
    metadata: Identity,
    #[serde(default)]
    status: Value,
}

/// Sends `request` and reads the metadata of the object in the reply.
async fn send(client: &Client, mut request: http::Request<Vec<u8>>) -> kube::Result<Reply> {
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(METADATA));
    client.request(request).await
}

/// Builds requests about AthenaSessions in the namespace of `object`.
fn requests(object: &ObjectMeta) -> Request {
    Request::new(AthenaSession::url_path(&(), object.namespace.as_deref()))
}

/// Returns the text of `object` as the server has it; nothing, if there is none. Callers decode it without kube, which logs a text that it cannot
/// decode.
async fn read_text(client: &Client, object: &ObjectMeta) -> Result<Option<String>, Error> {
    let request = async {
        let request = requests(object).get(object.name.as_deref().unwrap_or_default(), &GetParams::default());
        client.request_text(request.map_err(kube::Error::BuildRequest)?).await
    };
    match timed(request).await {
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(None),
        Some(Err(error)) => Err(Error::Api(READ, Box::new(error))),
        None => Err(Error::Timeout(READ)),
    }
}

/// Writes a merge patch to an object that may not be readable: of the status, or one that removes the operator's finalizer. The patch carries the
/// resourceVersion.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn write_raw(
    client: &Client,
    object: &ObjectMeta,
    patch: &Value,
    status: bool,
) -> Result<Written, Error> {
    let name = object.name.as_deref().unwrap_or_default();
    let request = async {
        let (requests, patch) = (requests(object), Patch::Merge(patch));
        let patch = if status {
            requests.patch_subresource("status", name, &parameters(), &patch)
        } else {
            requests.patch(name, &parameters(), &patch)
        };
        send(client, patch.map_err(kube::Error::BuildRequest)?).await
    };
    let answer = timed(request).await;
    // The write that ends an object returns its last version: there only the finalizers show the effect.
    let is_undone = |Reply { metadata }: &Reply| {
        if status {
            metadata.resource_version == object.resource_version
        } else {
            metadata.finalizers.iter().any(|name| name == FINALIZER)
        }
    };
    if matches!(&answer, Some(Ok(reply)) if is_undone(reply)) {
        return Err(Error::Undone(UNREADABLE));
    }
    confirmed(client, object, outcome(UNREADABLE, answer)).await
}

/// Deletes `object` in the version that was read: one that has changed since, or was created again, stays.
///
/// # Errors
/// When the outcome is not known or the server refuses it.
pub async fn delete(client: &Client, object: &AthenaSession) -> Result<Written, Error> {
    let meta = &object.metadata;
    let preconditions =
        Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let request = async {
        let deletion =
            requests(meta).delete(&object.name_any(), &parameters).map_err(kube::Error::BuildRequest)?;
        // The object, or a Status without its metadata.
        client.request::<IgnoredAny>(deletion).await.map(|_| Reply::default())
    };
    confirmed(client, meta, outcome(DELETE, timed(request).await)).await
}

/// Looks for `object` at the server and not in the cache.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn find(client: &Client, object: &ObjectMeta) -> Result<Found, Error> {
    let request = async {
        let get =
            requests(object).get_metadata(object.name.as_deref().unwrap_or_default(), &GetParams::default());
        send(client, get.map_err(kube::Error::BuildRequest)?).await
    };
    match timed(request).await {
        Some(Ok(Reply { metadata })) if metadata.uid != object.uid => Ok(Found::Gone),
        Some(Ok(Reply { metadata })) if metadata.resource_version == object.resource_version => {
            Ok(Found::Same)
        }
        Some(Ok(_)) => Ok(Found::Changed),
        Some(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(Found::Gone),
        Some(Err(error)) => Err(Error::Api(READ, Box::new(error))),
        None => Err(Error::Timeout(READ)),
    }
}

/// Asks the server again where the reply to a write says that `object` is gone: a proxy may say so too, and the watch brings no deletion of an object
/// that is still there.
async fn confirmed(
    client: &Client,
    object: &ObjectMeta,
    written: Result<Written, Error>,
) -> Result<Written, Error> {
    match written? {
        Written::Gone if find(client, object).await? != Found::Gone => Ok(Written::Conflict),
        written => Ok(written),
    }
}

/// Returns the part of a status that decides whether a session is started, ended or looked for.
fn record(status: &AthenaSessionStatus) -> impl PartialEq + '_ {
    let AthenaSessionStatus { attempt, attempt_time, region, account_id, session_id, .. } = status;
    let AthenaSessionStatus { stop_cause, end_reason, restarts, .. } = status;
    (attempt, attempt_time, region, account_id, session_id, stop_cause, end_reason, restarts)
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn timed<T>(request: impl Future<Output = kube::Result<T>>) -> impl Future<Output = Option<kube::Result<T>>> {
    // Boxed: in its caller the request would make every reconcile as large as the largest request is.
    let request = Box::pin(request);
    async { tokio::time::timeout(TIMEOUT, request).await.ok() }
}

fn outcome(what: &'static str, reply: Option<kube::Result<Reply>>) -> Result<Written, Error> {
    match reply {
        Some(Ok(Reply { metadata })) => {
            Ok(Written::Yes(metadata.resource_version.and_then(|version| version.parse().ok())))
        }
        Some(Err(kube::Error::Api(status))) if status.is_conflict() => Ok(Written::Conflict),
        Some(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(Written::Gone),
        Some(Err(error)) => Err(Error::Api(what, Box::new(error))),
        None => Err(Error::Timeout(what)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

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
    fn what_the_server_refuses_is_told_from_what_passes() {
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
