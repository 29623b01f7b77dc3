//! Amazon Athena: the only place that knows the AWS SDK. Its failures are outcomes to be reported, so they come back as data.
//!
//! - `client`: the calls; `error`: what their failures mean; `clock`: the time that replies tell.
//! - `credentials`, `missing_credentials`, `issued` and `profile_files`: the operator's credentials, where they come from, and why there are none.
//! - [`rate_limiter`]: when a call may be made, and whose turn it is.
//! - [`observer`]: sweeps of the work groups, which show what has become of sessions.
//! - [`marker_search`]: lists that are searched for the marker of an object.
//! - `work_groups`: what GetWorkGroup has said, for all objects.
//! - `probe`: the calls of `athena-operator check`.
//! - [`metrics`] and [`options`]: what is counted, and the flags.

mod client;
mod clock;
mod credentials;
mod error;
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

pub use client::{Athena, ConnectError};
pub use credentials::Caller;
pub use error::{CATALOGUE, Entry, Operations, Text};
pub use marker_search::{Answer, Ask, Lister, Marked, MarkerSearch, Part, Summary, SummaryPage};
pub use probe::Probe;
pub use work_groups::KnownWorkGroup;
