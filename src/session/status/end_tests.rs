//! Ends that Athena's times prove, and ends that they leave in doubt.

use super::*;
use crate::api::StopCause;
use crate::session::reply::Details;
use crate::session::status::seconds;
use crate::session::status::tests::{UID, at};

const TIMEOUT: SignedDuration = SignedDuration::from_mins(20);

fn ready() -> AthenaSessionStatus {
    AthenaSessionStatus { ready_time: Some(seconds(at(1).now)), ..AthenaSessionStatus::default() }
}

fn busy(minutes: i64) -> AthenaSessionStatus {
    AthenaSessionStatus { last_busy_time: Some(seconds(at(minutes).now)), ..ready() }
}

/// Returns a session that was started at 0 and ended after an hour, when it had been idle for that many seconds.
fn ended(idle_for: Option<i64>) -> Session {
    let end = at(60).now;
    Session {
        id: "s".into(),
        state: "TERMINATED".into(),
        state_change_reason: Some("Session was terminated per request".into()),
        start_time: Some(at(0).now),
        end_time: Some(end),
        idle_since_time: idle_for.map(|seconds| end - SignedDuration::from_secs(seconds)),
        details: Some(Box::new(Details { idle_timeout: Some(TIMEOUT), ..Details::default() })),
        ..Session::default()
    }
}

fn without_timeout(session: Session) -> Session {
    Session { details: None, ..session }
}

fn reason(before: &AthenaSessionStatus, session: &Session) -> EndReason {
    end_reason(before, None, session, &LocalState::default(), at(60).now)
}

#[test]
fn what_can_have_been_the_idle_timeout_counts_as_it() {
    let minute = 60;
    for (case, before, session, expected) in [
        ("idle for its timeout", ready(), ended(Some(20 * minute)), EndReason::IdleTimeout),
        ("idle, and slow to end", ready(), ended(Some(21 * minute)), EndReason::IdleTimeout),
        ("ended long after its timeout", ready(), ended(Some(40 * minute)), EndReason::IdleTimeout),
        ("a little early by Athena's clock", ready(), ended(Some(20 * minute - 30)), EndReason::IdleTimeout),
        ("too early by Athena's clock", ready(), ended(Some(20 * minute - 31)), EndReason::StoppedOutside),
        ("idle since an unknown time, started long before", ready(), ended(None), EndReason::IdleTimeout),
        ("seen at work long before", busy(40), ended(None), EndReason::IdleTimeout),
        (
            "seen at work a little too late for the operator's clock",
            busy(42),
            ended(None),
            EndReason::IdleTimeout,
        ),
        ("seen at work too late", busy(43), ended(None), EndReason::StoppedOutside),
        ("the timeout is not known", busy(59), without_timeout(ended(Some(0))), EndReason::IdleTimeout),
        (
            "never seen ready, long after its start",
            AthenaSessionStatus::default(),
            ended(None),
            EndReason::IdleTimeout,
        ),
    ] {
        assert_eq!(reason(&before, &session), expected, "{case}");
    }
}

#[test]
fn an_end_with_another_reason_is_none_of_the_idle_timeout() {
    let told = Session { state_change_reason: Some("The coordinator was lost".into()), ..ended(Some(1200)) };
    assert_eq!(reason(&ready(), &told), EndReason::StoppedOutside);
    let silent = Session { state_change_reason: None, ..ended(Some(1200)) };
    assert_eq!(reason(&ready(), &silent), EndReason::IdleTimeout);
    let failed = Session { state: "FAILED".into(), ..ended(Some(1200)) };
    assert_eq!(reason(&ready(), &failed), EndReason::SessionFailed);
}

#[test]
fn an_end_before_the_session_was_ever_ready_is_a_failure() {
    let soon = Session { end_time: Some(at(18).now), ..ended(None) };
    assert_eq!(reason(&AthenaSessionStatus::default(), &soon), EndReason::SessionFailed);
    let sooner =
        Session { end_time: Some(at(0).now + SignedDuration::from_secs(40)), ..without_timeout(ended(None)) };
    assert_eq!(
        reason(&AthenaSessionStatus::default(), &sooner),
        EndReason::SessionFailed,
        "Athena takes no timeout of less than a minute"
    );
}

#[test]
fn the_tolerance_is_never_more_than_a_quarter_of_the_timeout() {
    let minute = SignedDuration::from_mins(1);
    let short = |idle_for| Session {
        details: Some(Box::new(Details { idle_timeout: Some(minute), ..Details::default() })),
        ..ended(Some(idle_for))
    };
    assert_eq!(reason(&ready(), &short(45)), EndReason::IdleTimeout);
    assert_eq!(reason(&ready(), &short(44)), EndReason::StoppedOutside);
}

#[test]
fn the_operators_own_cause_explains_the_end() {
    for (cause, expected) in [
        (StopCause::Suspended, EndReason::Suspended),
        (StopCause::ActiveDeadline, EndReason::DeadlineExceeded),
        (StopCause::StartupDeadline, EndReason::StartupDeadlineExceeded),
        (StopCause::Degraded, EndReason::SessionDegraded),
    ] {
        let before = AthenaSessionStatus { stop_cause: Some(cause), ..ready() };
        assert_eq!(reason(&before, &ended(Some(1200))), expected);
        assert_eq!(vanished_reason(&before, None, &LocalState::default(), at(60).now), expected);
    }
}

#[test]
fn a_session_that_vanished_counts_by_the_first_look_that_missed_it() {
    let missed = |minutes: i64| {
        let mut state = LocalState::met(at(0).now);
        state.looked(crate::session::reply::Look::NotFound { named: true }, UID, "s", &at(minutes));
        state
    };
    let gone = |before: &AthenaSessionStatus, asked, minutes| {
        vanished_reason(before, asked, &missed(minutes), at(10).now)
    };
    assert_eq!(gone(&busy(40), Some(TIMEOUT), 57), EndReason::SessionVanished);
    assert_eq!(gone(&busy(40), Some(TIMEOUT), 58), EndReason::IdleTimeout);
    assert_eq!(gone(&busy(40), None, 41), EndReason::IdleTimeout, "the timeout is not known");
    let idle = AthenaSessionStatus { idle_since_time: Some(seconds(at(50).now)), ..busy(40) };
    assert_eq!(gone(&idle, Some(TIMEOUT), 60), EndReason::SessionVanished);
    assert_eq!(gone(&ready(), Some(TIMEOUT), 60), EndReason::IdleTimeout, "nothing is known of it");
}

#[test]
fn a_look_that_may_have_been_late_says_nothing_of_when_a_session_vanished() {
    let mut state = LocalState::met(at(0).now);
    state.looked(crate::session::reply::Look::NotFound { named: true }, UID, "s", &at(1));
    let started =
        AthenaSessionStatus { start_time: Some(seconds(at(0).now)), ..AthenaSessionStatus::default() };
    let gone =
        |minutes| vanished_reason(&started, Some(SignedDuration::from_mins(minutes)), &state, at(10).now);
    assert_eq!(gone(5), EndReason::IdleTimeout, "it may have been idle until just before the tenth minute");
    assert_eq!(gone(20), EndReason::SessionVanished);
}

#[test]
fn a_session_that_sweeps_saw_at_work_until_it_was_stopped_did_not_time_out() {
    let mut state = LocalState::met(at(0).now);
    state.missed(Some(at(59).now), true);
    assert_eq!(end_reason(&busy(10), None, &ended(None), &state, at(60).now), EndReason::StoppedOutside);
}
