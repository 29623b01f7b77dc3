//! Runs the benchmark.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::{flips, limited, page, report, run};
use clap::Parser;
use environment::exit_code;

/// Measures the operator against raw writes, and prints a table and a line for machines for each number of objects; fails when a bound is broken.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// How many objects; several numbers, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    objects: Vec<usize>,
    /// Have so many suspended objects resumed at once wait for the rate limiter, and nothing else
    #[arg(long)]
    limited: Option<usize>,
    /// Have so many sessions become busy and idle again and again, and nothing else
    #[arg(long)]
    flips: Option<usize>,
    /// Write the results to docs/benchmarks.md and docs/benchmarks.svg
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(measure(&Arguments::parse())).await
}

/// Returns the bounds that are broken.
async fn measure(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let machine = page::machine()?;
    println!("{machine}");
    if let Some(objects) = arguments.limited {
        return waited(arguments, &machine, objects).await;
    }
    if let Some(objects) = arguments.flips {
        return flipped(arguments, &machine, objects).await;
    }
    let mut reports = Vec::new();
    for objects in &arguments.objects {
        let report = run::run(&arguments.operator, *objects).await?;
        println!("{}", report.line());
        reports.push(report);
    }
    println!("\n{}", report::aligned(&report::table(&reports)));
    for report in &reports {
        println!("{}", report.line());
    }
    for noise in reports.iter().filter_map(run::Report::noise) {
        eprintln!("noisy: {noise}");
    }
    if arguments.write {
        page::write_sizes(&reports, &machine)?;
    }
    let waited = waited(arguments, &machine, MANY).await?;
    let flipped = flipped(arguments, &machine, MANY).await?;
    Ok(report::broken(&reports).into_iter().chain(waited).chain(flipped).collect())
}

/// Objects that wait for the rate limiter, and sessions that become busy and idle in turn.
const MANY: usize = 1000;

/// Measures what waiting for the rate limiter costs. Returns the bounds that are broken.
async fn waited(arguments: &Arguments, machine: &str, objects: usize) -> anyhow::Result<Vec<String>> {
    let limited = limited::run(&arguments.operator, objects).await?;
    println!("{limited}");
    if arguments.write {
        page::write("limited", &format!("{machine}\n\n```text\n{limited}\n```"))?;
    }
    Ok(limited.broken())
}

/// Measures how often the status follows sessions that become busy and idle in turn. Returns the bounds that are broken.
async fn flipped(arguments: &Arguments, machine: &str, objects: usize) -> anyhow::Result<Vec<String>> {
    let flips = flips::run(&arguments.operator, objects).await?;
    println!("{flips}");
    if arguments.write {
        page::write("flips", &format!("{machine}\n\n```text\n{flips}\n```"))?;
    }
    Ok(flips.broken())
}
