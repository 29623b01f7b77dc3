//! Kubernetes operator for Amazon Athena for Apache Spark: for an `AthenaSession` it starts an Athena session, mirrors its state, and ends it on deletion.
//!
//! Folders and the imports that each permits; `tests/imports.rs` checks both.
//!
//! ```text
//! api         the resource: fields, bounds, admission rules                            | -
//! env_vars    what may stand in environment variables and in AWS profiles              | -
//! session     every decision about one AthenaSession, without a clock, a client or I/O | api
//! runtime     Kubernetes plumbing for any kind: clients, lease, workqueue, probes, log | env_vars
//! athena      the calls to Athena and their rate limiter; nothing else knows the SDK   | api, env_vars, runtime, session::backoff, session::marker, session::reply
//! controller  the controller of AthenaSessions: it carries out what `session` decides  | api, athena, runtime, session
//! commands    the subcommands of the binary                                            | everything
//! ```

pub mod api;
pub mod athena;
pub mod commands;
pub mod controller;
pub mod env_vars;
pub mod runtime;
pub mod session;
