//! The chart's values, their schema and their comments.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::helm::{CHART, read};

/// `values.yaml`.
pub(crate) static TEXT: LazyLock<String> = LazyLock::new(|| read(format!("{CHART}/values.yaml")));
pub(crate) static DEFAULTS: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(&TEXT).expect("values.yaml is YAML"));
pub(crate) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&read(format!("{CHART}/values.schema.json"))).expect("values.schema.json is JSON")
});

/// A value of `values.yaml` as people know it: a key that is described as a whole.
pub(crate) struct Described {
    /// Such as `image.tag`.
    pub(crate) path: String,
    /// The comment above it.
    pub(crate) comment: String,
}

/// All values. A key whose own keys have comments is a section and not a value.
pub(crate) static VALUES: LazyLock<Vec<Described>> = LazyLock::new(|| {
    let comments = comments(&TEXT);
    let mut values = Vec::new();
    describe("", &DEFAULTS, &comments, &mut values);
    values
});

fn describe(path: &str, value: &Value, comments: &[(String, String)], values: &mut Vec<Described>) {
    let comment = |path: &str| {
        comments.iter().find(|(of, _)| of == path).map(|(_, comment)| comment.clone()).unwrap_or_default()
    };
    let keys = value.as_object().into_iter().flat_map(Map::keys);
    let children: Vec<String> = keys.map(|key| join(path, key)).collect();
    // A section may hold only further sections, such as argocd.
    let is_section = |path: &str| {
        comments.iter().any(|(of, comment)| of.starts_with(&format!("{path}.")) && !comment.is_empty())
    };
    if path.is_empty() || is_section(path) {
        for child in children {
            describe(&child, get(&DEFAULTS, &child).expect("a path of the values"), comments, values);
        }
    } else {
        values.push(Described { path: path.to_owned(), comment: comment(path) });
    }
}

/// The path of each key, and the lines of comment right above it.
fn comments(yaml: &str) -> Vec<(String, String)> {
    let (mut found, mut stack, mut comment) = (Vec::new(), Vec::<(usize, &str)>::new(), String::new());
    for line in yaml.lines() {
        let text = line.trim_start();
        if let Some(more) = text.strip_prefix('#') {
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(more.trim());
            continue;
        }
        if let Some((key, _)) = text
            .split_once(':')
            .filter(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            let indentation = line.len() - text.len();
            stack.retain(|(of_parent, _)| *of_parent < indentation);
            stack.push((indentation, key));
            let path: Vec<&str> = stack.iter().map(|(_, key)| *key).collect();
            found.push((path.join("."), comment.clone()));
        }
        comment.clear();
    }
    found
}

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

#[test]
fn comments_are_found_by_path() {
    let found = comments(
        "# The head.\n\n# One.\n# More.\none: 1\ntwo:\n  # Three.\n  three:\n    - four: 1\n  five: {}\n# Six.\nsix: http://x\n",
    );
    let found: Vec<(&str, &str)> =
        found.iter().map(|(path, comment)| (path.as_str(), comment.as_str())).collect();
    assert_eq!(
        found,
        [("one", "One. More."), ("two", ""), ("two.three", "Three."), ("two.five", ""), ("six", "Six.")]
    );
}
