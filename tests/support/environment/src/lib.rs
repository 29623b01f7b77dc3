//! A Kubernetes API server, an emulator of Athena and the operator's real binary, together: for tests, demo and development.
//!
//! - [`Stage`]: an API server with the operator's CRD and roles.
//! - [`start`]: all of them together.
//! - [`Operator`]: a running operator, under its own service account and with no more than its own rights.
//! - [`Request`]: what the operator has asked of the API server, by the server's own word.
//! - [`ForwardProxy`]: a proxy between the operator and what it calls.
//! - [`load`]: many objects at a slow Athena. [`exit_code`]: how a program ends that measures.

mod audit;
mod forward_proxy;
pub mod load;
mod operator;
mod stage;
mod verdict;

pub use audit::Request;
pub use cluster::{Cluster, Signal};
pub use forward_proxy::{Asked, ForwardProxy, ProxyAnswer, ProxyProtocol};
pub use operator::{Operator, OperatorOptions};
pub use stage::{Scope, Stage};
pub use verdict::exit_code;

use std::path::{Path, PathBuf};

use athena_emulator::{Config, Emulator};

/// The repository that this crate is part of.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(3).unwrap_or(here).to_owned()
}

/// Starts an emulator of Athena, an API server and an operator of all namespaces, which is ready then.
///
/// # Errors
/// When one of them cannot be started.
pub async fn start(
    binary: &Path,
    athena: Config,
    stage: impl FnOnce() -> anyhow::Result<Stage>,
) -> anyhow::Result<(Emulator, Stage, Operator)> {
    let emulator = Emulator::start(athena).await?;
    let stage = tokio::task::block_in_place(stage)?;
    let (scope, athena) = (Scope::Everywhere, emulator.url());
    let options = OperatorOptions { binary, scope, athena: &athena, flags: &[], env: &[] };
    let operator = Operator::start(&stage, &options)?;
    operator.wait_until_ready()?;
    Ok((emulator, stage, operator))
}
