//! Each render is what each supported Kubernetes accepts, and the example for Argo CD what Argo CD
//! accepts.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tools::{Published, Tool};

use crate::helm::program;
use crate::kubernetes::{VERSIONS, write_schemas};
use crate::switches::PAIRWISE;

/// What kubeconform says about the files against this version, and how many objects it found.
fn problems(version: &Published, manifests: &Path) -> (Vec<String>, u64) {
    let schemas = tempfile::tempdir().expect("a folder");
    write_schemas(version, schemas.path());
    let location = format!("{}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json", schemas.path().display());
    let output = Command::new(program(Tool::Kubeconform))
        .args(["-strict", "-output", "json", "-summary", "-schema-location", &location])
        .arg(manifests)
        .output()
        .expect("kubeconform runs");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let problem = |resource: &Value| {
        format!("{}: {} {}: {}", version.version, resource["kind"], resource["name"], resource["msg"])
    };
    let valid = said["summary"]["valid"].as_u64().expect("a number of valid objects");
    (said["resources"].as_array().into_iter().flatten().map(problem).collect(), valid)
}

#[test]
fn each_pair_of_switches_renders_what_each_kubernetes_accepts() {
    let manifests = tempfile::tempdir().expect("a folder");
    for (row, render) in PAIRWISE.iter().enumerate() {
        fs::write(manifests.path().join(format!("{row}.yaml")), &render.text).expect("a file");
    }
    for version in &VERSIONS {
        let (problems, valid) = problems(version, manifests.path());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert!(valid > 100, "only {valid} objects");
    }
}

#[test]
fn the_applications_are_what_argo_cd_accepts() {
    let applications = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gitops/argocd/applications.yaml");
    let (problems, valid) = problems(&VERSIONS[VERSIONS.len() - 1], &applications);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(valid, 2, "valid objects");
}

#[test]
fn an_unknown_field_and_a_wrong_type_are_noticed() {
    let manifests = tempfile::tempdir().expect("a folder");
    let wrong = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: two\n  selector: {}\n  template:\n    spec: \
                 {containers: [{name: c, imagee: i}]}\n---\n\
                 apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: p, labelz: {}}\nspec: {selector: {}, podMetricsEndpoint: []}\n---\n\
                 apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {project: p, destination: {}, syncPolicies: {}}\n";
    fs::write(manifests.path().join("wrong.yaml"), wrong).expect("a file");
    for version in &VERSIONS {
        let (problems, _) = problems(version, manifests.path());
        let said = problems.join("\n");
        for sign in ["/spec/replicas", "'imagee'", "'labelz'", "'podMetricsEndpoint'", "'syncPolicies'"] {
            assert!(said.contains(sign), "{} does not mind {sign}: {said}", version.version);
        }
    }
}
