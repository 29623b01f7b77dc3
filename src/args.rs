//! The command line. Every flag has an environment variable; region, credentials and endpoint of AWS come from the SDK's own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use k8s_openapi::jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::athena::rate_limiter::{Bounds, LARGE_CALLS, Rate};
use crate::environment::is_role;
use crate::lifecycle::Limits;

/// What this binary calls itself: the version of the package, unless an image was built under another name.
pub const VERSION: &str = match option_env!("ATHENA_OPERATOR_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Kubernetes operator for Amazon Athena for Apache Spark.
#[derive(Debug, Parser)]
#[command(version = VERSION, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator
    Run(Box<Run>),
    /// Tells whether the credentials of the environment may do what the operator does; starts and changes nothing
    Check(Check),
    /// Prints the CustomResourceDefinition as YAML
    Crd,
}

/// How the operator runs. The AWS region, credentials and endpoint come from the environment: AWS_REGION, AWS_PROFILE, EKS Pod Identity or IRSA,
/// AWS_ENDPOINT_URL and so on.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Namespaces to watch, separated by commas; all of them if unset
    #[arg(long, env = "ATHENA_OPERATOR_NAMESPACES", value_delimiter = ',', value_name = "NAMES", value_parser = namespace)]
    pub namespaces: Vec<String>,

    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "ATHENA_OPERATOR_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Form of the log lines
    #[arg(long, env = "ATHENA_OPERATOR_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// What to log: a level, or directives such as `info,athena_operator::lease=debug`. Other crates log nothing: their lines would show requests and
    /// replies, with credentials in them
    #[arg(long, env = "ATHENA_OPERATOR_LOG", default_value = "warn,athena_operator=info", value_parser = filter, value_name = "FILTER")]
    pub log: String,

    /// Reconciles that may run at a time in each watched namespace, or in all of them together where none is named; a fifth is kept for those that make no call to Athena
    #[arg(long, env = "ATHENA_OPERATOR_CONCURRENCY", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Longest time for a call to Athena, such as 10s
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub athena_timeout: Duration,

    /// Longest wait for a connection to the API server and for the head of a reply
    #[arg(long, env = "ATHENA_OPERATOR_KUBERNETES_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub kubernetes_timeout: Duration,

    /// Whether to act only while holding a Lease: without it, run one replica only, since two may leave a session running after its object is gone
    #[arg(long, env = "ATHENA_OPERATOR_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set, value_name = "BOOLEAN")]
    pub leader_election: bool,

    /// Name of the Lease
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_NAME", default_value = "athena-operator", value_parser = name, value_name = "NAME")]
    pub lease_name: String,

    /// Namespace of the Lease; the pod's own, or that of the kubeconfig's context, if unset
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_NAMESPACE", value_parser = namespace, value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// How long a leader that is not heard of stays the leader, in whole seconds; it stops acting after two thirds of that
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_DURATION", default_value = "15s", value_parser = lease_duration, value_name = "DURATION")]
    pub lease_duration: Duration,

    /// Calls to Athena a second, of all kinds together; the account's limit in the region is shared with everybody else in it
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_RATE", default_value_t = 5.0, value_parser = rate, value_name = "CALLS")]
    pub athena_rate: f64,

    /// Calls to Athena that may come at once after a pause
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_BURST", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub athena_burst: u32,

    /// Time between lists of a work group in which sessions live, give or take a quarter: they show what becomes of settled sessions. That one became busy or idle is written at most once in three of them, or once a minute if that is less
    #[arg(long, env = "ATHENA_OPERATOR_OBSERVE_INTERVAL", default_value = "20s", value_parser = duration, value_name = "DURATION")]
    pub observe_interval: Duration,

    /// First time between looks at a session that is starting or ending; it grows to five times that. The first look follows a start after half of it
    #[arg(long, env = "ATHENA_OPERATOR_TRANSITION_INTERVAL", default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub transition_interval: Duration,

    /// How long after a start Athena's reads may miss the session and a token is replayed. Only after it does not finding a session prove anything:
    /// shorten it in tests only, to no less than 1s
    #[arg(long, env = "ATHENA_OPERATOR_UNCERTAINTY", default_value = "10m", value_parser = uncertainty, value_name = "DURATION")]
    pub uncertainty: Duration,

    /// Longest time to finish what is running after SIGTERM
    #[arg(long, env = "ATHENA_OPERATOR_SHUTDOWN_GRACE", default_value = "25s", value_parser = duration, value_name = "DURATION")]
    pub shutdown_grace: Duration,
}

/// What is checked. The AWS region, credentials and endpoint come from the environment, as those of `run` do. The exit status is 0 when nothing is missing, and 1
/// when something is.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Work groups in which sessions are to run, separated by commas or given one by one
    #[arg(long = "work-group", env = "ATHENA_OPERATOR_WORK_GROUPS", value_delimiter = ',', required = true, value_name = "NAMES", value_parser = work_group)]
    pub work_groups: Vec<String>,

    /// ARN of the role that AthenaSessions name as executionRole, if they do
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
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Run {
    /// The rate of calls that the flags give.
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.athena_rate, burst: self.athena_burst }
    }

    /// What may be under way at a time: while calls to Athena take long, some reconciles go on.
    pub fn bounds(&self) -> Bounds {
        Bounds { in_flight: usize::from(self.concurrency - self.concurrency / 5), large: LARGE_CALLS }
    }

    /// The limits that the flags give.
    pub fn limits(&self) -> Limits {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Limits {
            uncertainty: signed(self.uncertainty),
            transition_interval: signed(self.transition_interval),
            observe_interval: signed(self.observe_interval),
            ..Limits::default()
        }
    }
}

/// Returns the flags of the subcommand in `arguments` whose values come from the environment, with their variables.
fn from_environment(arguments: &[OsString]) -> Vec<(String, String)> {
    let command = Cli::command();
    let subcommand = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let variable = |argument: &Arg| {
        let flag = format!("--{}", argument.get_long()?);
        let is_flag = |given: &str| given.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
        let is_given = arguments.iter().any(|given| is_flag(&given.to_string_lossy()));
        (!is_given).then_some((flag, argument.get_env()?.to_str()?.to_owned()))
    };
    subcommand.into_iter().flat_map(clap::Command::get_arguments).filter_map(variable).collect()
}

/// Returns the variables that the subcommand in `arguments` reads: those of its flags that are not among the arguments.
pub fn variables(arguments: &[OsString]) -> Vec<String> {
    from_environment(arguments).into_iter().map(|(_, variable)| variable).collect()
}

/// Returns what is wrong with `arguments`, for people. The text names the variable that has the wrong value, if one has.
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

/// A filter of the log, in which each directive is a level or is about this program.
fn filter(text: &str) -> Result<String, String> {
    for directive in text.split(',') {
        let target = directive.split(['=', '[']).next().unwrap_or_default().trim();
        let is_own = target.split("::").next() == Some(env!("CARGO_CRATE_NAME")) || directive.starts_with('[');
        if !is_own && (directive.trim().is_empty() || directive.trim().parse::<LevelFilter>().is_err()) {
            return Err(format!("`{directive}` is neither a level nor a directive for {}: other crates log nothing", env!("CARGO_CRATE_NAME")));
        }
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("`{text}` cannot be read: {error}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| format!("`{text}` is not a duration such as 500ms, 20s or 10m"))?;
    let positive = Duration::try_from(parsed).ok().filter(|duration| !duration.is_zero() && *duration <= Duration::from_hours(24));
    positive.ok_or_else(|| format!("`{text}` must be more than nothing and at most 24h"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number such as 5 or 0.5"))?;
    if (0.01..=10_000.0).contains(&rate) { Ok(rate) } else { Err(format!("`{text}` must be at least 0.01 and at most 10000")) }
}

/// Times of attempts are in whole seconds: with less than one, an attempt could be too old to be tried as soon as it is recorded, and be recorded for ever.
fn uncertainty(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given >= Duration::from_secs(1) { Ok(given) } else { Err(format!("`{text}` must be at least 1s")) }
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given.subsec_nanos() == 0 { Ok(given) } else { Err(format!("`{text}` must be whole seconds, such as 15s")) }
}

fn namespace(text: &str) -> Result<String, String> {
    if is_label(text) { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the name of a namespace")) }
}

/// The name of an object, which becomes a part of the URL of its requests.
fn name(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not the name of an object: it takes lower case letters, digits, `-` and `.`"))
    }
}

fn work_group(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let named = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
    if named { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the name of a work group")) }
}

fn role(text: &str) -> Result<String, String> {
    if is_role(text) { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the ARN of a role, such as arn:aws:iam::123456789012:role/name")) }
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Kind, VARIABLES};

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["athena-operator"], arguments].concat())
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = <Cli as clap::CommandFactory>::command();
        for subcommand in command.get_subcommands() {
            for argument in subcommand.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")) {
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
            (["run", "--log=warn,athena-operator=debug"], "`athena-operator=debug` is neither a level nor a directive for athena_operator"),
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
        let Command::Check(check) = parse(&["check", "--work-group=a,b", "--work-group=c"]).expect("valid").command else { panic!("check") };
        assert_eq!(check.work_groups, ["a", "b", "c"]);
    }

    #[test]
    fn a_bad_value_of_the_environment_is_named_by_its_variable() {
        let usage_of = |arguments: &[&str]| {
            // In the place of a variable: its value is judged in the same way.
            let arguments = [&["athena-operator"], arguments].concat();
            let error = Cli::try_parse_from([&arguments[..], &["--concurrency=many"]].concat()).expect_err("not a number");
            usage(&error, &arguments.iter().map(OsString::from).collect::<Vec<_>>())
        };
        let of_variable = usage_of(&["run"]);
        assert!(of_variable.starts_with("error: ATHENA_OPERATOR_CONCURRENCY: invalid value 'many' for '--concurrency"), "{of_variable}");
        let of_flag = usage_of(&["run", "--concurrency"]);
        assert!(of_flag.starts_with("error: ") && !of_flag.contains("ATHENA_OPERATOR_CONCURRENCY"), "{of_flag}");
    }

    #[test]
    fn every_variable_of_a_flag_is_in_the_table_of_the_environment() {
        let of = |subcommand: &str| variables(&["athena-operator".into(), subcommand.into()]);
        let mut of_flags = [of("run"), of("check"), of("crd")].concat();
        of_flags.sort();
        of_flags.dedup();
        let table: Vec<_> = VARIABLES.iter().filter(|variable| variable.kind == Kind::Flag).map(|variable| variable.name).collect();
        assert_eq!(of_flags, table);
        let given = variables(&["athena-operator", "run", "--log=warn", "--listen", "0.0.0.0:1"].map(OsString::from));
        assert!(!given.contains(&"ATHENA_OPERATOR_LOG".to_owned()) && !given.contains(&"ATHENA_OPERATOR_LISTEN".to_owned()), "{given:?}");
        assert!(given.contains(&"ATHENA_OPERATOR_LOG_FORMAT".to_owned()), "{given:?}");
    }

    #[test]
    fn namespaces_are_split_at_commas() {
        let Command::Run(run) = parse(&["run", "--namespaces=team-a,team-b"]).expect("valid").command else { panic!("run") };
        assert_eq!(run.namespaces, ["team-a", "team-b"]);
    }
}
