//! The roles of the chart are what the operator needs, neither more nor less, whether it watches all namespaces or named ones: each request that it makes
//! in a life that calls for all of them is allowed, and each rule is used.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use athena_emulator::{Change, Config, Emulator};
use environment::{Operator, OperatorOptions, Request, Scope, Signal, Stage, repository};
use harness::{session_object, until};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use tools::Tool;

/// The namespace of the sessions.
const TEAM: &str = "team";
/// The namespace of the operator that watches named ones: not one of those, so that its rights do not go with them.
const HOME: &str = "home";
/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_allowed_and_each_rule_is_used_in_both_watch_modes() -> anyhow::Result<()> {
    let stage = tokio::task::spawn_blocking(Stage::start).await??;
    for namespace in [TEAM, HOME] {
        stage.kubectl_words(&format!("create namespace {namespace}"))?;
    }

    let everywhere = std::fs::read_to_string(repository().join("deploy/install.yaml"))?;
    live_through_all(&stage, Scope::Everywhere, &[]).await?;
    compare(&stage, &rules(&everywhere, "athena-operator")?, "athena-operator")?;

    let named = render_for_named_namespaces(&stage)?;
    ensure!(
        !named.contains("kind: Cluster"),
        "an operator of named namespaces has rights in the whole cluster:\n{named}"
    );
    live_through_all(&stage, Scope::Given(HOME), &["--namespaces", TEAM]).await?;
    compare(&stage, &rules(&named, HOME)?, HOME)
}

/// Has the chart rendered for an operator of [`TEAM`] alone, and its account and roles applied.
fn render_for_named_namespaces(stage: &Stage) -> anyhow::Result<String> {
    let mut helm = Command::new(Tool::Helm.path()?);
    helm.args(["template", "athena-operator"])
        .arg(repository().join("charts/athena-operator"))
        .args(["--namespace", HOME]);
    helm.args([
        "--set",
        "crds.enabled=false,aws.region=eu-west-1",
        "--set",
        &format!("watch.namespaces={{{TEAM}}}"),
    ]);
    helm.args(["--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"]);
    let rendered = helm.output().context("cannot run helm")?;
    ensure!(rendered.status.success(), "helm: {}", String::from_utf8_lossy(&rendered.stderr));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &rendered.stdout)?;
    stage.kubectl_ok(&["apply", "-f", &file.path().display().to_string()])?;
    Ok(String::from_utf8(rendered.stdout)?)
}

/// A life that calls for every right: an object that cannot be read is read, and once it can be read is again what it was, so that an event is repeated; a
/// session is started, stopped and started again, and deletes itself by its TTL.
async fn live_through_all(stage: &Stage, scope: Scope<'_>, flags: &[&str]) -> anyhow::Result<()> {
    let short = Duration::from_millis(100);
    let emulator =
        Emulator::start(Config { creating: short, created: short, terminating: short, ..Config::default() })
            .await?;
    let url = emulator.url();
    let home = match scope {
        Scope::Everywhere => "athena-operator",
        Scope::Namespace(namespace) | Scope::Given(namespace) => namespace,
    };
    let lease = format!("--lease-namespace={home}");
    let flags =
        [&["--transition-interval=100ms", "--observe-interval=300ms", "--athena-rate=1000", &lease], flags]
            .concat();
    let env = [("ATHENA_OPERATOR_LEADER_ELECTION", "true")];
    let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
    let operator =
        Operator::start(stage, &OperatorOptions { binary, scope, athena: &url, flags: &flags, env: &env })?;
    operator.wait_until_ready()?;

    create(stage, "unreadable", &json!({ "workGroup": "spark-35", "suspend": true }))?;
    until_reason(stage, "unreadable", "Suspended")?;
    let broken = json!({ "status": { "readyTime": "2026-01-01T00:00:00+99:00" } });
    patch(stage, "unreadable --subresource=status", &broken)?;
    until_reason(stage, "unreadable", "ObjectInvalid")?;
    let mended = json!({ "status": { "readyTime": null } });
    patch(stage, "unreadable --subresource=status", &mended)?;
    until_reason(stage, "unreadable", "Suspended")?;
    kubectl(stage, "delete athenasession unreadable")?;

    create(stage, "all", &json!({ "workGroup": "spark-35", "ttlSecondsAfterFinished": 1 }))?;
    until_reason(stage, "all", "SessionIdle")?;
    suspend(stage, true)?;
    until_reason(stage, "all", "Suspended")?;
    suspend(stage, false)?;
    until_reason(stage, "all", "SessionIdle")?;
    let id = kubectl(stage, "get athenasession all -o jsonpath={.status.sessionId}")?;
    emulator.set_state(&id, Change::State { state: "FAILED".into(), reason: None })?;
    kubectl(stage, "wait --for=delete athenasession/all --timeout=60s")?;
    // Events are published on the side.
    until("a repeated event is written", PATIENCE, || {
        let of = requests_of(stage, home)?;
        Ok(of.iter().any(|request| request.verb == "patch" && request.resource == "events"))
    })?;
    operator.end(Signal::TERM)?;
    Ok(())
}

/// kubectl with these words in the team's namespace.
fn kubectl(stage: &Stage, words: &str) -> anyhow::Result<String> {
    stage.kubectl_words(&format!("{words} -n {TEAM}"))
}

fn patch(stage: &Stage, of: &str, patch: &Value) -> anyhow::Result<()> {
    kubectl(stage, &format!("patch athenasession {of} --type=merge -p {patch}")).map(drop)
}

fn create(stage: &Stage, name: &str, spec: &Value) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), session_object(name, spec).to_string())?;
    stage.kubectl_ok(&["create", "-n", TEAM, "-f", &file.path().display().to_string()]).map(drop)
}

fn suspend(stage: &Stage, suspend: bool) -> anyhow::Result<()> {
    patch(stage, "all", &json!({ "spec": { "suspend": suspend } }))
}

fn until_reason(stage: &Stage, name: &str, reason: &str) -> anyhow::Result<()> {
    let reason_of = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
    until(&format!("{name} is {reason}"), PATIENCE, || {
        Ok(kubectl(stage, &format!("get athenasession {name} -o {reason_of}"))? == reason)
    })
}

/// One right: group, resource, verb, and a name where the rule has one.
type Right = (String, String, String, Option<String>);

/// The rights that manifests give to the account of the operator in `home`.
fn rules(manifests: &str, home: &str) -> anyhow::Result<BTreeSet<Right>> {
    let manifests: Vec<Value> = serde_saphyr::from_multiple(manifests)?;
    let is_own = |binding: &&Value| {
        binding["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding"))
            && binding["subjects"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|subject| subject["namespace"] == *home)
    };
    let mut rights = BTreeSet::new();
    for binding in manifests.iter().filter(is_own) {
        let role = manifests.iter().find(|role| {
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
        });
        let rules: Vec<PolicyRule> =
            serde_json::from_value(role.context("a binding names a role that is there")?["rules"].clone())?;
        for rule in rules {
            let names = rule.resource_names.filter(|names| !names.is_empty());
            let names: Vec<Option<String>> =
                names.map_or_else(|| vec![None], |names| names.into_iter().map(Some).collect());
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for verb in &rule.verbs {
                        rights.extend(
                            names
                                .iter()
                                .map(|name| (group.clone(), resource.clone(), verb.clone(), name.clone())),
                        );
                    }
                }
            }
        }
    }
    ensure!(!rights.is_empty(), "no role is bound to the account in {home}");
    Ok(rights)
}

fn requests_of(stage: &Stage, home: &str) -> anyhow::Result<Vec<Request>> {
    let user = format!("system:serviceaccount:{home}:athena-operator");
    Ok(stage.requests()?.into_iter().filter(|request| request.user == user).collect())
}

/// Compares what was asked with what the rules allow.
fn compare(stage: &Stage, rights: &BTreeSet<Right>, home: &str) -> anyhow::Result<()> {
    let requests = requests_of(stage, home)?;
    let needs = |(group, resource, verb, name): &Right, request: &Request| {
        (group, resource, verb) == (&request.group, &request.resource, &request.verb)
            && name.as_ref().is_none_or(|name| *name == request.name)
    };
    let refused: BTreeSet<&Request> = requests.iter().filter(|request| !request.is_allowed).collect();
    ensure!(refused.is_empty(), "the roles do not allow {refused:#?}");
    let beyond: BTreeSet<&Request> =
        requests.iter().filter(|request| !rights.iter().any(|right| needs(right, request))).collect();
    ensure!(beyond.is_empty(), "other roles than those of the chart allow {beyond:#?}");
    let idle: Vec<&Right> =
        rights.iter().filter(|right| !requests.iter().any(|request| needs(right, request))).collect();
    ensure!(idle.is_empty(), "nothing needs {idle:#?}");
    Ok(())
}
