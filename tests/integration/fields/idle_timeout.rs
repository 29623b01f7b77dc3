//! Ends that can have been the idle timeout start nothing, and those that cannot are failures.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Change;
use environment::Signal;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{World, has, ready_condition, spark, status, tests, until};

tests![
    a_session_that_timed_out_while_the_operator_was_away_is_not_restarted,
    a_session_of_which_athena_does_not_say_since_when_it_was_idle_is_not_restarted,
    a_session_that_athena_forgot_while_the_operator_was_away_is_not_restarted,
    a_session_that_is_stopped_at_work_is_restarted,
    a_session_that_was_never_at_work_does_not_count_afresh,
];

/// An idle timeout of four seconds.
fn short_timeouts(world: &World) {
    world.emulator.configure(|config| config.idle_minute = Duration::from_secs(4));
}

fn restarting() -> Value {
    spark(json!({ "restartPolicy": "OnFailure", "sessionIdleTimeoutInMinutes": 1 }))
}

/// Has the operator see a session at work and go away; the work ends, and some time later Athena ends the session.
async fn time_out_unseen(world: &World, name: &str, spec: Value) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle_with(name, spec).await?;
    world.enter(&id, "BUSY")?;
    world.until_reason(name, "SessionBusy").await?;
    operator.end(Signal::KILL)?;
    world.enter(&id, "IDLE")?;
    until("Athena has ended the session", || world.live().is_empty()).await
}

async fn is_a_timeout(world: &World, name: &str) -> anyhow::Result<()> {
    let over = |object: &_| status(object).end_reason.is_some() || status(object).attempt > Some(0);
    let object = world.until(name, "over", over).await?;
    let told = ready_condition(&object).map(|ready| (ready.reason, ready.status));
    ensure!(told == Some(("IdleTimeout".into(), "True".into())), "{told:?}");
    ensure!(world.emulator.sessions().len() == 1, "another session was started: {:?}", object.status);
    Ok(())
}

async fn a_session_that_timed_out_while_the_operator_was_away_is_not_restarted(
    world: World,
) -> anyhow::Result<()> {
    short_timeouts(&world);
    time_out_unseen(&world, "told", restarting()).await?;
    let _operator = world.operator()?;
    is_a_timeout(&world, "told").await
}

async fn a_session_of_which_athena_does_not_say_since_when_it_was_idle_is_not_restarted(
    world: World,
) -> anyhow::Result<()> {
    short_timeouts(&world);
    world.emulator.configure(|config| config.omit_times = vec!["IdleSinceDateTime".to_owned()]);
    let _operator = world.operator()?;
    world.idle_with("untold", restarting()).await?;
    is_a_timeout(&world, "untold").await
}

async fn a_session_that_athena_forgot_while_the_operator_was_away_is_not_restarted(
    world: World,
) -> anyhow::Result<()> {
    short_timeouts(&world);
    world.emulator.configure(|config| config.forget_ended_after = Some(Duration::ZERO));
    // The timeout is the work group's, which nobody can ask for any more.
    world.emulator.configure(|config| config.work_groups.iter_mut().for_each(|group| group.idle_minutes = 1));
    time_out_unseen(&world, "forgotten", spark(json!({ "restartPolicy": "OnFailure" }))).await?;
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    is_a_timeout(&world, "forgotten").await
}

async fn a_session_that_is_stopped_at_work_is_restarted(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle_with("stopped", spark(json!({ "restartPolicy": "OnFailure" }))).await?;
    world.enter(&id, "BUSY")?;
    let busy = world.until_reason("stopped", "SessionBusy").await?;
    ensure!(status(&busy).last_busy_time.is_some(), "{:?}", busy.status);
    world.change(&id, Change::Terminate)?;
    has(&world.until_told("stopped", "RestartingAfterFailure").await?, &["StoppedOutside", "last activity"])?;
    world.until_status("stopped", "restarted", |status| status.attempt == Some(1)).await?;
    ensure!(world.emulator.sessions().len() <= 2);
    Ok(())
}

/// An attempt of ten minutes that was never at work is shortened here to what the status says of it.
async fn a_session_that_was_never_at_work_does_not_count_afresh(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let spec = spark(json!({ "restartPolicy": "OnFailure", "maxRestarts": 1 }));
    let first = world.idle_with("unused", spec).await?;
    world.enter(&first, "FAILED")?;
    let restarted = world.until_attempt("unused", 1).await?;
    ensure!(restarted.restarts == Some(1));
    operator.end(Signal::KILL)?;
    // As if it had run for an hour.
    let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
    let start = hour_ago.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    world.set_status("unused", json!({ "startTime": start })).await?;
    world.emulator.configure(|config| config.omit_times = vec!["StartDateTime".into()]);
    world.enter(&restarted.session_id.unwrap_or_default(), "FAILED")?;
    let _operator = world.operator()?;
    let over = |object: &_| status(object).end_reason.is_some() || status(object).attempt > Some(1);
    let object = world.until("unused", "over", over).await?;
    let told = ready_condition(&object).map(|ready| ready.reason);
    ensure!(told.as_deref() == Some("SessionFailed"), "{:?}", object.status);
    Ok(())
}
