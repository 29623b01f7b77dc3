//! The circumstances of a decision that do not depend on the object: times, limits, and the operator's region and account.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Region and account in which the operator works: an attempt is only ever looked at from the region and account in which it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// AWS region.
    pub region: String,
    /// AWS account, once STS has returned it.
    pub account: Option<String>,
}

/// Durations after which a delay counts as a failure, and intervals between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time after StartSession during which Athena's reads may not show the session yet and its token may be replayed.
    pub uncertainty: SignedDuration,
    /// Time for which a refusal that may heal, or a refused TerminateSession, counts as being in progress.
    pub healing: SignedDuration,
    /// Time for which looks may fail before the session that they last showed is out of date.
    pub stale: SignedDuration,
    /// Time from a look to the next one, for a session that is starting or ending; it grows to five times that. The first look follows a start after
    /// half of it.
    pub transition_interval: SignedDuration,
    /// Time from a look to the next one, for a settled session.
    pub observe_interval: SignedDuration,
}

impl Limits {
    /// Returns the minimum time between a write of the status and one for nothing but that the session became busy or idle: a minute or, where
    /// sessions are observed more often than by default, three times that interval.
    pub fn work_interval(&self) -> SignedDuration {
        (self.observe_interval * 3).min(SignedDuration::from_mins(1))
    }

    /// Returns the time between the begins of two lists that prove the same independently: a minute.
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
    /// Athena's time, or an estimate as long as `is_time_certain` is false.
    pub now: Timestamp,
    /// True once this process has read Athena's time from a reply. Until then nothing is started or ended because of a time alone.
    pub is_time_certain: bool,
    /// Time by which the API server's clock, with which deletions are compared, is ahead of Athena's, once the API server has reported its time.
    pub api_server_ahead: Option<SignedDuration>,
    /// Region and account in which the operator works.
    pub identity: Identity,
    /// Limits of time.
    pub limits: Limits,
    /// Origin of the clock from which `now` is read: it moves when the clock is corrected.
    pub clock_origin: Timestamp,
    /// A random number from 0 to 1 that varies the waits.
    pub jitter: f64,
}
