//! What to do next: the one place where it is decided.
//!
//! [`next_step`] is a function of the object, of what this process knows beyond it, and of what it has just looked at. It has no clock, no client and
//! no I/O. Whoever acts on a step does nothing that the step does not say.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::{AthenaSession, DeletionPolicy, EndReason, FINALIZER, RestartPolicy, StopCause};
use crate::known::{Known, NOT_FOUND_OFTEN_ENOUGH};
use crate::marker;
use crate::session::{Class, Look, Refusal, Search, Session};

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
    /// How long after a look the next one follows, for a session that is starting or ending; it grows to five times that.
    pub transition_interval: SignedDuration,
    /// The same for a settled session.
    pub observe_interval: SignedDuration,
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
pub struct Circumstances {
    /// The time.
    pub now: Timestamp,
    /// Where the operator works.
    pub identity: Identity,
    /// How long things may take.
    pub limits: Limits,
}

/// What was looked at in this reconcile so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The look at the session.
    pub look: Option<Look>,
    /// When that look was asked for.
    pub look_time: Option<Timestamp>,
    /// The search for the object's marker.
    pub search: Option<Search>,
}

/// The newest attempt, as far as the status tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt<'a> {
    /// None is recorded.
    None,
    /// Recorded; what became of StartSession is not known.
    Unknown(Recorded<'a>),
    /// A session that has not ended.
    Live(Recorded<'a>, &'a str),
    /// Nothing of it lives.
    Over(Recorded<'a>, &'a EndReason),
}

/// What is recorded of an attempt before it is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded<'a> {
    /// Its number.
    pub number: i32,
    /// When it was recorded.
    pub time: Timestamp,
    /// The region of the attempt.
    pub region: &'a str,
    /// Its account, where it was known.
    pub account: Option<&'a str>,
}

/// The one thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, for good: the object is let go.
    Done,
    /// Nothing, until something changes.
    Rest,
    /// Nothing yet: a time that is known has not come.
    Wait,
    /// Look at the session, then decide again.
    Look,
    /// Search the work group's active sessions for the object's marker, then decide again.
    Search,
    /// Put the finalizer on the object.
    AddFinalizer,
    /// Record an attempt with this number.
    Record(i32),
    /// Call StartSession for the recorded attempt with this number.
    Start(i32),
    /// Record that this session, found by its marker, is the attempt.
    Adopt(i32, Session),
    /// Record what the look showed.
    Mirror(Session),
    /// Record why the session is to be stopped, and what a look showed if there was one.
    Stop(StopCause, Option<Session>),
    /// Call TerminateSession.
    Terminate,
    /// Record that nothing of the attempt lives.
    Conclude(EndReason),
    /// Record that the object has been suspended since its attempt was over.
    Suspend,
    /// Delete the object.
    Delete,
    /// Remove the finalizer.
    Release,
}

/// What to do next with `object`: the table of the operator, a part of it for each kind of attempt. In each part the first row that fits counts.
pub fn next_step(object: &AthenaSession, known: &Known, seen: &Seen, at: &Circumstances) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let held = object.finalizers().iter().any(|name| name == FINALIZER);
    match attempt(object, known) {
        _ if deleting && !held => Step::Done,
        _ if deleting && object.spec.deletion_policy == DeletionPolicy::Retain => Step::Release,
        Attempt::Unknown(made) | Attempt::Live(made, _) if elsewhere(&made, &at.identity) => Step::Rest,
        Attempt::Over(..) => step_after_end(object, held, at),
        Attempt::None if object.spec.suspend && !held => Step::Rest,
        _ if !held => Step::AddFinalizer,
        Attempt::None => step_without_attempt(object, known, seen, at),
        Attempt::Unknown(made) => step_of_unknown(object, made, known, seen, at),
        Attempt::Live(made, id) => step_of_live(object, made, id, known, seen, at),
    }
}

fn step_after_end(object: &AthenaSession, held: bool, at: &Circumstances) -> Step {
    match sequel(object, at) {
        _ if object.metadata.deletion_timestamp.is_some() => Step::Release,
        _ if object.spec.suspend && has_stop_cause(object, &StopCause::Suspended) => Step::Rest,
        _ if object.spec.suspend => Step::Suspend,
        Sequel::Attempt { .. } if !held => Step::AddFinalizer,
        Sequel::Attempt { number, time, .. } => once(time <= at.now, Step::Record(number)),
        Sequel::Deletion { time } => once(time <= at.now, Step::Delete),
        Sequel::None => Step::Rest,
    }
}

/// A finalizer of unknown origin without an attempt may stand on a status that was wiped: the list tells.
fn step_without_attempt(object: &AthenaSession, known: &Known, seen: &Seen, at: &Circumstances) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let idle = if object.spec.suspend { Step::Rest } else { Step::Record(0) };
    match &seen.search {
        _ if known.finalizer_added && deleting => Step::Release,
        _ if known.finalizer_added || known.absent && !deleting => idle,
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        Some(Search::Absent { .. }) if !deleting => idle,
        Some(Search::Absent { begun }) if absent_since_deletion(object, *begun, at) => Step::Release,
        None => once(known.is_due(at.now), Step::Search),
        _ => Step::Wait,
    }
}

fn step_of_unknown(object: &AthenaSession, made: Recorded<'_>, known: &Known, seen: &Seen, at: &Circumstances) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let nothing_started = known.nothing_started(&made);
    let young = at.now < after(made.time, at.limits.uncertainty);
    let due = known.is_due(at.now);
    match &seen.search {
        _ if let Some(session) = known.started_of(&made) => Step::Adopt(made.number, session.clone()),
        _ if nothing_started && deleting => Step::Release,
        _ if nothing_started && let Some(cause) = stop_asked(object, seen, at) => Step::Conclude(end_of(&cause)),
        // Until it is known that this is the attempt's own account, a call could start a second session and no list proves anything.
        _ if !is_own_account(&made, &at.identity) => Step::Wait,
        _ if !known.has_conflict() && young => once(due, Step::Start(made.number)),
        _ if !known.has_conflict() && nothing_started => once(due, Step::Record(made.number)),
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        // A call may have been sent until the time of uncertainty was over, and the list may have lagged as long behind it.
        Some(Search::Absent { begun }) if *begun >= after(made.time, at.limits.uncertainty * 2) => Step::Conclude(known.lost_reason()),
        None => once(due, Step::Search),
        _ => Step::Wait,
    }
}

fn step_of_live(object: &AthenaSession, made: Recorded<'_>, id: &str, known: &Known, seen: &Seen, at: &Circumstances) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let stopping = wants_stopped(object);
    let state = newest_state(object, seen.look.as_ref());
    match &seen.look {
        Some(Look::Seen(session)) if session.ended() && deleting => Step::Release,
        Some(Look::Seen(session)) if session.ended() => Step::Mirror(session.clone()),
        Some(Look::NotFound) if vanished(object, &made, known, at) && deleting => Step::Release,
        Some(Look::NotFound) if vanished(object, &made, known, at) => Step::Conclude(EndReason::SessionVanished),
        look if !stopping && let Some(cause) = stop_asked(object, seen, at) => Step::Stop(cause, session_of(look.as_ref())),
        // A session that a status names is touched only once its marker has been seen.
        look if stopping && known.may_terminate(id, state, look.as_ref(), at.now) => Step::Terminate,
        Some(Look::Seen(session)) => Step::Mirror(session.clone()),
        None => once(known.is_due(at.now), Step::Look),
        _ => Step::Wait,
    }
}

/// `step`, once it is `due`.
fn once(due: bool, step: Step) -> Step {
    if due { step } else { Step::Wait }
}

/// What follows an attempt that is over, on an object that is neither being deleted nor suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    /// Another attempt.
    Attempt {
        /// Its number: the same again where the attempt never became a session.
        number: i32,
        /// When it is due.
        time: Timestamp,
        /// How many failures in a row it follows.
        restarts: i32,
        /// Whether the deadlines count anew.
        resumed: bool,
    },
    /// Nothing: the object has finished and deletes itself.
    Deletion {
        /// When.
        time: Timestamp,
    },
    /// Nothing: the object has finished.
    None,
}

/// What follows the attempt of `object`, which is over.
pub fn sequel(object: &AthenaSession, at: &Circumstances) -> Sequel {
    /// An attempt that ran this long is no failure of its start: what follows counts afresh.
    const LONG_RUN: SignedDuration = SignedDuration::from_mins(10);
    let status = object.status.clone().unwrap_or_default();
    let spec = &object.spec;
    let number = status.attempt.unwrap_or(0);
    let Some(reason) = &status.end_reason else { return Sequel::None };
    let ended = status.end_time.as_ref().map_or(at.now, |time| time.0);
    let another = |time, restarts, resumed| {
        let number = if *reason == EndReason::Suspended && status.session_id.is_none() { number } else { number.saturating_add(1) };
        Sequel::Attempt { number, time, restarts, resumed }
    };
    let restarts = status.restarts.unwrap_or(0);
    if status.stop_cause == Some(StopCause::Suspended) || *reason == EndReason::Suspended {
        return another(ended, 0, true);
    }
    if *reason == EndReason::SessionLost {
        return another(ended, restarts, false);
    }
    let ran_long = status.start_time.as_ref().is_some_and(|start| ended.duration_since(start.0) >= LONG_RUN);
    let restarts = if ran_long { 0 } else { restarts };
    if reason.is_failure() && spec.restart_policy == RestartPolicy::OnFailure && restarts < spec.max_restarts() {
        let time = after(ended, restart_backoff(restarts));
        if active_deadline(object).is_none_or(|deadline| time < deadline) {
            return another(time, restarts + 1, false);
        }
    }
    match spec.ttl_after_finished() {
        Some(ttl) => Sequel::Deletion { time: after(ended, ttl) },
        None => Sequel::None,
    }
}

/// How long to wait before the restart that follows `restarts` others: 10 s, doubling to 5 min.
pub fn restart_backoff(restarts: i32) -> SignedDuration {
    SignedDuration::from_secs(10_i64 << restarts.clamp(0, 5)).min(SignedDuration::from_mins(5))
}

/// The next time at which something about `object` is due without anybody's doing.
pub fn wake_time(object: &AthenaSession, known: &Known, at: &Circumstances) -> Option<Timestamp> {
    /// How often to ask whether STS has told the account.
    const ACCOUNT: SignedDuration = SignedDuration::from_secs(15);
    let deleting = object.metadata.deletion_timestamp.is_some();
    let future = |time: &Timestamp| *time > at.now;
    match attempt(object, known) {
        Attempt::Unknown(made) if !is_own_account(&made, &at.identity) => Some(at.now + ACCOUNT),
        Attempt::None | Attempt::Unknown(_) => [known.next_time(), known.healing_time(at)].into_iter().flatten().min(),
        Attempt::Live(..) => {
            let deadline = active_deadline(object).filter(|_| !wants_stopped(object));
            let reports = [known.healing_time(at), known.stale_time(at).filter(future)];
            [known.next_time(), deadline].into_iter().chain(reports).flatten().min()
        }
        Attempt::Over(..) if deleting || object.spec.suspend => None,
        Attempt::Over(..) => match sequel(object, at) {
            Sequel::Attempt { time, .. } | Sequel::Deletion { time } => Some(time),
            Sequel::None => None,
        },
    }
}

/// Why the session of `object` ought to be stopped from now on, though the object stays and no cause is recorded.
fn stop_asked(object: &AthenaSession, seen: &Seen, at: &Circumstances) -> Option<StopCause> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let started = |session: &Session| session.start_time.or(object.status.as_ref()?.attempt_time.as_ref().map(|time| time.0));
    match session_of(seen.look.as_ref()) {
        _ if object.spec.suspend => Some(StopCause::Suspended),
        _ if active_deadline(object).is_some_and(|deadline| deadline <= at.now) => Some(StopCause::ActiveDeadline),
        Some(session) if session.state == "DEGRADED" => Some(StopCause::Degraded),
        Some(session) if matches!(session.state.as_str(), "CREATING" | "CREATED") => {
            let deadline = after(started(&session)?, object.spec.startup_deadline());
            (seen.look_time? >= deadline).then_some(StopCause::StartupDeadline)
        }
        _ => None,
    }
}

/// The end that a cause leads to.
pub fn end_of(cause: &StopCause) -> EndReason {
    match cause {
        StopCause::Suspended => EndReason::Suspended,
        StopCause::ActiveDeadline => EndReason::DeadlineExceeded,
        StopCause::StartupDeadline => EndReason::StartupDeadlineExceeded,
        StopCause::Degraded => EndReason::SessionDegraded,
        StopCause::Other(word) => EndReason::Other(word.clone()),
    }
}

/// When the active deadline of `object` is over, once its first session was started.
pub fn active_deadline(object: &AthenaSession) -> Option<Timestamp> {
    let first = object.status.as_ref()?.first_start_time.as_ref()?.0;
    Some(after(first, object.spec.active_deadline()?))
}

fn has_stop_cause(object: &AthenaSession, cause: &StopCause) -> bool {
    object.status.as_ref().and_then(|status| status.stop_cause.as_ref()) == Some(cause)
}

fn session_of(look: Option<&Look>) -> Option<Session> {
    match look {
        Some(Look::Seen(session)) => Some(session.clone()),
        _ => None,
    }
}

/// A time that somebody may have written by hand, and so any, and a while after it.
fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// The newest attempt of `object`. A session that is known not to carry the object's marker is none of it.
pub fn attempt<'a>(object: &'a AthenaSession, known: &Known) -> Attempt<'a> {
    let Some(status) = &object.status else { return Attempt::None };
    let (Some(number), Some(time), Some(region)) = (status.attempt, &status.attempt_time, &status.region) else {
        return Attempt::None;
    };
    let made = Recorded { number, time: time.0, region, account: status.account_id.as_deref() };
    match (&status.end_reason, &status.session_id) {
        (Some(reason), _) => Attempt::Over(made, reason),
        (None, Some(id)) if !known.disowns(id) => Attempt::Live(made, id),
        (None, _) => Attempt::Unknown(made),
    }
}

/// A session that this process started and that no record can name any more, since its attempt is over or another: it has no owner and is to be ended.
pub fn surplus<'a>(object: &AthenaSession, known: &'a Known) -> Option<&'a str> {
    let (number, session) = known.unrecorded.as_ref()?;
    let expected = match attempt(object, known) {
        Attempt::Unknown(made) => made.number == *number,
        Attempt::Live(_, id) => id == session.id,
        Attempt::None | Attempt::Over(..) => false,
    };
    (!expected).then_some(&session.id)
}

/// Whether the session of `object` is to be stopped.
pub fn wants_stopped(object: &AthenaSession) -> bool {
    object.metadata.deletion_timestamp.is_some() || object.status.as_ref().is_some_and(|status| status.stop_cause.is_some())
}

/// Whether an attempt was made in another region or account. An account that either side does not know is no difference.
pub fn elsewhere(made: &Recorded<'_>, here: &Identity) -> bool {
    made.region != here.region || matches!((made.account, here.account.as_deref()), (Some(there), Some(here)) if there != here)
}

/// What a complete list that was begun at `begun` shows of `object`, given the sessions in it that carry the object's marker: the session of the
/// recorded attempt or, where none is recorded, of the newest. One with another role or engine configuration than the spec's was not started from this
/// object and is not adopted; but with it in the list, nothing is proved.
pub fn found(sessions: Vec<Session>, object: &AthenaSession, known: &Known, begun: Timestamp) -> Search {
    let uid = object.uid().unwrap_or_default();
    let recorded = match attempt(object, known) {
        Attempt::Unknown(made) => Some(made.number),
        _ => None,
    };
    let number_of = |session: &Session| marker::attempt_of(session.details.as_ref()?.description.as_deref()?, &uid);
    let marked = sessions.into_iter().filter_map(|session| Some((number_of(&session)?, session)));
    let (own, others): (Vec<_>, Vec<_>) = marked
        .filter(|(number, _)| recorded.is_none_or(|recorded| recorded == *number))
        .partition(|(_, session)| session.details.as_ref().is_some_and(|details| details.satisfies(&object.spec)));
    match (own.into_iter().max_by_key(|(number, _)| *number), others.first()) {
        (Some((attempt, session)), _) => Search::Found { attempt, session },
        (None, None) => Search::Absent { begun },
        (None, Some((_, stranger))) => Search::Failed(Refusal {
            class: Class::MayHeal,
            reason: "MarkerMismatch",
            message: format!("session {} carries the marker of this object, with another role or engine configuration", stranger.id),
            request_id: None,
        }),
    }
}

/// Whether the operator certainly works in the attempt's account, as far as that was recorded.
fn is_own_account(made: &Recorded<'_>, here: &Identity) -> bool {
    made.account.is_none() || made.account == here.account.as_deref()
}

/// Athena's newest state of the session, of this look or as recorded.
fn newest_state<'a>(object: &'a AthenaSession, look: Option<&'a Look>) -> Option<&'a str> {
    match look {
        Some(Look::Seen(session)) => Some(&session.state),
        _ => object.status.as_ref().and_then(|status| status.state.as_deref()),
    }
}

/// Whether Athena's not knowing a session proves that nothing of it lives: seen twice, from the attempt's own account, and so long after the start that
/// reads cannot be late. A start of which no look has told the time may have come at the end of the time in which the token is replayed.
fn vanished(object: &AthenaSession, made: &Recorded<'_>, known: &Known, at: &Circumstances) -> bool {
    let told = object.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let started = told.unwrap_or_else(|| after(made.time, at.limits.uncertainty));
    is_own_account(made, &at.identity) && known.not_found >= NOT_FOUND_OFTEN_ENOUGH && at.now >= after(started, at.limits.uncertainty)
}

fn absent_since_deletion(object: &AthenaSession, begun: Timestamp, at: &Circumstances) -> bool {
    object.metadata.deletion_timestamp.as_ref().is_some_and(|deleted| begun >= after(deleted.0, at.limits.uncertainty))
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
