//! The newest attempt of an object, and the sessions that belong to it.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::AthenaSession;
use crate::session::attempt::{Attempt, Recorded};
use crate::session::environment::Identity;
use crate::session::local_state::LocalState;
use crate::session::marker;
use crate::session::reply::{ErrorClass, Refusal, Search, Session};

/// Returns the newest attempt of `object`. A session that is known not to carry the object's marker is no session of the attempt.
pub fn attempt<'a>(object: &'a AthenaSession, state: &LocalState) -> Attempt<'a> {
    let Some(status) = &object.status else { return Attempt::None };
    let (number, time, region) = match (status.attempt, &status.attempt_time, &status.region) {
        (Some(number), Some(time), Some(region)) => (number, time, region),
        (Some(number), None, None) if status.session_id.is_none() && status.end_reason.is_none() => {
            return Attempt::Withdrawn(number);
        }
        _ => return Attempt::None,
    };
    let recorded = Recorded { number, time: time.0, region, account: status.account_id.as_deref() };
    match (&status.end_reason, &status.session_id) {
        (Some(reason), _) => Attempt::Over(recorded, reason),
        (None, Some(id)) if !state.disowns(id) => Attempt::Live(recorded, id),
        (None, _) => Attempt::Unknown(recorded),
    }
}

/// Returns the session that this process started and that no record can name, since its attempt is over or is another: it has no owner and is to be
/// ended.
pub fn leaked_session<'a>(object: &AthenaSession, state: &'a LocalState) -> Option<&'a str> {
    let (number, session) = state.unrecorded.as_deref()?;
    let expected = match attempt(object, state) {
        Attempt::Unknown(recorded) => recorded.number == *number,
        Attempt::Live(_, id) => id == session.id,
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => false,
    };
    (!expected).then_some(&session.id)
}

/// Returns whether an attempt was made in another region or account. An account that either side does not know makes no difference.
pub fn in_other_account_or_region(recorded: &Recorded<'_>, here: &Identity) -> bool {
    recorded.region != here.region
        || matches!((recorded.account, here.account.as_deref()), (Some(there), Some(here)) if there != here)
}

/// Returns the result of a complete list that was begun at `begun`, given the sessions in it that carry the marker of `object`: the session of the
/// recorded attempt or, where none is recorded, of the newest. A session with another role or engine configuration than the spec's is not adopted for
/// use, but a list that contains it proves nothing. Such a session carries the object's token, so that it is ended with the object, and when the
/// object is suspended.
pub fn match_marked_sessions(
    sessions: Vec<Session>,
    object: &AthenaSession,
    state: &LocalState,
    begun: Timestamp,
) -> Search {
    let uid = object.uid().unwrap_or_default();
    let recorded = match attempt(object, state) {
        Attempt::Unknown(recorded) | Attempt::Live(recorded, _) => Some(recorded.number),
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => None,
    };
    let number_of =
        |session: &Session| marker::attempt_of(session.details.as_ref()?.description.as_deref()?, &uid);
    let is_as_asked =
        |session: &Session| session.details.as_ref().is_some_and(|details| details.satisfies(&object.spec));
    let marked = sessions.into_iter().filter_map(|session| Some((number_of(&session)?, session)));
    let newest = marked
        .filter(|(number, _)| recorded.is_none_or(|recorded| recorded == *number))
        .max_by_key(|(number, session)| (is_as_asked(session), *number));
    let is_to_end = object.is_deleting() || object.spec.suspend;
    match newest {
        None => Search::Absent { begun },
        Some((attempt, session)) if is_to_end || is_as_asked(&session) => Search::Found { attempt, session },
        Some((_, stranger)) => {
            let message = format!(
                "session {} carries the marker of this object, with another role or engine configuration",
                stranger.id
            );
            Search::Failed(Refusal::new(ErrorClass::MayHeal, "MarkerMismatch", message))
        }
    }
}

/// Returns whether the operator certainly works in the attempt's account. For an attempt that was recorded without an account, only the process that
/// recorded it, or that has seen its session, knows the account.
pub fn is_own_account(
    recorded: &Recorded<'_>,
    id: Option<&str>,
    state: &LocalState,
    here: &Identity,
) -> bool {
    match (recorded.account, here.account.as_deref()) {
        (Some(there), Some(here)) => there == here,
        (Some(_), None) => false,
        (None, None) => true,
        (None, Some(_)) => state.recorded_here(recorded) || id.is_some_and(|id| state.trusts(id)),
    }
}

/// Returns whether the account of an attempt with unknown outcome is not known: only its session can show the account.
pub fn is_account_unknown(recorded: &Recorded<'_>, state: &LocalState, here: &Identity) -> bool {
    recorded.account.is_none() && !is_own_account(recorded, None, state, here)
}
