//! What every status, patch and event must be like, whatever led to it.

use athena_operator::api::{AthenaSession, AthenaSessionStatus, FINALIZER};
use athena_operator::session::events::Event;
use athena_operator::session::status::condition;
use harness::merge;
use serde_json::{Value, json};

use crate::schema::fault_of_status;
use crate::secrets;

/// The members of the status that change, as the operator writes them: null removes one.
pub(crate) fn difference(before: &Value, after: &Value) -> Value {
    let (before, after) =
        (before.as_object().cloned().unwrap_or_default(), after.as_object().cloned().unwrap_or_default());
    let removed =
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(changed.chain(removed).collect())
}

/// `raw` with the status written, as the API server would have it. Panics where it would refuse it.
pub(crate) fn written(raw: &Value, object: &AthenaSession, status: &AthenaSessionStatus) -> Value {
    let before = serde_json::to_value(object.status.clone().unwrap_or_default()).expect("a status is JSON");
    let after = serde_json::to_value(status).expect("a status is JSON");
    apply(raw, &json!({ "status": difference(&before, &after) }))
}

/// `raw` with a merge patch of its status. Panics where the API server would refuse that.
pub(crate) fn apply(raw: &Value, patch: &Value) -> Value {
    let mut changed = raw.clone();
    merge(&mut changed, patch);
    stored(raw, changed, patch)
}

/// `raw` with this status in place of its own. Panics where the API server would refuse that.
pub(crate) fn replace(raw: &Value, status: &Value) -> Value {
    let mut changed = raw.clone();
    changed["status"] = status.clone();
    stored(raw, changed, status)
}

fn stored(raw: &Value, changed: Value, written: &Value) -> Value {
    secrets::check("what is written", &written.to_string());
    if let Some(fault) = fault_of_status(&raw["status"], &changed["status"]) {
        panic!("the API server refuses what is written: {fault}: {written}");
    }
    changed
}

/// Panics where `status`, of an object as it is in `object`, breaks what conditions promise.
pub(crate) fn check_conditions(object: &AthenaSession, status: &AthenaSessionStatus) {
    let types: Vec<&str> =
        status.conditions.iter().flatten().map(|condition| condition.type_.as_str()).collect();
    let flag = match types.as_slice() {
        ["Ready", "Available"] => None,
        ["Ready", "Available", flag @ ("Reconciling" | "Stalled")] => Some(*flag),
        other => panic!("the conditions are {other:?}"),
    };
    assert_eq!(
        status.observed_generation, object.metadata.generation,
        "observedGeneration is not the generation"
    );
    let ready = condition(status, "Ready").expect("Ready");
    for other in status.conditions.iter().flatten() {
        let same = (&other.reason, &other.message, other.observed_generation)
            == (&ready.reason, &ready.message, object.metadata.generation);
        assert!(same, "{} differs from Ready: {other:?}", other.type_);
        assert!(
            !matches!(other.type_.as_str(), "Reconciling" | "Stalled") || other.status == "True",
            "{other:?}"
        );
    }
    let deleting = object.metadata.deletion_timestamp.is_some();
    // Ready and kstatus say the same.
    match (ready.status.as_str(), flag) {
        ("True", None) | ("Unknown", Some("Reconciling")) | ("False", Some("Stalled")) => {}
        ("False", None) if deleting => {}
        other => panic!("Ready and the flag are {other:?}: {ready:?}"),
    }
    if ready.reason == "SessionIdle" || ready.reason == "SessionBusy" {
        assert_eq!(condition(status, "Available").map(|available| available.status.as_str()), Some("True"));
    }
    if deleting && object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER) {
        assert!(
            ready.message.contains("kubectl patch")
                || ready.message.contains("no session of the object runs"),
            "a deletion names no way out: {ready:?}"
        );
    }
}

/// Panics where the API server would refuse the event, or it holds a secret.
pub(crate) fn check_event(event: &Event) {
    secrets::check("an event", &event.note);
    check_event_fields(&event.reason, &event.note, event.action);
}

/// Panics where the API server would refuse an event with these.
pub(crate) fn check_event_fields(reason: &str, note: &str, action: &str) {
    assert!(note.len() <= 1024, "a note of {} bytes", note.len());
    for word in [reason, action] {
        assert!(
            !word.is_empty() && word.len() <= 128 && word.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "not a word: {word:?}"
        );
    }
}
