//! Amazon Athena: the only place that knows the AWS SDK. Its failures are outcomes to be reported, so they come back as data.

mod client;
mod credentials;
mod error;
mod request;

pub use client::{Athena, ConnectError};
pub use error::{CATALOGUE, Entry};
pub use request::start_session;
