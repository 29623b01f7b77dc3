//! Facts that this process knows of an object beyond the object itself. They are lost with the process, and every rule holds without them.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{EndReason, StopCause};
use crate::session::attempt::Recorded;
use crate::session::backoff::backoff;
use crate::session::environment::{Environment, Limits};
use crate::session::marker;
mod writes;
use crate::session::refused_write::RefusedWrite;
use crate::session::reply::{Class, Look, Refusal, Search, Session, passes};

/// Facts that this process knows of one object. One value is stored for every object: rarely used parts are boxed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct LocalState {
    /// True if this process added the finalizer: then no attempt can have been recorded before.
    pub finalizer_added: bool,
    /// The row of looks that did not find the session, up to the newest look; none if the newest look found it.
    missed: Option<Box<Missed>>,
    /// The newest refusal, while it stands.
    pub refused: Option<Box<Refused>>,
    /// Time of the last look that succeeded.
    pub seen_time: Option<Timestamp>,
    /// The newest failure of a look, while no look has succeeded since.
    pub look_refused: Option<Box<Refused>>,
    /// The newest refusal of a write to the object by the API server, while it stands.
    pub refused_write: Option<Box<RefusedWrite>>,
    /// The complete lists without the attempt's marker, if any was read.
    absence: Option<Box<Absence>>,
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
    in_doubt: bool,
    adopted: Option<Box<Adopted>>,
    /// True while something depends on Athena's time and Athena has not returned it.
    lacks_time: bool,
    trusted: Option<Box<str>>,
    disowned: Option<Box<str>>,
    last_modified_time: Option<Timestamp>,
    met_time: Option<Timestamp>,
    /// Origin of the clock from which this process read its times.
    clock_origin: Option<Timestamp>,
    /// Time at which the wait for the next call was set, and time at which it is over.
    wait: Option<(Timestamp, Timestamp)>,
    swept: Swept,
    looks: u32,
    /// True if a look has shown the session at work since TerminateSession was last called.
    lives_on: bool,
    terminated: Option<Box<Terminated>>,
    /// Cause for which the session is being ended, where the API server refused the status with the cause.
    unrecorded_cause: Option<Box<StopCause>>,
    /// Seconds of the idle timeout in effect, once a look has shown it.
    idle_timeout: Option<i32>,
    /// Time at which the session was last seen at work.
    busy_time: Option<Timestamp>,
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
struct Missed {
    /// Number of looks, up to [`NOT_FOUND_OFTEN_ENOUGH`].
    count: u32,
    /// Number of looks that got a ResourceNotFoundException with the session's id in it.
    named: u32,
    /// Time at which the first look was requested: only a list that was begun later can confirm it.
    first: Timestamp,
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
    /// The newest one that began [`Limits::list_interval`] or more before it.
    pub before: Option<Timestamp>,
}

/// Coverage of a session by the sweeps of its work group: a session that they cover need not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Swept {
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
    /// Returns whether the refusal is of a call for a start, to which Athena did not answer.
    fn is_missing_start(&self) -> bool {
        Call::Start.serves(self.call) && matches!(self.refusal.class, Class::Unanswered | Class::NotSent)
    }

    /// Returns the number of events due for such a call by now: one when the missing answers begin, and one more when they have lasted for
    /// `limits.healing`.
    fn to_be_told(&self, at: &Environment) -> u8 {
        if self.since + at.limits.healing <= at.now { 2 } else { 1 }
    }

    /// Returns the text of the refusal for conditions and events.
    pub fn message(&self) -> String {
        // A text that follows, such as the command that releases the object, must have its place in the message of a condition.
        const LONGEST: usize = 2048;
        let operation = match self.call {
            Call::WorkGroup => "GetWorkGroup",
            Call::Start => "StartSession",
            Call::Look => "GetSession",
            Call::Search => "ListSessions",
            Call::Terminate => "TerminateSession",
        };
        let said: String = self.refusal.message.chars().take(LONGEST).collect();
        match self.refusal.class {
            Class::Unanswered => format!("{operation} is not answered: {said}"),
            Class::NotSent => format!("{operation} cannot be sent: {said}"),
            // Athena has refused nothing, or its refusal would have a request id: the operator itself found the fault.
            Class::MayHeal | Class::Rejected if self.call == Call::WorkGroup && self.refusal.request_id.is_none() => {
                format!("StartSession is not called: {said}")
            }
            _ => format!("{operation} is refused: {said}"),
        }
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
        let Some(before) = self.clock_origin.replace(origin).filter(|before| *before != origin) else { return };
        let correction = origin.duration_since(before);
        let correct = |time: &mut Timestamp| *time = time.saturating_add(correction).unwrap_or(*time);
        let refused = [&mut self.refused, &mut self.look_refused].into_iter().flatten().map(|refused| &mut refused.since);
        let times = [&mut self.seen_time, &mut self.busy_time, &mut self.met_time, &mut self.written_time].into_iter().flatten();
        let looks = self.missed.as_deref_mut().into_iter().flat_map(|Missed { first, last, .. }| [first, last]);
        let calls = self.terminated.as_deref_mut().map(|terminated| &mut terminated.next_time);
        let lists = self.absence.as_deref_mut().into_iter().flat_map(|Absence { newest, before }| std::iter::once(newest).chain(before));
        let wait = self.wait.iter_mut().flat_map(|(set, over)| [set, over]);
        let write = self.refused_write.as_deref_mut().into_iter().flat_map(RefusedWrite::times);
        refused.chain(times).chain(looks).chain(calls).chain(lists).chain(wait).chain(write).for_each(correct);
    }

    /// Returns whether a call may be made now: not while sweeps cover the session and nothing else has been set since. A wait that was set in the
    /// future is over: the clock has been put back.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.wait {
            Some((set, over)) => over <= now || now < set,
            None => !matches!(self.swept, Swept::Now(_)),
        }
    }

    /// Returns whether the next call has to wait for a time.
    pub fn waits(&self, now: Timestamp) -> bool {
        self.wait.is_some_and(|(set, over)| set <= now && now < over)
    }

    /// Returns the time from which on the next call may be made.
    pub fn next_time(&self) -> Option<Timestamp> {
        self.wait.map(|(_, over)| over)
    }

    /// Returns the time at which Athena last changed the session, as far as it was seen.
    pub fn last_modified_time(&self) -> Option<Timestamp> {
        self.last_modified_time
    }

    /// Returns the idle timeout in effect, if a look has shown it.
    pub fn idle_timeout(&self) -> Option<SignedDuration> {
        self.idle_timeout.map(|seconds| SignedDuration::from_secs(seconds.into()))
    }

    /// Returns the time at which the session was last seen at work.
    pub fn busy_time(&self) -> Option<Timestamp> {
        self.busy_time
    }

    /// Records that the status was written.
    pub fn status_written(&mut self, now: Timestamp, limits: &Limits) {
        // Nothing depends on the time where the next write need not wait.
        self.written_time = Some(now).filter(|_| !limits.work_interval().is_zero());
        self.unwritten_work = None;
    }

    /// Returns whether this process wrote the status less than [`Limits::work_interval`] ago.
    pub fn is_written_lately(&self, at: &Environment) -> bool {
        self.written_time.is_some_and(|time| time <= at.now && at.now < time + at.limits.work_interval())
    }

    /// Records that `session` became busy or idle, which the status reports later.
    pub fn hold_work(&mut self, session: Session) {
        self.unwritten_work = Some(Box::new(session));
    }

    /// Records that the session is again as the status reports.
    pub fn work_is_as_written(&mut self) {
        self.unwritten_work = None;
    }

    /// Returns the session `id` as it was last seen, where the status is yet to report that it became busy or idle.
    pub fn unwritten_work(&self, id: &str) -> Option<&Session> {
        self.unwritten_work.as_deref().filter(|session| session.id == id)
    }

    /// Returns the time by which the status has to report it.
    pub fn work_time(&self, limits: &Limits) -> Option<Timestamp> {
        let written = self.written_time.filter(|_| self.unwritten_work.is_some())?;
        Some(written + limits.work_interval())
    }

    /// Returns the time of the first of the looks that did not find the session, if the newest did not find it.
    pub fn missed_time(&self) -> Option<Timestamp> {
        self.missed.as_ref().map(|missed| missed.first)
    }

    /// Returns the number of looks in a row that did not find the session, up to [`NOT_FOUND_OFTEN_ENOUGH`].
    pub fn not_found(&self) -> u32 {
        self.missed.as_ref().map_or(0, |missed| missed.count)
    }

    /// Returns the complete lists without the attempt's marker, if any was read.
    pub fn absence(&self) -> Option<Absence> {
        self.absence.as_deref().copied()
    }

    /// Starts to rely on sweeps for the session `id`.
    pub fn settle(&mut self, id: &str) {
        self.swept = Swept::Now(id.into());
        self.wait = None;
    }

    /// Returns whether no look and no sweep has shown the session yet.
    pub fn is_new(&self) -> bool {
        self.trusted.is_none() && self.swept == Swept::Never
    }

    /// Returns whether StartSession was refused for something that somebody has to fix, or that takes its time.
    pub fn was_refused(&self) -> bool {
        let lasting = |refused: &Refused| !passes(refused.refusal.class);
        self.refused.as_ref().is_some_and(|refused| matches!(refused.call, Call::WorkGroup | Call::Start) && lasting(refused))
    }

    /// Stops relying on sweeps for every session except `id`, if that is given; looks follow instead.
    pub fn unsettle_but(&mut self, id: Option<&str>) {
        match &self.swept {
            Swept::Now(swept) if Some(&**swept) != id => self.swept = Swept::Before,
            _ => {}
        }
    }

    /// Makes a look due at once, since the status that a look or a list led to could not be written.
    pub fn look_again(&mut self) {
        self.unsettle_but(None);
        self.wait = None;
    }

    /// Records that the session is not in the lists, in which it was last seen at `seen`, if ever; `is_busy` is true if it was at work then.
    pub fn missed(&mut self, seen: Option<Timestamp>, is_busy: bool) {
        if is_busy {
            self.busy_time = seen.max(self.busy_time);
        }
        self.unsettle_but(None);
        self.wait = None;
        self.is_missed = true;
        self.seen_time = seen.max(self.seen_time);
    }

    /// Records that a list, requested at `asked`, showed the session. Returns the session as a look, unless an older reply must be ignored.
    pub fn sighted(&mut self, session: Session, uid: &str, id: &str, asked: Timestamp, limits: &Limits) -> Option<Look> {
        let older = matches!((session.last_modified_time, self.last_modified_time), (Some(time), Some(newest)) if time < newest);
        let look = (!older).then(|| self.looked(Look::Seen(session), uid, id, asked, limits, 0.5));
        // The next list shows later changes.
        if matches!(self.swept, Swept::Now(_)) {
            self.wait = None;
        }
        look
    }

    /// Returns whether `id` came from this process's own StartSession, or a look has shown the object's marker on it.
    pub fn trusts(&self, id: &str) -> bool {
        self.trusted.as_deref() == Some(id)
    }

    /// Returns whether a look has shown that `id` does not carry the object's marker.
    pub fn disowns(&self, id: &str) -> bool {
        self.disowned.as_deref() == Some(id)
    }

    /// Returns whether nothing can have been started for this attempt: this process recorded it, made all of its calls, and each was answered with a
    /// refusal.
    pub fn nothing_started(&self, made: &Recorded<'_>) -> bool {
        self.recorded_by_itself(made) && !self.in_doubt
    }

    /// Returns whether this process recorded the attempt, as its first record.
    pub fn recorded_by_itself(&self, made: &Recorded<'_>) -> bool {
        self.is_first_record && self.recorded_here(made)
    }

    /// Returns whether this process recorded the attempt, which may have been tried before.
    pub fn recorded_here(&self, made: &Recorded<'_>) -> bool {
        self.recorded == Some((made.number, made.time))
    }

    /// Returns the session that this process started for the attempt and could not record.
    pub fn started_of(&self, made: &Recorded<'_>) -> Option<&Session> {
        self.unrecorded.as_deref().filter(|(number, _)| *number == made.number).map(|(_, session)| session)
    }

    /// Returns whether this process started the session `id` and could not record it.
    pub fn has_started(&self, id: &str) -> bool {
        self.unrecorded.as_deref().is_some_and(|(_, session)| session.id == id)
    }

    /// Returns whether Athena knows the attempt's token with another request or an existing session.
    pub fn has_conflict(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.refusal.class == Class::TokenConflict)
    }

    /// Returns the end reason of an attempt of which no session was found.
    pub fn lost_reason(&self) -> EndReason {
        match self.refused.as_deref() {
            Some(Refused { refusal: Refusal { class: Class::TokenConflict, reason, .. }, .. }) => EndReason::from((*reason).to_owned()),
            _ => EndReason::SessionLost,
        }
    }

    /// Returns whether TerminateSession may be called for the session `id` in `state`: at once the first time, and again, with backoff, only after a
    /// look that shows that the last call had no effect.
    pub fn may_terminate(&self, id: &str, state: Option<&str>, look: Option<&Look>, now: Timestamp) -> bool {
        let looked = matches!(look, Some(Look::Seen(_)));
        // The look may have been in an earlier reconcile, in which the rate limiter had no permit for the call.
        let ending = state == Some("TERMINATING") && (looked || !self.lives_on);
        let waited = self.terminated.as_ref().is_none_or(|terminated| terminated.next_time <= now);
        self.trusts(id) && !ending && waited && (self.terminated.is_none() || looked || self.lives_on)
    }

    /// Records that this process recorded an attempt: from now on it knows of every call of the attempt. This does not hold for a first attempt under
    /// a finalizer of unknown origin: that may have been recorded before, and tried, and its status wiped. `withdrawn` is true if the attempt was
    /// withdrawn before, which proves that nothing was started for it.
    pub fn recorded(&mut self, number: i32, time: Timestamp, withdrawn: bool) {
        let again = self.is_first_record && self.recorded.is_some_and(|(own, _)| own == number) && !self.in_doubt;
        let is_first_record = again || withdrawn || number > 0 || self.finalizer_added;
        let refused = self.refused.take().filter(|_| again);
        let clock_origin = self.clock_origin;
        *self = Self { is_first_record, recorded: Some((number, time)), met_time: Some(time), clock_origin, refused, ..Self::default() };
    }

    /// Records that StartSession is about to be called. Returns whether its outcome was in doubt before.
    pub fn starting(&mut self) -> bool {
        std::mem::replace(&mut self.in_doubt, true)
    }

    /// Records that StartSession was not called after all. `doubted` is the result of [`LocalState::starting`].
    pub fn not_started(&mut self, doubted: bool) {
        self.in_doubt = doubted;
    }

    /// Records that StartSession returned a session, which is this attempt's whatever its state.
    pub fn started(&mut self, number: i32, id: &str, state: &str, now: Timestamp, limits: &Limits) {
        self.refused = None;
        self.trust(id);
        let session = Session { id: id.to_owned(), state: state.to_owned(), ..Session::default() };
        self.unrecorded = Some(Box::new((number, session)));
        // Some sessions exist within a second.
        self.wait_until(now, now + limits.transition_interval / 2);
    }

    /// Records that `id` is the object's own session. Facts known of another session do not hold for it.
    fn trust(&mut self, id: &str) {
        if self.trusted.as_deref() != Some(id) {
            self.trusted = Some(id.into());
            self.disowned = None;
            (self.last_modified_time, self.seen_time, self.terminated) = (None, None, None);
            (self.idle_timeout, self.busy_time) = (None, None);
            self.looks = 0;
            self.is_found();
            (self.has_ended, self.is_missed, self.lives_on) = (false, false, false);
            (self.look_refused, self.absence, self.unwritten_work) = (None, None, None);
        }
    }

    /// Records that the session exists: earlier looks that did not find it no longer count.
    fn is_found(&mut self) {
        self.missed = None;
    }

    /// Returns whether looks do not find the session, twice in a row and the newest time not before `earliest`. A list cannot replace that look: it
    /// does not show a session that is ending.
    pub fn is_missing(&self, earliest: Timestamp) -> bool {
        self.missed.as_ref().is_some_and(|missed| missed.count >= NOT_FOUND_OFTEN_ENOUGH && missed.last >= earliest)
    }

    /// Returns whether `search` proves that the session, which looks do not find, is gone. It must have begun after the first look that missed the
    /// session, and not before `earliest`. Without the permission to list, two answers with ResourceNotFoundException that names the session are the
    /// proof.
    pub fn is_proved_gone(&self, search: &Search, earliest: Timestamp) -> bool {
        match search {
            Search::Absent { begun } => *begun >= earliest && self.missed.as_ref().is_some_and(|missed| *begun >= missed.first),
            Search::Failed(refusal) => {
                refusal.reason == "AccessDenied" && self.missed.as_ref().is_some_and(|missed| missed.named >= NOT_FOUND_OFTEN_ENOUGH)
            }
            Search::Found { .. } => false,
        }
    }

    fn wait_until(&mut self, now: Timestamp, over: Timestamp) {
        self.wait = Some((now, over));
    }

    /// Records the result of reading the work group before an attempt is recorded: a refusal also stands for a work group that cannot take the
    /// session.
    pub fn work_group_read(&mut self, result: Result<(), &Refusal>, now: Timestamp, jitter: f64) {
        match result {
            Ok(()) if self.refused.as_ref().is_some_and(|refused| refused.call == Call::WorkGroup) => self.refused = None,
            Ok(()) => {}
            Err(refusal) => self.refused(Call::WorkGroup, refusal.clone(), now, jitter),
        }
    }

    /// Records that StartSession was refused. `doubted` is the result of [`LocalState::starting`].
    pub fn start_refused(&mut self, refusal: Refusal, doubted: bool, now: Timestamp, jitter: f64) {
        // A conflict means that the token was used: a session may live behind it. A call that was not sent started nothing; those before it may have.
        self.in_doubt = doubted || matches!(refusal.class, Class::Unanswered | Class::TokenConflict);
        self.refused(Call::Start, refusal, now, jitter);
    }

    /// Records the result of a look. Returns the look, or a failure if the reply is older than an earlier one.
    pub fn looked(&mut self, look: Look, uid: &str, id: &str, now: Timestamp, limits: &Limits, jitter: f64) -> Look {
        match look {
            Look::Seen(session) => {
                if let Some(details) = &session.details {
                    if details.description.as_deref().is_some_and(|text| marker::attempt_of(text, uid).is_some()) {
                        self.trust(id);
                    } else if !self.trusts(id) {
                        self.disowned = Some(id.into());
                        self.wait = None;
                        return Look::Seen(session);
                    }
                    let shown = details.idle_timeout.and_then(|timeout| i32::try_from(timeout.as_secs()).ok());
                    self.idle_timeout = shown.or(self.idle_timeout);
                }
                self.is_found();
                self.is_missed = false;
                self.lives_on = !session.ended() && session.state != "TERMINATING";
                self.seen_time = Some(now);
                if session.state == "BUSY" {
                    self.busy_time = Some(now).max(self.busy_time);
                }
                self.look_refused = None;
                if session.ended() || session.state == "TERMINATING" {
                    self.refused = None;
                }
                let older = matches!((session.last_modified_time, self.last_modified_time), (Some(time), Some(newest)) if time < newest);
                if older && !session.ended() {
                    self.schedule_look(&session, now, limits, jitter);
                    let message = "the reply is older than what was seen before".into();
                    return Look::Failed(Refusal { class: Class::Unanswered, reason: "ReplyOutdated", message, request_id: None });
                }
                if session.last_modified_time != self.last_modified_time {
                    self.looks = 0;
                }
                self.last_modified_time = session.last_modified_time.or(self.last_modified_time);
                self.schedule_look(&session, now, limits, jitter);
                Look::Seen(session)
            }
            Look::NotFound { named } => {
                self.unsettle_but(None);
                let missed = self.missed.get_or_insert_with(|| Box::new(Missed { count: 0, named: 0, first: now, last: now }));
                missed.count = (missed.count + 1).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.named = (missed.named + u32::from(named)).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.last = now;
                self.looks = (self.looks + 1).min(LONGEST_AFTER);
                self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
                Look::NotFound { named }
            }
            Look::Failed(refusal) => {
                self.unsettle_but(None);
                let count = self.look_refused.as_ref().map_or(0, |before| before.count.saturating_add(1));
                let since = self.look_refused.as_ref().map_or(now, |before| before.since);
                self.wait_until(now, now + backoff(refusal.class, count, jitter));
                self.look_refused = Some(Box::new(Refused { call: Call::Look, refusal: refusal.clone(), since, count, told: 0 }));
                Look::Failed(refusal)
            }
        }
    }

    /// Records the result of a search.
    pub fn searched(&mut self, search: &Search, now: Timestamp, limits: &Limits, jitter: f64) {
        match search {
            // Looks lag behind the list: the next look follows as after one that did not find the session.
            Search::Found { .. } if self.missed.is_some() => {
                self.is_found();
                self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
            }
            Search::Failed(refusal) if self.missed.is_some() => self.wait_until(now, now + backoff(refusal.class, 3, jitter)),
            Search::Found { session, .. } => {
                self.trust(&session.id);
                self.answered_search();
                self.absence = None;
            }
            Search::Absent { begun } => {
                self.answered_search();
                let earlier = self.absence().filter(|absence| absence.newest <= *begun);
                let is_apart = |time: &Timestamp| *time + limits.list_interval() <= *begun;
                let before = earlier.and_then(|absence| Some(absence.newest).filter(is_apart).or(absence.before));
                self.absence = Some(Box::new(Absence { newest: *begun, before }));
                if self.missed.is_some() {
                    // If the list does not prove that the session is gone, looks go on.
                    self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
                }
            }
            // Athena's answer about the token stays the reason to report.
            Search::Failed(refusal) if self.has_conflict() => self.wait_until(now, now + backoff(refusal.class, 3, jitter)),
            Search::Failed(refusal) => self.refused(Call::Search, refusal.clone(), now, jitter),
        }
    }

    /// Records that a list was read: no call waits, and no refusal of a list stands.
    fn answered_search(&mut self) {
        self.wait = None;
        self.refused = self.refused.take().filter(|refused| refused.call != Call::Search);
    }

    /// Records that Athena did not answer the request for its time, on which something depends. The object waits for Athena's time, not for a point
    /// in time.
    pub fn time_refused(&mut self, refusal: &Refusal, now: Timestamp) {
        self.refused(Call::WorkGroup, refusal.clone(), now, 0.0);
        self.wait = None;
        self.lacks_time = true;
    }

    /// Records that Athena's time is known.
    pub fn time_told(&mut self) {
        if std::mem::replace(&mut self.lacks_time, false) && self.refused.as_ref().is_some_and(|refused| refused.call == Call::WorkGroup) {
            (self.refused, self.wait) = (None, None);
        }
    }

    /// Records that the object's status names the session.
    pub fn session_recorded(&mut self) {
        (self.unrecorded, self.adopted) = (None, None);
    }

    /// Records that the session `id`, which was found by the object's marker, is to be recorded in the status.
    pub fn adopting(&mut self, id: &str) {
        if self.adopted.as_ref().is_none_or(|adopted| *adopted.id != *id) {
            self.adopted = Some(Box::new(Adopted { id: id.into(), ends: false }));
        }
    }

    /// Returns the session that was found by the object's marker and that no status can name, once, if it `is_to_end`.
    pub fn adopted_to_end(&mut self, is_to_end: bool) -> Option<String> {
        let adopted = self.adopted.as_deref_mut().filter(|adopted| is_to_end && !adopted.ends)?;
        adopted.ends = true;
        Some(adopted.id.to_string())
    }

    /// Records that the session is ended for `cause`, which the status does not name yet.
    pub fn ends_without_record(&mut self, cause: StopCause) {
        self.unrecorded_cause = Some(Box::new(cause));
    }

    /// Returns the cause for which the session is being ended, if the status did not name it before.
    pub fn unrecorded_cause(&self) -> Option<&StopCause> {
        self.unrecorded_cause.as_deref()
    }

    /// Records that TerminateSession was accepted; a look shows whether it had an effect.
    pub fn terminated(&mut self, now: Timestamp, limits: &Limits, jitter: f64) {
        self.refused = None;
        self.unsettle_but(None);
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        let next_time = now + backoff(Class::Throttled, count.saturating_add(1), jitter);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
        self.looks = 0;
        self.wait_until(now, now + growing(limits.transition_interval, 0, jitter));
    }

    /// Records that TerminateSession was refused.
    pub fn terminate_refused(&mut self, refusal: Refusal, now: Timestamp, jitter: f64) {
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        self.refused(Call::Terminate, refusal, now, jitter);
        let next_time = self.next_time().unwrap_or(now);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
    }

    /// Returns the number of calls of TerminateSession for the session.
    fn terminations(&self) -> u32 {
        self.terminated.as_ref().map_or(0, |terminated| terminated.count)
    }

    /// Returns whether TerminateSession was accepted, and no look has shown since that the session lives on.
    pub fn awaits_end(&self) -> bool {
        self.terminated.is_some() && !self.lives_on && self.refused.as_ref().is_none_or(|refused| refused.call != Call::Terminate)
    }

    /// Returns the missing answer to a call for a start, if an event about it is due: once when the missing answers begin, and once more when they
    /// have lasted for `limits.healing`.
    pub fn missing_answer_to_tell(&self, at: &Environment) -> Option<&Refusal> {
        let is_news = |refused: &&Refused| refused.is_missing_start() && refused.told < refused.to_be_told(at);
        self.refused.as_deref().filter(is_news).map(|refused| &refused.refusal)
    }

    /// Records that the event about the missing answer was published, as [`LocalState::missing_answer_to_tell`] returned it.
    pub fn missing_answer_told(&mut self, at: &Environment) {
        if let Some(refused) = self.refused.as_deref_mut().filter(|refused| refused.is_missing_start()) {
            refused.told = refused.to_be_told(at);
        }
    }

    /// Returns the time at which the standing refusal stops counting as being in progress, if that is still to come.
    pub fn healing_time(&self, at: &Environment) -> Option<Timestamp> {
        let refused = self.refused.as_ref()?;
        Some(refused.since + at.limits.healing).filter(|time| *time > at.now)
    }

    /// Returns whether TerminateSession was accepted before and a session still lives.
    pub fn terminated_without_effect(&self) -> bool {
        self.terminations() > 1
    }

    /// Returns whether looks have failed, or have not found the session, for longer than `limits.stale`.
    pub fn is_stale(&self, at: &Environment) -> bool {
        self.stale_time(at).is_some_and(|time| time <= at.now)
    }

    /// Returns the time from which on the last view of the session is out of date, if looks fail.
    pub fn stale_time(&self, at: &Environment) -> Option<Timestamp> {
        let failing = self.look_refused.is_some() || self.missed.is_some();
        let since = self.seen_time.or(self.met_time)?;
        failing.then_some(since + at.limits.stale)
    }

    fn refused(&mut self, call: Call, refusal: Refusal, now: Timestamp, jitter: f64) {
        let class = refusal.class;
        let standing = match self.refused.take() {
            Some(before) if before.call == call && before.refusal.class == class => {
                Refused { refusal, count: before.count.saturating_add(1), ..*before }
            }
            // A refusal that passes by itself neither hides one that somebody has to fix, nor restarts its time.
            Some(before) if before.call.serves(call) && passes(class) && !passes(before.refusal.class) => {
                Refused { count: before.count.saturating_add(1), ..*before }
            }
            _ => Refused { call, refusal, since: now, count: 0, told: 0 },
        };
        self.wait_until(now, now + backoff(class, standing.count, jitter));
        self.refused = Some(Box::new(standing));
    }

    fn schedule_look(&mut self, session: &Session, now: Timestamp, limits: &Limits, jitter: f64) {
        let wait = if session.settled() {
            scaled(limits.observe_interval, 0.75 + 0.5 * jitter)
        } else {
            // Lists need not show the changes of a session that is not settled.
            self.unsettle_but(None);
            growing(limits.transition_interval, self.looks, jitter)
        };
        self.looks = (self.looks + 1).min(LONGEST_AFTER);
        self.wait = (!session.ended()).then_some((now, now + wait));
    }
}

/// Number of looks in a row without the session after which it counts as missing; further looks prove nothing further.
pub const NOT_FOUND_OFTEN_ENOUGH: u32 = 2;

/// Number of looks after which the time between them no longer grows.
const LONGEST_AFTER: u32 = 4;

/// Returns `interval`, growing by half with each look to five times its length.
fn growing(interval: SignedDuration, looks: u32, jitter: f64) -> SignedDuration {
    let factor = 1.5_f64.powi(i32::try_from(looks).unwrap_or(0)).min(5.0);
    scaled(interval, factor * (0.9 + 0.2 * jitter))
}

fn scaled(interval: SignedDuration, factor: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(interval.as_secs_f64() * factor)
}
