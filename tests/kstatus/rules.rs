//! What must hold of every report, whatever the history.

use std::sync::LazyLock;

use athena_operator::api::{self, AthenaSession, AthenaSessionStatus};
use athena_operator::session::status::{condition, seconds};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The schema of the status, as the CRD has it.
pub(crate) fn status_schema() -> &'static Value {
    static CRD: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api::crd()).expect("a CRD is JSON"));
    CRD.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status").expect("the CRD has a status")
}

/// The verdict that kstatus must come to, by what Ready says.
pub(crate) fn expected_verdict(object: &AthenaSession) -> &'static str {
    let status = object.status.as_ref();
    let ready = status.and_then(|status| condition(status, "Ready")).map(|ready| ready.status.as_str());
    match ready {
        _ if object.metadata.deletion_timestamp.is_some() => "Terminating",
        _ if status.and_then(|status| status.observed_generation) != object.metadata.generation => {
            "InProgress"
        }
        Some("True") => "Current",
        Some("Unknown") => "InProgress",
        Some("False") => "Failed",
        _ => "no verdict: Ready is missing",
    }
}

/// Which rules `status`, written at `now` over `before`, breaks.
pub(crate) fn broken(before: &AthenaSession, status: &AthenaSessionStatus, now: Timestamp) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let has = |type_| condition(status, type_).map(|condition| condition.status.as_str());
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let mut types: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    rule(types.len() == conditions.len(), "a type of condition is there twice");
    rule(has("Ready").is_some() && has("Available").is_some(), "Ready or Available is missing");
    rule(has("Reconciling").is_none() || has("Stalled").is_none(), "Reconciling and Stalled stand together");
    rule(
        ["Reconciling", "Stalled"].into_iter().all(|flag| has(flag).is_none_or(|status| status == "True")),
        "a flag is there and not True",
    );
    rule(has("Stalled").is_none() || has("Ready") == Some("False"), "Stalled without Ready False");
    rule(
        (has("Ready") == Some("Unknown")) == has("Reconciling").is_some(),
        "Reconciling without Ready Unknown, or the other way round",
    );
    let deleting = before.metadata.deletion_timestamp.is_some();
    rule(!deleting || has("Ready") == Some("False"), "being deleted without Ready False");
    rule(
        status.observed_generation == before.metadata.generation,
        "observedGeneration is not the generation",
    );

    for after in conditions {
        let type_ = &after.type_;
        let unchanged = before
            .status
            .as_ref()
            .and_then(|status| condition(status, type_))
            .filter(|before| before.status == after.status);
        let time = unchanged.map_or_else(|| seconds(now), |before| before.last_transition_time.clone());
        rule(
            after.last_transition_time == time,
            &format!("lastTransitionTime of {type_} does not tell when its status changed"),
        );
        rule(
            after.observed_generation == status.observed_generation,
            &format!("observedGeneration of {type_} is not that of the status"),
        );
        let mut letters = after.reason.bytes();
        let camel_case = letters.next().is_some_and(|first| first.is_ascii_uppercase())
            && letters.len() > 0
            && letters.all(|c| c.is_ascii_alphabetic());
        rule(camel_case, &format!("the reason of {type_} is not ^[A-Z][A-Za-z]+$"));
        rule(!after.message.is_empty(), &format!("{type_} has no message"));
    }
    beyond(status_schema(), &json!(status), "status", &mut broken);
    broken
}

/// Whether one report says IDLE and the other BUSY, and nothing but that has changed.
pub(crate) fn is_flip(before: &AthenaSession, after: &AthenaSession) -> bool {
    let reason = |object: &AthenaSession| {
        condition(object.status.as_ref()?, "Ready").map(|ready| ready.reason.clone())
    };
    let mut reasons = [reason(before), reason(after)];
    reasons.sort_unstable();
    reasons == [Some("SessionBusy".into()), Some("SessionIdle".into())]
}

/// What of `value` the API server would refuse or drop for its schema. Patterns and formats are not looked at.
fn beyond(schema: &Value, value: &Value, path: &str, broken: &mut Vec<String>) {
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let size = match value {
        Value::String(text) => Some(("Length", text.chars().count() as f64)),
        Value::Array(items) => Some(("Items", items.len() as f64)),
        _ => None,
    };
    let number = value.as_f64().map(|number| ("imum", number));
    for (what, size) in size.into_iter().chain(number) {
        if limit(&format!("max{what}")).is_some_and(|most| size > most)
            || limit(&format!("min{what}")).is_some_and(|least| size < least)
        {
            broken.push(format!("{path} is out of bounds: {size}"));
        }
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|values| !values.contains(value)) {
        broken.push(format!("{path} must not be {value}"));
    }
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if value.get(name).is_none() {
            broken.push(format!("{path}.{name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema.pointer(&format!("/properties/{name}")) {
            Some(schema) => beyond(schema, member, &format!("{path}.{name}"), broken),
            None => broken.push(format!("{path}.{name} is not in the schema")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        beyond(&schema["items"], item, &format!("{path}[]"), broken);
    }
}

/// `text`, short enough to be read in a failure.
pub(crate) fn short(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
