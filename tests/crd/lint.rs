//! The rules of kube-api-linter that can be seen in a generated CRD, under its names: <https://github.com/kubernetes-sigs/kube-api-linter>.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::schema::{Node, crd, nodes};

/// What breaks a rule on purpose: rule, path, reason.
const WAIVED: [(&str, &str, &str); 8] = [
    (
        "ArrayOfStruct",
        "spec.engineConfiguration.classifications",
        "StartSession has no required member in a classification either",
    ),
    ("NoBools", "spec.copyWorkGroupTags", "a parameter of StartSession, under its name and with its type"),
    ("NoBools", "spec.monitoringConfiguration.cloudWatchLoggingConfiguration.enabled", "the same"),
    ("NoBools", "spec.monitoringConfiguration.managedLoggingConfiguration.enabled", "the same"),
    ("NoBools", "spec.monitoringConfiguration.s3LoggingConfiguration.enabled", "the same"),
    (
        "NoBools",
        "spec.suspend",
        "the name and type that Jobs, CronJobs and Flux give to it, which people and tools know",
    ),
    (
        "NoMaps",
        "spec.monitoringConfiguration.cloudWatchLoggingConfiguration.logTypes",
        "a parameter of StartSession, under its name and with its type",
    ),
    ("OptionalOrRequired", "spec.workGroup", "no session can be started without it"),
];

/// Finds what breaks a rule: the paths.
type Rule = fn(&Value) -> Vec<String>;

const RULES: [(&str, Rule); 19] = [
    ("ArrayOfStruct", |crd| {
        paths(crd, |node| {
            node.schema["items"]["type"] == "object"
                && node.schema["items"]["required"].as_array().is_none_or(Vec::is_empty)
        })
    }),
    ("Conditions", conditions),
    ("Defaults", |crd| {
        paths(crd, |node| {
            required_of(node.schema).iter().any(|name| !node.schema["properties"][name]["default"].is_null())
        })
    }),
    ("Enums", |crd| {
        let pascal_case = |word: &Value| {
            word.as_str()
                .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && letters(word))
        };
        paths(crd, |node| node.schema["enum"].as_array().is_some_and(|words| !words.iter().all(pascal_case)))
    }),
    ("Integers", |crd| {
        paths(crd, |node| {
            node.text("type") == "integer" && !["int32", "int64"].contains(&node.text("format"))
        })
    }),
    ("JSONTags", |crd| {
        let camel_case = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        };
        paths(crd, |node| !camel_case(node.name().trim_end_matches(['[', ']', '{', '}'])))
    }),
    ("MaxLength", |crd| {
        let unbounded = |schema: &Value| match schema["type"].as_str() {
            Some("string") => {
                schema["maxLength"].is_null() && schema["enum"].is_null() && schema["format"] != "date-time"
            }
            Some("array") => schema["maxItems"].is_null(),
            _ => !schema["additionalProperties"].is_null() && schema["maxProperties"].is_null(),
        };
        paths(crd, |node| unbounded(node.schema))
    }),
    ("NoBools", |crd| paths(crd, |node| node.text("type") == "boolean")),
    ("NoDurations", |crd| {
        paths(crd, |node| node.text("format") == "duration" || node.name().ends_with("Duration"))
    }),
    ("NoFloats", |crd| paths(crd, |node| node.text("type") == "number")),
    ("NoMaps", |crd| {
        paths(crd, |node| {
            !["", "string"]
                .contains(&node.schema["additionalProperties"]["type"].as_str().unwrap_or_default())
        })
    }),
    ("NoNullable", |crd| paths(crd, |node| !node.schema["nullable"].is_null())),
    ("NoPhase", |crd| paths(crd, |node| node.name().to_lowercase().ends_with("phase"))),
    ("NoTimestamp", |crd| paths(crd, |node| node.name().to_lowercase().contains("timestamp"))),
    ("NumericBounds", |crd| {
        paths(crd, |node| {
            node.text("type") == "integer"
                && (node.schema["minimum"].is_null() || node.schema["maximum"].is_null())
        })
    }),
    // What is required of people; inside of a structure that they may leave out it is a part of that structure.
    ("OptionalOrRequired", |crd| {
        let spec = nodes(crd).into_iter().filter(|node| node.path == "spec");
        spec.flat_map(|node| required_of(node.schema)).map(|name| format!("spec.{name}")).collect()
    }),
    ("SSATags", |crd| {
        let untagged = |schema: &Value| match schema["x-kubernetes-list-type"].as_str() {
            Some("atomic") => false,
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().cloned().unwrap_or_default();
                let required = required_of(&schema["items"]);
                keys.is_empty() || !keys.iter().all(|key| required.iter().any(|name| key == name.as_str()))
            }
            Some("set") => schema["items"]["type"] == "object",
            _ => true,
        };
        paths(crd, |node| node.text("type") == "array" && untagged(node.schema))
    }),
    ("StatusOptional", |crd| {
        paths(crd, |node| node.path == "status" && !required_of(node.schema).is_empty())
    }),
    ("StatusSubresource", |crd| {
        let without = crd["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|version| !version["subresources"]["status"].is_object());
        without.map(|version| version["name"].to_string()).collect()
    }),
];

fn paths(crd: &Value, broken: impl Fn(&Node<'_>) -> bool) -> Vec<String> {
    nodes(crd).into_iter().filter(|node| broken(node)).map(|node| node.path).collect()
}

fn required_of(schema: &Value) -> Vec<String> {
    schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn letters(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric())
}

/// `metav1.Condition` as the API machinery has it.
fn conditions(crd: &Value) -> Vec<String> {
    let good = |schema: &Value| {
        let mut required = required_of(&schema["items"]);
        required.sort();
        required == ["lastTransitionTime", "message", "reason", "status", "type"]
            && schema["x-kubernetes-list-type"] == "map"
            && schema["x-kubernetes-list-map-keys"] == json!(["type"])
            && schema["items"]["properties"]["status"]["enum"] == json!(["True", "False", "Unknown"])
            && schema["items"]["properties"]["observedGeneration"]["format"] == "int64"
    };
    let nodes = nodes(crd);
    let conditions: Vec<_> = nodes.iter().filter(|node| node.name() == "conditions").collect();
    if conditions.is_empty() {
        return vec!["there are none".into()];
    }
    conditions
        .into_iter()
        .filter(|node| node.path != "status.conditions" || !good(node.schema))
        .map(|node| node.path.clone())
        .collect()
}

#[test]
fn the_crd_keeps_the_rules() {
    let crd = crd();
    let found: BTreeSet<(&str, String)> =
        RULES.iter().flat_map(|(name, rule)| rule(&crd).into_iter().map(|path| (*name, path))).collect();
    let waived: BTreeSet<(&str, String)> =
        WAIVED.iter().map(|(name, path, _)| (*name, (*path).to_owned())).collect();
    assert_eq!(
        found.difference(&waived).collect::<Vec<_>>(),
        Vec::<&(&str, String)>::new(),
        "found and not waived"
    );
    assert_eq!(
        waived.difference(&found).collect::<Vec<_>>(),
        Vec::<&(&str, String)>::new(),
        "waived and not found"
    );
}

#[test]
fn each_rule_finds_what_breaks_it() {
    // Rule, where in the schema of the version, and what is put there.
    let spec = "/properties/spec/properties";
    let status = "/properties/status/properties";
    let breaks = [
        ("ArrayOfStruct", format!("{status}/previousAttempts/items/required"), json!([])),
        ("Conditions", format!("{status}/conditions/items/properties/status/enum"), json!(["True", "False"])),
        ("Defaults", format!("{spec}/workGroup/default"), json!("primary")),
        ("Enums", format!("{spec}/restartPolicy/enum"), json!(["never"])),
        ("Integers", format!("{spec}/maxRestarts/format"), json!("uint8")),
        ("JSONTags", format!("{spec}/work_group"), json!({ "type": "string", "maxLength": 1 })),
        ("MaxLength", format!("{spec}/workGroup/maxLength"), Value::Null),
        ("NoBools", format!("{spec}/keep"), json!({ "type": "boolean" })),
        ("NoDurations", format!("{spec}/retryDuration"), json!({ "type": "string", "maxLength": 10 })),
        ("NoFloats", format!("{spec}/rate"), json!({ "type": "number" })),
        ("NoMaps", format!("{spec}/tags/additionalProperties/type"), json!("object")),
        ("NoNullable", format!("{spec}/description/nullable"), json!(true)),
        ("NoPhase", format!("{status}/phase"), json!({ "type": "string", "maxLength": 10 })),
        ("NoTimestamp", format!("{status}/endTimestamp"), json!({ "type": "string", "format": "date-time" })),
        ("NumericBounds", format!("{spec}/maxRestarts/maximum"), Value::Null),
        ("OptionalOrRequired", "/properties/spec/required".into(), json!(["workGroup", "description"])),
        ("SSATags", format!("{status}/previousAttempts/x-kubernetes-list-type"), Value::Null),
        ("StatusOptional", "/properties/status/required".into(), json!(["attempt"])),
        ("StatusSubresource", "/subresources".into(), json!({})),
    ];
    for ((name, rule), (breaks, path, value)) in RULES.iter().zip(breaks) {
        assert_eq!(*name, breaks);
        let mut crd = crd();
        let before = rule(&crd);
        let version = if name == &"StatusSubresource" {
            "/spec/versions/0"
        } else {
            "/spec/versions/0/schema/openAPIV3Schema"
        };
        put(&mut crd, &format!("{version}{path}"), value);
        let after = rule(&crd);
        assert_eq!(after.len(), before.len() + 1, "{name}: {before:?}, then {after:?}");
    }
}

/// Puts a value where the path says, which leads through objects and lists that are there.
pub(crate) fn put(crd: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = crd.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match value {
        Value::Null => drop(parent.as_object_mut().expect("an object").remove(name)),
        value => parent[name] = value,
    }
}

#[test]
fn the_file_has_nothing_that_a_tool_would_see_as_drift() {
    let text = include_str!("../../crds/athenasessions.athena-operator.io.yaml");
    let file: Value = serde_saphyr::from_str(text).expect("YAML");
    let names: Vec<&String> = file.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["apiVersion", "kind", "metadata", "spec"], "a status or more is in the file");
    let mut empty = Vec::new();
    look_for_empty("", &file, &mut empty);
    // The API server keeps this one as it is.
    assert_eq!(empty, ["/spec/versions/0/subresources/status"], "the API server drops what is empty");
}

fn look_for_empty(path: &str, value: &Value, empty: &mut Vec<String>) {
    match value {
        Value::Null => empty.push(path.into()),
        Value::Object(members) if members.is_empty() => empty.push(path.into()),
        Value::Array(items) if items.is_empty() => empty.push(path.into()),
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, member)| look_for_empty(&format!("{path}/{name}"), member, empty));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| look_for_empty(&format!("{path}/{index}"), item, empty)),
        _ => {}
    }
}
