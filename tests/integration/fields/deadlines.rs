//! `activeDeadlineSeconds`.

use anyhow::ensure;
use serde_json::{Value, json};

use super::case::{Called, Reach, case, drive, ends_nothing_by_itself, set, state};
use crate::harness::{World, status, tests, uid};
use crate::outcome::{outcome, row};

tests![
    a_session_is_ended_for_good_once_its_deadline_is_over,
    a_deadline_that_is_removed_once_the_session_is_being_ended_comes_too_late,
    a_deadline_that_is_lengthened_or_removed_in_time_does_not_count,
    the_deadline_counts_over_all_attempts,
];

const EXCEEDED: &str = "attempt 0, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded";
const ENDED: &str = "start 0, terminate 0";
const MOST: i32 = 31_536_000;

fn deadline(seconds: impl Into<Value>) -> Value {
    json!({ "activeDeadlineSeconds": seconds.into() })
}

async fn a_session_is_ended_for_good_once_its_deadline_is_over(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let failed = "attempt 0, FAILED, endReason SessionFailed";
    let stopped = json!({ "activeDeadlineSeconds": 1, "restartPolicy": "OnFailure" });
    drive(
        &world,
        vec![
            case("least", deadline(1), [], row::EXCEEDED, EXCEEDED, ENDED),
            case("most", deadline(MOST), [Reach(row::IDLE)], row::IDLE, "attempt 0, IDLE", "start 0"),
            case("not-restarted", stopped, [], row::EXCEEDED, EXCEEDED, ENDED),
            case(
                "shortened-while-idle",
                deadline(MOST),
                [Reach(row::IDLE), set(deadline(1))],
                row::EXCEEDED,
                EXCEEDED,
                ENDED,
            ),
            case(
                "shortened-while-busy",
                deadline(MOST),
                [Reach(row::IDLE), state("BUSY"), Reach(row::BUSY), set(deadline(1))],
                row::EXCEEDED,
                EXCEEDED,
                ENDED,
            ),
            case(
                "lengthened-while-busy",
                deadline(3600),
                [Reach(row::IDLE), state("BUSY"), Reach(row::BUSY), set(deadline(MOST))],
                row::BUSY,
                "attempt 0, BUSY",
                "start 0",
            ),
            // Once the session has ended, a change of the deadline does nothing.
            case(
                "set-after-a-failure",
                json!({}),
                [Reach(row::IDLE), state("FAILED"), Reach(row::FAILED), set(deadline(1))],
                row::FAILED,
                failed,
                "start 0",
            ),
            case(
                "removed-after-it",
                deadline(1),
                [Reach(row::EXCEEDED), set(deadline(Value::Null))],
                row::EXCEEDED,
                EXCEEDED,
                ENDED,
            ),
            case(
                "lengthened-after-it",
                deadline(1),
                [Reach(row::EXCEEDED), set(deadline(MOST))],
                row::EXCEEDED,
                EXCEEDED,
                ENDED,
            ),
        ],
    )
    .await
}

async fn a_deadline_that_is_removed_once_the_session_is_being_ended_comes_too_late(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let too_late = |change: Value| {
        [Called(ENDED), Reach(row::EXCEEDING), set(change), Reach(row::EXCEEDING), state("TERMINATED")]
    };
    drive(
        &world,
        vec![
            case("removed", deadline(1), too_late(deadline(Value::Null)), row::EXCEEDED, EXCEEDED, ENDED),
            case("lengthened", deadline(1), too_late(deadline(MOST)), row::EXCEEDED, EXCEEDED, ENDED),
        ],
    )
    .await
}

async fn a_deadline_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let idle = outcome(row::IDLE, "attempt 0, IDLE", "start 0");
    let spec = || json!({ "workGroup": "spark-35", "activeDeadlineSeconds": 16 });
    let mut made = Vec::new();
    for (name, change) in [("lengthened", json!(MOST)), ("removed", Value::Null)] {
        let uid = uid(&world.create_with(name, spec()).await?);
        world.until_reason(name, "SessionIdle").await?;
        world.patch(name, json!({ "spec": deadline(change) })).await?;
        world.until_outcome(name, &uid, |found| *found == idle, &idle).await?;
        made.push((name, uid));
    }
    // It starts after the others: when its deadline is over, theirs would be too.
    let exceeded = outcome(row::EXCEEDED, EXCEEDED, ENDED);
    let uid = uid(&world.create_with("witness", spec()).await?);
    world.until_outcome("witness", &uid, |found| *found == exceeded, &exceeded).await?;
    for (name, uid) in made {
        let found = world.outcome(name, &uid).await?;
        ensure!(found == idle, "{name}\n  is {found}\n not {idle}");
    }
    Ok(())
}

async fn the_deadline_counts_over_all_attempts(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let spec = json!({ "activeDeadlineSeconds": 20, "restartPolicy": "OnFailure" });
    let attempt = "attempt 1, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded, restarts 1, after SessionFailed";
    let calls = "start 0, start 1, terminate 1";
    drive(
        &world,
        vec![case(
            "both",
            spec,
            [Reach(row::IDLE), state("FAILED"), Reach(row::RESTARTING)],
            row::EXCEEDED,
            attempt,
            calls,
        )],
    )
    .await?;
    let status = status(&world.sessions.get("both").await?);
    let seconds = |from: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        Some(status.end_time.as_ref()?.0.duration_since(from.as_ref()?.0).as_secs())
    };
    // Times are whole seconds. If it counted anew, the second attempt would last at least as long as this. It lasts about 10 s, which the wait before it has
    // left, and an operator that is late has as many again.
    let whole = Some(19);
    ensure!(seconds(&status.first_start_time) >= whole, "{status:?}");
    ensure!(seconds(&status.start_time) < whole, "{status:?}");
    Ok(())
}
