//! `deletionPolicy`, and what changes of the others do to an object that is being deleted.

use anyhow::ensure;
use serde_json::{Value, json};

use super::case::{
    Called, Delete, Move, Reach, case, drive, ends_nothing_by_itself, set, starts_nothing_by_itself, state,
};
use crate::harness::{World, tests, uid};
use crate::outcome::{outcome, row};

tests![
    the_policy_counts_that_holds_when_the_object_is_deleted,
    retain_lets_go_of_a_session_that_starts,
    retain_lets_go_of_an_object_that_waits_for_its_session_to_end,
    retain_that_is_set_back_unseen_has_no_effect,
    nothing_but_retain_changes_a_deletion,
];

const ENDED: &str = "start 0, terminate 0";

fn policy(policy: impl Into<Value>) -> Move {
    set(json!({ "deletionPolicy": policy.into() }))
}

async fn the_policy_counts_that_holds_when_the_object_is_deleted(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let retain = || json!({ "deletionPolicy": "Retain" });
    let suspended = "attempt 0, TERMINATED, stopCause Suspended, endReason Suspended";
    let exceeded = "attempt 0, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded";
    drive(
        &world,
        vec![
            case(
                "set-while-idle",
                json!({}),
                [Reach(row::IDLE), policy("Retain"), Reach(row::IDLE), Delete],
                row::GONE,
                "",
                "start 0",
            ),
            case("unseen", json!({}), [Reach(row::IDLE), policy("Retain"), Delete], row::GONE, "", "start 0"),
            case("set-back", retain(), [Reach(row::IDLE), policy("Terminate"), Delete], row::GONE, "", ENDED),
            case("removed", retain(), [Reach(row::IDLE), policy(Value::Null), Delete], row::GONE, "", ENDED),
            // It is about deletion alone.
            case(
                "suspended",
                retain(),
                [Reach(row::IDLE), set(json!({ "suspend": true }))],
                row::SUSPENDED,
                suspended,
                ENDED,
            ),
            case(
                "capped",
                json!({ "deletionPolicy": "Retain", "activeDeadlineSeconds": 1 }),
                [],
                row::EXCEEDED,
                exceeded,
                ENDED,
            ),
            case(
                "finished",
                retain(),
                [Reach(row::IDLE), state("FAILED"), Reach(row::FAILED), Delete],
                row::GONE,
                "",
                "start 0",
            ),
            case(
                "never-started",
                json!({ "deletionPolicy": "Retain", "suspend": true }),
                [Reach(row::SUSPENDED), Delete],
                row::GONE,
                "",
                "",
            ),
        ],
    )
    .await?;
    ensure!(world.live().len() == 2, "the two that were retained: {:?}", world.live());
    Ok(())
}

async fn retain_lets_go_of_a_session_that_starts(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    drive(
        &world,
        vec![
            case(
                "retained",
                json!({}),
                [Reach(row::CREATING), policy("Retain"), Delete],
                row::GONE,
                "",
                "start 0",
            ),
            case("terminated", json!({}), [Reach(row::CREATING), Delete], row::GONE, "", ENDED),
        ],
    )
    .await?;
    ensure!(world.live().len() == 1, "{:?}", world.live());
    Ok(())
}

async fn retain_lets_go_of_an_object_that_waits_for_its_session_to_end(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let deleted = || [Reach(row::IDLE), Delete, Called(ENDED), Reach(row::DELETING), policy("Retain")];
    drive(&world, vec![case("hangs", json!({}), deleted(), row::GONE, "", ENDED)]).await?;
    ensure!(world.emulator.sessions()[0].state == "TERMINATING");
    Ok(())
}

async fn retain_that_is_set_back_unseen_has_no_effect(world: World) -> anyhow::Result<()> {
    let operator = world.lasting_operator()?;
    let uid = uid(&world.create("unseen").await?);
    world.until_reason("unseen", "SessionIdle").await?;
    drop(operator);
    world.delete("unseen").await?;
    for policy in ["Retain", "Terminate"] {
        world.patch("unseen", json!({ "spec": { "deletionPolicy": policy } })).await?;
    }
    let _operator = world.lasting_operator()?;
    let gone = outcome(row::GONE, "", ENDED);
    world.until_outcome("unseen", &uid, |found| *found == gone, &gone).await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn nothing_but_retain_changes_a_deletion(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let deleting = |change: Value| {
        let change = set(change);
        [
            Reach(row::IDLE),
            Delete,
            Called(ENDED),
            Reach(row::DELETING),
            change,
            Reach(row::DELETING),
            state("TERMINATED"),
        ]
    };
    let case = |name, change| case(name, json!({}), deleting(change), row::GONE, "", ENDED);
    drive(
        &world,
        vec![
            case("suspend", json!({ "suspend": true })),
            case("restart-policy", json!({ "restartPolicy": "OnFailure" })),
            case("max-restarts", json!({ "maxRestarts": 10_000 })),
            case("startup-deadline", json!({ "startupDeadlineSeconds": 1 })),
            case("active-deadline", json!({ "activeDeadlineSeconds": 1 })),
            case("ttl", json!({ "ttlSecondsAfterFinished": 0 })),
            case("terminate", json!({ "deletionPolicy": "Terminate" })),
        ],
    )
    .await
}
