//! Choice of the next step: the one place where it is decided.
//!
//! [`next_step`] is a function of the object, of the local state, and of the results of this reconcile's reads. It has no clock, no client and no
//! I/O. The code that acts on a step does nothing that the step does not name.

use k8s_openapi::jiff::Timestamp;

use crate::api::{AthenaSession, DeletionPolicy, EndReason, SessionState, StopCause};
use crate::session::after_end::{AfterEnd, active_deadline, after, after_end};
use crate::session::attempt::{Attempt, Recorded};
use crate::session::environment::{Environment, Limits};
use crate::session::local_state::LocalState;
use crate::session::ownership::{attempt, in_other_account_or_region, is_account_unknown, is_own_account};
use crate::session::reply::{ErrorClass, Look, Search};
use crate::session::step::{Seen, Step};

/// Returns the next step for `object`: the table of the operator, a part of it for each kind of attempt. In each part the first row that fits counts.
pub fn next_step(object: &AthenaSession, known: &LocalState, seen: &Seen, at: &Environment) -> Step {
    let deleting = object.is_deleting();
    let held = object.has_finalizer();
    match attempt(object, known) {
        _ if deleting && !held => Step::Done,
        _ if deleting && object.spec.deletion_policy == DeletionPolicy::Retain => Step::Release,
        Attempt::Unknown(made) | Attempt::Live(made, _)
            if in_other_account_or_region(&made, &at.identity) =>
        {
            Step::Rest
        }
        Attempt::Over(..) => step_after_end(object, known, seen, at),
        // A deletion of the object needs no proof: nothing was started.
        Attempt::Withdrawn(_) if deleting => Step::Release,
        Attempt::Withdrawn(_) if object.spec.suspend => Step::Rest,
        Attempt::None if object.spec.suspend && !held => Step::Rest,
        _ if !held => Step::AddFinalizer,
        Attempt::None => step_without_attempt(object, known, seen, at),
        Attempt::Withdrawn(number) => record(number, known, seen, at),
        Attempt::Unknown(made) => step_of_unknown(object, made, known, seen, at),
        Attempt::Live(made, id) => step_of_live(object, made, id, known, seen, at),
    }
}

/// Returns the step that records attempt `number`, once the work group was read: a refusal by the work group, such as one of another region, leaves
/// no attempt behind.
fn record(number: i32, known: &LocalState, seen: &Seen, at: &Environment) -> Step {
    match &seen.work_group {
        None => once(known.is_due(at.now), Step::ReadWorkGroup),
        // The time of an attempt decides for how long its token may be replayed.
        Some(Ok(())) if !at.is_time_certain => once(known.is_due(at.now), Step::AskTime),
        Some(Ok(())) => Step::Record(number),
        Some(Err(refusal)) if refusal.class == ErrorClass::Rejected => Step::Reject(number, refusal.clone()),
        Some(Err(refusal)) => Step::Hold(refusal.clone()),
    }
}

fn step_after_end(object: &AthenaSession, known: &LocalState, seen: &Seen, at: &Environment) -> Step {
    let stop_cause = object.status.as_ref().and_then(|status| status.stop_cause.as_ref());
    match after_end(object, at) {
        _ if object.is_deleting() => Step::Release,
        _ if object.spec.suspend && stop_cause == Some(&StopCause::Suspended) => Step::Rest,
        _ if object.spec.suspend => Step::Suspend,
        AfterEnd::Attempt { .. } if !object.has_finalizer() => Step::AddFinalizer,
        AfterEnd::Attempt { .. } | AfterEnd::Deletion { .. } if !at.is_time_certain => {
            once(known.is_due(at.now), Step::AskTime)
        }
        AfterEnd::Attempt { number, time, .. } if time <= at.now => record(number, known, seen, at),
        AfterEnd::Attempt { .. } => Step::Wait,
        AfterEnd::Deletion { time } => once(time <= at.now, Step::Delete),
        AfterEnd::None => Step::Rest,
    }
}

/// Returns the next step of an object without an attempt. A finalizer of unknown origin without an attempt may stand on a status that was wiped: the
/// list shows if a session exists.
fn step_without_attempt(object: &AthenaSession, known: &LocalState, seen: &Seen, at: &Environment) -> Step {
    let deleting = object.is_deleting();
    let idle = if object.spec.suspend { Step::Rest } else { record(0, known, seen, at) };
    let is_absent = deletion_list_time(object, at).is_some_and(|since| known.is_absent_since(since));
    match &seen.search {
        _ if known.finalizer_added && deleting => Step::Release,
        _ if known.finalizer_added => idle,
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        _ if known.absence.is_some() && !deleting => idle,
        _ if at.is_time_certain && is_absent => Step::Release,
        Some(Search::Failed(_)) => Step::Wait,
        _ => once(known.is_due(at.now), Step::Search),
    }
}

fn step_of_unknown(
    object: &AthenaSession,
    made: Recorded<'_>,
    known: &LocalState,
    seen: &Seen,
    at: &Environment,
) -> Step {
    let deleting = object.is_deleting();
    let nothing_started = known.nothing_started(&made);
    let account_unknown = is_account_unknown(&made, known, &at.identity);
    // A list was read that must show the session of the attempt, and does not.
    let must_show = list_time(&made, &at.limits);
    let is_listed = known.is_absent_since(must_show);
    // One such list is enough to end the object or to suspend it. A step that leads to a new start needs two, since the start cannot be taken back
    // if the only list was wrong.
    let is_repeated = known.absence.as_ref().is_some_and(|absence| absence.before >= Some(must_show));
    let is_lost = if deleting || object.spec.suspend { is_listed } else { is_repeated };
    let young = at.now < after(made.time, at.limits.uncertainty);
    let due = known.is_due(at.now);
    match &seen.search {
        _ if let Some(session) = known.started_of(&made) => Step::Adopt(made.number, session.clone()),
        _ if nothing_started && deleting => Step::Release,
        _ if nothing_started && let Some(cause) = stop_asked(object, seen, at) => {
            Step::Conclude(end_of(&cause))
        }
        // A list may show the session, and with it that this is its account. Without the session, nothing is proved.
        Some(Search::Found { attempt, session }) if account_unknown => Step::Adopt(*attempt, session.clone()),
        None if account_unknown && !is_listed => once(due, Step::Search),
        // Until it is known that this is the attempt's own account, a call could start a second session and no list proves anything.
        _ if !is_own_account(&made, None, known, &at.identity) => Step::Wait,
        // Only the age of the attempt decides if its token may still be replayed.
        _ if !at.is_time_certain => once(due, Step::AskTime),
        _ if !known.has_conflict() && young => once(due, Step::Start(made.number)),
        _ if !known.has_conflict() && nothing_started => record(made.number, known, seen, at),
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        _ if is_lost => Step::Conclude(known.lost_reason()),
        Some(Search::Failed(_)) => Step::Wait,
        _ => once(due, Step::Search),
    }
}

fn step_of_live(
    object: &AthenaSession,
    made: Recorded<'_>,
    id: &str,
    known: &LocalState,
    seen: &Seen,
    at: &Environment,
) -> Step {
    let deleting = object.is_deleting();
    let stopping = is_stopping(object, known, at);
    let recorded = object.status.as_ref().and_then(|status| status.state.as_ref());
    let state = seen.session().map(|session| &session.state).or(recorded);
    let since = missing_since(object, &made, at);
    // Reads that are requested so long after the start cannot be late.
    let missing =
        is_own_account(&made, Some(id), known, &at.identity) && at.is_time_certain && known.is_missing(since);
    let is_proved_gone =
        missing && seen.search.as_ref().is_some_and(|search| known.is_proved_gone(search, since));
    match &seen.look {
        Some(Look::Seen(session)) if session.ended() && deleting => Step::Release,
        Some(Look::Seen(session)) if session.ended() => Step::Mirror(session.clone()),
        _ if is_proved_gone && deleting => Step::Release,
        _ if is_proved_gone => Step::Conclude(EndReason::SessionVanished),
        _ if missing && seen.search.is_none() && known.is_due(at.now) => Step::Search,
        _ if !stopping && let Some(cause) = stop_asked(object, seen, at) => {
            Step::Stop(cause, seen.session().cloned())
        }
        // A session that a status names is touched only once its marker has been seen.
        _ if stopping && known.may_terminate(id, state, seen.session().is_some(), at.now) => Step::Terminate,
        Some(Look::Seen(session)) => Step::Mirror(session.clone()),
        // Lists may fail for longer than looks do.
        None if missing && matches!(seen.search, Some(Search::Failed(_))) => Step::Look,
        // A session that was started before STS had returned the account: a look that finds it proves its account, which is then recorded.
        None if made.account.is_none() && at.identity.account.is_some() && !known.waits(at.now) => Step::Look,
        None => once(known.is_due(at.now), Step::Look),
        _ => Step::Wait,
    }
}

/// Returns `step`, once it is `due`.
fn once(due: bool, step: Step) -> Step {
    if due { step } else { Step::Wait }
}

/// Returns the next time, later than `at.now`, at which a step becomes due or the report changes though nothing happens to `object`. A step that is
/// due now has no time: [`next_step`] returns it, or it waits for its permit of the rate limiter, which triggers the object.
pub fn wake_time(object: &AthenaSession, known: &LocalState, at: &Environment) -> Option<Timestamp> {
    let (next, healing) = (known.next_time(), known.healing_time(at));
    let times = match attempt(object, known) {
        // No call is made before the account is known, which triggers all objects.
        Attempt::Unknown(made)
            if made.account.is_some() && !is_own_account(&made, None, known, &at.identity) =>
        {
            vec![healing]
        }
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Unknown(_) => vec![next, healing],
        Attempt::Live(..) => {
            let deadline =
                active_deadline(object).filter(|_| at.is_time_certain && !is_stopping(object, known, at));
            vec![next, deadline, healing, known.stale_time(at), known.work_time(at)]
        }
        Attempt::Over(..) if object.is_deleting() || object.spec.suspend => vec![],
        Attempt::Over(..) => match after_end(object, at) {
            AfterEnd::Attempt { .. } | AfterEnd::Deletion { .. } if !at.is_time_certain => vec![next],
            // The work group may not take a session yet.
            AfterEnd::Attempt { time, .. } if time <= at.now => vec![next, healing],
            AfterEnd::Attempt { time, .. } | AfterEnd::Deletion { time } => vec![Some(time)],
            AfterEnd::None => vec![],
        },
    };
    times.into_iter().chain(known.write_times(at)).flatten().filter(|time| *time > at.now).min()
}

/// Returns whether a step for `object` waits for Athena's time, and only a reply of Athena's with its time can make it due.
pub fn awaits_time(object: &AthenaSession, known: &LocalState, at: &Environment) -> bool {
    let is_wanted = object.metadata.deletion_timestamp.is_none() && !object.spec.suspend;
    !at.is_time_certain
        && match attempt(object, known) {
            Attempt::None | Attempt::Withdrawn(_) | Attempt::Unknown(_) => true,
            Attempt::Live(..) => active_deadline(object).is_some() && !is_stopping(object, known, at),
            Attempt::Over(..) => is_wanted && after_end(object, at) != AfterEnd::None,
        }
}

/// Returns the cause for which the session of `object` ought to be stopped from now on, though the object stays and no cause is recorded.
fn stop_asked(object: &AthenaSession, seen: &Seen, at: &Environment) -> Option<StopCause> {
    if object.is_deleting() {
        return None;
    }
    let status = object.status.as_ref();
    let was_ready = status.is_some_and(|status| status.ready_time.is_some());
    // A late reply may show a state that the session has left.
    let is_ending = status.is_some_and(|status| status.state == Some(SessionState::Terminating));
    match seen.session() {
        _ if object.spec.suspend => Some(StopCause::Suspended),
        _ if at.is_time_certain && active_deadline(object).is_some_and(|deadline| deadline <= at.now) => {
            Some(StopCause::ActiveDeadline)
        }
        Some(_) if is_ending => None,
        Some(session) if session.state == SessionState::Degraded => Some(StopCause::Degraded),
        // An unknown state counts as one of a session that is starting.
        Some(session)
            if !was_ready && !session.state.takes_work() && session.state != SessionState::Terminating =>
        {
            let started = session.start_time.or(status?.attempt_time.as_ref().map(|time| time.0))?;
            let deadline = after(started, object.spec.startup_deadline());
            (at.is_time_certain && seen.look_time? >= deadline).then_some(StopCause::StartupDeadline)
        }
        _ => None,
    }
}

/// Returns the end reason that a cause leads to.
pub fn end_of(cause: &StopCause) -> EndReason {
    match cause {
        StopCause::Suspended => EndReason::Suspended,
        StopCause::ActiveDeadline => EndReason::DeadlineExceeded,
        StopCause::StartupDeadline => EndReason::StartupDeadlineExceeded,
        StopCause::Degraded => EndReason::SessionDegraded,
        StopCause::Other(word) => EndReason::Other(word.clone()),
    }
}

/// Returns whether the object records that its session is to be stopped.
pub fn wants_stopped(object: &AthenaSession) -> bool {
    object.is_deleting() || object.status.as_ref().is_some_and(|status| status.stop_cause.is_some())
}

/// Returns the cause for which the session of `object` is to be stopped though its status cannot name it, which somebody may have brought about: a
/// suspended object or one whose active deadline is over must not cost more money because of that. Neither is followed by a restart, even if the
/// cause is not known later.
pub fn unrecorded_cause(object: &AthenaSession, known: &LocalState, at: &Environment) -> Option<StopCause> {
    let asked =
        || known.is_status_lastingly_refused(at).then(|| stop_asked(object, &Seen::default(), at)).flatten();
    known.unrecorded_cause.as_deref().cloned().or_else(asked)
}

/// Returns whether the session of `object`, which for long no status could name, is to end nevertheless: [`next_step`] ends a session that is
/// recorded.
pub fn ends_unrecorded(object: &AthenaSession, known: &LocalState, at: &Environment) -> bool {
    let is_deleted = object.is_deleting() && object.spec.deletion_policy != DeletionPolicy::Retain;
    // The deadline counts over all attempts.
    let begun = object
        .status
        .as_ref()
        .and_then(|status| status.first_start_time.as_ref().or(status.attempt_time.as_ref()));
    let deadline = begun.and_then(|begun| Some(after(begun.0, object.spec.active_deadline()?)));
    let is_late = at.is_time_certain && deadline.is_some_and(|deadline| deadline <= at.now);
    (is_deleted || object.spec.suspend || is_late)
        && known.is_status_lastingly_refused(at)
        && matches!(attempt(object, known), Attempt::Unknown(_))
}

/// Returns whether the session of `object` is being stopped, or is to be.
pub fn is_stopping(object: &AthenaSession, known: &LocalState, at: &Environment) -> bool {
    wants_stopped(object) || unrecorded_cause(object, known, at).is_some()
}

/// Returns the time from which on Athena's reads cannot miss the session because they lag behind its start. A start whose time no look has shown may
/// have come at the end of the time in which the token is replayed.
pub fn missing_since(object: &AthenaSession, made: &Recorded<'_>, at: &Environment) -> Timestamp {
    let told = object.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let started = told.unwrap_or_else(|| after(made.time, at.limits.uncertainty));
    after(started, at.limits.uncertainty)
}

/// Returns the begin of the first list that must show the session of an attempt: a call may have been sent until the time of uncertainty was over,
/// and the list may lag as long behind it.
fn list_time(made: &Recorded<'_>, limits: &Limits) -> Timestamp {
    after(made.time, limits.uncertainty * 2)
}

/// Returns the begin of the first list, on Athena's clock, that proves that no session lives of an object without an attempt. A deletion has its time
/// from the API server's clock: without that clock, no list proves anything.
fn deletion_list_time(object: &AthenaSession, at: &Environment) -> Option<Timestamp> {
    let deleted = object.metadata.deletion_timestamp.as_ref()?.0.checked_sub(at.api_server_ahead?).ok()?;
    Some(after(deleted, at.limits.uncertainty))
}

/// Returns the earliest begin of a list that shows more of `object` than is known, for [`Step::Search`]: first of any list, since it may show the
/// session; then of one that proves something, or repeats the proof.
pub fn search_time(object: &AthenaSession, known: &LocalState, at: &Environment) -> Timestamp {
    let Some(absence) = &known.absence else { return at.now };
    let again = after(absence.newest, at.limits.list_interval());
    let since = match attempt(object, known) {
        Attempt::Unknown(made) => list_time(&made, &at.limits),
        // Looks have missed its session for long enough.
        Attempt::Live(..) => return at.now,
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => {
            deletion_list_time(object, at).unwrap_or(again)
        }
    };
    match absence.newest < since {
        // Athena reports that a session was started: the list only lags.
        true if known.has_conflict() => again.min(since),
        true => since,
        false => again,
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
