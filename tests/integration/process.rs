//! The operator as a process: probes, metrics, logs, signals, flags.

use std::path::Path;

use anyhow::ensure;
use athena_operator::api::AthenaSession;
use environment::{Operator, OperatorOptions, Scope, Signal};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{World, has, object, printed, ran, sample, samples, spark, tests, uid, until};

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
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/other", 404)] {
        ensure!(operator.get(path)?.0 == status, "{path}: {:?}", operator.get(path)?);
    }
    let shown = samples(&operator)?;
    let starts = "athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ok\"}";
    let reconciles = "controller_runtime_reconcile_total{controller=\"athenasession\",result=\"success\"}";
    ensure!(shown.get(starts) == Some(&1.0) && shown.contains_key(reconciles), "{shown:#?}");
    Ok(())
}

async fn it_is_alive_and_not_ready_while_all_lists_are_refused(world: World) -> anyhow::Result<()> {
    let url = world.emulator.url();
    let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
    let flags = ["--namespaces=default,kube-system"];
    world.kubectl(&["create", "serviceaccount", "athena-operator"])?;
    let scope = Scope::Given(&world.namespace);
    let options = OperatorOptions { binary, scope, athena: &url, flags: &flags, env: &[] };
    let operator = Operator::start(world.stage(), &options)?;
    until("it is alive", || operator.get("/livez").is_ok_and(|(status, _)| status == 200)).await?;
    let told = |namespace: &str, report: &str| {
        let begin = format!("namespace {namespace}: ");
        report.lines().any(|line| line.contains(&begin) && line.contains("forbidden"))
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
    let gauge = format!("athena_operator_refused_namespaces{{namespace=\"{other}\"}}");
    ensure!(sample(&operator, &gauge)? == Some(1.0), "{:#?}", samples(&operator)?);
    let is_told = |line: &&Value| line["level"] == "WARN" && line["namespace"] == json!(other);
    let told = || operator.log().iter().filter(is_told).count();
    ensure!(told() == 1, "{}", operator.raw_log());

    let account = format!("--serviceaccount={}:athena-operator", world.namespace);
    let binding =
        ["create", "rolebinding", "operator", "--clusterrole=cluster-admin", &account, "-n", &other];
    world.stage().kubectl_ok(&binding)?;
    let object = object(&json!({ "name": "later" }), &spark(json!({})));
    let sessions = Api::<AthenaSession>::namespaced(world.client.clone(), &other);
    sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    until("its session is started", || world.calls("StartSession").len() == 2).await?;
    let is_well = || operator.get("/readyz").is_ok_and(|said| said == (200, "ok\n".to_owned()));
    until("all is well", is_well).await?;
    ensure!(sample(&operator, &gauge)? != Some(1.0) && told() == 1);
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
    let kubeconfig = world.stage().kubeconfig().display().to_string();
    let output = ran(&["run"], &[("KUBECONFIG", &kubeconfig), ("AWS_REGION", "")])?;
    ensure!(!output.status.success(), "{output:?}");
    has(&printed(&output), &["set AWS_REGION"])
}

async fn without_sts_it_works_and_records_no_account(world: World) -> anyhow::Result<()> {
    let operator = world.operator_without_sts()?;
    world.idle("anonymous").await?;
    ensure!(world.status("anonymous").await?.account_id.is_none());
    ensure!(operator.raw_log().contains("cannot tell the AWS account"));
    Ok(())
}
