//! Command line and environment: whatever is accepted can be worked with, and no secret of the environment is told.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use athena_operator::athena::observer::Observer;
use athena_operator::athena::rate_limiter::{Priority, RateLimiter, Want};
use athena_operator::commands::args::{Check, Cli, Command, Run};
use athena_operator::runtime::clock::Clock;
use athena_operator::runtime::key::Key;
use athena_operator::runtime::telemetry;
use clap::{CommandFactory, Parser};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Resource;
use kube::core::Request;
use kube::core::params::GetParams;
use tracing::{debug, info, info_span};

use crate::planted;
use crate::secrets::{self, Lines};

/// The flags of `run`, and the variable of each.
static FLAGS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("run");
    let told = |argument: &clap::Arg| {
        Some((argument.get_long()?.to_owned(), argument.get_env()?.to_str()?.to_owned()))
    };
    run.get_arguments().filter_map(told).collect()
});

/// Values that flags of one kind or another stumble over.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "0.01",
    "0.009",
    "5",
    "5.5",
    "1e308",
    "1e-308",
    "NaN",
    "inf",
    "-0",
    "10000",
    "10000.0001",
    "0x10",
    "1_000",
    "18446744073709551616",
    "true",
    "false",
    "yes",
    "json",
    "text",
    "JSON",
    "0s",
    "1ns",
    "500ms",
    "10s",
    "24h",
    "24h1ns",
    "-5s",
    "1h 30m",
    "PT1H",
    "1d",
    "1mo",
    "99999999999999999999s",
    "9223372036854775807s",
    "0.0.0.0:8080",
    "[::]:0",
    ":8080",
    "localhost:80",
    "team-a,team-b",
    ",",
    "a,,b",
    "kube-system",
    "UPPER",
    "-dash",
    "..",
    "a/b?c#d",
    "athena_operator[athenasession{uid=x}]=trace,warn",
    "aws_smithy_runtime=trace,hyper=debug,kube_client=trace",
    "[{object=/(a+)+$/}]=trace",
];

/// For each flag, those of the values that it takes: what is accepted goes further than what is refused.
static ACCEPTED: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let accepts = |flag: &str, value: &str| {
        Cli::try_parse_from(["athena-operator", "run", &format!("--{flag}={value}")]).is_ok()
    };
    FLAGS
        .iter()
        .map(|(flag, _)| VALUES.iter().copied().filter(|value| accepts(flag, value)).collect())
        .collect()
});

/// Text is one argument a line, and those like `ATHENA_OPERATOR_LOG=debug` are variables; what begins with a control character says what is made.
pub fn flags(data: &[u8]) {
    let data = secrets::scrubbed(data);
    let (arguments, variables) = match data.first() {
        Some(first) if *first < b' ' => match made(&mut Unstructured::new(&data[1..])) {
            Ok(made) => made,
            Err(_) => return,
        },
        _ => read(&data),
    };
    let given = FLAGS.iter().map(|(_, name)| {
        let value = variables.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        (name.clone(), value)
    });
    let secret = [("AWS_SECRET_ACCESS_KEY".to_owned(), Some(OsString::from(secrets::SECRET)))];
    let variables: Vec<_> = given.chain(secret).collect();
    let parsed = temp_env::with_vars(variables, || {
        Cli::try_parse_from(std::iter::once("athena-operator".into()).chain(arguments))
    });
    match parsed {
        Ok(Cli { command: Command::Run(run) }) => check(&run),
        Ok(Cli { command: Command::Check(options) }) => check_check(&options),
        Ok(Cli { command: Command::Crd }) => {}
        Err(error) => secrets::check("what is told of a flag", &error.render().to_string()),
    }
}

type Given = (Vec<OsString>, Vec<(String, OsString)>);

fn read(data: &[u8]) -> Given {
    // What is left out where a flag is told could make a secret of two parts.
    let plain: Vec<u8> = data
        .iter()
        .map(|byte| if byte.is_ascii_control() && *byte != b'\n' { b' ' } else { *byte })
        .collect();
    let data = secrets::scrubbed(&plain);
    let (mut arguments, mut variables) = (Vec::new(), Vec::new());
    for line in data.split(|byte| *byte == b'\n').filter(|line| !line.contains(&0)).take(64) {
        let variable = FLAGS
            .iter()
            .find_map(|(_, name)| Some((name, line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?)));
        match variable {
            Some((name, value)) => variables.push((name.clone(), OsString::from_vec(value.to_vec()))),
            None => arguments.push(OsString::from_vec(line.to_vec())),
        }
    }
    (arguments, variables)
}

fn made(u: &mut Unstructured<'_>) -> Result<Given> {
    let (mut arguments, mut variables) = (vec!["run".into()], Vec::new());
    for _ in 0..u.int_in_range(0..=6)? {
        let number = u.choose_index(FLAGS.len())?;
        let ((flag, variable), accepted) = (&FLAGS[number], &ACCEPTED[number]);
        let value = if !accepted.is_empty() && u.ratio(3, 4)? {
            OsString::from(*u.choose(accepted)?)
        } else if u.ratio(3, 4)? {
            OsString::from(*u.choose(VALUES)?)
        } else {
            let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
            let plain: Vec<u8> =
                u.bytes(length)?.iter().copied().filter(|byte| !byte.is_ascii_control()).collect();
            OsString::from_vec(secrets::scrubbed(&plain))
        };
        match u.int_in_range(0..=2)? {
            0 => variables.push((variable.clone(), value)),
            1 => arguments.extend([format!("--{flag}").into(), value]),
            _ => {
                let mut argument = OsString::from(format!("--{flag}="));
                argument.push(value);
                arguments.push(argument);
            }
        }
    }
    Ok((arguments, variables))
}

/// Panics where something that was accepted cannot be worked with.
fn check(run: &Run) {
    const DAY: Duration = Duration::from_hours(24);
    planted::flags(run);
    for namespace in run.controller.namespaces.iter().chain(&run.lease.lease_namespace) {
        check_path(namespace, "lease");
    }
    check_path("namespace", &run.lease.lease_name);
    for duration in [
        run.athena.athena_timeout,
        run.kubernetes.kubernetes_timeout,
        run.lease.lease_duration,
        run.controller.observe_interval,
        run.controller.transition_interval,
        run.controller.uncertainty,
    ] {
        assert!(!duration.is_zero() && duration <= DAY, "{duration:?}");
    }
    assert!(
        run.lease.lease_duration.subsec_nanos() == 0
            && i32::try_from(run.lease.lease_duration.as_secs()).is_ok()
    );
    // Times of attempts are in whole seconds.
    assert!(run.controller.concurrency > 0 && run.controller.uncertainty >= Duration::from_secs(1));
    let limits = run.controller.limits();
    let observer = Observer::<u8>::new(
        limits.observe_interval.unsigned_abs(),
        limits.stale.unsigned_abs(),
        Clock::new("Athena"),
    );
    observer.untrack(&0);
    let want = Want { priority: Priority::Start, to_front: false, large: true, reserve_only: false };
    let limiter = RateLimiter::new(run.athena.rate(), run.controller.bounds(), Arc::default());
    assert!(limiter.try_acquire(&Key::new("", ""), want).is_some(), "the first call has no turn");
    let Ok(lines) = telemetry::lines(run.log.log_format, &run.log.log, || Lines, false) else { return };
    Lines::taken();
    tracing::subscriber::with_default(lines, || {
        let span = info_span!(target: "athena_operator::controller::reconcile", "athenasession", object = "team/nightly", uid = "x", attempt = 1);
        span.in_scope(|| {
            info!(target: "athena_operator::controller::reconcile", reason = "Refused", "a line");
            debug!(target: "aws_smithy_runtime::client", token = secrets::TOKEN, "{}", secrets::SECRET);
            debug!(target: "kube_client::client", "{}", secrets::PROPERTY);
        });
    });
    secrets::check("the log", &Lines::taken());
}

/// Panics where a check that was accepted cannot be made.
fn check_check(options: &Check) {
    assert!(!options.athena_timeout.is_zero() && !options.work_groups.is_empty());
    assert!(
        options.work_groups.iter().all(|name| (1..=128).contains(&name.len())),
        "{:?}",
        options.work_groups
    );
}

/// Panics where no request can be made for this lease, or it is one for something else.
fn check_path(namespace: &str, name: &str) {
    let request = Request::new(Lease::url_path(&(), Some(namespace))).get(name, &GetParams::default());
    let request = request
        .unwrap_or_else(|error| panic!("no request can be made for {namespace:?} and {name:?}: {error}"));
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
    let plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            && text != "."
            && text != ".."
    };
    assert!(
        request.uri().path() == path && plain(namespace) && plain(name),
        "another request than it should be: {}",
        request.uri()
    );
}
