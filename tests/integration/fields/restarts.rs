//! `restartPolicy` and `maxRestarts`.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Change;
use serde_json::{Value, json};

use super::case::{
    busy, case, drive, end_outside, fail, failed, idle, outlast, reach, restarting, set, state, suspend,
};
use crate::harness::{World, has, spark, tests};
use crate::outcome::{FAILED, FAILED_AND_SUSPENDED, GONE_ALONE, INVALID, RESTARTED, STARTED, outcome, row};

tests![
    failures_are_restarted_as_far_as_asked,
    an_idle_timeout_is_not_restarted,
    a_restart_that_waits_can_be_taken_back,
    while_a_restart_waits_message_and_event_say_how_it_ended,
];

fn on_failure(most: i32) -> Value {
    json!({ "restartPolicy": "OnFailure", "maxRestarts": most })
}

async fn failures_are_restarted_as_far_as_asked(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let asked = || json!({ "restartPolicy": "OnFailure" });
    let never = json!({ "restartPolicy": "Never", "maxRestarts": 10_000 });
    let rejected = json!({ "restartPolicy": "OnFailure", "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let capped = json!({ "restartPolicy": "OnFailure", "activeDeadlineSeconds": 9 });
    let again = |ended, calls| outcome(row::IDLE, ended, calls);
    let outside = again("attempt 1, IDLE, restarts 1, after StoppedOutside", "start 0, start 1");
    let degraded =
        again("attempt 1, IDLE, restarts 1, after SessionDegraded", "start 0, terminate 0, start 1");
    let twice = "attempt 1, FAILED, endReason SessionFailed, restarts 1, after SessionFailed";
    let failed_twice = || outcome(row::FAILED, twice, "start 0, start 1");
    let waits = || reach(row::RESTARTING);
    let raised_and_lowered = [set(on_failure(2)), waits(), set(on_failure(0))].concat();
    drive(
        &world,
        vec![
            // At creation.
            case("absent", json!({}), [fail()], FAILED),
            case("never", never, [fail()], FAILED),
            case("none", on_failure(0), [fail()], FAILED),
            case("one", on_failure(1), [restarting(), failed(), raised_and_lowered], failed_twice()),
            case("most", on_failure(10_000), [restarting()], RESTARTED),
            case("degraded", asked(), [idle(), state("DEGRADED")], degraded),
            case("rejected", rejected, [], INVALID),
            // The deadline would be over before the wait is.
            case("no-time-left", capped, [fail()], FAILED),
            // While the session lives.
            case("set-while-idle", json!({}), [idle(), set(asked()), end_outside()], outside),
            case(
                "never-while-busy",
                on_failure(5),
                [busy(), set(json!({ "restartPolicy": "Never" })), reach(row::BUSY), state("FAILED")],
                FAILED,
            ),
            case(
                "fewer-than-were",
                on_failure(10_000),
                [restarting(), idle(), set(on_failure(1)), fail()],
                failed_twice(),
            ),
            // After the failure.
            case("set-after-it", json!({}), [failed(), set(asked()), waits()], RESTARTED),
            case("raised-after-it", on_failure(0), [failed(), set(on_failure(1)), waits()], RESTARTED),
            case(
                "removed-after-it",
                on_failure(0),
                [failed(), set(json!({ "maxRestarts": null })), waits()],
                RESTARTED,
            ),
        ],
    )
    .await
}

async fn an_idle_timeout_is_not_restarted(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.idle_minute = Duration::from_secs(6));
    let _operator = world.operator()?;
    let idle = || json!({ "sessionIdleTimeoutInMinutes": 1, "restartPolicy": "OnFailure" });
    let brief = json!({ "sessionIdleTimeoutInMinutes": 1, "restartPolicy": "OnFailure", "ttlSecondsAfterFinished": 0 });
    let timed_out = || outcome(row::IDLE_TIMEOUT, "attempt 0, TERMINATED, endReason IdleTimeout", STARTED);
    let raised = [reach(row::IDLE_TIMEOUT), set(on_failure(10_000))];
    drive(
        &world,
        vec![
            case("timed-out", idle(), [], timed_out()),
            case("raised-after-it", idle(), raised, timed_out()),
            case("and-deleted", brief, [], GONE_ALONE),
        ],
    )
    .await
}

async fn a_restart_that_waits_can_be_taken_back(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let asked = || json!({ "restartPolicy": "OnFailure" });
    outlast(
        &world,
        vec![
            case("never", asked(), [restarting(), set(json!({ "restartPolicy": "Never" }))], FAILED),
            case("none", asked(), [restarting(), set(json!({ "maxRestarts": 0 }))], FAILED),
            case("no-time-left", asked(), [restarting(), set(json!({ "activeDeadlineSeconds": 1 }))], FAILED),
            case("suspended", asked(), [restarting(), suspend()], FAILED_AND_SUSPENDED),
        ],
        case("witness", asked(), [restarting()], RESTARTED),
    )
    .await
}

async fn while_a_restart_waits_message_and_event_say_how_it_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let athena = |state: &str, reason: Option<&str>| Change::State {
        state: state.into(),
        reason: reason.map(Into::into),
    };
    for (name, change, reason) in [
        ("failed", athena("FAILED", Some("the coordinator is gone")), "SessionFailed"),
        ("degraded", athena("DEGRADED", None), "SessionDegraded"),
        ("outside", Change::Terminate, "StoppedOutside"),
    ] {
        let id = world.idle_with(name, spark(json!({ "restartPolicy": "OnFailure" }))).await?;
        world.change(&id, change)?;
        let message = world.until_told(name, "RestartingAfterFailure").await?;
        ensure!(message.starts_with(&format!("{reason}: session {id} ")), "{message}");
        has(&message, &["; restart 1 of 5 follows at 20"])?;
        ensure!(name != "failed" || message.contains("the coordinator is gone"), "{message}");
        world.until_event("RestartingAfterFailure", &message).await?;
    }
    Ok(())
}
