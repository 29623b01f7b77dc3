//! `startupDeadlineSeconds`.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::{case, drive, idle, outlast, reach, set, starts_nothing_by_itself, state};
use crate::harness::{World, spark, tests, uid, until};
use crate::outcome::{BUSY, CREATING, EXCEEDED, FAILED, IDLE, LATE, outcome, row};

tests![
    a_session_that_does_not_start_is_ended_once_its_deadline_is_over,
    a_session_that_is_idle_just_in_time_stays,
    a_deadline_that_is_lengthened_or_removed_in_time_does_not_count,
    waiting_for_a_quota_is_not_counted,
];

const MOST: i32 = 86_400;

fn deadline(seconds: impl Into<Value>) -> Value {
    json!({ "startupDeadlineSeconds": seconds.into() })
}

async fn a_session_that_does_not_start_is_ended_once_its_deadline_is_over(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let cap = json!({ "startupDeadlineSeconds": MOST, "activeDeadlineSeconds": 1 });
    let creating = || reach(row::CREATING);
    let enters = |name, row| [creating(), state(name), reach(row)].concat();
    let short = || set(deadline(1));
    drive(
        &world,
        vec![
            case("least", deadline(1), [], LATE),
            case("absent", json!({}), [creating()], CREATING),
            case("most", deadline(MOST), [creating()], CREATING),
            case("shortened-while-creating", deadline(MOST), [creating(), short()], LATE),
            case("set-while-created", json!({}), [enters("CREATED", row::CREATED), short()], LATE),
            // Once it was idle, the deadline means nothing.
            case("shortened-while-idle", deadline(MOST), [enters("IDLE", row::IDLE), short()], IDLE),
            case("shortened-while-busy", deadline(MOST), [enters("BUSY", row::BUSY), short()], BUSY),
            // A late reply shows a state that it has left: it was ready.
            case("created-again", deadline(1), [enters("IDLE", row::IDLE), state("CREATED")], IDLE),
            case("set-after-the-end", json!({}), [enters("FAILED", row::FAILED), short()], FAILED),
            case("raised-after-the-end", deadline(1), [reach(row::LATE), set(deadline(MOST))], LATE),
            // The other deadline counts while the session starts, too.
            case("active-deadline", cap, [], EXCEEDED),
        ],
    )
    .await
}

async fn a_session_that_is_idle_just_in_time_stays(world: World) -> anyhow::Result<()> {
    // IDLE 100 ms before the deadline: whatever a look that is sent after it shows, it is not CREATED.
    world.emulator.configure(|config| {
        (config.creating, config.created) = (Duration::from_millis(500), Duration::from_millis(400));
    });
    let _operator = world.operator()?;
    let names = ["a", "b", "c", "d", "e", "f"];
    drive(&world, names.map(|name| case(name, deadline(1), [idle()], IDLE)).into()).await
}

async fn a_deadline_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let in_time = |name, change: Value| {
        case(name, deadline(8), [reach(row::CREATING), set(deadline(change))], CREATING)
    };
    outlast(
        &world,
        vec![in_time("lengthened", json!(MOST)), in_time("removed", Value::Null)],
        case("witness", deadline(8), [], LATE),
    )
    .await
}

async fn waiting_for_a_quota_is_not_counted(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    let uid = uid(&world.create_with("queued", spark(deadline(1))).await?);
    // The second try comes seconds after the first.
    until("it was refused twice", || world.calls("StartSession").len() == 2).await?;
    world.until_outcome("queued", &uid, &outcome(row::QUOTA, "attempt 0", "start 0 refused")).await?;
    world.emulator.configure(|config| config.max_sessions = None);
    let idle = outcome(row::IDLE, "attempt 0, IDLE", "start 0 refused, start 0");
    world.until_outcome("queued", &uid, &idle).await
}
