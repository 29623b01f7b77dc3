//! Facts that this process knows of an object beyond the object itself. They are lost with the process, and every rule holds without them.

mod calls;
mod looks;
mod writes;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::StopCause;
use crate::session::backoff::backoff;
use crate::session::environment::Environment;
use crate::session::refused_write::RefusedWrite;
use crate::session::reply::{ErrorClass, Refusal, Session, passes};

/// Facts that this process knows of one object. One value is stored for every object: rarely used parts are boxed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct LocalState {
    /// True if this process added the finalizer: then no attempt can have been recorded before.
    pub finalizer_added: bool,
    /// The row of looks that did not find the session, up to the newest look; none if the newest look found it.
    pub missed: Option<Box<Missed>>,
    /// The newest refusal, while it stands.
    pub refused: Option<Box<Refused>>,
    /// Time of the last look that succeeded.
    pub seen_time: Option<Timestamp>,
    /// The newest failure of a look, while no look has succeeded since.
    pub look_refused: Option<Box<Refused>>,
    /// The newest refusal of a write to the object by the API server, while it stands.
    pub refused_write: Option<Box<RefusedWrite>>,
    /// The complete lists without the attempt's marker, if any was read.
    pub absence: Option<Box<Absence>>,
    /// True if a look at the state showed an end, for which the full session is still to be read.
    pub has_ended: bool,
    /// True if a complete list did not show the session since it was last seen: only a look can show its state.
    pub is_missed: bool,
    /// Sessions with the object's marker that a search has looked at, until it has looked at all that the list shows.
    pub marked: Vec<Session>,
    /// A session that was started and could not yet be recorded, and its attempt.
    pub unrecorded: Option<Box<(i32, Session)>>,
    /// The attempt that this process recorded last, whatever was recorded before it: it belongs to the account in which this process works.
    recorded: Option<(i32, Timestamp)>,
    /// True if nobody can have recorded that attempt before.
    is_first_record: bool,
    /// True if a call of StartSession may have started a session that is not known.
    pub in_doubt: bool,
    adopted: Option<Box<Adopted>>,
    /// True while something depends on Athena's time and Athena has not returned it.
    lacks_time: bool,
    trusted: Option<Box<str>>,
    disowned: Option<Box<str>>,
    /// Time at which Athena last changed the session, as far as it was seen.
    pub last_modified_time: Option<Timestamp>,
    met_time: Option<Timestamp>,
    /// Origin of the clock from which this process read its times.
    clock_origin: Option<Timestamp>,
    /// Time at which the wait for the next call was set, and time at which it is over.
    wait: Option<(Timestamp, Timestamp)>,
    swept: SweepCoverage,
    /// Number of looks since the session last changed, up to [`LONGEST_AFTER`].
    looks: i32,
    /// True if a look has shown the session at work since TerminateSession was last called.
    lives_on: bool,
    terminated: Option<Box<Terminated>>,
    /// Cause for which the session is being ended, where the API server refused the status with the cause.
    pub unrecorded_cause: Option<Box<StopCause>>,
    /// Seconds of the idle timeout in effect, once a look has shown it.
    idle_timeout: Option<i32>,
    /// Time at which the session was last seen at work.
    pub busy_time: Option<Timestamp>,
    /// Time at which this process last wrote the status.
    written_time: Option<Timestamp>,
    /// The session as it was last seen, where the status is yet to report that it became busy or idle.
    unwritten_work: Option<Box<Session>>,
}

/// Session that was found by the object's marker and is not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Adopted {
    id: Box<str>,
    /// True if it is being ended.
    ends: bool,
}

/// Looks that did not find a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missed {
    /// Number of looks, up to [`NOT_FOUND_OFTEN_ENOUGH`].
    pub count: u32,
    /// Number of looks that got a ResourceNotFoundException with the session's id in it.
    named: u32,
    /// Time at which the first look was requested: only a list that was begun later can confirm it.
    pub first: Timestamp,
    /// Time of the newest look.
    last: Timestamp,
}

/// Calls of TerminateSession.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Terminated {
    count: u32,
    /// Time of the next call, if the newest had no effect.
    next_time: Timestamp,
}

/// Begins of complete lists that did not show a session of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Absence {
    /// The newest list.
    pub newest: Timestamp,
    /// The newest one that began [`Limits::list_interval`](crate::session::environment::Limits::list_interval) or more before it.
    pub before: Option<Timestamp>,
}

/// Coverage of a session by the sweeps of its work group: a session that they cover need not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum SweepCoverage {
    /// Sweeps have never covered it.
    #[default]
    Never,
    /// Sweeps covered it before, and do not now.
    Before,
    /// Sweeps cover the session with this id.
    Now(Box<str>),
}

/// A refusal and how long it has stood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// The refused call.
    pub call: Call,
    /// The newest refusal.
    pub refusal: Refusal,
    /// Time of the first refusal in the row.
    pub since: Timestamp,
    /// Number of refusals in the row after the first.
    pub count: u32,
    /// Number of events published for the row, where the condition's reason does not change.
    told: u8,
}

impl Refused {
    /// Returns the number of events due by now for a call for a start to which Athena did not answer: one when the missing answers begin, and one
    /// more when they have lasted for `limits.healing`.
    fn to_be_told(&self, env: &Environment) -> u8 {
        match self.refusal.class {
            ErrorClass::Unanswered | ErrorClass::NotSent if Call::Start.serves(self.call) => {
                1 + u8::from(self.since + env.limits.healing <= env.now)
            }
            _ => 0,
        }
    }

    /// Returns the text of the refusal for conditions and events.
    pub fn message(&self) -> String {
        self.call.message(&self.refusal)
    }
}

/// A call to Athena whose refusal is worth reporting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// GetWorkGroup, before an attempt is recorded.
    WorkGroup,
    /// StartSession.
    Start,
    /// GetSession or GetSessionStatus.
    Look,
    /// ListSessions.
    Search,
    /// TerminateSession.
    Terminate,
}

impl Call {
    /// Returns the text of a refusal of this call, for conditions, events and the log.
    pub fn message(self, refusal: &Refusal) -> String {
        // A text that follows, such as the command that releases the object, must have its place in the message of a condition.
        const MAX_MESSAGE_CHARS: usize = 2048;
        let operation = match self {
            Call::WorkGroup => "GetWorkGroup",
            Call::Start => "StartSession",
            Call::Look => "GetSession",
            Call::Search => "ListSessions",
            Call::Terminate => "TerminateSession",
        };
        let said: String = refusal.message.chars().take(MAX_MESSAGE_CHARS).collect();
        match refusal.class {
            ErrorClass::Unanswered => format!("{operation} is not answered: {said}"),
            ErrorClass::NotSent => format!("{operation} cannot be sent: {said}"),
            // Athena has refused nothing, or its refusal would have a request id: the operator itself found the fault.
            ErrorClass::MayHeal | ErrorClass::Rejected
                if self == Call::WorkGroup && refusal.request_id.is_none() =>
            {
                format!("StartSession is not called: {said}")
            }
            _ => format!("{operation} is refused: {said}"),
        }
    }

    /// Returns whether both calls serve the same purpose: a start, an end, or a look.
    fn serves(self, other: Self) -> bool {
        let is_for_start = |call| matches!(call, Self::WorkGroup | Self::Start | Self::Search);
        self == other || is_for_start(self) && is_for_start(other)
    }
}

impl LocalState {
    /// Returns the local state of an object that this process meets for the first time.
    pub fn met(now: Timestamp) -> Self {
        Self { met_time: Some(now), ..Self::default() }
    }

    /// Moves the times at which this process did something to a clock of this origin, if the clock was corrected since they were read. Times from
    /// Athena and from the object stay as they are.
    pub fn set_clock(&mut self, origin: Timestamp) {
        let Some(before) = self.clock_origin.replace(origin).filter(|before| *before != origin) else {
            return;
        };
        let correction = origin.duration_since(before);
        let times = [&mut self.seen_time, &mut self.busy_time, &mut self.met_time, &mut self.written_time];
        let refused = [&mut self.refused, &mut self.look_refused].into_iter().flatten();
        let looks = self.missed.iter_mut().flat_map(|missed| [&mut missed.first, &mut missed.last]);
        let lists =
            self.absence.iter_mut().flat_map(|lists| [Some(&mut lists.newest), lists.before.as_mut()]);
        let writes = self.refused_write.iter_mut().flat_map(|write| [&mut write.since, &mut write.next_time]);
        times
            .into_iter()
            .flatten()
            .chain(refused.map(|refused| &mut refused.since))
            .chain(looks)
            .chain(self.terminated.iter_mut().map(|terminated| &mut terminated.next_time))
            .chain(lists.flatten())
            .chain(self.wait.iter_mut().flat_map(|(set, over)| [set, over]))
            .chain(writes)
            .for_each(|time| *time = time.saturating_add(correction).unwrap_or(*time));
    }

    /// Returns whether a call may be made now: not while sweeps cover the session and nothing else has been set since. A wait that was set in the
    /// future is over: the clock has been put back.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.waits(now) && (self.wait.is_some() || !matches!(self.swept, SweepCoverage::Now(_)))
    }

    /// Returns whether the next call has to wait for a time.
    pub fn waits(&self, now: Timestamp) -> bool {
        self.wait.is_some_and(|(set, over)| set <= now && now < over)
    }

    /// Returns the time from which on the next call may be made.
    pub fn next_time(&self) -> Option<Timestamp> {
        self.wait.map(|(_, over)| over)
    }

    /// Records that the status was written.
    pub fn status_written(&mut self, env: &Environment) {
        // Nothing depends on the time where the next write need not wait.
        self.written_time = Some(env.now).filter(|_| !env.limits.work_interval().is_zero());
        self.unwritten_work = None;
    }

    /// Returns whether this process wrote the status less than [`Limits::work_interval`](crate::session::environment::Limits::work_interval) ago.
    pub fn is_written_lately(&self, env: &Environment) -> bool {
        self.written_time.is_some_and(|time| time <= env.now && env.now < time + env.limits.work_interval())
    }

    /// Records that `session` became busy or idle, which the status reports later, or that it is again as the status reports.
    pub fn hold_work(&mut self, session: Option<Session>) {
        self.unwritten_work = session.map(Box::new);
    }

    /// Returns the session `id` as it was last seen, where the status is yet to report that it became busy or idle.
    pub fn unwritten_work(&self, id: &str) -> Option<&Session> {
        self.unwritten_work.as_deref().filter(|session| session.id == id)
    }

    /// Returns the time by which the status has to report it.
    pub fn work_time(&self, env: &Environment) -> Option<Timestamp> {
        let written = self.written_time.filter(|_| self.unwritten_work.is_some())?;
        Some(written + env.limits.work_interval())
    }

    fn wait_for(&mut self, wait: SignedDuration, env: &Environment) {
        self.wait = Some((env.now, env.now + wait));
    }

    fn refused(&mut self, call: Call, refusal: Refusal, env: &Environment) {
        let class = refusal.class;
        let standing = match self.refused.take() {
            Some(before) if before.call == call && before.refusal.class == class => {
                Refused { refusal, count: before.count.saturating_add(1), ..*before }
            }
            // A refusal that passes by itself neither hides one that somebody has to fix, nor restarts its time.
            Some(before) if before.call.serves(call) && passes(class) && !passes(before.refusal.class) => {
                Refused { count: before.count.saturating_add(1), ..*before }
            }
            _ => Refused { call, refusal, since: env.now, count: 0, told: 0 },
        };
        self.wait_for(backoff(class, standing.count, env.jitter), env);
        self.refused = Some(Box::new(standing));
    }
}

/// Number of looks in a row without the session after which it counts as missing; further looks prove nothing further.
pub const NOT_FOUND_OFTEN_ENOUGH: u32 = 2;

/// Number of looks after which the time between them no longer grows.
const LONGEST_AFTER: i32 = 4;
