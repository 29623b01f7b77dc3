//! Objects that this version of the operator cannot read: stored under another schema, or with a status that somebody else wrote. The operator makes
//! no call for them, reports the unreadable field in their status, and can remove its finalizer from them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{AthenaSession, FINALIZER};
use crate::session::status::{Available, Row, conditions, way_out};

/// Reason of the conditions and the event.
pub const REASON: &str = "ObjectInvalid";

/// Action on an object that is given as JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// No action.
    Nothing,
    /// Report the unreadable field: a merge patch of the status.
    Report {
        /// The patch.
        patch: Value,
        /// Message of the conditions in the patch.
        message: String,
    },
    /// Remove the finalizer, because of `deletionPolicy: Retain`: a merge patch of the object.
    Release(Value),
}

/// Returns the path of the field at which `object` cannot be read, and none if it can be read. The field's value is left out: it may be anything.
pub fn unreadable_field(object: &Value) -> Option<String> {
    let error = serde_path_to_error::deserialize::<_, AthenaSession>(object).err()?;
    let missing = error.inner().to_string();
    let path = match error.path().to_string() {
        path if path == "." => "the object".to_owned(),
        // Keys of maps, which may be of any length, are part of the path.
        path => path.chars().take(256).collect(),
    };
    Some(match missing.strip_prefix("missing field ") {
        Some(field) => format!("{path}: {field} is missing"),
        None => path,
    })
}

/// Returns the action on `object`, which cannot be read because of `field`.
pub fn plan(object: &Value, field: &str, now: Timestamp) -> Action {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = object.pointer("/metadata/resourceVersion");
    let finalizers: Vec<&Value> =
        object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten().collect();
    let has_finalizer = finalizers.iter().any(|name| *name == FINALIZER);
    let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    if deleting && !has_finalizer {
        return Action::Nothing;
    }
    if deleting && text("/spec/deletionPolicy") == "Retain" {
        let others: Vec<&Value> = finalizers.into_iter().filter(|name| *name != FINALIZER).collect();
        return Action::Release(json!({ "metadata": { "resourceVersion": version, "finalizers": others } }));
    }
    let cure = format!(
        "this version of the operator cannot read the object, and makes no call for it: correct {field}"
    );
    let message = if has_finalizer {
        format!("{cure}; {}", way_out(text("/metadata/name"), text("/metadata/namespace")))
    } else {
        cure
    };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let before: Vec<Condition> = object
        .pointer("/status/conditions")
        .and_then(|conditions| serde_json::from_value(conditions.clone()).ok())
        .unwrap_or_default();
    let row = Row::stalled(REASON, Available::Unknown, &message);
    let conditions = conditions(&before, &row, generation, now);
    if before == conditions
        && object.pointer("/status/observedGeneration").and_then(Value::as_i64) == generation
    {
        return Action::Nothing;
    }
    let patch = json!({ "metadata": { "resourceVersion": version }, "status": { "observedGeneration": generation, "conditions": conditions } });
    Action::Report { patch, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "rows read better")]
    fn object(extra: Value) -> Value {
        let mut object = json!({
            "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
            "metadata": { "name": "n", "namespace": "ns", "resourceVersion": "7", "generation": 2, "finalizers": ["other/one", FINALIZER] },
            "spec": { "workGroup": "w" },
        });
        harness::merge(&mut object, &extra);
        object
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    #[test]
    fn the_field_is_named_and_its_value_is_not() {
        assert_eq!(unreadable_field(&object(json!({}))), None);
        for (change, field) in [
            (json!({ "spec": { "deletionPolicy": "canary" } }), "spec.deletionPolicy"),
            (
                json!({ "spec": { "engineConfiguration": { "sparkProperties": { "spark.x": ["canary"] } } } }),
                "spec.engineConfiguration.sparkProperties.spark.x",
            ),
            (json!({ "status": { "attemptTime": "canary" } }), "status.attemptTime"),
            (json!({ "spec": null }), "spec"),
        ] {
            let told = unreadable_field(&object(change)).expect(field);
            assert!(told.contains(field) && !told.contains("canary"), "{told}");
        }
        let mut without = object(json!({}));
        without["spec"].as_object_mut().expect("a map").remove("workGroup");
        assert_eq!(unreadable_field(&without).as_deref(), Some("spec: `workGroup` is missing"));
    }

    #[test]
    fn it_is_reported_once() {
        let mut object = object(json!({}));
        let Action::Report { patch, message } = plan(&object, "spec.x", now()) else { panic!("a report") };
        assert!(
            message.contains("correct spec.x") && message.contains("kubectl patch athenasession n -n ns"),
            "{message}"
        );
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        harness::merge(&mut object, &patch);
        assert_eq!(
            plan(&object, "spec.x", now() + k8s_openapi::jiff::SignedDuration::from_hours(1)),
            Action::Nothing
        );
        assert!(matches!(plan(&object, "spec.y", now()), Action::Report { .. }));
    }

    #[test]
    fn a_status_that_is_no_status_is_replaced() {
        let object = object(json!({ "status": { "conditions": "none" } }));
        assert!(matches!(plan(&object, "status.conditions", now()), Action::Report { .. }));
    }

    #[test]
    fn it_is_let_go_only_when_that_is_asked_for() {
        let deleting = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        let mut object = object(deleting);
        assert!(matches!(plan(&object, "spec.x", now()), Action::Report { .. }));
        object["spec"]["deletionPolicy"] = json!("Retain");
        let released = json!({ "metadata": { "resourceVersion": "7", "finalizers": ["other/one"] } });
        assert_eq!(plan(&object, "spec.x", now()), Action::Release(released));
        object["metadata"]["finalizers"] = json!(["other/one"]);
        assert_eq!(plan(&object, "spec.x", now()), Action::Nothing);
    }

    #[test]
    fn a_field_of_any_length_is_told_within_what_a_condition_takes() {
        let object = object(json!({ "spec": { "tags": { "k".repeat(100_000): 1 } } }));
        let field = unreadable_field(&object).expect("a field");
        let Action::Report { message, .. } = plan(&object, &field, now()) else { panic!("a report") };
        assert!(field.starts_with("spec.tags.kkk") && message.len() < 2048, "{} bytes", message.len());
    }
}
