//! Metrics: their registry, and the metrics of the plumbing. Each component registers its own.
//!
//! - [`registry`]: metrics with labels; name, kind, labels and meaning of each.
//! - [`reconciles`], [`workqueue`], [`rest_client`], [`process`]: metrics under the names of controller-runtime and client-go, where they have them.

pub mod process;
pub mod reconciles;
pub mod registry;
pub mod rest_client;
pub mod workqueue;
