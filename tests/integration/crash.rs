//! Crashes and deletions in the gap between StartSession's effect and the record of its session.

use anyhow::ensure;
use athena_emulator::{Fault, FaultKind};
use environment::Signal;
use serde_json::json;
use std::time::Duration;

use crate::harness::{World, status, tests, uid, until};

tests![
    a_kill_between_start_and_record_leaves_one_session,
    a_kill_and_a_deletion_between_start_and_record_leave_no_session,
    a_deletion_while_the_start_is_unknown_ends_the_session,
    a_deletion_during_the_start_ends_the_session_though_starts_are_denied_after,
    a_session_whose_object_vanished_before_the_record_is_ended_at_once,
    a_session_of_an_object_that_was_made_anew_is_ended_at_once,
];

/// Sees that one session was started, and has ended.
fn one_has_ended(world: &World) -> anyhow::Result<()> {
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == 1 && world.live().is_empty(), "{sessions:?}");
    Ok(())
}

/// Holds back the reply to the next StartSession after its effect, and the operator with it.
fn hold_start(world: &World) {
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::Hang { effect: true }).times(1)]);
}

async fn a_kill_between_start_and_record_leaves_one_session(world: World) -> anyhow::Result<()> {
    hold_start(&world);
    let operator = world.operator()?;
    let object = world.create("gap").await?;
    world.until_sessions(1).await?;
    operator.end(Signal::KILL)?;
    ensure!(world.status("gap").await?.session_id.is_none(), "the id was recorded before the kill");

    let _operator = world.operator()?;
    let idle = world.until_idle("gap").await?;
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == 1, "{sessions:?}");
    ensure!(status(&idle).session_id.as_deref() == Some(&*sessions[0].session_id));
    ensure!(world.calls("StartSession").iter().all(|call| call.token.as_deref() == Some(&*uid(&object))));
    world.remove("gap").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn a_kill_and_a_deletion_between_start_and_record_leave_no_session(world: World) -> anyhow::Result<()> {
    hold_start(&world);
    let operator = world.operator()?;
    world.create("gap").await?;
    world.until_sessions(1).await?;
    operator.end(Signal::KILL)?;
    world.delete("gap").await?;

    let _operator = world.operator()?;
    world.until_gone("gap").await?;
    one_has_ended(&world)
}

async fn a_deletion_while_the_start_is_unknown_ends_the_session(world: World) -> anyhow::Result<()> {
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(2)]);
    let _operator = world.operator()?;
    world.create("gap").await?;
    world.until_sessions(1).await?;
    world.remove("gap").await?;
    one_has_ended(&world)
}

async fn a_deletion_during_the_start_ends_the_session_though_starts_are_denied_after(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    start_late(&world, "denied").await?;
    world.delete("denied").await?;
    world.until_sessions(1).await?;
    world.deny(&["StartSession"]);
    world.until_gone("denied").await?;
    ensure!(world.live().is_empty() && world.calls("StartSession").len() == 1);
    Ok(())
}

/// Creates an object whose StartSession has been called and is answered later.
async fn start_late(world: &World, name: &str) -> anyhow::Result<()> {
    let late = FaultKind::Delay { duration: Duration::from_secs(1) };
    world.emulator.set_faults(vec![Fault::new("StartSession", late).times(1)]);
    world.create(name).await?;
    until("StartSession is called", || !world.calls("StartSession").is_empty()).await
}

/// Lets StartSession answer late, and has the object go between its call and its reply.
async fn with_a_late_start(world: &World, name: &str) -> anyhow::Result<()> {
    start_late(world, name).await?;
    world.patch(name, json!({ "metadata": { "finalizers": [] } })).await?;
    world.remove(name).await
}

async fn a_session_whose_object_vanished_before_the_record_is_ended_at_once(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    with_a_late_start(&world, "gone").await?;
    until("the session was started and has been ended", || one_has_ended(&world).is_ok()).await?;
    ensure!(world.calls("TerminateSession").len() == 1);
    Ok(())
}

async fn a_session_of_an_object_that_was_made_anew_is_ended_at_once(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    with_a_late_start(&world, "anew").await?;
    let anew = world.create("anew").await?;
    let idle = world.until_idle("anew").await?;
    ensure!(uid(&idle) == uid(&anew));
    until("only the new object's session lives", || {
        let live = world.live();
        world.emulator.sessions().len() == 2
            && live.len() == 1
            && live[0].token.as_deref() == Some(&*uid(&anew))
    })
    .await
}
