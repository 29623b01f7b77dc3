//! Events: which are the same, what is shown of those, and what that costs.

use anyhow::{Context, ensure};
use athena_emulator::FaultKind;
use serde_json::{Value, json};

use crate::harness::{World, failed, fails, spark, tests, until};

tests![
    what_is_refused_again_is_one_event_with_the_newest_request_and_another_refusal_is_another,
    each_attempt_has_events_of_its_own,
    a_start_is_told_though_status_and_events_could_not_be_written,
];

fn message(event: &Value) -> &str {
    event["message"].as_str().unwrap_or_default()
}

/// How often the operator has written events that were there already.
fn patches(world: &World) -> anyhow::Result<usize> {
    let of = |request: &environment::Request| {
        request.user.contains(&world.namespace) && request.resource == "events" && request.verb == "patch"
    };
    Ok(world.stage().requests()?.into_iter().filter(of).count())
}

async fn what_is_refused_again_is_one_event_with_the_newest_request_and_another_refusal_is_another(
    world: World,
) -> anyhow::Result<()> {
    let told = |count: usize| world.events("TerminateRefused").is_ok_and(|events| events.len() == count);
    let request = |call: usize| {
        world.calls("TerminateSession").get(call).map(|call| call.request_id.clone()).context("no such call")
    };
    world.deny(&["TerminateSession"]);
    let _operator = world.operator()?;
    world.idle("one").await?;
    world.set("one", json!({ "suspend": true })).await?;
    until("a refused call is told", || told(1)).await?;
    world.deny(&[]);
    world.fault("TerminateSession", FaultKind::Throttle);
    until("another refusal is told", || told(2)).await?;
    let first = world.events("TerminateRefused")?;
    let calls = world.calls("TerminateSession").len();

    let newest = || {
        world
            .events("TerminateRefused")
            .ok()
            .and_then(|events| events.into_iter().max_by_key(|event| event["count"].as_i64()))
    };
    until("it is tried again and again", || world.calls("TerminateSession").len() >= calls + 4).await?;
    let ids = (calls..calls + 4).map(request).collect::<anyhow::Result<Vec<_>>>()?;
    let shows = |event: &Value| ids.iter().any(|id| message(event).contains(id.as_str()));
    until("the newest text is shown", || newest().is_some_and(|event| shows(&event))).await?;

    let events = world.events("TerminateRefused")?;
    let tries = world.calls("TerminateSession").len();
    ensure!(events.len() == 2, "{events:#?}");
    let denied = events.iter().find(|event| message(event).contains("not authorized"));
    let denied = denied.context("the first refusal is not told")?;
    ensure!(denied["count"] == 1 && message(denied).contains(&request(0)?), "{denied}");
    let throttled = newest().context("no event")?;
    let same = first.iter().find(|event| event["metadata"]["name"] == throttled["metadata"]["name"]);
    let same = same.context("another event object")?;
    ensure!(
        same["firstTimestamp"] == throttled["firstTimestamp"] && message(same) != message(&throttled),
        "{throttled}"
    );
    ensure!(throttled["count"].as_u64().is_some_and(|count| count > 2), "{throttled}");
    let patches = patches(&world)?;
    ensure!(patches <= 2, "{patches} writes for {tries} calls");
    Ok(())
}

async fn each_attempt_has_events_of_its_own(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("one", spark(json!({ "restartPolicy": "OnFailure" }))).await?;
    for attempt in 0..2 {
        let id = world.until_attempt("one", attempt).await?.session_id.context("an id")?;
        let reason = format!("failure {attempt}");
        world.enter_with(&id, "FAILED", Some(&reason))?;
        for (kind, text) in
            [("SessionStarted", &id), ("RestartingAfterFailure", &id), ("RestartingAfterFailure", &reason)]
        {
            let is_told = || {
                world.events(kind).is_ok_and(|events| {
                    events.iter().filter(|event| message(event).contains(text.as_str())).count() == 1
                })
            };
            until(&format!("{kind} tells of {text}"), is_told).await?;
        }
    }
    let events = world.events("RestartingAfterFailure")?;
    ensure!(events.len() == 2 && events.iter().all(|event| event["count"] == 1), "{events:#?}");
    ensure!(patches(&world)? == 0, "a second write of one of them");
    Ok(())
}

async fn a_start_is_told_though_status_and_events_could_not_be_written(world: World) -> anyhow::Result<()> {
    let (proxy, _operator, _folder) = world.behind_a_proxy().await?;
    for (name, verb, resource, code, spared, times) in [
        // The second write of the status names the session.
        ("conflict", "update", "athenasessions/status", 409, 1, 1),
        ("failure", "update", "athenasessions/status", 500, 1, 1),
        ("events", "create", "events", 503, 0, 4),
    ] {
        proxy.set_faults(vec![fails(verb, resource, code).after(spared).times(times)]);
        world.create(name).await?;
        let is_its = |event: &Value| event["involvedObject"]["name"] == name;
        until(&format!("{name} is told"), || {
            world.events("SessionStarted").is_ok_and(|events| events.iter().any(is_its))
        })
        .await?;
        let failed = failed(&proxy, code);
        ensure!(u32::try_from(failed)? == times, "{failed} requests failed with {code}");
    }
    Ok(())
}
