//! The CustomResourceDefinition as installed: the derived schema, made strict.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::spec::{AthenaSession, MARKER_PREFIX};

/// Paths under `spec` that never change once the object exists. Each has its own rule, on its parent: a transition rule on an optional field is not
/// evaluated when the field appears or vanishes.
pub const IMMUTABLE: &[&str] = &[
    "workGroup",
    "description",
    "engineConfiguration",
    "engineConfiguration.coordinatorDpuSize",
    "engineConfiguration.maxConcurrentDpus",
    "engineConfiguration.defaultExecutorDpuSize",
    "engineConfiguration.additionalConfigs",
    "engineConfiguration.sparkProperties",
    "engineConfiguration.classifications",
    "executionRole",
    "monitoringConfiguration",
    "monitoringConfiguration.cloudWatchLoggingConfiguration",
    "monitoringConfiguration.cloudWatchLoggingConfiguration.enabled",
    "monitoringConfiguration.cloudWatchLoggingConfiguration.logGroup",
    "monitoringConfiguration.cloudWatchLoggingConfiguration.logStreamNamePrefix",
    "monitoringConfiguration.cloudWatchLoggingConfiguration.logTypes",
    "monitoringConfiguration.managedLoggingConfiguration",
    "monitoringConfiguration.managedLoggingConfiguration.enabled",
    "monitoringConfiguration.managedLoggingConfiguration.kmsKey",
    "monitoringConfiguration.s3LoggingConfiguration",
    "monitoringConfiguration.s3LoggingConfiguration.enabled",
    "monitoringConfiguration.s3LoggingConfiguration.kmsKey",
    "monitoringConfiguration.s3LoggingConfiguration.logLocation",
    "notebookVersion",
    "sessionIdleTimeoutInMinutes",
    "tags",
    "copyWorkGroupTags",
];

/// Returns the CustomResourceDefinition of `AthenaSession`.
///
/// # Panics
/// When the derived schema does not have the shape that this function completes, which a test excludes.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(AthenaSession::crd()).expect("a CRD is JSON");
    let root = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").expect("one version with a schema");
    tidy(root);

    let status = property(root, "status");
    status["default"] = json!({ "observedGeneration": -1 });
    status["properties"]["observedGeneration"]["default"] = json!(-1);

    let spec = property(root, "spec");
    for path in IMMUTABLE {
        let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = parent.split('.').filter(|step| !step.is_empty()).fold(&mut *spec, property);
        let whole = property(parent, field).get("properties").is_some();
        add_rule(parent, immutable(path, field, whole));
    }
    add_rule(
        spec,
        json!({
            "rule": format!("!has(self.description) || !self.description.contains('{MARKER_PREFIX}')"),
            "message": format!("description: must not contain `{MARKER_PREFIX}`, which marks the operator's own sessions"),
            "reason": "FieldValueInvalid",
            "fieldPath": ".description",
        }),
    );
    add_rule(
        spec,
        json!({
            "rule": "!has(self.notebookVersion) || (has(self.engineConfiguration) && has(self.engineConfiguration.additionalConfigs) \
                     && 'NotebookId' in self.engineConfiguration.additionalConfigs)",
            "message": "notebookVersion: needs `engineConfiguration.additionalConfigs.NotebookId`; set it, or leave the version out",
            "reason": "FieldValueInvalid",
            "fieldPath": ".notebookVersion",
        }),
    );
    serde_json::from_value(crd).expect("still a CRD")
}

/// Returns the rule that keeps `field` as it is. For an object with rules of its own inside (`whole`), the rule only forbids adding and removing it.
fn immutable(path: &str, field: &str, whole: bool) -> Value {
    let stays = format!("has(self.{field}) == has(oldSelf.{field})");
    let same = format!("{stays} && (!has(self.{field}) || self.{field} == oldSelf.{field})");
    json!({
        "rule": if whole { stays } else { same },
        "message": format!("spec.{path} is immutable: a started session cannot be edited; create another AthenaSession instead"),
        "reason": "FieldValueForbidden",
        "fieldPath": format!(".{field}"),
    })
}

fn property<'a>(schema: &'a mut Value, name: &str) -> &'a mut Value {
    schema
        .pointer_mut(&format!("/properties/{name}"))
        .unwrap_or_else(|| panic!("the schema has a property {name}"))
}

fn add_rule(schema: &mut Value, rule: Value) {
    match &mut schema["x-kubernetes-validations"] {
        Value::Array(rules) => rules.push(rule),
        absent => *absent = json!([rule]),
    }
}

/// Joins the lines of descriptions: a doc comment breaks its lines for the editor, and readers of the schema wrap the text themselves. Removes
/// `nullable`: an `Option` is an absent field, never a null, and `nullable` would make Git and the server differ.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
