//! A session starts, is mirrored and ends.

use std::time::{Duration, Instant};

use anyhow::ensure;
use athena_emulator::Change;
use environment::{Operator, Signal};
use serde_json::json;

use crate::harness::{World, condition, ready_condition, status, tests, uid, until};

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
    let idle = world.until_reason("etl", "SessionIdle").await?;
    let starts = world.calls("StartSession");
    ensure!(starts.len() == 1 && starts[0].token.as_deref() == Some(&*uid(&object)), "{starts:?}");
    let sessions = world.emulator.sessions();
    ensure!(status(&idle).session_id.as_deref() == Some(&*sessions[0].session_id));
    ensure!(status(&idle).engine_version.as_deref() == Some("Apache Spark version 3.5"));
    ensure!(status(&idle).observed_generation == Some(1));
    ensure!(condition(&idle, "Available").is_some_and(|available| available.status == "True"));

    world
        .emulator
        .set_state(&sessions[0].session_id, Change::State { state: "BUSY".into(), reason: None })?;
    let busy = world.until_reason("etl", "SessionBusy").await?;
    ensure!(
        ready_condition(&busy).map(|ready| ready.last_transition_time)
            == ready_condition(&idle).map(|ready| ready.last_transition_time)
    );

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
    ensure!(
        status(&ended).state == Some("TERMINATED".into()) && status(&ended).dpu_execution_in_millis.is_some()
    );

    // Another session is swept meanwhile, so that time is seen to pass.
    let calls = |id: &str| {
        world.emulator.calls().into_iter().filter(|call| call.session_id.as_deref() == Some(id)).count()
    };
    let before = calls(&id);
    world.create("other").await?;
    world.until_reason("other", "SessionIdle").await?;
    let sweeps = world.calls("ListSessions").len();
    until("10 sweeps have been made", || world.calls("ListSessions").len() >= sweeps + 10).await?;
    ensure!(calls(&id) == before);
    Ok(())
}

async fn an_unchanged_session_is_swept_without_a_look_or_a_write(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create("quiet").await?;
    let idle = world.until_reason("quiet", "SessionIdle").await?;
    // The look that found it idle may not have been the last one under way.
    sweeps(&world, 2).await?;
    let (looks, reconciles) = (looks(&world), reconciles(&operator)?);
    sweeps(&world, 20).await?;
    let after = world.sessions.get("quiet").await?;
    ensure!(after.metadata.resource_version == idle.metadata.resource_version);
    ensure!(
        self::looks(&world) == looks && self::reconciles(&operator)? == reconciles,
        "{:?}",
        world.emulator.calls()
    );
    Ok(())
}

/// Waits for so many more lists.
async fn sweeps(world: &World, count: usize) -> anyhow::Result<()> {
    let before = world.calls("ListSessions").len();
    until("sweeps have been made", || world.calls("ListSessions").len() >= before + count).await
}

fn looks(world: &World) -> usize {
    world.calls("GetSessionStatus").len() + world.calls("GetSession").len()
}

/// How many reconciles the operator counts.
fn reconciles(operator: &Operator) -> anyhow::Result<u64> {
    let metrics = operator.get("/metrics")?.1;
    let counts = metrics.lines().filter(|line| line.starts_with("controller_runtime_reconcile_total"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

async fn a_settled_session_is_swept_and_not_looked_at_after_a_restart_too(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    for number in 0..5 {
        world.create(&format!("s-{number}")).await?;
    }
    for number in 0..5 {
        world.until_reason(&format!("s-{number}"), "SessionIdle").await?;
    }
    operator.end(Signal::TERM)?;
    let before = looks(&world);
    let _operator = world.operator()?;
    sweeps(&world, 5).await?;
    let busy = status(&world.sessions.get("s-2").await?).session_id.unwrap_or_default();
    world.emulator.set_state(&busy, Change::State { state: "BUSY".into(), reason: None })?;
    let object = world.until_reason("s-2", "SessionBusy").await;
    ensure!(looks(&world) == before, "{:?}", world.emulator.calls());
    ensure!(status(&object?).session_id == Some(busy));
    world.delete("s-1").await?;
    world.until_gone("s-1").await?;
    ensure!(world.live().len() == 4);
    Ok(())
}

async fn without_the_right_to_list_sessions_are_looked_at_one_by_one(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.deny = vec!["ListSessions".into()]);
    let _operator = world.operator()?;
    world.create("one").await?;
    world.until_reason("one", "SessionIdle").await?;
    let id = world.emulator.sessions()[0].session_id.clone();
    world.emulator.set_state(&id, Change::State { state: "BUSY".into(), reason: None })?;
    world.until_reason("one", "SessionBusy").await?;
    world.emulator.set_state(&id, Change::Terminate)?;
    world.until_reason("one", "StoppedOutside").await?;
    Ok(())
}

async fn nothing_is_called_once_nothing_lives(world: World) -> anyhow::Result<()> {
    let operator = world.operator_with(&["--log=warn,athena_operator=debug"], &[])?;
    world.create("one").await?;
    world.until_reason("one", "SessionIdle").await?;
    world.patch("one", json!({ "spec": { "suspend": true } })).await?;
    world.until_reason("one", "Suspended").await?;
    // Another session in another work group, so that time is seen to pass.
    until("the last sweep is over", || {
        operator.raw_log().contains("nothing in the work group is looked out for")
    })
    .await?;
    let calls = world.emulator.calls().len();
    world
        .create_with(
            "other",
            json!({ "workGroup": "pyspark-3", "engineConfiguration": { "maxConcurrentDpus": 2 } }),
        )
        .await?;
    world.until_reason("other", "SessionIdle").await?;
    sweeps(&world, 5).await?;
    let of_first = |call: &athena_emulator::Call| call.request.to_string().contains("spark-35");
    ensure!(!world.emulator.calls().iter().skip(calls).any(of_first), "{:?}", world.emulator.calls());
    Ok(())
}

async fn a_degraded_session_that_leaves_the_list_is_found(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("worn").await?;
    world.until_reason("worn", "SessionIdle").await?;
    sweeps(&world, 3).await?;
    let id = world.emulator.sessions()[0].session_id.clone();
    world.emulator.set_state(&id, Change::State { state: "DEGRADED".into(), reason: None })?;
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
    world.create("one").await?;
    let id = status(&world.until_reason("one", "SessionIdle").await?).session_id.unwrap_or_default();
    let set =
        |state: &str| world.emulator.set_state(&id, Change::State { state: state.into(), reason: None });
    set("BUSY")?;
    world
        .until("one", "at work for the first time", |object| status(object).last_busy_time.is_some())
        .await?;

    let writes = || -> anyhow::Result<u32> {
        let metrics = operator.get("/metrics")?.1;
        let counts = metrics.lines().filter(|line| {
            line.starts_with("athena_operator_writes_total") && line.contains(r#"write="status""#)
        });
        counts.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u32>()?)).sum()
    };
    let (begun, before) = (Instant::now(), writes()?);
    for flip in 0..FLIPS {
        set(["IDLE", "BUSY"][flip % 2])?;
        let sweeps = world.calls("ListSessions").len();
        until("two sweeps have begun, so that one has shown it", || {
            world.calls("ListSessions").len() >= sweeps + 2
        })
        .await?;
    }
    let (took, written) = (begun.elapsed(), writes()? - before);
    let most = u32::try_from(took.as_millis() / (3 * INTERVAL).as_millis())? + 2;
    ensure!(written <= most, "{written} writes in {took:?}");
    ensure!(written >= 2, "the status did not follow: {written} writes in {took:?}");
    world.until("one", "BUSY, as it was last", |object| status(object).state == Some("BUSY".into())).await?;

    // What waits goes with what does not.
    set("IDLE")?;
    let since =
        world.emulator.sessions()[0].states.last().map(|(state, time)| (state.clone(), time.as_second()));
    let sweeps = world.calls("ListSessions").len();
    until("two sweeps have begun", || world.calls("ListSessions").len() >= sweeps + 2).await?;
    world.patch("one", json!({ "spec": { "suspend": true } })).await?;
    let suspended = world.until("one", "to be ended", |object| status(object).stop_cause.is_some()).await?;
    let told = status(&suspended).idle_since_time.map(|time| ("IDLE".to_owned(), time.0.as_second()));
    ensure!(told == since, "idle since {told:?} and not {since:?}");
    Ok(())
}
