//! A session starts, is mirrored and ends.

use std::time::{Duration, Instant};

use anyhow::ensure;
use athena_emulator::Change;
use environment::Signal;
use serde_json::json;

use crate::harness::{World, is, names, ready_condition, reconciles, status, sum, tests, uid, until_logged};

tests![
    a_session_starts_with_the_uid_as_token_and_ends_with_its_object,
    ended_sessions_are_never_asked_about_again,
    an_unchanged_session_is_swept_without_a_look_or_a_write,
    a_settled_session_is_swept_and_not_looked_at_after_a_restart_too,
    without_the_right_to_list_sessions_are_looked_at_one_by_one,
    nothing_is_called_once_nothing_lives,
    a_degraded_session_that_leaves_the_list_is_found,
    work_is_written_once_in_three_sweeps_and_every_other_change_at_once,
];

async fn a_session_starts_with_the_uid_as_token_and_ends_with_its_object(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let object = world.create("etl").await?;
    let idle = world.until_idle("etl").await?;
    let starts = world.calls("StartSession");
    ensure!(starts.len() == 1 && starts[0].token.as_deref() == Some(&*uid(&object)), "{starts:?}");
    let sessions = world.emulator.sessions();
    ensure!(status(&idle).session_id.as_deref() == Some(&*sessions[0].session_id));
    ensure!(status(&idle).engine_version.as_deref() == Some("Apache Spark version 3.5"));
    ensure!(status(&idle).observed_generation == Some(1));
    ensure!(is(&idle, "Available", "True"));

    world.enter(&sessions[0].session_id, "BUSY")?;
    let busy = world.until_reason("etl", "SessionBusy").await?;
    let since = |object: &_| ready_condition(object).map(|ready| ready.last_transition_time);
    ensure!(since(&busy) == since(&idle));

    world.remove("etl").await?;
    ensure!(world.live().is_empty());
    ensure!(world.calls("TerminateSession").len() == 1);
    Ok(())
}

async fn ended_sessions_are_never_asked_about_again(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle("ended").await?;
    world.change(&id, Change::Terminate)?;
    let ended = world.until_reason("ended", "StoppedOutside").await?;
    let ended = status(&ended);
    ensure!(ended.state == Some("TERMINATED".into()) && ended.dpu_execution_in_millis.is_some());

    // Another session is swept meanwhile, so that time is seen to pass.
    let calls = |id: &str| {
        world.emulator.calls().into_iter().filter(|call| call.session_id.as_deref() == Some(id)).count()
    };
    let before = calls(&id);
    world.idle("other").await?;
    world.further_calls("ListSessions", 10).await?;
    ensure!(calls(&id) == before);
    Ok(())
}

async fn an_unchanged_session_is_swept_without_a_look_or_a_write(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create("quiet").await?;
    let idle = world.until_idle("quiet").await?;
    // The look that found it idle may not have been the last one under way.
    world.further_calls("ListSessions", 2).await?;
    let before = (world.looks(), reconciles(&operator)?);
    world.further_calls("ListSessions", 20).await?;
    let after = world.sessions.get("quiet").await?;
    ensure!(after.metadata.resource_version == idle.metadata.resource_version);
    ensure!((world.looks(), reconciles(&operator)?) == before, "{:?}", world.emulator.calls());
    Ok(())
}

async fn a_settled_session_is_swept_and_not_looked_at_after_a_restart_too(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.all_idle(&names("s", 5)).await?;
    operator.end(Signal::TERM)?;
    let before = world.looks();
    let _operator = world.operator()?;
    world.further_calls("ListSessions", 5).await?;
    let busy = world.status("s-2").await?.session_id.unwrap_or_default();
    world.enter(&busy, "BUSY")?;
    let object = world.until_reason("s-2", "SessionBusy").await;
    ensure!(world.looks() == before, "{:?}", world.emulator.calls());
    ensure!(status(&object?).session_id == Some(busy));
    world.remove("s-1").await?;
    ensure!(world.live().len() == 4);
    Ok(())
}

async fn without_the_right_to_list_sessions_are_looked_at_one_by_one(world: World) -> anyhow::Result<()> {
    world.deny(&["ListSessions"]);
    let _operator = world.operator()?;
    let id = world.idle("one").await?;
    world.enter(&id, "BUSY")?;
    world.until_reason("one", "SessionBusy").await?;
    world.change(&id, Change::Terminate)?;
    world.until_reason("one", "StoppedOutside").await?;
    Ok(())
}

async fn nothing_is_called_once_nothing_lives(world: World) -> anyhow::Result<()> {
    let operator = world.operator_with(&["--log=warn,athena_operator=debug"], &[])?;
    world.idle("one").await?;
    world.set("one", json!({ "suspend": true })).await?;
    world.until_reason("one", "Suspended").await?;
    // Another session in another work group, so that time is seen to pass.
    until_logged(&operator, "nothing in the work group is looked out for").await?;
    let calls = world.emulator.calls().len();
    let other = json!({ "workGroup": "pyspark-3", "engineConfiguration": { "maxConcurrentDpus": 2 } });
    world.idle_with("other", other).await?;
    world.further_calls("ListSessions", 5).await?;
    let of_first = |call: &athena_emulator::Call| call.request.to_string().contains("spark-35");
    ensure!(!world.emulator.calls().iter().skip(calls).any(of_first), "{:?}", world.emulator.calls());
    Ok(())
}

async fn a_degraded_session_that_leaves_the_list_is_found(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle("worn").await?;
    world.further_calls("ListSessions", 3).await?;
    world.enter(&id, "DEGRADED")?;
    world.until_reason("worn", "SessionDegraded").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn work_is_written_once_in_three_sweeps_and_every_other_change_at_once(
    world: World,
) -> anyhow::Result<()> {
    const INTERVAL: Duration = Duration::from_secs(2);
    const FLIPS: usize = 12;
    let operator = world.operator_with(&["--observe-interval=2s"], &[])?;
    let id = world.idle("one").await?;
    world.enter(&id, "BUSY")?;
    world.until_status("one", "at work for the first time", |status| status.last_busy_time.is_some()).await?;

    let writes = || sum(&operator, "athena_operator_writes_total", r#"write="status""#);
    let (begun, before) = (Instant::now(), writes()?);
    for flip in 0..FLIPS {
        world.enter(&id, ["IDLE", "BUSY"][flip % 2])?;
        world.further_calls("ListSessions", 2).await?;
    }
    let (took, written) = (begun.elapsed(), writes()? - before);
    let most = u64::try_from(took.as_millis() / (3 * INTERVAL).as_millis())? + 2;
    ensure!(written <= most, "{written} writes in {took:?}");
    ensure!(written >= 2, "the status did not follow: {written} writes in {took:?}");
    world.until_status("one", "BUSY, as it was last", |status| status.state == Some("BUSY".into())).await?;

    // What waits goes with what does not.
    world.enter(&id, "IDLE")?;
    let since =
        world.emulator.sessions()[0].states.last().map(|(state, time)| (state.clone(), time.as_second()));
    world.further_calls("ListSessions", 2).await?;
    world.set("one", json!({ "suspend": true })).await?;
    let suspended = world.until_status("one", "to be ended", |status| status.stop_cause.is_some()).await?;
    let told = suspended.idle_since_time.map(|time| ("IDLE".to_owned(), time.0.as_second()));
    ensure!(told == since, "idle since {told:?} and not {since:?}");
    Ok(())
}
