//! API server, emulator and operator, kept up for development until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use athena_emulator::Config;
use clap::Parser;
use environment::Stage;

/// Keeps an API server, an emulator of Athena and the operator up until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match dev(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dev(arguments: &Arguments) -> anyhow::Result<()> {
    let (emulator, stage, operator) =
        environment::start(&arguments.operator, Config::default(), Stage::start).await?;
    let url = emulator.url();
    println!("export KUBECONFIG={}", stage.kubeconfig().display());
    println!(
        "export PATH={}:$PATH",
        stage.kubectl_program().parent().unwrap_or(stage.kubectl_program()).display()
    );
    println!(
        "export AWS_ENDPOINT_URL={url} AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
    );
    eprintln!("\nAll is up; paste the lines above into another shell. Then, for example:");
    eprintln!("  kubectl apply -f examples/spark-35-minimal.yaml && kubectl get athenasessions --watch");
    eprintln!("  curl {url}/_emulator/calls");
    if let Some(address) = operator.address() {
        eprintln!("  curl http://{address}/metrics");
    }
    eprintln!("  tail -f {}", operator.log_file().display());
    eprintln!("Ctrl-C ends everything.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
