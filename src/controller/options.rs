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

    /// Maximum number of reconciles at a time in each namespace of --namespaces, or in all namespaces together without that flag; a fifth is reserved
    /// for reconciles that make no call to Athena
    #[arg(long, env = "ATHENA_OPERATOR_CONCURRENCY", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Time between two lists of a work group with live sessions, varied by up to a quarter; the lists show changes of sessions that are IDLE or BUSY.
    /// A change between IDLE and BUSY alone is written once three such intervals, or one minute if that is less, have passed since the last write of
    /// the status
    #[arg(long, env = "ATHENA_OPERATOR_OBSERVE_INTERVAL", default_value = "20s", value_parser = duration, value_name = "DURATION")]
    pub observe_interval: Duration,

    /// Interval of looks at a session that is starting or ending. The first look comes half of it after the start, the second one interval later, and
    /// the wait then grows to five times the interval
    #[arg(long, env = "ATHENA_OPERATOR_TRANSITION_INTERVAL", default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub transition_interval: Duration,

    /// Time after StartSession during which Athena's reads may not show the session yet, and the operator may send the same token again. Within this
    /// time a session that is not found may still exist: shorten it in tests only, to no less than 1s
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
