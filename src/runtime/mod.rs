//! Kubernetes plumbing for any kind of object: it names none.
//!
//! - [`kubernetes`]: the clients of the API server.
//! - [`bounded_replies`]: a client whose replies from the API server take a bounded amount of memory, however large the objects are.
//! - [`clock`]: the time of Athena and of the API server, whatever the node's clock says.
//! - [`leadership`] and [`lease`]: whether this process may act, and how that is won and lost.
//! - [`workqueue`]: which object is reconciled next, how many at a time, and at which time an object is due without a change.
//! - [`key`]: namespace and name of an object.
//! - [`options`]: values of flags that several components take.
//! - [`panics`]: panics, which are told without secrets.
//! - [`readiness`]: which namespaces are served.
//! - [`confidential`]: secrets, which are printed nowhere.
//! - [`metrics`]: how metrics are defined, and those of the plumbing.
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
