//! The test data of Argo CD's health check, in the layout that Argo CD's own repository has: an object for each row of the matrix of conditions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use athena_operator::api::AthenaSession;
use athena_operator::session::status::condition;
use serde::Serialize;
use serde_json::{Value, json};

use crate::enumeration::{self, Enumeration};
use crate::matrix::{MATRIX, Row};
use crate::{read, repository};

const ARGOCD: &str = "gitops/argocd";
const FOLDER: &str = "resource_customizations/athena-operator.io/AthenaSession";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthTest {
    health_status: HealthStatus,
    input_path: String,
}

#[derive(Serialize)]
struct HealthStatus {
    status: &'static str,
    message: String,
}

/// Each file that is made, by its path inside of [`ARGOCD`].
fn files(all: &Enumeration) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut tests = Vec::new();
    for row in &MATRIX {
        let object = specimen(row, all);
        let input_path = format!("testdata/{}.yaml", row.file());
        tests.push(HealthTest {
            health_status: HealthStatus { status: row.argo, message: message(row, &object) },
            input_path: input_path.clone(),
        });
        files.insert(format!("{FOLDER}/{input_path}"), yaml(&object));
    }
    files.insert(format!("{FOLDER}/health_test.yaml"), yaml(&json!({ "tests": tests })));
    files.insert("argocd-cm.yaml".into(), config_map());
    files
}

/// The keys of Argo CD's ConfigMap that have the scripts in them.
fn config_map() -> String {
    let script = |path: &str, indentation: usize| {
        let lines = read(&format!("{ARGOCD}/{path}"));
        let indented =
            lines.trim_end().lines().map(|line| format!("{:indentation$}{line}", "").trim_end().to_owned());
        indented.collect::<Vec<_>>().join("\n")
    };
    let action = |name: &str| {
        format!(
            "      - name: {name}\n        action.lua: |\n{}\n",
            script(&format!("{FOLDER}/actions/{name}/action.lua"), 10)
        )
    };
    let mut text = String::from(
        "# What Argo CD has to be told: without it an AthenaSession counts as healthy whatever it is. Merge the keys into the ConfigMap that there is.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n  labels:\n    \
         app.kubernetes.io/name: argocd-cm\n    app.kubernetes.io/part-of: argocd\ndata:\n",
    );
    text += "  resource.customizations.health.athena-operator.io_AthenaSession: |\n";
    text += &script(&format!("{FOLDER}/health.lua"), 4);
    text += "\n  resource.customizations.actions.athena-operator.io_AthenaSession: |\n    discovery.lua: |\n";
    text += &script(&format!("{FOLDER}/actions/discovery.lua"), 6);
    text += "\n    definitions:\n";
    text.extend(["suspend", "resume"].map(action));
    text += "  resource.customizations.health.argoproj.io_Application: |\n";
    text + &script("application-health.lua", 4) + "\n"
}

fn specimen(row: &Row, all: &Enumeration) -> AthenaSession {
    let of = |ready: &str, reason: &str| {
        let key = (ready.to_owned(), reason.to_owned());
        all.specimens
            .get(&key)
            .unwrap_or_else(|| panic!("no combination leads to Ready {ready} {reason}"))
            .clone()
    };
    match row.reason {
        "Created" => {
            let mut object = of("Unknown", "Starting");
            object.metadata.finalizers = None;
            object.status = serde_json::from_value(json!({ "observedGeneration": -1 })).expect("a status");
            object
        }
        "Edited" => {
            let mut object = of("True", "SessionIdle");
            object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            object
        }
        reason => of(row.ready, reason),
    }
}

fn message(row: &Row, object: &AthenaSession) -> String {
    match row.reason {
        "Deleting" => "Pending deletion".into(),
        "Created" | "Edited" => "Waiting for the operator to observe the latest generation".into(),
        _ => object
            .status
            .as_ref()
            .and_then(|status| condition(status, "Ready"))
            .expect("Ready")
            .message
            .clone(),
    }
}

fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(&serde_json::to_value(value).expect("JSON")).expect("YAML")
}

#[test]
fn generated_sections_have_test_data_for_argo_cd() {
    let made = files(enumeration::all());
    let folder = repository(ARGOCD);
    let present: Vec<PathBuf> = std::fs::read_dir(folder.join(FOLDER).join("testdata"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    let superfluous = present.iter().filter(|path| !made.keys().any(|name| folder.join(name) == **path));
    if std::env::var_os("GENERATE").is_some() {
        superfluous.for_each(|path| {
            std::fs::remove_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        });
        for (name, text) in made {
            std::fs::write(folder.join(&name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        return;
    }
    assert_eq!(superfluous.collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "run `make generate`");
    for (name, text) in made {
        let present = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        // As values, since people and tools may break lines as they like.
        let parsed = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap_or_default();
        assert!(parsed(&present) == parsed(&text), "{name} is stale: run `make generate`");
    }
}
