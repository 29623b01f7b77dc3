//! What to do next: the one place where it is decided.
//!
//! [`next_step`] is a function of the object, of what this process knows beyond it, and of what it has just looked at. It has no clock, no client and
//! no I/O. Whoever acts on a step does nothing that the step does not say.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::{AthenaSession, DeletionPolicy, EndReason, FINALIZER, StopCause};
use crate::known::Known;
use crate::marker;
use crate::session::{Look, Search, Session};

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
    /// Record why the session is to be stopped, and what the look showed.
    Stop(StopCause, Session),
    /// Call TerminateSession.
    Terminate,
    /// Record that nothing of the attempt lives.
    Conclude(EndReason),
    /// Remove the finalizer.
    Release,
}

/// What to do next with `object`: the table of the operator.
pub fn next_step(object: &AthenaSession, known: &Known, seen: &Seen, at: &Circumstances) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let held = object.finalizers().iter().any(|name| name == FINALIZER);
    let retain = object.spec.deletion_policy == DeletionPolicy::Retain;
    let attempt = attempt(object, known);
    let due = known.is_due(at.now);

    match &attempt {
        _ if deleting && !held => Step::Done,
        _ if deleting && retain => Step::Release,
        Attempt::Unknown(made) | Attempt::Live(made, _) if elsewhere(made, &at.identity) => Step::Rest,

        Attempt::Over(..) if deleting => Step::Release,
        Attempt::Over(made, EndReason::SessionLost) if held => Step::Record(made.number + 1),
        Attempt::Over(_, reason) if **reason != EndReason::SessionLost => Step::Rest,

        _ if !held => Step::AddFinalizer,

        // A finalizer of unknown origin without an attempt may stand on a status that was wiped.
        Attempt::None if known.finalizer_added && deleting => Step::Release,
        Attempt::None if known.finalizer_added => Step::Record(0),
        Attempt::None => match &seen.search {
            Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
            Some(Search::Absent { .. }) if !deleting => Step::Record(0),
            Some(Search::Absent { begun }) if absent_since_deletion(object, *begun, at) => Step::Release,
            None if due => Step::Search,
            _ => Step::Wait,
        },

        Attempt::Unknown(made) if let Some(session) = known.started_of(made) => Step::Adopt(made.number, session.clone()),
        Attempt::Unknown(made) if deleting && known.nothing_started(made) => Step::Release,
        Attempt::Unknown(made) if !known.has_conflict() && at.now < made.time + at.limits.uncertainty => {
            if due {
                Step::Start(made.number)
            } else {
                Step::Wait
            }
        }
        Attempt::Unknown(made) if !known.has_conflict() && known.nothing_started(made) => {
            if due {
                Step::Record(made.number)
            } else {
                Step::Wait
            }
        }
        Attempt::Unknown(made) => match &seen.search {
            Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
            Some(Search::Absent { begun }) if *begun >= made.time + at.limits.uncertainty * 2 => Step::Conclude(known.lost_reason()),
            None if due => Step::Search,
            _ => Step::Wait,
        },

        Attempt::Live(made, id) => match &seen.look {
            Some(Look::Seen(session)) if session.ended() && deleting => Step::Release,
            Some(Look::Seen(session)) if session.ended() => Step::Mirror(session.clone()),
            Some(Look::NotFound) if vanished(made, known, at) && deleting => Step::Release,
            Some(Look::NotFound) if vanished(made, known, at) => Step::Conclude(EndReason::SessionVanished),
            // A session named by a status is touched only once its marker has been seen.
            None if !known.trusts(id) => {
                if due {
                    Step::Look
                } else {
                    Step::Wait
                }
            }
            look if wants_stopped(object) && known.may_terminate(id, newest_state(object, look.as_ref()), look.as_ref(), at.now) => Step::Terminate,
            Some(Look::Seen(session)) if session.state == "DEGRADED" && !wants_stopped(object) => Step::Stop(StopCause::Degraded, session.clone()),
            Some(Look::Seen(session)) => Step::Mirror(session.clone()),
            None if due => Step::Look,
            _ => Step::Wait,
        },
        Attempt::Over(..) => Step::Rest,
    }
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

/// Whether the session of `object` is to be stopped.
pub fn wants_stopped(object: &AthenaSession) -> bool {
    object.metadata.deletion_timestamp.is_some() || object.status.as_ref().is_some_and(|status| status.stop_cause.is_some())
}

/// Whether an attempt was made in another region or account. An account that either side does not know is no difference.
pub fn elsewhere(made: &Recorded<'_>, here: &Identity) -> bool {
    made.region != here.region || matches!((made.account, here.account.as_deref()), (Some(there), Some(here)) if there != here)
}

/// The session of `object` among those that a search brought: of the recorded attempt or, where none is recorded, of the newest. A session with another
/// role or engine configuration than the spec's is a forgery, or was started from another object: it is none of ours.
pub fn found(sessions: Vec<Session>, object: &AthenaSession, known: &Known) -> Option<(i32, Session)> {
    let uid = object.uid()?;
    let recorded = match attempt(object, known) {
        Attempt::Unknown(made) => Some(made.number),
        _ => None,
    };
    sessions
        .into_iter()
        .filter_map(|session| {
            let details = session.details.as_ref().filter(|details| details.satisfies(&object.spec))?;
            let number = marker::attempt_of(details.description.as_deref()?, &uid)?;
            recorded.is_none_or(|recorded| recorded == number).then_some((number, session))
        })
        .max_by_key(|(number, _)| *number)
}

/// Athena's newest state of the session, of this look or as recorded.
fn newest_state<'a>(object: &'a AthenaSession, look: Option<&'a Look>) -> Option<&'a str> {
    match look {
        Some(Look::Seen(session)) => Some(&session.state),
        _ => object.status.as_ref().and_then(|status| status.state.as_deref()),
    }
}

/// Whether Athena's not knowing a session proves that nothing of it lives: seen twice, long enough after the start, from the attempt's own account.
fn vanished(made: &Recorded<'_>, known: &Known, at: &Circumstances) -> bool {
    let own_account = made.account.is_none() || made.account == at.identity.account.as_deref();
    own_account && known.not_found >= 2 && at.now >= made.time + at.limits.uncertainty
}

fn absent_since_deletion(object: &AthenaSession, begun: Timestamp, at: &Circumstances) -> bool {
    object.metadata.deletion_timestamp.as_ref().is_some_and(|deleted| begun >= deleted.0 + at.limits.uncertainty)
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
