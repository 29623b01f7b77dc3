//! What proves that a session is gone, and what does not.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::{Change, Fault, FaultKind, UnknownSessionError};
use serde_json::json;

use crate::harness::{World, refusal, spark, tests, until};

tests![
    a_text_about_something_else_does_not_prove_that_a_session_is_gone,
    a_list_that_does_not_find_its_work_group_proves_nothing_while_the_work_group_exists,
    a_session_that_neither_looks_nor_the_list_find_has_vanished,
    a_session_that_looks_do_not_find_and_the_list_shows_is_not_gone,
    without_the_right_to_list_a_session_has_vanished_once_athena_names_it_twice,
    without_the_right_to_list_a_text_that_only_says_so_proves_nothing,
];

/// Waits until so many more looks have been made.
async fn further_looks(world: &World, count: usize) -> anyhow::Result<()> {
    let before = world.looks();
    until("looks have been made", || world.looks() >= before + count).await
}

async fn a_text_about_something_else_does_not_prove_that_a_session_is_gone(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    for name in ["kept", "deleted"] {
        world.idle_with(name, spark(json!({ "restartPolicy": "OnFailure" }))).await?;
    }
    let text = "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 does not exist";
    let faults = ["GetSession", "GetSessionStatus", "ListSessions"]
        .map(|operation| refusal(operation, "InvalidRequestException", text));
    world.emulator.set_faults(faults.into());
    world.delete("deleted").await?;
    further_looks(&world, 6).await?;
    let kept = world.sessions.get_opt("deleted").await?;
    ensure!(kept.is_some(), "the object was let go though nobody saw its session end");
    ensure!(world.calls("StartSession").len() == 2, "a second session was started beside a live one");
    ensure!(world.status("kept").await?.end_reason.is_none());

    world.clear_faults();
    world.until_gone("deleted").await?;
    world.until_idle("kept").await?;
    ensure!(world.live().len() == 1 && world.emulator.sessions().len() == 2);
    Ok(())
}

async fn a_list_that_does_not_find_its_work_group_proves_nothing_while_the_work_group_exists(
    world: World,
) -> anyhow::Result<()> {
    let lost = Fault::new("StartSession", FaultKind::DropAfter);
    let not_found = refusal("ListSessions", "InvalidRequestException", "WorkGroup is not found.");
    world.emulator.set_faults(vec![lost, not_found]);
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create("one").await?;
    until("the list was asked for twice", || world.calls("ListSessions").len() >= 2).await?;
    ensure!(world.status("one").await?.attempt == Some(0), "the attempt counts as lost");
    world.clear_faults();
    world.until_idle("one").await?;
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == 1, "a second session was started: {sessions:?}");
    Ok(())
}

async fn a_session_that_neither_looks_nor_the_list_find_has_vanished(world: World) -> anyhow::Result<()> {
    for unknown in [UnknownSessionError::ResourceNotFound, UnknownSessionError::InvalidRequest] {
        world.emulator.configure(|config| config.unknown_session = unknown);
        vanishes(&world).await?;
    }
    Ok(())
}

/// Has a session vanish, whose object takes note of it and can go.
async fn vanishes(world: &World) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let id = world.idle("one").await?;
    world.change(&id, Change::Vanish)?;
    world.until_over("one").await?;
    world.remove("one").await
}

async fn a_session_that_looks_do_not_find_and_the_list_shows_is_not_gone(world: World) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.idle("one").await?;
    // Looks lag for as long as this test lasts, and what is to end does not.
    let lag = |lag, ignored| {
        world.emulator.configure(|config| (config.get_lag, config.ignore_terminate) = (lag, ignored));
    };
    lag(Duration::from_hours(1), true);
    world.delete("one").await?;
    further_looks(&world, 6).await?;
    world.further_calls("ListSessions", 4).await?;
    let kept = world.sessions.get_opt("one").await?;
    ensure!(kept.is_some(), "the object was let go though the list shows its session");
    lag(Duration::ZERO, false);
    world.until_gone("one").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn without_the_right_to_list_a_session_has_vanished_once_athena_names_it_twice(
    world: World,
) -> anyhow::Result<()> {
    world.deny(&["ListSessions"]);
    vanishes(&world).await
}

async fn without_the_right_to_list_a_text_that_only_says_so_proves_nothing(
    world: World,
) -> anyhow::Result<()> {
    world.deny(&["ListSessions"]);
    world.emulator.configure(|config| config.unknown_session = UnknownSessionError::InvalidRequest);
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let id = world.idle("one").await?;
    world.change(&id, Change::Vanish)?;
    world.further_calls("ListSessions", 2).await?;
    ensure!(world.status("one").await?.end_reason.is_none());
    Ok(())
}
