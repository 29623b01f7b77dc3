//! The chart's ValidatingAdmissionPolicy on the API server: what no rule allows is refused when it is applied, and Athena is never asked.

use anyhow::{Context, ensure};
use athena_operator::api::AthenaSession;
use kube::api::PostParams;
use kube::core::Status;
use serde_json::{Value, json};

use crate::harness::{World, status, tests, until};
use crate::helm::apply_template;

tests![
    what_no_rule_allows_is_refused_and_no_call_is_made,
    a_namespace_without_a_rule_has_no_session,
    an_object_that_is_older_than_the_rules_can_be_suspended_and_deleted_but_not_resumed,
];

const ROLE: &str = "arn:aws:iam::000000000000:role/team";

/// Has the policy hold in the test's namespace only, since others run on the same API server, and waits until it does: the API server takes
/// up a policy some moments after it was made.
async fn enforce(world: &World, rules: &Value) -> anyhow::Result<()> {
    let policy = json!({ "enabled": true, "rules": rules });
    let values = json!({ "aws": { "region": "eu-west-1" }, "watch": { "namespaces": [world.namespace] }, "policy": policy });
    apply_template(world, "templates/policy.yaml", &values)?;
    let (folder, object) = (tempfile::tempdir()?, object("tried", &json!({ "workGroup": "of-no-rule" })));
    let file = folder.path().join("object.yaml").display().to_string();
    std::fs::write(&file, object.to_string())?;
    until("the policy holds", || world.kubectl(&["create", "--dry-run=server", "-f", &file]).is_err()).await
}

fn object(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": name }, "spec": spec })
}

/// What the API server says where it must not do as it is asked.
fn refusal(asked: anyhow::Result<AthenaSession>) -> anyhow::Result<Status> {
    match asked.err().context("it is not refused")?.downcast()? {
        kube::Error::Api(refusal) if refusal.code == 403 => Ok(*refusal),
        other => Err(other.into()),
    }
}

async fn what_no_rule_allows_is_refused_and_no_call_is_made(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let rule = json!({
        "namespaces": [world.namespace], "workGroups": ["spark-35", "team-*"], "executionRoles": [ROLE],
        "logLocations": { "s3": ["s3://team-logs/athena/"], "cloudWatch": ["/aws/athena/team"] },
        "maxActiveDeadlineSeconds": 3600, "maxIdleTimeoutInMinutes": 60,
    });
    enforce(&world, &json!([rule])).await?;
    let allowed = json!({
        "workGroup": "spark-35", "executionRole": ROLE, "activeDeadlineSeconds": 3600, "sessionIdleTimeoutInMinutes": 60,
        "monitoringConfiguration": {
            "s3LoggingConfiguration": { "enabled": true, "logLocation": "s3://team-logs/athena/nightly/" },
            "cloudWatchLoggingConfiguration": { "enabled": true, "logGroup": "/aws/athena/team" },
        },
    });
    for (at, value, field) in [
        ("/workGroup", json!("pyspark-3"), "spec.workGroup"),
        ("/workGroup", json!("team"), "spec.workGroup"),
        ("/executionRole", json!("arn:aws:iam::000000000000:role/team-admin"), "spec.executionRole"),
        ("/activeDeadlineSeconds", json!(3601), "spec.activeDeadlineSeconds"),
        ("/activeDeadlineSeconds", Value::Null, "spec.activeDeadlineSeconds"),
        ("/sessionIdleTimeoutInMinutes", json!(61), "spec.sessionIdleTimeoutInMinutes"),
        ("/sessionIdleTimeoutInMinutes", Value::Null, "spec.sessionIdleTimeoutInMinutes"),
        (
            "/monitoringConfiguration/s3LoggingConfiguration/logLocation",
            json!("s3://team-logs/other/"),
            "spec.monitoringConfiguration.s3LoggingConfiguration.logLocation",
        ),
        (
            "/monitoringConfiguration/cloudWatchLoggingConfiguration/logGroup",
            json!("/aws/athena/other"),
            "spec.monitoringConfiguration.cloudWatchLoggingConfiguration.logGroup",
        ),
    ] {
        let mut spec = allowed.clone();
        *spec.pointer_mut(at).expect("part of the spec that is allowed") = value;
        let refusal = refusal(world.create_with("refused", spec.clone()).await).with_context(|| spec.to_string())?;
        ensure!(refusal.message.contains(&format!("`{field}` must ")), "{spec}: {refusal:?}");
    }
    let least = object("tried", &json!({ "workGroup": "team-a", "activeDeadlineSeconds": 60, "sessionIdleTimeoutInMinutes": 1 }));
    world.sessions.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(least)?).await?;

    world.create_with("allowed", allowed).await?;
    world.until_reason("allowed", "SessionIdle").await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}

async fn a_namespace_without_a_rule_has_no_session(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    enforce(&world, &json!([{ "namespaces": ["somewhere-else"], "workGroups": ["*"] }])).await?;
    let refusal = refusal(world.create("refused").await)?;
    ensure!(refusal.message.contains(&format!("in namespace {}", world.namespace)), "{refusal:?}");
    let calls = world.emulator.calls();
    ensure!(calls.iter().all(|call| call.operation == "GetCallerIdentity"), "{calls:?}");
    Ok(())
}

async fn an_object_that_is_older_than_the_rules_can_be_suspended_and_deleted_but_not_resumed(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("older").await?;
    world.until_reason("older", "SessionIdle").await?;
    enforce(&world, &json!([{ "namespaces": [world.namespace], "workGroups": ["pyspark-3"] }])).await?;
    world.patch("older", json!({ "spec": { "suspend": true } })).await?;
    until("its session has ended", || world.live().is_empty()).await?;
    world.until("older", "suspended", |object| status(object).end_time.is_some()).await?;
    let refusal = refusal(world.patch("older", json!({ "spec": { "suspend": false } })).await)?;
    ensure!(refusal.message.contains("`spec.workGroup` must "), "{refusal:?}");
    world.delete("older").await?;
    world.until_gone("older").await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}
