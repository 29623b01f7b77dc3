//! Many objects at a slow Athena that errs: whether the healthy ones are served in time, whatever the refused ones do.

use std::path::PathBuf;
use std::process::ExitCode;

use athena_emulator::{Config, Emulator};
use clap::Parser;
use environment::Stage;
use environment::load::{self, Load};

/// The part of the calls that refused objects may take.
const REFUSED_SHARE: f64 = 0.1;

/// Has the operator start many sessions at a slow Athena that errs, prints one line of figures, and fails when a bound is broken.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// AthenaSessions
    #[arg(long, env = "OBJECTS", default_value_t = 1000)]
    objects: u32,
    /// How many of them are refused for ever
    #[arg(long, env = "REFUSED", default_value_t = 50)]
    refused: u32,
    /// How many work groups their sessions are started in
    #[arg(long, env = "WORK_GROUPS", default_value_t = 3)]
    work_groups: u32,
    /// Calls to Athena a second
    #[arg(long, env = "RATE", default_value_t = 5.0)]
    rate: f64,
    /// Which part of the calls fails
    #[arg(long, env = "ERRORS", default_value_t = 0.05)]
    errors: f64,
    /// Seed of the failures
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Arguments::parse()).await {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            for bound in broken {
                eprintln!("broken: {bound}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: Arguments) -> anyhow::Result<Vec<String>> {
    let Arguments { operator, objects, refused, work_groups, rate, errors, seed } = arguments;
    let emulator = Emulator::start(Config::default()).await?;
    let load = Load { name: "load".to_owned(), objects, refused, work_groups, rate, errors, seed };
    let report =
        tokio::task::block_in_place(|| load::run(&Stage::start()?, &emulator, &operator, &load, &[]))?;
    println!("load {report}");
    let mut broken = report.broken();
    if report.refused_share() > REFUSED_SHARE {
        broken.push(format!("the refused objects took more than {REFUSED_SHARE} of the calls"));
    }
    Ok(broken)
}
