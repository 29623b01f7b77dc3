//! The row of the condition matrix for each situation of an object, and its message.

use super::conditions::{Available, Row, condition};
use super::end::{last_time_at_work, leaves_open};
use super::text::seconds;
use crate::api::{
    self, AthenaSession, AthenaSessionStatus, EndReason, RestartPolicy, SessionState, StopCause,
};
use crate::session::after_end::{AfterEnd, after_end};
use crate::session::attempt::{Attempt, Recorded};
use crate::session::environment::{Environment, Identity};
use crate::session::local_state::{Call, LocalState, Refused};
use crate::session::ownership::{attempt, in_other_account_or_region, is_account_unknown};
use crate::session::refused_write;
use crate::session::reply::{ErrorClass, Refusal, passes};

/// Returns the row of an object with its newest status.
pub(crate) fn row(object: &AthenaSession, state: &LocalState, env: &Environment) -> Row {
    let status = object.status.clone().unwrap_or_default();
    let row = row_at_athena(object, &status, state, env);
    match state.refused_write_to_show() {
        None => row,
        // The only write to an object that is being deleted is the removal of its finalizer.
        Some(refused) if object.is_deleting() => {
            Row::deleting(format!("nothing else holds the object: {}", refused.message()))
        }
        // The session is as it was.
        Some(refused) if is_stalled(&status, refused_write::REASON) || refused.is_lasting(env) => {
            Row::stalled(refused_write::REASON, row.available, refused.message())
        }
        Some(refused) => Row::progressing(refused_write::REASON, row.available, refused.message()),
    }
}

/// Returns whether the object was stalled for `reason`: after a restart of the operator the row continues where it stood.
fn is_stalled(status: &AthenaSessionStatus, reason: &str) -> bool {
    condition(status, "Stalled").is_some_and(|stalled| stalled.reason == reason)
}

/// Returns the row of an object, apart from writes that the API server refuses.
fn row_at_athena(
    object: &AthenaSession,
    status: &AthenaSessionStatus,
    state: &LocalState,
    env: &Environment,
) -> Row {
    let attempt = attempt(object, state);
    if object.is_deleting() {
        return Row::deleting(awaited(object, &attempt, state, env));
    }
    match &attempt {
        Attempt::Unknown(recorded) | Attempt::Live(recorded, _)
            if in_other_account_or_region(recorded, &env.identity) =>
        {
            let message = format!(
                "the attempt was made in region {}{}, and the operator now works in {}{}: run it there again, or delete this object with deletionPolicy Retain, \
                 which an administrator may have to set",
                recorded.region,
                account(recorded.account),
                env.identity.region,
                account(env.identity.account.as_deref()),
            );
            Row::stalled("IdentityChanged", Available::Unknown, message)
        }
        Attempt::Unknown(recorded)
            if state.absence.is_some() && is_account_unknown(recorded, state, &env.identity) =>
        {
            let message = format!(
                "the attempt was recorded before STS had returned the operator's account, and the operator{} does not find the attempt's session: find and end that session yourself if \
                 there is one, then delete this object with deletionPolicy Retain, which an administrator may have to set",
                account(env.identity.account.as_deref()).replacen(',', " of", 1),
            );
            Row::stalled("IdentityChanged", Available::Unknown, message)
        }
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) if object.spec.suspend => {
            let message = "suspended: no session runs; set suspend to false to start one";
            Row::ready("Suspended", Available::False, message)
        }
        Attempt::Unknown(recorded) if object.spec.suspend => {
            let account =
                awaited_account(recorded, &env.identity).map(|account| format!("waiting for {account}"));
            let hindrance = account.or(state.refused.as_deref().map(Refused::message));
            stopping(&StopCause::Suspended, false, hindrance)
        }
        Attempt::Unknown(recorded) if let Some(account) = awaited_account(recorded, &env.identity) => {
            Row::progressing("Starting", Available::False, format!("waiting for {account}"))
        }
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Unknown(_) => waiting_for_start(status, state, env),
        Attempt::Live(_, id) => live(status, id, state, env),
        Attempt::Over(_, reason) => match after_end(object, env) {
            // The next attempt is due, and the work group does not take it.
            AfterEnd::Attempt { time, .. }
                if time <= env.now
                    && state.refused.as_ref().is_some_and(|refused| refused.call == Call::WorkGroup) =>
            {
                waiting_for_start(status, state, env)
            }
            AfterEnd::Attempt { restarts, time, resumed: false, .. } if reason.is_failure() => {
                // The reason of the row announces the restart; the message gives the end of the last attempt.
                let message = format!(
                    "{}: {}; restart {restarts} of {} follows at {}",
                    reason.as_str(),
                    over(status, reason),
                    object.spec.max_restarts(),
                    seconds(time).0
                );
                Row::progressing("RestartingAfterFailure", Available::False, message)
            }
            AfterEnd::Attempt { .. } => Row::progressing("Starting", Available::False, over(status, reason)),
            AfterEnd::Deletion { .. } | AfterEnd::None => {
                let message = format!("{}{}", over(status, reason), advice(object, reason));
                match reason {
                    EndReason::IdleTimeout | EndReason::DeadlineExceeded => {
                        Row::ready(reason.as_str(), Available::False, message)
                    }
                    _ => Row::stalled(reason_word(reason), Available::False, message),
                }
            }
        },
    }
}

fn live(status: &AthenaSessionStatus, id: &str, state: &LocalState, env: &Environment) -> Row {
    // A new process does not know when looks began to fail.
    let was_stale = condition(status, "Ready").is_some_and(|ready| ready.reason == "ObservationStale");
    match (&state.refused, &state.look_refused) {
        // A refusal because of the rate and a missing answer pass, however long they last.
        (Some(refused), _)
            if refused.call == Call::Terminate
                && !passes(refused.refusal.class)
                && env.now >= refused.since + env.limits.healing =>
        {
            let takes_work = status.state.as_ref().is_some_and(SessionState::takes_work);
            let available = if takes_work { Available::True } else { Available::False };
            let message = format!("session {id} lives on: {}", refused.message());
            Row::stalled("TerminateRefused", available, message)
        }
        (_, refused)
            if state.stale_time(env).is_some_and(|time| time <= env.now)
                || (refused.is_some() && was_stale) =>
        {
            let why =
                refused.as_deref().map_or_else(|| "Athena does not find it".to_owned(), Refused::message);
            let seen = state.seen_time.map(|time| format!(" since {}", seconds(time).0)).unwrap_or_default();
            let message = format!("session {id} has not been seen{seen}: {why}");
            Row::progressing("ObservationStale", Available::Unknown, message)
        }
        (refused, _) if let Some(cause) = &status.stop_cause => {
            let refused = refused.as_deref().filter(|refused| refused.call == Call::Terminate);
            stopping(cause, true, refused.map(Refused::message))
        }
        _ => session(status.state.as_ref().filter(|state| **state != SessionState::default())),
    }
}

/// Returns the row of a session that nobody asked to stop.
fn session(state: Option<&SessionState>) -> Row {
    let progressing = |reason, message| Row::progressing(reason, Available::False, message);
    let ready = |reason, message| Row::ready(reason, Available::True, message);
    match state {
        // StartSession returns these states for a session that it started long ago; a look shows the current one.
        None | Some(SessionState::Terminated | SessionState::Failed) => {
            progressing("Starting", "the session is being looked at")
        }
        Some(SessionState::Degraded) => progressing("ReplacingSession", "the session is degraded"),
        Some(SessionState::Creating) => progressing("SessionCreating", "Athena is creating the session"),
        Some(SessionState::Created) => {
            progressing("SessionCreated", "the session is created and not idle yet")
        }
        Some(SessionState::Idle) => ready("SessionIdle", "the session waits for work"),
        Some(SessionState::Busy) => ready("SessionBusy", "the session is at work"),
        Some(SessionState::Terminating) => {
            progressing("SessionTerminating", "the session is being ended from outside")
        }
        Some(SessionState::Other(word)) => {
            let message = format!("the session is in a state that this operator does not know: {word}");
            Row::progressing("UnknownState", Available::Unknown, message)
        }
    }
}

/// Returns the row of a session that the operator ends, or waits to find.
fn stopping(cause: &StopCause, is_found: bool, hindrance: Option<String>) -> Row {
    let (reason, why) = match cause {
        StopCause::Suspended => ("Suspending", "the object was suspended"),
        StopCause::ActiveDeadline => ("DeadlineExceeded", "its active deadline is over"),
        StopCause::StartupDeadline => ("ReplacingSession", "it was not ready in time"),
        StopCause::Degraded | StopCause::Other(_) => ("ReplacingSession", "it is degraded"),
    };
    let hindrance = hindrance.map(|text| format!("; {text}")).unwrap_or_default();
    let message = if is_found {
        format!("the session is being ended: {why}{hindrance}")
    } else {
        format!(
            "{why}: the operator looks for a session that StartSession may have started, and ends it; this may take half an hour{hindrance}"
        )
    };
    Row::progressing(reason, Available::False, message)
}

fn waiting_for_start(status: &AthenaSessionStatus, state: &LocalState, env: &Environment) -> Row {
    let progressing = |reason, message| Row::progressing(reason, Available::False, message);
    let Some(refused) = &state.refused else {
        return progressing("Starting", "StartSession is to be called".to_owned());
    };
    let Refusal { class, reason, .. } = &refused.refusal;
    let message = refused.message();
    let was_stalled = is_stalled(status, reason);
    match class {
        ErrorClass::Unanswered | ErrorClass::NotSent => progressing("Starting", message),
        ErrorClass::Throttled | ErrorClass::Capacity => progressing(reason, message),
        ErrorClass::MayHeal | ErrorClass::NotFound
            if !was_stalled && env.now < refused.since + env.limits.healing =>
        {
            progressing(reason, message)
        }
        // Its session may be found yet.
        ErrorClass::TokenConflict if !was_stalled && state.absence.is_none() => progressing(reason, message),
        ErrorClass::MayHeal | ErrorClass::NotFound | ErrorClass::TokenConflict | ErrorClass::Rejected => {
            // A refusal by the operator itself has its advice.
            let advice = api::reason(reason).map(|row| row.advice).filter(|advice| !message.contains(advice));
            let advised = advice.map(|advice| format!("{}; {advice}", message.trim_end_matches('.')));
            let message = advised.unwrap_or(message);
            Row::stalled(reason, Available::False, message)
        }
    }
}

fn over(status: &AthenaSessionStatus, reason: &EndReason) -> String {
    let athena = status.state_change_reason.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let id = status.session_id.as_deref().unwrap_or("of this attempt");
    let end = status.end_time.as_ref().map(|end| format!(" at {}", end.0)).unwrap_or_default();
    let work = last_time_at_work(status);
    let work = work.map(|time| format!(" (last activity {})", seconds(time).0)).unwrap_or_default();
    match reason {
        EndReason::Suspended => "suspended before; starting again".into(),
        EndReason::DeadlineExceeded => format!("session {id} was ended when the active deadline was over"),
        EndReason::IdleTimeout => format!("session {id}{work} ended{end}: this counts as its idle timeout"),
        EndReason::StoppedOutside if leaves_open(status.state_change_reason.as_deref()) => {
            format!(
                "session {id}{work} ended{end}, too early for its idle timeout: it was ended from outside{athena}"
            )
        }
        EndReason::StoppedOutside => format!("session {id} was ended from outside{athena}"),
        EndReason::SessionFailed => format!("session {id} failed{athena}"),
        EndReason::SessionDegraded => format!("session {id} was degraded and was ended"),
        EndReason::StartupDeadlineExceeded => {
            format!("session {id} was not ready within its startup deadline and was ended")
        }
        EndReason::SessionVanished => {
            format!("Athena no longer knows session {id}{work}, too early for its idle timeout")
        }
        EndReason::SessionLost => {
            "the outcome of StartSession is unknown, and complete lists show no session of this attempt: the operator starts another attempt".into()
        }
        EndReason::InvalidRequest => format!("no session can be started with this spec{athena}"),
        EndReason::TokenMismatch | EndReason::SessionAlreadyExists => {
            format!("StartSession refuses the request{athena}")
        }
        EndReason::Other(word) => format!("session {id} ended: {word}{athena}"),
    }
}

/// Returns a reason that conditions accept; a status written by hand may hold any text.
fn reason_word(reason: &EndReason) -> &str {
    let word = reason.as_str();
    let letters = word.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fits = letters && word.len() <= 64;
    if fits { word } else { "SessionEnded" }
}

/// Returns the advice for a person about an attempt that nothing follows.
fn advice(object: &AthenaSession, reason: &EndReason) -> &'static str {
    match reason {
        EndReason::IdleTimeout | EndReason::DeadlineExceeded | EndReason::Suspended => "",
        EndReason::InvalidRequest => "; create another AthenaSession",
        _ if reason.is_failure() && object.spec.restart_policy == RestartPolicy::OnFailure => {
            "; to run it again, suspend and resume the object, or raise maxRestarts"
        }
        _ => "; to run it again, suspend and resume the object, or create another AthenaSession",
    }
}

/// Returns the message about the cause for which a deletion waits, and the command that releases the object at once.
fn awaited(object: &AthenaSession, attempt: &Attempt<'_>, state: &LocalState, env: &Environment) -> String {
    let awaited = match (attempt, &state.refused) {
        (Attempt::Unknown(recorded) | Attempt::Live(recorded, _), _)
            if in_other_account_or_region(recorded, &env.identity) =>
        {
            format!("an operator that works in region {}{}", recorded.region, account(recorded.account))
        }
        (Attempt::Unknown(recorded), _) if let Some(account) = awaited_account(recorded, &env.identity) => {
            account
        }
        (Attempt::Live(_, id), Some(refused)) => format!("session {id} to end; {}", refused.message()),
        (Attempt::Live(_, id), None) if let Some(refused) = &state.look_refused => {
            format!("session {id} to end; {}", refused.message())
        }
        (Attempt::Live(_, id), None) if state.terminations() > 1 => {
            format!("session {id} to end; TerminateSession has had no effect so far")
        }
        (Attempt::Live(_, id), None) => format!("session {id} to end"),
        (Attempt::Unknown(_), Some(refused)) => {
            format!(
                "proof that StartSession started no session, which may take half an hour; {}",
                refused.message()
            )
        }
        (Attempt::Unknown(_), None) => "the outcome of StartSession".into(),
        (Attempt::None, Some(refused)) => {
            format!("proof that nothing was started before the status was lost; {}", refused.message())
        }
        (Attempt::None, None) => "proof that nothing was started before the status was lost".into(),
        (Attempt::Withdrawn(_) | Attempt::Over(..), _) => return "no session of the object runs".into(),
    };
    let (name, namespace) = (object.metadata.name.as_deref(), object.metadata.namespace.as_deref());
    format!("waiting for {awaited}; {}", way_out(name.unwrap_or_default(), namespace.unwrap_or_default()))
}

/// Returns the advice with the command by which a person releases the object at once.
pub(crate) fn way_out(name: &str, namespace: &str) -> String {
    format!(
        "to delete the object although its session may run on and be billed, which may need an administrator: \
         kubectl patch athenasession {name} -n {namespace} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'"
    )
}

/// Returns the account that an attempt waits for if it was made when the account was known, while the account is not known.
fn awaited_account(recorded: &Recorded<'_>, here: &Identity) -> Option<String> {
    let account = recorded.account.filter(|_| here.account.is_none())?;
    Some(format!(
        "STS to return the operator's account: the attempt was made in account {account}, and until then the operator makes no call for it"
    ))
}

fn account(id: Option<&str>) -> String {
    id.map(|id| format!(", account {id}")).unwrap_or_default()
}

#[cfg(test)]
#[path = "situation_tests.rs"]
pub(crate) mod tests;
