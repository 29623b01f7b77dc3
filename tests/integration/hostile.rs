//! What others wrote: objects that cannot be read, forged statuses and markers, foreign finalizers.

use anyhow::ensure;
use athena_emulator::Change;
use environment::{Operator, OperatorOptions, Scope, Stage};
use serde_json::{Value, json};
use std::path::Path;

use crate::harness::{World, an_attempt_of_long_ago, condition, has, spark, sum, tests, uid, until};

tests![
    one_object_that_cannot_be_read_does_not_stop_the_others,
    an_object_that_cannot_be_read_is_released_with_retain,
    an_object_of_an_older_schema_says_so_and_can_be_let_go,
    a_status_that_names_a_foreign_session_leaves_that_session_alone,
    a_forged_marker_with_another_configuration_is_not_adopted,
    finalizers_of_others_stay,
];

/// Writes the time of the attempt of `bad`. The schema takes any offset; a time must be one of this world.
fn write_time(world: &World, time: &str) -> anyhow::Result<()> {
    let patch = json!({ "status": { "attemptTime": time } }).to_string();
    world.kubectl(&["patch", "athenasession/bad", "--subresource=status", "--type=merge", "-p", &patch])?;
    Ok(())
}

async fn one_object_that_cannot_be_read_does_not_stop_the_others(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("bad").await?;
    let time = world.kubectl(&["get", "athenasession/bad", "-o", "jsonpath={.status.attemptTime}"])?;
    write_time(&world, "2026-01-01T00:00:00+99:00")?;
    world.kubectl(&[
        "wait",
        "athenasession/bad",
        "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=ObjectInvalid",
        "--timeout=60s",
    ])?;
    let message = world.kubectl(&[
        "get",
        "athenasession/bad",
        "-o",
        "jsonpath={.status.conditions[?(@.type==\"Stalled\")].message}",
    ])?;
    has(&message, &["status.attemptTime", "kubectl patch athenasession bad"])?;
    world.create("good").await?;
    world.until_sessions(2).await?;
    world.kubectl(&["wait", "athenasession/good", "--for=condition=Ready", "--timeout=60s"])?;

    let calls = world.emulator.calls().iter().filter(|call| call.operation == "TerminateSession").count();
    ensure!(calls == 0 && world.live().len() == 2, "{}", operator.raw_log());
    write_time(&world, &time)?;
    world.until_idle("bad").await?;
    ensure!(
        condition(&world.sessions.get("bad").await?, "Stalled").is_none()
            && world.emulator.sessions().len() == 2
    );
    Ok(())
}

async fn an_object_that_cannot_be_read_is_released_with_retain(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle_with("bad", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    write_time(&world, "2026-01-01T00:00:00+99:00")?;
    world.kubectl(&["delete", "athenasession/bad", "--timeout=60s"])?;
    until("the retained session is counted", || {
        sum(&operator, "athena_operator_retained_sessions_total", "spark-35").is_ok_and(|count| count == 1)
    })
    .await?;
    ensure!(!operator.raw_log().contains("WriteRefused"), "{}", operator.raw_log());
    ensure!(world.live().len() == 1 && world.calls("TerminateSession").is_empty());
    Ok(())
}

/// The CRD without the bounds of `deletionPolicy`, as if an older release had not known them.
fn loosened(crd: &str) -> anyhow::Result<String> {
    let mut crd: Value = serde_json::from_str(crd)?;
    let policy =
        crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/deletionPolicy");
    if let Some(policy) = policy.and_then(Value::as_object_mut) {
        policy.remove("enum");
    }
    Ok(crd.to_string())
}

async fn an_object_of_an_older_schema_says_so_and_can_be_let_go(world: World) -> anyhow::Result<()> {
    // The schema is the whole server's, so this test has one of its own.
    let stage = Stage::start()?;
    let replace = |text: &str| -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        stage.kubectl_ok(&["replace", "-f", &file.path().display().to_string()])?;
        Ok(())
    };
    let crd = stage.kubectl_ok(&["get", "crd", "athenasessions.athena-operator.io", "-o", "json"])?;
    replace(&loosened(&crd)?)?;
    let manifest = |name: &str, policy: &str| {
        json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
            "metadata": { "name": name, "namespace": "default", "finalizers": ["athena-operator.io/session"] },
            "spec": { "workGroup": "spark-35", "deletionPolicy": policy } })
    };
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [manifest("old", "Orphan"), manifest("new", "Terminate")] });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), list.to_string())?;
    until("the looser schema is served", || {
        stage.kubectl_ok(&["apply", "-f", &file.path().display().to_string()]).is_ok()
    })
    .await?;
    let mut strict: Value = serde_json::from_str(&crd)?;
    strict["metadata"]["resourceVersion"] = Value::Null;
    replace(&strict.to_string())?;

    let url = world.emulator.url();
    let env =
        [("ATHENA_OPERATOR_OBSERVE_INTERVAL", "200ms"), ("ATHENA_OPERATOR_TRANSITION_INTERVAL", "50ms")];
    let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
    let options = OperatorOptions { binary, scope: Scope::Everywhere, athena: &url, flags: &[], env: &env };
    let operator = Operator::start(&stage, &options)?;
    operator.wait_until_ready()?;
    stage.kubectl_ok(&["wait", "athenasession/new", "--for=condition=Ready", "--timeout=60s"])?;
    stage.kubectl_ok(&["wait", "athenasession/old", "--for=condition=Stalled", "--timeout=60s"])?;
    stage.kubectl_ok(&["delete", "athenasession/old", "--wait=false"])?;
    let message = stage.kubectl_ok(&[
        "get",
        "athenasession/old",
        "-o",
        "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}",
    ])?;
    let command = message.split_once("kubectl ").map(|(_, command)| command.to_owned()).unwrap_or_default();
    ensure!(message.contains("spec.deletionPolicy") && !message.contains("Orphan"), "{message}");
    // The way out, as the object itself tells it.
    let words: Vec<&str> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    stage.kubectl_ok(&words)?;
    stage.kubectl_ok(&["wait", "athenasession/old", "--for=delete", "--timeout=60s"])?;
    Ok(())
}

async fn a_status_that_names_a_foreign_session_leaves_that_session_alone(world: World) -> anyhow::Result<()> {
    let foreign = world.emulator.create_foreign("spark-35", Some("a notebook of somebody"));
    world.enter(&foreign, "IDLE")?;
    world.create_with("thief", spark(json!({ "suspend": true }))).await?;
    world.set_status("thief", an_attempt_of_long_ago()).await?;
    world.set_status("thief", json!({ "sessionId": foreign, "state": "IDLE" })).await?;
    let _operator = world.operator_with(&[], &[("ATHENA_OPERATOR_UNCERTAINTY", "1s")])?;
    // The attempt is older than the uncertainty and has no session: it is lost, and the object is suspended.
    world.until_reason("thief", "Suspended").await?;
    world.remove("thief").await?;
    ensure!(
        world.calls("TerminateSession").is_empty() && world.live().len() == 1,
        "{:?}",
        world.calls("TerminateSession")
    );
    Ok(())
}

async fn a_forged_marker_with_another_configuration_is_not_adopted(world: World) -> anyhow::Result<()> {
    let spec = spark(json!({ "executionRole": "arn:aws:iam::000000000000:role/own" }));
    let object = world.create_with("victim", spec).await?;
    let forged =
        world.emulator.create_foreign("spark-35", Some(&format!("[athena-operator/{}]", uid(&object))));
    world.enter(&forged, "IDLE")?;
    world.set_status("victim", an_attempt_of_long_ago()).await?;
    let _operator = world.operator_with(&[], &[("ATHENA_OPERATOR_UNCERTAINTY", "1s")])?;
    has(&world.until_told("victim", "MarkerMismatch").await?, &[&forged])?;
    ensure!(world.status("victim").await?.session_id.is_none());
    ensure!(world.calls("StartSession").is_empty() && world.calls("TerminateSession").is_empty());
    // Its owner ends the forged one, and the object goes on.
    world.change(&forged, Change::Terminate)?;
    world.until_idle("victim").await?;
    ensure!(world.calls("StartSession").len() == 1);
    Ok(())
}

async fn finalizers_of_others_stay(world: World) -> anyhow::Result<()> {
    // Of so many as the second has, not all are kept in memory.
    for (name, count) in [("crowded", 20), ("overcrowded", 2000)] {
        let others: Vec<String> =
            (0..count).map(|number| format!("example.com/finalizer-{number}")).collect();
        world.create(name).await?;
        world.patch(name, json!({ "metadata": { "finalizers": others } })).await?;
        let operator = world.operator()?;
        world.until_idle(name).await?;
        world.delete(name).await?;
        let let_go = |object: &athena_operator::api::AthenaSession| {
            object.metadata.finalizers.as_ref() == Some(&others)
        };
        world.until(name, "let go by the operator only", let_go).await?;
        ensure!(world.live().is_empty());
        world.patch(name, json!({ "metadata": { "finalizers": [] } })).await?;
        world.until_gone(name).await?;
        drop(operator);
    }
    Ok(())
}
