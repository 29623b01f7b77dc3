//! What many objects cost: nothing at rest but the pages of their work group, and nothing at all once they have ended; and no namespace waits for another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use athena_emulator::{Call, Change, FaultKind};
use athena_operator::api::AthenaSession;
use environment::{Operator, Scope, Signal};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::harness::{World, failure, ready_condition, reconciles, status, tests, uid, until};

tests![
    a_thousand_sessions_at_rest_cost_the_pages_of_their_work_group_and_nothing_else,
    objects_that_have_ended_cost_no_call,
    a_namespace_does_not_wait_for_the_starts_of_another,
    many_watched_namespaces_leave_room_for_other_requests,
    sessions_that_take_long_to_end_hold_up_no_start,
    sessions_that_cannot_be_ended_hold_up_no_start,
    starts_that_wait_for_an_answer_about_their_work_group_hold_up_no_other_call,
    waiting_for_the_rate_limiter_costs_no_reconciles_and_holds_up_no_deletion,
    a_page_of_a_list_serves_as_the_first_look_of_many_sessions,
    sessions_that_are_missing_from_a_list_are_looked_at_though_looks_have_to_wait,
    an_object_that_waits_for_the_rate_limiter_and_is_deleted_or_suspended_leaves_its_turn_to_the_others,
];

const OBJECTS: usize = 1000;
const FOREIGN: usize = 300;
/// Sessions on a page of ListSessions.
const PAGE: usize = 100;
/// Longest wait for all of so many objects.
const PATIENCE: Duration = Duration::from_mins(10);

async fn a_thousand_sessions_at_rest_cost_the_pages_of_their_work_group_and_nothing_else(
    world: World,
) -> anyhow::Result<()> {
    for _ in 0..FOREIGN {
        world.emulator.create_foreign("spark-35", None);
    }
    create(&world, "s", OBJECTS)?;
    let operator = world.operator_with(&["--observe-interval=1s"], &[])?;
    until_all(&world, OBJECTS, "SessionIdle").await?;
    let pages = (OBJECTS + FOREIGN).div_ceil(PAGE);
    rest(&world, &operator, pages).await?;

    // Another operator takes them up as they are.
    operator.end(Signal::TERM)?;
    let calls = world.emulator.calls().len();
    let operator = world.operator_with(&["--observe-interval=1s"], &[])?;
    rest(&world, &operator, pages).await?;
    let others = operations(&world.emulator.calls_after(calls), |operation| {
        !matches!(operation, "ListSessions" | "GetCallerIdentity")
    });
    ensure!(others.is_empty(), "after a restart: {others:?}");
    ensure!(
        world.calls("StartSession").len() == OBJECTS && world.emulator.sessions().len() == OBJECTS + FOREIGN
    );

    // Among so many, a change shows.
    let id = world.status("s-500").await?.session_id.unwrap_or_default();
    world.enter(&id, "BUSY")?;
    world.until_reason("s-500", "SessionBusy").await?;
    Ok(())
}

/// Waits until sweeps are all that goes on, and sees that they are: each the pages of the work group, without a write or a reconcile.
async fn rest(world: &World, operator: &Operator, pages: usize) -> anyhow::Result<()> {
    let sweeps = |calls: &[Call]| calls.iter().filter(|call| begins_a_list(call)).count();
    // What was under way when the last object was settled is over once a sweep has passed without anything else.
    let start = Instant::now();
    let (calls, before) = loop {
        let calls = world.emulator.calls().len();
        let before = told(world, operator)?;
        until("a sweep is made", || sweeps(&world.emulator.calls_after(calls)) > 1).await?;
        if told(world, operator)? == before {
            break (calls, before);
        }
        ensure!(start.elapsed() < PATIENCE, "there is no rest: {before:?}");
    };
    until("ten sweeps are made", || sweeps(&world.emulator.calls_after(calls)) > 10).await?;
    let made = world.emulator.calls_after(calls);
    ensure!(told(world, operator)? == before, "{before:?} has become {:?}", told(world, operator)?);
    let first = made.iter().position(begins_a_list).context("no list was begun")?;
    let last = made.iter().rposition(begins_a_list).context("no list was begun")?;
    ensure!(made.iter().all(|call| call.operation == "ListSessions"), "{:?}", operations(&made, |_| true));
    ensure!(
        (last - first) == (sweeps(&made) - 1) * pages,
        "{} calls for {} sweeps",
        last - first,
        sweeps(&made) - 1
    );
    Ok(())
}

fn begins_a_list(call: &Call) -> bool {
    call.operation == "ListSessions" && call.request.get("NextToken").is_none()
}

/// How many changes the API server was asked for by the operator, and how many reconciles the operator counts.
fn told(world: &World, operator: &Operator) -> anyhow::Result<(usize, u64)> {
    let user = format!("system:serviceaccount:{}:", world.namespace);
    let requests = world.stage().requests()?;
    let is_change = |verb: &str| !matches!(verb, "get" | "list" | "watch");
    let changes =
        requests.iter().filter(|request| request.user.starts_with(&user) && is_change(&request.verb)).count();
    Ok((changes, reconciles(operator)?))
}

fn operations(calls: &[Call], wanted: impl Fn(&str) -> bool) -> BTreeMap<String, usize> {
    calls.iter().filter(|call| wanted(&call.operation)).fold(BTreeMap::new(), |mut counts, call| {
        *counts.entry(call.operation.clone()).or_default() += 1;
        counts
    })
}

/// Creates so many objects, NAME-0 and so on.
fn create(world: &World, name: &str, count: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.json");
    std::fs::write(&file, list(name, count).to_string())?;
    world.kubectl(&["create", "-f", &file.display().to_string()])?;
    Ok(())
}

fn list(name: &str, count: usize) -> Value {
    let object = |number| {
        json!({
            "apiVersion": "athena-operator.io/v1alpha1",
            "kind": "AthenaSession",
            "metadata": { "name": format!("{name}-{number}") },
            "spec": { "workGroup": "spark-35" },
        })
    };
    json!({ "apiVersion": "v1", "kind": "List", "items": (0..count).map(object).collect::<Vec<_>>() })
}

/// Waits until Ready of so many objects has this reason.
async fn until_all(world: &World, count: usize, reason: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let objects = world.sessions.list(&ListParams::default()).await?.items;
        let there = objects
            .iter()
            .filter(|object| ready_condition(object).is_some_and(|ready| ready.reason == reason))
            .count();
        if there == count {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            bail!("{there} of {count} objects came to be {reason}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn objects_that_have_ended_cost_no_call(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    create(&world, "e", 100)?;
    until_all(&world, 100, "SessionIdle").await?;
    for session in world.emulator.sessions() {
        world.change(&session.session_id, Change::Terminate)?;
    }
    until_all(&world, 100, "StoppedOutside").await?;
    operator.end(Signal::TERM)?;

    // Another operator meets them all, and starts one session in another work group, so that time is seen to pass.
    let calls = world.emulator.calls().len();
    let _operator = world.operator()?;
    world
        .idle_with(
            "other",
            json!({ "workGroup": "pyspark-3", "engineConfiguration": { "maxConcurrentDpus": 2 } }),
        )
        .await?;
    let sweeps =
        || world.emulator.calls_after(calls).iter().filter(|call| call.operation == "ListSessions").count();
    until("ten sweeps are made", || sweeps() > 10).await?;
    let other = world.status("other").await?.session_id;
    let is_other = |call: &Call| {
        call.operation == "GetCallerIdentity"
            || call.session_id.is_some() && call.session_id == other
            || call.request.to_string().contains("pyspark-3")
    };
    let made = world.emulator.calls_after(calls);
    ensure!(
        made.iter().all(is_other),
        "{:?}",
        made.iter().filter(|call| !is_other(call)).collect::<Vec<_>>()
    );
    Ok(())
}

async fn a_namespace_does_not_wait_for_the_starts_of_another(world: World) -> anyhow::Result<()> {
    const QUEUED: usize = 500;
    const RATE: f64 = 1.0;
    let other = format!("{}-b", world.namespace);
    world.stage().kubectl_ok(&["create", "namespace", &other])?;
    create(&world, "a", QUEUED)?;
    let (namespaces, rate) =
        (format!("--namespaces={},{other}", world.namespace), format!("--athena-rate={RATE}"));
    let operator = world.operator_in(Scope::Everywhere, &[&namespaces, &rate, "--athena-burst=1"])?;
    // All of them wait for their turn once they are held and nothing waits for a reconcile any more.
    let start = Instant::now();
    let held =
        |objects: &[AthenaSession]| objects.iter().filter(|object| !object.finalizers().is_empty()).count();
    while held(&world.sessions.list(&ListParams::default()).await?.items) < QUEUED {
        ensure!(start.elapsed() < PATIENCE, "not all objects are held");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let empty = |line: &str| line.starts_with("workqueue_depth") && line.ends_with(" 0");
    until("no reconcile waits", || operator.get("/metrics").is_ok_and(|(_, text)| text.lines().any(empty)))
        .await?;
    until("two sessions are started", || world.calls("StartSession").len() >= 2).await?;

    let before = world.calls("StartSession").len();
    let object = list("b", 1)["items"][0].clone();
    let created = Api::<AthenaSession>::namespaced(world.client.clone(), &other)
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let token = Some(uid(&created));
    until("its session is started", || world.calls("StartSession").iter().any(|call| call.token == token))
        .await?;
    let starts = world.calls("StartSession");
    let place = starts.iter().skip(before).position(|call| call.token == token).context("it was started")?;
    ensure!(place < 2, "{place} starts came before it");
    let calls: Vec<Call> =
        world.emulator.calls().into_iter().filter(|call| call.operation != "GetCallerIdentity").collect();
    let ahead = environment::load::ahead(&calls, RATE, 1).context("there were calls")?;
    ensure!(ahead < environment::load::JITTER, "calls came {ahead:?} ahead of the limiter");
    Ok(())
}

async fn many_watched_namespaces_leave_room_for_other_requests(world: World) -> anyhow::Result<()> {
    // More than the requests that the API server permits at a time on one connection. A namespace may be watched before it exists.
    const WATCHED: usize = 150;
    let names: Vec<String> = (1..WATCHED).map(|number| format!("{}-{number}", world.namespace)).collect();
    let namespaces = format!("--namespaces={},{}", world.namespace, names.join(","));
    let operator = world.operator_in(Scope::Everywhere, &[&namespaces])?;
    create(&world, "a", 1)?;
    until_all(&world, 1, "SessionIdle").await?;
    let name = world.sessions.list(&ListParams::default()).await?.items[0].name_any();
    world.delete(&name).await?;
    world.until_gone(&name).await?;
    let log = operator.raw_log();
    ensure!(!log.contains("no reply within"), "a request got no reply:\n{log}");
    Ok(())
}

async fn sessions_that_take_long_to_end_hold_up_no_start(world: World) -> anyhow::Result<()> {
    // Looks at them are due more often than the limiter has turns.
    const ENDING: usize = 20;
    world.emulator.configure(|config| config.terminating = Duration::from_hours(1));
    let operator = world.operator()?;
    create(&world, "s", ENDING)?;
    until_all(&world, ENDING, "SessionIdle").await?;
    for object in world.sessions.list(&ListParams::default()).await? {
        world.delete(&object.name_any()).await?;
    }
    until("all are asked to end", || world.calls("TerminateSession").len() >= ENDING).await?;
    operator.end(Signal::TERM)?;
    let _operator = world.operator_with(&["--athena-rate=4", "--athena-burst=1"], &[])?;
    world.idle("new").await?;
    Ok(())
}

async fn sessions_that_cannot_be_ended_hold_up_no_start(world: World) -> anyhow::Result<()> {
    const STUCK: usize = 30;
    let operator = world.operator()?;
    create(&world, "s", STUCK)?;
    until_all(&world, STUCK, "SessionIdle").await?;
    operator.end(Signal::TERM)?;
    world.fault("TerminateSession", failure(500, "InternalServerException", "no"));
    for object in world.sessions.list(&ListParams::default()).await? {
        world.delete(&object.name_any()).await?;
    }
    // Each of them asks for more turns than there are.
    let _operator = world.operator_with(&["--athena-rate=2", "--athena-burst=1"], &[])?;
    until("they are tried again and again", || world.calls("TerminateSession").len() >= 10).await?;
    world.idle("new").await?;
    Ok(())
}

async fn starts_that_wait_for_an_answer_about_their_work_group_hold_up_no_other_call(
    world: World,
) -> anyhow::Result<()> {
    const WAITING: usize = 30;
    let operator = world.operator()?;
    world.idle("living").await?;
    operator.end(Signal::TERM)?;
    let before = world.calls("GetWorkGroup").len();
    let asked = || world.calls("GetWorkGroup").len() - before;
    world.fault("GetWorkGroup", FaultKind::Hang { effect: false });
    create(&world, "s", WAITING)?;
    let operator =
        world.operator_with(&["--athena-rate=5", "--athena-burst=5", "--athena-timeout=20s"], &[])?;
    until("the work group is asked for", || asked() > 0).await?;
    let start = Instant::now();
    let held =
        |objects: &[AthenaSession]| objects.iter().filter(|object| !object.finalizers().is_empty()).count();
    while held(&world.sessions.list(&ListParams::default()).await?.items) <= WAITING {
        ensure!(start.elapsed() < PATIENCE, "not all objects are held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Each has come so far as to want to know of the work group.
    let empty = |line: &str| line.starts_with("workqueue_depth") && line.ends_with(" 0");
    until("no reconcile waits", || operator.get("/metrics").is_ok_and(|(_, text)| text.lines().any(empty)))
        .await?;
    world.clear_faults();
    world.set("living", json!({ "suspend": true })).await?;
    world.until_reason("living", "Suspended").await?;
    ensure!(asked() == 1, "it was asked for {} times while nobody had answered", asked());
    ensure!(world.calls("StartSession").len() == 1, "something was started before the work group was read");

    // No answer comes; then each of them has its turn.
    until_all(&world, WAITING, "SessionIdle").await?;
    ensure!(asked() <= 3, "it was asked for {} times for {WAITING} objects", asked());
    let reconciles = reconciles(&operator)?;
    ensure!(reconciles <= 20 * WAITING as u64, "{reconciles} reconciles of {WAITING} objects");
    Ok(())
}

/// Starts so many objects, suspends them, and waits until they have no session.
async fn suspended(world: &World, count: usize) -> anyhow::Result<()> {
    let operator = world.operator()?;
    create(world, "s", count)?;
    until_all(world, count, "SessionIdle").await?;
    suspend(world, count, true).await?;
    until_all(world, count, "Suspended").await?;
    operator.end(Signal::TERM)?;
    Ok(())
}

async fn suspend(world: &World, count: usize, suspend: bool) -> anyhow::Result<()> {
    for number in 0..count {
        world.set(&format!("s-{number}"), json!({ "suspend": suspend })).await?;
    }
    Ok(())
}

async fn waiting_for_the_rate_limiter_costs_no_reconciles_and_holds_up_no_deletion(
    world: World,
) -> anyhow::Result<()> {
    const WAITING: usize = 50;
    suspended(&world, WAITING).await?;
    let unrelated = {
        let operator = world.operator()?;
        world.create("finished").await?;
        let id = status(&world.until_idle("finished").await?).session_id.context("a session")?;
        world.change(&id, Change::Terminate)?;
        world.until_status("finished", "finished", |status| status.end_time.is_some()).await?;
        operator.end(Signal::TERM)?;
        "finished"
    };
    let operator = world.operator_with(&["--athena-rate=0.5", "--athena-burst=1"], &[])?;
    let (before, calls) = (reconciles(&operator)?, world.emulator.calls().len());
    suspend(&world, WAITING, false).await?;
    let starts =
        || world.emulator.calls_after(calls).iter().filter(|call| call.operation == "StartSession").count();
    until("four of them are started", || starts() >= 4).await?;
    let (reconciles, made) = (reconciles(&operator)? - before, world.emulator.calls_after(calls).len());
    // Each is resumed; whoever has a turn is triggered, records, starts and is looked at.
    ensure!(
        reconciles <= (2 * WAITING + 6 * made) as u64,
        "{reconciles} reconciles of {WAITING} objects for {made} calls"
    );

    let calls = world.emulator.calls().len();
    world.remove(unrelated).await?;
    let made = world.emulator.calls_after(calls).len();
    ensure!(made <= 1, "{made} calls at one in two seconds went before a deletion that needs none");
    Ok(())
}

async fn a_page_of_a_list_serves_as_the_first_look_of_many_sessions(world: World) -> anyhow::Result<()> {
    const STARTED: usize = 60;
    suspended(&world, STARTED).await?;
    // As often as by default.
    let flags =
        ["--athena-rate=5", "--athena-burst=10", "--observe-interval=20s", "--transition-interval=2s"];
    let operator = world.operator_with(&flags, &[])?;
    let (before, calls) = (reconciles(&operator)?, world.emulator.calls().len());
    suspend(&world, STARTED, false).await?;
    until_all(&world, STARTED, "SessionIdle").await?;
    let reconciles = reconciles(&operator)? - before;
    ensure!(reconciles <= 10 * STARTED as u64, "{reconciles} reconciles of {STARTED} objects");
    let made = world.emulator.calls_after(calls);
    let looks = made.iter().filter(|call| call.operation.starts_with("GetSession")).count();
    ensure!(looks < STARTED, "{:?}", operations(&made, |_| true));
    for object in world.sessions.list(&ListParams::default()).await?.items {
        let (start, ready) = (
            status(&object).start_time.context("a start")?,
            ready_condition(&object).context("a look")?.last_transition_time,
        );
        let unseen = ready.0.duration_since(start.0).as_secs_f64();
        ensure!(unseen <= 15.0, "{} was billed for {unseen} s before anybody looked", object.name_any());
    }
    let ahead = environment::load::ahead(&made, 5.0, 10).context("there were calls")?;
    ensure!(ahead < environment::load::JITTER, "calls came {ahead:?} ahead of the limiter");
    Ok(())
}

async fn sessions_that_are_missing_from_a_list_are_looked_at_though_looks_have_to_wait(
    world: World,
) -> anyhow::Result<()> {
    const ENDED: usize = 8;
    let operator = world.operator()?;
    create(&world, "s", ENDED)?;
    until_all(&world, ENDED, "SessionIdle").await?;
    operator.end(Signal::TERM)?;
    let _operator =
        world.operator_with(&["--athena-rate=2", "--athena-burst=1", "--observe-interval=1s"], &[])?;
    let calls = world.emulator.calls().len();
    until("a sweep is made", || {
        world.emulator.calls_after(calls).iter().filter(|call| begins_a_list(call)).count() > 1
    })
    .await?;
    for session in world.emulator.sessions() {
        world.change(&session.session_id, Change::Terminate)?;
    }
    for number in 0..ENDED {
        world.until_status(&format!("s-{number}"), "ended", |status| status.end_time.is_some()).await?;
    }
    Ok(())
}

async fn an_object_that_waits_for_the_rate_limiter_and_is_deleted_or_suspended_leaves_its_turn_to_the_others(
    world: World,
) -> anyhow::Result<()> {
    const WAITING: usize = 8;
    suspended(&world, WAITING).await?;
    let calls = world.emulator.calls().len();
    let _operator = world.operator_with(&["--athena-rate=1", "--athena-burst=1"], &[])?;
    suspend(&world, WAITING, false).await?;
    let started = |number: usize| {
        let token = format!("s-{number}");
        let calls = world.emulator.calls_after(calls);
        calls.iter().any(|call| {
            call.operation == "StartSession" && call.request.to_string().contains(&format!("/{token}"))
        })
    };
    until("one is started", || (0..WAITING).any(started)).await?;
    let last = WAITING - 1;
    for number in 1..last {
        let name = format!("s-{number}");
        if number % 2 == 0 {
            world.delete(&name).await?;
        } else {
            world.set(&name, json!({ "suspend": true })).await?;
        }
    }
    world.until_idle(&format!("s-{last}")).await?;
    for number in 1..last {
        let name = format!("s-{number}");
        if number % 2 == 0 {
            world.until_gone(&name).await?;
        } else {
            world.until_reason(&name, "Suspended").await?;
        }
    }
    let live = world.live().len();
    ensure!(live <= 2, "{live} sessions live");
    Ok(())
}
