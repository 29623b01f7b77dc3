//! The examples for Flux: what its own types make of them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::verdicts::flux_types;

/// Every object in the files of a folder for Flux, with the name of its file.
fn objects() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops/flux");
    let mut objects = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        objects.extend(documents.into_iter().map(|document| (path.display().to_string(), document)));
    }
    objects
}

fn of_flux(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.contains(".toolkit.fluxcd.io/"))
}

#[test]
fn fluxs_own_types_have_every_field_of_the_examples() {
    let objects: Vec<_> = objects().into_iter().filter(|(_, object)| of_flux(object)).collect();
    let lines: Vec<String> = objects.iter().map(|(_, object)| object.to_string()).collect();
    let typed = flux_types(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for ((file, object), typed) in objects.iter().zip(typed) {
        assert_eq!(missing(object, &typed), None, "{file}");
    }
    assert!(objects.len() >= 6, "only {} objects", objects.len());
}

/// What of `object` is not, or is otherwise, in `typed`.
fn missing(object: &Value, typed: &Value) -> Option<String> {
    match (object, typed) {
        (Value::Object(members), Value::Object(others)) => members.iter().find_map(|(name, member)| {
            let other = others.get(name).unwrap_or(&Value::Null);
            missing(member, other).map(|path| format!(".{name}{path}"))
        }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .find_map(|(item, other)| missing(item, other).map(|path| format!("[]{path}"))),
        // Go leaves out what has the value of nothing.
        (_, Value::Null) if *object == 0 || *object == false || *object == "" => None,
        _ => (object != typed && !same_duration(object, typed)).then(|| format!(": {object} is {typed}")),
    }
}

/// `10m` and `10m0s`.
fn same_duration(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_str(), other.as_str()) else { return false };
    other.strip_prefix(one).is_some_and(|rest| matches!(rest, "0s" | "0m0s"))
}
