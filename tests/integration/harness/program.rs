//! The operator's program, run to its end.

use std::process::{Command, Output};

use anyhow::Context;

use super::operator_binary;

/// Makes a command of the program in an environment that has a region, keys and `env`. Nothing that is unset leads it out of this machine.
pub fn program(arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(operator_binary());
    command.args(arguments).env_clear();
    command.envs([("AWS_REGION", "eu-west-1"), ("AWS_EC2_METADATA_DISABLED", "true")]);
    command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
    command.envs(env.iter().copied());
    command
}

/// Runs the program to its end.
pub fn ran(arguments: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Output> {
    program(arguments, env).output().context("cannot run the operator")
}

/// The text that a program has printed.
pub fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}
