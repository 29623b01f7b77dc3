//! Kubernetes plumbing for any kind of object: it names none.
//!
//! - [`kubernetes`]: the clients of the API server.
//! - [`bounded_replies`]: a client whose replies from the API server take a bounded amount of memory, however large the objects are.
//! - [`clock`]: clocks of Athena and of the API server, independent of the node's clock.
//! - [`leadership`] and [`lease`]: leadership of this process, and the election that decides it.
//! - [`workqueue`]: order and number of concurrent reconciles, and the times at which objects are due without a change.
//! - [`key`]: namespace and name of an object.
//! - [`options`]: values of flags that several components take.
//! - [`panics`]: reports of panics, without secrets.
//! - [`readiness`]: readiness of the process, and the namespaces that it cannot serve.
//! - [`confidential`]: redaction of secrets in all output.
//! - [`metrics`]: the registry of metrics, and the metrics of the plumbing.
//! - [`server`]: the HTTP server for probes and metrics.
//! - [`telemetry`]: the log.

pub mod bounded_replies;
pub mod clock;
pub mod confidential;
pub mod key;
pub mod kubernetes;
pub mod leadership;
pub mod lease;
pub mod metrics;
pub mod options;
pub mod panics;
pub mod readiness;
pub mod server;
pub mod telemetry;
pub mod workqueue;
