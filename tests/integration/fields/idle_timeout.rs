//! Ends that can have been the idle timeout start nothing, and those that cannot are failures.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Change;
use environment::Signal;
use serde_json::{Value, json};

use crate::harness::{World, ready_condition, status, tests, uid, until};

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
    json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure", "sessionIdleTimeoutInMinutes": 1 })
}

fn work(world: &World, name: &str) -> anyhow::Result<()> {
    world.emulator.set_state(name, Change::State { state: "BUSY".into(), reason: None })?;
    Ok(())
}

/// The operator sees a session at work and goes away; the work ends, and some time later Athena ends the session.
async fn time_out_unseen(world: &World, name: &str, spec: Value) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create_with(name, spec).await?;
    let idle = world.until_reason(name, "SessionIdle").await?;
    let id = status(&idle).session_id.unwrap_or_default();
    work(world, &id)?;
    world.until_reason(name, "SessionBusy").await?;
    operator.end(Signal::KILL)?;
    world.emulator.set_state(&id, Change::State { state: "IDLE".into(), reason: None })?;
    until("Athena has ended the session", || world.live().is_empty()).await
}

async fn is_a_timeout(world: &World, name: &str) -> anyhow::Result<()> {
    let over = world
        .until(name, "over", |object| status(object).end_reason.is_some() || status(object).attempt > Some(0))
        .await?;
    let ready = ready_condition(&over);
    ensure!(
        ready
            .as_ref()
            .is_some_and(|ready| (ready.reason.as_str(), ready.status.as_str()) == ("IdleTimeout", "True")),
        "{ready:?}"
    );
    ensure!(world.emulator.sessions().len() == 1, "another session was started: {:?}", status(&over));
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
    world.create_with("untold", restarting()).await?;
    world.until_reason("untold", "SessionIdle").await?;
    is_a_timeout(&world, "untold").await
}

async fn a_session_that_athena_forgot_while_the_operator_was_away_is_not_restarted(
    world: World,
) -> anyhow::Result<()> {
    short_timeouts(&world);
    world.emulator.configure(|config| config.forget_ended_after = Some(Duration::ZERO));
    // The timeout is the work group's, which nobody can ask for any more.
    world.emulator.configure(|config| config.work_groups.iter_mut().for_each(|group| group.idle_minutes = 1));
    time_out_unseen(&world, "forgotten", json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" }))
        .await?;
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    is_a_timeout(&world, "forgotten").await
}

async fn a_session_that_is_stopped_at_work_is_restarted(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let object = world
        .create_with("stopped", json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" }))
        .await?;
    let idle = world.until_reason("stopped", "SessionIdle").await?;
    let id = status(&idle).session_id.unwrap_or_default();
    work(&world, &id)?;
    let busy = world.until_reason("stopped", "SessionBusy").await?;
    ensure!(status(&busy).last_busy_time.is_some(), "{:?}", status(&busy));
    world.emulator.set_state(&id, Change::Terminate)?;
    let restarting = world.until_reason("stopped", "RestartingAfterFailure").await?;
    let message = ready_condition(&restarting).map(|ready| ready.message).unwrap_or_default();
    ensure!(message.contains("StoppedOutside") && message.contains("last activity"), "{message}");
    world.until("stopped", "restarted", |object| status(object).attempt == Some(1)).await?;
    ensure!(world.sessions_of(&uid(&object)).len() <= 2);
    Ok(())
}

/// An attempt of ten minutes that was never at work is shortened here to what the status says of it.
async fn a_session_that_was_never_at_work_does_not_count_afresh(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world
        .create_with(
            "unused",
            json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure", "maxRestarts": 1 }),
        )
        .await?;
    world.until_reason("unused", "SessionIdle").await?;
    let first = world.emulator.sessions()[0].session_id.clone();
    world.emulator.set_state(&first, Change::State { state: "FAILED".into(), reason: None })?;
    let restarted = world
        .until("unused", "restarted", |object| {
            status(object).attempt == Some(1) && status(object).state == Some("IDLE".into())
        })
        .await?;
    ensure!(status(&restarted).restarts == Some(1));
    operator.end(Signal::KILL)?;
    // As if it had run for an hour.
    let hour_ago = k8s_openapi::jiff::Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_hours(1);
    let id = status(&restarted).session_id.unwrap_or_default();
    let patch = json!({ "status": { "startTime": hour_ago.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() } });
    world
        .sessions
        .patch_status("unused", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
        .await?;
    world.emulator.configure(|config| config.omit_times = vec!["StartDateTime".into()]);
    world.emulator.set_state(&id, Change::State { state: "FAILED".into(), reason: None })?;
    let _operator = world.operator()?;
    let over = world
        .until("unused", "over", |object| {
            status(object).end_reason.is_some() || status(object).attempt > Some(1)
        })
        .await?;
    ensure!(
        ready_condition(&over).is_some_and(|ready| ready.reason == "SessionFailed"),
        "{:?}",
        status(&over)
    );
    Ok(())
}
