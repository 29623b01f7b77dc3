//! Command line. Every flag has an environment variable; the region, credentials and endpoint of AWS come from the SDK's own variables.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::athena::options::AthenaOptions;
use crate::controller::options::ControllerOptions;
use crate::env_vars::is_role;
use crate::runtime::kubernetes::KubernetesOptions;
use crate::runtime::lease::LeaseOptions;
use crate::runtime::options::duration;
use crate::runtime::server::ServerOptions;
use crate::runtime::telemetry::LogOptions;

/// Version that this binary reports: that of the package, unless an image was built under another name.
pub const VERSION: &str = match option_env!("ATHENA_OPERATOR_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Kubernetes operator for Amazon Athena for Apache Spark.
#[derive(Debug, Parser)]
#[command(version = VERSION, about, arg_required_else_help = true)]
pub struct Cli {
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator
    Run(Box<Run>),
    /// Checks that AWS allows the operator's calls with the credentials of the environment; starts and changes nothing
    Check(Check),
    /// Prints the CustomResourceDefinition as YAML
    Crd,
}

/// Options of `run`. The AWS region, credentials and endpoint come from the environment: AWS_REGION, AWS_PROFILE, EKS Pod Identity or IRSA,
/// AWS_ENDPOINT_URL and so on.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Options of the controller.
    #[command(flatten)]
    pub controller: ControllerOptions,
    /// Options of the calls to Athena.
    #[command(flatten)]
    pub athena: AthenaOptions,
    /// Options of the clients of the API server.
    #[command(flatten)]
    pub kubernetes: KubernetesOptions,
    /// Options of the leader election.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Options of the server of probes and metrics.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Options of the log.
    #[command(flatten)]
    pub log: LogOptions,

    /// Longest time after SIGTERM to finish the calls and reconciles under way
    #[arg(long, env = "ATHENA_OPERATOR_SHUTDOWN_GRACE", default_value = "25s", value_parser = duration, value_name = "DURATION")]
    pub shutdown_grace: Duration,
}

/// Options of `check`. The AWS region, credentials and endpoint come from the environment, as for `run`. The exit status is 0 when nothing is
/// missing, and 1 when something is.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Work groups to check, separated by commas, or the flag several times
    #[arg(long = "work-group", env = "ATHENA_OPERATOR_WORK_GROUPS", value_delimiter = ',', required = true, value_name = "NAMES", value_parser = work_group)]
    pub work_groups: Vec<String>,

    /// ARN of the role that AthenaSessions name as executionRole, if any does
    #[arg(long, env = "ATHENA_OPERATOR_EXECUTION_ROLE", value_name = "ARN", value_parser = role)]
    pub execution_role: Option<String>,

    /// Form of the report
    #[arg(long, env = "ATHENA_OPERATOR_OUTPUT", default_value = "text")]
    pub output: Output,

    /// Longest time for a call to Athena, such as 10s
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub athena_timeout: Duration,
}

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// One JSON object.
    Json,
}

/// Returns the flags of the subcommand in `arguments` whose values come from the environment, with their variables.
fn from_environment(arguments: &[OsString]) -> Vec<(String, String)> {
    let command = Cli::command();
    let subcommand = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let variable = |argument: &Arg| {
        let flag = format!("--{}", argument.get_long()?);
        let is_flag = |given: &str| {
            given.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let is_given = arguments.iter().any(|given| is_flag(&given.to_string_lossy()));
        (!is_given).then_some((flag, argument.get_env()?.to_str()?.to_owned()))
    };
    subcommand.into_iter().flat_map(clap::Command::get_arguments).filter_map(variable).collect()
}

/// Returns the variables that the subcommand in `arguments` reads: those of its flags that are not among the arguments.
pub fn variables(arguments: &[OsString]) -> Vec<String> {
    from_environment(arguments).into_iter().map(|(_, variable)| variable).collect()
}

/// Returns clap's `error` about `arguments`, for people. The text names the variable that has the wrong value, if one has.
pub fn usage(error: &clap::Error, arguments: &[OsString]) -> String {
    let text = error.render().to_string();
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return text;
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return text };
    match from_environment(arguments).into_iter().find(|(flag, _)| shown.split(' ').next() == Some(flag)) {
        Some((_, variable)) => text.replacen("error: ", &format!("error: {variable}: "), 1),
        None => text,
    }
}

fn work_group(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let named = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
    if named { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the name of a work group")) }
}

fn role(text: &str) -> Result<String, String> {
    let problem =
        || format!("`{text}` is not the ARN of a role, such as arn:aws:iam::123456789012:role/name");
    is_role(text).then(|| text.to_owned()).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_vars::{Kind, VARIABLES};

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["athena-operator"], arguments].concat())
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = <Cli as clap::CommandFactory>::command();
        for subcommand in command.get_subcommands() {
            for argument in subcommand
                .get_arguments()
                .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
            {
                assert!(argument.get_env().is_some(), "{} has none", argument.get_id());
                assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
            }
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        for (arguments, part) in [
            (["run", "--observe-interval=0s"], "must be more than nothing"),
            (["run", "--observe-interval=soon"], "is not a duration"),
            (["run", "--namespaces=a,B"], "`B` is not the name of a namespace"),
            (["run", "--concurrency=0"], "concurrency"),
            (["run", "--athena-rate=0"], "must be at least 0.01"),
            (["run", "--athena-rate=NaN"], "must be at least 0.01"),
            (["run", "--lease-duration=1500ms"], "must be whole seconds"),
            (["run", "--leader-election=perhaps"], "leader-election"),
            (["run", "--lease-name=../configmaps/x"], "is not the name of an object"),
            (["run", "--lease-name=a b"], "is not the name of an object"),
            (["run", "--lease-name="], "lease-name"),
            (["run", "--uncertainty=999ms"], "must be at least 1s"),
            (["run", "--log=athena_operator=b=c"], "`athena_operator=b=c` cannot be read"),
            (["run", "--log="], "`` is neither a level"),
            (
                ["run", "--log=warn,athena-operator=debug"],
                "`athena-operator=debug` is neither a level nor a directive for athena_operator",
            ),
            (["run", "--log=info,kube=debug"], "`kube=debug` is neither"),
        ] {
            let error = parse(&arguments).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_to_be_checked_is_named() {
        for (arguments, part) in [
            (&["check"][..], "--work-group"),
            (&["check", "--work-group=a b"], "`a b` is not the name of a work group"),
            (&["check", "--work-group="], "is not the name of a work group"),
            (&["check", "--work-group=a", "--execution-role=name"], "`name` is not the ARN of a role"),
            (&["check", "--work-group=a", "--output=yaml"], "output"),
        ] {
            let error = parse(arguments).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        let Command::Check(check) =
            parse(&["check", "--work-group=a,b", "--work-group=c"]).expect("valid").command
        else {
            panic!("check")
        };
        assert_eq!(check.work_groups, ["a", "b", "c"]);
    }

    #[test]
    fn a_bad_value_of_the_environment_is_named_by_its_variable() {
        let usage_of = |arguments: &[&str]| {
            // Stands in for a variable: clap checks its value in the same way.
            let arguments = [&["athena-operator"], arguments].concat();
            let error = Cli::try_parse_from([&arguments[..], &["--concurrency=many"]].concat())
                .expect_err("not a number");
            usage(&error, &arguments.iter().map(OsString::from).collect::<Vec<_>>())
        };
        let of_variable = usage_of(&["run"]);
        assert!(
            of_variable
                .starts_with("error: ATHENA_OPERATOR_CONCURRENCY: invalid value 'many' for '--concurrency"),
            "{of_variable}"
        );
        let of_flag = usage_of(&["run", "--concurrency"]);
        assert!(
            of_flag.starts_with("error: ") && !of_flag.contains("ATHENA_OPERATOR_CONCURRENCY"),
            "{of_flag}"
        );
    }

    #[test]
    fn every_variable_of_a_flag_is_in_the_table_of_the_environment() {
        let of = |subcommand: &str| variables(&["athena-operator".into(), subcommand.into()]);
        let mut of_flags = [of("run"), of("check"), of("crd")].concat();
        of_flags.sort();
        of_flags.dedup();
        let table: Vec<_> = VARIABLES
            .iter()
            .filter(|variable| variable.kind == Kind::Flag)
            .map(|variable| variable.name)
            .collect();
        assert_eq!(of_flags, table);
        let given =
            variables(&["athena-operator", "run", "--log=warn", "--listen", "0.0.0.0:1"].map(OsString::from));
        assert!(
            !given.contains(&"ATHENA_OPERATOR_LOG".to_owned())
                && !given.contains(&"ATHENA_OPERATOR_LISTEN".to_owned()),
            "{given:?}"
        );
        assert!(given.contains(&"ATHENA_OPERATOR_LOG_FORMAT".to_owned()), "{given:?}");
    }

    #[test]
    fn namespaces_are_split_at_commas() {
        let Command::Run(run) = parse(&["run", "--namespaces=team-a,team-b"]).expect("valid").command else {
            panic!("run")
        };
        assert_eq!(run.controller.namespaces, ["team-a", "team-b"]);
    }
}
