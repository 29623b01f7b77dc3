//! The table of steps, row by row.

use serde_json::{Value, json};

use super::*;
use crate::session::{Class, Details, Refusal};

const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";
/// When attempts of these tests were recorded.
const BEGUN: &str = "2026-01-01T00:00:00Z";

fn at(minutes: i64) -> Circumstances {
    let begun: Timestamp = BEGUN.parse().expect("a time");
    Circumstances {
        now: begun + SignedDuration::from_mins(minutes),
        identity: Identity { region: "eu-west-1".into(), account: Some("000000000000".into()) },
        limits: Limits::default(),
    }
}

/// An object with our finalizer and this status.
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
    object(json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "accountId": "000000000000", "sessionId": "s", "state": state }))
}

fn over(reason: &str) -> AthenaSession {
    object(json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "sessionId": "s", "endTime": BEGUN, "endReason": reason }))
}

fn with(mut object: AthenaSession, change: impl FnOnce(&mut AthenaSession)) -> AthenaSession {
    change(&mut object);
    object
}

fn deleted(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0).now)))
}

fn unheld(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.metadata.finalizers = None)
}

fn retained(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.spec.deletion_policy = DeletionPolicy::Retain)
}

fn stopping(object: AthenaSession) -> AthenaSession {
    with(object, |object| object.status.get_or_insert_default().stop_cause = Some(StopCause::Degraded))
}

fn met() -> Known {
    Known::met(at(0).now)
}

fn own_finalizer() -> Known {
    let mut known = met();
    known.finalizer_added = true;
    known
}

fn own_attempt() -> Known {
    let mut known = met();
    known.recorded(0, at(0).now);
    known
}

fn refused(class: Class) -> Known {
    let mut known = own_attempt();
    let doubted = known.starting();
    known.start_refused(refusal(class), doubted, at(0).now, 0.0);
    known
}

fn refusal(class: Class) -> Refusal {
    Refusal { class, reason: "TokenMismatch", message: "no".into(), request_id: None }
}

fn trusted() -> Known {
    let mut known = own_attempt();
    known.starting();
    known.started(0, "s", "CREATING", at(0).now, &Limits::default());
    known.session_recorded();
    known
}

fn session(state: &str) -> Session {
    Session { id: "s".into(), state: state.into(), ..Session::default() }
}

fn seen(state: &str) -> Seen {
    Seen { look: Some(Look::Seen(session(state))), search: None }
}

fn found() -> Seen {
    Seen { search: Some(Search::Found { attempt: 0, session: session("IDLE") }), look: None }
}

fn absent(begun: i64) -> Seen {
    Seen { search: Some(Search::Absent { begun: at(begun).now }), look: None }
}

fn not_found() -> Seen {
    Seen { look: Some(Look::NotFound), search: None }
}

fn nothing() -> Seen {
    Seen::default()
}

fn looked(times: u32, look: &Look) -> Known {
    let mut known = trusted();
    for _ in 0..times {
        known.looked(look.clone(), UID, "s", at(0).now, &Limits::default(), 0.0);
    }
    known
}

#[test]
fn each_row_of_the_table_is_taken() {
    let elsewhere = |object| with(object, |object: &mut AthenaSession| object.status.get_or_insert_default().region = Some("us-east-1".into()));
    let cases: Vec<(&str, AthenaSession, Known, Seen, i64, Step)> = vec![
        ("deleting without our finalizer", unheld(deleted(live("IDLE"))), met(), nothing(), 0, Step::Done),
        ("deleting with Retain", retained(deleted(live("IDLE"))), met(), nothing(), 0, Step::Release),
        ("deleting with Retain, elsewhere", retained(deleted(elsewhere(live("IDLE")))), met(), nothing(), 0, Step::Release),
        ("unknown, elsewhere", elsewhere(unknown()), met(), nothing(), 0, Step::Rest),
        ("live, elsewhere", elsewhere(live("IDLE")), met(), nothing(), 0, Step::Rest),
        ("deleting, live, elsewhere", deleted(elsewhere(live("IDLE"))), met(), nothing(), 0, Step::Rest),
        ("deleting, over elsewhere", deleted(elsewhere(over("SessionFailed"))), met(), nothing(), 0, Step::Release),
        ("new", unheld(object(json!({}))), met(), nothing(), 0, Step::AddFinalizer),
        ("live without our finalizer", unheld(live("IDLE")), met(), nothing(), 0, Step::AddFinalizer),
        ("held by this process", object(json!({})), own_finalizer(), nothing(), 0, Step::Record(0)),
        ("held by another process", object(json!({})), met(), nothing(), 0, Step::Search),
        ("held by another process, nothing found", object(json!({})), met(), absent(0), 0, Step::Record(0)),
        ("held by another process, found", object(json!({})), met(), found(), 0, Step::Adopt(0, session("IDLE"))),
        ("deleting, never tried", deleted(object(json!({}))), own_finalizer(), nothing(), 0, Step::Release),
        ("deleting, held by another process", deleted(object(json!({}))), met(), nothing(), 0, Step::Search),
        ("deleting, found", deleted(object(json!({}))), met(), found(), 0, Step::Adopt(0, session("IDLE"))),
        ("deleting, absent too early", deleted(object(json!({}))), met(), absent(9), 10, Step::Wait),
        ("deleting, absent", deleted(object(json!({}))), met(), absent(10), 10, Step::Release),
        ("recorded", unknown(), own_attempt(), nothing(), 0, Step::Start(0)),
        ("recorded by another process", unknown(), met(), nothing(), 9, Step::Start(0)),
        ("recorded, deleting, not tried", deleted(unknown()), own_attempt(), nothing(), 0, Step::Release),
        ("recorded by another process, deleting", deleted(unknown()), met(), nothing(), 0, Step::Start(0)),
        ("refused, deleting", deleted(unknown()), refused(Class::Throttled), nothing(), 0, Step::Release),
        ("unanswered, deleting", deleted(unknown()), refused(Class::Unanswered), nothing(), 1, Step::Start(0)),
        ("refused, too early", unknown(), refused(Class::Throttled), nothing(), 0, Step::Wait),
        ("refused, due", unknown(), refused(Class::Throttled), nothing(), 1, Step::Start(0)),
        ("refused, older", unknown(), refused(Class::Throttled), nothing(), 10, Step::Record(0)),
        ("unanswered, older", unknown(), refused(Class::Unanswered), nothing(), 10, Step::Search),
        ("unanswered, older, found", unknown(), refused(Class::Unanswered), found(), 10, Step::Adopt(0, session("IDLE"))),
        ("unanswered, absent too early", unknown(), refused(Class::Unanswered), absent(19), 19, Step::Wait),
        ("unanswered, absent", unknown(), refused(Class::Unanswered), absent(20), 20, Step::Conclude(EndReason::SessionLost)),
        ("token conflict", unknown(), refused(Class::TokenConflict), nothing(), 1, Step::Search),
        ("token conflict, absent", unknown(), refused(Class::TokenConflict), absent(20), 20, Step::Conclude(EndReason::TokenMismatch)),
        ("live, not due", live("IDLE"), trusted(), nothing(), 0, Step::Wait),
        ("live, due", live("IDLE"), trusted(), nothing(), 1, Step::Look),
        ("live, looked", live("IDLE"), trusted(), seen("BUSY"), 1, Step::Mirror(session("BUSY"))),
        ("live, ended", live("IDLE"), trusted(), seen("TERMINATED"), 1, Step::Mirror(session("TERMINATED"))),
        ("live, degraded", live("IDLE"), trusted(), seen("DEGRADED"), 1, Step::Stop(StopCause::Degraded, session("DEGRADED"))),
        ("stopping", stopping(live("DEGRADED")), trusted(), nothing(), 0, Step::Terminate),
        ("stopping, ending", stopping(live("TERMINATING")), trusted(), nothing(), 1, Step::Look),
        ("stopping, seen ending", stopping(live("DEGRADED")), trusted(), seen("TERMINATING"), 1, Step::Mirror(session("TERMINATING"))),
        ("deleting, live", deleted(live("IDLE")), trusted(), nothing(), 0, Step::Terminate),
        ("deleting, live, not yet trusted", deleted(live("IDLE")), met(), nothing(), 0, Step::Look),
        ("deleting, ended", deleted(live("IDLE")), trusted(), seen("FAILED"), 0, Step::Release),
        ("not found too early", live("IDLE"), looked(2, &Look::NotFound), not_found(), 9, Step::Wait),
        ("not found once", live("IDLE"), looked(1, &Look::NotFound), not_found(), 10, Step::Wait),
        ("vanished", live("IDLE"), looked(2, &Look::NotFound), not_found(), 10, Step::Conclude(EndReason::SessionVanished)),
        ("vanished, deleting", deleted(live("TERMINATING")), looked(2, &Look::NotFound), not_found(), 10, Step::Release),
        ("over", over("SessionFailed"), met(), nothing(), 0, Step::Rest),
        ("over, without our finalizer", unheld(over("IdleTimeout")), met(), nothing(), 0, Step::Rest),
        ("over, deleting", deleted(over("IdleTimeout")), met(), nothing(), 0, Step::Release),
        ("lost", over("SessionLost"), met(), nothing(), 0, Step::Record(1)),
        ("lost, without our finalizer", unheld(over("SessionLost")), met(), nothing(), 0, Step::AddFinalizer),
        ("over for a reason of a later release", over("Other"), met(), nothing(), 0, Step::Rest),
    ];
    for (case, object, known, seen, minutes, expected) in cases {
        assert_eq!(next_step(&object, &known, &seen, &at(minutes)), expected, "{case}");
    }
}

#[test]
fn terminate_is_repeated_only_after_a_look_that_shows_no_effect() {
    let object = deleted(live("IDLE"));
    let mut known = trusted();
    known.terminated(at(0).now, &Limits::default(), 0.0);
    assert_eq!(next_step(&object, &known, &nothing(), &at(1)), Step::Look);
    assert_eq!(next_step(&object, &known, &seen("TERMINATING"), &at(1)), Step::Mirror(session("TERMINATING")));
    assert_eq!(next_step(&object, &known, &seen("IDLE"), &at(1)), Step::Terminate);
    assert_eq!(next_step(&object, &known, &seen("IDLE"), &at(0)), Step::Mirror(session("IDLE")), "the backoff is not over");
}

#[test]
fn a_strangers_session_in_the_status_is_none_of_ours() {
    let strange = Session { details: Some(Box::new(Details { description: Some("theirs".into()), ..Details::default() })), ..session("IDLE") };
    let mut known = met();
    let look = known.looked(Look::Seen(strange), UID, "s", at(0).now, &Limits::default(), 0.0);
    let seen = Seen { look: Some(look), search: None };
    assert_eq!(next_step(&deleted(live("IDLE")), &known, &seen, &at(1)), Step::Start(0));
    assert_eq!(next_step(&live("IDLE"), &known, &seen, &at(11)), Step::Search);
}

#[test]
fn a_session_that_could_not_be_recorded_is_recorded_without_another_call() {
    let mut known = own_attempt();
    known.starting();
    known.started(0, "s", "CREATING", at(0).now, &Limits::default());
    for object in [unknown(), deleted(unknown())] {
        assert_eq!(next_step(&object, &known, &nothing(), &at(0)), Step::Adopt(0, session("CREATING")));
    }
}

#[test]
fn not_finding_a_session_proves_nothing_without_the_attempts_account() {
    let mut circumstances = at(30);
    circumstances.identity.account = None;
    assert_eq!(next_step(&live("IDLE"), &looked(5, &Look::NotFound), &not_found(), &circumstances), Step::Wait);
}

#[test]
fn a_search_finds_the_attempt_with_the_role_and_configuration_of_the_spec() {
    let candidate = |description: &str, role: Option<&str>| Session {
        details: Some(Box::new(Details { description: Some(description.into()), execution_role: role.map(Into::into), ..Details::default() })),
        ..session("IDLE")
    };
    let asked = with(unknown(), |object| object.spec.execution_role = Some("role".into()));
    let own = format!("x [athena-operator/{UID}]");
    let next = format!("x [athena-operator/{UID}-2]");
    for (case, sessions, object, expected) in [
        ("own", vec![candidate(&own, Some("role"))], asked.clone(), Some(0)),
        ("another role", vec![candidate(&own, Some("other"))], asked.clone(), None),
        ("another attempt", vec![candidate(&next, Some("role"))], asked, None),
        ("the newest of a wiped status", vec![candidate(&own, None), candidate(&next, None)], object(json!({})), Some(2)),
        ("unmarked", vec![candidate("x", None)], object(json!({})), None),
    ] {
        assert_eq!(super::found(sessions, &object, &met()).map(|(number, _)| number), expected, "{case}");
    }
}
