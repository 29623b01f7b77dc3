//! Suspend and resume, restarts, deadlines and the time after the end.

use anyhow::ensure;
use athena_emulator::{Change, Fault, FaultKind};
use serde_json::json;

use crate::harness::{World, condition, ready_condition, status, tests, uid, until};

tests![
    suspending_ends_the_session_and_resuming_starts_the_next_attempt,
    an_object_that_is_created_suspended_starts_nothing,
    suspend_and_resume_while_the_session_ends_leave_one_live_session,
    suspend_and_resume_before_the_id_is_known_leave_one_live_session,
    suspend_and_resume_after_a_failure_start_the_next_attempt,
    a_failure_is_restarted_with_a_token_of_its_own,
    a_failure_is_not_restarted_more_often_than_asked,
    a_degraded_session_is_replaced,
    a_session_that_does_not_become_ready_in_time_has_failed,
    the_active_deadline_ends_the_session_for_good,
    the_active_deadline_holds_though_athena_tells_no_start_time,
    a_deadline_that_is_set_later_counts_from_the_first_start,
    an_object_deletes_itself_once_its_time_after_the_end_is_over,
    an_object_that_is_resumed_in_time_does_not_delete_itself,
    a_lost_start_is_followed_by_the_next_attempt,
    deleting_a_suspended_object_calls_nothing,
    a_work_group_that_cannot_take_the_session_is_told_without_a_start,
    without_the_right_to_read_work_groups_the_call_tells,
];

#[allow(clippy::needless_pass_by_value, reason = "calls read better")]
fn with(further: serde_json::Value) -> serde_json::Value {
    let mut spec = json!({ "workGroup": "spark-35" });
    spec.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
    spec
}

async fn suspend(world: &World, name: &str, suspend: bool) -> anyhow::Result<()> {
    world.patch(name, json!({ "spec": { "suspend": suspend } })).await?;
    Ok(())
}

fn set(world: &World, number: usize, state: &str) -> anyhow::Result<()> {
    let id = world.emulator.sessions()[number].session_id.clone();
    world.emulator.set_state(&id, Change::State { state: state.into(), reason: None })?;
    Ok(())
}

/// One session lives, it is the object's, and its token is that of `attempt`.
async fn one_lives(world: &World, name: &str, attempt: i32) -> anyhow::Result<()> {
    let idle = world
        .until(name, "idle", |object| {
            status(object).state == Some("IDLE".into()) && status(object).attempt == Some(attempt)
        })
        .await?;
    let live = world.live();
    let token = if attempt == 0 { uid(&idle) } else { format!("{}-{attempt}", uid(&idle)) };
    ensure!(live.len() == 1 && live[0].token.as_deref() == Some(&*token), "{live:?}");
    ensure!(status(&idle).session_id.as_deref() == Some(&*live[0].session_id));
    Ok(())
}

async fn suspending_ends_the_session_and_resuming_starts_the_next_attempt(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("office").await?;
    world.until_reason("office", "SessionIdle").await?;
    suspend(&world, "office", true).await?;
    let rests = world.until_reason("office", "Suspended").await?;
    ensure!(ready_condition(&rests).is_some_and(|ready| ready.status == "True"));
    ensure!(condition(&rests, "Available").is_some_and(|available| available.status == "False"));
    ensure!(world.live().is_empty() && world.calls("TerminateSession").len() == 1);
    ensure!(status(&rests).end_reason.is_some_and(|reason| reason.as_str() == "Suspended"));

    suspend(&world, "office", false).await?;
    one_lives(&world, "office", 1).await?;
    let resumed = status(&world.sessions.get("office").await?);
    ensure!(
        resumed.previous_attempts.is_some_and(|attempts| attempts.len() == 1 && attempts[0].attempt == 0)
    );
    ensure!(resumed.restarts.is_none());
    Ok(())
}

async fn an_object_that_is_created_suspended_starts_nothing(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("later", with(json!({ "suspend": true }))).await?;
    world.until_reason("later", "Suspended").await?;
    ensure!(world.emulator.sessions().is_empty() && world.calls("StartSession").is_empty());
    suspend(&world, "later", false).await?;
    one_lives(&world, "later", 0).await
}

async fn suspend_and_resume_while_the_session_ends_leave_one_live_session(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.terminating = std::time::Duration::from_secs(2));
    let _operator = world.operator()?;
    world.create("quick").await?;
    world.until_reason("quick", "SessionIdle").await?;
    suspend(&world, "quick", true).await?;
    until("the session is ending", || world.emulator.sessions()[0].state == "TERMINATING").await?;
    suspend(&world, "quick", false).await?;
    one_lives(&world, "quick", 1).await
}

async fn suspend_and_resume_before_the_id_is_known_leave_one_live_session(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(2)]);
    let _operator = world.operator()?;
    world.create("early").await?;
    until("a session is started", || world.emulator.sessions().len() == 1).await?;
    suspend(&world, "early", true).await?;
    world.until_reason("early", "Suspended").await?;
    ensure!(world.live().is_empty());
    suspend(&world, "early", false).await?;
    one_lives(&world, "early", 1).await?;

    // Faster than the operator can end anything.
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(1)]);
    world.create("at-once").await?;
    until("a session is started", || world.emulator.sessions().len() == 3).await?;
    suspend(&world, "at-once", true).await?;
    suspend(&world, "at-once", false).await?;
    world.until_reason("at-once", "SessionIdle").await?;
    ensure!(world.live().len() == 2, "{:?}", world.live());
    Ok(())
}

async fn suspend_and_resume_after_a_failure_start_the_next_attempt(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("failed").await?;
    world.until_reason("failed", "SessionIdle").await?;
    set(&world, 0, "FAILED")?;
    world.until_reason("failed", "SessionFailed").await?;
    suspend(&world, "failed", true).await?;
    world.until_reason("failed", "Suspended").await?;
    suspend(&world, "failed", false).await?;
    one_lives(&world, "failed", 1).await
}

async fn a_failure_is_restarted_with_a_token_of_its_own(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("again", with(json!({ "restartPolicy": "OnFailure" }))).await?;
    world.until_reason("again", "SessionIdle").await?;
    set(&world, 0, "FAILED")?;
    let waits = world.until_reason("again", "RestartingAfterFailure").await?;
    ensure!(condition(&waits, "Reconciling").is_some() && condition(&waits, "Stalled").is_none());
    one_lives(&world, "again", 1).await?;
    let object = world.sessions.get("again").await?;
    ensure!(status(&object).restarts == Some(1) && world.emulator.sessions().len() == 2);
    Ok(())
}

async fn a_failure_is_not_restarted_more_often_than_asked(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("once", with(json!({ "restartPolicy": "OnFailure", "maxRestarts": 1 }))).await?;
    world.until_reason("once", "SessionIdle").await?;
    set(&world, 0, "FAILED")?;
    one_lives(&world, "once", 1).await?;
    set(&world, 1, "FAILED")?;
    world.until_reason("once", "SessionFailed").await?;
    // A change of spec takes effect at once.
    world.patch("once", json!({ "spec": { "maxRestarts": 2 } })).await?;
    world.until_reason("once", "RestartingAfterFailure").await?;
    world.patch("once", json!({ "spec": { "maxRestarts": 0 } })).await?;
    world.until_reason("once", "SessionFailed").await?;
    Ok(())
}

async fn a_degraded_session_is_replaced(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("degraded", with(json!({ "restartPolicy": "OnFailure" }))).await?;
    world.until_reason("degraded", "SessionIdle").await?;
    set(&world, 0, "DEGRADED")?;
    one_lives(&world, "degraded", 1).await?;
    let previous = status(&world.sessions.get("degraded").await?).previous_attempts.unwrap_or_default();
    ensure!(
        previous[0].end_reason.as_ref().is_some_and(|reason| reason.as_str() == "SessionDegraded"),
        "{previous:?}"
    );
    Ok(())
}

async fn a_session_that_does_not_become_ready_in_time_has_failed(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.stick_in = Some("CREATING".into()));
    let _operator = world.operator()?;
    world.create_with("slow", with(json!({ "startupDeadlineSeconds": 1 }))).await?;
    let object = world.until_reason("slow", "StartupDeadlineExceeded").await?;
    ensure!(condition(&object, "Stalled").is_some() && world.live().is_empty());
    ensure!(status(&object).stop_cause.is_some_and(|cause| cause.as_str() == "StartupDeadline"));
    Ok(())
}

async fn the_active_deadline_ends_the_session_for_good(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world
        .create_with("capped", with(json!({ "activeDeadlineSeconds": 2, "restartPolicy": "OnFailure" })))
        .await?;
    world.until_reason("capped", "SessionIdle").await?;
    let ended = world.until("capped", "over", |object| status(object).end_reason.is_some()).await?;
    ensure!(
        ready_condition(&ended)
            .is_some_and(|ready| ready.status == "True" && ready.reason == "DeadlineExceeded"),
        "{ended:?}"
    );
    ensure!(world.live().is_empty() && world.emulator.sessions().len() == 1);
    Ok(())
}

async fn the_active_deadline_holds_though_athena_tells_no_start_time(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.omit_times = vec!["StartDateTime".into()]);
    let _operator = world.operator()?;
    world.create_with("capped", with(json!({ "activeDeadlineSeconds": 2 }))).await?;
    let idle = status(&world.until_reason("capped", "SessionIdle").await?);
    ensure!(idle.start_time.is_none() && idle.first_start_time == idle.attempt_time, "{idle:?}");
    world
        .until("capped", "over", |object| {
            status(object).end_reason.is_some_and(|reason| reason.as_str() == "DeadlineExceeded")
        })
        .await?;
    ensure!(world.live().is_empty() && world.emulator.sessions().len() == 1);

    // A session that no look has shown is capped too.
    world.emulator.configure(|config| config.deny = vec!["GetSession".into(), "GetSessionStatus".into()]);
    world.create_with("unseen", with(json!({ "activeDeadlineSeconds": 2 }))).await?;
    until("the session is ended", || world.emulator.sessions().len() == 2 && world.live().is_empty()).await
}

async fn a_deadline_that_is_set_later_counts_from_the_first_start(world: World) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--observe-interval=10m"], &[])?;
    world.create("capped").await?;
    world.until_reason("capped", "SessionIdle").await?;
    // Not waiting for the next look, which is minutes away.
    world.patch("capped", json!({ "spec": { "activeDeadlineSeconds": 1 } })).await?;
    until("the session is ended", || world.live().is_empty()).await?;
    world
        .until("capped", "over", |object| {
            status(object).end_reason.is_some_and(|reason| reason.as_str() == "DeadlineExceeded")
        })
        .await?;
    Ok(())
}

async fn an_object_deletes_itself_once_its_time_after_the_end_is_over(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("brief", with(json!({ "ttlSecondsAfterFinished": 1 }))).await?;
    world.until_reason("brief", "SessionIdle").await?;
    set(&world, 0, "FAILED")?;
    world.until_gone("brief").await
}

async fn an_object_that_is_resumed_in_time_does_not_delete_itself(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("kept", with(json!({ "ttlSecondsAfterFinished": 2 }))).await?;
    world.until_reason("kept", "SessionIdle").await?;
    set(&world, 0, "FAILED")?;
    world.until_reason("kept", "SessionFailed").await?;
    suspend(&world, "kept", true).await?;
    world.until_reason("kept", "Suspended").await?;
    suspend(&world, "kept", false).await?;
    one_lives(&world, "kept", 1).await
}

async fn a_lost_start_is_followed_by_the_next_attempt(world: World) -> anyhow::Result<()> {
    // The reply is lost, the session vanishes, and Athena forgets the token: nothing tells any more what became of the start.
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropBefore)]);
    let _operator = world.operator_with(&["--uncertainty=2s"], &[])?;
    world.create("lost").await?;
    until("the start was tried", || !world.calls("StartSession").is_empty()).await?;
    until("its session is searched", || !world.calls("ListSessions").is_empty()).await?;
    world.emulator.set_faults(vec![]);
    one_lives(&world, "lost", 1).await?;
    ensure!(world.emulator.sessions().len() == 1);
    Ok(())
}

async fn deleting_a_suspended_object_calls_nothing(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create("rests").await?;
    world.until_reason("rests", "SessionIdle").await?;
    suspend(&world, "rests", true).await?;
    world.until_reason("rests", "Suspended").await?;
    let before = world.emulator.calls().len();
    world.delete("rests").await?;
    world.until_gone("rests").await?;
    ensure!(world.emulator.calls().len() == before);
    Ok(())
}

async fn a_work_group_that_cannot_take_the_session_is_told_without_a_start(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let spark = json!({ "engineConfiguration": { "sparkProperties": { "spark.x": "1" } } });
    let logging = json!({ "workGroup": "pyspark-3", "monitoringConfiguration": { "managedLoggingConfiguration": { "enabled": true } } });
    for (name, spec, reason, part) in [
        ("missing", json!({ "workGroup": "nowhere" }), "WorkGroupNotFound", "not found"),
        ("disabled", json!({ "workGroup": "disabled" }), "WorkGroupDisabled", "workGroup"),
        ("sql", json!({ "workGroup": "sql" }), "WorkGroupNotSpark", "Athena engine version 3"),
        ("properties", with(spark), "InvalidRequest", "spec.engineConfiguration.sparkProperties"),
        ("logging", logging, "InvalidRequest", "spec.monitoringConfiguration"),
    ] {
        world.create_with(name, spec).await?;
        let object = world.until_reason(name, reason).await?;
        ensure!(ready_condition(&object).is_some_and(|ready| ready.message.contains(part)), "{object:?}");
    }
    ensure!(world.calls("StartSession").is_empty());
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;
    Ok(())
}

async fn without_the_right_to_read_work_groups_the_call_tells(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.deny = vec!["GetWorkGroup".into()]);
    let _operator = world.operator()?;
    world.create_with("sql", json!({ "workGroup": "sql" })).await?;
    world.until_reason("sql", "WorkGroupNotSpark").await?;
    ensure!(!world.calls("StartSession").is_empty());
    world.create("fine").await?;
    world.until_reason("fine", "SessionIdle").await?;
    Ok(())
}
