//! The table of events, and the events that occur.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::athena::CATALOGUE;
use crate::session::reply::ErrorClass;
use crate::session::status::tests::{at, recorded_and, rows};
use crate::session::status::{Available, Row, conditions, row};

fn object(metadata: Value, status: Value) -> AthenaSession {
    let mut object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "spec": { "workGroup": "etl" } });
    (object["metadata"], object["status"]) = (metadata, status);
    serde_json::from_value(object).expect("an AthenaSession")
}

fn refusal(class: ErrorClass, reason: &'static str) -> Refusal {
    Refusal { class, reason, message: "no".into(), request_id: Some("r-1".into()) }
}

fn status_of(row: &Row) -> AthenaSessionStatus {
    let conditions = Some(conditions(&[], row, None, Timestamp::UNIX_EPOCH));
    AthenaSessionStatus { conditions, ..AthenaSessionStatus::default() }
}

fn ready(reason: &str) -> Row {
    Row::ready(reason, Available::True, "")
}

fn progressing(reason: &str, message: &str) -> Row {
    Row::progressing(reason, Available::False, message)
}

fn stalled(reason: &str, message: &str) -> Row {
    Row::stalled(reason, Available::False, message)
}

/// Returns a row for each reason that a row can have.
fn all_rows() -> impl Iterator<Item = Row> {
    let refused = CATALOGUE.iter().map(|entry| match entry.class {
        ErrorClass::Unanswered => progressing("Starting", ""),
        ErrorClass::Throttled | ErrorClass::Capacity => progressing(entry.reason, ""),
        _ => stalled(entry.reason, ""),
    });
    // The end of an attempt may have a reason of a later release.
    let state = rows().filter(|row| row.reason != "Later");
    state.chain(refused).chain(["MarkerMismatch", "AccountChanged"].map(|reason| progressing(reason, "")))
}

#[test]
fn every_event_that_occurs_is_in_the_table_and_every_row_occurs() {
    let none = LocalState::default();
    let nothing =
        all_rows().filter_map(|row| event(None, &status_of(&row), &Step::Wait, &Outcome::Nothing, &none));
    let refused = CATALOGUE.iter().flat_map(|entry| {
        let reason = if entry.class == ErrorClass::Unanswered { "Starting" } else { entry.reason };
        let outcome = Outcome::Refused(refusal(entry.class, entry.reason));
        let after = status_of(&progressing(reason, "no"));
        let told = |step| event(None, &after, &step, &outcome, &none);
        [Step::Start(0), Step::Terminate].map(told).into_iter().flatten()
    });
    let live = object(json!({}), json!({ "attempt": 0, "sessionId": "s" }));
    let run_on = Retained {
        uid: "u".into(),
        session_id: Some("s".into()),
        work_group: Some("w".into()),
        region: None,
    };
    let started = Outcome::Started { id: "s".into(), state: "CREATING".into() };
    let starting = status_of(&progressing("SessionCreating", ""));
    let mut mortal = object(json!({ "labels": { "argocd.argoproj.io/instance": "etl" } }), Value::Null);
    mortal.spec.ttl_seconds_after_finished = Some(1);
    let others =
        [event(None, &starting, &Step::Start(0), &started, &none), ttl_under_gitops(&mortal, Some(false))]
            .into_iter()
            .flatten();

    let occurring: Vec<Event> = nothing
        .chain(refused)
        .chain(others)
        .chain([
            release(&live),
            retained(&run_on),
            unreadable("correct spec"),
            write_refused("write the status", "no"),
        ])
        .collect();
    let reasons: BTreeSet<&str> = occurring.iter().map(|event| &*event.reason).collect();
    let rows: BTreeSet<&str> = crate::api::REASONS.iter().map(|kind| kind.word).collect();
    assert_eq!(reasons, rows);
    assert_eq!(crate::api::REASONS.len(), rows.len(), "a reason has two rows");
    for kind in crate::api::REASONS {
        assert!(
            occurring
                .iter()
                .filter(|event| event.reason == kind.word)
                .all(|event| event.warning == kind.warning),
            "{}",
            kind.word
        );
        assert!(!kind.meaning.is_empty() && !kind.advice.is_empty(), "{}", kind.word);
    }
}

#[test]
fn a_row_that_is_not_ready_is_a_warning_but_for_a_deletion() {
    for row in all_rows() {
        let is_false = condition(&status_of(&row), "Ready").is_some_and(|ready| ready.status == "False");
        if is_false && row.reason != "Deleting" {
            assert!(new(&row.reason, "", "Observe").warning, "{}", row.reason);
        }
    }
    assert!(new("AReasonOfALaterRelease", "", "Observe").warning);
}

#[test]
fn an_unanswered_start_is_told_once_and_never_as_its_row() {
    let starting = status_of(&progressing("Starting", "no"));
    let throttled = status_of(&progressing("Throttled", "no"));
    let unanswered = Outcome::Refused(refusal(ErrorClass::Unanswered, "AthenaUnavailable"));
    let state = LocalState::default();
    let told = event(Some(&throttled), &starting, &Step::Start(0), &unanswered, &state)
        .map(|event| (event.reason, event.note));
    assert_eq!(told, Some(("AthenaUnavailable".into(), "no (AWS request id r-1)".into())));
    assert_eq!(event(Some(&starting), &starting, &Step::Start(0), &unanswered, &state), None);

    let deleting = status_of(&Row::deleting("waiting"));
    let told = event(Some(&starting), &deleting, &Step::Start(0), &unanswered, &state)
        .map(|event| (event.warning, event.reason));
    assert_eq!(told, Some((false, "Deleting".into())));
}

#[test]
fn a_start_is_told_when_its_session_is_recorded_late_and_what_is_found_is_no_start() {
    let creating = status_of(&progressing("SessionCreating", ""));
    let session = Session { id: "s".into(), state: "CREATING".into(), ..Session::default() };
    let told = |state: &LocalState| {
        event(None, &creating, &Step::Adopt(0, session.clone()), &Outcome::Nothing, state)
            .map(|event| event.note.into_string())
    };
    let mut own = LocalState::default();
    own.started(0, "s", "CREATING", &at(0));
    assert_eq!(told(&own).as_deref(), Some("session s was started"));
    own.session_recorded();
    assert_eq!([told(&own), told(&LocalState::default())], [None, None]);
}

#[test]
fn the_event_of_a_refusal_that_goes_on_standing_names_its_request() {
    let told = |state: &LocalState, row: &Row| {
        let event = event(None, &status_of(row), &Step::Wait, &Outcome::Nothing, state).expect("an event");
        (event.reason.into_owned(), event.note.into_string())
    };
    let start_refused = |reason| {
        let mut state = LocalState::default();
        state.start_refused(refusal(ErrorClass::MayHeal, reason), false, &at(0));
        state
    };
    let stalled_row = |state: &LocalState| row(&recorded_and(json!({})), state, &at(5));
    let state = start_refused("AccessDenied");
    let expected = "StartSession is refused: no; correct the operator's IAM policy (AWS request id r-1)";
    assert_eq!(told(&state, &stalled_row(&state)), ("AccessDenied".into(), expected.into()));
    let expected = "StartSession is refused: no; find out who started it, and end it";
    let other = stalled_row(&start_refused("MarkerMismatch"));
    assert_eq!(told(&state, &other), ("MarkerMismatch".into(), expected.into()));
    let mut state = LocalState::default();
    state.terminate_refused(refusal(ErrorClass::MayHeal, "AccessDenied"), &at(0));
    let lives_on = told(&state, &stalled("TerminateRefused", "it lives on"));
    assert_eq!(lives_on, ("TerminateRefused".into(), "it lives on (AWS request id r-1)".into()));
}

#[test]
fn an_event_names_its_attempt_and_that_of_a_refused_end_the_kind_of_refusal() {
    let told = |row: Row, step: Step, outcome: Outcome| {
        let after = AthenaSessionStatus { attempt: Some(3), ..status_of(&row) };
        let event = event(None, &after, &step, &outcome, &LocalState::default()).expect("an event");
        (event.reason.into_owned(), event.attempt, event.refusal)
    };
    let idle = || ready("SessionIdle");
    let refused = |class, reason| Outcome::Refused(refusal(class, reason));
    let denied = progressing("AccessDenied", "no");
    assert_eq!(told(idle(), Step::Wait, Outcome::Nothing), ("SessionIdle".into(), Some(3), None));
    assert_eq!(
        told(denied, Step::Start(3), refused(ErrorClass::MayHeal, "AccessDenied")),
        ("AccessDenied".into(), Some(3), None)
    );
    for (class, reason) in [
        (ErrorClass::MayHeal, "AccessDenied"),
        (ErrorClass::Throttled, "Throttled"),
        (ErrorClass::Unanswered, "AthenaUnavailable"),
    ] {
        assert_eq!(
            told(idle(), Step::Terminate, refused(class, reason)),
            ("TerminateRefused".into(), Some(3), Some(reason))
        );
    }
    let missing = unanswered(&refusal(ErrorClass::Unanswered, "AthenaUnavailable"), Some(3));
    assert_eq!((&*missing.reason, missing.attempt, missing.refusal), ("AthenaUnavailable", Some(3), None));
}

#[test]
fn a_ttl_on_what_flux_or_argo_cd_applies_is_warned_of_once() {
    let told = |mut metadata: Value, status: Value, ttl: Option<i32>, before: Option<bool>| {
        metadata["generation"] = json!(2);
        let mut object = object(metadata, status);
        object.spec.ttl_seconds_after_finished = ttl;
        ttl_under_gitops(&object, before)
            .map(|event| event.note.split(' ').next().unwrap_or_default().to_owned())
    };
    let unseen = || json!({ "observedGeneration": -1 });
    let reported = || json!({ "observedGeneration": 2 });
    for (key, tool) in [
        ("kustomize.toolkit.fluxcd.io/name", "Flux"),
        ("helm.toolkit.fluxcd.io/name", "Flux"),
        ("argocd.argoproj.io/instance", "Argo"),
        ("argocd.argoproj.io/tracking-id", "Argo"),
    ] {
        for place in ["labels", "annotations"] {
            let metadata = || json!({ place: { key: "x" } });
            assert_eq!(told(metadata(), Value::Null, Some(0), None).as_deref(), Some(tool));
            assert_eq!(told(metadata(), unseen(), Some(0), None).as_deref(), Some(tool));
            assert_eq!(
                told(metadata(), json!({ "observedGeneration": 1 }), Some(0), None).as_deref(),
                Some(tool),
                "set while no operator ran"
            );
            assert_eq!(
                told(metadata(), reported(), Some(0), Some(false)).as_deref(),
                Some(tool),
                "the TTL or the mark has come since"
            );
            assert_eq!(told(metadata(), reported(), Some(0), None), None, "reported by another process");
            assert_eq!(
                told(metadata(), unseen(), Some(0), Some(true)),
                None,
                "reported before its generation could be reported"
            );
            assert_eq!(told(metadata(), unseen(), None, Some(false)), None, "without a TTL");
        }
    }
    let helm =
        json!({ "labels": { "app.kubernetes.io/instance": "etl", "app.kubernetes.io/managed-by": "Helm" } });
    assert_eq!(told(helm, unseen(), Some(0), None), None);
    let deleted = json!({ "labels": { "argocd.argoproj.io/instance": "etl" }, "deletionTimestamp": "2026-01-01T00:00:00Z" });
    assert_eq!(told(deleted, unseen(), Some(0), None), None);
}

#[test]
fn a_note_has_no_more_than_its_1024_bytes() {
    let refusal = Refusal {
        message: "\u{20ac}".repeat(1000),
        request_id: Some("r".repeat(1000)),
        ..refusal(ErrorClass::MayHeal, "AccessDenied")
    };
    let note = refused("AccessDenied", &refusal, "Start").note;
    assert!(note.len() <= 1024 && note.contains("(AWS request id rrr"), "{} bytes", note.len());
    let id = "s".repeat(2000);
    let after = status_of(&progressing("SessionCreating", ""));
    let started = event(
        None,
        &after,
        &Step::Start(0),
        &Outcome::Started { id, state: "".into() },
        &LocalState::default(),
    )
    .expect("an event");
    assert!(
        started.note.starts_with("session sss") && started.note.len() <= 1024,
        "{} bytes",
        started.note.len()
    );
}

#[test]
fn a_retained_session_is_told_with_its_id_work_group_and_region() {
    let run_on = |id: Option<&str>, work_group: Option<&str>, region: Option<&str>| {
        let [session_id, work_group, region] = [id, work_group, region].map(|text| text.map(str::to_owned));
        let event = retained(&Retained { uid: "u".into(), session_id, work_group, region });
        assert!(event.warning && event.reason == "SessionRetained", "{event:?}");
        event.note.into_string()
    };
    assert!(
        run_on(Some("s"), Some("w"), Some("r"))
            .starts_with("session s in work group w, region r, may run on and be billed: ")
    );
    assert!(run_on(Some("s"), None, None).starts_with("session s may run on"));
    assert!(
        run_on(None, Some("w"), None)
            .starts_with("a session in work group w may have been started, and may run on and be billed: ")
    );
    assert!(run_on(None, None, Some("r")).starts_with("a session in region r may have been started"));
}
