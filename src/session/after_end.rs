//! The attempt or deletion that follows an attempt that is over, and its time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSession, AthenaSessionStatus, EndReason, RestartPolicy, StopCause};
use crate::session::environment::Environment;

/// The attempt or deletion that follows an attempt that is over, on an object that is neither being deleted nor suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEnd {
    /// Another attempt.
    Attempt {
        /// Number of the attempt: the same again where the previous one never became a session.
        number: i32,
        /// Time at which the attempt is due.
        time: Timestamp,
        /// Number of failures in a row that it follows.
        restarts: i32,
        /// True if the deadlines start again.
        resumed: bool,
    },
    /// Nothing: the object has finished and deletes itself.
    Deletion {
        /// Time of the deletion.
        time: Timestamp,
    },
    /// Nothing: the object has finished.
    None,
}

/// Returns the attempt or deletion that follows the attempt of `object`, which is over.
pub fn after_end(object: &AthenaSession, env: &Environment) -> AfterEnd {
    /// Minimum run, with work, after which the count of restarts begins again: such a run is no failure of the start. Without the condition of work,
    /// an unused session would be restarted for ever.
    const LONG_RUN: SignedDuration = SignedDuration::from_mins(10);
    let status = object.status.clone().unwrap_or_default();
    let spec = &object.spec;
    let number = status.attempt.unwrap_or(0);
    let Some(reason) = &status.end_reason else { return AfterEnd::None };
    let ended = status.end_time.as_ref().map_or(env.now, |time| time.0);
    let another = |time, restarts, resumed| {
        let number = if *reason == EndReason::Suspended && status.session_id.is_none() {
            number
        } else {
            number.saturating_add(1).max(0)
        };
        AfterEnd::Attempt { number, time, restarts, resumed }
    };
    let restarts = status.restarts.unwrap_or(0);
    if status.stop_cause == Some(StopCause::Suspended) || *reason == EndReason::Suspended {
        return another(ended, 0, true);
    }
    if *reason == EndReason::SessionLost {
        return another(ended, restarts, false);
    }
    let ran_long = status.start_time.as_ref().is_some_and(|start| ended.duration_since(start.0) >= LONG_RUN);
    let restarts = if ran_long && status.last_busy_time.is_some() { 0 } else { restarts };
    if reason.is_failure()
        && spec.restart_policy == RestartPolicy::OnFailure
        && restarts < spec.max_restarts()
    {
        let time = after(ended, restart_backoff(restarts));
        if active_deadline(object).is_none_or(|deadline| time < deadline) {
            return another(time, restarts + 1, false);
        }
    }
    match spec.ttl_after_finished() {
        Some(ttl) => AfterEnd::Deletion { time: after(ended, ttl) },
        None => AfterEnd::None,
    }
}

/// Returns the wait before the restart that follows `restarts` others: 10 s, doubling to 5 min.
pub fn restart_backoff(restarts: i32) -> SignedDuration {
    SignedDuration::from_secs(10_i64 << restarts.clamp(0, 5)).min(SignedDuration::from_mins(5))
}

/// Returns the time at which the active deadline of `object` is over, once its first session was started.
pub fn active_deadline(object: &AthenaSession) -> Option<Timestamp> {
    let first = first_start_time(object.status.as_ref()?)?.0;
    Some(after(first, object.spec.active_deadline()?))
}

/// Returns the start of the first session since creation or resume. The attempt's time replaces a start time that Athena has not returned, since a
/// session without a date is billed nevertheless.
pub fn first_start_time(status: &AthenaSessionStatus) -> Option<&Time> {
    status.first_start_time.as_ref().or_else(|| status.session_id.as_ref().and(status.attempt_time.as_ref()))
}

/// Returns the time `wait` after `time`, which may be any, since somebody may have written it by hand.
pub(crate) fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
