//! The reason for a session's end. Athena gives the same text for an idle timeout and for a stop by hand: only its times can distinguish them, and
//! not always. A new session costs money, so an end that can have been the idle timeout counts as it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSessionSpec, AthenaSessionStatus, EndReason, SessionState};
use crate::session::lifecycle::end_of;
use crate::session::local_state::LocalState;
use crate::session::reply::Session;

/// Athena's reason for a session that somebody has stopped, or that was idle for its timeout.
const TERMINATED_PER_REQUEST: &str = "session was terminated per request";

/// Maximum error of the difference between two of Athena's own times.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// Maximum error of the difference where one of the times is the operator's.
const OWN_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);

/// Minimum idle timeout that Athena accepts.
const SHORTEST_TIMEOUT: SignedDuration = SignedDuration::from_mins(1);

/// A time, and the clock that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    time: Timestamp,
    is_own: bool,
}

/// Returns the reason for the end of `session`, which Athena shows as ended. `before` is the status so far, and `asked` the idle timeout in the spec.
pub(super) fn end_reason(
    before: &AthenaSessionStatus,
    asked: Option<SignedDuration>,
    session: &Session,
    state: &LocalState,
    now: Timestamp,
) -> EndReason {
    if let Some(cause) = &before.stop_cause {
        return end_of(cause);
    }
    if session.state == SessionState::Failed {
        return EndReason::SessionFailed;
    }
    let end = Moment { time: session.end_time.unwrap_or(now), is_own: session.end_time.is_none() };
    let was_ready =
        before.ready_time.is_some() || session.idle_since_time.is_some() || before.idle_since_time.is_some();
    let early = if was_ready { EndReason::StoppedOutside } else { EndReason::SessionFailed };
    if !leaves_open(session.state_change_reason.as_deref()) {
        return early;
    }
    let timeout =
        session.details.as_ref().and_then(|details| details.idle_timeout).or(state.idle_timeout()).or(asked);
    // A session that was never seen to be ready may have been ready, but not within the shortest timeout.
    let timeout = timeout.or(Some(SHORTEST_TIMEOUT).filter(|_| !was_ready));
    let shown = [session.start_time, session.idle_since_time]
        .map(|time| time.map(|time| Moment { time, is_own: false }));
    let last = shown.into_iter().flatten().chain(last_at_work(before, state)).max();
    if can_be_idle_timeout(end, last, timeout) { EndReason::IdleTimeout } else { early }
}

/// Returns whether Athena's reason for an end is the one that it gives both for a stop and for an idle timeout, or none.
pub(super) fn leaves_open(reason: Option<&str>) -> bool {
    reason.is_none_or(|text| text.trim().to_lowercase().starts_with(TERMINATED_PER_REQUEST))
}

/// Returns the reason for the end of a session that Athena no longer knows. `before` is the status so far, and `asked` the idle timeout in the spec.
/// Looks before `since` may have missed the session because Athena's reads lag behind its start: they prove nothing about its end.
pub(super) fn vanished_reason(
    before: &AthenaSessionStatus,
    asked: Option<SignedDuration>,
    state: &LocalState,
    since: Timestamp,
) -> EndReason {
    if let Some(cause) = &before.stop_cause {
        // The recorded cause explains the end, however the operator found the end.
        return end_of(cause);
    }
    let end =
        Moment { time: state.missed.as_ref().map_or(since, |missed| missed.first.max(since)), is_own: true };
    let was_ready = before.ready_time.is_some() || before.idle_since_time.is_some();
    let timeout = state.idle_timeout().or(asked).or(Some(SHORTEST_TIMEOUT).filter(|_| !was_ready));
    if can_be_idle_timeout(end, last_at_work(before, state).max(), timeout) {
        EndReason::IdleTimeout
    } else {
        EndReason::SessionVanished
    }
}

/// Returns the latest time at which the session certainly was not idle, or had just become idle, according to `status`.
pub(super) fn last_time_at_work(status: &AthenaSessionStatus) -> Option<Timestamp> {
    last_at_work(status, &LocalState::default()).max().map(|moment| moment.time)
}

fn last_at_work(status: &AthenaSessionStatus, state: &LocalState) -> impl Iterator<Item = Moment> {
    let moment = |time: Option<&Time>, is_own| time.map(|time| Moment { time: time.0, is_own });
    [
        moment(status.start_time.as_ref(), false),
        moment(status.idle_since_time.as_ref(), false),
        moment(status.last_busy_time.as_ref(), true),
        state.busy_time.map(|time| Moment { time, is_own: true }),
    ]
    .into_iter()
    .flatten()
}

/// Returns the idle timeout in `spec`.
pub(super) fn asked_timeout(spec: &AthenaSessionSpec) -> Option<SignedDuration> {
    spec.session_idle_timeout_in_minutes.map(|minutes| SignedDuration::from_mins(minutes.into()))
}

/// Returns whether a session that ended at `end` and was at work until `last`, or later, can have been idle for `timeout`.
fn can_be_idle_timeout(end: Moment, last: Option<Moment>, timeout: Option<SignedDuration>) -> bool {
    let (Some(last), Some(timeout)) = (last, timeout) else { return true };
    let tolerance = if end.is_own || last.is_own { OWN_TOLERANCE } else { TOLERANCE };
    let earliest = timeout.saturating_sub(tolerance.min(timeout / 4));
    end.time.duration_since(last.time) >= earliest
}

#[cfg(test)]
#[path = "end_tests.rs"]
mod tests;
