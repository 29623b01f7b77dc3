//! `deletionPolicy`, and what changes of the others do to an object that is being deleted.

use anyhow::ensure;
use serde_json::{Value, json};

use super::case::{
    Moves, called, case, delete, drive, ends_nothing_by_itself, failed, idle, reach, set,
    starts_nothing_by_itself, state, suspend,
};
use crate::harness::{World, tests, uid};
use crate::outcome::{ENDED, EXCEEDED, GONE, GONE_ALONE, GONE_UNSTARTED, SUSPENDED, row};

tests![
    the_policy_counts_that_holds_when_the_object_is_deleted,
    retain_lets_go_of_a_session_that_starts,
    retain_lets_go_of_an_object_that_waits_for_its_session_to_end,
    retain_that_is_set_back_unseen_has_no_effect,
    nothing_but_retain_changes_a_deletion,
];

fn policy(policy: impl Into<Value>) -> Moves {
    set(json!({ "deletionPolicy": policy.into() }))
}

/// Has the session be ended for the deletion of its object, which waits for it.
fn deleting() -> Moves {
    [idle(), delete(), called(ENDED), reach(row::DELETING)].concat()
}

async fn the_policy_counts_that_holds_when_the_object_is_deleted(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let retain = || json!({ "deletionPolicy": "Retain" });
    let resting = json!({ "deletionPolicy": "Retain", "suspend": true });
    let capped = json!({ "deletionPolicy": "Retain", "activeDeadlineSeconds": 1 });
    drive(
        &world,
        vec![
            case("set-while-idle", json!({}), [idle(), policy("Retain"), idle(), delete()], GONE_ALONE),
            case("unseen", json!({}), [idle(), policy("Retain"), delete()], GONE_ALONE),
            case("set-back", retain(), [idle(), policy("Terminate"), delete()], GONE),
            case("removed", retain(), [idle(), policy(Value::Null), delete()], GONE),
            // It is about deletion alone.
            case("suspended", retain(), [idle(), suspend()], SUSPENDED),
            case("capped", capped, [], EXCEEDED),
            case("finished", retain(), [failed(), delete()], GONE_ALONE),
            case("never-started", resting, [reach(row::SUSPENDED), delete()], GONE_UNSTARTED),
        ],
    )
    .await?;
    ensure!(world.live().len() == 2, "the two that were retained: {:?}", world.live());
    Ok(())
}

async fn retain_lets_go_of_a_session_that_starts(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let creating = || reach(row::CREATING);
    drive(
        &world,
        vec![
            case("retained", json!({}), [creating(), policy("Retain"), delete()], GONE_ALONE),
            case("terminated", json!({}), [creating(), delete()], GONE),
        ],
    )
    .await?;
    ensure!(world.live().len() == 1, "{:?}", world.live());
    Ok(())
}

async fn retain_lets_go_of_an_object_that_waits_for_its_session_to_end(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    drive(&world, vec![case("hangs", json!({}), [deleting(), policy("Retain")], GONE)]).await?;
    ensure!(world.emulator.sessions()[0].state == "TERMINATING");
    Ok(())
}

async fn retain_that_is_set_back_unseen_has_no_effect(world: World) -> anyhow::Result<()> {
    let operator = world.lasting_operator()?;
    world.idle("unseen").await?;
    let uid = uid(&world.sessions.get("unseen").await?);
    drop(operator);
    world.delete("unseen").await?;
    for policy in ["Retain", "Terminate"] {
        world.set("unseen", json!({ "deletionPolicy": policy })).await?;
    }
    let _operator = world.lasting_operator()?;
    world.until_outcome("unseen", &uid, &GONE).await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn nothing_but_retain_changes_a_deletion(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let changed = |name, change| {
        let moves = [deleting(), set(change), reach(row::DELETING), state("TERMINATED")];
        case(name, json!({}), moves, GONE)
    };
    drive(
        &world,
        vec![
            changed("suspend", json!({ "suspend": true })),
            changed("restart-policy", json!({ "restartPolicy": "OnFailure" })),
            changed("max-restarts", json!({ "maxRestarts": 10_000 })),
            changed("startup-deadline", json!({ "startupDeadlineSeconds": 1 })),
            changed("active-deadline", json!({ "activeDeadlineSeconds": 1 })),
            changed("ttl", json!({ "ttlSecondsAfterFinished": 0 })),
            changed("terminate", json!({ "deletionPolicy": "Terminate" })),
        ],
    )
    .await
}
