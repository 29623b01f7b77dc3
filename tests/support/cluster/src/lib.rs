//! A real Kubernetes API server for tests, the demo and the benchmark: etcd, kube-apiserver and
//! kubectl of pinned versions, and kube-controller-manager for those who ask.
//!
//! - [`binaries`]: where the four programs come from: `KUBEBUILDER_ASSETS`, the user's cache, or a
//!   build with Go, which [`tools`] does.
//! - [`Cluster`]: the running servers; `servers` knows how each is started.
//! - `access`: what a client needs: URL, certificate, kubeconfigs, kubectl.
//! - `process`: child processes that never outlive this one.
//! - `folder`: the folder a cluster works in.
//! - `ports`: free ones for the servers.

mod access;
pub mod binaries;
mod cluster;
mod folder;
mod ports;
mod process;
mod servers;

pub use cluster::{Cluster, Options};
pub use process::{Process, Spawner};
/// A signal to a [`Process`].
pub use rustix::process::Signal;
