//! Schemas that the derive cannot express: maps with bounded keys and values, and conditions.
//!
//! An optional field with such a schema needs `serde(default)`: schemars does not see that it is an `Option`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Maximum length of a property's value, in characters, as in Athena's API.
const PROPERTY_VALUE: u32 = 51_200;

/// CEL rule for the keys of properties: the length and characters that Athena's API allows.
const PROPERTY_KEY: &str = r"k.size() >= 1 && k.size() <= 255 && k.matches('^[\\t\\x20-\\x{D7FF}\\x{E000}-\\x{FFFD}\\x{10000}-\\x{10FFFF}]*$')";

const SPARK_KEY: &str = "k.startsWith('spark.') && !k.startsWith('spark.athena.')";

fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message, "reason": "FieldValueInvalid" })
}

/// Returns the schema of the properties in `field`, with a rule for their keys beside the one that holds for all properties.
fn properties(field: &str, more: Option<Value>) -> Schema {
    let keys = rule(
        &format!("self.all(k, {PROPERTY_KEY})"),
        &format!("{field}: keys must have 1 to 255 characters and no control characters but tabs"),
    );
    let rules: Vec<Value> = [keys].into_iter().chain(more).collect();
    json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": { "type": "string", "maxLength": PROPERTY_VALUE },
        "x-kubernetes-validations": rules,
    })
}

pub(super) fn additional_configs(_: &mut SchemaGenerator) -> Schema {
    properties("additionalConfigs", None)
}

pub(super) fn spark_properties(_: &mut SchemaGenerator) -> Schema {
    let spark_keys = rule(
        &format!("self.all(k, {SPARK_KEY})"),
        "sparkProperties: keys must start with `spark.`; `spark.athena.` is reserved for Athena and must not be set",
    );
    properties("sparkProperties", Some(spark_keys))
}

pub(super) fn classification_properties(_: &mut SchemaGenerator) -> Schema {
    properties("properties", None)
}

/// Returns the rules of one classification that compare its name with its properties.
pub(super) fn classification_rules() -> Value {
    json!([
        {
            "rule": "!has(self.name) || self.name != 'athena-query-engine-properties'",
            "message": "name: `athena-query-engine-properties` is for SQL work groups; a Spark session takes `spark-defaults`",
            "reason": "FieldValueInvalid",
            "fieldPath": ".name",
        },
        {
            "rule": format!("!has(self.name) || self.name != 'spark-defaults' || !has(self.properties) || self.properties.all(k, {SPARK_KEY})"),
            "message": "properties: keys under `spark-defaults` must start with `spark.`; `spark.athena.` is reserved for Athena and must not be set",
            "reason": "FieldValueInvalid",
            "fieldPath": ".properties",
        },
    ])
}

pub(super) fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 256, "pattern": r"^[\p{L}\p{Z}\p{N}_.:/=+@-]*$" },
        "x-kubernetes-validations": [
            rule(
                r"self.all(k, k.size() >= 1 && k.size() <= 128 && k.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$'))",
                "tags: keys must have 1 to 128 characters: letters, digits, spaces and _ . : / = + @ -",
            ),
            rule("self.all(k, !k.startsWith('aws:'))", "tags: keys must not start with `aws:`, which is reserved for AWS"),
        ],
    })
}

pub(super) fn log_types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 10,
        "additionalProperties": {
            "type": "array",
            "maxItems": 10,
            "items": { "type": "string", "maxLength": 128 },
            "x-kubernetes-list-type": "atomic",
        },
        "x-kubernetes-validations": [rule("self.all(k, k.size() >= 1 && k.size() <= 128)", "logTypes: keys must have 1 to 128 characters")],
    })
}

pub(super) fn kms_key(_: &mut SchemaGenerator) -> Schema {
    const NAME: &str = r"[a-zA-Z_0-9+=,.@\-_/]+";
    const ARN: &str = r"arn:aws[a-z\-]*:kms:([a-z0-9\-]+):\d{12}:";
    let pattern = format!(
        "^({ARN}key/?{NAME}|{ARN}alias/?{NAME}|alias/[a-zA-Z0-9/_-]+|[a-f0-9]{{8}}-[a-f0-9]{{4}}-[a-f0-9]{{4}}-[a-f0-9]{{4}}-[a-f0-9]{{12}})$"
    );
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 2048, "pattern": pattern })
}

/// Returns the schema of `metav1.Condition` with the bounds of the API machinery; the derive of k8s-openapi has none.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the session's state.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "Ready (as the spec asks), Available (can take work now), Reconciling or Stalled (present only while true).",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
                "status": { "type": "string", "description": "True, False or Unknown.", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_SAFE_INTEGER,
                    "description": "The generation of the spec that this condition was computed from.",
                },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When the status of this condition last changed." },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why the condition is as it is, in one CamelCase word.",
                },
                "message": { "type": "string", "maxLength": 32768, "description": "Explanation of the reason for people and, if somebody has to act, what to do." },
            },
        },
    })
}

/// Largest integer that every JSON reader keeps exact.
pub(super) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Returns the schema of a CamelCase word of an open set: no `enum`, so that an older schema accepts the words of a newer operator.
pub(super) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64 })
}
