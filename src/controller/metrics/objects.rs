//! Numbers and ages of the objects at one moment, by their state.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSession, FINALIZER, SessionState};
use crate::session::invalid_object::REASON;
use crate::session::status::condition;

/// Object, or the metadata of one that this version cannot read.
pub type Object<'a> = Result<&'a AthenaSession, &'a ObjectMeta>;

/// Numbers and ages of objects.
#[derive(Debug, Default, PartialEq)]
pub struct Objects<'a> {
    /// Number of objects by namespace, status of Ready and its reason.
    pub counts: BTreeMap<(&'a str, &'static str, &'a str), i64>,
    /// Number of their sessions that have not ended, by work group and Athena's state.
    pub sessions: BTreeMap<(&'a str, &'a str), i64>,
    /// Age of the oldest session that has not ended, by namespace and work group.
    pub session_ages: BTreeMap<(&'a str, &'a str), SignedDuration>,
    /// Time since the oldest deletion that waits for the operator, by namespace.
    pub deletion_ages: BTreeMap<&'a str, SignedDuration>,
    /// All work groups.
    pub work_groups: BTreeSet<&'a str>,
    /// Ids of all sessions.
    pub session_ids: BTreeSet<&'a str>,
}

/// Label value for what a status does not have.
pub const UNKNOWN_LABEL: &str = "Unknown";

/// Returns the numbers and ages of `objects` at `now` of Athena's clock, which is `api_server_now` of the API server's.
pub fn tally<'a>(
    objects: impl IntoIterator<Item = Object<'a>>,
    now: Timestamp,
    api_server_now: Timestamp,
) -> Objects<'a> {
    let mut all = Objects::default();
    for object in objects {
        let meta = object.map_or_else(|meta| meta, |object| &object.metadata);
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let status = object.ok().and_then(|object| object.status.as_ref());
        let (ready, reason) = match status.and_then(|status| condition(status, "Ready")) {
            _ if object.is_err() => ("False", REASON),
            Some(ready) => (verdict(&ready.status), ready.reason.as_str()),
            None => (UNKNOWN_LABEL, UNKNOWN_LABEL),
        };
        *all.counts.entry((namespace, ready, reason)).or_default() += 1;
        let has_finalizer = meta.finalizers.iter().flatten().any(|name| name == FINALIZER);
        if let Some(deleted) = meta.deletion_timestamp.as_ref().filter(|_| has_finalizer) {
            oldest(all.deletion_ages.entry(namespace).or_default(), deleted.0, api_server_now);
        }
        let Ok(object) = object else { continue };
        let work_group = object.spec.work_group.as_str();
        all.work_groups.insert(work_group);
        let Some((id, status)) = status.and_then(|status| Some((status.session_id.as_deref()?, status)))
        else {
            continue;
        };
        all.session_ids.insert(id);
        if status.end_reason.is_some() {
            continue;
        }
        *all.sessions
            .entry((work_group, status.state.as_ref().map_or(UNKNOWN_LABEL, SessionState::as_str)))
            .or_default() += 1;
        if let Some(begun) = status.start_time.as_ref().or(status.attempt_time.as_ref()) {
            oldest(all.session_ages.entry((namespace, work_group)).or_default(), begun.0, now);
        }
    }
    all
}

/// Returns the status of a condition as a label value, whatever somebody wrote there.
fn verdict(status: &str) -> &'static str {
    match status {
        "True" => "True",
        "False" => "False",
        _ => UNKNOWN_LABEL,
    }
}

fn oldest(age: &mut SignedDuration, begun: Timestamp, now: Timestamp) {
    *age = (*age).max(now.duration_since(begun));
}
