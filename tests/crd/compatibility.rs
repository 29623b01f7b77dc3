//! Whether a CRD can replace a released one: every object and every client of the old one goes on. The checks are those of crdify
//! (<https://github.com/kubernetes-sigs/crdify>) and a few more.

use std::path::Path;

use serde_json::{Value, json};

use crate::lint::put;
use crate::schema::crd;

/// What of `old` does not hold in `new`.
fn incompatibilities(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for what in ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural"] {
        if old.pointer(what) != new.pointer(what) {
            found.push(format!("{what} is another"));
        }
    }
    let versions = |crd: &Value| crd["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let later = versions(new);
    for version in versions(old) {
        let name = version["name"].as_str().unwrap_or_default();
        let Some(later) = later.iter().find(|later| later["name"] == name) else {
            found.push(format!("version {name} is gone"));
            continue;
        };
        if version["served"] == true && later["served"] != true {
            found.push(format!("version {name} is not served any more"));
        }
        for part in ["selectableFields", "additionalPrinterColumns"] {
            let gone = |item: &&Value| {
                !later[part]
                    .as_array()
                    .is_some_and(|items| items.iter().any(|other| other["jsonPath"] == item["jsonPath"]))
            };
            let gone = version[part].as_array().into_iter().flatten().filter(gone);
            found.extend(gone.map(|item| format!("version {name}: {part} has no {}", item["jsonPath"])));
        }
        if !version["subresources"]["status"].is_null() && later["subresources"]["status"].is_null() {
            found.push(format!("version {name} has no status subresource"));
        }
        let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
        compare(name, &schema(&version), &schema(later), &mut found);
    }
    found
}

/// Bounds from above and from below.
const MOST: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
const LEAST: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let mut fault = |what: String| found.push(format!("{path}: {what}"));
    for what in [
        "type",
        "format",
        "default",
        "nullable",
        "pattern",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ] {
        if old[what] != new[what] {
            fault(format!("{what} was {} and is {}", old[what], new[what]));
        }
    }
    for (bound, from_above) in
        MOST.map(|bound| (bound, true)).into_iter().chain(LEAST.map(|bound| (bound, false)))
    {
        let Some(later) = new[bound].as_f64() else { continue };
        if old[bound].as_f64().is_none_or(|before| if from_above { later < before } else { later > before }) {
            fault(format!("{bound} was {} and is {later}", old[bound]));
        }
    }
    match (old["enum"].as_array(), new["enum"].as_array()) {
        (None, Some(_)) => fault("has an enumeration".into()),
        (Some(before), Some(later)) => before
            .iter()
            .filter(|word| !later.contains(word))
            .for_each(|word| fault(format!("may not be {word}"))),
        _ => {}
    }
    let list = |schema: &Value, name: &str| schema[name].as_array().cloned().unwrap_or_default();
    let required = list(old, "required");
    list(new, "required")
        .iter()
        .filter(|name| !required.contains(name))
        .for_each(|name| fault(format!("requires {name}")));
    let rules = list(old, "x-kubernetes-validations");
    // What is said of a field that is new itself holds for no object that there is.
    let of_a_new_field = |rule: &Value| {
        rule["fieldPath"]
            .as_str()
            .is_some_and(|field| old["properties"].get(field.trim_start_matches('.')).is_none())
    };
    for rule in list(new, "x-kubernetes-validations") {
        if !rules.iter().any(|before| before["rule"] == rule["rule"]) && !of_a_new_field(&rule) {
            fault(format!("has the rule {}", rule["rule"]));
        }
    }
    for (name, before) in old["properties"].as_object().into_iter().flatten() {
        match new["properties"].get(name) {
            Some(later) => compare(&format!("{path}.{name}"), before, later, found),
            None => found.push(format!("{path}.{name} is gone")),
        }
    }
    for inner in ["items", "additionalProperties"] {
        match (old.get(inner), new.get(inner)) {
            (Some(before), Some(later)) => compare(&format!("{path}.{inner}"), before, later, found),
            (Some(_), None) => found.push(format!("{path}.{inner} is gone")),
            _ => {}
        }
    }
}

#[test]
fn the_crd_can_replace_every_released_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/released");
    let new = crd();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let old: Value =
                serde_saphyr::from_str(&std::fs::read_to_string(&path).expect("text")).expect("YAML");
            assert_eq!(incompatibilities(&old, &new), Vec::<String>::new(), "{}", path.display());
        }
    }
}

const VERSION: &str = "/spec/versions/0";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

#[test]
fn each_incompatible_change_is_found() {
    let field = |path: &str| format!("{SPEC}/properties/{path}");
    let another = json!([{ "name": "v1beta1", "served": true, "storage": true, "schema": {} }]);
    let rule = json!([{ "rule": "self != 'x'", "message": "not x" }]);
    let changes = [
        ("/spec/group".to_owned(), json!("example.com")),
        ("/spec/scope".to_owned(), json!("Cluster")),
        ("/spec/names/kind".to_owned(), json!("Session")),
        ("/spec/names/plural".to_owned(), json!("sessions")),
        ("/spec/versions".to_owned(), another),
        (format!("{VERSION}/served"), json!(false)),
        (format!("{VERSION}/selectableFields"), json!([{ "jsonPath": ".spec.workGroup" }])),
        (format!("{VERSION}/subresources"), json!({})),
        (field("description"), Value::Null),
        (field("workGroup/type"), json!("integer")),
        (field("maxRestarts/format"), json!("int64")),
        (field("maxRestarts/default"), json!(6)),
        (field("suspend/default"), Value::Null),
        (field("description/nullable"), json!(true)),
        (field("workGroup/pattern"), json!("^[a-z]+$")),
        (field("description/pattern"), json!("^[a-z]+$")),
        (field("maxRestarts/maximum"), json!(9_999)),
        (field("maxRestarts/minimum"), json!(1)),
        (field("workGroup/maxLength"), json!(127)),
        (field("workGroup/minLength"), json!(2)),
        (field("tags/maxProperties"), json!(49)),
        (field("tags/minProperties"), json!(1)),
        (field("tags/additionalProperties/maxLength"), json!(255)),
        (field("engineConfiguration/properties/classifications/maxItems"), json!(9)),
        (field("engineConfiguration/properties/classifications/x-kubernetes-list-type"), json!("set")),
        (field("engineConfiguration/properties/classifications/items/properties/name"), Value::Null),
        (field("engineConfiguration/required"), json!(["maxConcurrentDpus"])),
        (field("restartPolicy/enum"), json!(["Never"])),
        (field("workGroup/enum"), json!(["etl"])),
        (field("workGroup/x-kubernetes-validations"), rule),
    ];
    for (path, value) in changes {
        let old = crd();
        let mut new = old.clone();
        put(&mut new, &path, value);
        assert_eq!(incompatibilities(&old, &new).len(), 1, "{path}: {:?}", incompatibilities(&old, &new));
    }
}

#[test]
fn compatible_changes_are_let_pass() {
    let field = |path: &str| format!("{SPEC}/properties/{path}");
    let more_words = json!(["Never", "OnFailure", "Always"]);
    let rule_of_its_own = json!({ "type": "string", "maxLength": 10, "x-kubernetes-validations": [{ "rule": "self != 'x'", "message": "not x" }] });
    let changes = [
        (field("newField"), rule_of_its_own),
        (field("restartPolicy/enum"), more_words),
        (field("maxRestarts/maximum"), json!(20_000)),
        (field("maxRestarts/minimum"), Value::Null),
        (field("workGroup/maxLength"), json!(256)),
        (field("workGroup/description"), json!("Told otherwise.")),
        (format!("{SPEC}/x-kubernetes-validations"), Value::Null),
        (format!("{VERSION}/selectableFields/2"), json!({ "jsonPath": ".spec.suspend" })),
        ("/spec/names/shortNames".to_owned(), json!(["asess", "athenas"])),
    ];
    for (path, value) in changes {
        let old = crd();
        let mut new = old.clone();
        match path.strip_suffix("/2") {
            Some(list) => new.pointer_mut(list).and_then(Value::as_array_mut).expect("a list").push(value),
            None => put(&mut new, &path, value),
        }
        assert_ne!(old, new, "{path}");
        assert_eq!(incompatibilities(&old, &new), Vec::<String>::new(), "{path}");
    }
    let old = crd();
    let mut new = old.clone();
    put(&mut new, &field("newField"), json!({ "type": "integer" }));
    let rules = new
        .pointer_mut(&format!("{SPEC}/x-kubernetes-validations"))
        .and_then(Value::as_array_mut)
        .expect("rules");
    rules.push(json!({ "rule": "has(self.newField) == has(oldSelf.newField)", "message": "is immutable", "fieldPath": ".newField" }));
    assert_eq!(incompatibilities(&old, &new), Vec::<String>::new(), "a new field that is immutable");
}
