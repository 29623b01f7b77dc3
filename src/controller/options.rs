//! The options of the controller.

use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::SignedDuration;

use crate::athena::rate_limiter::{Bounds, LARGE_CALLS};
use crate::runtime::options::{duration, namespace};
use crate::session::environment::Limits;

/// The options of the controller.
#[derive(Args, Clone, Debug)]
pub struct ControllerOptions {
    /// Namespaces to watch, separated by commas; all of them if unset
    #[arg(long, env = "ATHENA_OPERATOR_NAMESPACES", value_delimiter = ',', value_name = "NAMES", value_parser = namespace)]
    pub namespaces: Vec<String>,

    /// Reconciles that may run at a time in each watched namespace, or in all of them together where none is named; a fifth is kept for those that
    /// make no call to Athena
    #[arg(long, env = "ATHENA_OPERATOR_CONCURRENCY", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Time between lists of a work group in which sessions live, give or take a quarter: they show the changes of settled sessions. A change between
    /// busy and idle is written at most once in three of them, or once a minute if that is less
    #[arg(long, env = "ATHENA_OPERATOR_OBSERVE_INTERVAL", default_value = "20s", value_parser = duration, value_name = "DURATION")]
    pub observe_interval: Duration,

    /// First time between looks at a session that is starting or ending; it grows to five times that. The first look follows a start after half of it
    #[arg(long, env = "ATHENA_OPERATOR_TRANSITION_INTERVAL", default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub transition_interval: Duration,

    /// Time after a start during which Athena's reads may miss the session and a token is replayed. Only after that time does not finding a session
    /// prove anything: shorten it in tests only, to no less than 1s
    #[arg(long, env = "ATHENA_OPERATOR_UNCERTAINTY", default_value = "10m", value_parser = uncertainty, value_name = "DURATION")]
    pub uncertainty: Duration,
}

impl ControllerOptions {
    /// Returns the bounds on concurrent calls: while calls to Athena take long, some reconciles go on.
    pub fn bounds(&self) -> Bounds {
        Bounds { in_flight: usize::from(self.concurrency - self.concurrency / 5), large: LARGE_CALLS }
    }

    /// Returns the intervals and the uncertainty of these options, with defaults for the other limits.
    pub fn limits(&self) -> Limits {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Limits {
            uncertainty: signed(self.uncertainty),
            transition_interval: signed(self.transition_interval),
            observe_interval: signed(self.observe_interval),
            ..Limits::default()
        }
    }
}

/// Reads the uncertainty. Times of attempts are in whole seconds: with less than one, an attempt could be too old to be tried as soon as it is
/// recorded, and be recorded for ever.
fn uncertainty(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given >= Duration::from_secs(1) { Ok(given) } else { Err(format!("`{text}` must be at least 1s")) }
}
