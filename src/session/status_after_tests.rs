//! The status that each step leads to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::tests::{at, live, object, over, recorded_and, refused, with};
use super::*;
use crate::session::reply::Details;

const ACCOUNT: &str = "000000000000";

/// Returns the circumstances of an operator that knows its account.
fn told(minutes: i64) -> Environment {
    let mut circumstances = at(minutes);
    circumstances.identity.account = Some(ACCOUNT.into());
    circumstances
}

/// Returns the status after a step, without generation and conditions.
fn after(
    object: &AthenaSession,
    state: &LocalState,
    step: &Step,
    outcome: &Outcome,
    at: &Environment,
) -> Value {
    let status = status_after(object, state, step, outcome, at);
    serde_json::to_value(AthenaSessionStatus { conditions: None, observed_generation: None, ..status })
        .expect("JSON")
}

fn met() -> LocalState {
    LocalState::met(at(0).now)
}

fn session(state: &str) -> Session {
    Session { id: "s".into(), state: state.into(), start_time: Some(at(1).now), ..Session::default() }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn each_step_leads_to_its_status() {
    const BEGUN: &str = "2026-01-01T00:00:00Z";
    const FIRST: &str = "2026-01-01T00:01:00Z";
    const NOW: &str = "2026-01-01T00:05:00Z";
    let rejection = |object: &AthenaSession, state: &LocalState| {
        let refusal = Refusal {
            class: ErrorClass::Rejected,
            reason: "InvalidRequest",
            message: "no".into(),
            request_id: None,
        };
        after(object, state, &Step::Start(0), &Outcome::Refused(refusal), &told(5))
    };
    let step = |object: &AthenaSession, step: Step| after(object, &met(), &step, &Outcome::Nothing, &told(5));
    let started = |state: &str| Outcome::Started { id: "s".into(), state: state.into() };
    let unknown = recorded_and(json!({ "restarts": 2, "firstStartTime": FIRST }));
    let before = |further: Value| recorded_and(further).status;

    let status = step(&object(json!({})), Step::Record(0));
    assert_eq!(
        status,
        json!({ "attempt": 0, "attemptTime": NOW, "region": "eu-west-1", "accountId": ACCOUNT })
    );

    // The same attempt again, with a new time; what counts over all attempts stays.
    let status = step(&unknown, Step::Record(0));
    let expected = json!({ "attempt": 0, "attemptTime": NOW, "region": "eu-west-1", "accountId": ACCOUNT, "restarts": 2, "firstStartTime": FIRST });
    assert_eq!(status, expected);

    let state = json!({
        "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "accountId": ACCOUNT, "restarts": 2, "firstStartTime": FIRST, "sessionId": "s",
    });
    let and = |further: Value| {
        let mut status = state.clone();
        status.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
        status
    };
    let status = after(&unknown, &met(), &Step::Start(0), &started("CREATING"), &told(5));
    assert_eq!(status, and(json!({ "state": "CREATING" })));
    assert_eq!(after(&unknown, &met(), &Step::Start(0), &started(""), &told(5)), state);
    // Region and account of the attempt stay, even if the operator has others now.
    let moved = with(unknown.clone(), |object| {
        let status = object.status.get_or_insert_default();
        (status.region, status.account_id) = (Some("us-east-1".into()), Some("111111111111".into()));
    });
    let status = after(&moved, &met(), &Step::Start(0), &started(""), &told(5));
    assert_eq!(status, and(json!({ "region": "us-east-1", "accountId": "111111111111" })));

    let status = step(&unknown, Step::Adopt(0, session("DEGRADED")));
    assert_eq!(status, and(json!({ "state": "DEGRADED", "startTime": FIRST })));
    let status = step(&object(json!({})), Step::Adopt(3, session("CREATED")));
    let expected = json!({
        "attempt": 3, "attemptTime": NOW, "region": "eu-west-1", "accountId": ACCOUNT, "sessionId": "s", "state": "CREATED",
        "startTime": FIRST, "firstStartTime": FIRST,
    });
    assert_eq!(status, expected);

    let running = with(live("CREATING"), |object| object.status.get_or_insert_default().restarts = Some(2));
    let seen = json!({ "state": "CREATED", "startTime": FIRST });
    assert_eq!(step(&running, Step::Mirror(session("CREATED"))), and(seen.clone()));
    let status = step(&running, Step::Stop(StopCause::Suspended, Some(session("CREATED"))));
    let mut expected = and(seen);
    expected["stopCause"] = "Suspended".into();
    expected.as_object_mut().expect("an object").remove("accountId");
    assert_eq!(status, expected, "a stop is recorded of what was seen");
    let stop = Step::Stop(StopCause::ActiveDeadline, None);
    assert_eq!(step(&live("IDLE"), stop)["stopCause"], "ActiveDeadline");
    assert_eq!(step(&over("SessionFailed"), Step::Suspend)["stopCause"], "Suspended");

    let ended = |reason: &str, why: Value| {
        let mut status =
            serde_json::to_value(before(json!({ "endTime": NOW, "endReason": reason }))).expect("JSON");
        if why.is_string() {
            status["stateChangeReason"] = why;
        }
        status
    };
    let unknown = recorded_and(json!({}));
    assert_eq!(step(&unknown, Step::Conclude(EndReason::Suspended)), ended("Suspended", Value::Null));
    let lost = Step::Conclude(EndReason::SessionLost);
    let conclude = |state: &LocalState| after(&unknown, state, &lost, &Outcome::Nothing, &told(5));
    assert_eq!(
        conclude(&refused(Call::Start, ErrorClass::MayHeal, 0)),
        ended("SessionLost", "no".into()),
        "Athena's refusal explains it"
    );
    assert_eq!(
        conclude(&refused(Call::Terminate, ErrorClass::MayHeal, 0)),
        ended("SessionLost", Value::Null),
        "that of another call does not"
    );

    // A rejection ends the attempt only if no earlier call of it can have started anything.
    assert_eq!(
        rejection(&unknown, &refused(Call::Start, ErrorClass::Rejected, 0)),
        ended("InvalidRequest", "no".into())
    );
    let untouched = serde_json::to_value(&unknown.status).expect("JSON");
    assert_eq!(rejection(&unknown, &refused(Call::Start, ErrorClass::Unanswered, 0)), untouched);
    assert_eq!(rejection(&unknown, &met()), untouched);
    let throttled = Outcome::Refused(Refusal {
        class: ErrorClass::Throttled,
        reason: "Throttled",
        message: "no".into(),
        request_id: None,
    });
    assert_eq!(
        after(
            &unknown,
            &refused(Call::Start, ErrorClass::Throttled, 0),
            &Step::Start(0),
            &throttled,
            &told(5)
        ),
        untouched
    );
    for step in [Step::Wait, Step::Rest, Step::Terminate] {
        assert_eq!(after(&unknown, &met(), &step, &Outcome::Nothing, &told(5)), untouched);
    }
}

#[test]
fn a_new_record_keeps_the_times_of_the_conditions() {
    let first = status_after(&recorded_and(json!({})), &met(), &Step::Wait, &Outcome::Nothing, &at(0));
    let before = AthenaSession { status: Some(first.clone()), ..recorded_and(json!({})) };
    let again = status_after(&before, &met(), &Step::Record(0), &Outcome::Nothing, &at(5));
    assert_eq!(again.conditions, first.conditions);
}

#[test]
fn a_condition_that_flips_has_a_new_time_and_no_other() {
    let first = status_after(&live("CREATING"), &met(), &Step::Wait, &Outcome::Nothing, &at(0));
    let before = AthenaSession { status: Some(first), ..live("CREATING") };
    let ready = Step::Mirror(session("IDLE"));
    let status = status_after(&before, &met(), &ready, &Outcome::Nothing, &at(5));
    for condition in status.conditions.iter().flatten() {
        assert_eq!(condition.last_transition_time, seconds(at(5).now), "{}", condition.type_);
    }
    let before = AthenaSession { status: Some(status), ..live("IDLE") };
    let stopped = Step::Stop(StopCause::Suspended, None);
    let status = status_after(&before, &met(), &stopped, &Outcome::Nothing, &at(9));
    let times: Vec<_> =
        status.conditions.iter().flatten().map(|condition| condition.last_transition_time.clone()).collect();
    assert_eq!(times, vec![seconds(at(9).now); 3]);
}

#[test]
fn a_session_is_ready_from_the_first_time_that_it_is_idle_or_busy() {
    let mut status = AthenaSessionStatus::default();
    mirror(&mut status, &session("CREATED"), None, &LocalState::default(), at(1).now);
    assert_eq!(status.ready_time, None);
    let modified = Session { last_modified_time: Some(at(2).now), ..session("IDLE") };
    mirror(&mut status, &modified, None, &LocalState::default(), at(3).now);
    assert_eq!(status.ready_time, Some(seconds(at(2).now)));
    mirror(&mut status, &session("BUSY"), None, &LocalState::default(), at(4).now);
    mirror(&mut status, &session("DEGRADED"), None, &LocalState::default(), at(5).now);
    assert_eq!(status.ready_time, Some(seconds(at(2).now)));
}

#[test]
fn what_a_session_has_used_is_told_at_its_end() {
    for (state, used, expected) in [
        ("IDLE", Some(7), None),
        ("TERMINATED", Some(7), Some(7)),
        ("TERMINATED", Some(0), Some(0)),
        ("TERMINATED", Some(-1), None),
    ] {
        let mut status = AthenaSessionStatus::default();
        let details = Details {
            dpu_execution_in_millis: used,
            engine_version: Some("Apache Spark version 3.5".into()),
            ..Details::default()
        };
        mirror(
            &mut status,
            &Session { details: Some(Box::new(details)), ..session(state) },
            None,
            &LocalState::default(),
            at(9).now,
        );
        assert_eq!(
            (status.dpu_execution_in_millis, status.engine_version.as_deref()),
            (expected, Some("Apache Spark version 3.5"))
        );
    }
}

#[test]
fn what_others_wrote_is_carried_over_only_as_the_schema_takes_it() {
    const EARLY: &str = "0000-01-01T00:00:00+23:59";
    let condition = json!({ "type": "Ready", "status": "Unknown", "reason": "X", "message": "m", "lastTransitionTime": EARLY });
    let flipped = status_after(
        &recorded_and(json!({ "conditions": [condition] })),
        &met(),
        &Step::Wait,
        &Outcome::Nothing,
        &at(5),
    );
    assert_eq!(condition_time(&flipped), Some(seconds(at(5).now)));

    let foreign = json!({
        "attempt": -7, "sessionId": "x".repeat(257), "startTime": EARLY, "endTime": EARLY, "endReason": "y".repeat(65),
        "stateChangeReason": "z".repeat(1025), "dpuExecutionInMillis": -1,
    });
    let mut before = foreign.clone();
    before["previousAttempts"] = json!([foreign]);
    let status = after(&recorded_and(before), &met(), &Step::Record(0), &Outcome::Nothing, &at(5));
    let kept = json!({ "attempt": 0, "endReason": "y".repeat(64), "stateChangeReason": "z".repeat(1024) });
    assert_eq!(status["previousAttempts"], json!([kept, kept]));

    let started = with(live("IDLE"), |object| {
        object.status = serde_json::from_value(json!({ "startTime": EARLY })).expect("a status");
    });
    let mirrored = after(
        &started,
        &met(),
        &Step::Mirror(Session { start_time: None, ..session("IDLE") }),
        &Outcome::Nothing,
        &at(5),
    );
    assert_eq!(mirrored["firstStartTime"], Value::Null);

    let stopped = recorded_and(json!({ "sessionId": "s", "stopCause": "c".repeat(65) }));
    for step in [Step::Conclude(EndReason::SessionVanished), Step::Mirror(session("TERMINATED"))] {
        assert_eq!(after(&stopped, &met(), &step, &Outcome::Nothing, &at(5))["endReason"], "c".repeat(64));
    }
}

fn condition_time(status: &AthenaSessionStatus) -> Option<Time> {
    condition(status, "Ready").map(|ready| ready.last_transition_time.clone())
}

#[test]
fn a_session_that_is_idle_again_was_at_work_until_then() {
    const FIRST: &str = "2026-01-01T00:02:00Z";
    const RESTED: &str = "2026-01-01T00:30:00Z";
    let before = |state: &str, further: Value| {
        let mut status = json!({ "sessionId": "s", "state": state });
        status.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
        recorded_and(status)
    };
    let rested = |object: &AthenaSession| {
        let mut state = met();
        state.started(0, "s", "CREATED", &at(1));
        let session = Session { idle_since_time: Some(at(30).now), ..session("IDLE") };
        after(object, &state, &Step::Mirror(session), &Outcome::Nothing, &at(31))["lastBusyTime"].clone()
    };
    assert_eq!(rested(&before("BUSY", json!({ "lastBusyTime": FIRST }))), RESTED);
    assert_eq!(
        rested(&before("IDLE", json!({ "lastBusyTime": FIRST, "idleSinceTime": "2026-01-01T00:10:00Z" }))),
        RESTED,
        "it was busy in between"
    );
    assert_eq!(rested(&before("IDLE", json!({ "lastBusyTime": FIRST, "idleSinceTime": RESTED }))), FIRST);
    assert_eq!(rested(&before("CREATED", json!({}))), Value::Null, "it was never at work");
}

/// Returns the local state of the session "s" after its status was written at minute 2.
fn written() -> LocalState {
    let mut state = met();
    state.started(0, "s", "CREATED", &at(1));
    state.status_written(&at(2));
    state
}

#[test]
fn being_idle_or_busy_alone_waits_to_be_written_and_everything_else_does_not() {
    let state = written();
    let ready = |shown: &str, further: Value| {
        let mut status = json!({ "sessionId": "s", "state": shown, "readyTime": "2026-01-01T00:02:00Z", "lastBusyTime": "2026-01-01T00:02:00Z" });
        status.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
        let mut object = recorded_and(status);
        // With the conditions and times that the operator has written.
        let seen = Session { last_modified_time: Some(at(2).now), ..session(shown) };
        object.status = Some(status_after(&object, &state, &Step::Mirror(seen), &Outcome::Nothing, &at(2)));
        object
    };
    let (idle, busy) = (ready("IDLE", json!({})), ready("BUSY", json!({})));
    let is_mere = |object: &AthenaSession, step: &Step, at: &Environment| {
        is_mere_work(
            object.status.as_ref().expect("a status"),
            &status_after(object, &state, step, &Outcome::Nothing, at),
        )
    };
    let rested = Session { idle_since_time: Some(at(3).now), ..session("IDLE") };
    for (object, step) in [
        (&idle, Step::Mirror(session("BUSY"))),
        (&busy, Step::Mirror(rested.clone())),
        (&idle, Step::Mirror(rested)),
    ] {
        assert!(is_mere(object, &step, &at(3)), "{step:?}");
    }
    let mut seen = written();
    seen.looked(
        crate::session::reply::Look::Seen(session("BUSY")),
        "u",
        "s",
        &Environment { jitter: 0.5, ..at(3) },
    );
    let mut unused = idle.clone();
    unused.status.get_or_insert_default().last_busy_time = None;
    let first = status_after(&unused, &seen, &Step::Mirror(session("BUSY")), &Outcome::Nothing, &at(3));
    assert!(
        first.last_busy_time.is_some() && !is_mere_work(unused.status.as_ref().expect("a status"), &first),
        "at work for the first time"
    );
    for step in [
        Step::Mirror(session("TERMINATED")),
        Step::Mirror(session("DEGRADED")),
        Step::Stop(StopCause::ActiveDeadline, Some(session("BUSY"))),
    ] {
        assert!(!is_mere(&idle, &step, &at(3)), "{step:?}");
    }
    let mut edited = idle.clone();
    edited.metadata.generation = Some(7);
    assert!(!is_mere(&edited, &Step::Mirror(session("BUSY")), &at(3)), "a change of the spec is seen");
    let created = recorded_and(json!({ "sessionId": "s", "state": "CREATED" }));
    assert!(!is_mere(&created, &Step::Mirror(session("IDLE")), &at(3)));
}

#[test]
fn a_cause_that_could_not_be_written_is_written_with_whatever_is() {
    let object =
        recorded_and(json!({ "sessionId": "s", "state": "IDLE", "readyTime": "2026-01-01T00:02:00Z" }));
    let mut state = written();
    state.unrecorded_cause = Some(Box::new(StopCause::Suspended));
    for (step, reason) in [
        (Step::Mirror(session("TERMINATING")), Value::Null),
        (Step::Mirror(session("TERMINATED")), json!("Suspended")),
    ] {
        let status = after(&object, &state, &step, &Outcome::Nothing, &at(3));
        assert_eq!((&status["stopCause"], &status["endReason"]), (&json!("Suspended"), &reason), "{step:?}");
    }
    let stopped = with(object.clone(), |object| {
        object.status.get_or_insert_default().stop_cause = Some(StopCause::Degraded);
    });
    assert_eq!(after(&stopped, &state, &Step::Wait, &Outcome::Nothing, &at(3))["stopCause"], "Degraded");
    for unconcerned in [over("IdleTimeout"), recorded_and(json!({ "sessionId": "another", "state": "IDLE" }))]
    {
        assert_eq!(
            after(&unconcerned, &state, &Step::Wait, &Outcome::Nothing, &at(3))["stopCause"],
            Value::Null
        );
    }
}

#[test]
fn what_waits_to_be_written_goes_with_whatever_is_written() {
    let object =
        recorded_and(json!({ "sessionId": "s", "state": "BUSY", "lastBusyTime": "2026-01-01T00:02:00Z" }));
    let mut state = written();
    state.hold_work(Some(Session { idle_since_time: Some(at(3).now), ..session("IDLE") }));
    let stopped =
        after(&object, &state, &Step::Stop(StopCause::ActiveDeadline, None), &Outcome::Nothing, &at(4));
    assert_eq!(
        (&stopped["state"], &stopped["idleSinceTime"]),
        (&json!("IDLE"), &json!("2026-01-01T00:03:00Z"))
    );
    // The end keeps the time since which the session was idle, which distinguishes an idle timeout from a stop.
    let ended = after(&object, &state, &Step::Mirror(session("TERMINATED")), &Outcome::Nothing, &at(30));
    assert_eq!(
        (&ended["state"], &ended["idleSinceTime"]),
        (&json!("TERMINATED"), &json!("2026-01-01T00:03:00Z"))
    );
    assert!(state.is_written_lately(&at(2)) && !state.is_written_lately(&at(3)));
    assert_eq!(state.work_time(&at(2)), Some(at(3).now));
    state.status_written(&at(3));
    assert_eq!(state.work_time(&at(3)), None);
}
