//! What `/metrics` says over the life of sessions.

use std::time::Duration;

use anyhow::{Context, ensure};
use athena_emulator::FaultKind;
use environment::Operator;
use serde_json::json;

use crate::harness::{World, sample, samples, status, tests, until};

tests![
    a_session_is_counted_from_its_start_to_its_end,
    a_restart_of_the_operator_counts_nothing_again,
    a_session_that_ends_with_its_object_is_counted,
    a_restart_of_a_session_is_counted_with_the_end_before_it,
    a_refused_start_is_shown_by_its_reason,
    foreign_sessions_are_counted_while_the_work_group_is_listed,
    a_deletion_under_way_grows_older,
    a_replica_that_waits_shows_no_objects,
    without_the_right_to_list_a_work_group_ages_unobserved,
];

/// Waits until a sample has a value; what is written to the API server is not seen at the same moment by the operator.
async fn until_value(operator: &Operator, name: &str, wanted: Option<f64>) -> anyhow::Result<()> {
    let is_shown = || sample(operator, name).is_ok_and(|value| value == wanted);
    let shown = until(&format!("{name} is {wanted:?}"), is_shown).await;
    shown.with_context(|| format!("{:#?}", samples(operator)))
}

/// The labels of a series of the test's namespace, after which its others come.
fn of(world: &World, metric: &str, others: &str) -> String {
    format!("athena_operator_{metric}{{namespace=\"{}\"{others}}}", world.namespace)
}

fn dpu(world: &World) -> String {
    of(world, "dpu_milliseconds_total", ",work_group=\"spark-35\"")
}

fn objects(world: &World, ready: &str, reason: &str) -> String {
    of(world, "athenasessions", &format!(",ready=\"{ready}\",reason=\"{reason}\""))
}

fn ends(reason: &str) -> String {
    format!("athena_operator_ends_total{{reason=\"{reason}\"}}")
}

const IDLE: &str = "athena_operator_sessions{work_group=\"spark-35\",state=\"IDLE\"}";
const STARTS: &str = "athena_operator_start_duration_seconds_count{work_group=\"spark-35\"}";

async fn a_session_is_counted_from_its_start_to_its_end(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle("counted").await?;
    until_value(&operator, &objects(&world, "True", "SessionIdle"), Some(1.0)).await?;
    until_value(&operator, IDLE, Some(1.0)).await?;
    let shown = samples(&operator)?;
    for (sample, expected) in [
        (STARTS, 1.0),
        ("athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ok\"}", 1.0),
        ("athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ThrottlingException\"}", 0.0),
        ("controller_runtime_max_concurrent_reconciles{controller=\"athenasession\"}", 40.0),
        ("controller_runtime_reconcile_errors_total{controller=\"athenasession\"}", 0.0),
        ("leader_election_master_status{name=\"athena-operator\"}", 1.0),
    ] {
        ensure!(shown.get(sample) == Some(&expected), "{sample}: {shown:#?}");
    }
    for at_least in [
        "athena_operator_athena_limiter_wait_seconds_count{priority=\"start\"}",
        "rest_client_requests_total{code=\"200\",method=\"PATCH\"}",
        "rest_client_request_duration_seconds_count{verb=\"GET\"}",
        "controller_runtime_reconcile_time_seconds_count{controller=\"athenasession\"}",
        "athena_operator_writes_total{write=\"status\",result=\"ok\"}",
    ] {
        ensure!(shown.get(at_least).is_some_and(|value| *value >= 1.0), "{at_least}: {shown:#?}");
    }
    let age = of(&world, "session_age_seconds", ",work_group=\"spark-35\"");
    ensure!(shown.get(&age).is_some_and(|age| (0.0..60.0).contains(age)), "{shown:#?}");
    ensure!(!shown.contains_key(&dpu(&world)), "{shown:#?}");

    world.enter(&id, "FAILED")?;
    let over = status(&world.until_reason("counted", "SessionFailed").await?);
    let millis = over.dpu_execution_in_millis.context("DPU time")?;
    ensure!(millis > 0);
    until_value(&operator, IDLE, None).await?;
    until_value(&operator, &objects(&world, "False", "SessionFailed"), Some(1.0)).await?;
    until_value(&operator, &ends("SessionFailed"), Some(1.0)).await?;
    until_value(&operator, &age, None).await?;
    until_value(&operator, &dpu(&world), Some(millis.to_string().parse()?)).await?;

    world.remove("counted").await?;
    until_value(&operator, &objects(&world, "False", "SessionFailed"), None).await?;
    let shown = samples(&operator)?;
    ensure!(shown.get(&ends("Deleted")) == Some(&0.0), "its end was counted before: {shown:#?}");
    ensure!(shown.get(&dpu(&world)) == Some(&millis.to_string().parse()?), "{shown:#?}");
    Ok(())
}

async fn a_restart_of_the_operator_counts_nothing_again(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let (over, runs) = (world.idle("over").await?, world.idle("runs").await?);
    world.enter(&over, "FAILED")?;
    world.until_reason("over", "SessionFailed").await?;
    until_value(&operator, &ends("SessionFailed"), Some(1.0)).await?;
    until_value(&operator, STARTS, Some(2.0)).await?;
    drop(operator);

    let operator = world.operator()?;
    until_value(&operator, &objects(&world, "True", "SessionIdle"), Some(1.0)).await?;
    // Both objects have been looked at once this one is changed and that is reported.
    world.enter(&runs, "BUSY")?;
    world.until_reason("runs", "SessionBusy").await?;
    let shown = samples(&operator)?;
    ensure!(shown.get(&ends("SessionFailed")) == Some(&0.0), "{shown:#?}");
    ensure!(!shown.contains_key(STARTS) && !shown.contains_key(&dpu(&world)), "{shown:#?}");
    Ok(())
}

async fn a_session_that_ends_with_its_object_is_counted(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("deleted").await?;
    world.remove("deleted").await?;
    until_value(&operator, &ends("Deleted"), Some(1.0)).await?;
    ensure!(sample(&operator, &dpu(&world))?.is_some_and(|millis| millis > 0.0));
    Ok(())
}

async fn a_restart_of_a_session_is_counted_with_the_end_before_it(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("again").await?;
    for (suspend, reason) in [(true, "Suspended"), (false, "SessionIdle")] {
        world.set("again", json!({ "suspend": suspend })).await?;
        world.until_reason("again", reason).await?;
    }
    until_value(&operator, "athena_operator_restarts_total{reason=\"Suspended\"}", Some(1.0)).await?;
    until_value(&operator, &ends("Suspended"), Some(1.0)).await?;
    until_value(&operator, STARTS, Some(2.0)).await?;
    until_value(&operator, IDLE, Some(1.0)).await?;
    Ok(())
}

async fn a_refused_start_is_shown_by_its_reason(world: World) -> anyhow::Result<()> {
    world.fault("StartSession", FaultKind::Throttle);
    let operator = world.operator()?;
    world.create("throttled").await?;
    world.create_with("refused", json!({ "workGroup": "sql" })).await?;
    world.until_reason("throttled", "Throttled").await?;
    world.until_reason("refused", "WorkGroupNotSpark").await?;
    until_value(&operator, &objects(&world, "Unknown", "Throttled"), Some(1.0)).await?;
    until_value(&operator, &objects(&world, "Unknown", "WorkGroupNotSpark"), Some(1.0)).await?;
    let throttled =
        "athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ThrottlingException\"}";
    ensure!(sample(&operator, throttled)?.is_some_and(|count| count >= 1.0));
    ensure!(sample(&operator, STARTS)?.is_none() && sample(&operator, IDLE)?.is_none());
    Ok(())
}

async fn foreign_sessions_are_counted_while_the_work_group_is_listed(world: World) -> anyhow::Result<()> {
    for _ in 0..3 {
        world.emulator.create_foreign("spark-35", None);
    }
    let operator = world.operator()?;
    let foreign = "athena_operator_foreign_sessions{work_group=\"spark-35\"}";
    let age = "athena_operator_work_group_observation_age_seconds{work_group=\"spark-35\"}";
    ensure!(
        sample(&operator, foreign)?.is_none() && sample(&operator, age)?.is_none(),
        "nobody's work group is not listed"
    );
    world.idle("own").await?;
    until_value(&operator, foreign, Some(3.0)).await?;
    ensure!(sample(&operator, age)?.is_some_and(|age| age < 60.0));
    world.remove("own").await?;
    until_value(&operator, foreign, None).await?;
    until_value(&operator, age, None).await?;
    Ok(())
}

async fn a_deletion_under_way_grows_older(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("stuck").await?;
    world.emulator.configure(|config| config.ignore_terminate = true);
    let age = of(&world, "deletion_age_seconds", "");
    until_value(&operator, &age, None).await?;
    world.delete("stuck").await?;
    until("the deletion has an age", || sample(&operator, &age).is_ok_and(|age| age.is_some())).await?;
    let before = sample(&operator, &age)?.context("an age")?;
    until("it grows", || sample(&operator, &age).is_ok_and(|age| age.is_some_and(|age| age > before)))
        .await?;
    world.emulator.configure(|config| config.ignore_terminate = false);
    world.until_gone("stuck").await?;
    until_value(&operator, &age, None).await
}

async fn a_replica_that_waits_shows_no_objects(world: World) -> anyhow::Result<()> {
    let election = [
        ("ATHENA_OPERATOR_LEADER_ELECTION", "true"),
        ("ATHENA_OPERATOR_LEASE_NAMESPACE", world.namespace.as_str()),
    ];
    let leader = world.operator_with(&[], &election)?;
    let waiting = world.operator_with(&[], &election)?;
    world.idle("led").await?;
    until_value(&leader, IDLE, Some(1.0)).await?;
    let master = "leader_election_master_status{name=\"athena-operator\"}";
    ensure!(sample(&leader, master)? == Some(1.0) && sample(&waiting, master)? == Some(0.0));
    let shown = samples(&waiting)?;
    let gauges = [
        "athena_operator_athenasessions{",
        "athena_operator_sessions{",
        "athena_operator_session_age",
        "athena_operator_work_group",
    ];
    ensure!(!shown.keys().any(|sample| gauges.iter().any(|gauge| sample.starts_with(gauge))), "{shown:#?}");
    let requests = shown.get("rest_client_requests_total{code=\"200\",method=\"GET\"}");
    ensure!(requests.is_some_and(|count| *count > 0.0), "{shown:#?}");
    Ok(())
}

async fn without_the_right_to_list_a_work_group_ages_unobserved(world: World) -> anyhow::Result<()> {
    world.deny(&["ListSessions"]);
    let operator = world.operator()?;
    world.idle("unlisted").await?;
    let age = "athena_operator_work_group_observation_age_seconds{work_group=\"spark-35\"}";
    let denied =
        "athena_operator_athena_calls_total{operation=\"ListSessions\",code=\"AccessDeniedException\"}";
    until("a list is refused", || sample(&operator, denied).is_ok_and(|count| count.is_some())).await?;
    let before = sample(&operator, age)?.context("an age")?;
    let grows = || sample(&operator, age).is_ok_and(|age| age.is_some_and(|age| age > before + 1.0));
    until("it grows by a second", grows).await?;
    world.deny(&[]);
    let limit = Duration::from_mins(1).as_secs_f64();
    ensure!(sample(&operator, age)?.is_some_and(|age| age < limit));
    Ok(())
}
