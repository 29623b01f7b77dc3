//! Panics that the fuzzer must find, each behind conditions that follow each other, to show that a target reaches states that lie deep:
//! `.ci/fuzz --planted`. The variable `PLANTED` names the target; without it nothing panics.

use std::sync::LazyLock;

use athena_operator::api::{AthenaSessionStatus, SessionState};
use athena_operator::commands::args::Run;
use athena_operator::session::reply::Look;
use std::time::Duration;

static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PLANTED").ok());

/// A session is being ended that was ready before, after three restarts, and nobody asked for its end.
pub(crate) fn object(status: &AthenaSessionStatus) {
    if status.state == Some(SessionState::Terminating) && status.stop_cause.is_none() {
        passed(1);
        if status.ready_time.is_some() {
            passed(2);
            panic_if("object", status.restarts == Some(3));
        }
    }
}

/// GetSession returns, of a session that has ended, more DPU time than an integer of 32 bits holds.
pub(crate) fn reply(look: &Look) {
    if let Look::Seen(session) = look
        && session.end_time.is_some()
    {
        passed(1);
        let used = session.details.as_ref().and_then(|details| details.dpu_execution_in_millis);
        panic_if("reply", used > Some(1 << 40));
    }
}

/// Three flags that are wrong only together.
pub(crate) fn flags(run: &Run) {
    if run.controller.uncertainty > Duration::from_hours(1) {
        passed(1);
        if run.controller.namespaces.len() > 1 {
            passed(2);
            panic_if("flags", run.controller.concurrency < 8);
        }
    }
}

/// # Panics
/// If it `is_reached` and this target is to panic.
fn panic_if(target: &str, is_reached: bool) {
    assert!(!is_reached || CHOSEN.as_deref() != Some(target), "planted: {target}");
}

/// Is called on the way. Without a call the compiler makes one branch of conditions that follow each other, and the fuzzer sees none of the steps.
#[inline(never)]
fn passed(place: u32) {
    std::hint::black_box(place);
}
