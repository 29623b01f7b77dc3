//! A session starts, is mirrored and ends.

use anyhow::ensure;
use athena_emulator::Change;

use crate::harness::{World, condition, ready_condition, status, tests, uid, until};

tests![
    a_session_starts_with_the_uid_as_token_and_ends_with_its_object,
    ended_sessions_are_never_asked_about_again,
    an_unchanged_session_is_looked_at_without_a_write,
];

async fn a_session_starts_with_the_uid_as_token_and_ends_with_its_object(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let object = world.create("etl").await?;
    let idle = world.until_reason("etl", "SessionIdle").await?;
    let starts = world.calls("StartSession");
    ensure!(starts.len() == 1 && starts[0].token.as_deref() == Some(&*uid(&object)), "{starts:?}");
    let sessions = world.emulator.sessions();
    ensure!(status(&idle).session_id.as_deref() == Some(&*sessions[0].session_id));
    ensure!(status(&idle).engine_version.as_deref() == Some("Apache Spark version 3.5"));
    ensure!(status(&idle).observed_generation == Some(1));
    ensure!(condition(&idle, "Available").is_some_and(|available| available.status == "True"));

    world.emulator.set_state(&sessions[0].session_id, Change::State { state: "BUSY".into(), reason: None })?;
    let busy = world.until_reason("etl", "SessionBusy").await?;
    ensure!(ready_condition(&busy).map(|ready| ready.last_transition_time) == ready_condition(&idle).map(|ready| ready.last_transition_time));

    world.delete("etl").await?;
    world.until_gone("etl").await?;
    ensure!(world.live().is_empty());
    ensure!(world.calls("TerminateSession").len() == 1);
    Ok(())
}

async fn ended_sessions_are_never_asked_about_again(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("ended").await?;
    world.until_reason("ended", "SessionIdle").await?;
    let id = world.emulator.sessions()[0].session_id.clone();
    world.emulator.set_state(&id, Change::Terminate)?;
    let ended = world.until_reason("ended", "StoppedOutside").await?;
    ensure!(status(&ended).state.as_deref() == Some("TERMINATED") && status(&ended).dpu_execution_in_millis.is_some());

    // Another session is looked at meanwhile, so that time is seen to pass.
    let calls = |id: &str| world.emulator.calls().into_iter().filter(|call| call.session_id.as_deref() == Some(id)).count();
    let before = calls(&id);
    world.create("other").await?;
    world.until_reason("other", "SessionIdle").await?;
    let other = world.emulator.sessions()[1].session_id.clone();
    until("the other session is looked at 10 times", || calls(&other) > 10).await?;
    ensure!(calls(&id) == before);
    Ok(())
}

async fn an_unchanged_session_is_looked_at_without_a_write(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("quiet").await?;
    let idle = world.until_reason("quiet", "SessionIdle").await?;
    let looks = || world.calls("GetSessionStatus").len();
    let before = looks();
    until("20 looks have been taken", || looks() >= before + 20).await?;
    let after = world.sessions.get("quiet").await?;
    ensure!(after.metadata.resource_version == idle.metadata.resource_version);
    Ok(())
}
