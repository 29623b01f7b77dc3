//! Builds the programs of the cluster that are missing, and tells where they are.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cluster::binaries::{self, Binary};

#[derive(Parser)]
#[command(about)]
enum Command {
    /// Prints the folder with etcd, kube-apiserver and kubectl, for `export KUBEBUILDER_ASSETS=...`
    Path {
        /// Have kube-controller-manager, too
        #[arg(long)]
        controller_manager: bool,
    },
}

fn main() -> ExitCode {
    let Command::Path { controller_manager } = Command::parse();
    match api_server(controller_manager) {
        Ok(program) => {
            println!("{}", program.parent().unwrap_or(&program).display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn api_server(controller_manager: bool) -> anyhow::Result<PathBuf> {
    binaries::path(Binary::Etcd)?;
    binaries::path(Binary::Kubectl)?;
    let program = binaries::path(Binary::ApiServer)?;
    if controller_manager {
        binaries::path(Binary::ControllerManager)?;
    }
    Ok(program)
}
