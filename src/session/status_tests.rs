//! The condition matrix, and the reasons for ends of sessions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

pub(crate) use super::situation::tests::rows;
use super::*;
use crate::session::environment::{Identity, Limits};
use crate::session::lifecycle::next_step;
use crate::session::refused_write;
use crate::session::reply::{Details, Look};
use crate::session::step::Seen;

pub(crate) const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";

pub(crate) fn at(minutes: i64) -> Environment {
    let begun: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    Environment {
        now: begun + SignedDuration::from_mins(minutes),
        is_time_certain: true,
        api_server_ahead: Some(SignedDuration::ZERO),
        identity: Identity { region: "eu-west-1".into(), account: None },
        limits: Limits::default(),
        clock_origin: Timestamp::UNIX_EPOCH,
        jitter: 0.0,
    }
}

/// Returns the status that kstatus computes for an object; `cli-utils: pkg/kstatus/status/{generic,status}.go`.
fn kstatus(object: &AthenaSession) -> &'static str {
    let Some(status) = &object.status else { return "Current" };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if object.is_deleting() {
        return "Terminating";
    }
    if status.observed_generation.is_some() && status.observed_generation != object.metadata.generation {
        return "InProgress";
    }
    for condition in conditions {
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Reconciling", "True") => return "InProgress",
            ("Stalled", "True") => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.status.as_str()) {
        Some("True") | None => "Current",
        Some(_) => "InProgress",
    }
}

pub(crate) fn object(status: Value) -> AthenaSession {
    let mut object = json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
        "metadata": { "name": "etl", "namespace": "team", "uid": UID, "generation": 3, "finalizers": [crate::api::FINALIZER] },
        "spec": { "workGroup": "etl" },
    });
    object["status"] = status;
    serde_json::from_value(object).expect("an AthenaSession")
}

#[allow(clippy::needless_pass_by_value, reason = "rows read better")]
pub(crate) fn recorded_and(further: Value) -> AthenaSession {
    let mut status = json!({ "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1" });
    status.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
    object(status)
}

pub(crate) fn live(state: &str) -> AthenaSession {
    recorded_and(json!({ "sessionId": "s", "state": state }))
}

pub(crate) fn over(reason: &str) -> AthenaSession {
    recorded_and(json!({ "sessionId": "s", "endTime": "2026-01-01T00:00:00Z", "endReason": reason }))
}

pub(crate) fn refused(call: Call, class: ErrorClass, minutes: i64) -> LocalState {
    let mut state = LocalState::met(at(0).now);
    state.finalizer_added = true;
    state.recorded(0, at(0).now, false);
    let reason = match class {
        ErrorClass::Throttled => "Throttled",
        ErrorClass::Capacity => "QuotaExceeded",
        ErrorClass::TokenConflict => "TokenMismatch",
        ErrorClass::Rejected => "InvalidRequest",
        _ => "AccessDenied",
    };
    let refusal = Refusal { class, reason, message: "no".into(), request_id: None };
    let at = at(minutes);
    match call {
        Call::Start | Call::Search => {
            let doubted = state.starting();
            state.start_refused(refusal, doubted, &at);
        }
        Call::WorkGroup => state.work_group_read(Err(&refusal), &at),
        Call::Terminate => state.terminate_refused(refusal, &at),
        Call::Look => {
            state.looked(Look::Failed(refusal), UID, "s", &at);
        }
    }
    state
}

pub(crate) fn with(mut object: AthenaSession, change: impl FnOnce(&mut AthenaSession)) -> AthenaSession {
    change(&mut object);
    object
}

#[test]
fn while_a_restart_waits_message_and_event_begin_with_how_the_attempt_ended() {
    for reason in
        ["StoppedOutside", "SessionFailed", "SessionDegraded", "StartupDeadlineExceeded", "SessionVanished"]
    {
        let restarting =
            with(over(reason), |object| object.spec.restart_policy = crate::api::RestartPolicy::OnFailure);
        let status =
            status_after(&restarting, &LocalState::met(at(0).now), &Step::Wait, &Outcome::Nothing, &at(0));
        let message = &condition(&status, "Ready").expect("Ready is always there").message;
        assert!(
            message.starts_with(&format!("{reason}: ")) && message.contains("; restart 1 of 5 follows at "),
            "{message}"
        );
        let event = crate::session::events::event(
            None,
            &status,
            &Step::Wait,
            &Outcome::Nothing,
            &LocalState::default(),
        )
        .expect("an event is due");
        assert_eq!((&*event.reason, &*event.note), ("RestartingAfterFailure", message.as_str()));
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "each row is a case")]
fn every_row_of_the_matrix_is_reported_and_read_right_by_kstatus() {
    let met = || LocalState::met(at(0).now);
    let deleted = |object| {
        with(object, |object: &mut AthenaSession| object.metadata.deletion_timestamp = Some(Time(at(0).now)))
    };
    let suspended = |object| with(object, |object: &mut AthenaSession| object.spec.suspend = true);
    let stopping = |cause: StopCause| {
        with(live("IDLE"), |object| object.status.get_or_insert_default().stop_cause = Some(cause))
    };
    let restarting = with(over("SessionFailed"), |object| {
        object.spec.restart_policy = crate::api::RestartPolicy::OnFailure;
    });
    let moved =
        with(live("IDLE"), |object| object.status.get_or_insert_default().region = Some("us-east-1".into()));
    // Throttled a minute after another refusal of the same call.
    let throttled_after = |class| {
        let mut state = refused(Call::Terminate, class, 0);
        state.terminate_refused(
            Refusal {
                class: ErrorClass::Throttled,
                reason: "Throttled",
                message: "no".into(),
                request_id: None,
            },
            &at(1),
        );
        state
    };
    let mut searched = refused(Call::Start, ErrorClass::TokenConflict, 0);
    searched.searched(&crate::session::reply::Search::Absent { begun: at(0).now }, &at(0));
    let unwritable = |what| {
        let mut state = met();
        state.write_refused(what, "a policy says no", None, &at(0));
        state
    };
    let rows = vec![
        (1, recorded_and(json!({})), met(), 0, "Unknown", "Starting", "False", "InProgress"),
        (2, live("CREATING"), met(), 0, "Unknown", "SessionCreating", "False", "InProgress"),
        (3, live("CREATED"), met(), 0, "Unknown", "SessionCreated", "False", "InProgress"),
        (4, live("IDLE"), met(), 0, "True", "SessionIdle", "True", "Current"),
        (5, live("BUSY"), met(), 0, "True", "SessionBusy", "True", "Current"),
        (6, live("HIBERNATING"), met(), 0, "Unknown", "UnknownState", "Unknown", "InProgress"),
        (7, live("TERMINATING"), met(), 0, "Unknown", "SessionTerminating", "False", "InProgress"),
        (8, stopping(StopCause::Suspended), met(), 0, "Unknown", "Suspending", "False", "InProgress"),
        (
            8,
            stopping(StopCause::ActiveDeadline),
            met(),
            0,
            "Unknown",
            "DeadlineExceeded",
            "False",
            "InProgress",
        ),
        (
            8,
            stopping(StopCause::StartupDeadline),
            met(),
            0,
            "Unknown",
            "ReplacingSession",
            "False",
            "InProgress",
        ),
        (8, stopping(StopCause::Degraded), met(), 0, "Unknown", "ReplacingSession", "False", "InProgress"),
        (8, suspended(recorded_and(json!({}))), met(), 0, "Unknown", "Suspending", "False", "InProgress"),
        (
            8,
            stopping(StopCause::Suspended),
            refused(Call::Terminate, ErrorClass::MayHeal, 0),
            4,
            "Unknown",
            "Suspending",
            "False",
            "InProgress",
        ),
        (
            9,
            stopping(StopCause::Suspended),
            refused(Call::Terminate, ErrorClass::MayHeal, 0),
            5,
            "False",
            "TerminateRefused",
            "True",
            "Failed",
        ),
        (
            9,
            stopping(StopCause::Suspended),
            throttled_after(ErrorClass::MayHeal),
            5,
            "False",
            "TerminateRefused",
            "True",
            "Failed",
        ),
        (
            9,
            stopping(StopCause::Suspended),
            throttled_after(ErrorClass::Throttled),
            60,
            "Unknown",
            "Suspending",
            "False",
            "InProgress",
        ),
        (
            9,
            stopping(StopCause::ActiveDeadline),
            refused(Call::Terminate, ErrorClass::Throttled, 0),
            60,
            "Unknown",
            "DeadlineExceeded",
            "False",
            "InProgress",
        ),
        (
            9,
            stopping(StopCause::Degraded),
            refused(Call::Terminate, ErrorClass::Unanswered, 0),
            60,
            "Unknown",
            "ReplacingSession",
            "False",
            "InProgress",
        ),
        (
            9,
            stopping(StopCause::Degraded),
            refused(Call::Terminate, ErrorClass::NotSent, 0),
            60,
            "Unknown",
            "ReplacingSession",
            "False",
            "InProgress",
        ),
        (10, deleted(live("IDLE")), met(), 0, "False", "Deleting", "False", "Terminating"),
        (10, deleted(over("IdleTimeout")), met(), 0, "False", "Deleting", "False", "Terminating"),
        (11, suspended(object(json!({}))), met(), 0, "True", "Suspended", "False", "Current"),
        (11, suspended(over("SessionFailed")), met(), 0, "True", "Suspended", "False", "Current"),
        (12, over("IdleTimeout"), met(), 0, "True", "IdleTimeout", "False", "Current"),
        (13, over("DeadlineExceeded"), met(), 0, "True", "DeadlineExceeded", "False", "Current"),
        (14, restarting, met(), 0, "Unknown", "RestartingAfterFailure", "False", "InProgress"),
        (15, over("SessionFailed"), met(), 0, "False", "SessionFailed", "False", "Failed"),
        (15, over("SessionDegraded"), met(), 0, "False", "SessionDegraded", "False", "Failed"),
        (
            15,
            over("StartupDeadlineExceeded"),
            met(),
            0,
            "False",
            "StartupDeadlineExceeded",
            "False",
            "Failed",
        ),
        (15, over("StoppedOutside"), met(), 0, "False", "StoppedOutside", "False", "Failed"),
        (15, over("SessionVanished"), met(), 0, "False", "SessionVanished", "False", "Failed"),
        (15, over("not a reason!"), met(), 0, "False", "SessionEnded", "False", "Failed"),
        (16, over("InvalidRequest"), met(), 0, "False", "InvalidRequest", "False", "Failed"),
        (
            16,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::Rejected, 0),
            0,
            "False",
            "InvalidRequest",
            "False",
            "Failed",
        ),
        (
            17,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::MayHeal, 0),
            4,
            "Unknown",
            "AccessDenied",
            "False",
            "InProgress",
        ),
        (
            18,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::MayHeal, 0),
            5,
            "False",
            "AccessDenied",
            "False",
            "Failed",
        ),
        (
            19,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::Capacity, 0),
            99,
            "Unknown",
            "QuotaExceeded",
            "False",
            "InProgress",
        ),
        (
            19,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::Throttled, 0),
            99,
            "Unknown",
            "Throttled",
            "False",
            "InProgress",
        ),
        (
            20,
            live("IDLE"),
            refused(Call::Look, ErrorClass::Unanswered, 9),
            9,
            "True",
            "SessionIdle",
            "True",
            "Current",
        ),
        (
            21,
            live("IDLE"),
            refused(Call::Look, ErrorClass::Unanswered, 9),
            10,
            "Unknown",
            "ObservationStale",
            "Unknown",
            "InProgress",
        ),
        (
            17,
            recorded_and(json!({})),
            refused(Call::Start, ErrorClass::TokenConflict, 0),
            0,
            "Unknown",
            "TokenMismatch",
            "False",
            "InProgress",
        ),
        (22, recorded_and(json!({})), searched, 0, "False", "TokenMismatch", "False", "Failed"),
        (22, over("SessionAlreadyExists"), met(), 0, "False", "SessionAlreadyExists", "False", "Failed"),
        (23, moved, met(), 0, "False", "IdentityChanged", "Unknown", "Failed"),
        (
            25,
            recorded_and(json!({})),
            unwritable(refused_write::ADD_FINALIZER),
            4,
            "Unknown",
            "WriteRefused",
            "False",
            "InProgress",
        ),
        (
            25,
            live("IDLE"),
            unwritable(refused_write::ADD_FINALIZER),
            4,
            "Unknown",
            "WriteRefused",
            "True",
            "InProgress",
        ),
        (
            25,
            over("IdleTimeout"),
            unwritable(refused_write::DELETE),
            4,
            "Unknown",
            "WriteRefused",
            "False",
            "InProgress",
        ),
        (
            26,
            recorded_and(json!({})),
            unwritable(refused_write::ADD_FINALIZER),
            5,
            "False",
            "WriteRefused",
            "False",
            "Failed",
        ),
        (
            26,
            live("IDLE"),
            unwritable(refused_write::ADD_FINALIZER),
            5,
            "False",
            "WriteRefused",
            "True",
            "Failed",
        ),
        (
            26,
            over("IdleTimeout"),
            unwritable(refused_write::DELETE),
            99,
            "False",
            "WriteRefused",
            "False",
            "Failed",
        ),
        (
            10,
            deleted(live("IDLE")),
            unwritable(refused_write::REMOVE_FINALIZER),
            99,
            "False",
            "Deleting",
            "False",
            "Terminating",
        ),
        (4, live("IDLE"), unwritable(refused_write::STATUS), 99, "True", "SessionIdle", "True", "Current"),
    ];
    for (row, before, state, minutes, ready, reason, available, verdict) in rows {
        let at = at(minutes);
        let status = status_after(&before, &state, &Step::Wait, &Outcome::Nothing, &at);
        let has = |type_: &str| {
            condition(&status, type_).map(|condition| (condition.status.as_str(), condition.reason.as_str()))
        };
        assert_eq!(has("Ready"), Some((ready, reason)), "row {row}");
        assert_eq!(has("Available"), Some((available, reason)), "row {row}");
        let after = AthenaSession { status: Some(status.clone()), ..before };
        assert_eq!(kstatus(&after), verdict, "row {row}");
        let again = status_after(&after, &state, &Step::Wait, &Outcome::Nothing, &at);
        assert_eq!(again, status, "row {row} is not stable");
        let later = Environment { now: at.now + SignedDuration::from_secs(1), ..at };
        assert_eq!(
            status_after(&after, &state, &Step::Wait, &Outcome::Nothing, &later),
            status,
            "row {row} changes with time alone"
        );
        for condition in status.conditions.iter().flatten() {
            assert_eq!(condition.observed_generation, Some(3));
            assert!(
                condition.type_ == "Ready" || condition.type_ == "Available" || condition.status == "True",
                "row {row}"
            );
        }
    }
}

fn ended(state: &str, idle_for: Option<i64>, timeout: i64) -> Session {
    let end = at(60).now;
    Session {
        id: "s".into(),
        state: state.into(),
        start_time: Some(at(0).now),
        end_time: Some(end),
        idle_since_time: idle_for.map(|minutes| end - SignedDuration::from_mins(minutes)),
        details: Some(Box::new(Details {
            idle_timeout: Some(SignedDuration::from_mins(timeout)),
            ..Details::default()
        })),
        ..Session::default()
    }
}

fn mirrored(status: &mut AthenaSessionStatus, session: &Session, minutes: i64) {
    mirror(status, session, None, &LocalState::default(), at(minutes).now);
}

#[test]
fn an_idle_timeout_is_told_though_the_session_was_seen_ending() {
    let mut status = AthenaSessionStatus::default();
    let idle = Session { state: "IDLE".into(), end_time: None, ..ended("IDLE", Some(20), 20) };
    mirrored(&mut status, &idle, 41);
    mirrored(
        &mut status,
        &Session { state: "TERMINATING".into(), idle_since_time: None, ..idle.clone() },
        60,
    );
    mirrored(&mut status, &ended("TERMINATED", None, 20), 60);
    assert_eq!(status.end_reason, Some(EndReason::IdleTimeout));

    let mut status = AthenaSessionStatus::default();
    mirrored(&mut status, &idle, 41);
    mirrored(&mut status, &Session { state: "BUSY".into(), idle_since_time: None, ..idle.clone() }, 50);
    status.last_busy_time = Some(seconds(at(50).now));
    mirrored(&mut status, &Session { state: "TERMINATING".into(), idle_since_time: None, ..idle }, 60);
    mirrored(&mut status, &ended("TERMINATED", None, 20), 60);
    assert_eq!(status.end_reason, Some(EndReason::StoppedOutside));
}

#[test]
fn a_session_that_vanishes_while_it_is_ended_has_ended_for_that_cause() {
    let stopped = with(live("IDLE"), |object| {
        object.status.get_or_insert_default().stop_cause = Some(StopCause::ActiveDeadline);
    });
    let step = Step::Conclude(EndReason::SessionVanished);
    let status = status_after(&stopped, &LocalState::met(at(0).now), &step, &Outcome::Nothing, &at(0));
    assert_eq!(status.end_reason, Some(EndReason::DeadlineExceeded));
}

#[test]
fn a_replayed_start_that_returns_an_ended_session_is_looked_at_first() {
    let outcome = Outcome::Started { id: "s".into(), state: "TERMINATED".into() };
    let status = status_after(
        &recorded_and(json!({})),
        &LocalState::met(at(0).now),
        &Step::Start(0),
        &outcome,
        &at(0),
    );
    assert_eq!(condition(&status, "Ready").map(|ready| ready.reason.as_str()), Some("Starting"));
    assert_eq!(status.end_reason, None);
}

#[test]
fn terminating_leads_only_to_an_end() {
    let mut status =
        AthenaSessionStatus { state: Some("TERMINATING".into()), ..AthenaSessionStatus::default() };
    mirrored(&mut status, &Session { state: "IDLE".into(), ..Session::default() }, 0);
    assert_eq!(status.state, Some(SessionState::Terminating));
    mirrored(&mut status, &Session { state: "TERMINATED".into(), ..Session::default() }, 0);
    assert_eq!(status.state, Some(SessionState::Terminated));
}

#[test]
fn work_that_comes_and_goes_leaves_the_time_of_ready_alone() {
    let mut object = live("IDLE");
    let state = LocalState::met(at(0).now);
    object.status = Some(status_after(&object, &state, &Step::Wait, &Outcome::Nothing, &at(0)));
    let since = |object: &AthenaSession| {
        condition(object.status.as_ref().expect("a status"), "Ready")
            .expect("Ready")
            .last_transition_time
            .clone()
    };
    let before = since(&object);
    for minute in 1..=20 {
        let shown = if minute % 2 == 0 { "IDLE" } else { "BUSY" };
        let session = Session { id: "s".into(), state: shown.into(), ..Session::default() };
        let status = status_after(&object, &state, &Step::Mirror(session), &Outcome::Nothing, &at(minute));
        object.status = Some(status);
        assert_eq!(since(&object), before);
    }
}

#[test]
fn restarts_are_counted_and_the_last_five_attempts_are_kept() {
    let mut object = with(over("SessionFailed"), |object| {
        object.spec.restart_policy = crate::api::RestartPolicy::OnFailure;
        object.spec.max_restarts = Some(100);
        object.status.get_or_insert_default().first_start_time = Some(seconds(at(0).now));
    });
    for restart in 1..=7_i32 {
        let circumstances = at(10 * i64::from(restart));
        let step = next_step(
            &object,
            &LocalState::met(at(0).now),
            &Seen { work_group: Some(Ok(())), ..Seen::default() },
            &circumstances,
        );
        assert_eq!(step, Step::Record(restart));
        let mut status =
            status_after(&object, &LocalState::default(), &step, &Outcome::Nothing, &circumstances);
        assert_eq!(
            (status.restarts, status.first_start_time.clone()),
            (Some(restart), Some(seconds(at(0).now)))
        );
        assert_eq!(
            (status.session_id.as_ref(), status.end_reason.as_ref(), status.end_time.as_ref()),
            (None, None, None)
        );
        status.end_reason = Some(EndReason::SessionFailed);
        status.end_time = Some(seconds(circumstances.now));
        object.status = Some(status);
    }
    let kept: Vec<i32> = object
        .status
        .iter()
        .flat_map(|status| status.previous_attempts.iter().flatten())
        .map(|attempt| attempt.attempt)
        .collect();
    assert_eq!(kept, [2, 3, 4, 5, 6]);

    let resumed =
        with(object, |object| object.status.get_or_insert_default().stop_cause = Some(StopCause::Suspended));
    let status = status_after(&resumed, &LocalState::default(), &Step::Record(8), &Outcome::Nothing, &at(99));
    assert_eq!((status.restarts, status.first_start_time), (None, None));
}

#[test]
fn the_time_of_the_attempt_stands_in_for_a_start_time_that_athena_does_not_tell() {
    let told = |time: i64| Session {
        id: "s".into(),
        state: "IDLE".into(),
        start_time: Some(at(time).now),
        ..Session::default()
    };
    let untold = Session { start_time: None, ..told(0) };
    let mut status = recorded_and(json!({ "sessionId": "s" })).status.unwrap_or_default();
    mirror(&mut status, &untold, None, &LocalState::default(), at(3).now);
    assert_eq!(
        (status.start_time.clone(), status.first_start_time.clone()),
        (None, Some(seconds(at(0).now)))
    );
    mirror(&mut status, &told(1), None, &LocalState::default(), at(4).now);
    assert_eq!(status.first_start_time, Some(seconds(at(1).now)), "a later reply tells it");
    mirror(&mut status, &untold, None, &LocalState::default(), at(5).now);
    assert_eq!(status.first_start_time, Some(seconds(at(1).now)));
    // The second attempt of three, each recorded ten minutes later.
    (status.attempt, status.attempt_time, status.start_time) = (Some(1), Some(seconds(at(10).now)), None);
    mirror(&mut status, &untold, None, &LocalState::default(), at(11).now);
    mirror(&mut status, &told(12), None, &LocalState::default(), at(13).now);
    assert_eq!(status.first_start_time, Some(seconds(at(1).now)), "it is that of the first attempt");
}

#[test]
fn the_active_deadline_counts_from_the_first_attempt_whose_session_athena_does_not_date() {
    let capped =
        |object: AthenaSession| with(object, |object| object.spec.active_deadline_seconds = Some(600));
    let deadline = |object: &AthenaSession| crate::session::after_end::active_deadline(object);
    let unanswered = capped(recorded_and(json!({})));
    assert_eq!(deadline(&unanswered), None, "no session is known, and none may ever have been started");
    let unseen = capped(recorded_and(json!({ "sessionId": "s" })));
    assert_eq!(deadline(&unseen), Some(at(10).now));
    let next = with(unseen.clone(), |object| {
        object.spec.restart_policy = crate::api::RestartPolicy::OnFailure;
        let status = object.status.get_or_insert_default();
        (status.end_reason, status.end_time) = (Some(EndReason::SessionVanished), Some(seconds(at(5).now)));
    });
    let status = status_after(&next, &LocalState::default(), &Step::Record(1), &Outcome::Nothing, &at(6));
    assert_eq!(
        deadline(&with(next.clone(), |object| object.status = Some(status.clone()))),
        Some(at(10).now),
        "it counts over all attempts"
    );
    let lost = with(unanswered, |object| {
        let status = object.status.get_or_insert_default();
        (status.end_reason, status.end_time) = (Some(EndReason::SessionLost), Some(seconds(at(25).now)));
    });
    let status = status_after(&lost, &LocalState::default(), &Step::Record(1), &Outcome::Nothing, &at(26));
    assert_eq!(status.first_start_time, None, "nothing of the first attempt ever lived");
    let resumed =
        with(next, |object| object.status.get_or_insert_default().stop_cause = Some(StopCause::Suspended));
    let status = status_after(&resumed, &LocalState::default(), &Step::Record(1), &Outcome::Nothing, &at(7));
    assert_eq!(status.first_start_time, None, "a resume counts from its own start");
}

#[test]
fn what_athena_says_is_kept_within_what_the_schema_takes() {
    let mut status =
        AthenaSessionStatus { ready_time: Some(seconds(at(1).now)), ..AthenaSessionStatus::default() };
    let mut session = ended("TERMINATED", Some(20), 20);
    session.details = Some(Box::new(Details {
        idle_timeout: Some(SignedDuration::MAX),
        dpu_execution_in_millis: Some(1 << 53),
        ..Details::default()
    }));
    mirrored(&mut status, &session, 60);
    assert_eq!((status.end_reason, status.dpu_execution_in_millis), (Some(EndReason::StoppedOutside), None));
}
