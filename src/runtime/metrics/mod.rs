//! Metrics: their definitions, and the metrics of the plumbing. Each component registers its own.
//!
//! - [`definition`]: name, kind, labels and meaning of a metric; [`labelled`]: a metric made from its definition.
//! - [`reconciles`], [`workqueue`], [`rest_client`], [`process`]: metrics under the names of controller-runtime and client-go, where they have them.

pub mod definition;
pub mod labelled;
pub mod process;
pub mod reconciles;
pub mod rest_client;
pub mod workqueue;
