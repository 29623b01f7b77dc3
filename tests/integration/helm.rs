//! Helm on the API server: what Helm 4 and kubectl wait for, and rendered parts of the chart.

use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, ensure};
use environment::repository;
use serde_json::{Value, json};
use tools::Tool;

use crate::harness::{World, failure, status, tests, until};

tests![
    helm_install_waits_for_a_session_that_starts_and_returns_when_it_is_idle,
    helm_install_ends_at_a_refused_start_long_before_its_timeout,
    kubectl_wait_is_not_met_by_a_condition_that_an_edit_has_made_stale,
];

async fn helm_install_waits_for_a_session_that_starts_and_returns_when_it_is_idle(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.stick_in = Some("CREATING".into()));
    let _operator = world.operator()?;
    let mut helm = install_of(&world, &json!({ "slow": { "workGroup": "spark-35" } }))?;
    world.until_status("slow", "creating", |status| status.state == Some("CREATING".into())).await?;
    ensure!(helm.try_wait()?.is_none(), "helm did not wait: {}", told(&helm.wait_with_output()?));
    world.emulator.configure(|config| config.stick_in = None);
    let output = ended(helm).await?;
    let now = world.sessions.get("slow").await?;
    ensure!(output.status.success(), "{}", told(&output));
    ensure!(status(&now).state == Some("IDLE".into()), "helm returned at {:?}", status(&now).state);
    Ok(())
}

async fn helm_install_ends_at_a_refused_start_long_before_its_timeout(world: World) -> anyhow::Result<()> {
    world.fault(
        "StartSession",
        failure(400, "InvalidRequestException", "1 validation error detected: no such value"),
    );
    let _operator = world.operator()?;
    let output = ended(install_of(&world, &json!({ "refused": { "workGroup": "spark-35" } }))?).await?;
    ensure!(!output.status.success(), "helm takes a refused session for one that is as it should be");
    ensure!(told(&output).contains("refused"), "helm does not name the object: {}", told(&output));
    Ok(())
}

async fn kubectl_wait_is_not_met_by_a_condition_that_an_edit_has_made_stale(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("edited").await?;
    let wait = |time: &str| {
        world.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "athenasession/edited",
            &format!("--timeout={time}"),
        ])
    };
    wait("10s")?;
    drop(operator);
    world.set("edited", json!({ "activeDeadlineSeconds": 36000 })).await?;
    let stale = wait("1s")
        .err()
        .context("the condition of before the edit is taken for a verdict on what the object says now")?;
    ensure!(format!("{stale:#}").contains("timed out"), "{stale:#}");
    let _operator = world.operator()?;
    wait("60s")?;
    Ok(())
}

/// Helm 4 as the administrator, in the test's namespace.
fn helm(world: &World, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut helm = Command::new(Tool::Helm.path()?);
    helm.args(arguments)
        .args(["--namespace", &world.namespace])
        .env("KUBECONFIG", world.stage().kubeconfig());
    // Not the user's plugins.
    helm.env("HELM_PLUGINS", "/nonexistent");
    Ok(helm)
}

/// `helm install --wait` of the chart that holds these sessions; its timeout is longer than any test waits.
fn install_of(world: &World, sessions: &Value) -> anyhow::Result<Child> {
    let chart = repository().join("tests/node/sessions").display().to_string();
    let mut helm = helm(
        world,
        &[
            "install",
            "sessions",
            &chart,
            "--wait",
            "--timeout=10m",
            "--set-json",
            &format!("sessions={sessions}"),
        ],
    )?;
    Ok(helm.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

async fn ended(mut helm: Child) -> anyhow::Result<Output> {
    let waited = until("helm ends", || helm.try_wait().is_ok_and(|status| status.is_some())).await;
    if waited.is_err() {
        helm.kill()?;
    }
    waited?;
    Ok(helm.wait_with_output()?)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Applies one template of the operator's chart.
pub fn apply_template(world: &World, template: &str, values: &Value) -> anyhow::Result<()> {
    let chart = repository().join("charts/athena-operator").display().to_string();
    let folder = tempfile::tempdir()?;
    let (given, rendered) = (folder.path().join("values.yaml"), folder.path().join("rendered.yaml"));
    std::fs::write(&given, values.to_string())?;
    let output = helm(
        world,
        &[
            "template",
            &world.namespace,
            &chart,
            "--show-only",
            template,
            "--values",
            &given.display().to_string(),
        ],
    )?
    .output()?;
    ensure!(output.status.success(), "{}", told(&output));
    std::fs::write(&rendered, output.stdout)?;
    world.kubectl(&["apply", "-f", &rendered.display().to_string()])?;
    Ok(())
}
