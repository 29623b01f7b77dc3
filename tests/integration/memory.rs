//! What users can store in objects does not accumulate in the operator, and none of it that is not kept is shown.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use athena_emulator::{Change, FaultKind};
use environment::Operator;
use fault_proxy::Outcome;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::policies::refuse_statuses;
use crate::harness::{World, condition, failed, fails, has, spark, status, tests, uid, until, until_logged};

tests![
    memory_does_not_grow_with_what_users_store_in_objects,
    a_value_in_a_large_spec_is_shown_nowhere,
    a_text_is_withheld_while_the_spec_that_it_may_repeat_cannot_be_read,
    a_session_of_a_large_spec_is_adopted_only_with_its_properties,
];

/// How many large objects there are; OBJECTS says otherwise, for a measurement.
const OBJECTS: usize = 50;
/// The most that a debug build may take to list them, in MiB. Without a bound it takes 196.
const LISTED: f64 = 64.0;
/// The same for starting their sessions.
const STARTED: f64 = 80.0;

/// A spec of about so many bytes, in 100 properties.
fn large(bytes: usize, first: &str) -> Value {
    let mut properties: serde_json::Map<String, Value> = (1..100)
        .map(|number| (format!("spark.property.p{number}"), "x".repeat(bytes / 100).into()))
        .collect();
    properties.insert("spark.property.first".into(), first.into());
    spark(
        json!({ "engineConfiguration": { "classifications": [{ "name": "spark-defaults", "properties": properties }] } }),
    )
}

/// The most memory that the operator has had, in MiB.
fn peak(operator: &Operator) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Waits until so many objects are as `selector` says, without reading what they hold.
async fn until_state(world: &World, count: usize, selector: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let there = world.sessions.list_metadata(&ListParams::default().fields(selector)).await?.items.len();
        if there == count {
            return Ok(());
        }
        if start.elapsed() > Duration::from_mins(5) {
            bail!("{there} of {count} objects came to be {selector}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn memory_does_not_grow_with_what_users_store_in_objects(world: World) -> anyhow::Result<()> {
    let objects = std::env::var("OBJECTS").map_or(Ok(OBJECTS), |text| text.parse())?;
    let annotations = json!({ "metadata": { "annotations": { "example.org/note": "x".repeat(100_000) }, "labels": { "example.org/label": "x" } } });
    for number in 0..objects {
        let mut spec = large(900_000, "x");
        spec["suspend"] = json!(true);
        world.create_with(&format!("o-{number}"), spec).await?;
        world.patch(&format!("o-{number}"), annotations.clone()).await?;
    }
    // The list begins again in the middle.
    let gone = fails("list", "athenasessions", 410).after(5).times(1);
    let (proxy, operator, _folder) =
        world.proxied(vec![gone], &["--athena-rate=5", "--athena-burst=10"]).await?;
    let watches = |count: usize| {
        proxy.requests_after(count).iter().filter(|request| request.operation.verb == "watch").count()
    };
    let start = Instant::now();
    while watches(0) == 0 {
        ensure!(
            start.elapsed() < Duration::from_mins(3),
            "the objects are not listed:\n{}",
            operator.raw_log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    operator.wait_until_ready()?;
    let (_, metrics) = operator.get("/metrics")?;
    ensure!(metrics.contains("namespace"), "the objects are told:\n{metrics}");
    let gone = failed(&proxy, 410);
    let lists = proxy.requests().iter().filter(|request| request.operation.verb == "list").count();
    let started = peak(&operator)?;
    eprintln!(
        "after a start: {started:.1} MiB, {lists} pages, {gone} of them expired, {:?}",
        start.elapsed()
    );
    ensure!(started < LISTED, "{started} MiB after a start");

    // 410 Gone: everything is listed again.
    let is_open = |request: &fault_proxy::Request| {
        request.operation.verb == "watch" && request.outcome == Outcome::Passed(200)
    };
    until("the objects are watched", || proxy.requests().iter().any(is_open)).await?;
    let before = proxy.arrived();
    proxy.set_faults(vec![
        fault_proxy::Fault::new("watch", "athenasessions", fault_proxy::FaultKind::Gone).times(1),
    ]);
    proxy.cut_watches();
    let listed_again = || {
        let after = proxy.requests_after(before);
        let listed = after.iter().rposition(|request| request.operation.verb == "list");
        listed.is_some_and(|listed| after[listed..].iter().any(|request| request.operation.verb == "watch"))
    };
    until("the objects are listed again", listed_again).await?;
    let again = peak(&operator)?;
    eprintln!("after 410 Gone: {again:.1} MiB");
    ensure!(again < LISTED, "{again} MiB after 410 Gone");

    for number in 0..objects {
        world.set(&format!("o-{number}"), json!({ "suspend": false })).await?;
    }
    until_state(&world, objects, "status.state=IDLE").await?;
    let resumed = peak(&operator)?;
    eprintln!("resumed: {resumed:.1} MiB");
    ensure!(resumed < STARTED, "{resumed} MiB when all were resumed");
    let starts = world.calls("StartSession");
    ensure!(
        starts.len() == objects && starts.iter().all(|call| call.request.to_string().len() > 890_000),
        "{} starts",
        starts.len()
    );
    Ok(())
}

async fn a_value_in_a_large_spec_is_shown_nowhere(world: World) -> anyhow::Result<()> {
    const CANARY: &str = "canary-in-a-large-spec";
    let spec = large(300_000, CANARY);
    let operator = world.operator_with(&["--log=trace"], &[])?;
    let text = format!("the value {CANARY} is no good");
    let kind = FaultKind::Fail { status: 400, code: "InvalidRequestException".into(), message: text.clone() };
    world.fault("StartSession", kind);
    world.create_with("refused", spec.clone()).await?;
    let message = world.until_told("refused", "Refused").await?;
    has(&message, &["the value *** is no good"])?;
    world.clear_faults();

    world.create_with("fails", spec.clone()).await?;
    let id = status(&world.until_idle("fails").await?).session_id.unwrap_or_default();
    world.change(&id, Change::State { state: "FAILED".into(), reason: Some(text) })?;
    let object = world.until_reason("fails", "SessionFailed").await?;
    ensure!(status(&object).state_change_reason.as_deref() == Some("the value *** is no good"), "{object:?}");

    // The API server refuses the status, and repeats the value.
    let value = "object.spec.engineConfiguration.classifications[0].properties['spark.property.first']";
    let refusing = refuse_statuses(&world, value, "fails").await?;
    world.create_with("denied", spec).await?;
    until_logged(&operator, "no status with ***").await?;
    drop(refusing);

    world.is_shown_nowhere(&operator, CANARY)?;
    for object in world.sessions.list(&ListParams::default()).await? {
        ensure!(
            !serde_json::to_string(&object.status)?.contains(CANARY),
            "the status of {} holds the value",
            object.name_any()
        );
    }
    Ok(())
}

async fn a_text_is_withheld_while_the_spec_that_it_may_repeat_cannot_be_read(
    world: World,
) -> anyhow::Result<()> {
    const CANARY: &str = "canary-of-a-spec-that-cannot-be-read";
    let (proxy, operator, _folder) = world.behind_a_proxy().await?;
    world.create_with("etl", large(300_000, CANARY)).await?;
    let id = status(&world.until_idle("etl").await?).session_id.context("an id")?;
    proxy.set_faults(vec![fails("get", "athenasessions", 500)]);
    let reason = Some(format!("the value {CANARY} is no good"));
    world.change(&id, Change::State { state: "FAILED".into(), reason })?;
    let object = world.until_reason("etl", "SessionFailed").await?;
    let shown = status(&object).state_change_reason.unwrap_or_default();
    ensure!(shown.contains("is not shown"), "{shown}");
    ensure!(!operator.raw_log().contains(CANARY), "the log holds the value");
    Ok(())
}

async fn a_session_of_a_large_spec_is_adopted_only_with_its_properties(world: World) -> anyhow::Result<()> {
    // The reply is lost, the operator ends, and what was started is found by its marker.
    let spec = large(300_000, "own");
    let operator = world.operator()?;
    world.fault("StartSession", FaultKind::DropAfter);
    world.create_with("lost", spec.clone()).await?;
    until("a session is started", || !world.emulator.sessions().is_empty()).await?;
    world.until_status("lost", "recorded", |status| status.attempt.is_some()).await?;
    operator.end(environment::Signal::KILL)?;
    world.clear_faults();
    // Nothing of the attempt is recorded any more.
    let wiped =
        json!({ "status": { "attempt": null, "attemptTime": null, "region": null, "accountId": null } });
    world.sessions.patch_status("lost", &PatchParams::default(), &Patch::Merge(wiped)).await?;
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let object = world.until_idle("lost").await?;
    ensure!(
        condition(&object, "Stalled").is_none() && world.emulator.sessions().len() == 1,
        "{:?}",
        world.emulator.sessions().len()
    );

    // One that carries the marker and lacks the properties is not its session.
    world.fault("StartSession", FaultKind::DropBefore);
    let before = world.calls("StartSession").len();
    let uid = uid(&world.create_with("strange", spec).await?);
    until("it was tried", || world.calls("StartSession").len() > before).await?;
    world.emulator.create_foreign("spark-35", Some(&format!("strange [athena-operator/{uid}]")));
    world.until_reason("strange", "MarkerMismatch").await?;
    Ok(())
}
