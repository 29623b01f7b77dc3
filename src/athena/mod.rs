//! Amazon Athena: the only place that knows the AWS SDK. Its failures are outcomes to be reported, so they come back as data.

mod client;
mod clock;
mod credentials;
mod error;
mod issued;
pub mod marker_search;
mod probe;
mod profile_files;
pub mod rate_limiter;
mod request;
mod work_groups;

pub use client::{Athena, ConnectError};
pub use credentials::Caller;
pub use error::{CATALOGUE, Entry, Operations, Text};
pub use marker_search::{Answer, Ask, Lister, Marked, MarkerSearch, Part, Summary, SummaryPage};
pub use probe::Probe;
pub use request::start_session;
pub use work_groups::KnownWorkGroup;
