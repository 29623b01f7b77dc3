//! `suspend`, at every moment of a session.

use anyhow::ensure;
use athena_emulator::{Fault, FaultKind, Outcome as Answer};
use serde_json::json;

use super::case::{
    busy, called, case, delete, drive, end_outside, ends_nothing_by_itself, failed, idle, reach, restarting,
    resume, service, set, starts_nothing_by_itself, state, suspend, suspended,
};
use crate::harness::{World, ready_condition, spark, tests, uid};
use crate::outcome::{
    ENDED, FAILED_AND_SUSPENDED, GONE, IDLE, NEVER_STARTED, Outcome, RESUMED, RESUMED_AFTER_FAILURE, STARTED,
    SUSPENDED, outcome, row,
};

tests![
    suspend_and_resume_of_what_lives_or_has_ended,
    suspend_while_the_session_starts,
    suspend_while_the_session_ends,
    suspend_while_starts_are_refused,
    suspend_and_resume_before_the_id_is_known_leave_one_live_session,
    an_object_that_is_suspended_all_its_life_costs_no_call_at_all,
    deleting_a_suspended_object_calls_nothing,
    what_is_set_back_unseen_has_no_effect,
];

async fn suspend_and_resume_of_what_lives_or_has_ended(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let resting = || json!({ "suspend": true });
    let again = || json!({ "restartPolicy": "OnFailure" });
    let invalid = json!({ "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let capped = |seconds| json!({ "activeDeadlineSeconds": seconds });
    let resting_and_capped = json!({ "suspend": true, "activeDeadlineSeconds": 1 });
    let exceeded = || reach(row::EXCEEDED);
    let rejected = "attempt 0, stopCause Suspended, endReason InvalidRequest";
    let past = "attempt 0, TERMINATED, stopCause Suspended, endReason DeadlineExceeded";
    let past_again =
        "attempt 1, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded, after DeadlineExceeded";
    let twice = "start 0, terminate 0, start 1, terminate 1";
    drive(
        &world,
        vec![
            case("true-at-creation", resting(), [], NEVER_STARTED),
            case("true-and-a-deadline", resting_and_capped.clone(), [], NEVER_STARTED),
            case("false-at-creation", json!({ "suspend": false }), [], IDLE),
            case("first-resume", resting(), [reach(row::SUSPENDED), resume()], IDLE),
            case("removed", resting(), [reach(row::SUSPENDED), set(json!({ "suspend": null }))], IDLE),
            case("idle", json!({}), [idle(), suspend()], SUSPENDED),
            case("busy", json!({}), [busy(), suspend()], SUSPENDED),
            case("resumed", json!({}), [idle(), suspended(), resume()], RESUMED),
            case("failed", json!({}), [failed(), suspend()], FAILED_AND_SUSPENDED),
            case("resume-after-failure", json!({}), [failed(), suspended(), resume()], RESUMED_AFTER_FAILURE),
            case(
                "rejected",
                invalid,
                [reach(row::INVALID), suspend()],
                outcome(row::SUSPENDED, rejected, ""),
            ),
            case("backoff", again(), [restarting(), suspend()], FAILED_AND_SUSPENDED),
            case("resume-in-backoff", again(), [restarting(), suspended(), resume()], RESUMED_AFTER_FAILURE),
            case(
                "past-its-deadline",
                capped(1),
                [exceeded(), suspend()],
                outcome(row::SUSPENDED, past, ENDED),
            ),
            case(
                "resumed-past-its-deadline",
                capped(1),
                [exceeded(), suspended(), resume()],
                outcome(row::EXCEEDED, past_again, twice),
            ),
            case("with-a-deadline-at-once", json!({}), [idle(), set(resting_and_capped)], SUSPENDED),
            case("deadline-while-suspended", capped(3600), [idle(), suspended(), set(capped(1))], SUSPENDED),
        ],
    )
    .await
}

async fn suspend_while_the_session_starts(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator()?;
    let creating = || reach(row::CREATING);
    let created = [creating(), state("CREATED"), reach(row::CREATED)].concat();
    let resumed = [creating(), suspended(), resume(), creating(), state("IDLE")];
    drive(
        &world,
        vec![
            case("creating", json!({}), [creating(), suspend()], SUSPENDED),
            case("created", json!({}), [created, suspend()], SUSPENDED),
            case("resumed", json!({}), resumed, RESUMED),
        ],
    )
    .await
}

async fn suspend_while_the_session_ends(world: World) -> anyhow::Result<()> {
    world.emulator.configure(ends_nothing_by_itself);
    let _operator = world.operator()?;
    let capped = json!({ "activeDeadlineSeconds": 1 });
    let ended = || state("TERMINATED");
    let suspending = || reach(row::SUSPENDING);
    let outside = [end_outside(), reach(row::TERMINATING), suspend(), suspending(), ended()];
    let past = "attempt 0, TERMINATED, stopCause Suspended, endReason DeadlineExceeded";
    drive(
        &world,
        vec![
            // It is ending already: nothing is called.
            case("ended-outside", json!({}), outside, Outcome { calls: STARTED.into(), ..SUSPENDED }),
            case(
                "ended-by-its-deadline",
                capped,
                [called(ENDED), suspend(), reach(row::EXCEEDING), ended()],
                outcome(row::SUSPENDED, past, ENDED),
            ),
            // What is ending is not saved.
            case(
                "resumed",
                json!({}),
                [idle(), suspend(), called(ENDED), resume(), suspending(), ended()],
                RESUMED,
            ),
            case(
                "deleted",
                json!({}),
                [idle(), suspend(), called(ENDED), delete(), reach(row::DELETING), ended()],
                GONE,
            ),
        ],
    )
    .await
}

async fn suspend_while_starts_are_refused(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    let over = "attempt 0, stopCause Suspended, endReason Suspended";
    let room = service(|config| config.max_sessions = None);
    drive(
        &world,
        vec![
            case(
                "refused",
                json!({}),
                [reach(row::QUOTA), suspend()],
                outcome(row::SUSPENDED, over, "start 0 refused"),
            ),
            case(
                "resumed",
                json!({}),
                [reach(row::QUOTA), suspended(), room, resume()],
                outcome(row::IDLE, "attempt 0, IDLE", "start 0 refused, start 0"),
            ),
        ],
    )
    .await
}

async fn suspend_and_resume_before_the_id_is_known_leave_one_live_session(
    world: World,
) -> anyhow::Result<()> {
    let lost = |times| {
        world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(times)]);
    };
    lost(2);
    let _operator = world.operator()?;
    let uid = uid(&world.create("early").await?);
    world.until_sessions(1).await?;
    world.set("early", json!({ "suspend": true })).await?;
    world.until_reason("early", "Suspended").await?;
    ensure!(world.live().is_empty());
    world.set("early", json!({ "suspend": false })).await?;
    world.until_found("early", &uid, "idle again", |found| found.attempt == RESUMED.attempt).await?;
    ensure!(world.live().len() == 1, "{:?}", world.live());

    // Faster than the operator can end anything.
    lost(1);
    world.create("at-once").await?;
    world.until_sessions(3).await?;
    for suspend in [true, false] {
        world.set("at-once", json!({ "suspend": suspend })).await?;
    }
    world.until_idle("at-once").await?;
    ensure!(world.live().len() == 2, "{:?}", world.live());
    Ok(())
}

async fn an_object_that_is_suspended_all_its_life_costs_no_call_at_all(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let uid = uid(&world.create_with("resting", spark(json!({ "suspend": true }))).await?);
    world.until_reason("resting", "Suspended").await?;
    let change =
        json!({ "activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0, "restartPolicy": "OnFailure" });
    world.set("resting", change).await?;
    world.until_outcome("resting", &uid, &NEVER_STARTED).await?;
    world.remove("resting").await?;
    let calls: Vec<_> =
        world.emulator.calls().into_iter().filter(|call| call.operation != "GetCallerIdentity").collect();
    ensure!(calls.is_empty(), "{calls:?}");
    Ok(())
}

async fn deleting_a_suspended_object_calls_nothing(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.idle("rests").await?;
    world.set("rests", json!({ "suspend": true })).await?;
    world.until_reason("rests", "Suspended").await?;
    let before = world.emulator.calls().len();
    world.remove("rests").await?;
    ensure!(world.emulator.calls().len() == before);
    Ok(())
}

async fn what_is_set_back_unseen_has_no_effect(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let uid = uid(&world.create("unseen").await?);
    let idle = world.until_idle("unseen").await?;
    drop(operator);
    for suspend in [true, false] {
        world.set("unseen", json!({ "suspend": suspend })).await?;
    }
    let _operator = world.operator()?;
    world.until_outcome("unseen", &uid, &IDLE).await?;
    let since = |object: &_| ready_condition(object).map(|ready| ready.last_transition_time);
    ensure!(since(&world.sessions.get("unseen").await?) == since(&idle));
    ensure!(world.calls("StartSession").iter().all(|call| call.outcome == Answer::Ok));
    Ok(())
}
