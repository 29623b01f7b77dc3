//! kube-score finds nothing in the renders that people have but what is waived for a reason.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use tools::Tool;

use crate::helm::{Helm, RELEASE, in_parallel, program};
use crate::switches::{Settings, everything, nothing, with};

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Waiver {
    check: String,
    kind: String,
    why: String,
}

struct Finding {
    check: String,
    kind: String,
    text: String,
}

/// All that any check, also one that is off by default, finds to say.
fn findings(manifests: &str) -> Vec<Finding> {
    let mut scanner = Command::new(program(Tool::KubeScore))
        .args([
            "score",
            "--all-default-optional",
            "--kubernetes-version",
            "v1.37",
            "--output-format",
            "json",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kube-score runs");
    scanner.stdin.take().expect("a pipe").write_all(manifests.as_bytes()).expect("kube-score reads");
    let output = scanner.wait_with_output().expect("kube-score ends");
    // It fails when it finds something.
    let said: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let of_object = |object: Value| {
        let kind = object["type_meta"]["kind"].as_str().expect("a kind").to_owned();
        let checks = object["checks"].as_array().cloned().unwrap_or_default();
        let objected = checks.into_iter().filter(|check| {
            check["skipped"] != true && check["grade"].as_u64().is_some_and(|grade| grade < 10)
        });
        objected.map(move |check| Finding {
            check: check["check"]["id"].as_str().expect("a name").to_owned(),
            kind: kind.clone(),
            text: format!("{}: {}: {}", object["object_name"], check["check"]["id"], check["comments"]),
        })
    };
    said.into_iter().flat_map(of_object).collect()
}

/// What people install: as little as possible, two replicas with all there is, and a few namespaces.
fn renders() -> Vec<String> {
    let watching = Settings::from([("watch.namespaces".to_owned(), json!(["etl", "adhoc"]))]);
    let values = [nothing(), with(&[everything()]), with(&[everything(), &watching])];
    in_parallel(&values, |values| {
        RELEASE.template(Helm::Four, values).unwrap_or_else(|error| panic!("{values}: {error}"))
    })
}

#[test]
fn what_the_scanner_finds_is_waived_for_a_reason_and_nothing_else_is() {
    let waivers: Vec<Waiver> = serde_saphyr::from_str(include_str!("waivers.yaml")).expect("waivers");
    assert!(waivers.iter().all(|waiver| waiver.why.len() > 20), "a waiver without a reason");
    let findings: Vec<Finding> = renders().iter().flat_map(|render| findings(render)).collect();
    let fits =
        |waiver: &Waiver, finding: &Finding| (&waiver.check, &waiver.kind) == (&finding.check, &finding.kind);
    let open: Vec<&String> = findings
        .iter()
        .filter(|finding| !waivers.iter().any(|waiver| fits(waiver, finding)))
        .map(|finding| &finding.text)
        .collect();
    assert!(open.is_empty(), "neither right nor waived: {open:#?}");
    let idle: Vec<String> = waivers
        .iter()
        .filter(|waiver| !findings.iter().any(|finding| fits(waiver, finding)))
        .map(|waiver| format!("{} of {}", waiver.check, waiver.kind))
        .collect();
    assert!(idle.is_empty(), "waived, and found nowhere: {idle:#?}");
}

#[test]
fn the_scanner_notices_what_is_wrong() {
    let wrong = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod, namespace: elsewhere}\nspec: {containers: [{name: c, image: i, securityContext: {privileged: true}}]}\n";
    let checks: Vec<String> = findings(wrong).into_iter().map(|finding| finding.check).collect();
    for check in [
        "container-image-tag",
        "container-security-context-privileged",
        "container-resources",
        "pod-networkpolicy",
    ] {
        assert!(checks.iter().any(|found| found == check), "{check} not in {checks:?}");
    }
}
