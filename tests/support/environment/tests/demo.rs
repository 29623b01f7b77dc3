//! The demo shows what it says, and fails, saying why, where Athena does not keep its side.

use std::path::PathBuf;
use std::process::{Command, Output};

use environment::Stage;

/// The operator's binary, built if it is not: this package cannot depend on it.
fn operator() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "athena-operator", "--bin", "athena-operator"])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the operator cannot be built");
    PathBuf::from(env!("CARGO_BIN_EXE_demo")).with_file_name("athena-operator")
}

fn demo(stage: &Stage, emulator: &str) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("emulator.yaml");
    std::fs::write(&config, emulator).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command
        .arg("--operator")
        .arg(operator())
        .arg("--kubeconfig")
        .arg(stage.kubeconfig())
        .arg("--emulator-config")
        .arg(&config);
    let output = command.output().expect("the demo runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn the_demo_succeeds_and_fails_where_it_must() {
    let stage = Stage::start().unwrap_or_else(|error| panic!("{error:#}"));
    let (output, text) = demo(&stage, "{}");
    assert!(output.status.success() && text.contains("is TERMINATED"), "{text}");
    for (emulator, complaint) in [
        ("ignore_token: true", "sessions were started for one AthenaSession"),
        ("stick_in: CREATING", "the session did not become Available"),
        ("ignore_terminate: true", "TerminateSession had no effect"),
    ] {
        let (output, text) = demo(&stage, emulator);
        assert!(!output.status.success() && text.contains(complaint), "{emulator}: {text}");
    }
    let left = stage
        .kubectl_ok(&["get", "athenasessions", "--all-namespaces", "-o", "name"])
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert!(left.is_empty(), "the demo has left {left}");
}
