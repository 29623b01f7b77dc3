//! The operator's binary.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use athena_operator::args::{self, Check, Cli, Command, Output, Run, VERSION};
use athena_operator::athena::Athena;
use athena_operator::athena::rate_limiter::RateLimiter;
use athena_operator::check::check;
use athena_operator::clock::Clock;
use athena_operator::confidential::{self, withheld};
use athena_operator::controller;
use athena_operator::environment::{self, Kind, Variable};
use athena_operator::known::backoff;
use athena_operator::kubernetes::{self, ApiServer};
use athena_operator::leadership::{self, Leadership};
use athena_operator::lease::{self, Candidate};
use athena_operator::metrics::Metrics;
use athena_operator::operator::Operator;
use athena_operator::readiness::Readiness;
use athena_operator::scrape::Scrape;
use athena_operator::session::Class;
use athena_operator::{api, server, telemetry};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// Tasks come and go between what stays of each object; glibc's malloc keeps the holes that they leave, and takes more CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit status for flags and variables that are wrong, as clap has it.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| eprintln!("athena-operator: {}", told(panic))));
    if let Err(error) = environment::start_without_empty() {
        return failed(&error);
    }
    confidential::keep_environment();
    let command = match command(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(command) => command,
        Err(code) => return code,
    };
    let result = match command {
        Command::Crd => print_crd().map(|()| ExitCode::SUCCESS),
        Command::Check(options) => print_check(&options),
        Command::Run(options) => run(&options).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("athena-operator: {}", withheld(&format!("{error:#}")));
    ExitCode::FAILURE
}

/// Returns what the command line and the environment ask for. Prints what is wrong with them otherwise.
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
    let problems = environment::problems(std::env::vars_os().filter(|_| to_stderr), is_read);
    for problem in &problems {
        eprintln!("athena-operator: {}", withheld(problem));
    }
    if !problems.is_empty() {
        return Err(ExitCode::from(WRONG_USAGE));
    }
    parsed.map_err(|error| {
        let text = withheld(&args::usage(&error, arguments));
        if error.use_stderr() {
            eprint!("{text}");
        } else {
            print!("{text}");
        }
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

fn print_crd() -> anyhow::Result<()> {
    print!("{}", serde_saphyr::to_string(&api::crd())?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn print_check(options: &Check) -> anyhow::Result<ExitCode> {
    let report = check(options).await?;
    print!("{}", withheld(&if options.output == Output::Json { report.json() } else { report.text() }));
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// It waits far more than it computes: on one thread it takes a quarter less CPU time than on two, and less memory.
#[tokio::main(flavor = "current_thread")]
async fn run(options: &Run) -> anyhow::Result<()> {
    telemetry::init(options.log_format, &options.log)?;
    end_on_panic();
    let metrics = Arc::new(Metrics::default());
    let api_server = ApiServer::from_env(options.kubernetes_timeout).await?;
    let api_server_clock = Clock::new("the API server");
    // Each has a connection of its own.
    let lease_client = || kubernetes::client(&api_server, api_server_clock.clone(), metrics.clone());
    let lease_clients = [lease_client()?, lease_client()?];
    let (office, leadership) = leadership::contested();
    let leadership = if options.leader_election { leadership } else { Leadership::unbounded() };
    let candidate = Candidate {
        namespace: options.lease_namespace.clone().unwrap_or_else(|| api_server.namespace().to_owned()),
        name: options.lease_name.clone(),
        identity: lease::identity(),
        duration: options.lease_duration,
    };
    let client = kubernetes::leading_client(&api_server, leadership.clone(), api_server_clock.clone(), metrics.clone())?;
    let limiter = RateLimiter::new(options.rate(), options.bounds(), metrics.clone());
    let athena = Athena::from_env(options.athena_timeout, leadership.clone(), limiter, metrics.clone()).await?;
    // A namespace given twice must not have two reconciles of one object at a time.
    let namespaces: Vec<String> = options.namespaces.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let readiness = Readiness::new(&namespaces, leadership.clone());
    let listener = server::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
    info!(version = VERSION, address = %listener.local_addr()?, region = athena.region(), ?namespaces, "starting");

    let mut signals = Signals::new()?;
    let (release, released) = oneshot::channel();
    let mut election = options.leader_election.then(|| tokio::spawn(lease::run(lease_clients, candidate, office, released)));
    let operator = Arc::new(Operator::new(client.clone(), api_server_clock, athena.clone(), options.limits(), metrics));
    let scrape =
        Scrape { operator: operator.clone(), readiness: readiness.clone(), leadership: leadership.clone(), lease: options.lease_name.clone() };
    tokio::spawn(server::serve(listener, Arc::new(scrape), readiness.clone()));
    let learnt = tokio::spawn(learn_account(operator.clone(), athena));
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let work = {
        let (operator, leadership) = (operator.clone(), leadership.clone());
        async move {
            leadership.held().await;
            // Attempts should carry the account from the first on, but an unreachable STS must not keep sessions from being ended.
            let _ = tokio::time::timeout(Duration::from_secs(5), learnt).await;
            controller::run(operator, client, &namespaces, options.concurrency, readiness, shutdown).await;
        }
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => anyhow::bail!("the controller ended by itself"),
        () = signals.any() => {}
        () = lost(election.as_mut()) => anyhow::bail!("this process is not the leader any more"),
    }
    info!("stopping");
    let _ = stop.send(());
    if leadership.is_held() {
        let finished = async {
            work.await;
            operator.orphans_ended().await;
        };
        tokio::select! {
            () = finished => {}
            () = tokio::time::sleep(options.shutdown_grace) => {
                warn!("some work did not finish in time; the next operator takes up what objects tell of");
            }
            () = lost(election.as_mut()) => anyhow::bail!("this process is not the leader any more"),
        }
    }
    let _ = release.send(());
    if let Some(election) = election {
        election.await?;
    }
    Ok(())
}

/// The signals that end the operator.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the election has ended, which before the release means that the lease is lost.
async fn lost(election: Option<&mut JoinHandle<()>>) {
    match election {
        Some(election) => {
            let _ = election.await;
        }
        None => std::future::pending().await,
    }
}

/// Has a panic in any task end the process: what it left half done is taken up by the next.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        error!("{}", told(panic));
        std::process::abort();
    }));
}

/// A panic for people, without secrets.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    withheld(&format!("a panic{place}: {}", panic.payload_as_str().unwrap_or("without a message")))
}

async fn learn_account(operator: Arc<Operator>, athena: Athena) {
    for tries in 0_u32.. {
        match athena.account().await {
            Ok(account) => {
                info!(account, "STS told the account");
                return operator.set_account(account);
            }
            Err(error) if tries == 0 => warn!("cannot tell the AWS account, attempts are recorded without it until STS answers: {error}"),
            Err(_) => {}
        }
        // Objects that an earlier process has left may wait for it.
        tokio::time::sleep(backoff(Class::Unanswered, tries, fastrand::f64()).unsigned_abs()).await;
    }
}
