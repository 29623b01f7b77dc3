//! The operator's binary.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use athena_operator::args::{Cli, Command, Run};
use athena_operator::athena::Athena;
use athena_operator::controller::{self, Readiness};
use athena_operator::metrics::Metrics;
use athena_operator::reconcile::Operator;
use athena_operator::{api, server, telemetry};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Crd => print_crd(),
        Command::Run(options) => run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("athena-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> anyhow::Result<()> {
    print!("{}", serde_saphyr::to_string(&api::crd())?);
    Ok(())
}

#[tokio::main]
async fn run(options: &Run) -> anyhow::Result<()> {
    telemetry::init(options.log_format, &options.log)?;
    let metrics = Arc::new(Metrics::default());
    let athena = Athena::from_env(options.athena_timeout, metrics.clone()).await?;
    let client = kube::Client::try_default().await.map_err(|error| anyhow::anyhow!("cannot find a Kubernetes cluster: {error}"))?;
    // A namespace given twice must not have two reconciles of one object at a time.
    let namespaces: Vec<String> = options.namespaces.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let readiness = Readiness::new(namespaces.len().max(1));
    let listener = server::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
    info!(address = %listener.local_addr()?, region = athena.region(), ?namespaces, "starting");
    tokio::spawn(server::serve(listener, metrics.clone(), readiness.clone()));

    let operator = Arc::new(Operator::new(client.clone(), athena.clone(), options.limits(), metrics));
    let learnt = tokio::spawn(learn_account(operator.clone(), athena));
    // Attempts should carry the account from the first on, but an unreachable STS must not keep sessions from being ended.
    let _ = tokio::time::timeout(Duration::from_secs(5), learnt).await;

    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let mut running = std::pin::pin!(controller::run(operator.clone(), client, &namespaces, options.concurrency, readiness, shutdown));
    tokio::select! {
        () = &mut running => anyhow::bail!("the controller ended by itself"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
    let _ = stop.send(());
    let finished = async {
        running.await;
        operator.orphans_ended().await;
    };
    if tokio::time::timeout(options.shutdown_grace, finished).await.is_err() {
        warn!("some work did not finish in time; the next operator takes up what objects tell of");
    }
    Ok(())
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
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}
