//! The status that a step leads to, and its conditions for users and for GitOps tools.
//!
//! The conditions come from one table, `row`. While `observedGeneration` equals the generation, Ready is True exactly where kstatus
//! computes Current, Unknown where it computes InProgress, and False where it computes Failed or the object is being deleted.

mod conditions;
mod end;
mod situation;
mod storable;
mod text;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub use self::conditions::condition;
pub(crate) use self::conditions::{Available, Row, conditions};
use self::end::{asked_timeout, end_reason, vanished_reason};
pub(crate) use self::situation::{row, way_out};
use self::text::bounded;
pub use self::text::seconds;
use crate::api::{AthenaSession, AthenaSessionStatus, EndReason, PreviousAttempt, SessionState, StopCause};
use crate::session::after_end::{AfterEnd, after_end, first_start_time};
use crate::session::attempt::Attempt;
use crate::session::environment::Environment;
use crate::session::lifecycle::missing_since;
use crate::session::local_state::{Call, LocalState};
use crate::session::ownership::attempt;
use crate::session::reply::{ErrorClass, Refusal, Session};
use crate::session::step::Step;

/// Outcome of the call of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The step made no call, or the call has no new result.
    Nothing,
    /// StartSession returned this session.
    Started {
        /// Athena's id.
        id: String,
        /// The state that Athena gave it.
        state: SessionState,
    },
    /// The call was refused.
    Refused(Refusal),
}

/// Returns the status of `object` after `step` had `outcome`. `state` already includes the facts from that outcome.
pub fn status_after(
    object: &AthenaSession,
    state: &LocalState,
    step: &Step,
    outcome: &Outcome,
    env: &Environment,
) -> AthenaSessionStatus {
    let mut next = object.clone();
    let status = next.status.get_or_insert_default();
    let asked = asked_timeout(&object.spec);
    if status.end_reason.is_none() && status.session_id.as_deref().is_some_and(|id| state.trusts(id)) {
        status.stop_cause = status.stop_cause.take().or_else(|| state.unrecorded_cause.as_deref().cloned());
    }
    if let Some(held) = status.session_id.as_deref().and_then(|id| state.unwritten_work(id)) {
        mirror(status, held, asked, state, env.now);
    }
    match (step, outcome) {
        (Step::Record(number), _) => *status = next_attempt(object, status, *number, env),
        (Step::Reject(number, _), _) => {
            *status = next_attempt(object, status, *number, env);
            conclude(status, EndReason::InvalidRequest, state, env.now);
        }
        (Step::Start(number), Outcome::Started { id, state }) => {
            *status = status_of_adopted_attempt(status, *number, env);
            status.session_id = Some(id.clone());
            status.state = Some(storable::state(state)).filter(|state| *state != SessionState::default());
        }
        (Step::Start(_), Outcome::Refused(refusal))
            if refusal.class == ErrorClass::Rejected && is_proved_unstarted(object, state) =>
        {
            conclude(status, EndReason::InvalidRequest, state, env.now);
        }
        // The attempt no longer belongs to this region and account: a correction of them must not leave it behind.
        (Step::Start(_), Outcome::Refused(refusal))
            if withdraws(refusal.class) && is_proved_unstarted(object, state) =>
        {
            (status.attempt_time, status.region, status.account_id) = (None, None, None);
        }
        (Step::Adopt(number, session), _) => {
            *status = status_of_adopted_attempt(status, *number, env);
            status.session_id = Some(session.id.clone());
            mirror(status, session, asked, state, env.now);
            // The session is to be ended, and never used.
            if object.spec.suspend && !session.ended() {
                status.stop_cause = Some(StopCause::Suspended);
            }
        }
        (Step::Mirror(session), _) => {
            mirror(status, session, asked, state, env.now);
            // Athena has just answered for the session from this account.
            status.account_id = status.account_id.take().or(env.identity.account.clone());
        }
        (Step::Stop(cause, session), _) => {
            if let Some(session) = session {
                mirror(status, session, asked, state, env.now);
            }
            status.stop_cause = Some(cause.clone());
        }
        (Step::Suspend, _) => status.stop_cause = Some(StopCause::Suspended),
        (Step::Conclude(EndReason::SessionVanished), _) => {
            let since = match attempt(object, state) {
                Attempt::Live(recorded, _) => missing_since(object, &recorded, env),
                _ => env.now,
            };
            let reason = vanished_reason(status, asked, state, since);
            conclude(status, reason, state, env.now);
        }
        (Step::Conclude(reason), _) => conclude(status, reason.clone(), state, env.now),
        _ => {}
    }
    let generation = object.metadata.generation;
    let row = row(&next, state, env);
    let mut status = next.status.unwrap_or_default();
    status.observed_generation = generation;
    status.conditions =
        Some(conditions(status.conditions.as_deref().unwrap_or_default(), &row, generation, env.now));
    // Later work is recorded together with other changes.
    let is_own = status.session_id.as_deref().is_some_and(|id| state.trusts(id));
    let is_written = || {
        status.last_busy_time.is_none()
            || !object.status.as_ref().is_some_and(|before| is_same_but_for_texts(before, &status))
    };
    if let Some(time) = work_time(object, state, step).filter(|_| is_own && is_written()) {
        let newest = status.last_busy_time.as_ref().map_or(time, |before| before.0.max(time));
        status.last_busy_time = Some(seconds(newest));
    }
    status
}

/// Returns whether `after` differs from `before` only in that the session became busy or idle, and since when: such a change may wait to be written.
/// The first work of a session may not wait, since a restart depends on it.
fn is_mere_work(before: &AthenaSessionStatus, after: &AthenaSessionStatus) -> bool {
    let is_first = before.last_busy_time.is_none() && after.last_busy_time.is_some();
    let is_settled =
        |status: &AthenaSessionStatus| status.state.as_ref().is_some_and(SessionState::takes_work);
    let rest = |status: &AthenaSessionStatus| {
        let mut rest = AthenaSessionStatus {
            state: None,
            idle_since_time: None,
            last_busy_time: None,
            ..status.clone()
        };
        for condition in rest
            .conditions
            .iter_mut()
            .flatten()
            .filter(|condition| matches!(condition.reason.as_str(), "SessionIdle" | "SessionBusy"))
        {
            (condition.reason, condition.message) = (String::new(), String::new());
        }
        rest
    };
    !is_first && is_settled(before) && is_settled(after) && rest(before) == rest(after)
}

/// Returns whether `after` need not be written yet: it differs from `before` only in that the session became busy or idle, and the status was written
/// lately.
pub fn may_wait(
    before: Option<&AthenaSessionStatus>,
    after: &AthenaSessionStatus,
    state: &LocalState,
    env: &Environment,
) -> bool {
    state.is_written_lately(env) && before.is_some_and(|before| is_mere_work(before, after))
}

/// Returns whether two statuses differ in nothing but the texts of conditions.
fn is_same_but_for_texts(before: &AthenaSessionStatus, after: &AthenaSessionStatus) -> bool {
    let conditions = |status: &AthenaSessionStatus| -> Vec<(String, String, String)> {
        let conditions = status.conditions.iter().flatten();
        conditions
            .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
            .collect()
    };
    let rest = |status: &AthenaSessionStatus| AthenaSessionStatus { conditions: None, ..status.clone() };
    conditions(before) == conditions(after) && rest(before) == rest(after)
}

/// Returns the newest time at which the session of `object` is known to have been at work, from facts that its status does not contain.
fn work_time(object: &AthenaSession, state: &LocalState, step: &Step) -> Option<Timestamp> {
    // If it became idle again, it has been at work in between.
    let idle_again = |session: &Session| {
        let before = object.status.as_ref()?;
        let since = seconds(session.idle_since_time?).0;
        let is_new = before
            .idle_since_time
            .as_ref()
            .map_or(before.state == Some(SessionState::Busy), |before| before.0 < since);
        (before.session_id.as_ref() == Some(&session.id) && is_new).then_some(since)
    };
    let seen = match step {
        Step::Mirror(session) | Step::Stop(_, Some(session)) => idle_again(session),
        _ => None,
    };
    state.busy_time.max(seen)
}

/// Returns the status of a new attempt: without the fields of the last one, except those that count over all attempts.
fn status_of_new_attempt(
    before: &AthenaSessionStatus,
    number: i32,
    env: &Environment,
) -> AthenaSessionStatus {
    AthenaSessionStatus {
        conditions: before.conditions.clone(),
        attempt: Some(number),
        attempt_time: Some(seconds(env.now)),
        region: Some(env.identity.region.clone()),
        account_id: env.identity.account.clone(),
        first_start_time: first_start_time(before).cloned(),
        restarts: before.restarts,
        previous_attempts: before.previous_attempts.clone(),
        ..AthenaSessionStatus::default()
    }
}

/// Returns the status of attempt `number` without a session. If `before` records this attempt, its time, region and account stay.
fn status_of_adopted_attempt(
    before: &AthenaSessionStatus,
    number: i32,
    env: &Environment,
) -> AthenaSessionStatus {
    let next = status_of_new_attempt(before, number, env);
    if before.attempt != Some(number) {
        return next;
    }
    AthenaSessionStatus {
        attempt_time: before.attempt_time.clone(),
        first_start_time: before.first_start_time.clone(),
        region: before.region.clone(),
        account_id: before.account_id.clone().or(next.account_id.clone()),
        ..next
    }
}

/// Returns the status with attempt `number` recorded after the one in it, if any.
fn next_attempt(
    object: &AthenaSession,
    before: &AthenaSessionStatus,
    number: i32,
    env: &Environment,
) -> AthenaSessionStatus {
    /// Maximum number of previous attempts.
    const MAX_PREVIOUS_ATTEMPTS: usize = 5;
    let mut next = status_of_new_attempt(before, number, env);
    if before.end_reason.is_none() {
        return next;
    }
    if let AfterEnd::Attempt { restarts, resumed, .. } = after_end(object, env) {
        next.restarts = (restarts > 0).then_some(restarts);
        if resumed {
            next.first_start_time = None;
        }
    }
    if before.attempt != Some(number) {
        let mut previous = next.previous_attempts.take().unwrap_or_default();
        previous.push(PreviousAttempt {
            attempt: before.attempt.unwrap_or_default(),
            session_id: before.session_id.clone(),
            start_time: before.start_time.clone(),
            end_time: before.end_time.clone(),
            end_reason: before.end_reason.clone(),
            state_change_reason: before.state_change_reason.clone(),
            dpu_execution_in_millis: before.dpu_execution_in_millis,
        });
        let surplus = previous.len().saturating_sub(MAX_PREVIOUS_ATTEMPTS);
        let kept = previous.drain(surplus..).map(storable::attempt).collect();
        next.previous_attempts = Some(kept);
    }
    next
}

/// Returns whether a refusal of this class, if all calls of the attempt were answered, withdraws the attempt: somebody has to fix something, and may
/// then have the attempt made in another region or account. A quota and a rate pass by themselves.
fn withdraws(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::MayHeal | ErrorClass::NotFound)
}

fn is_proved_unstarted(object: &AthenaSession, state: &LocalState) -> bool {
    matches!(attempt(object, state), Attempt::Unknown(recorded) if state.nothing_started(&recorded))
}

fn conclude(status: &mut AthenaSessionStatus, reason: EndReason, state: &LocalState, now: Timestamp) {
    let refusal =
        state.refused.as_ref().filter(|refused| matches!(refused.call, Call::WorkGroup | Call::Start));
    status.state = None;
    status.state_change_reason = refusal.map(|refused| bounded(&refused.refusal.message, 1024));
    status.end_time = Some(seconds(now));
    status.end_reason = Some(storable::reason(reason));
}

fn mirror(
    status: &mut AthenaSessionStatus,
    session: &Session,
    asked: Option<SignedDuration>,
    state: &LocalState,
    now: Timestamp,
) {
    // TERMINATING leads only to an end: a reply with another state after it is a late one.
    if status.state == Some(SessionState::Terminating)
        && session.state != SessionState::Terminating
        && !session.ended()
    {
        return;
    }
    // A reply is late too if it shows a session starting that was ready before.
    if status.ready_time.is_some()
        && matches!(session.state, SessionState::Creating | SessionState::Created)
        && !session.ended()
    {
        return;
    }
    if session.ended() {
        status.end_reason = Some(storable::reason(end_reason(status, asked, session, state, now)));
        status.end_time = Some(seconds(session.end_time.unwrap_or(now)));
    }
    status.state = Some(storable::state(&session.state));
    status.state_change_reason = session.state_change_reason.as_deref().map(|text| bounded(text, 1024));
    status.start_time = session.start_time.map(seconds).or(status.start_time.take());
    // The start time in a later reply of the same attempt replaces the attempt's time.
    let first = status.first_start_time.take().filter(|first| Some(first) != status.attempt_time.as_ref());
    status.first_start_time =
        first.or(storable::time(status.start_time.clone())).or(storable::time(status.attempt_time.clone()));
    // A session that ends no longer reports since when it was idle, which distinguishes an idle timeout from a stop.
    let ending = session.ended() || session.state == SessionState::Terminating;
    status.idle_since_time =
        session.idle_since_time.map(seconds).or(status.idle_since_time.take().filter(|_| ending));
    if session.state.takes_work() && status.ready_time.is_none() {
        status.ready_time = Some(seconds(session.last_modified_time.unwrap_or(now)));
    }
    if let Some(details) = &session.details {
        status.engine_version =
            details.engine_version.as_deref().map(|text| bounded(text, 128)).or(status.engine_version.take());
        if session.ended() {
            status.dpu_execution_in_millis = storable::millis(details.dpu_execution_in_millis);
        }
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "status_after_tests.rs"]
mod after_tests;
