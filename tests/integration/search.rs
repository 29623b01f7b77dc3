//! Starts whose outcome nobody knows: the lists in which their sessions are searched for serve all objects that wait.

use anyhow::{Context, ensure};
use athena_emulator::{Call, Fault, FaultKind};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{World, an_attempt_of_long_ago, failure, spark, status, tests, uid, until};

tests![
    thirty_starts_without_an_answer_are_searched_for_in_the_same_lists,
    a_list_tells_each_object_of_its_own_session,
    a_new_start_needs_two_lists_and_a_deletion_one,
    a_termination_does_not_wait_for_the_lists_of_others,
    a_list_that_is_refused_is_tried_again_for_all_and_not_by_each,
    a_work_group_that_is_not_found_proves_nothing_while_get_work_group_knows_it,
    a_lost_start_is_followed_by_the_next_attempt,
];

const OBJECTS: usize = 30;

/// Creates an object whose attempt has been recorded long ago, and of which nobody knows whether it was started.
async fn create_unknown(world: &World, name: &str, further: Value) -> anyhow::Result<String> {
    let object = world.create_with(name, spark(further)).await?;
    world.set_status(name, an_attempt_of_long_ago()).await?;
    Ok(uid(&object))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("unknown-{number}")).collect()
}

fn strangers(world: &World, count: usize) {
    for _ in 0..count {
        world.emulator.create_foreign("spark-35", Some("somebody's notebook"));
    }
}

/// Searches that were read to their second part, which no sweep asks for.
fn searches(calls: &[Call]) -> Vec<&Call> {
    let is_first_page = |call: &Call| call.request.get("NextToken").is_none();
    let is_degraded = |call: &Call| call.request.get("StateFilter") == Some(&json!("DEGRADED"));
    calls
        .iter()
        .filter(|call| call.operation == "ListSessions" && is_degraded(call) && is_first_page(call))
        .collect()
}

async fn thirty_starts_without_an_answer_are_searched_for_in_the_same_lists(
    world: World,
) -> anyhow::Result<()> {
    strangers(&world, 250);
    for name in names(OBJECTS) {
        create_unknown(&world, &name, json!({})).await?;
    }
    let _operator = world.operator_with(&["--uncertainty=1s", "--observe-interval=2s"], &[])?;
    for name in names(OBJECTS) {
        world.until_status(&name, "started again", |status| status.attempt == Some(1)).await?;
    }
    let (calls, searches) = (world.emulator.calls(), searches(&world.emulator.calls()).len());
    // Two for those that come first, two for those that come during these, and some in reserve for a slow machine.
    ensure!(
        (2..=OBJECTS / 3).contains(&searches),
        "{searches} searches for {OBJECTS} objects, {} calls",
        calls.len()
    );
    Ok(())
}

async fn a_list_tells_each_object_of_its_own_session(world: World) -> anyhow::Result<()> {
    strangers(&world, 150);
    let mut expected = Vec::new();
    for name in names(10) {
        let uid = create_unknown(&world, &name, json!({})).await?;
        expected.push((
            name,
            world.emulator.create_foreign("spark-35", Some(&format!("x [athena-operator/{uid}]"))),
        ));
    }
    strangers(&world, 150);
    let _operator = world.operator_with(&["--uncertainty=1s", "--observe-interval=2s"], &[])?;
    for (name, id) in expected {
        world
            .until_status(&name, "with its session", |status| status.session_id.as_deref() == Some(&id))
            .await?;
    }
    ensure!(world.calls("StartSession").is_empty());
    let searches = searches(&world.emulator.calls()).len();
    ensure!(searches <= 3, "{searches} searches for 10 objects");
    Ok(())
}

async fn a_new_start_needs_two_lists_and_a_deletion_one(world: World) -> anyhow::Result<()> {
    create_unknown(&world, "lost", json!({})).await?;
    // A minute is a tenth of the uncertainty.
    let minute = SignedDuration::from_secs(1);
    let operator = world.operator_with(&["--uncertainty=10s"], &[])?;
    world.until_idle("lost").await?;
    let calls = world.emulator.calls();
    let start = calls.iter().position(|call| call.operation == "StartSession").context("a start")?;
    let times: Vec<Timestamp> = searches(&calls[..start]).iter().map(|call| call.time).collect();
    ensure!(
        times.len() == 2 && times[1].duration_since(times[0]) >= minute * 9 / 10,
        "searches before the start: {times:?}"
    );
    drop(operator);

    create_unknown(&world, "deleted", json!({ "suspend": true })).await?;
    world.patch("deleted", json!({ "metadata": { "finalizers": ["athena-operator.io/session"] } })).await?;
    world.delete("deleted").await?;
    let before = world.emulator.call_count();
    let _operator = world.operator_with(&["--uncertainty=10s"], &[])?;
    world.until_gone("deleted").await?;
    ensure!(searches(&world.emulator.calls_after(before)).len() == 1);
    Ok(())
}

async fn a_termination_does_not_wait_for_the_lists_of_others(world: World) -> anyhow::Result<()> {
    let _operator =
        world.operator_with(&["--athena-rate=5", "--athena-burst=5", "--observe-interval=30s"], &[])?;
    // In a work group of its own, whose sweeps are short.
    world.create_with("running", json!({ "workGroup": "pyspark-3" })).await?;
    let running = world.until_idle("running").await?;
    // 40 pages.
    strangers(&world, 4000);
    for name in names(OBJECTS) {
        create_unknown(&world, &name, json!({ "suspend": true })).await?;
    }
    let pages =
        || world.calls("ListSessions").iter().filter(|call| call.request.get("NextToken").is_some()).count();
    let before = pages();
    until("a list is under way", || pages() > before + 5).await?;
    let before = world.emulator.call_count();
    world.remove("running").await?;
    let calls = world.emulator.calls_after(before);
    let ended = calls.iter().position(|call| {
        call.operation == "TerminateSession" && call.session_id == status(&running).session_id
    });
    let ended = ended.context("no TerminateSession")?;
    ensure!(ended <= 10, "{ended} calls came before it");
    Ok(())
}

async fn a_list_that_is_refused_is_tried_again_for_all_and_not_by_each(world: World) -> anyhow::Result<()> {
    world.deny(&["ListSessions"]);
    for name in names(OBJECTS) {
        create_unknown(&world, &name, json!({})).await?;
    }
    let _operator = world.operator_with(&["--uncertainty=1s", "--observe-interval=1s"], &[])?;
    for name in names(OBJECTS) {
        world.until_reason(&name, "AccessDenied").await?;
    }
    let refused = world.calls("ListSessions").len();
    ensure!(refused <= OBJECTS / 3, "{refused} calls were refused for {OBJECTS} objects");
    world.deny(&[]);
    for name in names(OBJECTS) {
        world.until_idle(&name).await?;
    }
    Ok(())
}

async fn a_work_group_that_is_not_found_proves_nothing_while_get_work_group_knows_it(
    world: World,
) -> anyhow::Result<()> {
    let uid = create_unknown(&world, "lagging", json!({ "suspend": true })).await?;
    let id = world.emulator.create_foreign("spark-35", Some(&format!("x [athena-operator/{uid}]")));
    let not_found = failure(400, "InvalidRequestException", "WorkGroup is not found.");
    world.emulator.set_faults(vec![Fault::new("ListSessions", not_found).times(2)]);
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let object = world.until_reason("lagging", "Suspended").await?;
    ensure!(
        status(&object).session_id.as_deref() == Some(&id) && world.live().is_empty(),
        "{:?}",
        world.emulator.sessions()
    );
    Ok(())
}

async fn a_lost_start_is_followed_by_the_next_attempt(world: World) -> anyhow::Result<()> {
    // The reply is lost, the session vanishes, and Athena forgets the token: nothing tells any more what became of the start.
    world.fault("StartSession", FaultKind::DropBefore);
    let _operator = world.operator_with(&["--uncertainty=2s"], &[])?;
    let uid = uid(&world.create("lost").await?);
    until("the start was tried", || !world.calls("StartSession").is_empty()).await?;
    until("its session is searched", || !world.calls("ListSessions").is_empty()).await?;
    world.clear_faults();
    world.until_attempt("lost", 1).await?;
    let (live, sessions) = (world.live(), world.emulator.sessions());
    ensure!(sessions.len() == 1 && live[0].token == Some(format!("{uid}-1")), "{sessions:?}");
    Ok(())
}
