//! The circumstances of a decision that do not depend on the object: times, limits, and where the operator works.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Where the operator works: an attempt is only ever looked at from the region and account in which it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// AWS region.
    pub region: String,
    /// AWS account, once STS has told it.
    pub account: Option<String>,
}

/// How long things may take before they mean something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after a start Athena's reads may still miss the session, and how long a token may be replayed.
    pub uncertainty: SignedDuration,
    /// How long a refusal that may heal, or a refused TerminateSession, counts as being in progress.
    pub healing: SignedDuration,
    /// How long looks may fail before what they last showed is out of date.
    pub stale: SignedDuration,
    /// How long after a look the next one follows, for a session that is starting or ending; it grows to five times that. The first one follows a start after
    /// half of it.
    pub transition_interval: SignedDuration,
    /// The same for a settled session.
    pub observe_interval: SignedDuration,
}

impl Limits {
    /// Least time between a write of the status and one for nothing but that the session became busy or idle: a minute or, where sessions are observed more
    /// often than by default, three times that interval.
    pub fn work_interval(&self) -> SignedDuration {
        (self.observe_interval * 3).min(SignedDuration::from_mins(1))
    }

    /// Time between the begins of two lists that prove the same independently: a minute.
    pub fn list_interval(&self) -> SignedDuration {
        self.uncertainty / 10
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uncertainty: SignedDuration::from_mins(10),
            healing: SignedDuration::from_mins(5),
            stale: SignedDuration::from_mins(10),
            transition_interval: SignedDuration::from_secs(2),
            observe_interval: SignedDuration::from_secs(20),
        }
    }
}

/// The circumstances of a decision.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Athena's time, or a guess as long as `is_time_certain` is false.
    pub now: Timestamp,
    /// Whether Athena has told its time to this process. Until then nothing is started or ended because of a time alone.
    pub is_time_certain: bool,
    /// By how much the API server's clock, with which deletions are compared, is ahead of Athena's, once the API server has told its time.
    pub api_server_ahead: Option<SignedDuration>,
    /// Where the operator works.
    pub identity: Identity,
    /// How long things may take.
    pub limits: Limits,
    /// When the clock that `now` is read from began: it moves when the clock is corrected.
    pub clock_origin: Timestamp,
    /// A random number of 0 to 1, by which waits differ.
    pub jitter: f64,
}
