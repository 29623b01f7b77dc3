//! Dispatch: from the command line and the environment to the subcommand and its exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::args::{self, Cli, Command};
use crate::commands::{check, crd, run};
use crate::env_vars::{self, Kind, Variable};
use crate::runtime::confidential::{self, redact_secrets};
use crate::runtime::panics;
use crate::session::pass::Decisions;

/// Exit status for wrong flags and variables, the same as clap's.
const WRONG_USAGE: u8 = 2;

/// Runs the subcommand that the command line names. Returns the exit status of the process. `decisions` are those of `run`.
pub fn dispatch(decisions: &'static dyn Decisions) -> ExitCode {
    panics::print();
    if let Err(error) = env_vars::start_without_empty() {
        return failed(&error);
    }
    env_vars::secrets().for_each(|secret| confidential::register_secret(&secret));
    let command = match command(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(command) => command,
        Err(code) => return code,
    };
    let result = match command {
        Command::Crd => crd::print().map(|()| ExitCode::SUCCESS),
        Command::Check(options) => check::print(&options),
        Command::Run(options) => run::run(&options, decisions).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("athena-operator: {}", redact_secrets(&format!("{error:#}")));
    ExitCode::FAILURE
}

/// Returns the subcommand and options of the command line and the environment. Otherwise prints the problems and returns the exit status.
fn command(arguments: &[OsString]) -> Result<Command, ExitCode> {
    let parsed = Cli::try_parse_from(arguments).map(|cli| cli.command);
    let flags = args::variables(arguments);
    let is_read = |name: &str, variable: &Variable| match (variable.kind, &parsed) {
        (Kind::Flag, _) => flags.iter().any(|flag| flag == name),
        (_, Ok(Command::Run(_))) => true,
        (_, Ok(Command::Check(_))) => !variable.of_cluster,
        (_, Ok(Command::Crd) | Err(_)) => false,
    };
    let to_stderr = parsed.as_ref().err().is_none_or(clap::Error::use_stderr);
    let problems = env_vars::problems(std::env::vars_os().filter(|_| to_stderr), is_read);
    for problem in &problems {
        eprintln!("athena-operator: {}", redact_secrets(problem));
    }
    if !problems.is_empty() {
        return Err(ExitCode::from(WRONG_USAGE));
    }
    parsed.map_err(|error| {
        let text = redact_secrets(&args::usage(&error, arguments));
        if error.use_stderr() {
            eprint!("{text}");
        } else {
            print!("{text}");
        }
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}
