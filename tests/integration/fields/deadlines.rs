//! `activeDeadlineSeconds`.

use anyhow::ensure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::case::{
    busy, called, case, drive, ends_nothing_by_itself, failed, idle, outlast, reach, restarting, set, state,
};
use crate::harness::{World, spark, tests, until};
use crate::outcome::{BUSY, ENDED, EXCEEDED, FAILED, IDLE, outcome, row};

tests![
    a_session_is_ended_for_good_once_its_deadline_is_over,
    a_deadline_that_is_removed_once_the_session_is_being_ended_comes_too_late,
    a_deadline_that_is_lengthened_or_removed_in_time_does_not_count,
    the_deadline_counts_over_all_attempts,
    the_deadline_holds_though_athena_tells_no_start_time,
];

const MOST: i32 = 31_536_000;

fn deadline(seconds: impl Into<Value>) -> Value {
    json!({ "activeDeadlineSeconds": seconds.into() })
}

async fn a_session_is_ended_for_good_once_its_deadline_is_over(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let stopped = json!({ "activeDeadlineSeconds": 1, "restartPolicy": "OnFailure" });
    let exceeded = || reach(row::EXCEEDED);
    drive(
        &world,
        vec![
            case("least", deadline(1), [], EXCEEDED),
            case("most", deadline(MOST), [idle()], IDLE),
            case("not-restarted", stopped, [], EXCEEDED),
            case("shortened-while-idle", deadline(MOST), [idle(), set(deadline(1))], EXCEEDED),
            case("shortened-while-busy", deadline(MOST), [busy(), set(deadline(1))], EXCEEDED),
            case("lengthened-while-busy", deadline(3600), [busy(), set(deadline(MOST))], BUSY),
            // Once the session has ended, a change of the deadline does nothing.
            case("set-after-a-failure", json!({}), [failed(), set(deadline(1))], FAILED),
            case("removed-after-it", deadline(1), [exceeded(), set(deadline(Value::Null))], EXCEEDED),
            case("lengthened-after-it", deadline(1), [exceeded(), set(deadline(MOST))], EXCEEDED),
        ],
    )
    .await
}

async fn a_deadline_that_is_removed_once_the_session_is_being_ended_comes_too_late(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let too_late = |name, change: Value| {
        let exceeding = || reach(row::EXCEEDING);
        let moves = [called(ENDED), exceeding(), set(deadline(change)), exceeding(), state("TERMINATED")];
        case(name, deadline(1), moves, EXCEEDED)
    };
    drive(&world, vec![too_late("removed", Value::Null), too_late("lengthened", json!(MOST))]).await
}

async fn a_deadline_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let in_time = |name, change: Value| case(name, deadline(16), [idle(), set(deadline(change))], IDLE);
    outlast(
        &world,
        vec![in_time("lengthened", json!(MOST)), in_time("removed", Value::Null)],
        case("witness", deadline(16), [], EXCEEDED),
    )
    .await
}

async fn the_deadline_counts_over_all_attempts(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let spec = json!({ "activeDeadlineSeconds": 20, "restartPolicy": "OnFailure" });
    let attempt = "attempt 1, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded, restarts 1, after SessionFailed";
    let wanted = outcome(row::EXCEEDED, attempt, "start 0, start 1, terminate 1");
    drive(&world, vec![case("both", spec, [restarting()], wanted)]).await?;
    let status = world.status("both").await?;
    let seconds =
        |from: &Option<Time>| Some(status.end_time.as_ref()?.0.duration_since(from.as_ref()?.0).as_secs());
    // Times are whole seconds. If it counted anew, the second attempt would last at least as long as this. It lasts about 10 s, which the wait before it has
    // left, and an operator that is late has as many again.
    let whole = Some(19);
    ensure!(seconds(&status.first_start_time) >= whole, "{status:?}");
    ensure!(seconds(&status.start_time) < whole, "{status:?}");
    Ok(())
}

async fn the_deadline_holds_though_athena_tells_no_start_time(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.omit_times = vec!["StartDateTime".into()]);
    let _operator = world.operator()?;
    drive(&world, vec![case("untold", deadline(2), [idle()], EXCEEDED)]).await?;
    let over = world.status("untold").await?;
    ensure!(over.start_time.is_none() && over.first_start_time == over.attempt_time, "{over:?}");

    // A session that no look has shown is capped too.
    world.deny(&["GetSession", "GetSessionStatus"]);
    world.create_with("unseen", spark(deadline(2))).await?;
    until("the session is ended", || world.emulator.sessions().len() == 2 && world.live().is_empty()).await
}
