//! What a status held before, as the schema takes it. Somebody else may have written it, or another schema taken it; the server validates anew only what
//! changes, and would then refuse whatever of it is carried over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::text::bounded;
use crate::api::{EndReason, PreviousAttempt};

/// `time`, if it is one of this age: not all before can be written.
pub(super) fn time(time: Option<Time>) -> Option<Time> {
    time.filter(|time| time.0 >= Timestamp::UNIX_EPOCH)
}

/// `reason`, which a word of somebody else's may have led to.
pub(super) fn reason(reason: EndReason) -> EndReason {
    match reason {
        EndReason::Other(word) => EndReason::from(bounded(&word, 64)),
        known => known,
    }
}

/// DPU time of an integer that every JSON reader keeps exact.
pub(super) fn millis(millis: Option<i64>) -> Option<i64> {
    millis.filter(|millis| (0..1 << 53).contains(millis))
}

/// An attempt that is over. An id that does not fit is left out: cut, it would be another session's.
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
