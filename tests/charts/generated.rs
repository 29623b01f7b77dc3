//! `deploy/` is what the chart renders to.

use std::path::Path;

use tools::Tool;

use crate::helm::{program, read, secluded};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");

#[test]
fn what_is_installed_without_helm_is_made_from_the_chart_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = secluded(Path::new(DEPLOY).join("generate"))
        .arg(program(Tool::Helm))
        .arg(folder.path())
        .output()
        .expect("deploy/generate runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["install.yaml", "kustomize/base/crd.yaml", "kustomize/base/operator.yaml"] {
        let made = read(folder.path().join(file));
        assert!(read(Path::new(DEPLOY).join(file)) == made, "deploy/{file} is stale: run `make generate`");
    }
}
