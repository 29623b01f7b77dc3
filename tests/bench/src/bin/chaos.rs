//! Runs the chaos.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::chaos::Chaos;
use clap::Parser;
use environment::exit_code;

/// Kills and stops two replicas, has Athena err and sessions fail, suspends, resumes and deletes; then leaves all alone, prints how long it takes to come to
/// rest, and fails when that is too long, or when a session was started twice or is left.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    #[command(flatten)]
    chaos: Chaos,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(chaos(Arguments::parse())).await
}

async fn chaos(Arguments { operator, chaos }: Arguments) -> anyhow::Result<Vec<String>> {
    let report = chaos.run(&operator).await?;
    println!("{report}");
    Ok(report.broken())
}
