//! What Athena refuses shows in the object, and heals without help where it can.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::{Change, Fault, FaultKind, TokenMismatch};
use serde_json::json;

use crate::harness::{World, condition, ready_condition, status, tests, until};

tests![
    a_request_that_is_refused_for_good_is_stalled_and_not_sent_again,
    a_quota_is_waited_for,
    throttling_and_server_errors_are_ridden_out,
    denied_access_heals_by_itself,
    a_missing_work_group_is_in_progress_and_heals,
    a_work_group_that_is_not_spark_says_so,
    a_used_token_is_stalled_and_no_second_session_starts,
    an_unknown_state_is_mirrored_as_it_is,
    a_failed_session_is_stalled_with_athenas_reason,
    a_degraded_session_is_ended,
    an_idle_timeout_is_no_failure,
    a_session_that_failed_while_the_operator_was_away_is_noticed,
];

fn refuse(world: &World, operation: &str, code: &str, message: &str) {
    let kind = FaultKind::Fail { status: 400, code: code.into(), message: message.into() };
    world.emulator.set_faults(vec![Fault::new(operation, kind)]);
}

async fn a_request_that_is_refused_for_good_is_stalled_and_not_sent_again(
    world: World,
) -> anyhow::Result<()> {
    refuse(
        &world,
        "StartSession",
        "InvalidRequestException",
        "1 validation error detected: Value at 'x' failed to satisfy constraint",
    );
    let operator = world.operator()?;
    world.create("rejected").await?;
    let object = world.until_reason("rejected", "InvalidRequest").await?;
    ensure!(condition(&object, "Stalled").is_some_and(|stalled| stalled.message.contains("Value at 'x'")));
    ensure!(condition(&object, "Reconciling").is_none());
    until("the event carries the request id", || {
        world.kubectl(&["events"]).is_ok_and(|events| events.contains("AWS request id"))
    })
    .await?;

    world.create_with("other", json!({ "workGroup": "spark-35" })).await?;
    world.until_reason("other", "InvalidRequest").await?;
    ensure!(world.calls("StartSession").len() == 2);
    drop(operator);
    let _operator = world.operator()?;
    world.emulator.set_faults(vec![]);
    world.create("third").await?;
    world.until_reason("third", "SessionIdle").await?;
    ensure!(world.calls("StartSession").len() == 3, "a rejected request was sent again after a restart");
    world.delete("rejected").await?;
    world.until_gone("rejected").await
}

async fn a_quota_is_waited_for(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    world.create("queued").await?;
    let object = world.until_reason("queued", "QuotaExceeded").await?;
    ensure!(condition(&object, "Reconciling").is_some() && condition(&object, "Stalled").is_none());
    world.emulator.configure(|config| config.max_sessions = None);
    world.until_reason("queued", "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == 1);
    Ok(())
}

async fn throttling_and_server_errors_are_ridden_out(world: World) -> anyhow::Result<()> {
    let failed =
        FaultKind::Fail { status: 500, code: "InternalServerException".into(), message: "try again".into() };
    world.emulator.set_faults(vec![
        Fault::new("StartSession", FaultKind::Throttle).times(1),
        Fault::new("StartSession", failed.clone()).times(1),
        Fault::new("StartSession", FaultKind::malformed()).times(1),
        Fault::new("GetSession", failed).times(2),
        Fault::new("GetSessionStatus", FaultKind::DropBefore).times(2),
    ]);
    let _operator = world.operator()?;
    world.create("patient").await?;
    world.until_reason("patient", "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == 1);
    Ok(())
}

async fn denied_access_heals_by_itself(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.deny = vec!["StartSession".into()]);
    let _operator = world.operator()?;
    world.create("denied").await?;
    let object = world.until_reason("denied", "AccessDenied").await?;
    ensure!(
        condition(&object, "Reconciling")
            .is_some_and(|condition| condition.message.contains("athena:StartSession"))
    );
    world.emulator.configure(|config| config.deny.clear());
    world.until_reason("denied", "SessionIdle").await?;
    Ok(())
}

async fn a_missing_work_group_is_in_progress_and_heals(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("early", json!({ "workGroup": "to-come" })).await?;
    let object = world.until_reason("early", "WorkGroupNotFound").await?;
    ensure!(ready_condition(&object).is_some_and(|ready| ready.status == "Unknown"));
    world.emulator.configure(|config| {
        let group =
            athena_emulator::WorkGroup { name: "to-come".into(), ..athena_emulator::WorkGroup::default() };
        config.work_groups.push(group);
    });
    world.until_reason("early", "SessionIdle").await?;
    Ok(())
}

async fn a_work_group_that_is_not_spark_says_so(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("sql", json!({ "workGroup": "sql" })).await?;
    world.until_reason("sql", "WorkGroupNotSpark").await?;
    world.delete("sql").await?;
    world.until_gone("sql").await
}

async fn a_used_token_is_stalled_and_no_second_session_starts(world: World) -> anyhow::Result<()> {
    for (name, mismatch, reason) in [
        ("mismatch", TokenMismatch::IdempotentParameterMismatch, "TokenMismatch"),
        ("exists", TokenMismatch::SessionAlreadyExists, "SessionAlreadyExists"),
    ] {
        world.emulator.configure(|config| config.token_mismatch = mismatch);
        let code = if reason == "TokenMismatch" {
            "InvalidRequestException"
        } else {
            "SessionAlreadyExistsException"
        };
        let message = if reason == "TokenMismatch" {
            "Idempotent parameters do not match"
        } else {
            "The specified session already exists."
        };
        refuse(&world, "StartSession", code, message);
        let operator = world.operator_with(&["--uncertainty=2s"], &[])?;
        world.create(name).await?;
        world.until_reason(name, reason).await?;
        world.until(name, "over", |object| status(object).end_reason.is_some()).await?;
        world.delete(name).await?;
        world.until_gone(name).await?;
        ensure!(world.emulator.sessions().is_empty());
        drop(operator);
    }
    Ok(())
}

async fn started(world: &World, name: &str) -> anyhow::Result<String> {
    world.create(name).await?;
    let object = world.until_reason(name, "SessionIdle").await?;
    Ok(status(&object).session_id.unwrap_or_default())
}

async fn an_unknown_state_is_mirrored_as_it_is(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = started(&world, "odd").await?;
    world.emulator.set_state(&id, Change::State { state: "HIBERNATING".into(), reason: None })?;
    let object = world.until_reason("odd", "UnknownState").await?;
    ensure!(status(&object).state == Some("HIBERNATING".into()));
    ensure!(condition(&object, "Available").is_some_and(|available| available.status == "Unknown"));
    world.delete("odd").await?;
    world.until_gone("odd").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn a_failed_session_is_stalled_with_athenas_reason(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = started(&world, "failed").await?;
    world.emulator.set_state(
        &id,
        Change::State { state: "FAILED".into(), reason: Some("the coordinator is gone".into()) },
    )?;
    let object = world.until_reason("failed", "SessionFailed").await?;
    ensure!(
        condition(&object, "Stalled")
            .is_some_and(|stalled| stalled.message.contains("the coordinator is gone"))
    );
    Ok(())
}

async fn a_degraded_session_is_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = started(&world, "degraded").await?;
    world.emulator.set_state(&id, Change::State { state: "DEGRADED".into(), reason: None })?;
    let object = world.until_reason("degraded", "SessionDegraded").await?;
    ensure!(status(&object).stop_cause.is_some_and(|cause| cause.as_str() == "Degraded"));
    ensure!(world.live().is_empty() && world.calls("TerminateSession").len() == 1);
    Ok(())
}

async fn an_idle_timeout_is_no_failure(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.idle_minute = Duration::from_secs(6));
    let _operator = world.operator()?;
    world
        .create_with("timed-out", json!({ "workGroup": "spark-35", "sessionIdleTimeoutInMinutes": 1 }))
        .await?;
    let object = world.until_reason("timed-out", "IdleTimeout").await?;
    ensure!(ready_condition(&object).is_some_and(|ready| ready.status == "True"));
    ensure!(condition(&object, "Available").is_some_and(|available| available.status == "False"));
    ensure!(status(&object).state_change_reason.as_deref() == Some("Session was terminated per request"));
    Ok(())
}

async fn a_session_that_failed_while_the_operator_was_away_is_noticed(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = started(&world, "away").await?;
    drop(operator);
    world.emulator.set_state(&id, Change::State { state: "FAILED".into(), reason: None })?;
    let _operator = world.operator()?;
    world.until_reason("away", "SessionFailed").await?;
    Ok(())
}
