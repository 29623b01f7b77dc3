//! The chart's values, their schema and their comments.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::helm::{CHART, read};
use crate::rows::{Row, rows};

/// `values.yaml`.
pub(crate) static TEXT: LazyLock<String> = LazyLock::new(|| read(format!("{CHART}/values.yaml")));
pub(crate) static DEFAULTS: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(&TEXT).expect("values.yaml is YAML"));
pub(crate) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&read(format!("{CHART}/values.schema.json"))).expect("values.schema.json is JSON")
});

/// What `values.yaml` says of each value.
pub(crate) static VALUES: LazyLock<Vec<Row>> = LazyLock::new(|| rows(&TEXT));

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(crate) fn get<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

/// Values that differ from the defaults in these paths.
pub(crate) fn overlay<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Value {
    let mut values = Value::Object(Map::new());
    for (path, value) in settings {
        *path.split('.').fold(&mut values, |at, key| &mut at[key]) = value.clone();
    }
    values
}

/// The schema that a `$ref` leads to, or itself.
pub(crate) fn resolved(schema: &'static Value) -> &'static Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    let pointer = reference.strip_prefix('#').expect("a reference within the schema");
    resolved(SCHEMA.pointer(pointer).unwrap_or_else(|| panic!("no {reference}")))
}

/// The schema of a value.
pub(crate) fn schema_of(path: &str) -> Option<&'static Value> {
    path.split('.')
        .try_fold(&*SCHEMA, |schema, key| resolved(schema).get("properties")?.get(key))
        .map(resolved)
}
