//! `athena-operator run`: the process of the operator, from its start to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::athena::rate_limiter::RateLimiter;
use crate::athena::{Athena, config_from_env};
use crate::commands::args::{Run, VERSION};
use crate::controller;
use crate::controller::context::Operator;
use crate::controller::exporter::Exporter;
use crate::controller::metrics::Metrics;
use crate::runtime::clock::Clock;
use crate::runtime::kubernetes::ApiServer;
use crate::runtime::leadership::{self, Leadership};
use crate::runtime::lease::{self, Candidate};
use crate::runtime::readiness::Readiness;
use crate::runtime::{panics, server, telemetry};
use crate::session::backoff::backoff;
use crate::session::pass::Decisions;
use crate::session::reply::ErrorClass;

/// Runs the operator, with these decisions, until a signal ends it.
///
/// # Errors
/// When the operator cannot start, and when it has to end before a signal: it has lost the lease, or the controller has ended by itself.
// The process waits far more than it computes: on one thread it takes a quarter less CPU time than on two, and less memory.
#[tokio::main(flavor = "current_thread")]
pub async fn run(options: &Run, decisions: &'static dyn Decisions) -> anyhow::Result<()> {
    telemetry::init(options.log.log_format, &options.log.log)?;
    panics::abort();
    let metrics = Arc::new(Metrics::default());
    let api_server_clock = Clock::new("the API server");
    let api_server = ApiServer::from_env(
        options.kubernetes.kubernetes_timeout,
        api_server_clock.clone(),
        metrics.rest_client.clone(),
    )
    .await?;
    // Each client has a connection of its own.
    let lease_clients = [api_server.client()?, api_server.client()?];
    let (handle, leadership) = leadership::elected();
    let leadership = if options.lease.leader_election { leadership } else { Leadership::unbounded() };
    let candidate = Candidate {
        namespace: options.lease.lease_namespace.clone().unwrap_or_else(|| api_server.namespace().to_owned()),
        name: options.lease.lease_name.clone(),
        identity: lease::identity(),
        duration: options.lease.lease_duration,
    };
    let limiter =
        RateLimiter::new(options.athena.rate(), options.controller.bounds(), metrics.athena.clone());
    let aws = config_from_env(options.athena.athena_timeout).await?;
    let athena = Athena::new(aws, leadership.clone(), limiter, metrics.athena.clone())?;
    // A namespace given twice must not have two reconciles of one object at a time.
    let namespaces: Vec<String> =
        options.controller.namespaces.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let client = api_server.leading_client(leadership.clone(), namespaces.len())?;
    let readiness = Readiness::new(&namespaces, leadership.clone());
    let listener = TcpListener::bind(options.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.server.listen))?;
    info!(version = VERSION, address = %listener.local_addr()?, region = athena.region(), ?namespaces, "starting");

    let signal = ending_signal()?;
    let (release, released) = oneshot::channel();
    let mut election = options
        .lease
        .leader_election
        .then(|| tokio::spawn(lease::run(lease_clients, candidate, handle, released)));
    let operator = Arc::new(Operator::new(
        decisions,
        client.clone(),
        api_server_clock,
        athena.clone(),
        options.controller.limits(),
        metrics,
    ));
    let scrape = Exporter {
        operator: operator.clone(),
        readiness: readiness.clone(),
        leadership: leadership.clone(),
        lease: options.lease.lease_name.clone(),
    };
    tokio::spawn(server::serve(listener, move || scrape.text(), readiness.clone()));
    let learnt = tokio::spawn(learn_account(operator.clone(), athena));
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = stopped.map(drop);
    let work = {
        let (operator, leadership) = (operator.clone(), leadership.clone());
        async move {
            leadership.held().await;
            // Attempts should carry the account from the first on, but an unreachable STS must not keep sessions from being ended.
            let _ = tokio::time::timeout(Duration::from_secs(5), learnt).await;
            controller::run::run(
                operator,
                client,
                &namespaces,
                options.controller.concurrency,
                readiness,
                shutdown,
            )
            .await;
        }
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => anyhow::bail!("the controller ended by itself"),
        () = signal => {}
        () = lost(election.as_mut()) => anyhow::bail!("this process is no longer the leader"),
    }
    info!("stopping");
    let _ = stop.send(());
    if leadership.is_held() {
        let finished = async {
            work.await;
            operator.leaked_sessions_ended().await;
        };
        tokio::select! {
            () = finished => {}
            () = tokio::time::sleep(options.shutdown_grace) => {
                warn!("not all calls and reconciles finished within --shutdown-grace; the next leader continues from the objects");
            }
            () = lost(election.as_mut()) => anyhow::bail!("this process is no longer the leader"),
        }
    }
    let _ = release.send(());
    if let Some(election) = election {
        election.await?;
    }
    Ok(())
}

/// Waits for a signal that ends the operator. One that comes before the returned future is polled counts.
fn ending_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
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

async fn learn_account(operator: Arc<Operator>, athena: Athena) {
    for tries in 0_u32.. {
        match athena.account().await {
            Ok(account) => {
                info!(account, "STS returned the account");
                return operator.set_account(account);
            }
            Err(error) if tries == 0 => warn!(
                "cannot tell the AWS account, attempts are recorded without it until STS answers: {error}"
            ),
            Err(_) => {}
        }
        // Objects that an earlier process has left may wait for the account.
        tokio::time::sleep(backoff(ErrorClass::Unanswered, tries, fastrand::f64()).unsigned_abs()).await;
    }
}
