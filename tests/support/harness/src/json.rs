//! JSON as Kubernetes has it.

use serde_json::{Map, Value, json};

/// Applies a merge patch, as RFC 7386 has it.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// An AthenaSession of this name and spec.
pub fn session_object(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "athena-operator.io/v1alpha1",
        "kind": "AthenaSession",
        "metadata": { "name": name },
        "spec": spec,
    })
}

#[test]
fn a_merge_patch_replaces_adds_and_removes() {
    let mut object = json!({ "a": { "b": 1, "c": 2 }, "d": "x" });
    merge(&mut object, &json!({ "a": { "b": null, "e": [1] }, "d": { "f": 1 } }));
    assert_eq!(object, json!({ "a": { "c": 2, "e": [1] }, "d": { "f": 1 } }));
}
