//! Amazon Athena: the only module that knows the AWS SDK. A failed call is a result to report, so the functions return it as data.
//!
//! - `client`: the calls; `error`: the meaning of their failures; `clock`: the time in replies.
//! - `http_client`: the SDK's HTTP client with bounded replies.
//! - `credentials`, `missing_credentials`, `issued` and `profile_files`: the operator's credentials, their sources, and the reasons for missing ones.
//! - [`rate_limiter`]: the time and order of calls.
//! - [`observer`]: sweeps of the work groups, which show the changes of sessions.
//! - [`marker_search`]: lists that are searched for the marker of an object.
//! - `work_groups`: cached GetWorkGroup replies, for all objects.
//! - `probe`: the calls of `athena-operator check`.
//! - [`metrics`] and [`options`]: the metrics and the flags.

mod client;
mod clock;
mod credentials;
mod error;
mod http_client;
mod issued;
pub mod marker_search;
pub mod metrics;
mod missing_credentials;
pub mod observer;
pub mod options;
mod probe;
mod profile_files;
pub mod rate_limiter;
mod work_groups;

pub use client::{Athena, ConnectError, Target, config_from_env};
pub use credentials::Caller;
pub use error::{CATALOGUE, Entry, Operations, Text};
pub use marker_search::{Answer, Ask, Lister, Marked, MarkerSearch, Part, Summary};
pub use probe::Probe;
pub use work_groups::KnownWorkGroup;
