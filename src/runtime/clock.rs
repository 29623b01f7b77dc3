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

    /// Returns what the other machine's clock showed when this machine was started, most likely: the reply was written in the middle of the round trip.
    fn origin(&self) -> Timestamp {
        let earliest = origin(self.date, self.received);
        let half = signed(self.received.duration_since(self.sent) / 2);
        earliest.saturating_add(half).unwrap_or(earliest)
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
    /// Difference to a reply from which on another one has to confirm it, the first one of a process too: what a single wrong `Date` would end, or would
    /// have recorded, cannot be taken back.
    const JUMP: SignedDuration = SignedDuration::from_secs(10);

    /// Difference to a reply from which on the estimate is off. Within it, the clock never runs backwards.
    const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

    /// Takes in a reply of the machine itself. A `Date` has whole seconds, and the way there and back its time: what lies within both is no difference, and
    /// the estimate is moved no further than the reply forces it to be.
    fn observe(&mut self, reply: &Reply) {
        let (earliest, latest) = (origin(reply.date, reply.received), origin(reply.date, reply.sent) + SignedDuration::from_secs(1));
        let told = Self { origin: reply.origin(), source: Source::Own, suspect: None };
        let is_far = |origin: Timestamp| earliest.duration_since(origin) > Self::JUMP || origin.duration_since(latest) > Self::JUMP;
        if is_far(self.origin) {
            match self.suspect {
                Some(suspect) if !is_far(suspect) => *self = told,
                _ => self.suspect = Some(told.origin),
            }
            return;
        }
        if self.source < Source::Own {
            *self = told;
        } else if self.origin < earliest {
            self.origin = earliest;
        } else if self.origin.duration_since(latest) > Self::TOLERANCE {
            self.origin = latest;
        }
        self.suspect = None;
    }

    /// Takes in a reply of another machine, as long as the machine itself has told nothing.
    fn hint(&mut self, reply: &Reply) {
        if self.source < Source::Own {
            *self = Self { origin: reply.origin(), source: Source::Hint, suspect: None };
        }
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
    /// The origin that timers were last set by.
    announced: Timestamp,
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
        let state = State { estimate, announced: estimate.origin, is_skewed: false };
        Self(Arc::new(Inner { machine, state: Mutex::new(state), corrected: Notify::new() }))
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
        let mut state = self.state();
        let was_certain = state.estimate.source == Source::Own;
        state.estimate.observe(reply);
        let Estimate { origin, source, .. } = state.estimate;
        if source < Source::Own {
            return;
        }
        // What is less makes no timer wrong that matters, and machines behind one name may differ by as much with each reply.
        if !was_certain || origin.duration_since(state.announced).abs() > Estimate::JUMP {
            state.announced = origin;
            self.0.corrected.notify_one();
        }
        let skew = skew(state.estimate, reply.received);
        self.log_skew(&mut state, skew);
    }

    /// Takes in a reply of another machine whose clock is a better guess than the node's, as long as the machine itself has told nothing.
    pub fn hint(&self, reply: &Reply) {
        self.state().estimate.hint(reply);
    }

    /// Returns the time for signatures: a wrong one is refused and does no harm, so that what one reply has told is tried before another confirms it.
    pub fn signing_time(&self) -> Timestamp {
        let estimate = self.state().estimate;
        let origin = estimate.suspect.filter(|_| estimate.source < Source::Own).unwrap_or(estimate.origin);
        Estimate { origin, ..estimate }.at(BootTime::now())
    }

    /// Returns whether the newest reply told a time that another one has to confirm.
    pub fn is_in_doubt(&self) -> bool {
        self.state().estimate.suspect.is_some()
    }

    /// Waits until the machine has told its time, or until that has moved so far that timers are wrong.
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
