//! Changes that a status shows for the first time. They are counted when it has been written, and so neither twice nor again after a restart of the
//! operator.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::{AthenaSession, AthenaSessionStatus, DeletionPolicy, EndReason};
use crate::session::attempt::Attempt;
use crate::session::local_state::LocalState;
use crate::session::ownership::attempt;
use crate::session::reply::Look;
use crate::session::status::condition;

/// Changes to count.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Time that the first session since creation or resume took to be ready.
    pub start: Option<SignedDuration>,
    /// End reason of the attempt before a new one.
    pub restart: Option<&'static str>,
    /// End reason of an attempt that has ended.
    pub end: Option<&'static str>,
    /// DPU time of that attempt, in milliseconds.
    pub dpu_millis: u64,
}

/// End reason of an attempt whose object is deleted, which no status has.
pub const DELETED: &str = "Deleted";
/// Label value for words of another version.
pub const OTHER: &str = "Other";

/// Returns the changes in the status of `object` when it has become `after`. The API server's clock is `ahead` of Athena's.
pub fn changes(object: &AthenaSession, after: &AthenaSessionStatus, ahead: SignedDuration) -> Changes {
    let empty = AthenaSessionStatus::default();
    let before = object.status.as_ref().unwrap_or(&empty);
    let end = after.end_reason.as_ref().filter(|_| before.end_reason.is_none());
    Changes {
        start: start_duration(object, before, after, ahead),
        restart: before.end_reason.as_ref().filter(|_| after.attempt != before.attempt).map(word),
        end: end.map(word),
        dpu_millis: end.and(after.dpu_execution_in_millis).map_or(0, whole),
    }
}

/// Returns the changes when `object` is released after `look`: the end of its session, unless its status already has it.
pub fn changes_of_release(object: &AthenaSession, state: &LocalState, look: Option<&Look>) -> Changes {
    let live = matches!(attempt(object, state), Attempt::Live(..));
    let millis = match look.filter(|_| live) {
        Some(Look::Seen(session)) if session.ended() => {
            session.details.as_ref().and_then(|details| details.dpu_execution_in_millis)
        }
        Some(Look::NotFound { .. }) if object.spec.deletion_policy != DeletionPolicy::Retain => None,
        _ => return Changes::default(),
    };
    Changes { end: Some(DELETED), dpu_millis: millis.map_or(0, whole), ..Changes::default() }
}

fn whole(millis: i64) -> u64 {
    u64::try_from(millis).unwrap_or(0)
}

/// Returns the reason as a label value.
fn word(reason: &EndReason) -> &'static str {
    EndReason::WORDS.iter().find(|word| **word == reason.as_str()).copied().unwrap_or(OTHER)
}

/// Returns the time from the creation of `object`, or its newest resume, until its first session since then was ready.
fn start_duration(
    object: &AthenaSession,
    before: &AthenaSessionStatus,
    after: &AthenaSessionStatus,
    ahead: SignedDuration,
) -> Option<SignedDuration> {
    let ready = after.ready_time.as_ref().filter(|_| before.ready_time.is_none())?.0;
    if after.first_start_time.as_ref() != after.start_time.as_ref().or(after.attempt_time.as_ref()) {
        return None;
    }
    Some(ready.duration_since(wait_begun(object, before, ahead)?).max(SignedDuration::ZERO))
}

/// Returns the time since which `object` has waited for a session, on Athena's clock. A spec that was never changed was never suspended or resumed;
/// else Ready has been Unknown since then.
fn wait_begun(
    object: &AthenaSession,
    before: &AthenaSessionStatus,
    ahead: SignedDuration,
) -> Option<Timestamp> {
    if object.metadata.generation == Some(1) {
        return object.creation_timestamp().and_then(|time| time.0.checked_sub(ahead).ok());
    }
    let waiting = condition(before, "Ready").filter(|ready| ready.status == "Unknown");
    waiting.map(|ready| ready.last_transition_time.0).or(before.attempt_time.as_ref().map(|time| time.0))
}
