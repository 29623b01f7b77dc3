//! Many objects at a slow Athena that errs: whether the healthy ones are served in time, whatever the refused ones do.

use std::path::PathBuf;
use std::process::ExitCode;

use athena_emulator::{Config, Emulator};
use clap::Parser;
use environment::load::{self, Load};
use environment::{Stage, exit_code};

/// The part of the calls that refused objects may take.
const REFUSED_SHARE: f64 = 0.1;

/// Has the operator start many sessions at a slow Athena that errs, prints one line of figures, and fails when a bound is broken.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    #[command(flatten)]
    load: Load,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(measure(Arguments::parse())).await
}

async fn measure(Arguments { operator, load }: Arguments) -> anyhow::Result<Vec<String>> {
    let emulator = Emulator::start(Config::default()).await?;
    let report =
        tokio::task::block_in_place(|| load::run(&Stage::start()?, &emulator, &operator, &load, &[]))?;
    println!("load {report}");
    let mut broken = report.broken();
    if report.refused_share() > REFUSED_SHARE {
        broken.push(format!("the refused objects took more than {REFUSED_SHARE} of the calls"));
    }
    Ok(broken)
}
