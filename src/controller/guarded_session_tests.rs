use serde_json::{Value, json};

use super::*;

fn object(extra: Value) -> Value {
    let mut object = json!({
        "apiVersion": "athena-operator.io/v1alpha1",
        "kind": "AthenaSession",
        "metadata": {
            "namespace": "team", "name": "etl", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["example.org/one", FINALIZER],
        },
        "spec": { "workGroup": "etl" },
    });
    merge(&mut object, extra);
    object
}

/// Puts what `from` holds into `into`, null included, which a merge patch would take for a removal.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn decoded(object: &Value) -> AthenaSession {
    serde_json::from_str::<GuardedSession>(&object.to_string())
        .expect("it can be decoded")
        .0
        .expect("it can be read")
}

/// A spec that names every field.
fn every_field() -> Value {
    let manifest = include_str!("../../tests/golden/every-field.yaml");
    serde_saphyr::from_str::<Value>(manifest).expect("YAML")["spec"].clone()
}

fn large(size: usize) -> Value {
    let properties: BTreeMap<String, String> =
        (0..100).map(|number| (format!("spark.p{number}"), "x".repeat(size / 100))).collect();
    json!({ "engineConfiguration": { "sparkProperties": properties } })
}

#[test]
fn a_small_object_is_decoded_as_it_is() {
    let time = "2026-01-01T00:00:00Z";
    let condition = json!({ "type": "Ready", "status": "True", "reason": "SessionIdle", "message": "m", "lastTransitionTime": time });
    let status = json!({ "observedGeneration": 2, "attempt": 0, "attemptTime": time, "sessionId": "s", "conditions": [condition],
        "previousAttempts": [{ "attempt": 0, "stateChangeReason": "why", "endReason": "SessionFailed" }] });
    for extra in [
        json!({}),
        json!({ "spec": every_field() }),
        json!({ "status": status, "spec": { "tags": { "team": "data" } } }),
    ] {
        let raw = object(extra);
        let whole: AthenaSession = serde_json::from_value(raw.clone()).expect("an object");
        assert_eq!(decoded(&raw), whole);
        assert!(!decoded(&raw).spec.trimmed);
        let from_value: GuardedSession = serde_json::from_value(raw).expect("it can be decoded");
        assert_eq!(from_value.0.expect("it can be read"), whole);
    }
}

#[test]
fn metadata_that_the_operator_does_not_read_is_dropped() {
    let marked = "argocd.argoproj.io/tracking-id";
    let object = decoded(&object(json!({ "metadata": {
        "labels": { "example.org/label": "x".repeat(60) },
        "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", marked: "x".repeat(10_000), "example.org/other": "x" },
        "managedFields": [{ "manager": "kubectl", "operation": "Apply" }],
        "ownerReferences": [{ "apiVersion": "v1", "kind": "K", "name": "n", "uid": "u" }],
    }})));
    let metadata = object.metadata;
    assert_eq!((metadata.managed_fields, metadata.owner_references, metadata.labels), (None, None, None));
    assert_eq!(metadata.annotations, Some([(marked.to_owned(), String::new())].into()));
    assert_eq!(metadata.finalizers.map(|kept| (kept.len(), kept.capacity())), Some((2, 2)));
    assert!(!object.spec.trimmed);
}

#[test]
fn of_a_large_spec_that_is_kept_which_decisions_need() {
    let mut raw = object(json!({ "spec": every_field() }));
    merge(&mut raw, json!({ "spec": large(1_000_000) }));
    let kept = decoded(&raw);
    let whole: AthenaSession = serde_json::from_value(raw).expect("an object");
    assert!(kept.spec.trimmed && weight(&kept.spec) < 256, "{} bytes are kept", weight(&kept.spec));
    // The same fields are set.
    let set = |spec: &AthenaSessionSpec| {
        let engine = spec.engine_configuration.clone().unwrap_or_default();
        [
            engine.spark_properties.is_some(),
            engine.additional_configs.is_some(),
            engine.classifications.is_some(),
            spec.notebook_version.is_some(),
            spec.monitoring_configuration.is_some(),
        ]
    };
    assert_eq!(set(&kept.spec), set(&whole.spec));
    let decisions = |spec: AthenaSessionSpec| AthenaSessionSpec {
        description: None,
        engine_configuration: spec.engine_configuration.map(|engine| EngineConfiguration {
            additional_configs: None,
            spark_properties: None,
            classifications: None,
            ..engine
        }),
        execution_role: None,
        monitoring_configuration: None,
        notebook_version: None,
        tags: None,
        trimmed: false,
        ..spec
    };
    assert_eq!(decisions(kept.spec), decisions(whole.spec));
}

#[test]
fn many_short_entries_make_a_spec_large() {
    let tags: BTreeMap<String, &str> = (0..100).map(|number| (number.to_string(), "")).collect();
    assert!(decoded(&object(json!({ "spec": { "tags": tags } }))).spec.trimmed);
}

#[test]
fn a_wrong_type_anywhere_is_found_in_a_large_spec_too() {
    for wrong in [
        json!({ "spec": { "engineConfiguration": { "sparkProperties": { "spark.x": 1 } } } }),
        json!({ "spec": { "engineConfiguration": { "classifications": [{ "name": "n", "properties": { "k": ["canary"] } }] } } }),
        json!({ "spec": { "tags": { "k": null } } }),
        json!({ "spec": { "deletionPolicy": "Orphan" } }),
        json!({ "status": { "attemptTime": "canary" } }),
    ] {
        let mut raw = object(json!({ "spec": large(100_000) }));
        merge(&mut raw, wrong);
        let guarded: GuardedSession =
            serde_json::from_str(&raw.to_string()).expect("it does not hide the others");
        assert_eq!(guarded.meta().name.as_deref(), Some("etl"));
        assert!(crate::session::invalid_object::unreadable_field(&raw).is_some());
        assert!(!format!("{guarded:?}").contains("canary"));
        guarded.0.expect_err("it cannot be read");
    }
}

#[test]
fn finalizers_of_any_length_are_not_kept() {
    let others: Vec<String> =
        (0..100).map(|number| format!("example.org/{number}")).chain([FINALIZER.to_owned()]).collect();
    let object = decoded(&object(json!({ "metadata": { "finalizers": others } })));
    assert_eq!(object.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert!(object.spec.trimmed, "what was left out is read before it is written");
}

#[test]
fn conditions_of_any_length_are_not_kept_and_differ_from_the_operators() {
    let condition = |number: usize| json!({ "type": format!("T{number}"), "status": "True", "reason": "R", "message": "x".repeat(32_768), "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let conditions: Vec<Value> = (0..16).map(condition).collect();
    let status =
        decoded(&object(json!({ "status": { "conditions": conditions } }))).status.expect("a status");
    let kept = status.conditions.expect("conditions");
    assert_eq!((kept.len(), kept.capacity(), kept[0].message.len()), (CONDITIONS, CONDITIONS, MESSAGE));
}

#[test]
fn a_list_and_a_watch_are_decoded_with_one_that_cannot_be_read() {
    let bad = json!({ "metadata": { "name": "bad" }, "spec": [] });
    let list = json!({ "kind": "AthenaSessionList", "apiVersion": "v", "metadata": { "resourceVersion": "1" }, "items": [bad, object(json!({}))] });
    let list: kube::api::ObjectList<GuardedSession> =
        serde_json::from_str(&list.to_string()).expect("a list");
    assert_eq!(list.items.iter().map(|object| object.0.is_ok()).collect::<Vec<_>>(), [false, true]);
    let event = format!(r#"{{"type":"MODIFIED","object":{bad}}}"#);
    let event: kube::core::WatchEvent<GuardedSession> = serde_json::from_str(&event).expect("an event");
    assert!(matches!(event, kube::core::WatchEvent::Modified(object) if object.0.is_err()));
}
