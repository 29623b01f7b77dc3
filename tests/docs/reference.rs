//! The reference of the resource, made from the schema of its CRD.

use athena_operator::api::{self, IMMUTABLE};
use serde_json::Value;

use crate::tables::{code, table};

/// The fields of `spec` or `status`.
pub(crate) fn fields(part: &str) -> String {
    let crd = serde_json::to_value(api::crd()).expect("a CRD is JSON");
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").expect("a schema");
    let mut rows = Vec::new();
    walk("", &schema[part], &mut rows);
    match part {
        "spec" => table(
            ["field", "type", "bounds", "default", "can change", "meaning"],
            rows.iter().map(Row::of_spec),
        ),
        _ => table(["field", "type", "bounds", "meaning"], rows.iter().map(Row::of_status)),
    }
}

/// What the API server checks beyond types and bounds, but for immutability.
pub(crate) fn rules() -> String {
    let crd = serde_json::to_value(api::crd()).expect("a CRD is JSON");
    let mut messages = Vec::new();
    collect_rules(
        crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").expect("a spec"),
        &mut messages,
    );
    messages.iter().map(|message| format!("- {message}")).collect::<Vec<_>>().join("\n")
}

struct Row<'a> {
    path: String,
    required: bool,
    schema: &'a Value,
}

impl Row<'_> {
    fn of_spec(&self) -> [String; 6] {
        let [path, type_, bounds, meaning] = self.of_status();
        let default = self
            .schema
            .get("default")
            .map_or_else(|| "–".to_owned(), |default| code(default.to_string().trim_matches('"')));
        let default = if self.required { "required".to_owned() } else { default };
        let can_change = if immutable(&self.path) { "no" } else { "yes" };
        [path, type_, bounds, default, can_change.to_owned(), meaning]
    }

    fn of_status(&self) -> [String; 4] {
        let meaning =
            self.schema["description"].as_str().unwrap_or_default().trim_start_matches("Immutable. ");
        [code(&self.path), type_of(self.schema), bounds(self.schema), meaning.replace('|', "\\|")]
    }
}

/// Items of a list change with the list only.
fn immutable(path: &str) -> bool {
    IMMUTABLE
        .iter()
        .any(|fixed| path == *fixed || path.strip_prefix(fixed).is_some_and(|rest| rest.starts_with("[]")))
}

fn walk<'a>(path: &str, schema: &'a Value, rows: &mut Vec<Row<'a>>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rows.push(Row {
            path: path.clone(),
            required: required.contains(&Value::from(name.as_str())),
            schema: field,
        });
        walk(&path, field, rows);
        walk(&format!("{path}[]"), &field["items"], rows);
    }
}

fn type_of(schema: &Value) -> String {
    match (schema["type"].as_str().unwrap_or_default(), schema["format"].as_str()) {
        ("string", Some("date-time")) => "time".into(),
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        ("object", _) if schema.get("additionalProperties").is_some() => {
            format!("map to {}", type_of(&schema["additionalProperties"]))
        }
        (name, _) => name.into(),
    }
}

fn bounds(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let range = |least: &str, most: &str, unit: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) if least.to_string() == most.to_string() => Some(format!("{least}{unit}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, None) => None,
    };
    let words = schema["enum"].as_array().map(|words| {
        words.iter().map(|word| code(word.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ")
    });
    let pattern = schema["pattern"].as_str().map(|pattern| code(&pattern.replace('|', "\\|")));
    let inner = |name: &str, what: &str| {
        schema.get(name).map(bounds).filter(|bounds| bounds != "–").map(|bounds| format!("{what}: {bounds}"))
    };
    let all = [
        words,
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " items"),
        range("minProperties", "maxProperties", " keys"),
        pattern,
        inner("additionalProperties", "values"),
        inner("items", "items"),
    ];
    let bounds: Vec<String> = all.into_iter().flatten().collect();
    if bounds.is_empty() { "–".into() } else { bounds.join("; ") }
}

fn collect_rules(schema: &Value, messages: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().expect("a rule has a message").to_owned();
        if !message.contains("is immutable") && !messages.contains(&message) {
            messages.push(message);
        }
    }
    for inner in schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, inner)| inner)
        .chain([&schema["items"]])
    {
        if inner.is_object() {
            collect_rules(inner, messages);
        }
    }
}

#[test]
fn the_reference_has_a_line_for_every_field() {
    let spec = fields("spec");
    let lines = |field: &str| {
        spec.lines().filter(|line| line.starts_with(&format!("| `{field}` |"))).collect::<Vec<_>>()
    };
    for path in IMMUTABLE {
        assert!(
            lines(path).iter().any(|line| line.contains("| no |")) && lines(path).len() == 1,
            "{path}: {:?}",
            lines(path)
        );
    }
    for path in [
        "suspend",
        "restartPolicy",
        "maxRestarts",
        "startupDeadlineSeconds",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "deletionPolicy",
    ] {
        assert!(
            lines(path).iter().any(|line| line.contains("| yes |")) && lines(path).len() == 1,
            "{path}: {:?}",
            lines(path)
        );
    }
    assert!(
        lines("workGroup")[0].contains("| required |")
            && lines("maxRestarts")[0].contains("| 0 to 10000 | `5` |"),
        "{spec}"
    );
    assert!(lines("engineConfiguration.classifications[].name")[0].contains("| no |"), "{spec}");
    assert!(
        fields("status").contains("| `conditions[].observedGeneration` | integer |"),
        "{}",
        fields("status")
    );
    assert!(rules().contains("spark.athena."), "{}", rules());
}
