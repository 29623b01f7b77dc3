//! `ttlSecondsAfterFinished`.

use std::time::Duration;

use anyhow::ensure;
use athena_operator::controller::writes;
use athena_operator::session::pass::Written;
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::case::{
    busy, case, drive, end_outside, fail, failed, idle, outlast, restarting, resume, set, suspend, suspended,
};
use crate::harness::{World, spark, tests, uid};
use crate::outcome::{
    BUSY, FAILED, FAILED_AND_SUSPENDED, GONE, GONE_ALONE, GONE_UNSTARTED, IDLE, NEVER_STARTED, RESTARTED,
    RESUMED, RESUMED_AFTER_FAILURE, SUSPENDED,
};

tests![
    an_object_that_has_finished_deletes_itself_and_no_other_does,
    a_time_that_is_lengthened_or_removed_in_time_does_not_count,
    a_deletion_holds_only_for_the_object_as_it_was_read,
    whatever_comes_before_the_deletion_wins,
];

const MOST: i32 = 31_536_000;

fn ttl(seconds: impl Into<Value>) -> Value {
    json!({ "ttlSecondsAfterFinished": seconds.into() })
}

async fn an_object_that_has_finished_deletes_itself_and_no_other_does(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let rejected = json!({ "ttlSecondsAfterFinished": 0, "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let capped = json!({ "ttlSecondsAfterFinished": 0, "activeDeadlineSeconds": 1 });
    let retained = json!({ "ttlSecondsAfterFinished": 0, "deletionPolicy": "Retain" });
    let not_again = json!({ "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure", "maxRestarts": 0 });
    let again = json!({ "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure" });
    let resting = json!({ "ttlSecondsAfterFinished": 0, "suspend": true });
    drive(
        &world,
        vec![
            // However it has finished.
            case("failed", ttl(0), [fail()], GONE_ALONE),
            case("ended-outside", ttl(0), [end_outside()], GONE_ALONE),
            case("past-its-deadline", capped, [], GONE),
            case("rejected", rejected, [], GONE_UNSTARTED),
            case("retained", retained, [fail()], GONE_ALONE),
            case("no-restart-left", not_again, [fail()], GONE_ALONE),
            case("most", ttl(MOST), [fail()], FAILED),
            // Set after the end.
            case("set-late", json!({}), [failed(), set(ttl(0))], GONE_ALONE),
            case("shortened-late", ttl(MOST), [failed(), set(ttl(1))], GONE_ALONE),
            case("most-late", json!({}), [failed(), set(ttl(MOST))], FAILED),
            // What has not finished.
            case("lives", ttl(0), [idle()], IDLE),
            case("set-while-busy", json!({}), [busy(), set(ttl(0))], BUSY),
            case("suspended", ttl(0), [idle(), suspend()], SUSPENDED),
            case("never-started", resting, [], NEVER_STARTED),
            case("resumed", ttl(0), [idle(), suspended(), resume()], RESUMED),
            case("resumed-in-time", ttl(4), [failed(), suspended(), resume()], RESUMED_AFTER_FAILURE),
            case("restarts", again, [restarting()], RESTARTED),
        ],
    )
    .await
}

async fn a_time_that_is_lengthened_or_removed_in_time_does_not_count(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let in_time = |name, change: Value| case(name, ttl(8), [failed(), set(ttl(change))], FAILED);
    outlast(
        &world,
        vec![in_time("lengthened", json!(MOST)), in_time("removed", Value::Null)],
        case("witness", ttl(8), [failed()], GONE_ALONE),
    )
    .await
}

/// Creates an object with a failed session and this time to live.
async fn failed_object(world: &World, name: &str, seconds: i32) -> anyhow::Result<()> {
    let id = world.idle_with(name, spark(ttl(seconds))).await?;
    world.enter(&id, "FAILED")?;
    world.until_reason(name, "SessionFailed").await?;
    Ok(())
}

async fn a_deletion_holds_only_for_the_object_as_it_was_read(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    failed_object(&world, "raced", MOST).await?;
    drop(operator);
    let read = world.sessions.get("raced").await?;
    world.set("raced", json!({ "suspend": true })).await?;
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
        failed_object(&world, &name, 4).await?;
        let object = world.sessions.get(&name).await?;
        let end = crate::harness::status(&object).end_time.map(|time| time.0).unwrap_or_default();
        let moment = end + Duration::from_secs(4) - AROUND + AROUND * number / 8;
        tokio::time::sleep(Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default())
            .await;
        let patched = world.set(&name, json!({ "suspend": true })).await;
        if patched.is_ok_and(|object| object.metadata.deletion_timestamp.is_none()) {
            world.until_outcome(&name, &uid(&object), &FAILED_AND_SUSPENDED).await
        } else {
            world.until_gone(&name).await
        }
    }))
    .await;
    results.into_iter().collect()
}
