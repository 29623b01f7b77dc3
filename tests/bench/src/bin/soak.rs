//! Runs the soak.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::page;
use bench::soak::Soak;
use clap::Parser;
use environment::exit_code;

/// Has the operator work for days at a faster clock; prints its memory over time, and fails when it grows by more than 1 MiB a day.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    #[command(flatten)]
    soak: Soak,
    /// Write the results to docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(soak(&Arguments::parse())).await
}

async fn soak(Arguments { operator, soak, write }: &Arguments) -> anyhow::Result<Vec<String>> {
    let machine = page::machine()?;
    let samples = soak.run(operator, |sample| println!("{sample}")).await?;
    let verdict = soak.verdict(&samples);
    if samples.iter().any(|sample| sample.tasks.is_none()) {
        println!("the operator does not show its tasks: only its memory and its files count");
    }
    let Soak { days, factor, .. } = soak;
    let line = format!("soak days={days} factor={factor} slope_mib_per_day={:.2}", verdict.slope);
    println!("{line}");
    if *write {
        let series: Vec<String> = samples.iter().map(ToString::to_string).collect();
        page::write("soak", &format!("{machine}\n\n```text\n{}\n{line}\n```", series.join("\n")))?;
    }
    Ok(verdict.broken)
}
