//! Clocks that are wrong or jump: the node's, against Athena's and the API server's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Call, Change, Fault, FaultKind, Outcome};
use athena_operator::api::{AthenaSession, FINALIZER};
use environment::{Operator, Signal};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::harness::{World, names, ready_condition, reconciles, sample, spark, status, tests, until};

tests![
    a_node_ahead_does_not_take_an_early_list_for_a_proof_of_absence,
    a_jump_of_the_nodes_clock_while_a_start_is_unanswered_starts_no_second_session,
    a_jump_of_the_nodes_clock_ends_no_session,
    before_athena_has_told_its_time_nothing_is_deleted_for_its_age,
    before_athena_has_told_its_time_a_failed_session_is_not_restarted,
    athenas_time_is_asked_for_once_for_all_objects_that_wait_for_it,
    a_single_wrong_date_at_the_start_ends_deletes_and_dates_nothing,
    a_skew_is_shown_in_a_metric_and_once_in_the_log,
];

/// A node whose clock is not the time.
struct Node {
    library: PathBuf,
    folder: tempfile::TempDir,
}

impl Node {
    /// A node whose clock is `seconds` ahead.
    fn ahead(seconds: i64) -> anyhow::Result<Self> {
        let node = Self { library: tools::faketime()?, folder: tempfile::tempdir()? };
        node.jump(seconds)?;
        Ok(node)
    }

    /// Sets its clock to be `seconds` ahead.
    fn jump(&self, seconds: i64) -> anyhow::Result<()> {
        // A file that is half written would be another time.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(new, self.folder.path().join("offset"))?)
    }

    /// Starts an operator on it.
    fn operator(&self, world: &World, flags: &[&str]) -> anyhow::Result<Operator> {
        let (library, offset) =
            (self.library.display().to_string(), self.folder.path().join("offset").display().to_string());
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &offset),
            ("FAKETIME_NO_CACHE", "1"),
            // A jump of the wall clock moves no timer.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        world.operator_with(flags, &env)
    }
}

/// The skew that the operator shows.
fn skew(operator: &Operator) -> Option<f64> {
    sample(operator, "athena_operator_clock_skew_seconds").ok()?
}

fn is_idle(object: &AthenaSession) -> bool {
    ready_condition(object).is_some_and(|ready| ready.reason == "SessionIdle")
}

async fn a_node_ahead_does_not_take_an_early_list_for_a_proof_of_absence(world: World) -> anyhow::Result<()> {
    const UNCERTAINTY: Duration = Duration::from_secs(8);
    let node = Node::ahead(600)?;
    let _operator = node.operator(&world, &["--uncertainty=8s"])?;
    // A finalizer whose status was wiped: whether a session lives is not known.
    let metadata = json!({ "name": "wiped", "finalizers": [FINALIZER] });
    world.create_as(&metadata, &spark(json!({ "suspend": true }))).await?;
    let before = Instant::now();
    world.remove("wiped").await?;
    let waited = before.elapsed();
    // The server writes the time of a deletion in whole seconds.
    ensure!(waited + Duration::from_secs(1) >= UNCERTAINTY, "it was let go {waited:?} after its deletion");
    ensure!(world.calls("ListSessions").len() >= 2, "a complete list is the active and the degraded ones");
    Ok(())
}

async fn a_jump_of_the_nodes_clock_while_a_start_is_unanswered_starts_no_second_session(
    world: World,
) -> anyhow::Result<()> {
    // The session is there, and no list shows it yet.
    world.emulator.configure(|config| config.list_lag = Duration::from_hours(1));
    world.fault("StartSession", FaultKind::DropAfter);
    let node = Node::ahead(0)?;
    let operator = node.operator(&world, &[])?;
    world.create("jumped").await?;
    until("StartSession is tried again", || world.calls("StartSession").len() >= 2).await?;
    node.jump(21 * 60)?;
    world.further_calls("StartSession", 2).await?;
    world.clear_faults();
    let object = world.until_idle("jumped").await?;
    ensure!(status(&object).attempt == Some(0) && world.emulator.sessions().len() == 1);
    ensure!(world.calls("ListSessions").iter().all(|call| call.outcome.is_ok()));
    until("the skew is shown", || skew(&operator).is_some_and(|skew| (skew - 1260.0).abs() < 5.0)).await
}

async fn a_jump_of_the_nodes_clock_ends_no_session(world: World) -> anyhow::Result<()> {
    let node = Node::ahead(-400)?;
    let operator = node.operator(&world, &[])?;
    let spec = json!({
        "workGroup": "spark-35", "restartPolicy": "OnFailure", "startupDeadlineSeconds": 300, "activeDeadlineSeconds": 600,
    });
    world.emulator.configure(|config| config.stick_in = Some("CREATED".into()));
    world.create_with("starting", spec.clone()).await?;
    world.until_reason("starting", "SessionCreated").await?;
    for seconds in [400, 4_000, -4_000] {
        node.jump(seconds)?;
        world.further_calls("GetSessionStatus", 2).await?;
    }
    world.emulator.configure(|config| config.stick_in = None);
    world.until_idle("starting").await?;
    for seconds in [700, 4_000] {
        node.jump(seconds)?;
        world.further_calls("ListSessions", 2).await?;
        // An edit has the object reconciled.
        let edit = json!({ "metadata": { "annotations": { "jump": seconds.to_string() } } });
        world.patch("starting", edit).await?;
        world.idle(&format!("after-{seconds}")).await?;
    }
    let is_refused = |call: &&Call| !call.outcome.is_ok() && call.operation != "GetCallerIdentity";
    let refused = world.emulator.calls().iter().filter(is_refused).count();
    // Only the first can have been signed with a wrong clock.
    ensure!(refused <= 1, "{refused} calls were refused");
    ensure!(is_idle(&world.sessions.get("starting").await?) && world.emulator.sessions().len() == 3);
    drop(operator);
    // A restart on a node that is wrong the other way.
    node.jump(3_600)?;
    let _operator = node.operator(&world, &[])?;
    world.idle("another").await?;
    ensure!(is_idle(&world.sessions.get("starting").await?) && world.live().len() == 4);
    Ok(())
}

/// Has a proxy answer every call in Athena's place, and starts an operator, which asks so often for Athena's time.
async fn ask_in_vain(world: &World, times: usize) -> anyhow::Result<Operator> {
    let answer = FaultKind::Malformed { status: 502, body: "<html>Bad Gateway</html>".into() };
    world.fault("*", answer);
    let before = world.calls("GetWorkGroup").len();
    let operator = world.operator()?;
    let asked = || world.calls("GetWorkGroup").len() >= before + times;
    until("Athena is asked for its time again", asked).await?;
    Ok(operator)
}

async fn before_athena_has_told_its_time_nothing_is_deleted_for_its_age(world: World) -> anyhow::Result<()> {
    // Athena's clock is right, so to speak, and the node's and the proxy's are ahead.
    world.emulator.configure(|config| config.clock_ahead = -3_600);
    let operator = world.operator()?;
    world.create_with("finished", spark(json!({ "activeDeadlineSeconds": 1 }))).await?;
    world.until_over("finished").await?;
    drop(operator);
    world.set("finished", json!({ "ttlSecondsAfterFinished": 1_800 })).await?;
    let before = world.calls("GetWorkGroup").len();
    let _operator = ask_in_vain(&world, 2).await?;
    let object = world.sessions.get("finished").await?;
    ensure!(object.metadata.deletion_timestamp.is_none());
    world.clear_faults();
    // The first answer may be that the node's clock is wrong, which tells the time as well.
    let answered = || {
        world
            .calls("GetWorkGroup")
            .iter()
            .skip(before)
            .any(|call| matches!(call.outcome, Outcome::Ok | Outcome::Error(_)))
    };
    until("Athena has told its time", answered).await?;
    ensure!(world.sessions.get("finished").await?.metadata.deletion_timestamp.is_none());
    world.set("finished", json!({ "ttlSecondsAfterFinished": 1 })).await?;
    world.until_gone("finished").await
}

async fn before_athena_has_told_its_time_a_failed_session_is_not_restarted(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.clock_ahead = -3_600);
    let operator = world.operator()?;
    let spec = spark(json!({ "restartPolicy": "OnFailure", "maxRestarts": 1 }));
    let id = world.idle_with("failed", spec).await?;
    world.enter(&id, "FAILED")?;
    world.until_reason("failed", "RestartingAfterFailure").await?;
    drop(operator);
    let _operator = ask_in_vain(&world, 2).await?;
    ensure!(world.calls("StartSession").len() == 1 && world.status("failed").await?.attempt == Some(0));
    world.clear_faults();
    world.until_idle("failed").await?;
    let started: Vec<_> = world.emulator.sessions().iter().map(|session| session.states[0].1).collect();
    // The backoff is ten seconds.
    ensure!(started.len() == 2 && started[1].duration_since(started[0]).as_secs() >= 9, "{started:?}");
    Ok(())
}

async fn athenas_time_is_asked_for_once_for_all_objects_that_wait_for_it(world: World) -> anyhow::Result<()> {
    const OBJECTS: usize = 30;
    let operator = world.operator()?;
    let names = names("finished", OBJECTS);
    for name in &names {
        world.create_with(name, spark(json!({ "activeDeadlineSeconds": 1 }))).await?;
    }
    for name in &names {
        world.until_over(name).await?;
    }
    drop(operator);
    for name in &names {
        world.set(name, json!({ "ttlSecondsAfterFinished": 1 })).await?;
    }
    let operator = ask_in_vain(&world, 5).await?;
    // Each is met, told why it waits, and met again as it was written.
    let reconciles = reconciles(&operator)?;
    ensure!(reconciles <= 5 * OBJECTS as u64, "{reconciles} reconciles of {OBJECTS} objects");
    world.clear_faults();
    world.until_all_gone(&names).await
}

async fn a_skew_is_shown_in_a_metric_and_once_in_the_log(world: World) -> anyhow::Result<()> {
    let lines = |operator: &Operator, text: &str| {
        operator.raw_log().lines().filter(|line| line.contains(text)).count()
    };
    let operator = world.operator()?;
    ensure!(skew(&operator).is_none(), "before Athena's first reply nothing is known");
    world.idle("observed").await?;
    ensure!(skew(&operator).is_some_and(|skew| skew.abs() < 2.0), "{:?}", skew(&operator));
    for (ahead, shown) in [(-35, 35.0), (-400, 400.0)] {
        world.emulator.configure(|config| config.clock_ahead = ahead);
        until("the skew is shown", || skew(&operator).is_some_and(|skew| (skew - shown).abs() < 2.0)).await?;
    }
    ensure!(lines(&operator, "ahead of Athena's") == 1, "{}", operator.raw_log());
    let object = world.sessions.get("observed").await?;
    ensure!(is_idle(&object), "{:?}", ready_condition(&object));
    world.emulator.configure(|config| config.clock_ahead = 0);
    until("it is over", || lines(&operator, "the node's clock agrees with Athena's again") == 1).await?;
    ensure!(skew(&operator).is_some_and(|skew| skew.abs() < 2.0));
    let events = world.events("ClockSkew")?;
    ensure!(events.is_empty(), "{events:?}");
    Ok(())
}

async fn a_single_wrong_date_at_the_start_ends_deletes_and_dates_nothing(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle_with("capped", spark(json!({ "activeDeadlineSeconds": 3600 }))).await?;
    let finished = world.idle_with("finished", spark(json!({ "ttlSecondsAfterFinished": 3600 }))).await?;
    world.change(&finished, Change::Terminate)?;
    world.until_status("finished", "over", |status| status.end_time.is_some()).await?;
    operator.end(Signal::TERM)?;
    for (number, operation) in ["GetWorkGroup", "ListSessions", "GetCallerIdentity"].into_iter().enumerate() {
        for ahead in [7200, -7200] {
            world.emulator.set_faults(vec![Fault::new(operation, FaultKind::Redate { ahead }).times(1)]);
            let before = world.calls(operation).len();
            let operator = world.operator()?;
            let name = format!("new-{number}-{}", ahead > 0);
            world.idle(&name).await?;
            let recorded = world.status(&name).await?.attempt_time.context("a time")?.0;
            let off = recorded.duration_since(Timestamp::now()).abs();
            let ten_minutes = SignedDuration::from_mins(10);
            ensure!(off < ten_minutes, "after {operation} {ahead} an attempt was recorded at {recorded}");
            let read = world.further_calls("ListSessions", 3).await;
            read.with_context(|| format!("{operation} {ahead}: {}", operator.raw_log()))?;
            ensure!(world.calls(operation).len() > before, "{operation} was not called");
            operator.end(Signal::TERM)?;
        }
    }
    ensure!(is_idle(&world.sessions.get("capped").await?), "the deadline was not over");
    world.sessions.get("finished").await?;
    ensure!(world.calls("TerminateSession").is_empty(), "{:?}", world.calls("TerminateSession"));
    Ok(())
}
