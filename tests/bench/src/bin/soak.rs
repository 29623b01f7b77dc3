//! Runs the soak.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::page;
use bench::soak::Soak;
use bench::verdict::exit_code;
use clap::Parser;

/// Has the operator work for days at a faster clock; prints its memory over time, and fails when it grows by more than 1 MiB a day.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// Days that count
    #[arg(long, default_value_t = 1.0)]
    days: f64,
    /// Days before them
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// How many times faster the clock is
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    factor: u32,
    /// Sessions that live all the time
    #[arg(long, default_value_t = 200)]
    resting: usize,
    /// People who create one object after another, each of which lives about an hour
    #[arg(long, default_value_t = 40)]
    people: usize,
    /// Calls to Athena a second that the operator may make: objects always wait for the rate limiter
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Write the results to docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(soak(&Arguments::parse())).await
}

async fn soak(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let Arguments { operator, days, warm_up, factor, resting, people, rate, write } = arguments;
    let machine = page::machine()?;
    let soak = Soak {
        warm_up: *warm_up,
        days: *days,
        factor: *factor,
        resting: *resting,
        people: *people,
        rate: *rate,
    };
    let samples = soak.run(operator, |sample| println!("{sample}")).await?;
    let verdict = soak.verdict(&samples);
    if samples.iter().any(|sample| sample.tasks.is_none()) {
        println!("the operator does not show its tasks: only its memory and its files count");
    }
    let line = format!("soak days={days} factor={factor} slope_mib_per_day={:.2}", verdict.slope);
    println!("{line}");
    if *write {
        let series: Vec<String> = samples.iter().map(ToString::to_string).collect();
        page::write("soak", &format!("{machine}\n\n```text\n{}\n{line}\n```", series.join("\n")))?;
    }
    Ok(verdict.broken)
}
