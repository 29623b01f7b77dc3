//! Runs the benchmark.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::run;
use clap::Parser;

/// Measures the operator and prints a table; fails when a bound is broken.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// How many objects, several numbers separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    objects: Vec<usize>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    for objects in &arguments.objects {
        let report = run::run(&arguments.operator, *objects).await?;
        println!("bench N={objects} ratio={:.3} per_second={:.1}", report.ratio(), report.per_second());
    }
    Ok(())
}
