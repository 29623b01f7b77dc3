//! The example chart of sessions: their names carry a hash of what cannot be changed, and of nothing else.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use athena_operator::api::IMMUTABLE;
use serde_json::{Value, json};
use tools::Tool;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sessions-chart");

/// Names and specs of what Helm makes of the chart with one session of this spec.
fn rendered(helm: &Path, spec: &Value) -> Vec<(String, Value)> {
    let mut child = Command::new(helm)
        .args(["template", "release", CHART, "--values", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", helm.display()));
    // The session of the chart's own values would be there, too.
    let values = json!({ "sessions": { "nightly": null, "etl": spec } });
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(values.to_string().as_bytes())
        .expect("Helm reads the values");
    let output = child.wait_with_output().expect("Helm ends");
    assert!(output.status.success());
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&String::from_utf8(output.stdout).expect("text")).expect("YAML");
    let sessions = documents.into_iter().filter(|document| document["kind"] == "AthenaSession");
    sessions
        .map(|session| {
            (session["metadata"]["name"].as_str().expect("a name").to_owned(), session["spec"].clone())
        })
        .collect()
}

fn name(helm: &Path, spec: &Value) -> String {
    let objects = rendered(helm, spec);
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(objects[0].1, *spec, "the spec is that of the values");
    objects[0].0.clone()
}

/// A spec with every field.
fn spec() -> Value {
    json!({
        "workGroup": "spark-35", "description": "one", "executionRole": "arn:aws:iam::123456789012:role/a", "notebookVersion": "one",
        "sessionIdleTimeoutInMinutes": 30, "tags": { "team": "a" }, "copyWorkGroupTags": true,
        "engineConfiguration": {
            "coordinatorDpuSize": 1, "maxConcurrentDpus": 20, "defaultExecutorDpuSize": 1, "additionalConfigs": { "NotebookId": "a" },
            "sparkProperties": { "spark.a": "a" }, "classifications": [{ "name": "spark-defaults", "properties": { "spark.a": "a" } }],
        },
        "monitoringConfiguration": {
            "cloudWatchLoggingConfiguration":
                { "enabled": true, "logGroup": "a", "logStreamNamePrefix": "a", "logTypes": { "SPARK_DRIVER": ["STDOUT"] } },
            "managedLoggingConfiguration": { "enabled": true, "kmsKey": "alias/a" },
            "s3LoggingConfiguration": { "enabled": true, "kmsKey": "alias/a", "logLocation": "s3://logs/a" },
        },
        "suspend": true, "restartPolicy": "OnFailure", "maxRestarts": 3, "startupDeadlineSeconds": 86400, "activeDeadlineSeconds": 31_536_000,
        "ttlSecondsAfterFinished": 31_536_000, "deletionPolicy": "Retain",
    })
}

#[test]
fn names_change_with_each_immutable_field_and_with_no_other() {
    let mutable = [
        "suspend",
        "restartPolicy",
        "maxRestarts",
        "startupDeadlineSeconds",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "deletionPolicy",
    ];
    let helm = Tool::Helm.path().unwrap_or_else(|error| panic!("{error}"));
    let original = name(&helm, &spec());
    assert!(original.starts_with("etl-") && original.len() == "etl-".len() + 8, "{original}");
    for field in mutable {
        let mut edited = spec();
        assert!(edited.as_object_mut().expect("a spec").remove(field).is_some(), "{field}");
        assert_eq!(name(&helm, &edited), original, "{field}");
    }
    for path in IMMUTABLE {
        let mut edited = spec();
        let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = parent
            .split('.')
            .filter(|step| !step.is_empty())
            .fold(&mut edited, |parent, step| &mut parent[step]);
        assert!(parent.as_object_mut().expect("an object").remove(field).is_some(), "{path}");
        assert_ne!(name(&helm, &edited), original, "{path}");
    }
    let fields = spec();
    let known = |field: &str| IMMUTABLE.contains(&field) || mutable.contains(&field);
    assert!(fields.as_object().expect("a spec").keys().all(|field| known(field)));
}

#[test]
fn both_helms_give_the_same_name() {
    let [helm, helm3] =
        [Tool::Helm, Tool::Helm3].map(|tool| tool.path().unwrap_or_else(|error| panic!("{error}")));
    assert_eq!(name(&helm, &spec()), name(&helm3, &spec()));
}
