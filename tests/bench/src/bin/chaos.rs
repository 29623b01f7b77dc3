//! Runs the chaos.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::chaos::{Chaos, patience};
use bench::verdict::exit_code;
use clap::Parser;

/// Kills and stops two replicas, has Athena err and sessions fail, suspends, resumes and deletes; then leaves all alone, prints how long it takes to come to
/// rest, and fails when that is too long, or when a session was started twice or is left.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// AthenaSessions
    #[arg(long, env = "OBJECTS", default_value_t = 300)]
    objects: usize,
    /// Calls to Athena a second that each replica may make
    #[arg(long, env = "RATE", default_value_t = 200.0)]
    rate: f64,
    /// Seconds for which Athena's reads count as late; by default 60 from 200 calls a second on, and else the operator's 600. An object that is deleted between
    /// its finalizer and its first attempt, when the operator was killed there, waits for so long
    #[arg(long, env = "UNCERTAINTY")]
    uncertainty: Option<u64>,
    /// Seconds of disturbance
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Seed of all that is random
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(chaos(&Arguments::parse())).await
}

async fn chaos(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let Arguments { operator, objects, rate, uncertainty, seconds, seed } = arguments;
    let uncertainty = Duration::from_secs(uncertainty.unwrap_or(if *rate >= 200.0 { 60 } else { 600 }));
    let disturbance = Duration::from_secs(*seconds);
    let chaos = Chaos {
        objects: *objects,
        rate: *rate,
        uncertainty,
        disturbance,
        patience: patience(*rate)?,
        seed: *seed,
    };
    let report = chaos.run(operator).await?;
    println!("{report}");
    Ok(report.broken())
}
