//! The operator with broken decisions: see `sweep::mutants`.

use std::process::ExitCode;

use athena_operator::commands::dispatch::dispatch;
use sweep::mutants::Broken;

static BROKEN: Broken = Broken::chosen();

fn main() -> ExitCode {
    dispatch(&BROKEN)
}
