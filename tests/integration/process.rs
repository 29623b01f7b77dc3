//! The operator as a process: probes, metrics, logs, signals, flags.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use athena_operator::api::AthenaSession;
use environment::{Operator, OperatorOptions, Scope, Signal};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{World, tests, uid, until};

tests![
    probes_and_metrics_answer,
    it_is_alive_and_not_ready_while_all_lists_are_refused,
    a_namespace_that_is_refused_does_not_keep_the_others_from_being_served,
    log_lines_carry_uid_attempt_and_session_id,
    no_credential_is_logged,
    sigterm_ends_it_with_success_and_leaves_sessions_alone,
    without_a_region_it_says_what_to_set,
    without_sts_it_works_and_records_no_account,
];

async fn probes_and_metrics_answer(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("measured").await?;
    ensure!(
        operator.get("/livez")?.0 == 200
            && operator.get("/readyz")?.0 == 200
            && operator.get("/other")?.0 == 404
    );
    let (status, metrics) = operator.get("/metrics")?;
    ensure!(status == 200 && metrics.ends_with("# EOF\n"));
    ensure!(
        metrics.contains("athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ok\"} 1"),
        "{metrics}"
    );
    ensure!(
        metrics
            .contains("controller_runtime_reconcile_total{controller=\"athenasession\",result=\"success\"}"),
        "{metrics}"
    );
    Ok(())
}

async fn it_is_alive_and_not_ready_while_all_lists_are_refused(world: World) -> anyhow::Result<()> {
    let url = world.emulator.url();
    let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
    let flags = ["--namespaces=default,kube-system"];
    world.kubectl(&["create", "serviceaccount", "athena-operator"])?;
    let options = OperatorOptions {
        binary,
        scope: Scope::Given(&world.namespace),
        athena: &url,
        flags: &flags,
        env: &[],
    };
    let operator = Operator::start(world.stage(), &options)?;
    until("it is alive", || operator.get("/livez").is_ok_and(|(status, _)| status == 200)).await?;
    let told = |namespace: &str, report: &str| {
        report
            .lines()
            .any(|line| line.contains(&format!("namespace {namespace}: ")) && line.contains("forbidden"))
    };
    let both = |(_, report): (u16, String)| told("default", &report) && told("kube-system", &report);
    until("both refusals are told", || operator.get("/readyz").is_ok_and(both)).await?;
    ensure!(operator.get("/readyz")?.0 == 503);
    Ok(())
}

async fn a_namespace_that_is_refused_does_not_keep_the_others_from_being_served(
    world: World,
) -> anyhow::Result<()> {
    let other = format!("{}-b", world.namespace);
    world.stage().kubectl_ok(&["create", "namespace", &other])?;
    let operator = world.operator_with(&[&format!("--namespaces={other}")], &[])?;
    world.idle("served").await?;
    let (status, report) = operator.get("/readyz")?;
    ensure!(
        status == 200 && report.starts_with("ok\n") && report.contains(&format!("namespace {other}: ")),
        "{status}: {report}"
    );
    let refused = |metrics: &str| {
        metrics.contains(&format!("athena_operator_refused_namespaces{{namespace=\"{other}\"}} 1"))
    };
    ensure!(refused(&operator.get("/metrics")?.1), "{}", operator.get("/metrics")?.1);
    let is_told = |line: &&Value| line["level"] == "WARN" && line["namespace"] == json!(other);
    let told = || operator.log().iter().filter(is_told).count();
    ensure!(told() == 1, "{}", operator.raw_log());

    let account = format!("--serviceaccount={}:athena-operator", world.namespace);
    world.stage().kubectl_ok(&[
        "create",
        "rolebinding",
        "operator",
        "--clusterrole=cluster-admin",
        &account,
        "-n",
        &other,
    ])?;
    let object = json!({
        "apiVersion": "athena-operator.io/v1alpha1",
        "kind": "AthenaSession",
        "metadata": { "name": "later" },
        "spec": { "workGroup": "spark-35" },
    });
    let sessions = Api::<AthenaSession>::namespaced(world.client.clone(), &other);
    sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    until("its session is started", || world.calls("StartSession").len() == 2).await?;
    until("all is well", || {
        operator.get("/readyz").is_ok_and(|(status, report)| (status, report.as_str()) == (200, "ok\n"))
    })
    .await?;
    ensure!(!refused(&operator.get("/metrics")?.1) && told() == 1);
    Ok(())
}

async fn log_lines_carry_uid_attempt_and_session_id(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle("logged").await?;
    let object = world.sessions.get("logged").await?;
    let text = |line: &Value, field: &str| {
        line.pointer(&format!("/span/{field}")).or(line.get(field)).cloned().unwrap_or_default()
    };
    // A change is written to the log when its write to the object has been answered, which others may see earlier.
    let idle = |line: &Value| line.get("reason").is_some() && text(line, "state") == "IDLE";
    until("IDLE is logged", || operator.log().iter().any(idle)).await?;
    let lines = operator.log();
    let changes: Vec<_> =
        lines.iter().filter(|line| line.get("reason").is_some() && line.get("state").is_some()).collect();
    let states: Vec<_> = changes.iter().map(|line| text(line, "state")).collect();
    ensure!(states.last() == Some(&Value::from("IDLE")), "{states:?}");
    for line in changes {
        ensure!(text(line, "uid") == uid(&object), "{line}");
        ensure!(text(line, "session_id") == id, "{line}");
        ensure!(text(line, "attempt") == 0, "{line}");
    }
    Ok(())
}

async fn no_credential_is_logged(world: World) -> anyhow::Result<()> {
    let canary = "canary-of-a-secret-key";
    world.emulator.configure(|config| config.credentials[0].secret_access_key = canary.into());
    let operator = world.operator_with(&["--log=trace"], &[("AWS_SECRET_ACCESS_KEY", canary)])?;
    world.idle("quiet").await?;
    ensure!(!operator.raw_log().contains(canary));
    Ok(())
}

async fn sigterm_ends_it_with_success_and_leaves_sessions_alone(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("running").await?;
    let status = operator.end(Signal::TERM)?;
    ensure!(status.success(), "{status}");
    ensure!(world.live().len() == 1);
    ensure!(world.calls("TerminateSession").is_empty());
    Ok(())
}

async fn without_a_region_it_says_what_to_set(world: World) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athena-operator"));
    command
        .arg("run")
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("KUBECONFIG", world.stage().kubeconfig());
    let output = command.output().context("cannot run the operator")?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && message.contains("set AWS_REGION"), "{message}");
    Ok(())
}

async fn without_sts_it_works_and_records_no_account(world: World) -> anyhow::Result<()> {
    let url = world.emulator.url();
    // Nothing listens on the port of discard.
    let operator = world.operator_with(
        &[],
        &[("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9"), ("AWS_ENDPOINT_URL_ATHENA", &url)],
    )?;
    world.create("anonymous").await?;
    let object = world.until_idle("anonymous").await?;
    ensure!(crate::harness::status(&object).account_id.is_none());
    ensure!(operator.raw_log().contains("cannot tell the AWS account"));
    Ok(())
}
