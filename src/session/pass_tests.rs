//! Passes from their first request to their end.

use serde_json::{Value, json};

use super::*;
use crate::api::FINALIZER;
use crate::session::reply::{ErrorClass, Refusal, Session};
use crate::session::status::tests::{UID, at};

const ID: &str = "5d0a2d1c-7b1f-4c7a-9a52-2f9f0c3b8e41";

/// Returns an object with this status and the operator's finalizer.
fn object(status: &Value) -> AthenaSession {
    serde_json::from_value(json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
        "metadata": { "name": "etl", "namespace": "team", "uid": UID, "generation": 1, "finalizers": [FINALIZER] },
        "spec": { "workGroup": "etl" },
        "status": status,
    }))
    .expect("an object")
}

fn recorded() -> Value {
    json!({ "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1" })
}

/// Returns the local state of a process that has added the finalizer to `object`.
fn finalizer_added() -> LocalState {
    let mut state = LocalState::met(at(0).now);
    state.finalizer_added = true;
    state
}

/// Runs a pass over `object`: each answer is passed in for the next request. Returns the requests, the end, and the local state after it.
fn run(object: &AthenaSession, state: LocalState, answers: &[Answer]) -> (Vec<Request>, End, LocalState) {
    go_on(Pass::new(&OperatorDecisions, object, Some(7), state, Seen::default(), &at(0)), answers)
}

fn go_on(mut pass: Pass<'_>, answers: &[Answer]) -> (Vec<Request>, End, LocalState) {
    let mut requests = Vec::new();
    let mut answers = answers.iter();
    loop {
        match pass.next(&at(0)) {
            ControlFlow::Continue(request) => {
                requests.push(request.clone());
                let answer = answers.next().unwrap_or_else(|| panic!("no answer to {request:?}"));
                pass.answered(answer.clone(), &at(0));
            }
            ControlFlow::Break(end) => {
                assert_eq!(answers.next(), None, "answers that nothing asks for after {requests:?}");
                return (requests, end, pass.finish().0);
            }
        }
    }
}

/// Returns the status that the last request writes.
fn written(requests: &[Request]) -> Value {
    let Some(Request::Write(Write::Status { status, .. })) = requests.last() else {
        panic!("{requests:?} write no status")
    };
    serde_json::to_value(status).expect("JSON")
}

fn yes(version: u64) -> Answer {
    Answer::Written(Written::Yes(Some(version)))
}

#[test]
fn an_attempt_is_recorded_before_it_is_started() {
    let new = object(&json!({ "observedGeneration": -1 }));
    let (requests, end, state) =
        run(&new, finalizer_added(), &[Answer::WorkGroup(Ok(())), Answer::Done, yes(8)]);
    assert_eq!(requests[..2], [Request::ReadWorkGroup, Request::Turn(Step::Record(0))]);
    assert_eq!((&written(&requests)["attempt"], end), (&json!(0), End::Written(Some(8))));

    let (requests, end, _) = run(
        &object(&recorded()),
        state,
        &[Answer::Done, Answer::Started(ID.into(), "CREATING".into()), yes(9)],
    );
    assert_eq!(requests[..2], [Request::Turn(Step::Start(0)), Request::Start(0)]);
    assert_eq!((&written(&requests)["sessionId"], end), (&json!(ID), End::Written(Some(9))));
}

#[test]
fn what_another_process_has_recorded_is_started_only_as_the_api_server_has_it() {
    let begun = || LocalState::met(at(0).now);
    for (found, starts) in [(Found::Same, true), (Found::Changed, false), (Found::Gone, false)] {
        let rest = if starts { vec![Answer::Refused(Refusal::unanswered("no")), yes(8)] } else { vec![] };
        let (requests, end, _) =
            run(&object(&recorded()), begun(), &[vec![Answer::Done, Answer::Found(found)], rest].concat());
        assert_eq!(requests.contains(&Request::Start(0)), starts, "{found:?}");
        assert_eq!(end, if starts { End::Written(Some(8)) } else { End::Outdated });
    }
}

#[test]
fn a_call_without_a_turn_waits_and_the_status_says_what_it_says_anyway() {
    let (requests, end, _) = run(&object(&recorded()), LocalState::met(at(0).now), &[Answer::Wait, yes(8)]);
    assert_eq!(
        (requests.len(), &requests[0], end),
        (2, &Request::Turn(Step::Start(0)), End::Written(Some(8)))
    );
    assert_eq!(written(&requests)["sessionId"], Value::Null);
}

#[test]
fn a_start_that_was_not_made_after_all_is_in_no_doubt() {
    let mut own = finalizer_added();
    own.recorded(0, "2026-01-01T00:00:00Z".parse().expect("a time"), false);
    let recorded = object(&recorded());
    let (_, end, state) = run(&recorded, own, &[Answer::Done, Answer::Outdated]);
    let Attempt::Unknown(recorded) = attempt(&recorded, &state) else { panic!("an attempt") };
    assert_eq!((end, state.nothing_started(&recorded)), (End::Outdated, true));
}

#[test]
fn a_session_whose_object_is_gone_is_ended() {
    let started =
        || [Answer::Done, Answer::Found(Found::Same), Answer::Started(ID.into(), "CREATING".into())].to_vec();
    let leaked = Request::EndLeaked { id: ID.into(), leak: Leak::ObjectGone };
    for (answers, is_leaked, expected) in [
        (vec![Answer::Written(Written::Gone), Answer::Done], true, End::Gone),
        (
            vec![Answer::Written(Written::Conflict), Answer::Found(Found::Gone), Answer::Done],
            true,
            End::Outdated,
        ),
        (vec![Answer::Written(Written::Conflict), Answer::Found(Found::Changed)], false, End::Outdated),
    ] {
        let (requests, end, state) =
            run(&object(&recorded()), LocalState::met(at(0).now), &[started(), answers].concat());
        assert_eq!((requests.contains(&leaked), end), (is_leaked, expected));
        assert_eq!(state.unrecorded.is_some(), !is_leaked, "what may still be recorded is remembered");
    }
}

#[test]
fn what_a_look_showed_and_could_not_be_written_is_looked_at_again_at_once() {
    let live = object(&json!({
        "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1", "sessionId": ID, "state": "CREATED", "engineVersion": "3.5",
    }));
    let mut trusted = LocalState::met(at(0).now);
    trusted.started(0, ID, "CREATED", &at(-1));
    trusted.session_recorded();
    let idle = Session { id: ID.into(), state: "IDLE".into(), ..Session::default() };
    let look = Request::Look { id: ID.into(), full: false };
    let seen = || Answer::Look(Look::Seen(idle.clone()), at(0).now);
    let (requests, end, state) = run(&live, trusted.clone(), &[seen(), Answer::Written(Written::Conflict)]);
    assert_eq!((&requests[0], &written(&requests)["state"], end), (&look, &json!("IDLE"), End::Outdated));
    assert_eq!(run(&live, state, &[seen(), yes(8)]).0[0], look, "after a conflict");

    let mut pass = Pass::new(&OperatorDecisions, &live, Some(7), trusted, Seen::default(), &at(0));
    assert_eq!(pass.next(&at(0)), ControlFlow::Continue(look.clone()));
    pass.answered(seen(), &at(0));
    assert!(matches!(pass.next(&at(0)), ControlFlow::Continue(Request::Write(_))));
    pass.abandon();
    let (state, _) = pass.finish();
    assert_eq!(run(&live, state, &[seen(), yes(8)]).0[0], look, "after no answer");
}

#[test]
fn the_status_says_that_a_write_is_refused_unless_it_is_the_status() {
    let live = object(
        &json!({ "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1", "sessionId": ID, "state": "IDLE" }),
    );
    let refuse = |what, answers: &[Answer]| {
        let (pass, is_new_refusal) = Pass::after_refused_write(
            &OperatorDecisions,
            &live,
            Some(7),
            LocalState::met(at(0).now),
            (what, "a label is missing"),
            &at(0),
        );
        assert!(is_new_refusal);
        go_on(pass, answers)
    };
    let (requests, end, _) = refuse(refused_write::REMOVE_FINALIZER, &[yes(8)]);
    assert!(written(&requests)["conditions"][0]["message"].to_string().contains("a label is missing"));
    assert_eq!(end, End::Refused(Some(8)));
    let (requests, end, _) = refuse(refused_write::STATUS, &[]);
    assert_eq!((requests, end), (vec![], End::Refused(None)));
}

#[test]
fn a_look_that_became_due_while_a_list_was_read_is_made_at_once() {
    let mut live = object(&json!({
        "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1", "sessionId": ID, "state": "CREATED", "engineVersion": "3.5",
    }));
    let mut state = LocalState::met(at(0).now);
    state.started(0, ID, "CREATED", &at(-1));
    state.session_recorded();
    let created = Session { id: ID.into(), state: "CREATED".into(), ..Session::default() };
    // The status says so already.
    live.status =
        Some(status_after(&live, &state, &Step::Mirror(created.clone()), &Outcome::Nothing, &at(0)));
    let look = state.sighted(created, UID, ID, &Environment { jitter: 0.5, ..at(-1) });
    let mut pass = Pass::new(
        &OperatorDecisions,
        &live,
        Some(7),
        state,
        Seen { look, look_time: Some(at(-1).now), ..Seen::default() },
        &at(0),
    );
    assert_eq!(pass.next(&at(0)), ControlFlow::Break(End::Rest));
    assert_eq!(pass.due_time(&at(0)), Some(at(0).now));
}

#[test]
fn a_refused_write_stays_known_while_the_object_also_waits_for_athenas_time() {
    let mut new = object(&json!({ "observedGeneration": -1 }));
    new.metadata.finalizers = None;
    let env = Environment { is_time_certain: false, ..at(0) };
    let mut state = LocalState::met(env.now);
    assert!(state.write_refused(refused_write::ADD_FINALIZER, "no label", Some(7), &env));
    let mut pass = Pass::new(&OperatorDecisions, &new, Some(7), state, Seen::default(), &env);
    let mut waits = false;
    while let ControlFlow::Continue(request) = pass.next(&env) {
        waits |= matches!(request, Request::AwaitTime { .. });
        let answer = if let Request::Write(_) = request { yes(8) } else { Answer::Done };
        pass.answered(answer, &env);
    }
    assert!(waits, "for Athena's time");
    let (mut state, _) = pass.finish();
    assert!(!state.write_refused(refused_write::ADD_FINALIZER, "no label", Some(7), &env), "it is no news");
}

#[test]
#[should_panic(expected = "an answer without a request")]
fn an_answer_that_nothing_has_asked_for_is_a_bug() {
    let refusal =
        Refusal { class: ErrorClass::MayHeal, reason: "No", message: String::new(), request_id: None };
    let object = object(&recorded());
    Pass::new(&OperatorDecisions, &object, None, LocalState::default(), Seen::default(), &at(0))
        .answered(Answer::Refused(refusal), &at(0));
}
