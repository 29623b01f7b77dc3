//! Builds a program that is missing, and tells where it is.

use std::process::ExitCode;

use clap::Parser;
use tools::Tool;

/// Prints where the program is, after building it if it is missing
#[derive(Parser)]
struct Arguments {
    name: Tool,
}

fn main() -> ExitCode {
    match Arguments::parse().name.path() {
        Ok(program) => {
            println!("{}", program.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
