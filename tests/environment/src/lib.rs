//! A Kubernetes API server, an emulator of Athena and the operator's real binary, together: for tests, demo and development.
//!
//! - [`Stage`]: an API server with the operator's CRD and roles.
//! - [`Operator`]: a running operator, under its own service account and with no more than its own rights.
//! - [`Request`]: what the operator has asked of the API server, by the server's own word.
//! - [`ForwardProxy`]: a proxy between the operator and what it calls.
//! - [`load`]: many objects at a slow Athena.

mod audit;
mod forward_proxy;
pub mod load;
mod operator;
mod stage;

pub use audit::Request;
pub use cluster::{Cluster, Signal};
pub use forward_proxy::{Asked, ForwardProxy, ProxyAnswer, ProxyProtocol};
pub use operator::{Operator, OperatorOptions};
pub use stage::{Scope, Stage};

use std::path::{Path, PathBuf};

/// The repository that this crate is part of.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
