//! `ttlSecondsAfterFinished`.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Change;
use athena_operator::controller::writes;
use athena_operator::session::pass::Written;
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::case::{Reach, case, drive, ended_outside, set, state};
use crate::harness::{World, status, tests, uid};
use crate::outcome::{outcome, row};

tests![
    an_object_that_has_finished_deletes_itself_and_no_other_does,
    a_time_that_is_lengthened_or_removed_in_time_does_not_count,
    a_deletion_holds_only_for_the_object_as_it_was_read,
    whatever_comes_before_the_deletion_wins,
];

const FAILED: &str = "attempt 0, FAILED, endReason SessionFailed";
const MOST: i32 = 31_536_000;

fn ttl(seconds: i32) -> Value {
    json!({ "ttlSecondsAfterFinished": seconds })
}

async fn an_object_that_has_finished_deletes_itself_and_no_other_does(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let fail = || state("FAILED");
    let suspend = || set(json!({ "suspend": true }));
    let rejected = json!({ "ttlSecondsAfterFinished": 0, "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let ended = "start 0, terminate 0";
    drive(
        &world,
        vec![
            // However it has finished.
            case("failed", ttl(0), [Reach(row::IDLE), fail()], row::GONE, "", "start 0"),
            case("ended-outside", ttl(0), [Reach(row::IDLE), ended_outside()], row::GONE, "", "start 0"),
            case(
                "past-its-deadline",
                json!({ "ttlSecondsAfterFinished": 0, "activeDeadlineSeconds": 1 }),
                [],
                row::GONE,
                "",
                ended,
            ),
            case("rejected", rejected, [], row::GONE, "", ""),
            case(
                "retained",
                json!({ "ttlSecondsAfterFinished": 0, "deletionPolicy": "Retain" }),
                [Reach(row::IDLE), fail()],
                row::GONE,
                "",
                "start 0",
            ),
            case(
                "no-restart-left",
                json!({ "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure", "maxRestarts": 0 }),
                [Reach(row::IDLE), fail()],
                row::GONE,
                "",
                "start 0",
            ),
            case("most", ttl(MOST), [Reach(row::IDLE), fail()], row::FAILED, FAILED, "start 0"),
            // Set after the end.
            case(
                "set-late",
                json!({}),
                [Reach(row::IDLE), fail(), Reach(row::FAILED), set(ttl(0))],
                row::GONE,
                "",
                "start 0",
            ),
            case(
                "shortened-late",
                ttl(MOST),
                [Reach(row::IDLE), fail(), Reach(row::FAILED), set(ttl(1))],
                row::GONE,
                "",
                "start 0",
            ),
            case(
                "most-late",
                json!({}),
                [Reach(row::IDLE), fail(), Reach(row::FAILED), set(ttl(MOST))],
                row::FAILED,
                FAILED,
                "start 0",
            ),
            // What has not finished.
            case("lives", ttl(0), [Reach(row::IDLE)], row::IDLE, "attempt 0, IDLE", "start 0"),
            case(
                "set-while-busy",
                json!({}),
                [Reach(row::IDLE), state("BUSY"), Reach(row::BUSY), set(ttl(0))],
                row::BUSY,
                "attempt 0, BUSY",
                "start 0",
            ),
            case(
                "suspended",
                ttl(0),
                [Reach(row::IDLE), suspend()],
                row::SUSPENDED,
                "attempt 0, TERMINATED, stopCause Suspended, endReason Suspended",
                ended,
            ),
            case(
                "never-started",
                json!({ "ttlSecondsAfterFinished": 0, "suspend": true }),
                [],
                row::SUSPENDED,
                "none",
                "",
            ),
            case(
                "resumed",
                ttl(0),
                [Reach(row::IDLE), suspend(), Reach(row::SUSPENDED), set(json!({ "suspend": false }))],
                row::IDLE,
                "attempt 1, IDLE, after Suspended",
                "start 0, terminate 0, start 1",
            ),
            case(
                "restarts",
                json!({ "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure" }),
                [Reach(row::IDLE), fail(), Reach(row::RESTARTING)],
                row::IDLE,
                "attempt 1, IDLE, restarts 1, after SessionFailed",
                "start 0, start 1",
            ),
        ],
    )
    .await
}

/// An object with a failed session and this time to live.
async fn failed(world: &World, name: &str, seconds: i32) -> anyhow::Result<String> {
    let uid = uid(&world
        .create_with(name, json!({ "workGroup": "spark-35", "ttlSecondsAfterFinished": seconds }))
        .await?);
    world.until_reason(name, "SessionIdle").await?;
    let id = world.sessions_of(&uid)[0].session_id.clone();
    world.emulator.set_state(&id, Change::State { state: "FAILED".into(), reason: None })?;
    world.until_reason(name, "SessionFailed").await?;
    Ok(uid)
}

async fn a_time_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let wanted = outcome(row::FAILED, FAILED, "start 0");
    let mut made = Vec::new();
    for (name, change) in [("lengthened", json!(MOST)), ("removed", Value::Null)] {
        let uid = failed(&world, name, 8).await?;
        world.patch(name, json!({ "spec": { "ttlSecondsAfterFinished": change } })).await?;
        made.push((name, uid));
    }
    // It fails after the others: when its time is over, theirs would be too.
    failed(&world, "witness", 8).await?;
    world.until_gone("witness").await?;
    for (name, uid) in made {
        world.until_outcome(name, &uid, |found| *found == wanted, &wanted).await?;
    }
    Ok(())
}

async fn a_deletion_holds_only_for_the_object_as_it_was_read(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    failed(&world, "raced", MOST).await?;
    drop(operator);
    let read = world.sessions.get("raced").await?;
    world.patch("raced", json!({ "spec": { "suspend": true } })).await?;
    let written = writes::delete(&world.client, &read).await?;
    ensure!(matches!(written, Written::Conflict), "{written:?}");
    let kept = world.sessions.get("raced").await?;
    ensure!(kept.metadata.deletion_timestamp.is_none() && kept.spec.suspend);
    // Made anew under its name, it is another object.
    let mut namesake = kept.clone();
    namesake.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    ensure!(matches!(writes::delete(&world.client, &namesake).await?, Written::Conflict));
    ensure!(world.sessions.get("raced").await?.metadata.deletion_timestamp.is_none());
    ensure!(matches!(writes::delete(&world.client, &kept).await?, Written::Yes(_)));
    ensure!(world.sessions.get("raced").await?.metadata.deletion_timestamp.is_some());
    Ok(())
}

async fn whatever_comes_before_the_deletion_wins(world: World) -> anyhow::Result<()> {
    /// Objects are suspended from so much before the end of their time to so much after it.
    const AROUND: Duration = Duration::from_millis(30);
    let _operator = world.operator()?;
    let results = join_all((0..16_u32).map(async |number| {
        let name = format!("raced-{number}");
        let uid = failed(&world, &name, 4).await?;
        let over = status(&world.sessions.get(&name).await?)
            .end_time
            .map(|time| time.0 + Duration::from_secs(4))
            .unwrap_or_default();
        let moment = over - AROUND + AROUND * number / 8;
        tokio::time::sleep(Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default())
            .await;
        let patched = world.patch(&name, json!({ "spec": { "suspend": true } })).await;
        if patched.is_ok_and(|object| object.metadata.deletion_timestamp.is_none()) {
            let attempt = "attempt 0, FAILED, stopCause Suspended, endReason SessionFailed";
            let kept = outcome(row::SUSPENDED, attempt, "start 0");
            world.until_outcome(&name, &uid, |found| *found == kept, &kept).await?;
        } else {
            world.until_gone(&name).await?;
        }
        anyhow::Ok(())
    }))
    .await;
    results.into_iter().collect()
}
