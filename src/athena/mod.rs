//! Amazon Athena: the only place that knows the AWS SDK. Its failures are outcomes to be reported, so they come back as data.

mod client;
mod credentials;
mod error;
mod probe;
pub mod rate_limiter;
mod request;

pub use client::{Athena, ConnectError};
pub use credentials::Caller;
pub use error::{CATALOGUE, Entry, Operations, Text};
pub use probe::Probe;
pub use request::start_session;
