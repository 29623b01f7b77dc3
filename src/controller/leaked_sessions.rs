//! Sessions that were started and that no object owns.

use tracing::{info, warn};

use crate::api::SessionState;
use crate::athena::Athena;
use crate::athena::rate_limiter::Priority;
use crate::runtime::clock::BootTime;
use crate::session::backoff::backoff;
use crate::session::environment::Limits;
use crate::session::local_state::NOT_FOUND_OFTEN_ENOUGH;
use crate::session::reply::{ErrorClass, Look};

/// Ends a session that no object owns: calls TerminateSession until a look shows that the session ends, or that Athena has not found it for so long
/// that it cannot just be late.
pub(crate) async fn end_leaked_session(athena: Athena, id: String, limits: Limits) {
    let begun = BootTime::now();
    let mut missed = 0;
    for failures in 0.. {
        if let Err(refusal) =
            athena.terminate_session(&id, athena.limiter().acquire(Priority::Terminate).await).await
        {
            // The text could repeat properties of the deleted object.
            warn!(
                session_id = id,
                reason = refusal.reason,
                request_id = refusal.request_id,
                "cannot end a session without an object"
            );
        }
        tokio::time::sleep(backoff(ErrorClass::Throttled, failures, fastrand::f64()).unsigned_abs()).await;
        match athena.look(&id, false, athena.limiter().acquire(Priority::Terminate).await).await {
            Look::Seen(session) if session.ended() || session.state == SessionState::Terminating => {
                return info!(
                    session_id = id,
                    state = session.state.as_str(),
                    "a session without an object ends"
                );
            }
            Look::NotFound { .. }
                if BootTime::now().duration_since(begun) >= limits.uncertainty.unsigned_abs() =>
            {
                missed += 1;
                if missed >= NOT_FOUND_OFTEN_ENOUGH {
                    return warn!(session_id = id, "Athena does not know a session without an object");
                }
            }
            Look::Seen(_) => missed = 0,
            Look::NotFound { .. } | Look::Failed(_) => {}
        }
    }
}
