//! JSON by the schema of the CustomResourceDefinition: mostly what it allows, with hostile values among it.

use arbitrary::{Result, Unstructured};
use athena_operator::api::FINALIZER;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::schema::OBJECT;
use crate::secrets;

/// The UID of the object that is made.
pub(crate) const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";
/// The region in which the operator works.
pub(crate) const REGION: &str = "eu-west-1";
/// The account in which it works.
pub(crate) const ACCOUNT: &str = "000000000000";
/// The session that most statuses name.
pub(crate) const ID: &str = "5b954529-b4a1-453e-b4a3-f9f34401e4ce";

/// Athena's states, and others.
pub(crate) const STATES: [&str; 11] = [
    "CREATING",
    "CREATED",
    "IDLE",
    "BUSY",
    "TERMINATING",
    "TERMINATED",
    "DEGRADED",
    "FAILED",
    "",
    "HIBERNATING",
    "idle",
];

const END_REASONS: [&str; 14] = [
    "Suspended",
    "DeadlineExceeded",
    "IdleTimeout",
    "StoppedOutside",
    "SessionFailed",
    "SessionDegraded",
    "StartupDeadlineExceeded",
    "SessionVanished",
    "SessionLost",
    "InvalidRequest",
    "TokenMismatch",
    "SessionAlreadyExists",
    "Other",
    "no word at all",
];

/// Words that stand in a field of this name.
fn words(name: &str) -> &'static [&'static str] {
    match name {
        "workGroup" => &["spark-35", "pyspark-3"],
        "region" => &[REGION, "us-east-1"],
        "accountId" => &[ACCOUNT, "111111111111"],
        "sessionId" => &[ID, "another-session"],
        "state" => &STATES,
        "endReason" => &END_REASONS,
        "stopCause" => &["Suspended", "ActiveDeadline", "StartupDeadline", "Degraded", "Other"],
        "engineVersion" => &["Apache Spark version 3.5", "PySpark engine version 3"],
        "type" => &["Ready", "Available", "Reconciling", "Stalled", "other/Type"],
        "reason" => {
            &["SessionIdle", "ObservationStale", "Starting", "Refused", "ObjectInvalid", "WorkGroupNotFound"]
        }
        _ => &[],
    }
}

/// Keys of maps.
const KEYS: [&str; 6] =
    ["spark.driver.memory", "spark.password", "NotebookId", "team", "SPARK_DRIVER", "a.b/c"];

/// An object as somebody may have stored it, seen at `now`. Its metadata is what every API server makes sure of.
pub(crate) fn object(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    let properties = &OBJECT["properties"];
    let mut object = json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": metadata(u, now)?,
        "spec": value(u, &properties["spec"], "spec", now)?,
    });
    if u.ratio(7, 8)? {
        object["status"] = value(u, &properties["status"], "status", now)?;
    }
    if u.ratio(7, 8)? && object["spec"].is_object() {
        object["spec"]["workGroup"] = json!("spark-35");
    }
    // What makes an attempt: without it most of the rest is not looked at.
    if u.ratio(3, 4)? && object["status"].is_object() {
        let status = &mut object["status"];
        (status["attempt"], status["region"], status["attemptTime"]) =
            (json!(u.int_in_range(0..=3)?), json!(REGION), json!(time(u, now)?));
    }
    Ok(with_secrets(object))
}

/// `raw` with secrets in its spec, so that whoever repeats them is known to repeat this object's.
pub(crate) fn with_secrets(mut raw: Value) -> Value {
    if !raw["spec"].is_object() {
        return raw;
    }
    let engine = &mut raw["spec"]["engineConfiguration"];
    if engine.is_null() {
        *engine = json!({});
    }
    if engine.is_object() && engine["sparkProperties"].is_null() {
        engine["sparkProperties"] = json!({});
    }
    if engine.is_object() && engine["sparkProperties"].is_object() {
        engine["sparkProperties"]["spark.a"] = secrets::PROPERTY.into();
        engine["sparkProperties"]["spark.b"] = secrets::LONGER_PROPERTY.into();
        engine["sparkProperties"]["spark.c"] = secrets::ESCAPED_PROPERTY.into();
    }
    raw
}

fn metadata(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    let mut metadata = json!({
        "name": "nightly", "namespace": "team", "uid": UID, "resourceVersion": "7", "generation": u.int_in_range(1..=3)?,
        "creationTimestamp": now.to_string(),
    });
    let finalizers: Vec<&str> = (0..u.int_in_range(0..=3)?)
        .map(|_| Ok(*u.choose(&[FINALIZER, FINALIZER, "example.com/one", "foregroundDeletion"])?))
        .collect::<Result<_>>()?;
    if !finalizers.is_empty() {
        metadata["finalizers"] = json!(finalizers);
    }
    if u.ratio(1, 3)? {
        metadata["deletionTimestamp"] = json!(past(u, now)?);
    }
    let marks = ["kustomize.toolkit.fluxcd.io/name", "argocd.argoproj.io/tracking-id", "app"];
    for place in ["labels", "annotations"] {
        if u.ratio(1, 8)? {
            metadata[place] = json!({ *u.choose(&marks)?: text(u)? });
        }
    }
    Ok(metadata)
}

/// A value of the field `name`, for which `schema` stands.
pub(crate) fn value(u: &mut Unstructured<'_>, schema: &Value, name: &str, now: Timestamp) -> Result<Value> {
    if !u.ratio(63, 64)? {
        return hostile(u, now);
    }
    Ok(match schema["type"].as_str().unwrap_or_default() {
        "object" if schema["properties"].is_object() => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut members = Map::new();
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                let present =
                    if required.contains(&name.as_str()) { u.ratio(63, 64)? } else { u.ratio(1, 3)? };
                if present {
                    members.insert(name.clone(), value(u, schema, name, now)?);
                }
            }
            if !u.ratio(63, 64)? {
                members.insert(text(u)?, hostile(u, now)?);
            }
            members.into()
        }
        "object" => {
            let mut members = Map::new();
            for _ in 0..u.int_in_range(0..=3)? {
                let key = if u.ratio(15, 16)? { (*u.choose(&KEYS)?).to_owned() } else { text(u)? };
                members.insert(key, property(u, &schema["additionalProperties"], now)?);
            }
            members.into()
        }
        "array" => {
            let count = if u.ratio(31, 32)? { u.int_in_range(0..=5)? } else { 20 };
            (0..count).map(|_| value(u, &schema["items"], name, now)).collect::<Result<Vec<_>>>()?.into()
        }
        "integer" => integer(u, schema)?.into(),
        "boolean" => u.arbitrary::<bool>()?.into(),
        _ if schema["format"] == "date-time" => time(u, now)?.into(),
        _ => string(u, schema, name)?.into(),
    })
}

/// The value of a property, which may be a secret.
fn property(u: &mut Unstructured<'_>, schema: &Value, now: Timestamp) -> Result<Value> {
    if schema["type"] != "string" {
        return value(u, schema, "property", now);
    }
    Ok(match u.int_in_range(0..=7)? {
        0 => string(u, schema, "property")?.into(),
        1 => secrets::LONGER_PROPERTY.into(),
        _ => secrets::PROPERTY.into(),
    })
}

fn string(u: &mut Unstructured<'_>, schema: &Value, name: &str) -> Result<String> {
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.is_empty())
        && u.ratio(31, 32)?
    {
        return Ok(u.choose(words)?.as_str().unwrap_or_default().to_owned());
    }
    let words = words(name);
    if !words.is_empty() && u.ratio(7, 8)? {
        return Ok((*u.choose(words)?).to_owned());
    }
    let most = usize::try_from(schema["maxLength"].as_u64().unwrap_or(64)).unwrap_or(64);
    let letter = *u.choose(&["x", "\u{20ac}", "\u{1f980}", "\n", "'"])?;
    Ok(match u.int_in_range(0..=7)? {
        0 => letter.repeat(most.min(1100)),
        1 => letter.repeat((most + 1).min(1100)),
        _ => text(u)?,
    })
}

/// A short text of any characters.
pub(crate) fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let length = usize::from(u.arbitrary::<u8>()? % 12).min(u.len());
    let bytes = u.bytes(length)?;
    Ok(String::from_utf8_lossy(&secrets::scrubbed(bytes)).into_owned())
}

fn integer(u: &mut Unstructured<'_>, schema: &Value) -> Result<i64> {
    let bound = |name: &str, default| schema[name].as_i64().unwrap_or(default);
    let (least, most) = (bound("minimum", i64::MIN), bound("maximum", i64::MAX));
    Ok(match u.int_in_range(0..=15)? {
        0 => least,
        1 => most,
        2 => least.saturating_sub(1),
        3 => most.saturating_add(1),
        4 => i64::from(i32::MAX),
        5 => i64::from(i32::MIN),
        6 => u.arbitrary()?,
        _ => i64::from(u.arbitrary::<u8>()? % 8).clamp(least.min(most), most),
    })
}

/// Anything at all.
fn hostile(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    Ok(match u.int_in_range(0..=9)? {
        0 => Value::Null,
        1 => json!({}),
        2 => json!([]),
        3 => json!({ text(u)?: text(u)? }),
        4 => json!([text(u)?]),
        5 => json!(1.5),
        6 => json!(u64::MAX),
        7 => json!(u.arbitrary::<i64>()?),
        8 => json!(time(u, now)?),
        _ => json!(text(u)?),
    })
}

/// How long before or after now things happened: the bounds at which decisions change.
const DISTANCES: [i64; 14] = [0, 1, 2, 9, 10, 11, 299, 300, 301, 599, 600, 1200, 3600, 40_000_000];

/// A time before `now`, as the API server writes it.
fn past(u: &mut Unstructured<'_>, now: Timestamp) -> Result<String> {
    let distance = SignedDuration::from_secs(*u.choose(&DISTANCES)?);
    Ok(whole(now.saturating_sub(distance).unwrap_or(Timestamp::MIN)))
}

fn whole(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// A time: near `now`, at an edge of what can be written, or none at all.
pub(crate) fn time(u: &mut Unstructured<'_>, now: Timestamp) -> Result<String> {
    const EDGES: [&str; 12] = [
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-01-01T00:00:00.999999999Z",
        "2026-01-01T00:00:00+99:00",
        "2026-02-30T00:00:00Z",
        "9999-12-30T22:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
    ];
    match u.int_in_range(0..=15)? {
        0 => Ok((*u.choose(&EDGES)?).to_owned()),
        1 => {
            let distance = SignedDuration::from_secs(*u.choose(&DISTANCES)?);
            Ok(whole(now.saturating_add(distance).unwrap_or(Timestamp::MAX)))
        }
        2 if u.ratio(1, 8)? => text(u),
        _ => past(u, now),
    }
}
