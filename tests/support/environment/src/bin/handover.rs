//! Measures the hand-over between two replicas: from the end of the leader to the first call for a new object by the other.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use athena_emulator::{Config, Emulator};
use clap::Parser;
use environment::{Operator, OperatorOptions, Scope, Signal, Stage, exit_code};
use harness::{session_object, until};
use serde_json::json;

/// Measures how long it takes until another replica acts, after SIGTERM and after kill -9, and fails when it takes too long.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a lease lasts, in seconds
    #[arg(long, default_value_t = 15)]
    lease_seconds: u32,
}

const NAMESPACE: &str = "handover";
/// The object of a round, which is gone before the next.
const NAME: &str = "handover";
/// Longest time after SIGTERM.
const GOAL: Duration = Duration::from_secs(2);
/// How long after a lease has lapsed another replica may need to see it: two looks at the lease a second, and the first list.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(measure(&Arguments::parse())).await
}

async fn measure(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let emulator = Emulator::start(Config::default()).await?;
    let stage = tokio::task::block_in_place(Stage::start)?;
    stage.kubectl_ok(&["create", "namespace", NAMESPACE])?;
    let mut slowest = Vec::new();
    for (name, signal) in [("SIGTERM", Signal::TERM), ("kill -9", Signal::KILL)] {
        let mut times = Vec::new();
        for _ in 0..arguments.rounds {
            let time = one_round(arguments, &stage, &emulator, signal)?;
            println!("{name}: {} ms", time.as_millis());
            times.push(time);
        }
        slowest.push(times.into_iter().max().context("no round")?);
    }
    let lease = Duration::from_secs(arguments.lease_seconds.into()) + RETRY;
    let (term, kill) = (slowest[0], slowest[1]);
    println!(
        "handover rounds={} sigterm_max_ms={} goal_ms={} kill_max_ms={} bound_ms={}",
        arguments.rounds,
        term.as_millis(),
        GOAL.as_millis(),
        kill.as_millis(),
        lease.as_millis()
    );
    let bounds = [("SIGTERM", term, GOAL), ("kill -9", kill, lease)];
    let broken = bounds.into_iter().filter(|(_, time, most)| time > most);
    Ok(broken
        .map(|(signal, time, most)| format!("after {signal} it took {time:?} and not {most:?}"))
        .collect())
}

fn replica(arguments: &Arguments, stage: &Stage, emulator: &Emulator) -> anyhow::Result<Operator> {
    let (url, lease) = (emulator.url(), format!("--lease-duration={}s", arguments.lease_seconds));
    let options = OperatorOptions {
        binary: &arguments.operator,
        scope: Scope::Namespace(NAMESPACE),
        athena: &url,
        flags: &["--lease-namespace=handover", &lease],
        env: &[("ATHENA_OPERATOR_LEADER_ELECTION", "true"), ("ATHENA_OPERATOR_ATHENA_RATE", "1000")],
    };
    Operator::start(stage, &options)
}

/// From the signal to the leader until StartSession for an object that was made after it.
fn one_round(
    arguments: &Arguments,
    stage: &Stage,
    emulator: &Emulator,
    signal: Signal,
) -> anyhow::Result<Duration> {
    let leader = replica(arguments, stage, emulator)?;
    until("the first replica leads", PATIENCE, || {
        Ok(leader.raw_log().contains("this process is the leader"))
    })?;
    let other = replica(arguments, stage, emulator)?;
    until("the second replica waits", PATIENCE, || Ok(other.raw_log().contains("waiting for the lease")))?;
    let calls = || emulator.calls().iter().filter(|call| call.operation == "StartSession").count();
    let manifest = session_object(NAME, &json!({ "workGroup": "spark-35" }));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), manifest.to_string())?;
    let path = file.path().display().to_string();
    let apply = ["apply", "-n", NAMESPACE, "-f", &path];
    // The first time, kubectl takes two seconds to learn what a fresh API server has.
    stage.kubectl_ok(&[&apply[..], &["--dry-run=server"]].concat())?;
    let before = calls();
    let begun = Instant::now();
    leader.signal(signal);
    stage.kubectl_ok(&apply)?;
    until("the session is started", PATIENCE, || Ok(calls() > before))?;
    let time = begun.elapsed();
    stage.kubectl_words(&format!("delete athenasession {NAME} -n {NAMESPACE}"))?;
    other.end(Signal::TERM)?;
    Ok(time)
}
