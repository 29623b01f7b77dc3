//! No misspelt key goes unnoticed, wherever it is.

use serde_json::{Map, Value, json};

use crate::helm::{BOTH, Helm, RELEASE, in_parallel};
use crate::switches::{nothing, with};
use crate::values::{DEFAULTS, SCHEMA, join, resolved};

/// The objects of the schema that may have keys it does not know, and why.
const FREE: [(&str, &str); 6] = [
    ("/definitions/strings", "labels, annotations and node selectors have the keys that people give them"),
    ("/definitions/object", "the API of Kubernetes, passed on; the API server knows which fields it has"),
    ("/definitions/named", "the same, of which this chart needs the name"),
    ("/definitions/container", "the same, of which this chart needs name and image"),
    ("/properties/extraVolumeMounts/items", "the same, of which this chart needs name and path"),
    ("/properties/extraObjects/items", "an object of any kind"),
];

/// The key with its last letter twice.
fn misspelt(key: &str) -> String {
    key.to_owned() + &key[key.len() - 1..]
}

/// What Helm says of the values; it has to refuse them.
fn refusal(helm: Helm, values: &Value) -> String {
    RELEASE.template(helm, values).expect_err(&format!("Helm {helm:?} takes {values}"))
}

/// Whether Helm says that this place may not have this key.
fn names(refusal: &str, place: &str, key: &str) -> bool {
    let of_place = format!("at '{place}': additional properties ");
    refusal.lines().any(|line| line.contains(&of_place) && line.contains(&format!("'{key}'")))
}

#[test]
fn each_key_of_the_values_is_refused_when_misspelt() {
    fn collect(path: &str, value: &Value, keys: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            collect(&join(path, key), value, keys);
            keys.push(join(path, key));
        }
    }
    let mut keys = Vec::new();
    collect("", &DEFAULTS, &mut keys);
    // Labels are free, and this is one of the defaults.
    keys.retain(|key| key != "metrics.grafanaDashboard.labels.grafana_dashboard");

    let missed: Vec<String> = in_parallel(&keys, |path| {
        let (place, key) = path.rsplit_once('.').unwrap_or(("", path));
        let setting = [(join(place, &misspelt(key)), json!(true))].into();
        let refusal =
            RELEASE.template(Helm::Four, &with(&[&setting])).err().unwrap_or_else(|| "nothing".to_owned());
        let place = if place.is_empty() { String::new() } else { format!("/{}", place.replace('.', "/")) };
        (!names(&refusal, &place, &misspelt(key))).then(|| format!("{path}: Helm says {refusal}"))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(keys.len() > 100, "only {} keys", keys.len());
}

/// Values that have each key of the schema misspelt, also where lists may have objects.
fn mistakes(schema: &'static Value, place: &str, found: &mut Vec<(String, String)>) -> Option<Value> {
    let schema = resolved(schema);
    if let Some(items) = schema.get("items") {
        return mistakes(items, &format!("{place}/0"), found).map(|item| json!([item]));
    }
    let mut values = Map::new();
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = mistakes(schema, &format!("{place}/{key}"), found) {
            values.insert(key.clone(), value);
        }
    }
    if schema["additionalProperties"] == false {
        let known = schema["properties"].as_object().into_iter().flat_map(Map::keys).cloned();
        for key in known.chain(schema.get("patternProperties").map(|_| "other".to_owned())) {
            values.insert(misspelt(&key), json!(true));
            found.push((place.to_owned(), misspelt(&key)));
        }
    }
    (!values.is_empty()).then_some(Value::Object(values))
}

#[test]
fn each_key_of_the_schema_is_refused_when_misspelt() {
    let mut found = Vec::new();
    let values = mistakes(&SCHEMA, "", &mut found).expect("a schema with keys");
    for helm in BOTH {
        let refusal = refusal(helm, &values);
        let missed: Vec<_> = found.iter().filter(|(place, key)| !names(&refusal, place, key)).collect();
        assert!(missed.is_empty(), "Helm {helm:?} does not name {missed:#?} in {refusal}");
    }
    assert!(found.len() > 200, "only {} keys", found.len());
}

#[test]
fn what_may_have_other_keys_is_listed_with_the_reason() {
    fn collect(pointer: &str, schema: &Value, open: &mut Vec<String>) {
        if schema["type"] == "object" && schema["additionalProperties"] != false {
            open.push(pointer.to_owned());
        }
        for children in ["properties", "definitions", "patternProperties"] {
            for (key, child) in schema[children].as_object().into_iter().flatten() {
                collect(&format!("{pointer}/{children}/{key}"), child, open);
            }
        }
        if let Some(items) = schema.get("items") {
            collect(&format!("{pointer}/items"), items, open);
        }
    }
    let mut open = Vec::new();
    collect("", &SCHEMA, &mut open);
    open.sort();
    let mut listed = FREE.map(|(pointer, _)| pointer);
    listed.sort_unstable();
    assert_eq!(open, listed);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_place() {
    let mut values = nothing();
    values["image"] = json!({"pullPolicy": "Sometimes"});
    RELEASE.is_refused(&values, "at '/image/pullPolicy': value must be one of");
}
