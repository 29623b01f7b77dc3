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
pub fn next_step(object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
    let deleting = object.is_deleting();
    let has_finalizer = object.has_finalizer();
    match attempt(object, state) {
        _ if deleting && !has_finalizer => Step::Done,
        _ if deleting && object.spec.deletion_policy == DeletionPolicy::Retain => Step::Release,
        Attempt::Unknown(recorded) | Attempt::Live(recorded, _)
            if in_other_account_or_region(&recorded, &env.identity) =>
        {
            Step::Rest
        }
        Attempt::Over(..) => step_after_end(object, state, seen, env),
        // A deletion of the object needs no proof: nothing was started.
        Attempt::Withdrawn(_) if deleting => Step::Release,
        Attempt::Withdrawn(_) if object.spec.suspend => Step::Rest,
        Attempt::None if object.spec.suspend && !has_finalizer => Step::Rest,
        _ if !has_finalizer => Step::AddFinalizer,
        Attempt::None => step_without_attempt(object, state, seen, env),
        Attempt::Withdrawn(number) => record(number, state, seen, env),
        Attempt::Unknown(recorded) => step_of_unknown(object, recorded, state, seen, env),
        Attempt::Live(recorded, id) => step_of_live(object, recorded, id, state, seen, env),
    }
}

/// Returns the step that records attempt `number`, once the work group was read: a refusal by the work group, such as one of another region, leaves
/// no attempt behind.
fn record(number: i32, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
    match &seen.work_group {
        None => step_if(state.is_due(env.now), Step::ReadWorkGroup),
        // The time of an attempt decides for how long its token may be replayed.
        Some(Ok(())) if !env.is_time_certain => step_if(state.is_due(env.now), Step::AskTime),
        Some(Ok(())) => Step::Record(number),
        Some(Err(refusal)) if refusal.class == ErrorClass::Rejected => Step::Reject(number, refusal.clone()),
        Some(Err(refusal)) => Step::Hold(refusal.clone()),
    }
}

fn step_after_end(object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
    let stop_cause = object.status.as_ref().and_then(|status| status.stop_cause.as_ref());
    match after_end(object, env) {
        _ if object.is_deleting() => Step::Release,
        _ if object.spec.suspend && stop_cause == Some(&StopCause::Suspended) => Step::Rest,
        _ if object.spec.suspend => Step::Suspend,
        AfterEnd::Attempt { .. } if !object.has_finalizer() => Step::AddFinalizer,
        AfterEnd::Attempt { .. } | AfterEnd::Deletion { .. } if !env.is_time_certain => {
            step_if(state.is_due(env.now), Step::AskTime)
        }
        AfterEnd::Attempt { number, time, .. } if time <= env.now => record(number, state, seen, env),
        AfterEnd::Attempt { .. } => Step::Wait,
        AfterEnd::Deletion { time } => step_if(time <= env.now, Step::Delete),
        AfterEnd::None => Step::Rest,
    }
}

/// Returns the next step of an object without an attempt. A finalizer of unknown origin without an attempt may stand on a status that was wiped: the
/// list shows if a session exists.
fn step_without_attempt(object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
    let deleting = object.is_deleting();
    let idle = if object.spec.suspend { Step::Rest } else { record(0, state, seen, env) };
    let is_absent = deletion_list_time(object, env).is_some_and(|since| state.is_absent_since(since));
    match &seen.search {
        _ if state.finalizer_added && deleting => Step::Release,
        _ if state.finalizer_added => idle,
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        _ if state.absence.is_some() && !deleting => idle,
        _ if env.is_time_certain && is_absent => Step::Release,
        Some(Search::Failed(_)) => Step::Wait,
        _ => step_if(state.is_due(env.now), Step::Search),
    }
}

fn step_of_unknown(
    object: &AthenaSession,
    recorded: Recorded<'_>,
    state: &LocalState,
    seen: &Seen,
    env: &Environment,
) -> Step {
    let deleting = object.is_deleting();
    let nothing_started = state.nothing_started(&recorded);
    let account_unknown = is_account_unknown(&recorded, state, &env.identity);
    // A list was read that must show the session of the attempt, and does not.
    let must_show = list_time(&recorded, &env.limits);
    let is_listed = state.is_absent_since(must_show);
    // One such list is enough to end the object or to suspend it. A step that leads to a new start needs two, since the start cannot be taken back
    // if the only list was wrong.
    let is_repeated = state.absence.as_ref().is_some_and(|absence| absence.before >= Some(must_show));
    let is_lost = if deleting || object.spec.suspend { is_listed } else { is_repeated };
    let young = env.now < after(recorded.time, env.limits.uncertainty);
    let due = state.is_due(env.now);
    match &seen.search {
        _ if let Some(session) = state.started_of(&recorded) => Step::Adopt(recorded.number, session.clone()),
        _ if nothing_started && deleting => Step::Release,
        _ if nothing_started && let Some(cause) = stop_asked(object, seen, env) => {
            Step::Conclude(end_of(&cause))
        }
        // A list may show the session, and with it that this is its account. Without the session, nothing is proved.
        Some(Search::Found { attempt, session }) if account_unknown => Step::Adopt(*attempt, session.clone()),
        None if account_unknown && !is_listed => step_if(due, Step::Search),
        // Until it is known that this is the attempt's own account, a call could start a second session and no list proves anything.
        _ if !is_own_account(&recorded, None, state, &env.identity) => Step::Wait,
        // Only the age of the attempt decides if its token may still be replayed.
        _ if !env.is_time_certain => step_if(due, Step::AskTime),
        _ if !state.has_conflict() && young => step_if(due, Step::Start(recorded.number)),
        _ if !state.has_conflict() && nothing_started => record(recorded.number, state, seen, env),
        Some(Search::Found { attempt, session }) => Step::Adopt(*attempt, session.clone()),
        _ if is_lost => Step::Conclude(state.lost_reason()),
        Some(Search::Failed(_)) => Step::Wait,
        _ => step_if(due, Step::Search),
    }
}

fn step_of_live(
    object: &AthenaSession,
    recorded: Recorded<'_>,
    id: &str,
    state: &LocalState,
    seen: &Seen,
    env: &Environment,
) -> Step {
    let deleting = object.is_deleting();
    let stopping = is_stopping(object, state, env);
    let in_status = object.status.as_ref().and_then(|status| status.state.as_ref());
    let session_state = seen.session().map(|session| &session.state).or(in_status);
    let since = missing_since(object, &recorded, env);
    // Reads that are requested so long after the start cannot be late.
    let missing = is_own_account(&recorded, Some(id), state, &env.identity)
        && env.is_time_certain
        && state.is_missing(since);
    let is_proved_gone =
        missing && seen.search.as_ref().is_some_and(|search| state.is_proved_gone(search, since));
    match &seen.look {
        Some(Look::Seen(session)) if session.ended() && deleting => Step::Release,
        Some(Look::Seen(session)) if session.ended() => Step::Mirror(session.clone()),
        _ if is_proved_gone && deleting => Step::Release,
        _ if is_proved_gone => Step::Conclude(EndReason::SessionVanished),
        _ if missing && seen.search.is_none() && state.is_due(env.now) => Step::Search,
        _ if !stopping && let Some(cause) = stop_asked(object, seen, env) => {
            Step::Stop(cause, seen.session().cloned())
        }
        // A session that a status names is touched only once its marker has been seen.
        _ if stopping && state.may_terminate(id, session_state, seen.session().is_some(), env.now) => {
            Step::Terminate
        }
        Some(Look::Seen(session)) => Step::Mirror(session.clone()),
        // Lists may fail for longer than looks do.
        None if missing && matches!(seen.search, Some(Search::Failed(_))) => Step::Look,
        // A session that was started before STS had returned the account: a look that finds it proves its account, which is then recorded.
        None if recorded.account.is_none() && env.identity.account.is_some() && !state.waits(env.now) => {
            Step::Look
        }
        None => step_if(state.is_due(env.now), Step::Look),
        _ => Step::Wait,
    }
}

/// Returns `step`, once it is `due`.
fn step_if(due: bool, step: Step) -> Step {
    if due { step } else { Step::Wait }
}

/// Returns the next time, later than `env.now`, at which a step becomes due or the report changes though nothing happens to `object`. A step that is
/// due now has no time: [`next_step`] returns it, or it waits for its permit of the rate limiter, which triggers the object.
pub fn wake_time(object: &AthenaSession, state: &LocalState, env: &Environment) -> Option<Timestamp> {
    let (next, healing) = (state.next_time(), state.healing_time(env));
    let times = match attempt(object, state) {
        // No call is made before the account is known, which triggers all objects.
        Attempt::Unknown(recorded)
            if recorded.account.is_some() && !is_own_account(&recorded, None, state, &env.identity) =>
        {
            vec![healing]
        }
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Unknown(_) => vec![next, healing],
        Attempt::Live(..) => {
            let deadline =
                active_deadline(object).filter(|_| env.is_time_certain && !is_stopping(object, state, env));
            vec![next, deadline, healing, state.stale_time(env), state.work_time(env)]
        }
        Attempt::Over(..) if object.is_deleting() || object.spec.suspend => vec![],
        Attempt::Over(..) => match after_end(object, env) {
            AfterEnd::Attempt { .. } | AfterEnd::Deletion { .. } if !env.is_time_certain => vec![next],
            // The work group may not take a session yet.
            AfterEnd::Attempt { time, .. } if time <= env.now => vec![next, healing],
            AfterEnd::Attempt { time, .. } | AfterEnd::Deletion { time } => vec![Some(time)],
            AfterEnd::None => vec![],
        },
    };
    times.into_iter().chain(state.write_times(env)).flatten().filter(|time| *time > env.now).min()
}

/// Returns whether a step for `object` waits for Athena's time, and only a reply of Athena's with its time can make it due.
pub fn awaits_time(object: &AthenaSession, state: &LocalState, env: &Environment) -> bool {
    let is_wanted = object.metadata.deletion_timestamp.is_none() && !object.spec.suspend;
    !env.is_time_certain
        && match attempt(object, state) {
            Attempt::None | Attempt::Withdrawn(_) | Attempt::Unknown(_) => true,
            Attempt::Live(..) => active_deadline(object).is_some() && !is_stopping(object, state, env),
            Attempt::Over(..) => is_wanted && after_end(object, env) != AfterEnd::None,
        }
}

/// Returns the cause for which the session of `object` ought to be stopped from now on, though the object stays and no cause is recorded.
fn stop_asked(object: &AthenaSession, seen: &Seen, env: &Environment) -> Option<StopCause> {
    if object.is_deleting() {
        return None;
    }
    let status = object.status.as_ref();
    let was_ready = status.is_some_and(|status| status.ready_time.is_some());
    // A late reply may show a state that the session has left.
    let is_ending = status.is_some_and(|status| status.state == Some(SessionState::Terminating));
    match seen.session() {
        _ if object.spec.suspend => Some(StopCause::Suspended),
        _ if env.is_time_certain && active_deadline(object).is_some_and(|deadline| deadline <= env.now) => {
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
            (env.is_time_certain && seen.look_time? >= deadline).then_some(StopCause::StartupDeadline)
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

/// Returns the cause for which the operator stops the session of `object` without recording the cause, since the API server has refused the status for
/// too long: suspension, or the active deadline. Whoever makes the API server refuse the status must not keep such a session running and billed. After
/// both causes no restart follows, even if a later process does not know the cause.
pub fn unrecorded_cause(object: &AthenaSession, state: &LocalState, env: &Environment) -> Option<StopCause> {
    let asked = || {
        state.is_status_lastingly_refused(env).then(|| stop_asked(object, &Seen::default(), env)).flatten()
    };
    state.unrecorded_cause.as_deref().cloned().or_else(asked)
}

/// Returns whether the session of `object`, which for long no status could name, is to end nevertheless: [`next_step`] ends a session that is
/// recorded.
pub fn must_end_unrecorded_session(object: &AthenaSession, state: &LocalState, env: &Environment) -> bool {
    let is_deleted = object.is_deleting() && object.spec.deletion_policy != DeletionPolicy::Retain;
    // The deadline counts over all attempts.
    let begun = object
        .status
        .as_ref()
        .and_then(|status| status.first_start_time.as_ref().or(status.attempt_time.as_ref()));
    let deadline = begun.and_then(|begun| Some(after(begun.0, object.spec.active_deadline()?)));
    let is_late = env.is_time_certain && deadline.is_some_and(|deadline| deadline <= env.now);
    (is_deleted || object.spec.suspend || is_late)
        && state.is_status_lastingly_refused(env)
        && matches!(attempt(object, state), Attempt::Unknown(_))
}

/// Returns whether the session of `object` is being stopped, or is to be.
pub fn is_stopping(object: &AthenaSession, state: &LocalState, env: &Environment) -> bool {
    wants_stopped(object) || unrecorded_cause(object, state, env).is_some()
}

/// Returns the time from which on Athena's reads cannot miss the session because they lag behind its start. A start whose time no look has shown may
/// have come at the end of the time in which the token is replayed.
pub fn missing_since(object: &AthenaSession, recorded: &Recorded<'_>, env: &Environment) -> Timestamp {
    let told = object.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let started = told.unwrap_or_else(|| after(recorded.time, env.limits.uncertainty));
    after(started, env.limits.uncertainty)
}

/// Returns the begin of the first list that must show the session of an attempt: a call may have been sent until the time of uncertainty was over,
/// and the list may lag as long behind it.
fn list_time(recorded: &Recorded<'_>, limits: &Limits) -> Timestamp {
    after(recorded.time, limits.uncertainty * 2)
}

/// Returns the begin of the first list, on Athena's clock, that proves that no session lives of an object without an attempt. A deletion has its time
/// from the API server's clock: without that clock, no list proves anything.
fn deletion_list_time(object: &AthenaSession, env: &Environment) -> Option<Timestamp> {
    let deleted = object.metadata.deletion_timestamp.as_ref()?.0.checked_sub(env.api_server_ahead?).ok()?;
    Some(after(deleted, env.limits.uncertainty))
}

/// Returns the earliest begin of a list that shows more of `object` than is known, for [`Step::Search`]: first of any list, since it may show the
/// session; then of one that proves something, or repeats the proof.
pub fn search_time(object: &AthenaSession, state: &LocalState, env: &Environment) -> Timestamp {
    let Some(absence) = &state.absence else { return env.now };
    let again = after(absence.newest, env.limits.list_interval());
    let since = match attempt(object, state) {
        Attempt::Unknown(recorded) => list_time(&recorded, &env.limits),
        // Looks have missed its session for long enough.
        Attempt::Live(..) => return env.now,
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => {
            deletion_list_time(object, env).unwrap_or(again)
        }
    };
    match absence.newest < since {
        // Athena reports that a session was started: the list only lags.
        true if state.has_conflict() => again.min(since),
        true => since,
        false => again,
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
