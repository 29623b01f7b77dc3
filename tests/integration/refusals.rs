//! What Athena refuses shows in the object, and heals without help where it can.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::TokenMismatch::{IdempotentParameterMismatch, SessionAlreadyExists};
use athena_emulator::{Fault, FaultKind, WorkGroup};
use serde_json::json;

use crate::harness::{World, condition, failure, has, is, spark, status, tests};

tests![
    a_request_that_is_refused_for_good_is_stalled_and_not_sent_again,
    a_quota_is_waited_for,
    throttling_and_server_errors_are_ridden_out,
    denied_access_heals_by_itself,
    a_missing_work_group_is_in_progress_and_heals,
    a_work_group_that_cannot_take_the_session_is_told_without_a_start,
    without_the_right_to_read_work_groups_the_call_tells,
    a_used_token_is_stalled_and_no_second_session_starts,
    an_unknown_state_is_mirrored_as_it_is,
    a_failed_session_is_stalled_with_athenas_reason,
    a_degraded_session_is_ended,
    an_idle_timeout_is_no_failure,
    a_session_that_failed_while_the_operator_was_away_is_noticed,
];

fn refuse(world: &World, code: &str, message: &str) {
    world.fault("StartSession", failure(400, code, message));
}

async fn a_request_that_is_refused_for_good_is_stalled_and_not_sent_again(
    world: World,
) -> anyhow::Result<()> {
    let text = "1 validation error detected: Value at 'x' failed to satisfy constraint";
    refuse(&world, "InvalidRequestException", text);
    let operator = world.operator()?;
    world.create("rejected").await?;
    let object = world.until_reason("rejected", "InvalidRequest").await?;
    ensure!(condition(&object, "Stalled").is_some_and(|stalled| stalled.message.contains("Value at 'x'")));
    ensure!(condition(&object, "Reconciling").is_none());
    world.until_event("InvalidRequest", "AWS request id").await?;

    world.create("other").await?;
    world.until_reason("other", "InvalidRequest").await?;
    ensure!(world.calls("StartSession").len() == 2);
    drop(operator);
    let _operator = world.operator()?;
    world.clear_faults();
    world.idle("third").await?;
    ensure!(world.calls("StartSession").len() == 3, "a rejected request was sent again after a restart");
    world.remove("rejected").await
}

async fn a_quota_is_waited_for(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    world.create("queued").await?;
    let object = world.until_reason("queued", "QuotaExceeded").await?;
    ensure!(condition(&object, "Reconciling").is_some() && condition(&object, "Stalled").is_none());
    world.emulator.configure(|config| config.max_sessions = None);
    world.until_idle("queued").await?;
    ensure!(world.emulator.sessions().len() == 1);
    Ok(())
}

async fn throttling_and_server_errors_are_ridden_out(world: World) -> anyhow::Result<()> {
    let failed = failure(500, "InternalServerException", "try again");
    world.emulator.set_faults(vec![
        Fault::new("StartSession", FaultKind::Throttle).times(1),
        Fault::new("StartSession", failed.clone()).times(1),
        Fault::new("StartSession", FaultKind::malformed()).times(1),
        Fault::new("GetSession", failed).times(2),
        Fault::new("GetSessionStatus", FaultKind::DropBefore).times(2),
    ]);
    let _operator = world.operator()?;
    world.idle("patient").await?;
    ensure!(world.emulator.sessions().len() == 1);
    Ok(())
}

async fn denied_access_heals_by_itself(world: World) -> anyhow::Result<()> {
    world.deny(&["StartSession"]);
    let _operator = world.operator()?;
    world.create("denied").await?;
    let object = world.until_reason("denied", "AccessDenied").await?;
    ensure!(
        condition(&object, "Reconciling").is_some_and(|told| told.message.contains("athena:StartSession"))
    );
    world.deny(&[]);
    world.until_idle("denied").await?;
    Ok(())
}

async fn a_missing_work_group_is_in_progress_and_heals(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("early", json!({ "workGroup": "to-come" })).await?;
    let object = world.until_reason("early", "WorkGroupNotFound").await?;
    ensure!(is(&object, "Ready", "Unknown"));
    world.emulator.configure(|config| {
        config.work_groups.push(WorkGroup { name: "to-come".into(), ..WorkGroup::default() });
    });
    world.until_idle("early").await?;
    Ok(())
}

async fn a_work_group_that_cannot_take_the_session_is_told_without_a_start(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let properties = spark(json!({ "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } }));
    let logging = json!({ "workGroup": "pyspark-3", "monitoringConfiguration": { "managedLoggingConfiguration": { "enabled": true } } });
    for (name, spec, reason, part) in [
        ("missing", json!({ "workGroup": "nowhere" }), "WorkGroupNotFound", "not found"),
        ("disabled", json!({ "workGroup": "disabled" }), "WorkGroupDisabled", "workGroup"),
        ("sql", json!({ "workGroup": "sql" }), "WorkGroupNotSpark", "Athena engine version 3"),
        ("properties", properties, "InvalidRequest", "spec.engineConfiguration.sparkProperties"),
        ("logging", logging, "InvalidRequest", "spec.monitoringConfiguration"),
    ] {
        world.create_with(name, spec).await?;
        has(&world.until_told(name, reason).await?, &[part])?;
    }
    ensure!(world.calls("StartSession").is_empty());
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;
    Ok(())
}

async fn without_the_right_to_read_work_groups_the_call_tells(world: World) -> anyhow::Result<()> {
    world.deny(&["GetWorkGroup"]);
    let _operator = world.operator()?;
    world.create_with("sql", json!({ "workGroup": "sql" })).await?;
    world.until_reason("sql", "WorkGroupNotSpark").await?;
    ensure!(!world.calls("StartSession").is_empty());
    world.idle("fine").await?;
    Ok(())
}

async fn a_used_token_is_stalled_and_no_second_session_starts(world: World) -> anyhow::Result<()> {
    let (differ, exists) = ("Idempotent parameters do not match", "The specified session already exists.");
    for (name, mismatch, code, text, reason) in [
        ("mismatch", IdempotentParameterMismatch, "InvalidRequestException", differ, "TokenMismatch"),
        ("exists", SessionAlreadyExists, "SessionAlreadyExistsException", exists, "SessionAlreadyExists"),
    ] {
        world.emulator.configure(|config| config.token_mismatch = mismatch);
        refuse(&world, code, text);
        let operator = world.operator_with(&["--uncertainty=2s"], &[])?;
        world.create(name).await?;
        world.until_reason(name, reason).await?;
        world.until_over(name).await?;
        world.remove(name).await?;
        ensure!(world.emulator.sessions().is_empty());
        drop(operator);
    }
    Ok(())
}

async fn an_unknown_state_is_mirrored_as_it_is(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle("odd").await?;
    world.enter(&id, "HIBERNATING")?;
    let object = world.until_reason("odd", "UnknownState").await?;
    ensure!(status(&object).state == Some("HIBERNATING".into()));
    ensure!(is(&object, "Available", "Unknown"));
    world.remove("odd").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn a_failed_session_is_stalled_with_athenas_reason(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle("failed").await?;
    let reason = "the coordinator is gone";
    world.enter_with(&id, "FAILED", Some(reason))?;
    let object = world.until_reason("failed", "SessionFailed").await?;
    ensure!(condition(&object, "Stalled").is_some_and(|stalled| stalled.message.contains(reason)));
    Ok(())
}

async fn a_degraded_session_is_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle("degraded").await?;
    world.enter(&id, "DEGRADED")?;
    let object = world.until_reason("degraded", "SessionDegraded").await?;
    ensure!(status(&object).stop_cause.is_some_and(|cause| cause.as_str() == "Degraded"));
    ensure!(world.live().is_empty() && world.calls("TerminateSession").len() == 1);
    Ok(())
}

async fn an_idle_timeout_is_no_failure(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.idle_minute = Duration::from_secs(6));
    let _operator = world.operator()?;
    world.create_with("timed-out", spark(json!({ "sessionIdleTimeoutInMinutes": 1 }))).await?;
    let object = world.until_reason("timed-out", "IdleTimeout").await?;
    ensure!(is(&object, "Ready", "True") && is(&object, "Available", "False"));
    ensure!(status(&object).state_change_reason.as_deref() == Some("Session was terminated per request"));
    Ok(())
}

async fn a_session_that_failed_while_the_operator_was_away_is_noticed(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle("away").await?;
    drop(operator);
    world.enter(&id, "FAILED")?;
    let _operator = world.operator()?;
    world.until_reason("away", "SessionFailed").await?;
    Ok(())
}
