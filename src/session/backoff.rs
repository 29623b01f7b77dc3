//! Waits between tries.

use k8s_openapi::jiff::SignedDuration;

use crate::session::reply::ErrorClass;

/// Returns the wait after the refusal number `count` (from 0) in a row; `jitter` is between 0 and 1.
pub fn backoff(class: ErrorClass, count: u32, jitter: f64) -> SignedDuration {
    let (first, most) = match class {
        ErrorClass::Unanswered | ErrorClass::NotSent | ErrorClass::Throttled | ErrorClass::NotFound => {
            (1.0, 30.0)
        }
        ErrorClass::Capacity => (5.0, 60.0),
        ErrorClass::MayHeal => (5.0, 300.0),
        ErrorClass::Rejected | ErrorClass::TokenConflict => (30.0, 300.0),
    };
    let base: f64 = first * f64::from(1_u32 << count.min(16));
    SignedDuration::from_secs_f64(base.min(most) * (0.5 + 0.5 * jitter))
}
