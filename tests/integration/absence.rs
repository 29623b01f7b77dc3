//! What proves that a session is gone, and what does not.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::{Change, Fault, FaultKind, UnknownSessionError};
use serde_json::json;

use crate::harness::{World, status, tests, until};

tests![
    a_text_about_something_else_does_not_prove_that_a_session_is_gone,
    a_list_that_does_not_find_its_work_group_proves_nothing_while_the_work_group_exists,
    a_session_that_neither_looks_nor_the_list_find_has_vanished,
    a_session_that_looks_do_not_find_and_the_list_shows_is_not_gone,
    without_the_right_to_list_a_session_has_vanished_once_athena_names_it_twice,
    without_the_right_to_list_a_text_that_only_says_so_proves_nothing,
];

fn refuse(operation: &str, message: &str) -> Fault {
    Fault::new(
        operation,
        FaultKind::Fail { status: 400, code: "InvalidRequestException".into(), message: message.into() },
    )
}

fn looks(world: &World) -> usize {
    world.calls("GetSessionStatus").len() + world.calls("GetSession").len()
}

/// Waits until so many more looks have been made.
async fn further_looks(world: &World, count: usize) -> anyhow::Result<()> {
    let before = looks(world);
    until("looks have been made", || looks(world) >= before + count).await
}

async fn a_text_about_something_else_does_not_prove_that_a_session_is_gone(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let spec = || json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" });
    for name in ["kept", "deleted"] {
        world.create_with(name, spec()).await?;
        world.until_reason(name, "SessionIdle").await?;
    }
    let text = "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 does not exist";
    let faults = ["GetSession", "GetSessionStatus", "ListSessions"].map(|operation| refuse(operation, text));
    world.emulator.set_faults(faults.into());
    world.delete("deleted").await?;
    further_looks(&world, 6).await?;
    ensure!(
        world.sessions.get_opt("deleted").await?.is_some(),
        "the object was let go though nobody saw its session end"
    );
    ensure!(world.calls("StartSession").len() == 2, "a second session was started beside a live one");
    ensure!(status(&world.sessions.get("kept").await?).end_reason.is_none());

    world.emulator.set_faults(vec![]);
    world.until_gone("deleted").await?;
    world.until_reason("kept", "SessionIdle").await?;
    ensure!(world.live().len() == 1 && world.emulator.sessions().len() == 2);
    Ok(())
}

async fn a_list_that_does_not_find_its_work_group_proves_nothing_while_the_work_group_exists(
    world: World,
) -> anyhow::Result<()> {
    let lost = Fault::new("StartSession", FaultKind::DropAfter);
    world.emulator.set_faults(vec![lost, refuse("ListSessions", "WorkGroup is not found.")]);
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create("one").await?;
    until("the list was asked for twice", || world.calls("ListSessions").len() >= 2).await?;
    ensure!(status(&world.sessions.get("one").await?).attempt == Some(0), "the attempt counts as lost");
    world.emulator.set_faults(vec![]);
    world.until_reason("one", "SessionIdle").await?;
    ensure!(
        world.emulator.sessions().len() == 1,
        "a second session was started: {:?}",
        world.emulator.sessions()
    );
    Ok(())
}

async fn a_session_that_neither_looks_nor_the_list_find_has_vanished(world: World) -> anyhow::Result<()> {
    for unknown in [UnknownSessionError::ResourceNotFound, UnknownSessionError::InvalidRequest] {
        world.emulator.configure(|config| config.unknown_session = unknown);
        let operator = world.operator_with(&["--uncertainty=1s"], &[])?;
        world.create("one").await?;
        let idle = world.until_reason("one", "SessionIdle").await?;
        world.emulator.set_state(&status(&idle).session_id.unwrap_or_default(), Change::Vanish)?;
        world.until("one", "over", |object| status(object).end_reason.is_some()).await?;
        world.delete("one").await?;
        world.until_gone("one").await?;
        drop(operator);
    }
    Ok(())
}

async fn a_session_that_looks_do_not_find_and_the_list_shows_is_not_gone(world: World) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create("one").await?;
    world.until_reason("one", "SessionIdle").await?;
    // Looks lag for as long as this test lasts, and what is to end does not.
    world
        .emulator
        .configure(|config| (config.get_lag, config.ignore_terminate) = (Duration::from_hours(1), true));
    world.delete("one").await?;
    further_looks(&world, 6).await?;
    let lists = world.calls("ListSessions").len();
    until("further lists have been read", || world.calls("ListSessions").len() >= lists + 4).await?;
    ensure!(
        world.sessions.get_opt("one").await?.is_some(),
        "the object was let go though the list shows its session"
    );
    world.emulator.configure(|config| (config.get_lag, config.ignore_terminate) = (Duration::ZERO, false));
    world.until_gone("one").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn without_the_right_to_list_a_session_has_vanished_once_athena_names_it_twice(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.deny = vec!["ListSessions".into()]);
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create("one").await?;
    let idle = world.until_reason("one", "SessionIdle").await?;
    world.emulator.set_state(&status(&idle).session_id.unwrap_or_default(), Change::Vanish)?;
    world.until("one", "over", |object| status(object).end_reason.is_some()).await?;
    world.delete("one").await?;
    world.until_gone("one").await
}

async fn without_the_right_to_list_a_text_that_only_says_so_proves_nothing(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| {
        config.deny = vec!["ListSessions".into()];
        config.unknown_session = UnknownSessionError::InvalidRequest;
    });
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create("one").await?;
    let idle = world.until_reason("one", "SessionIdle").await?;
    let lists = world.calls("ListSessions").len();
    world.emulator.set_state(&status(&idle).session_id.unwrap_or_default(), Change::Vanish)?;
    until("the list was refused twice after it", || world.calls("ListSessions").len() >= lists + 2).await?;
    ensure!(status(&world.sessions.get("one").await?).end_reason.is_none());
    Ok(())
}
