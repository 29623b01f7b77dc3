//! What the API server accepts of a value, by the structural schema of the CustomResourceDefinition.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use athena_operator::api::crd;
use harness::http::lock;
use regex::Regex;
use serde_json::{Map, Value};

/// The schema of a whole object.
pub(crate) static OBJECT: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(crd()).expect("a CRD is JSON");
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("one version with a schema").clone()
});

/// Why the API server would refuse `value`, which stands at `path`, if it would.
pub(crate) fn fault(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let told = |what: &str| Some(format!("{path}: {what}"));
    // A minimum is written as 0.0.
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let beyond = |count: usize, least: &str, most: &str| {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        bound(least).is_some_and(|least| count < least) || bound(most).is_some_and(|most| count > most)
    };
    match (schema["type"].as_str().unwrap_or_default(), value) {
        ("object", Value::Object(members)) if beyond(members.len(), "minProperties", "maxProperties") => {
            told("so many members")
        }
        ("object", Value::Object(members)) => fault_of_members(schema, members, path),
        ("array", Value::Array(items)) if beyond(items.len(), "minItems", "maxItems") => {
            told("so many items")
        }
        ("array", Value::Array(items)) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| fault(&schema["items"], item, &format!("{path}[{index}]"))),
        ("string", Value::String(text)) => {
            match (schema.get("enum").and_then(Value::as_array), schema["pattern"].as_str()) {
                _ if beyond(text.chars().count(), "minLength", "maxLength") => told("its length"),
                (Some(words), _) if !words.contains(value) => told("not in the enumeration"),
                (_, Some(pattern)) if !matches(pattern, text) => told("its pattern"),
                _ if schema["format"] == "date-time" && !is_time(text) => {
                    told(&format!("{text} is not a time"))
                }
                _ => None,
            }
        }
        ("integer", Value::Number(number)) => match number.as_f64().filter(|_| number.is_i64()) {
            None => told("not an integer"),
            Some(number) if bound("minimum").is_some_and(|least| number < least) => told("too small"),
            Some(number) if bound("maximum").is_some_and(|most| number > most) => told("too large"),
            Some(_) => None,
        },
        ("boolean", Value::Bool(_)) => None,
        (kind, _) => told(&format!("not of type {kind}")),
    }
}

fn fault_of_members(schema: &Value, members: &Map<String, Value>, path: &str) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(name) = required.into_iter().find(|name| !members.contains_key(*name)) {
        return Some(format!("{path}.{name}: is missing"));
    }
    members.iter().find_map(|(name, value)| {
        let path = format!("{path}.{name}");
        match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
            Some(schema) => fault(schema, value, &path),
            None => Some(format!("{path}: is pruned")),
        }
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut known = lock(&KNOWN);
    known
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).expect("a pattern of the schema"))
        .is_match(text)
}

/// Whether the API server takes `text` for a `date-time`.
pub(crate) fn is_time(text: &str) -> bool {
    const TIME: &str = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[tT]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([zZ]|[+-]\d\d:\d\d)$";
    matches(TIME, text) && text.is_ascii()
}

/// Why the API server would refuse a change of the status, if it would: a member that stays as it was is not validated anew.
pub(crate) fn fault_of_status(before: &Value, after: &Value) -> Option<String> {
    let Some(members) = after.as_object() else { return Some("status: not an object".into()) };
    members.iter().filter(|(name, value)| before.get(name) != Some(value)).find_map(|(name, value)| {
        let path = format!("status.{name}");
        match OBJECT["properties"]["status"]["properties"].get(name) {
            Some(schema) => fault(schema, value, &path),
            None => Some(format!("{path}: is pruned")),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_refuses_is_found() {
        let condition = json!({ "type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        let with = |name: &str, value: Value| {
            let mut condition = condition.clone();
            condition[name] = value;
            json!({ "conditions": [condition] })
        };
        assert_eq!(fault_of_status(&json!({}), &with("reason", json!("R"))), None);
        for (status, part) in [
            (json!({ "sessionId": "x".repeat(257) }), "status.sessionId: its length"),
            (json!({ "attempt": -1 }), "status.attempt: too small"),
            (json!({ "attempt": 1_i64 << 40 }), "status.attempt: too large"),
            (json!({ "dpuExecutionInMillis": 1.5 }), "not an integer"),
            (json!({ "endTime": "-000001-01-01T00:00:00Z" }), "is not a time"),
            (json!({ "endTime": "2026-01-01" }), "is not a time"),
            (
                json!({ "previousAttempts": [{ "sessionId": "x" }] }),
                "status.previousAttempts[0].attempt: is missing",
            ),
            (json!({ "previousAttempts": vec![json!({ "attempt": 1 }); 6] }), "so many items"),
            (with("reason", json!("")), "its length"),
            (with("reason", json!("no word")), "its pattern"),
            (with("status", json!("Maybe")), "not in the enumeration"),
            (with("message", json!("x".repeat(32_769))), "its length"),
            (with("message", json!(1)), "not of type string"),
            (with("observedGeneration", json!(-1)), "too small"),
        ] {
            let fault = fault_of_status(&json!({}), &status).expect(part);
            assert!(fault.contains(part), "{fault}");
            assert_eq!(fault_of_status(&status, &status), None, "{part}: as it was");
        }
    }
}
