//! The time of another machine, from the `Date` headers of its replies: invariant 14. Times that Athena and the API server tell are compared with their
//! own clocks, since the node's may be wrong and may jump.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tracing::{info, warn};

/// Time since this machine was started. No change of its wall clock moves it, and it goes on while the machine is suspended, which `Instant` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// Returns the time now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// Returns the time since `earlier`, or zero if that is later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// 2022-11-30, in seconds since 1970: Athena has had Spark since then.
pub const EARLIEST: i64 = 1_669_766_400;

/// Difference from which on a clock counts as wrong.
pub const SKEW_BOUND: SignedDuration = SignedDuration::from_secs(30);

/// A `Date` with a request's beginning and the arrival of its reply. The other machine wrote it between the two.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The `Date`, in whole seconds.
    pub date: Timestamp,
    /// When the request was sent.
    pub sent: BootTime,
    /// When the head of the reply came.
    pub received: BootTime,
}

impl Reply {
    /// Reads a `Date` header. Returns nothing for one that no clock in use can show.
    pub fn new(date: &str, sent: BootTime, received: BootTime) -> Option<Self> {
        /// The year 2200.
        const LATEST: i64 = 7_258_118_400;
        /// Longest round trip whose reply tells the time.
        const LONGEST: Duration = Duration::from_mins(5);
        let date = rfc2822::parse(date).ok()?.timestamp();
        let is_usable = (EARLIEST..LATEST).contains(&date.as_second()) && received.duration_since(sent) <= LONGEST;
        is_usable.then_some(Self { date, sent, received })
    }
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The node's clock when this process began.
    Node,
    /// A reply of a machine whose clock is a better guess than the node's.
    Hint,
    /// A reply of the machine itself.
    Own,
}

/// An estimate of another machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Estimate {
    /// What that clock showed when this machine was started.
    origin: Timestamp,
    source: Source,
    /// The origin that the newest reply tells, if it is far from this one: another one has to agree with it.
    suspect: Option<Timestamp>,
}

impl Estimate {
    /// Difference to a reply from which on another one has to confirm it: what a single wrong `Date` would end cannot be taken back.
    const JUMP: SignedDuration = SignedDuration::from_secs(10);

    /// Difference to a reply from which on the estimate is off. Within it, the clock never runs backwards.
    const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

    /// Takes in a reply of the machine itself. A `Date` has whole seconds, and the way there and back its time: what lies within both is no difference, and
    /// the estimate is moved no further than the reply forces it to be.
    fn observe(&mut self, reply: &Reply) {
        let Reply { date, sent, received } = *reply;
        let earliest = origin(date, received);
        let latest = origin(date, sent) + SignedDuration::from_secs(1);
        let half = signed(received.duration_since(sent) / 2);
        let told = Self { origin: earliest.saturating_add(half).unwrap_or(earliest), source: Source::Own, suspect: None };
        let is_far = |origin: Timestamp| earliest.duration_since(origin) > Self::JUMP || origin.duration_since(latest) > Self::JUMP;
        if self.source < Source::Own {
            *self = told;
        } else if is_far(self.origin) {
            match self.suspect {
                Some(suspect) if !is_far(suspect) => *self = told,
                _ => self.suspect = Some(told.origin),
            }
            return;
        } else if self.origin < earliest {
            self.origin = earliest;
        } else if self.origin.duration_since(latest) > Self::TOLERANCE {
            self.origin = latest;
        }
        self.suspect = None;
    }

    fn at(&self, time: BootTime) -> Timestamp {
        self.origin.saturating_add(signed(time.0)).unwrap_or(Timestamp::MAX)
    }
}

/// Returns what a clock that shows `date` at `time` showed when this machine was started.
fn origin(date: Timestamp, time: BootTime) -> Timestamp {
    date.saturating_sub(signed(time.0)).unwrap_or(Timestamp::MIN)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// A reading of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time.
    pub now: Timestamp,
    /// Whether the machine itself has told it. Until then it may be wrong by any amount.
    pub is_certain: bool,
    /// What the clock showed when this machine was started. It moves only when the estimate is corrected.
    pub origin: Timestamp,
}

#[derive(Debug)]
struct State {
    estimate: Estimate,
    /// Whether the node's clock was found to be wrong.
    is_skewed: bool,
}

/// Another machine's clock, as well as this process knows it.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The machine, for the log.
    machine: &'static str,
    state: Mutex<State>,
    corrected: Notify,
}

impl Clock {
    /// Creates a clock of `machine`, which shows the node's time of now until a reply corrects it.
    pub fn new(machine: &'static str) -> Self {
        let estimate = Estimate { origin: origin(Timestamp::now(), BootTime::now()), source: Source::Node, suspect: None };
        Self(Arc::new(Inner { machine, state: Mutex::new(State { estimate, is_skewed: false }), corrected: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clock.
    pub fn read(&self) -> Reading {
        let estimate = self.state().estimate;
        let Estimate { origin, source, .. } = estimate;
        let now = estimate.at(BootTime::now());
        Reading { now, is_certain: source == Source::Own, origin }
    }

    /// Returns the time now.
    pub fn now(&self) -> Timestamp {
        self.at(BootTime::now())
    }

    /// Returns the time that the clock showed, or will show, at `time`, as far as this is known now.
    pub fn at(&self, time: BootTime) -> Timestamp {
        self.state().estimate.at(time)
    }

    /// Takes in a reply of the machine.
    pub fn observe(&self, reply: &Reply) {
        /// Correction from which on timers that were set before are wrong.
        const NOTABLE: SignedDuration = SignedDuration::from_secs(2);
        let mut state = self.state();
        let before = state.estimate;
        state.estimate.observe(reply);
        let after = state.estimate;
        if before.source < Source::Own || after.origin.duration_since(before.origin).abs() > NOTABLE {
            self.0.corrected.notify_one();
        }
        self.log_skew(&mut state, skew(after, reply.received));
    }

    /// Takes in a reply of another machine whose clock is a better guess than the node's, as long as the machine itself has told nothing.
    pub fn hint(&self, reply: &Reply) {
        let mut state = self.state();
        if state.estimate.source < Source::Own {
            state.estimate.source = Source::Node;
            state.estimate.observe(reply);
            state.estimate.source = Source::Hint;
        }
    }

    /// Waits for the machine's first reply, or for one that shows that its clock was off.
    pub async fn corrected(&self) {
        self.0.corrected.notified().await;
    }

    /// Returns by how much the node's clock is ahead, once the machine has told its time.
    pub fn node_skew(&self) -> Option<SignedDuration> {
        let estimate = self.state().estimate;
        (estimate.source == Source::Own).then(|| skew(estimate, BootTime::now()))
    }

    /// Says once that the node's clock is wrong, and once that it is right again.
    fn log_skew(&self, state: &mut State, skew: SignedDuration) {
        let is_wrong = if state.is_skewed { skew.abs() > SKEW_BOUND / 2 } else { skew.abs() >= SKEW_BOUND };
        if is_wrong == state.is_skewed {
            return;
        }
        state.is_skewed = is_wrong;
        let (machine, skew) = (self.0.machine, skew.as_secs_f64());
        if is_wrong {
            let (size, direction) = (skew.abs(), if skew < 0.0 { "behind" } else { "ahead of" });
            warn!(skew, "the node's clock is {size:.0} s {direction} {machine}'s: times are compared with {machine}'s clock; set the node's");
        } else {
            info!(skew, "the node's clock agrees with {machine}'s again");
        }
    }
}

/// Returns by how much the node's clock is ahead now, where `now` is the time since it was started.
fn skew(estimate: Estimate, now: BootTime) -> SignedDuration {
    Timestamp::now().duration_since(estimate.at(now))
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
