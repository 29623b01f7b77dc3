//! `restartPolicy` and `maxRestarts`.

use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Change;
use serde_json::{Value, json};

use super::case::{Reach, case, drive, ended_outside, set, state};
use crate::harness::{World, ready_condition, tests, uid, until};
use crate::outcome::{outcome, row};

tests![
    failures_are_restarted_as_far_as_asked,
    an_idle_timeout_is_not_restarted,
    a_restart_that_waits_can_be_taken_back,
    while_a_restart_waits_message_and_event_say_how_it_ended,
];

const FAILED: &str = "attempt 0, FAILED, endReason SessionFailed";
const RESTARTED: &str = "attempt 1, IDLE, restarts 1, after SessionFailed";

fn on_failure(most: i32) -> Value {
    json!({ "restartPolicy": "OnFailure", "maxRestarts": most })
}

async fn failures_are_restarted_as_far_as_asked(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let fail = || state("FAILED");
    let never = json!({ "restartPolicy": "Never", "maxRestarts": 10_000 });
    let rejected = json!({ "restartPolicy": "OnFailure", "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let capped = json!({ "restartPolicy": "OnFailure", "activeDeadlineSeconds": 9 });
    drive(
        &world,
        vec![
            // At creation.
            case("absent", json!({}), [Reach(row::IDLE), fail()], row::FAILED, FAILED, "start 0"),
            case("never", never, [Reach(row::IDLE), fail()], row::FAILED, FAILED, "start 0"),
            case("none", on_failure(0), [Reach(row::IDLE), fail()], row::FAILED, FAILED, "start 0"),
            case(
                "most",
                on_failure(10_000),
                [Reach(row::IDLE), fail(), Reach(row::RESTARTING)],
                row::IDLE,
                RESTARTED,
                "start 0, start 1",
            ),
            case("rejected", rejected, [], row::INVALID, "attempt 0, endReason InvalidRequest", ""),
            // The deadline would be over before the wait is.
            case("no-time-left", capped, [Reach(row::IDLE), fail()], row::FAILED, FAILED, "start 0"),
            // While the session lives.
            case(
                "set-while-idle",
                json!({}),
                [
                    Reach(row::IDLE),
                    set(json!({ "restartPolicy": "OnFailure" })),
                    Reach(row::IDLE),
                    ended_outside(),
                ],
                row::IDLE,
                "attempt 1, IDLE, restarts 1, after StoppedOutside",
                "start 0, start 1",
            ),
            case(
                "never-while-busy",
                on_failure(5),
                [
                    Reach(row::IDLE),
                    state("BUSY"),
                    Reach(row::BUSY),
                    set(json!({ "restartPolicy": "Never" })),
                    Reach(row::BUSY),
                    fail(),
                ],
                row::FAILED,
                FAILED,
                "start 0",
            ),
            case(
                "fewer-than-were",
                on_failure(10_000),
                [
                    Reach(row::IDLE),
                    fail(),
                    Reach(row::RESTARTING),
                    Reach(row::IDLE),
                    set(on_failure(1)),
                    Reach(row::IDLE),
                    fail(),
                ],
                row::FAILED,
                "attempt 1, FAILED, endReason SessionFailed, restarts 1, after SessionFailed",
                "start 0, start 1",
            ),
            // After the failure.
            case(
                "set-after-it",
                json!({}),
                [
                    Reach(row::IDLE),
                    fail(),
                    Reach(row::FAILED),
                    set(json!({ "restartPolicy": "OnFailure" })),
                    Reach(row::RESTARTING),
                ],
                row::IDLE,
                RESTARTED,
                "start 0, start 1",
            ),
            case(
                "raised-after-it",
                on_failure(0),
                [
                    Reach(row::IDLE),
                    fail(),
                    Reach(row::FAILED),
                    set(json!({ "maxRestarts": 1 })),
                    Reach(row::RESTARTING),
                ],
                row::IDLE,
                RESTARTED,
                "start 0, start 1",
            ),
            case(
                "removed-after-it",
                on_failure(0),
                [
                    Reach(row::IDLE),
                    fail(),
                    Reach(row::FAILED),
                    set(json!({ "maxRestarts": null })),
                    Reach(row::RESTARTING),
                ],
                row::IDLE,
                RESTARTED,
                "start 0, start 1",
            ),
        ],
    )
    .await
}

async fn an_idle_timeout_is_not_restarted(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.idle_minute = Duration::from_secs(6));
    let _operator = world.operator()?;
    let idle = |further: Value| {
        let mut spec = json!({ "sessionIdleTimeoutInMinutes": 1, "restartPolicy": "OnFailure" });
        if let (Value::Object(spec), Value::Object(further)) = (&mut spec, further) {
            spec.extend(further);
        }
        spec
    };
    let timed_out = "attempt 0, TERMINATED, endReason IdleTimeout";
    drive(
        &world,
        vec![
            case("timed-out", idle(json!({})), [], row::IDLE_TIMEOUT, timed_out, "start 0"),
            case(
                "raised-after-it",
                idle(json!({})),
                [Reach(row::IDLE_TIMEOUT), set(on_failure(10_000))],
                row::IDLE_TIMEOUT,
                timed_out,
                "start 0",
            ),
            case("and-deleted", idle(json!({ "ttlSecondsAfterFinished": 0 })), [], row::GONE, "", "start 0"),
        ],
    )
    .await
}

/// Fails the only session of an object and waits until its restart waits.
async fn fail(world: &World, name: &str, uid: &str) -> anyhow::Result<()> {
    let idle = outcome(row::IDLE, "attempt 0, IDLE", "start 0");
    world.until_outcome(name, uid, |found| *found == idle, &idle).await?;
    let id = world.sessions_of(uid)[0].session_id.clone();
    world.emulator.set_state(&id, Change::State { state: "FAILED".into(), reason: None })?;
    let waits = outcome(row::RESTARTING, FAILED, "start 0");
    world.until_outcome(name, uid, |found| *found == waits, &waits).await
}

async fn a_restart_that_waits_can_be_taken_back(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let suspended = "attempt 0, FAILED, stopCause Suspended, endReason SessionFailed";
    let changes = [
        ("never", json!({ "restartPolicy": "Never" }), outcome(row::FAILED, FAILED, "start 0")),
        ("none", json!({ "maxRestarts": 0 }), outcome(row::FAILED, FAILED, "start 0")),
        ("no-time-left", json!({ "activeDeadlineSeconds": 1 }), outcome(row::FAILED, FAILED, "start 0")),
        ("suspended", json!({ "suspend": true }), outcome(row::SUSPENDED, suspended, "start 0")),
    ];
    let mut made = Vec::new();
    for (name, change, wanted) in changes {
        let uid = uid(&world
            .create_with(name, json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" }))
            .await?);
        fail(&world, name, &uid).await?;
        world.patch(name, json!({ "spec": change })).await?;
        world.until_outcome(name, &uid, |found| *found == wanted, &wanted).await?;
        made.push((name, uid, wanted));
    }
    // This one fails after all others: when it has been restarted, their waits are over too.
    let uid = uid(&world
        .create_with("witness", json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" }))
        .await?);
    fail(&world, "witness", &uid).await?;
    let restarted = outcome(row::IDLE, RESTARTED, "start 0, start 1");
    world.until_outcome("witness", &uid, |found| *found == restarted, &restarted).await?;
    for (name, uid, wanted) in made {
        let found = world.outcome(name, &uid).await?;
        ensure!(found == wanted, "{name}\n  is {found}\n not {wanted}");
    }
    Ok(())
}

async fn while_a_restart_waits_message_and_event_say_how_it_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let athena = |text: &str| Change::State { state: "FAILED".into(), reason: Some(text.into()) };
    for (name, change, reason) in [
        ("failed", athena("the coordinator is gone"), "SessionFailed"),
        ("degraded", Change::State { state: "DEGRADED".into(), reason: None }, "SessionDegraded"),
        ("outside", Change::Terminate, "StoppedOutside"),
    ] {
        let uid = uid(&world
            .create_with(name, json!({ "workGroup": "spark-35", "restartPolicy": "OnFailure" }))
            .await?);
        world.until_reason(name, "SessionIdle").await?;
        let id = world.sessions_of(&uid)[0].session_id.clone();
        world.emulator.set_state(&id, change)?;
        let object = world.until_reason(name, "RestartingAfterFailure").await?;
        let message = ready_condition(&object).map(|ready| ready.message).unwrap_or_default();
        ensure!(
            message.starts_with(&format!("{reason}: session {id} "))
                && message.contains("; restart 1 of 5 follows at 20"),
            "{message}"
        );
        ensure!(name != "failed" || message.contains("the coordinator is gone"), "{message}");
        let events = [
            "get",
            "events",
            "--field-selector=reason=RestartingAfterFailure",
            "-o",
            "jsonpath={.items[*].message}",
        ];
        until("the event says so too", || {
            world.kubectl(&events).is_ok_and(|events| events.contains(&message))
        })
        .await?;
    }
    Ok(())
}
