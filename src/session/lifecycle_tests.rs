//! The table of steps, row by row.

use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::api::{FINALIZER, RestartPolicy};
use crate::session::after_end::restart_backoff;
use crate::session::environment::Identity;
use crate::session::ownership::{self, leaked_session};
use crate::session::refused_write;
use crate::session::reply::{Details, ErrorClass, Refusal, Session};

const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";
/// Time at which attempts of these tests were recorded.
const BEGUN: &str = "2026-01-01T00:00:00Z";

fn at(minutes: i64) -> Environment {
    let begun: Timestamp = BEGUN.parse().expect("a time");
    Environment {
        now: begun + SignedDuration::from_mins(minutes),
        is_time_certain: true,
        api_server_ahead: Some(SignedDuration::ZERO),
        identity: Identity { region: "eu-west-1".into(), account: Some("000000000000".into()) },
        limits: Limits::default(),
        clock_origin: Timestamp::UNIX_EPOCH,
        jitter: 0.0,
    }
}

/// Returns an object with our finalizer and this status.
#[allow(clippy::needless_pass_by_value, reason = "rows read better")]
fn object(status: Value) -> AthenaSession {
    serde_json::from_value(json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
        "metadata": { "name": "etl", "namespace": "team", "uid": UID, "generation": 1, "finalizers": [FINALIZER] },
        "spec": { "workGroup": "etl" }, "status": status,
    }))
    .expect("an AthenaSession")
}

fn unknown() -> AthenaSession {
    object(json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "accountId": "000000000000" }))
}

fn live(state: &str) -> AthenaSession {
    object(
        json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "accountId": "000000000000", "sessionId": "s", "state": state }),
    )
}

fn over(reason: &str) -> AthenaSession {
    object(
        json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "sessionId": "s", "endTime": BEGUN, "endReason": reason }),
    )
}

fn with(mut object: AthenaSession, change: impl FnOnce(&mut AthenaSession)) -> AthenaSession {
    change(&mut object);
    object
}

fn deleted(object: AthenaSession) -> AthenaSession {
    with(object, |object| {
        object.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0).now));
    })
}

fn unheld(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.metadata.finalizers = None)
}

fn retained(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.spec.deletion_policy = DeletionPolicy::Retain)
}

fn suspended(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.spec.suspend = true)
}

fn suspended_since(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.status.get_or_insert_default().stop_cause = Some(StopCause::Suspended))
}

fn restarting(object: AthenaSession, restarts: i32) -> AthenaSession {
    with(object, |object| {
        object.spec.restart_policy = RestartPolicy::OnFailure;
        object.status.get_or_insert_default().restarts = Some(restarts);
    })
}

/// Returns an object with an active deadline of that many minutes, counted from the first start at `BEGUN`.
fn capped(object: AthenaSession, minutes: i32) -> AthenaSession {
    with(object, |object| {
        object.spec.active_deadline_seconds = Some(minutes * 60);
        object.status.get_or_insert_default().first_start_time =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0).now));
    })
}

fn capped_exactly(object: AthenaSession, seconds: i32) -> AthenaSession {
    with(capped(object, 0), |object| object.spec.active_deadline_seconds = Some(seconds))
}

fn mortal(object: AthenaSession, minutes: i32) -> AthenaSession {
    with(object, |object| object.spec.ttl_seconds_after_finished = Some(minutes * 60))
}

fn was_ready(object: AthenaSession) -> AthenaSession {
    with(object, |object| {
        object.status.get_or_insert_default().ready_time =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1).now));
    })
}

/// Returns a look at a session that Athena started at `BEGUN`, requested that many minutes later.
fn starting(state: &str, asked: i64) -> Seen {
    let session = Session { start_time: Some(at(0).now), ..session(state) };
    Seen { look: Some(Look::Seen(session)), look_time: Some(at(asked).now), ..nothing() }
}

fn stopping(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.status.get_or_insert_default().stop_cause = Some(StopCause::Degraded))
}

fn met() -> LocalState {
    LocalState::met(at(0).now)
}

/// Returns the local state after a list without the object's marker that was read that many minutes later.
fn searched(minutes: i64) -> LocalState {
    absent_from(met(), &[minutes])
}

/// Returns the local state after complete lists without the object's marker that began that many minutes later.
fn absent_from(mut state: LocalState, minutes: &[i64]) -> LocalState {
    for begun in minutes.iter().map(|minutes| at(*minutes).now) {
        state.searched(&Search::Absent { begun }, &Environment { now: begun, ..at(0) });
    }
    state
}

fn own_finalizer() -> LocalState {
    let mut state = met();
    state.finalizer_added = true;
    state
}

fn own_attempt() -> LocalState {
    let mut state = own_finalizer();
    state.recorded(0, at(0).now, false);
    state
}

fn refused(class: ErrorClass) -> LocalState {
    let mut state = own_attempt();
    let doubted = state.starting();
    state.start_refused(refusal(class), doubted, &at(0));
    state
}

fn refusal(class: ErrorClass) -> Refusal {
    Refusal { class, reason: "TokenMismatch", message: "no".into(), request_id: None }
}

fn trusted() -> LocalState {
    let mut state = own_attempt();
    state.starting();
    state.started(0, "s", "CREATING", &at(0));
    state.session_recorded();
    state
}

fn session(state: &str) -> Session {
    Session { id: "s".into(), state: state.into(), ..Session::default() }
}

fn seen(state: &str) -> Seen {
    Seen { look: Some(Look::Seen(session(state))), ..nothing() }
}

fn started(object: AthenaSession) -> AthenaSession {
    with(object, |object| {
        object.status.get_or_insert_default().start_time =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0).now));
    })
}

fn session_since(state: &str) -> Session {
    Session { start_time: Some(at(0).now), ..session(state) }
}

fn found() -> Seen {
    Seen { search: Some(Search::Found { attempt: 0, session: session("IDLE") }), ..nothing() }
}

fn absent(begun: i64) -> Seen {
    Seen { search: Some(Search::Absent { begun: at(begun).now }), ..nothing() }
}

fn search_refused() -> Seen {
    Seen { search: Some(Search::Failed(refusal(ErrorClass::MayHeal))), ..nothing() }
}

fn not_found() -> Seen {
    Seen { look: Some(NOT_FOUND), ..nothing() }
}

const NOT_FOUND: Look = Look::NotFound { named: true };
const UNNAMED: Look = Look::NotFound { named: false };

/// Returns a look that does not find the session, and the result of a search after it.
fn missed_and(search: Seen) -> Seen {
    Seen { search: search.search, ..not_found() }
}

fn denied() -> Seen {
    Seen {
        search: Some(Search::Failed(Refusal { reason: "AccessDenied", ..refusal(ErrorClass::MayHeal) })),
        ..nothing()
    }
}

/// Returns the reads of a reconcile in which the work group takes the session.
fn read() -> Seen {
    Seen { work_group: Some(Ok(())), ..nothing() }
}

fn read_and(seen: Seen) -> Seen {
    Seen { work_group: Some(Ok(())), ..seen }
}

/// Returns the reads of a reconcile in which the work group does not take the session.
fn unreadable(class: ErrorClass) -> Seen {
    Seen { work_group: Some(Err(refusal(class))), ..nothing() }
}

fn withdrawn() -> AthenaSession {
    object(json!({ "attempt": 2 }))
}

fn nothing() -> Seen {
    Seen::default()
}

fn looked(times: u32, look: &Look) -> LocalState {
    looked_at(0, times, look)
}

/// Returns the local state after that many looks, made that many minutes after `BEGUN`.
fn looked_at(minutes: i64, times: u32, look: &Look) -> LocalState {
    let mut state = trusted();
    for _ in 0..times {
        state.looked(look.clone(), UID, "s", &at(minutes));
    }
    state
}

#[test]
#[allow(clippy::too_many_lines, reason = "a line for each row")]
fn each_row_of_the_table_is_taken() {
    let elsewhere = |object| {
        with(object, |object: &mut AthenaSession| {
            object.status.get_or_insert_default().region = Some("us-east-1".into());
        })
    };
    let lost = Step::Conclude(EndReason::SessionLost);
    let cases: Vec<(&str, AthenaSession, LocalState, Seen, i64, Step)> = vec![
        ("deleting without our finalizer", unheld(deleted(live("IDLE"))), met(), nothing(), 0, Step::Done),
        ("deleting with Retain", retained(deleted(live("IDLE"))), met(), nothing(), 0, Step::Release),
        (
            "deleting with Retain, elsewhere",
            retained(deleted(elsewhere(live("IDLE")))),
            met(),
            nothing(),
            0,
            Step::Release,
        ),
        ("unknown, elsewhere", elsewhere(unknown()), met(), nothing(), 0, Step::Rest),
        ("live, elsewhere", elsewhere(live("IDLE")), met(), nothing(), 0, Step::Rest),
        ("deleting, live, elsewhere", deleted(elsewhere(live("IDLE"))), met(), nothing(), 0, Step::Rest),
        (
            "deleting, over elsewhere",
            deleted(elsewhere(over("SessionFailed"))),
            met(),
            nothing(),
            0,
            Step::Release,
        ),
        ("new", unheld(object(json!({}))), met(), nothing(), 0, Step::AddFinalizer),
        ("live without our finalizer", unheld(live("IDLE")), met(), nothing(), 0, Step::AddFinalizer),
        ("held by this process", object(json!({})), own_finalizer(), read(), 0, Step::Record(0)),
        (
            "held by this process, the work group not read",
            object(json!({})),
            own_finalizer(),
            nothing(),
            0,
            Step::ReadWorkGroup,
        ),
        (
            "held by this process, the work group not found",
            object(json!({})),
            own_finalizer(),
            unreadable(ErrorClass::MayHeal),
            0,
            Step::Hold(refusal(ErrorClass::MayHeal)),
        ),
        (
            "held by this process, the engine does not take it",
            object(json!({})),
            own_finalizer(),
            unreadable(ErrorClass::Rejected),
            0,
            Step::Reject(0, refusal(ErrorClass::Rejected)),
        ),
        ("withdrawn, the work group not read", withdrawn(), met(), nothing(), 0, Step::ReadWorkGroup),
        ("withdrawn", withdrawn(), met(), read(), 0, Step::Record(2)),
        ("withdrawn, deleting", deleted(withdrawn()), met(), nothing(), 0, Step::Release),
        ("withdrawn, suspended", suspended(withdrawn()), met(), nothing(), 0, Step::Rest),
        ("withdrawn, without our finalizer", unheld(withdrawn()), met(), nothing(), 0, Step::AddFinalizer),
        ("held by another process", object(json!({})), met(), nothing(), 0, Step::Search),
        (
            "held by another process, nothing found, not read",
            object(json!({})),
            searched(10),
            absent(0),
            20,
            Step::ReadWorkGroup,
        ),
        (
            "held by another process, nothing found",
            object(json!({})),
            searched(0),
            read_and(absent(0)),
            0,
            Step::Record(0),
        ),
        (
            "held by another process, the search refused",
            object(json!({})),
            met(),
            search_refused(),
            0,
            Step::Wait,
        ),
        (
            "held by another process, found",
            object(json!({})),
            met(),
            found(),
            0,
            Step::Adopt(0, session("IDLE")),
        ),
        ("deleting, never tried", deleted(object(json!({}))), own_finalizer(), nothing(), 0, Step::Release),
        ("deleting, held by another process", deleted(object(json!({}))), met(), nothing(), 0, Step::Search),
        ("deleting, found", deleted(object(json!({}))), met(), found(), 0, Step::Adopt(0, session("IDLE"))),
        ("deleting, absent too early", deleted(object(json!({}))), searched(9), absent(9), 10, Step::Search),
        (
            "deleting, absent since long before",
            deleted(object(json!({}))),
            searched(0),
            nothing(),
            10,
            Step::Search,
        ),
        ("deleting, absent", deleted(object(json!({}))), searched(10), absent(10), 10, Step::Release),
        ("recorded", unknown(), own_attempt(), nothing(), 0, Step::Start(0)),
        ("recorded by another process", unknown(), met(), nothing(), 9, Step::Start(0)),
        ("recorded, deleting, not tried", deleted(unknown()), own_attempt(), nothing(), 0, Step::Release),
        ("recorded by another process, deleting", deleted(unknown()), met(), nothing(), 0, Step::Start(0)),
        (
            "refused, deleting",
            deleted(unknown()),
            refused(ErrorClass::Throttled),
            nothing(),
            0,
            Step::Release,
        ),
        (
            "unanswered, deleting",
            deleted(unknown()),
            refused(ErrorClass::Unanswered),
            nothing(),
            1,
            Step::Start(0),
        ),
        ("refused, too early", unknown(), refused(ErrorClass::Throttled), nothing(), 0, Step::Wait),
        ("refused, due", unknown(), refused(ErrorClass::Throttled), nothing(), 1, Step::Start(0)),
        ("refused, older", unknown(), refused(ErrorClass::Throttled), read(), 10, Step::Record(0)),
        ("unanswered, older", unknown(), refused(ErrorClass::Unanswered), nothing(), 10, Step::Search),
        (
            "unanswered, older, found",
            unknown(),
            refused(ErrorClass::Unanswered),
            found(),
            10,
            Step::Adopt(0, session("IDLE")),
        ),
        (
            "unanswered, absent too early",
            unknown(),
            absent_from(refused(ErrorClass::Unanswered), &[19]),
            absent(19),
            19,
            Step::Search,
        ),
        (
            "unanswered, absent once",
            unknown(),
            absent_from(refused(ErrorClass::Unanswered), &[20]),
            absent(20),
            20,
            Step::Search,
        ),
        (
            "unanswered, absent once in time",
            unknown(),
            absent_from(refused(ErrorClass::Unanswered), &[19, 20]),
            absent(20),
            20,
            Step::Search,
        ),
        (
            "unanswered, absent twice",
            unknown(),
            absent_from(refused(ErrorClass::Unanswered), &[20, 21]),
            absent(21),
            21,
            lost.clone(),
        ),
        (
            "absent twice, by lists that were read before",
            unknown(),
            absent_from(refused(ErrorClass::Unanswered), &[20, 21]),
            nothing(),
            22,
            lost.clone(),
        ),
        (
            "unanswered, deleting, absent too early",
            deleted(unknown()),
            absent_from(refused(ErrorClass::Unanswered), &[19]),
            absent(19),
            19,
            Step::Search,
        ),
        (
            "unanswered, deleting, absent",
            deleted(unknown()),
            absent_from(refused(ErrorClass::Unanswered), &[20]),
            absent(20),
            20,
            lost.clone(),
        ),
        (
            "unanswered, suspended, absent",
            suspended(unknown()),
            absent_from(refused(ErrorClass::Unanswered), &[20]),
            absent(20),
            20,
            lost,
        ),
        (
            "unanswered, the search refused",
            unknown(),
            refused(ErrorClass::Unanswered),
            search_refused(),
            20,
            Step::Wait,
        ),
        ("token conflict", unknown(), refused(ErrorClass::TokenConflict), nothing(), 1, Step::Search),
        (
            "token conflict, absent once",
            unknown(),
            absent_from(refused(ErrorClass::TokenConflict), &[20]),
            absent(20),
            20,
            Step::Search,
        ),
        (
            "token conflict, absent",
            unknown(),
            absent_from(refused(ErrorClass::TokenConflict), &[20, 21]),
            absent(21),
            21,
            Step::Conclude(EndReason::TokenMismatch),
        ),
        ("live, not due", live("IDLE"), trusted(), nothing(), 0, Step::Wait),
        ("live, due", live("IDLE"), trusted(), nothing(), 1, Step::Look),
        ("live, looked", live("IDLE"), trusted(), seen("BUSY"), 1, Step::Mirror(session("BUSY"))),
        ("live, ended", live("IDLE"), trusted(), seen("TERMINATED"), 1, Step::Mirror(session("TERMINATED"))),
        (
            "live, degraded",
            live("IDLE"),
            trusted(),
            seen("DEGRADED"),
            1,
            Step::Stop(StopCause::Degraded, Some(session("DEGRADED"))),
        ),
        ("stopping", stopping(live("DEGRADED")), trusted(), nothing(), 0, Step::Terminate),
        (
            "stopping, seen ended",
            stopping(live("DEGRADED")),
            trusted(),
            seen("TERMINATED"),
            1,
            Step::Mirror(session("TERMINATED")),
        ),
        (
            "suspended, seen ended",
            suspended(live("IDLE")),
            trusted(),
            seen("TERMINATED"),
            1,
            Step::Mirror(session("TERMINATED")),
        ),
        ("stopping, ending", stopping(live("TERMINATING")), trusted(), nothing(), 1, Step::Look),
        (
            "stopping, seen ending",
            stopping(live("DEGRADED")),
            trusted(),
            seen("TERMINATING"),
            1,
            Step::Mirror(session("TERMINATING")),
        ),
        ("deleting, live", deleted(live("IDLE")), trusted(), nothing(), 0, Step::Terminate),
        ("deleting, live, not yet trusted", deleted(live("IDLE")), met(), nothing(), 0, Step::Look),
        ("deleting, ended", deleted(live("IDLE")), trusted(), seen("FAILED"), 0, Step::Release),
        ("not found too early", live("IDLE"), looked(2, &NOT_FOUND), not_found(), 19, Step::Wait),
        ("not found once", live("IDLE"), looked(1, &NOT_FOUND), not_found(), 20, Step::Wait),
        (
            "not found, to be searched for",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            not_found(),
            21,
            Step::Search,
        ),
        (
            "not found, deleting, to be searched for",
            deleted(live("TERMINATING")),
            looked_at(20, 2, &NOT_FOUND),
            not_found(),
            21,
            Step::Search,
        ),
        (
            "vanished",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(absent(20)),
            20,
            Step::Conclude(EndReason::SessionVanished),
        ),
        (
            "vanished, deleting",
            deleted(live("TERMINATING")),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(absent(20)),
            20,
            Step::Release,
        ),
        (
            "not found before, waiting for a list",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            nothing(),
            21,
            Step::Search,
        ),
        (
            "not found before, the list fails",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            search_refused(),
            20,
            Step::Look,
        ),
        (
            "not found before, the list does not show it",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            absent(20),
            20,
            Step::Conclude(EndReason::SessionVanished),
        ),
        (
            "not found, the list begun too early",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(absent(19)),
            20,
            Step::Wait,
        ),
        (
            "not found while reads could be late, the list does not show it",
            live("IDLE"),
            looked_at(19, 2, &NOT_FOUND),
            absent(20),
            20,
            Step::Look,
        ),
        (
            "not found, the list shows it",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(found()),
            20,
            Step::Wait,
        ),
        (
            "not found, the list fails",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(search_refused()),
            20,
            Step::Wait,
        ),
        (
            "not found, no list allowed",
            live("IDLE"),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(denied()),
            20,
            Step::Conclude(EndReason::SessionVanished),
        ),
        (
            "not found, not named, no list allowed",
            live("IDLE"),
            looked_at(20, 2, &UNNAMED),
            missed_and(denied()),
            20,
            Step::Wait,
        ),
        (
            "not found, deleting, no list allowed",
            deleted(live("TERMINATING")),
            looked_at(20, 2, &NOT_FOUND),
            missed_and(denied()),
            20,
            Step::Release,
        ),
        (
            "known to have started, too early",
            started(live("IDLE")),
            looked(2, &NOT_FOUND),
            not_found(),
            9,
            Step::Wait,
        ),
        (
            "known to have started",
            started(live("IDLE")),
            looked_at(10, 2, &NOT_FOUND),
            missed_and(absent(10)),
            10,
            Step::Conclude(EndReason::SessionVanished),
        ),
        ("over", over("SessionFailed"), met(), nothing(), 0, Step::Rest),
        ("over, without our finalizer", unheld(over("IdleTimeout")), met(), nothing(), 0, Step::Rest),
        ("over, deleting", deleted(over("IdleTimeout")), met(), nothing(), 0, Step::Release),
        ("lost", over("SessionLost"), met(), read(), 0, Step::Record(1)),
        ("lost, without our finalizer", unheld(over("SessionLost")), met(), nothing(), 0, Step::AddFinalizer),
        ("suspended, new", suspended(unheld(object(json!({})))), met(), nothing(), 0, Step::Rest),
        ("suspended, held", suspended(object(json!({}))), own_finalizer(), nothing(), 0, Step::Rest),
        (
            "suspended, held by another process",
            suspended(object(json!({}))),
            met(),
            nothing(),
            0,
            Step::Search,
        ),
        ("suspended, nothing found", suspended(object(json!({}))), searched(0), absent(0), 0, Step::Rest),
        (
            "suspended, found",
            suspended(object(json!({}))),
            met(),
            found(),
            0,
            Step::Adopt(0, session("IDLE")),
        ),
        (
            "suspended, not tried",
            suspended(unknown()),
            own_attempt(),
            nothing(),
            0,
            Step::Conclude(EndReason::Suspended),
        ),
        (
            "suspended, unanswered",
            suspended(unknown()),
            refused(ErrorClass::Unanswered),
            nothing(),
            1,
            Step::Start(0),
        ),
        (
            "suspended, live",
            suspended(live("IDLE")),
            trusted(),
            nothing(),
            0,
            Step::Stop(StopCause::Suspended, None),
        ),
        (
            "suspended, live, not yet trusted",
            suspended(live("IDLE")),
            met(),
            nothing(),
            0,
            Step::Stop(StopCause::Suspended, None),
        ),
        (
            "suspended, cause recorded",
            suspended(suspended_since(live("IDLE"))),
            trusted(),
            nothing(),
            0,
            Step::Terminate,
        ),
        ("resumed before the end", suspended_since(live("IDLE")), trusted(), nothing(), 0, Step::Terminate),
        ("suspended after a failure", suspended(over("SessionFailed")), met(), nothing(), 0, Step::Suspend),
        (
            "suspended and over",
            suspended(suspended_since(over("Suspended"))),
            met(),
            nothing(),
            0,
            Step::Rest,
        ),
        ("resumed", suspended_since(over("Suspended")), met(), read(), 0, Step::Record(1)),
        (
            "resumed after a failure",
            suspended_since(over("SessionFailed")),
            met(),
            read(),
            0,
            Step::Record(1),
        ),
        (
            "past the active deadline",
            capped(live("IDLE"), 5),
            trusted(),
            nothing(),
            5,
            Step::Stop(StopCause::ActiveDeadline, None),
        ),
        ("before the active deadline", capped(live("IDLE"), 6), trusted(), nothing(), 5, Step::Look),
        ("ended by the active deadline", over("DeadlineExceeded"), met(), nothing(), 0, Step::Rest),
        (
            "slow to start, looked at in time",
            live("CREATING"),
            trusted(),
            starting("CREATED", 4),
            6,
            Step::Mirror(session_since("CREATED")),
        ),
        (
            "slow to start",
            live("CREATING"),
            trusted(),
            starting("CREATED", 5),
            6,
            Step::Stop(StopCause::StartupDeadline, Some(session_since("CREATED"))),
        ),
        (
            "slow, in a state that is not known",
            live("CREATING"),
            trusted(),
            starting("HIBERNATING", 5),
            6,
            Step::Stop(StopCause::StartupDeadline, Some(session_since("HIBERNATING"))),
        ),
        (
            "ready before, a late reply",
            was_ready(live("IDLE")),
            trusted(),
            starting("CREATED", 5),
            6,
            Step::Mirror(session_since("CREATED")),
        ),
        (
            "ready before, in a state that is not known",
            was_ready(live("IDLE")),
            trusted(),
            starting("HIBERNATING", 5),
            6,
            Step::Mirror(session_since("HIBERNATING")),
        ),
        (
            "ending, a late reply",
            live("TERMINATING"),
            trusted(),
            starting("CREATED", 5),
            6,
            Step::Mirror(session_since("CREATED")),
        ),
        (
            "ending, a late reply of its decay",
            live("TERMINATING"),
            trusted(),
            starting("DEGRADED", 5),
            6,
            Step::Mirror(session_since("DEGRADED")),
        ),
        (
            "slow and ready",
            live("CREATING"),
            trusted(),
            starting("IDLE", 5),
            6,
            Step::Mirror(session_since("IDLE")),
        ),
        (
            "failed, to be restarted later",
            restarting(over("SessionFailed"), 0),
            met(),
            nothing(),
            0,
            Step::Wait,
        ),
        ("failed, to be restarted", restarting(over("SessionFailed"), 0), met(), read(), 1, Step::Record(1)),
        (
            "vanished, to be restarted",
            restarting(over("SessionVanished"), 4),
            met(),
            read(),
            5,
            Step::Record(1),
        ),
        ("failed too often", restarting(over("SessionFailed"), 5), met(), nothing(), 60, Step::Rest),
        (
            "idle timeouts are no failures",
            restarting(over("IdleTimeout"), 0),
            met(),
            nothing(),
            60,
            Step::Rest,
        ),
        (
            "rejections are no failures",
            restarting(over("InvalidRequest"), 0),
            met(),
            nothing(),
            60,
            Step::Rest,
        ),
        (
            "time left for a restart",
            capped(restarting(over("SessionFailed"), 4), 3),
            met(),
            read(),
            3,
            Step::Record(1),
        ),
        (
            "a restart at the deadline itself",
            capped_exactly(restarting(over("SessionFailed"), 4), 160),
            met(),
            nothing(),
            5,
            Step::Rest,
        ),
        (
            "no time left for a restart",
            capped(restarting(over("SessionFailed"), 4), 2),
            met(),
            nothing(),
            5,
            Step::Rest,
        ),
        ("finished, not long ago", mortal(over("IdleTimeout"), 2), met(), nothing(), 1, Step::Wait),
        ("finished", mortal(over("IdleTimeout"), 2), met(), nothing(), 2, Step::Delete),
        (
            "finished, suspended",
            suspended(suspended_since(mortal(over("IdleTimeout"), 2))),
            met(),
            nothing(),
            2,
            Step::Rest,
        ),
        ("over for a reason of a later release", over("Other"), met(), nothing(), 0, Step::Rest),
    ];
    for (case, object, state, seen, minutes, expected) in cases {
        assert_eq!(next_step(&object, &state, &seen, &at(minutes)), expected, "{case}");
    }
}

#[test]
fn a_list_is_of_use_from_the_time_at_which_it_tells_more_than_is_known() {
    let unanswered = |lists: &[i64]| absent_from(refused(ErrorClass::Unanswered), lists);
    let conflict = |lists: &[i64]| absent_from(refused(ErrorClass::TokenConflict), lists);
    for (case, object, state, minutes, expected) in [
        ("any list may show the session", unknown(), unanswered(&[]), 10, 10),
        ("then one that must show it", unknown(), unanswered(&[10]), 10, 20),
        ("also one that was read a little before", unknown(), unanswered(&[19]), 19, 20),
        ("then one that repeats the proof", unknown(), unanswered(&[10, 20]), 20, 21),
        ("a session that must be there is looked for each minute", unknown(), conflict(&[1]), 1, 2),
        ("to the time from which lists must show it", unknown(), conflict(&[19, 20]), 20, 21),
        ("without an attempt", object(json!({})), met(), 3, 3),
        ("deleted without an attempt", deleted(object(json!({}))), met(), 3, 3),
        ("deleted without an attempt, absent", deleted(object(json!({}))), searched(3), 3, 10),
    ] {
        assert_eq!(search_time(&object, &state, &at(minutes)), at(expected).now, "{case}");
    }
}

#[test]
fn two_lists_count_as_two_only_if_they_began_a_minute_apart() {
    let mut state = absent_from(refused(ErrorClass::Unanswered), &[20]);
    for (wait, proved) in [(20, false), (50, false), (110, true)] {
        let begun = at(20).now + SignedDuration::from_secs(wait);
        state.searched(&Search::Absent { begun }, &Environment { now: begun, ..at(0) });
        let step = next_step(&unknown(), &state, &nothing(), &at(22));
        assert_eq!(step == Step::Conclude(EndReason::SessionLost), proved, "{wait} s after the first");
    }
}

#[test]
fn a_session_that_is_found_takes_back_its_absence() {
    let mut state = absent_from(refused(ErrorClass::Unanswered), &[20]);
    state.searched(&Search::Found { attempt: 0, session: session("IDLE") }, &at(21));
    assert_eq!(state.absence, None);
}

#[test]
fn an_attempt_that_ran_long_counts_afresh() {
    let ran = |minutes: i64| {
        with(restarting(over("SessionFailed"), 5), |object| {
            let status = object.status.get_or_insert_default();
            status.start_time = Some(crate::session::status::seconds(at(-minutes).now));
            status.last_busy_time.clone_from(&status.start_time);
        })
    };
    let unused = with(ran(60), |object| object.status.get_or_insert_default().last_busy_time = None);
    assert_eq!(after_end(&unused, &at(0)), AfterEnd::None, "it was never at work");
    assert_eq!(after_end(&ran(9), &at(0)), AfterEnd::None);
    let expected = AfterEnd::Attempt {
        number: 1,
        time: at(0).now + SignedDuration::from_secs(10),
        restarts: 1,
        resumed: false,
    };
    assert_eq!(after_end(&ran(10), &at(0)), expected);
}

#[test]
fn restarts_wait_twice_as_long_each_time() {
    let waits: Vec<i64> = (0..8).map(|restarts| restart_backoff(restarts).as_secs()).collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn an_attempt_that_never_became_a_session_keeps_its_number() {
    let never = with(suspended_since(over("Suspended")), |object| {
        object.status.get_or_insert_default().session_id = None;
    });
    assert_eq!(next_step(&never, &met(), &read(), &at(0)), Step::Record(0));
}

#[test]
fn a_resume_counts_afresh_also_after_a_lost_attempt() {
    let lost = suspended_since(restarting(over("SessionLost"), 3));
    assert_eq!(
        after_end(&lost, &at(0)),
        AfterEnd::Attempt { number: 1, time: at(0).now, restarts: 0, resumed: true }
    );
}

#[test]
fn times_of_any_size_do_no_harm() {
    for time in ["9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z"] {
        for mut object in [
            unknown(),
            live("CREATING"),
            restarting(over("SessionFailed"), i32::MAX),
            mortal(over("IdleTimeout"), 1),
        ] {
            let status = object.status.get_or_insert_default();
            let time =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time.parse().expect("a time")));
            (status.attempt_time, status.end_time, status.start_time, status.first_start_time) =
                (time.clone(), time.clone(), time.clone(), time);
            object.spec.active_deadline_seconds = Some(i32::MAX);
            for seen in [nothing(), not_found(), absent(0), starting("CREATING", 5)] {
                next_step(&object, &met(), &seen, &at(0));
                next_step(&deleted(object.clone()), &met(), &seen, &at(0));
                assert!(wake_time(&object, &met(), &at(0)).is_none_or(|time| time > at(0).now));
            }
        }
    }
}

#[test]
fn terminate_is_repeated_only_after_a_look_that_shows_no_effect() {
    let object = deleted(live("IDLE"));
    let mut state = trusted();
    state.terminated(&at(0));
    assert_eq!(next_step(&object, &state, &nothing(), &at(1)), Step::Look);
    assert_eq!(
        next_step(&object, &state, &seen("TERMINATING"), &at(1)),
        Step::Mirror(session("TERMINATING"))
    );
    assert_eq!(next_step(&object, &state, &seen("IDLE"), &at(1)), Step::Terminate);
    assert_eq!(
        next_step(&object, &state, &seen("IDLE"), &at(0)),
        Step::Mirror(session("IDLE")),
        "the backoff is not over"
    );
}

#[test]
fn what_a_spec_limits_does_not_wait_for_a_status_that_cannot_be_written() {
    let unwritable = |mut state: LocalState, what| {
        state.write_refused(what, "request is too large", None, &at(0));
        state
    };
    let lasting = at(5);
    for (case, object, cause) in [
        ("suspended", suspended(live("IDLE")), StopCause::Suspended),
        ("past its deadline", capped(live("BUSY"), 5), StopCause::ActiveDeadline),
    ] {
        let state = unwritable(trusted(), refused_write::STATUS);
        assert_eq!(next_step(&object, &state, &nothing(), &lasting), Step::Terminate, "{case}");
        assert_eq!(unrecorded_cause(&object, &state, &lasting), Some(cause.clone()), "{case}");
        let other = unwritable(trusted(), refused_write::ADD_FINALIZER);
        assert_eq!(
            next_step(&object, &other, &nothing(), &lasting),
            Step::Stop(cause.clone(), None),
            "{case}, and another write is refused"
        );
        let strange = unwritable(met(), refused_write::STATUS);
        assert_eq!(
            next_step(&object, &strange, &nothing(), &lasting),
            Step::Look,
            "{case}, its marker not seen"
        );
        // The session is being ended from now on, whatever changes in the spec.
        let mut ended = state;
        ended.unrecorded_cause = Some(Box::new(cause));
        ended.terminated(&lasting);
        assert_eq!(
            next_step(&live("IDLE"), &ended, &seen("TERMINATING"), &lasting),
            Step::Mirror(session("TERMINATING")),
            "{case}"
        );
        assert_eq!(
            next_step(&live("IDLE"), &ended, &seen("IDLE"), &at(6)),
            Step::Terminate,
            "{case}, without effect"
        );
    }
    let suspended = suspended(live("IDLE"));
    let state = unwritable(trusted(), refused_write::STATUS);
    assert_eq!(
        next_step(&suspended, &state, &nothing(), &at(4)),
        Step::Stop(StopCause::Suspended, None),
        "it may pass"
    );
    let uncertain = Environment { is_time_certain: false, ..lasting };
    assert_ne!(
        next_step(&capped(live("IDLE"), 5), &state, &nothing(), &uncertain),
        Step::Terminate,
        "no time ends it"
    );
    // A cause that another attempt may follow is recorded first.
    assert_eq!(unrecorded_cause(&live("DEGRADED"), &state, &at(99)), None);
    assert!(matches!(
        next_step(&live("DEGRADED"), &state, &seen("DEGRADED"), &at(99)),
        Step::Stop(StopCause::Degraded, _)
    ));
}

#[test]
fn a_session_that_no_status_can_name_is_ended_once_it_is_to_end() {
    let mut state = own_attempt();
    state.starting();
    state.started(0, "s", "CREATING", &at(0));
    state.write_refused(refused_write::STATUS, "request is too large", None, &at(0));
    let late = with(unknown(), |object| object.spec.active_deadline_seconds = Some(300));
    let restarted = with(capped(unknown(), 10), |object| {
        let status = object.status.get_or_insert_default();
        status.attempt_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(8).now));
    });
    for (case, object, minutes, ends) in [
        ("wanted", unknown(), 99, false),
        ("deleted, and it may pass", deleted(unknown()), 4, false),
        ("deleted", deleted(unknown()), 5, true),
        ("released", retained(deleted(unknown())), 5, false),
        ("suspended", suspended(unknown()), 5, true),
        ("past its deadline", late, 5, true),
        ("restarted, before the deadline of all attempts", restarted.clone(), 9, false),
        ("restarted, past the deadline of all attempts", restarted, 10, true),
    ] {
        assert_eq!(must_end_unrecorded_session(&object, &state, &at(minutes)), ends, "{case}");
    }
    assert!(!must_end_unrecorded_session(&deleted(live("IDLE")), &state, &at(5)), "recorded");
}

#[test]
fn a_strangers_session_in_the_status_is_none_of_ours() {
    let strange = Session {
        details: Some(Box::new(Details { description: Some("theirs".into()), ..Details::default() })),
        ..session("IDLE")
    };
    let mut state = met();
    let look = state.looked(Look::Seen(strange), UID, "s", &at(0));
    let seen = Seen { look: Some(look), ..nothing() };
    assert_eq!(next_step(&deleted(live("IDLE")), &state, &seen, &at(1)), Step::Start(0));
    assert_eq!(next_step(&live("IDLE"), &state, &seen, &at(11)), Step::Search);
}

#[test]
fn a_session_that_could_not_be_recorded_is_recorded_without_another_call() {
    let mut state = own_attempt();
    state.starting();
    state.started(0, "s", "CREATING", &at(0));
    for object in [unknown(), deleted(unknown())] {
        assert_eq!(next_step(&object, &state, &nothing(), &at(0)), Step::Adopt(0, session("CREATING")));
    }
}

#[test]
fn not_finding_a_session_proves_nothing_without_the_attempts_account() {
    let mut circumstances = at(30);
    circumstances.identity.account = None;
    assert_eq!(next_step(&live("IDLE"), &looked(5, &NOT_FOUND), &not_found(), &circumstances), Step::Wait);
}

#[test]
fn an_attempt_without_an_account_is_judged_only_by_who_made_it_or_has_seen_its_session() {
    let without = |object: AthenaSession| {
        with(object, |object| object.status.as_mut().expect("a status").account_id = None)
    };
    // A session that another process does not find may be in another account.
    let mut missed = met();
    for _ in 0..2 {
        missed.looked(NOT_FOUND, UID, "s", &at(25));
    }
    let gone = Seen { look: Some(NOT_FOUND), ..absent(26) };
    assert_eq!(next_step(&without(live("IDLE")), &missed, &gone, &at(30)), Step::Wait);
    assert_eq!(next_step(&deleted(without(live("IDLE"))), &missed, &gone, &at(30)), Step::Wait);
    assert_eq!(next_step(&live("IDLE"), &missed, &gone, &at(30)), Step::Conclude(EndReason::SessionVanished));
    assert_eq!(
        next_step(&without(unknown()), &met(), &nothing(), &at(5)),
        Step::Search,
        "a start could be the second"
    );
    assert_eq!(next_step(&without(unknown()), &met(), &absent(30), &at(30)), Step::Wait);
    let found =
        Seen { search: Some(Search::Found { attempt: 0, session: session("IDLE") }), ..Seen::default() };
    assert_eq!(next_step(&without(unknown()), &met(), &found, &at(30)), Step::Adopt(0, session("IDLE")));
    // The process that recorded the attempt, or has seen its session, knows that it belongs to this account.
    assert_eq!(next_step(&without(unknown()), &own_attempt(), &nothing(), &at(5)), Step::Start(0));
    assert_eq!(
        next_step(&without(live("IDLE")), &trusted(), &nothing(), &at(5)),
        Step::Look,
        "so that the account is recorded"
    );
    let mut settled = trusted();
    settled.rely_on_sweeps("s");
    assert_eq!(next_step(&without(live("IDLE")), &settled, &nothing(), &at(5)), Step::Look);
    assert_eq!(next_step(&live("IDLE"), &settled, &nothing(), &at(5)), Step::Wait);
}

#[test]
fn a_search_finds_the_attempt_with_the_role_and_configuration_of_the_spec() {
    let candidate = |description: &str, role: Option<&str>| Session {
        details: Some(Box::new(Details {
            description: Some(description.into()),
            execution_role: role.map(Into::into),
            ..Details::default()
        })),
        ..session("IDLE")
    };
    let asked = with(unknown(), |object| object.spec.execution_role = Some("role".into()));
    let own = format!("x [athena-operator/{UID}]");
    let next = format!("x [athena-operator/{UID}-2]");
    for (case, sessions, object, expected) in [
        ("own", vec![candidate(&own, Some("role"))], asked.clone(), "found 0"),
        ("another role", vec![candidate(&own, Some("other"))], asked.clone(), "MarkerMismatch"),
        ("another attempt", vec![candidate(&next, Some("role"))], asked.clone(), "absent"),
        (
            "a forgery beside",
            vec![candidate(&own, Some("other")), candidate(&own, Some("role"))],
            asked,
            "found 0",
        ),
        (
            "the newest of a wiped status",
            vec![candidate(&own, None), candidate(&next, None)],
            object(json!({})),
            "found 2",
        ),
        ("unmarked", vec![candidate("x", None)], object(json!({})), "absent"),
    ] {
        let found = match ownership::match_marked_sessions(sessions, &object, &met(), at(0).now) {
            Search::Found { attempt, .. } => format!("found {attempt}"),
            Search::Absent { .. } => "absent".to_owned(),
            Search::Failed(refusal) => refusal.reason.to_owned(),
        };
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn without_its_account_an_attempt_is_neither_started_nor_given_up() {
    let mut circumstances = at(30);
    circumstances.identity.account = None;
    for seen in [nothing(), absent(30)] {
        assert_eq!(next_step(&unknown(), &met(), &seen, &circumstances), Step::Wait);
        assert_eq!(next_step(&deleted(unknown()), &met(), &seen, &circumstances), Step::Wait);
    }
    assert_eq!(wake_time(&unknown(), &met(), &circumstances), None, "the account triggers it");
    assert_eq!(next_step(&deleted(live("IDLE")), &trusted(), &nothing(), &circumstances), Step::Terminate);
}

#[test]
fn a_refusal_wakes_the_object_when_it_stops_being_in_progress() {
    let state = refused(ErrorClass::MayHeal);
    assert_eq!(state.next_time(), Some(at(0).now + SignedDuration::from_millis(2500)));
    let mut state = refused(ErrorClass::Rejected);
    for _ in 0..5 {
        let doubted = state.starting();
        state.start_refused(refusal(ErrorClass::Rejected), doubted, &Environment { jitter: 1.0, ..at(0) });
    }
    assert_eq!(wake_time(&unknown(), &state, &at(1)), Some(at(5).now));
}

#[test]
fn a_transient_refusal_does_not_replace_one_that_needs_a_person() {
    let mut state = refused(ErrorClass::MayHeal);
    for class in [ErrorClass::Unanswered, ErrorClass::Throttled] {
        let doubted = state.starting();
        state.start_refused(refusal(class), doubted, &at(1));
    }
    let standing = state.refused.expect("a refusal");
    assert_eq!((standing.refusal.class, standing.since, standing.count), (ErrorClass::MayHeal, at(0).now, 2));
}

#[test]
fn a_first_attempt_under_a_finalizer_of_unknown_origin_may_have_been_tried() {
    let mut state = met();
    state.recorded(0, at(0).now, false);
    assert_eq!(next_step(&deleted(unknown()), &state, &nothing(), &at(0)), Step::Start(0));
}

#[test]
fn a_clock_that_was_put_back_does_not_stop_the_calls() {
    let state = refused(ErrorClass::MayHeal);
    assert!(!state.is_due(at(0).now));
    assert!(state.is_due(at(-60).now));
}

#[test]
fn an_object_wakes_when_something_is_due() {
    let due = |wait: i64| Some(at(0).now + SignedDuration::from_secs(wait));
    let changed = |change: fn(&mut LocalState)| {
        let mut state = trusted();
        change(&mut state);
        state
    };
    let looked_long_ago = changed(|state| {
        state.looked(NOT_FOUND, UID, "s", &at(0));
        state.seen_time = Some(at(-9).now);
    });
    let stale = changed(|state| {
        state.looked(NOT_FOUND, UID, "s", &at(0));
        state.seen_time = Some(at(-10).now);
    });
    let not_due = looked_long_ago.next_time();
    let failing = changed(|state| {
        for _ in 0..6 {
            state.looked(
                Look::Failed(refusal(ErrorClass::MayHeal)),
                UID,
                "s",
                &Environment { jitter: 1.0, ..at(0) },
            );
        }
        state.seen_time = Some(at(-9).now);
    });
    let mut failed_for_long = failing.clone();
    failed_for_long.seen_time = Some(at(-10).now);
    let known_later = |mut state: LocalState| {
        state.looked(
            Look::Failed(refusal(ErrorClass::MayHeal)),
            UID,
            "s",
            &Environment { jitter: 1.0, ..at(0) },
        );
        state
    };
    let in_use =
        |object| with(object, |object: &mut AthenaSession| object.spec.active_deadline_seconds = Some(1));
    for (case, object, state, expected) in vec![
        ("nothing recorded", object(json!({})), met(), None),
        ("refused", unknown(), refused(ErrorClass::Throttled), refused(ErrorClass::Throttled).next_time()),
        ("live", live("IDLE"), trusted(), due(1)),
        ("live, without a deadline begun", in_use(live("IDLE")), trusted(), due(1)),
        ("live, before its deadline", capped_exactly(live("IDLE"), 1), known_later(trusted()), due(1)),
        ("live, at its deadline, which is done", capped(live("IDLE"), 0), trusted(), due(1)),
        ("stopping, past its deadline", stopping(capped(live("IDLE"), 0)), trusted(), due(1)),
        ("unseen, about to be out of date", live("IDLE"), failing.clone(), due(60)),
        ("unseen and out of date", live("IDLE"), failed_for_long.clone(), failed_for_long.next_time()),
        ("not found", live("IDLE"), looked_long_ago, not_due),
        ("not found and out of date", live("IDLE"), stale.clone(), stale.next_time()),
        ("lost, which is done or waits for its turn", over("SessionLost"), met(), None),
        ("failed, to be restarted", restarting(over("SessionFailed"), 0), met(), due(10)),
        ("finished, to be deleted", mortal(over("IdleTimeout"), 2), met(), due(120)),
        ("finished, deleting", deleted(mortal(over("IdleTimeout"), 2)), met(), None),
        ("finished, suspended", suspended(mortal(over("IdleTimeout"), 2)), met(), None),
        ("finished", over("IdleTimeout"), met(), None),
    ] {
        assert_eq!(wake_time(&object, &state, &at(0)), expected, "{case}");
    }
}

#[test]
fn nothing_becomes_due_before_the_time_that_is_waited_for() {
    let failing = |class, looks| {
        let mut state = trusted();
        for _ in 0..looks {
            state.looked(Look::Failed(refusal(class)), UID, "s", &Environment { jitter: 1.0, ..at(0) });
        }
        state
    };
    let settled = {
        let mut state = trusted();
        state.rely_on_sweeps("s");
        state
    };
    let knowns = [
        met(),
        own_finalizer(),
        own_attempt(),
        trusted(),
        settled,
        searched(20),
        looked(1, &Look::NotFound { named: true }),
        looked(2, &Look::NotFound { named: false }),
    ]
    .into_iter()
    .chain(
        [
            ErrorClass::Unanswered,
            ErrorClass::Throttled,
            ErrorClass::Capacity,
            ErrorClass::MayHeal,
            ErrorClass::Rejected,
        ]
        .map(refused),
    )
    .chain([failing(ErrorClass::Unanswered, 1), failing(ErrorClass::MayHeal, 6)]);
    let bases = [
        object(json!({})),
        unknown(),
        live("CREATING"),
        live("IDLE"),
        live("TERMINATING"),
        over("SessionLost"),
        over("IdleTimeout"),
        over("SessionFailed"),
    ];
    let changes: [fn(AthenaSession) -> AthenaSession; 8] = [
        |object| object,
        deleted,
        suspended,
        suspended_since,
        stopping,
        |object| restarting(object, 4),
        |object| mortal(object, 3),
        |object| capped_exactly(restarting(object, 0), 90),
    ];
    let mut waits = 0;
    for state in knowns {
        for (object, seconds) in
            bases.iter().flat_map(|base| changes.iter().map(|change| change(base.clone()))).flat_map(
                |object| [0, 1, 30, 89, 90, 299, 600, 1200, 1801].map(|seconds| (object.clone(), seconds)),
            )
        {
            let circumstances =
                |seconds: i64| Environment { now: at(0).now + SignedDuration::from_secs(seconds), ..at(0) };
            let now = circumstances(seconds);
            let wake = wake_time(&object, &state, &now);
            assert!(wake.is_none_or(|time| time > now.now), "{wake:?} at {}", now.now);
            if !matches!(next_step(&object, &state, &nothing(), &now), Step::Wait | Step::Rest) {
                continue;
            }
            waits += 1;
            let steps = (seconds..seconds + 1800)
                .map(circumstances)
                .take_while(|later| wake.is_none_or(|time| later.now < time));
            for later in steps {
                let step = next_step(&object, &state, &nothing(), &later);
                assert!(
                    matches!(step, Step::Wait | Step::Rest),
                    "{step:?} at {} before {wake:?}: {object:?} {state:?}",
                    later.now
                );
            }
        }
    }
    assert!(waits > 500, "{waits} waits were seen");
}

#[test]
fn a_session_whose_attempt_is_over_before_it_is_recorded_is_leaked() {
    let mut state = own_attempt();
    assert_eq!(leaked_session(&unknown(), &state), None, "nothing was started");
    state.starting();
    state.started(0, "s", "CREATING", &at(0));
    let next = with(unknown(), |object| object.status.get_or_insert_default().attempt = Some(1));
    let another =
        with(live("IDLE"), |object| object.status.get_or_insert_default().session_id = Some("other".into()));
    for (case, object, expected) in [
        ("its attempt waits for it", unknown(), None),
        ("it is recorded", live("IDLE"), None),
        ("another attempt is recorded", next, Some("s")),
        ("another session is recorded", another, Some("s")),
        ("its attempt is over", over("SessionFailed"), Some("s")),
        ("no attempt is recorded", object(json!({})), Some("s")),
    ] {
        assert_eq!(leaked_session(&object, &state), expected, "{case}");
    }
}

#[test]
fn a_settled_session_that_a_list_shows_in_another_state_is_looked_at_from_then_on() {
    let at = Environment { now: Timestamp::UNIX_EPOCH, jitter: 0.5, ..at(0) };
    for (shown, looked_at) in [("TERMINATING", true), ("STOPPED", true), ("BUSY", false)] {
        let mut state = LocalState::default();
        state.started(0, "id", "IDLE", &at);
        state.rely_on_sweeps("id");
        let listed = Session { id: "id".into(), state: shown.into(), ..Session::default() };
        assert!(state.sighted(listed, "uid", "id", &at).is_some());
        assert_eq!(state.next_time().is_some_and(|time| state.is_due(time)), looked_at, "{shown}");
    }
}

/// Returns objects whose next step depends on a time, with their local state and the results of reads.
fn timed() -> Vec<(&'static str, AthenaSession, LocalState, Seen)> {
    let late = |begun| Seen { search: Some(Search::Absent { begun: at(begun).now }), ..nothing() };
    let gone = || Seen { look: Some(Look::NotFound { named: true }), ..late(30) };
    vec![
        ("new, held by this process", object(json!({})), own_finalizer(), nothing()),
        ("young or old", unknown(), met(), nothing()),
        ("young or old, deleting", deleted(unknown()), met(), nothing()),
        ("young or old, suspended", suspended(unknown()), met(), nothing()),
        ("refused in this process", unknown(), refused(ErrorClass::Capacity), nothing()),
        ("lost", unknown(), absent_from(met(), &[30, 32]), nothing()),
        ("absent since deletion", deleted(object(json!({}))), searched(30), late(30)),
        ("vanished", live("IDLE"), looked(2, &Look::NotFound { named: true }), gone()),
        ("vanished, deleting", deleted(live("IDLE")), looked(2, &Look::NotFound { named: true }), gone()),
        ("not ready in time", live("CREATED"), trusted(), starting("CREATED", 30)),
        ("at its active deadline", capped(live("IDLE"), 5), trusted(), nothing()),
        ("failed, to be restarted", restarting(over("SessionFailed"), 0), met(), nothing()),
        ("to be resumed", over("Suspended"), met(), nothing()),
        ("lost, to be tried again", over("SessionLost"), met(), nothing()),
        ("to delete itself", mortal(over("IdleTimeout"), 2), met(), nothing()),
    ]
}

#[test]
fn before_athena_has_told_its_time_no_time_starts_or_ends_anything() {
    let cases = timed();
    for (case, object, state, seen) in &cases {
        for minutes in [-100_000, -21, -7, 0, 5, 7, 21, 100_000] {
            let uncertain = Environment { is_time_certain: false, ..at(minutes) };
            let step = next_step(object, state, seen, &uncertain);
            let harmless = matches!(
                step,
                Step::Wait
                    | Step::AskTime
                    | Step::ReadWorkGroup
                    | Step::Look
                    | Step::Search
                    | Step::Mirror(_)
            );
            // A deletion is a reason of its own to end a session.
            let harmless = harmless || step == Step::Terminate && object.is_deleting();
            assert!(harmless, "{case}, {minutes} minutes off: {step:?}");
        }
    }
    // A step that waits for a time alone requests it: no other call would be made.
    let uncertain = Environment { is_time_certain: false, ..at(7) };
    for (case, object, state, seen) in &cases {
        let looks_at_nothing = seen.look.is_none() && seen.search.is_none();
        if looks_at_nothing && !matches!(attempt(object, state), Attempt::Live(..)) {
            let step = next_step(object, state, seen, &uncertain);
            assert!(
                matches!(step, Step::AskTime | Step::ReadWorkGroup)
                    || state.next_time().is_some_and(|time| time > uncertain.now),
                "{case}: {step:?}"
            );
        }
        let suspended_or_gone = wants_stopped(object) && matches!(attempt(object, state), Attempt::Live(..));
        let deadline_free =
            matches!(attempt(object, state), Attempt::Live(..)) && active_deadline(object).is_none();
        assert!(
            awaits_time(object, state, &uncertain) || suspended_or_gone || deadline_free,
            "{case}: nothing would trigger it"
        );
        assert!(!awaits_time(object, state, &at(7)), "{case}");
    }
}

#[test]
fn what_needs_no_time_goes_on_before_athena_has_told_its_own() {
    let uncertain = Environment { is_time_certain: false, ..at(0) };
    let mut asked = met();
    asked.work_group_read(Err(&refusal(ErrorClass::Unanswered)), &Environment { jitter: 1.0, ..at(0) });
    let cases: Vec<(&str, AthenaSession, LocalState, Seen, Step)> = vec![
        ("a look", live("IDLE"), met(), nothing(), Step::Look),
        ("a search", deleted(object(json!({}))), met(), nothing(), Step::Search),
        ("a session that is found", object(json!({})), met(), found(), Step::Adopt(0, session("IDLE"))),
        ("an end that Athena states", deleted(live("IDLE")), trusted(), seen("TERMINATED"), Step::Release),
        ("a suspend", suspended(live("IDLE")), trusted(), nothing(), Step::Stop(StopCause::Suspended, None)),
        ("a deletion", deleted(live("IDLE")), trusted(), nothing(), Step::Terminate),
        ("a refused time", restarting(over("SessionFailed"), 0), asked, nothing(), Step::Wait),
        ("a finished object", over("IdleTimeout"), met(), nothing(), Step::Rest),
    ];
    for (case, object, state, seen, expected) in cases {
        assert_eq!(next_step(&object, &state, &seen, &uncertain), expected, "{case}");
    }
}

#[test]
fn a_deletion_is_compared_with_the_clock_of_the_api_server() {
    for (ahead, begun, expected) in [
        (Some(0), 10, Step::Release),
        (Some(0), 9, Step::Search),
        // Athena's clock, or the list's, is ten minutes ahead of the deletion's.
        (Some(-10), 19, Step::Search),
        (Some(-10), 20, Step::Release),
        (Some(10), 0, Step::Release),
        (Some(10), -1, Step::Search),
        // The API server has not returned its time.
        (None, 1_000, Step::Search),
    ] {
        let at = Environment { api_server_ahead: ahead.map(SignedDuration::from_mins), ..at(begun) };
        let object = deleted(object(json!({})));
        assert_eq!(next_step(&object, &searched(begun), &absent(begun), &at), expected, "{ahead:?} {begun}");
    }
}

#[test]
fn a_jump_of_the_nodes_clock_changes_no_decision() {
    // Returns the local states of a process whose clock is off by so many seconds, after a refusal, a look, a search and a termination in turn.
    let states = |seconds: i64| {
        let off = SignedDuration::from_secs(seconds);
        let at = |minutes| Environment { now: at(minutes).now + off, jitter: 0.5, ..at(0) };
        let origin = Timestamp::from_second(1_700_000_000).expect("a time") + off;
        let mut all = Vec::new();
        for calls in 0..16 {
            let mut state = LocalState::met(at(0).now);
            state.set_clock(origin);
            if calls & 1 != 0 {
                state.work_group_read(Err(&refusal(ErrorClass::Unanswered)), &at(1));
            }
            if calls & 2 != 0 {
                state.looked(Look::Failed(refusal(ErrorClass::MayHeal)), UID, "s", &at(2));
            }
            if calls & 4 != 0 {
                state.searched(&Search::Failed(refusal(ErrorClass::MayHeal)), &at(3));
            }
            if calls & 2 == 0 {
                state.searched(&Search::Absent { begun: at(2).now }, &at(3));
            }
            if calls & 8 != 0 {
                state.terminate_refused(refusal(ErrorClass::MayHeal), &at(4));
            }
            all.push((origin, state));
        }
        all
    };
    let right = states(0);
    for off in [-86_400, -3_600, -400, -31, -1, 1, 31, 400, 21 * 60, 3_600, 86_400] {
        for ((origin, right), (_, mut wrong)) in right.iter().zip(states(off)) {
            wrong.set_clock(*origin);
            assert_eq!(&wrong, right, "{off}");
            for (case, object, _, seen) in timed() {
                for minutes in [0, 2, 4, 5, 9, 12, 20, 30] {
                    let at = at(minutes);
                    assert_eq!(
                        next_step(&object, &wrong, &seen, &at),
                        next_step(&object, right, &seen, &at),
                        "{case} {off}"
                    );
                    assert_eq!(
                        wake_time(&object, &wrong, &at),
                        wake_time(&object, right, &at),
                        "{case} {off}"
                    );
                }
            }
        }
    }
}

#[test]
fn people_are_told_that_a_start_is_not_answered_when_that_begins_and_when_it_lasts() {
    let refusal =
        |class| Refusal { class, reason: "AthenaUnavailable", message: "no".into(), request_id: None };
    let mut state = own_attempt();
    let mut told = |minutes: i64, class| {
        state.start_refused(refusal(class), false, &at(minutes));
        let is_new_refusal = state.missing_answer_to_tell(&at(minutes)).is_some();
        assert_eq!(
            state.missing_answer_to_tell(&at(minutes)).is_some(),
            is_new_refusal,
            "a report that was not written is still due"
        );
        state.missing_answer_told(&at(minutes));
        is_new_refusal
    };
    let asked = [
        (0, ErrorClass::Unanswered),
        (1, ErrorClass::Unanswered),
        (4, ErrorClass::Unanswered),
        (5, ErrorClass::Unanswered),
        (9, ErrorClass::Unanswered),
    ];
    assert_eq!(asked.map(|(minutes, class)| told(minutes, class)), [true, false, false, true, false]);
    assert!(!told(10, ErrorClass::Throttled), "an answer");
    assert!(told(11, ErrorClass::NotSent), "they are missing again");
}
