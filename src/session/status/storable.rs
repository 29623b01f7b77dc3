//! Values of the old status in a form that the schema accepts. Somebody else may have written them, or another schema accepted them; the server
//! validates again only values that change, and would then refuse an invalid one that is carried over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::text::bounded;
use crate::api::{EndReason, PreviousAttempt, SessionState};

/// Returns `time`, if it is not before 1970: not every earlier time can be written.
pub(super) fn time(time: Option<Time>) -> Option<Time> {
    time.filter(|time| time.0 >= Timestamp::UNIX_EPOCH)
}

/// Returns `reason`, cut to the schema's bound: it may come from a word that somebody else wrote.
pub(super) fn reason(reason: EndReason) -> EndReason {
    match reason {
        EndReason::Other(word) => EndReason::from(bounded(&word, 64)),
        state => state,
    }
}

/// Returns `state`, cut to the schema's bound.
pub(super) fn state(state: &SessionState) -> SessionState {
    match state {
        SessionState::Other(word) => SessionState::Other(bounded(word, 64)),
        state => state.clone(),
    }
}

/// Returns a DPU time that is not negative and that every JSON reader keeps exact, and none otherwise.
pub(super) fn millis(millis: Option<i64>) -> Option<i64> {
    millis.filter(|millis| (0..1 << 53).contains(millis))
}

/// Returns an attempt that is over. An id that does not fit is left out: cut, it would be another session's.
pub(super) fn attempt(attempt: PreviousAttempt) -> PreviousAttempt {
    PreviousAttempt {
        attempt: attempt.attempt.max(0),
        session_id: attempt.session_id.filter(|id| id.chars().count() <= 256),
        start_time: time(attempt.start_time),
        end_time: time(attempt.end_time),
        end_reason: attempt.end_reason.map(reason),
        state_change_reason: attempt.state_change_reason.map(|text| bounded(&text, 1024)),
        dpu_execution_in_millis: millis(attempt.dpu_execution_in_millis),
    }
}
