//! Clock of another machine, from the `Date` headers of its replies: invariant 14. Times of Athena and of the API server are compared with their own
//! clocks, since the node's clock may be wrong and may jump.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tracing::{info, warn};

/// Time since this machine was started. No change of its wall clock moves it, and it goes on while the machine is suspended, unlike `Instant`.
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

/// Earliest `Date` that is used: 2022-11-30, in seconds since 1970. Athena has had Spark since then.
pub const EARLIEST: i64 = 1_669_766_400;

/// Smallest difference by which a clock counts as wrong.
pub const SKEW_BOUND: SignedDuration = SignedDuration::from_secs(30);

/// `Date` header, with the times at which its request was sent and its reply arrived. The other machine wrote the header between the two.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The `Date`, in whole seconds.
    pub date: Timestamp,
    /// Time at which the request was sent.
    pub sent: BootTime,
    /// Time at which the head of the reply arrived.
    pub received: BootTime,
}

impl Reply {
    /// Reads a `Date` header. Returns nothing for one that no clock in use can show.
    pub fn new(date: &str, sent: BootTime, received: BootTime) -> Option<Self> {
        /// Year 2200, in seconds since 1970.
        const MAX_SECONDS: i64 = 7_258_118_400;
        /// Longest round trip whose reply is used.
        const MAX_ROUND_TRIP: Duration = Duration::from_mins(5);
        let date = rfc2822::parse(date).ok()?.timestamp();
        let is_usable = (EARLIEST..MAX_SECONDS).contains(&date.as_second())
            && received.duration_since(sent) <= MAX_ROUND_TRIP;
        is_usable.then_some(Self { date, sent, received })
    }

    /// Returns the most likely time of the other machine's clock when this machine was started: the reply was written in the middle of the round
    /// trip.
    fn origin(&self) -> Timestamp {
        let earliest = origin(self.date, self.received);
        let half = signed(self.received.duration_since(self.sent) / 2);
        earliest.saturating_add(half).unwrap_or(earliest)
    }
}

/// Source of an estimate.
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
    /// Time of that clock when this machine was started.
    origin: Timestamp,
    source: Source,
    /// Origin by the newest reply, if it is far from `origin`: another reply has to confirm it.
    suspect: Option<Timestamp>,
}

impl Estimate {
    /// Difference between the estimate and a reply's `Date` above which the clock follows the `Date` only when a second reply confirms it, also when
    /// the reply is the first of the process: the effects of a single wrong `Date`, such as an ended session or a recorded time, cannot be undone.
    const JUMP: SignedDuration = SignedDuration::from_secs(10);

    /// Difference between estimate and reply above which the estimate is set back. Within it, the clock never runs backwards.
    const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

    /// Corrects the estimate by a reply of the machine itself. A `Date` has whole seconds, and the round trip takes time: a difference within both
    /// does not count, and the estimate moves no further than the reply forces it to.
    fn observe(&mut self, reply: &Reply) {
        let (earliest, latest) = (
            origin(reply.date, reply.received),
            origin(reply.date, reply.sent) + SignedDuration::from_secs(1),
        );
        let told = Self { origin: reply.origin(), source: Source::Own, suspect: None };
        let is_far = |origin: Timestamp| {
            earliest.duration_since(origin) > Self::JUMP || origin.duration_since(latest) > Self::JUMP
        };
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

    /// Sets the estimate by a reply of another machine, until a reply of the machine itself has set it.
    fn hint(&mut self, reply: &Reply) {
        if self.source < Source::Own {
            *self = Self { origin: reply.origin(), source: Source::Hint, suspect: None };
        }
    }

    fn at(&self, time: BootTime) -> Timestamp {
        self.origin.saturating_add(signed(time.0)).unwrap_or(Timestamp::MAX)
    }
}

/// Returns the time that a clock which shows `date` at `time` showed when this machine was started.
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
    /// True if a reply of the machine itself has set the clock. Until then the time may be wrong by any amount.
    pub is_certain: bool,
    /// Time of the clock when this machine was started. It changes only when the estimate is corrected.
    pub origin: Timestamp,
}

#[derive(Debug)]
struct State {
    estimate: Estimate,
    /// Origin by which timers were last set.
    announced: Timestamp,
    /// True if the node's clock was found to be wrong.
    is_skewed: bool,
}

/// Estimated clock of another machine. Clones share the estimate.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Name of the machine, for the log.
    machine: &'static str,
    state: Arc<Mutex<State>>,
    corrected: Arc<Notify>,
}

impl Clock {
    /// Creates a clock of `machine`, which follows the node's clock as of now until a reply corrects it.
    pub fn new(machine: &'static str) -> Self {
        let estimate = Estimate {
            origin: origin(Timestamp::now(), BootTime::now()),
            source: Source::Node,
            suspect: None,
        };
        let state = State { estimate, announced: estimate.origin, is_skewed: false };
        Self { machine, state: Arc::new(Mutex::new(state)), corrected: Arc::default() }
    }

    /// Reads the clock.
    pub fn read(&self) -> Reading {
        let estimate = self.state.lock().estimate;
        let now = estimate.at(BootTime::now());
        Reading { now, is_certain: estimate.source == Source::Own, origin: estimate.origin }
    }

    /// Returns the time now.
    pub fn now(&self) -> Timestamp {
        self.at(BootTime::now())
    }

    /// Returns the time that the clock showed, or will show, at `time`, by the estimate of now.
    pub fn at(&self, time: BootTime) -> Timestamp {
        self.state.lock().estimate.at(time)
    }

    /// Corrects the clock by a reply of the machine.
    pub fn observe(&self, reply: &Reply) {
        let mut state = self.state.lock();
        let was_certain = state.estimate.source == Source::Own;
        state.estimate.observe(reply);
        let Estimate { origin, source, .. } = state.estimate;
        if source < Source::Own {
            return;
        }
        // A smaller correction makes no timer wrong that matters, and machines behind one name may differ by as much from reply to reply.
        if !was_certain || origin.duration_since(state.announced).abs() > Estimate::JUMP {
            state.announced = origin;
            self.corrected.notify_one();
        }
        let skew = skew(state.estimate, reply.received);
        self.log_skew(&mut state, skew);
    }

    /// Sets the clock by a reply of another machine whose clock is a better guess than the node's, until a reply of the machine itself has set it.
    pub fn hint(&self, reply: &Reply) {
        self.state.lock().estimate.hint(reply);
    }

    /// Returns the time for signatures: a wrong time is refused and does no harm, so the time of a single reply is tried before another reply
    /// confirms it.
    pub fn signing_time(&self) -> Timestamp {
        let estimate = self.state.lock().estimate;
        let origin = estimate.suspect.filter(|_| estimate.source < Source::Own).unwrap_or(estimate.origin);
        Estimate { origin, ..estimate }.at(BootTime::now())
    }

    /// Returns whether the newest reply has a time that another reply has to confirm.
    pub fn is_in_doubt(&self) -> bool {
        self.state.lock().estimate.suspect.is_some()
    }

    /// Waits until a reply of the machine has set the clock, or until the clock has moved so far that timers are wrong.
    pub async fn corrected(&self) {
        self.corrected.notified().await;
    }

    /// Returns the time by which the node's clock is ahead, once a reply of the machine has set this one.
    pub fn node_skew(&self) -> Option<SignedDuration> {
        let estimate = self.state.lock().estimate;
        (estimate.source == Source::Own).then(|| skew(estimate, BootTime::now()))
    }

    /// Logs once that the node's clock is wrong, and once that it is right again.
    fn log_skew(&self, state: &mut State, skew: SignedDuration) {
        let is_wrong = if state.is_skewed { skew.abs() > SKEW_BOUND / 2 } else { skew.abs() >= SKEW_BOUND };
        if is_wrong == state.is_skewed {
            return;
        }
        state.is_skewed = is_wrong;
        let (machine, skew) = (self.machine, skew.as_secs_f64());
        if is_wrong {
            let (size, direction) = (skew.abs(), if skew < 0.0 { "behind" } else { "ahead of" });
            warn!(
                skew,
                "the node's clock is {size:.0} s {direction} {machine}'s: times are compared with {machine}'s clock; set the node's"
            );
        } else {
            info!(skew, "the node's clock agrees with {machine}'s again");
        }
    }
}

/// Returns the time by which the node's clock is ahead now; `now` is the time since the node was started.
fn skew(estimate: Estimate, now: BootTime) -> SignedDuration {
    Timestamp::now().duration_since(estimate.at(now))
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
