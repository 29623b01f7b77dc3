//! Argo CD's customization, tested as Argo CD's own repository tests one, and against the matrix.

use std::fs;

use serde_json::Value;

use crate::matrix::MATRIX;
use crate::verdicts::{CUSTOMIZATION, Health, lua, verdicts};

fn yaml(path: &str) -> Value {
    let path = format!("{CUSTOMIZATION}/{path}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

#[test]
fn every_tool_gives_the_verdict_of_the_matrix() {
    let objects: Vec<Value> =
        MATRIX.iter().map(|row| yaml(&format!("testdata/{}.yaml", row.file()))).collect();
    for (row, object) in MATRIX.iter().zip(&objects) {
        let conditions = object["status"]["conditions"].as_array();
        let ready = conditions
            .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == "Ready"));
        assert_eq!(ready.map_or("", |ready| text(ready, "status")), row.ready, "{}", row.file());
    }
    let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
    let judged = verdicts(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (row, verdicts) in MATRIX.iter().zip(judged) {
        assert_eq!(
            (verdicts.kstatus.as_str(), verdicts.fork.as_str()),
            (row.kstatus, row.kstatus),
            "{}",
            row.file()
        );
        assert_eq!(verdicts.argo.status, row.argo, "{}", row.file());
        // Expressions know of no deletion.
        let exprs = if row.kstatus == "Terminating" { "InProgress" } else { row.kstatus };
        assert_eq!(verdicts.exprs, exprs, "{}", row.file());
    }
}

#[test]
fn the_health_tests_pass() {
    let tests = yaml("health_test.yaml");
    let tests = tests["tests"].as_array().expect("tests");
    let lines: Vec<String> = tests.iter().map(|test| yaml(text(test, "inputPath")).to_string()).collect();
    let healths = lua("health.lua", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (test, health) in tests.iter().zip(healths) {
        assert_eq!(health, test["healthStatus"], "{}", text(test, "inputPath"));
    }
    assert_eq!(tests.len(), MATRIX.len());
}

#[test]
fn an_object_without_a_status_is_progressing() {
    let object = r#"{"apiVersion":"athena-operator.io/v1alpha1","kind":"AthenaSession","metadata":{"name":"etl","generation":1},"spec":{"workGroup":"etl"}}"#;
    let health: Vec<Health> = lua("health.lua", &[object])
        .into_iter()
        .map(|health| serde_json::from_value(health).expect("a health"))
        .collect();
    assert_eq!(health[0].status, "Progressing");
}

#[test]
fn the_health_of_an_application_is_its_own() {
    let applications = [
        r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{"name":"a"},"status":{"health":{"status":"Degraded","message":"why"}}}"#,
        r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{"name":"a"},"status":{"health":{"status":"Healthy"}}}"#,
        r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{"name":"a"}}"#,
    ];
    let healths = lua("../../../application-health.lua", &applications);
    let health = |status: &str, message: &str| serde_json::json!({ "status": status, "message": message });
    assert_eq!(healths, [health("Degraded", "why"), health("Healthy", ""), health("Progressing", "")]);
}

#[test]
fn the_actions_do_what_their_tests_say() {
    let tests = yaml("actions/action_test.yaml");
    let discoveries = tests["discoveryTests"].as_array().expect("tests of discovery");
    for test in discoveries {
        let object = yaml(&format!("actions/{}", text(test, "inputPath"))).to_string();
        let found = lua("actions/discovery.lua", &[&object]).remove(0);
        let mut wanted = serde_json::Map::new();
        for action in test["result"].as_array().expect("actions") {
            let mut action = action.as_object().expect("an action").clone();
            let name = action.remove("name").expect("a name");
            action.entry("disabled").or_insert(false.into());
            wanted.insert(name.as_str().expect("a word").to_owned(), action.into());
        }
        assert_eq!(found, Value::Object(wanted), "{}", text(test, "inputPath"));
    }
    let actions = tests["actionTests"].as_array().expect("tests of actions");
    for test in actions {
        let of = |member| yaml(&format!("actions/{}", text(test, member)));
        let changed =
            lua(&format!("actions/{}/action.lua", text(test, "action")), &[&of("inputPath").to_string()])
                .remove(0);
        assert_eq!(whole_numbers(changed), whole_numbers(of("expectedOutputPath")), "{test}");
    }
    assert_eq!((discoveries.len(), actions.len()), (2, 2));
}

/// Lua has one kind of number.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(list) => list.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (name, whole_numbers(member))).collect()
        }
        other => other,
    }
}
