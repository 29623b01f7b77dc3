//! `startupDeadlineSeconds`.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Reach, case, drive, set, starts_nothing_by_itself, state};
use crate::harness::{World, tests, uid, until};
use crate::outcome::{outcome, row};

tests![
    a_session_that_does_not_start_is_ended_once_its_deadline_is_over,
    a_session_that_is_idle_just_in_time_stays,
    a_deadline_that_is_lengthened_or_removed_in_time_does_not_count,
    waiting_for_a_quota_is_not_counted,
];

const LATE: &str = "attempt 0, TERMINATED, stopCause StartupDeadline, endReason StartupDeadlineExceeded";
const ENDED: &str = "start 0, terminate 0";

fn deadline(seconds: i32) -> Value {
    json!({ "startupDeadlineSeconds": seconds })
}

async fn a_session_that_does_not_start_is_ended_once_its_deadline_is_over(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let cap = json!({ "startupDeadlineSeconds": 86_400, "activeDeadlineSeconds": 1 });
    let exceeded = "attempt 0, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded";
    let creating = "attempt 0, CREATING";
    drive(
        &world,
        vec![
            case("least", deadline(1), [], row::LATE, LATE, ENDED),
            case("absent", json!({}), [Reach(row::CREATING)], row::CREATING, creating, "start 0"),
            case("most", deadline(86_400), [Reach(row::CREATING)], row::CREATING, creating, "start 0"),
            case(
                "shortened-while-creating",
                deadline(86_400),
                [Reach(row::CREATING), set(deadline(1))],
                row::LATE,
                LATE,
                ENDED,
            ),
            case(
                "set-while-created",
                json!({}),
                [Reach(row::CREATING), state("CREATED"), Reach(row::CREATED), set(deadline(1))],
                row::LATE,
                LATE,
                ENDED,
            ),
            // Once it was idle, the deadline means nothing.
            case(
                "shortened-while-idle",
                deadline(86_400),
                [Reach(row::CREATING), state("IDLE"), Reach(row::IDLE), set(deadline(1))],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0",
            ),
            case(
                "shortened-while-busy",
                deadline(86_400),
                [Reach(row::CREATING), state("BUSY"), Reach(row::BUSY), set(deadline(1))],
                row::BUSY,
                "attempt 0, BUSY",
                "start 0",
            ),
            // A late reply shows a state that it has left: it was ready.
            case(
                "created-again-after-idle",
                deadline(1),
                [Reach(row::CREATING), state("IDLE"), Reach(row::IDLE), state("CREATED")],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0",
            ),
            case(
                "set-after-the-end",
                json!({}),
                [Reach(row::CREATING), state("FAILED"), Reach(row::FAILED), set(deadline(1))],
                row::FAILED,
                "attempt 0, FAILED, endReason SessionFailed",
                "start 0",
            ),
            case(
                "raised-after-the-end",
                deadline(1),
                [Reach(row::LATE), set(deadline(86_400))],
                row::LATE,
                LATE,
                ENDED,
            ),
            // The other deadline counts while the session starts, too.
            case("active-deadline", cap, [], row::EXCEEDED, exceeded, ENDED),
        ],
    )
    .await
}

async fn a_session_that_is_idle_just_in_time_stays(world: World) -> anyhow::Result<()> {
    // IDLE 100 ms before the deadline: whatever a look that is sent after it shows, it is not CREATED.
    world.emulator.configure(|config| {
        (config.creating, config.created) = (Duration::from_millis(500), Duration::from_millis(400))
    });
    let _operator = world.operator()?;
    let names = ["a", "b", "c", "d", "e", "f"];
    drive(
        &world,
        names
            .map(|name| case(name, deadline(1), [Reach(row::IDLE)], row::IDLE, "attempt 0, IDLE", "start 0"))
            .into(),
    )
    .await
}

async fn a_deadline_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let creating = outcome(row::CREATING, "attempt 0, CREATING", "start 0");
    let spec = || json!({ "workGroup": "spark-35", "startupDeadlineSeconds": 8 });
    let mut made = Vec::new();
    for (name, change) in [("lengthened", json!(86_400)), ("removed", Value::Null)] {
        let uid = uid(&world.create_with(name, spec()).await?);
        world.until_reason(name, "SessionCreating").await?;
        world.patch(name, json!({ "spec": { "startupDeadlineSeconds": change } })).await?;
        world.until_outcome(name, &uid, |found| *found == creating, &creating).await?;
        made.push((name, uid));
    }
    // It starts after the others: when its deadline is over, theirs would be too.
    let late = outcome(row::LATE, LATE, ENDED);
    let uid = uid(&world.create_with("witness", spec()).await?);
    world.until_outcome("witness", &uid, |found| *found == late, &late).await?;
    for (name, uid) in made {
        let found = world.outcome(name, &uid).await?;
        anyhow::ensure!(found == creating, "{name}\n  is {found}\n not {creating}");
    }
    Ok(())
}

async fn waiting_for_a_quota_is_not_counted(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    let uid = uid(&world
        .create_with("queued", json!({ "workGroup": "spark-35", "startupDeadlineSeconds": 1 }))
        .await?);
    // The second try comes seconds after the first.
    until("it was refused twice", || world.calls("StartSession").len() == 2).await?;
    let queued = outcome(row::QUOTA, "attempt 0", "start 0 refused");
    world.until_outcome("queued", &uid, |found| *found == queued, &queued).await?;
    world.emulator.configure(|config| config.max_sessions = None);
    let idle = outcome(row::IDLE, "attempt 0, IDLE", "start 0 refused, start 0");
    world.until_outcome("queued", &uid, |found| *found == idle, &idle).await
}
