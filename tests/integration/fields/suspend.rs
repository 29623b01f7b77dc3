//! `suspend`, at every moment of a session.

use anyhow::ensure;
use athena_emulator::Outcome as Answer;
use serde_json::json;

use super::case::{
    Called, Delete, Reach, Service, case, drive, ended_outside, ends_nothing_by_itself, set,
    starts_nothing_by_itself, state,
};
use crate::harness::{World, condition, tests, uid};
use crate::outcome::{outcome, row};

tests![
    suspend_and_resume_of_what_lives_or_has_ended,
    suspend_while_the_session_starts,
    suspend_while_the_session_ends,
    suspend_while_starts_are_refused,
    an_object_that_is_suspended_all_its_life_costs_no_call_at_all,
    what_is_set_back_unseen_has_no_effect,
];

const SUSPENDED: &str = "attempt 0, TERMINATED, stopCause Suspended, endReason Suspended";

async fn suspend_and_resume_of_what_lives_or_has_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let suspend = || set(json!({ "suspend": true }));
    let resume = || set(json!({ "suspend": false }));
    let again = json!({ "restartPolicy": "OnFailure" });
    let refused = json!({ "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let failed = "attempt 0, FAILED, stopCause Suspended, endReason SessionFailed";
    let exceeded = "attempt 0, TERMINATED, stopCause Suspended, endReason DeadlineExceeded";
    let exceeded_again =
        "attempt 1, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded, after DeadlineExceeded";
    let capped = |seconds| json!({ "activeDeadlineSeconds": seconds });
    drive(
        &world,
        vec![
            case("true-at-creation", json!({ "suspend": true }), [], row::SUSPENDED, "none", ""),
            case(
                "true-and-a-deadline",
                json!({ "suspend": true, "activeDeadlineSeconds": 1 }),
                [],
                row::SUSPENDED,
                "none",
                "",
            ),
            case(
                "false-at-creation",
                json!({ "suspend": false }),
                [],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0",
            ),
            case(
                "first-resume",
                json!({ "suspend": true }),
                [Reach(row::SUSPENDED), resume()],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0",
            ),
            case(
                "removed",
                json!({ "suspend": true }),
                [Reach(row::SUSPENDED), set(json!({ "suspend": null }))],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0",
            ),
            case(
                "busy",
                json!({}),
                [Reach(row::IDLE), state("BUSY"), Reach(row::BUSY), suspend()],
                row::SUSPENDED,
                SUSPENDED,
                "start 0, terminate 0",
            ),
            case(
                "failed",
                json!({}),
                [Reach(row::IDLE), state("FAILED"), Reach(row::FAILED), suspend()],
                row::SUSPENDED,
                failed,
                "start 0",
            ),
            case(
                "rejected",
                refused,
                [Reach(row::INVALID), suspend()],
                row::SUSPENDED,
                "attempt 0, stopCause Suspended, endReason InvalidRequest",
                "",
            ),
            case(
                "backoff",
                again.clone(),
                [Reach(row::IDLE), state("FAILED"), Reach(row::RESTARTING), suspend()],
                row::SUSPENDED,
                failed,
                "start 0",
            ),
            case(
                "resume-after-a-backoff",
                again,
                [
                    Reach(row::IDLE),
                    state("FAILED"),
                    Reach(row::RESTARTING),
                    suspend(),
                    Reach(row::SUSPENDED),
                    resume(),
                ],
                row::IDLE,
                "attempt 1, IDLE, after SessionFailed",
                "start 0, start 1",
            ),
            case(
                "past-its-deadline",
                capped(1),
                [Reach(row::EXCEEDED), suspend()],
                row::SUSPENDED,
                exceeded,
                "start 0, terminate 0",
            ),
            case(
                "resumed-past-its-deadline",
                capped(1),
                [Reach(row::EXCEEDED), suspend(), Reach(row::SUSPENDED), resume()],
                row::EXCEEDED,
                exceeded_again,
                "start 0, terminate 0, start 1, terminate 1",
            ),
            case(
                "with-a-deadline-at-once",
                json!({}),
                [Reach(row::IDLE), set(json!({ "suspend": true, "activeDeadlineSeconds": 1 }))],
                row::SUSPENDED,
                SUSPENDED,
                "start 0, terminate 0",
            ),
            case(
                "deadline-shortened-while-suspended",
                capped(3600),
                [Reach(row::IDLE), suspend(), Reach(row::SUSPENDED), set(capped(1))],
                row::SUSPENDED,
                SUSPENDED,
                "start 0, terminate 0",
            ),
        ],
    )
    .await
}

async fn suspend_while_the_session_starts(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let suspend = || set(json!({ "suspend": true }));
    drive(
        &world,
        vec![
            case(
                "creating",
                json!({}),
                [Reach(row::CREATING), suspend()],
                row::SUSPENDED,
                SUSPENDED,
                "start 0, terminate 0",
            ),
            case(
                "created",
                json!({}),
                [Reach(row::CREATING), state("CREATED"), Reach(row::CREATED), suspend()],
                row::SUSPENDED,
                SUSPENDED,
                "start 0, terminate 0",
            ),
            case(
                "resumed",
                json!({}),
                [
                    Reach(row::CREATING),
                    suspend(),
                    Reach(row::SUSPENDED),
                    set(json!({ "suspend": false })),
                    Reach(row::CREATING),
                    state("IDLE"),
                ],
                row::IDLE,
                "attempt 1, IDLE, after Suspended",
                "start 0, terminate 0, start 1",
            ),
        ],
    )
    .await
}

async fn suspend_while_the_session_ends(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let suspend = || set(json!({ "suspend": true }));
    let exceeded = "attempt 0, TERMINATED, stopCause Suspended, endReason DeadlineExceeded";
    drive(
        &world,
        vec![
            // It is ending already: nothing is called.
            case(
                "ended-outside",
                json!({}),
                [
                    Reach(row::IDLE),
                    ended_outside(),
                    Reach(row::TERMINATING),
                    suspend(),
                    Reach(row::SUSPENDING),
                    state("TERMINATED"),
                ],
                row::SUSPENDED,
                SUSPENDED,
                "start 0",
            ),
            case(
                "ended-by-its-deadline",
                json!({ "activeDeadlineSeconds": 1 }),
                [Called("start 0, terminate 0"), suspend(), Reach(row::EXCEEDING), state("TERMINATED")],
                row::SUSPENDED,
                exceeded,
                "start 0, terminate 0",
            ),
            // What is ending is not saved.
            case(
                "resumed",
                json!({}),
                [
                    Reach(row::IDLE),
                    suspend(),
                    Called("start 0, terminate 0"),
                    set(json!({ "suspend": false })),
                    Reach(row::SUSPENDING),
                    state("TERMINATED"),
                ],
                row::IDLE,
                "attempt 1, IDLE, after Suspended",
                "start 0, terminate 0, start 1",
            ),
            case(
                "deleted",
                json!({}),
                [
                    Reach(row::IDLE),
                    suspend(),
                    Called("start 0, terminate 0"),
                    Delete,
                    Reach(row::DELETING),
                    state("TERMINATED"),
                ],
                row::GONE,
                "",
                "start 0, terminate 0",
            ),
        ],
    )
    .await
}

async fn suspend_while_starts_are_refused(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    let suspend = || set(json!({ "suspend": true }));
    let over = "attempt 0, stopCause Suspended, endReason Suspended";
    drive(
        &world,
        vec![
            case(
                "refused",
                json!({}),
                [Reach(row::QUOTA), suspend()],
                row::SUSPENDED,
                over,
                "start 0 refused",
            ),
            case(
                "resumed",
                json!({}),
                [
                    Reach(row::QUOTA),
                    suspend(),
                    Reach(row::SUSPENDED),
                    Service(|config| config.max_sessions = None),
                    set(json!({ "suspend": false })),
                ],
                row::IDLE,
                "attempt 0, IDLE",
                "start 0 refused, start 0",
            ),
        ],
    )
    .await
}

async fn an_object_that_is_suspended_all_its_life_costs_no_call_at_all(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let uid = uid(&world.create_with("resting", json!({ "workGroup": "spark-35", "suspend": true })).await?);
    world.until_reason("resting", "Suspended").await?;
    world.patch("resting", json!({ "spec": { "activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure" } })).await?;
    let wanted = outcome(row::SUSPENDED, "none", "");
    world.until_outcome("resting", &uid, |found| *found == wanted, &wanted).await?;
    world.delete("resting").await?;
    world.until_gone("resting").await?;
    let calls: Vec<_> =
        world.emulator.calls().into_iter().filter(|call| call.operation != "GetCallerIdentity").collect();
    ensure!(calls.is_empty(), "{calls:?}");
    Ok(())
}

async fn what_is_set_back_unseen_has_no_effect(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let uid = uid(&world.create("unseen").await?);
    let idle = world.until_reason("unseen", "SessionIdle").await?;
    drop(operator);
    for suspend in [true, false] {
        world.patch("unseen", json!({ "spec": { "suspend": suspend } })).await?;
    }
    let _operator = world.operator()?;
    let wanted = outcome(row::IDLE, "attempt 0, IDLE", "start 0");
    world.until_outcome("unseen", &uid, |found| *found == wanted, &wanted).await?;
    let ready = |object: &_| condition(object, "Ready").map(|ready| ready.last_transition_time);
    ensure!(ready(&world.sessions.get("unseen").await?) == ready(&idle));
    ensure!(world.calls("StartSession").iter().all(|call| call.outcome == Answer::Ok));
    Ok(())
}
