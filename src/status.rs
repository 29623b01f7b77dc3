//! What to report: the status that a step leads to, and the conditions that say what it means to people and to GitOps tools.
//!
//! The conditions come from one table, `Situation::row`. While `observedGeneration` equals the generation, Ready is True exactly where kstatus says
//! Current, Unknown where it says InProgress, and False where it says Failed or the object is being deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSession, AthenaSessionStatus, EndReason, PreviousAttempt, StopCause};
use crate::known::{Call, Known, Refused};
use crate::lifecycle::{Attempt, Circumstances, Sequel, Step, attempt, elsewhere, end_of, sequel};
use crate::session::{Class, Refusal, Session};

/// What became of the call that a step asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The step asked for none, or it says nothing new.
    Nothing,
    /// StartSession returned this session.
    Started {
        /// Athena's id.
        id: String,
        /// The state that Athena gave it.
        state: String,
    },
    /// The call was refused.
    Refused(Refusal),
}

/// The status of `object` after `step` had `outcome`. `known` holds what was learnt from it.
pub fn status_after(object: &AthenaSession, known: &Known, step: &Step, outcome: &Outcome, at: &Circumstances) -> AthenaSessionStatus {
    let mut next = object.clone();
    let status = next.status.get_or_insert_default();
    match (step, outcome) {
        (Step::Record(number), _) => *status = next_attempt(object, status, *number, at),
        (Step::Start(number), Outcome::Started { id, state }) => {
            *status = known_attempt(status, *number, at);
            status.session_id = Some(bounded(id, 256));
            status.state = Some(bounded(state, 64)).filter(|state| !state.is_empty());
        }
        (Step::Start(_), Outcome::Refused(refusal)) if refusal.class == Class::Rejected && rejected_for_good(object, known) => {
            conclude(status, EndReason::InvalidRequest, known, at.now);
        }
        (Step::Adopt(number, session), _) => {
            *status = known_attempt(status, *number, at);
            status.session_id = Some(bounded(&session.id, 256));
            mirror(status, session, at.now);
        }
        (Step::Mirror(session), _) => {
            mirror(status, session, at.now);
            // Athena has just answered for it from this account.
            status.account_id = status.account_id.take().or(at.identity.account.clone());
        }
        (Step::Stop(cause, session), _) => {
            if let Some(session) = session {
                mirror(status, session, at.now);
            }
            status.stop_cause = Some(cause.clone());
        }
        (Step::Suspend, _) => status.stop_cause = Some(StopCause::Suspended),
        (Step::Conclude(EndReason::SessionVanished), _) => {
            // Why it was being ended explains the end, however it came to be known.
            let reason = status.stop_cause.as_ref().map_or(EndReason::SessionVanished, end_of);
            conclude(status, reason, known, at.now);
        }
        (Step::Conclude(reason), _) => conclude(status, reason.clone(), known, at.now),
        _ => {}
    }
    let generation = object.metadata.generation;
    let situation = situation(&next, known, at);
    let status = next.status.get_or_insert_default();
    status.observed_generation = generation;
    status.conditions = Some(conditions(status.conditions.as_deref().unwrap_or_default(), &situation, generation, at.now));
    next.status.unwrap_or_default()
}

/// A status of a new attempt: without a trace of the last one, but for what counts over all of them.
fn recorded(before: &AthenaSessionStatus, number: i32, at: &Circumstances) -> AthenaSessionStatus {
    AthenaSessionStatus {
        conditions: before.conditions.clone(),
        attempt: Some(number),
        attempt_time: Some(seconds(at.now)),
        region: Some(at.identity.region.clone()),
        account_id: at.identity.account.clone(),
        first_start_time: before.first_start_time.clone(),
        restarts: before.restarts,
        previous_attempts: before.previous_attempts.clone(),
        ..AthenaSessionStatus::default()
    }
}

/// The status of attempt `number` with its session yet to be filled in: where and when it was recorded stays, if it was.
fn known_attempt(before: &AthenaSessionStatus, number: i32, at: &Circumstances) -> AthenaSessionStatus {
    let next = recorded(before, number, at);
    if before.attempt != Some(number) {
        return next;
    }
    AthenaSessionStatus {
        attempt_time: before.attempt_time.clone(),
        region: before.region.clone(),
        account_id: before.account_id.clone().or(next.account_id.clone()),
        ..next
    }
}

/// The status with attempt `number` recorded after the one that is in it, if any.
fn next_attempt(object: &AthenaSession, before: &AthenaSessionStatus, number: i32, at: &Circumstances) -> AthenaSessionStatus {
    /// How many attempts are kept.
    const KEPT: usize = 5;
    let mut next = recorded(before, number, at);
    if before.end_reason.is_none() {
        return next;
    }
    if let Sequel::Attempt { restarts, resumed, .. } = sequel(object, at) {
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
        let surplus = previous.len().saturating_sub(KEPT);
        previous.drain(..surplus);
        next.previous_attempts = Some(previous);
    }
    next
}

fn rejected_for_good(object: &AthenaSession, known: &Known) -> bool {
    matches!(attempt(object, known), Attempt::Unknown(made) if known.nothing_started(&made))
}

fn conclude(status: &mut AthenaSessionStatus, reason: EndReason, known: &Known, now: Timestamp) {
    let refusal = known.refused.as_ref().filter(|refused| refused.call == Call::Start);
    status.state = None;
    status.state_change_reason = refusal.map(|refused| bounded(&refused.refusal.message, 1024));
    status.idle_since_time = None;
    status.end_time = Some(seconds(now));
    status.end_reason = Some(reason);
}

fn mirror(status: &mut AthenaSessionStatus, session: &Session, now: Timestamp) {
    // TERMINATING leads only to an end: whatever else a reply shows after it is a late one.
    if status.state.as_deref() == Some("TERMINATING") && session.state != "TERMINATING" && !session.ended() {
        return;
    }
    if session.ended() {
        status.end_reason = Some(end_reason(status, session, now));
        status.end_time = Some(seconds(session.end_time.unwrap_or(now)));
    }
    status.state = Some(bounded(&session.state, 64));
    status.state_change_reason = session.state_change_reason.as_deref().map(|text| bounded(text, 1024));
    status.start_time = session.start_time.map(seconds).or(status.start_time.take());
    status.first_start_time = status.first_start_time.take().or(status.start_time.clone());
    // On its way out a session says no more since when it was idle, which tells an idle timeout from a stop.
    let ending = session.ended() || session.state == "TERMINATING";
    status.idle_since_time = session.idle_since_time.map(seconds).or(status.idle_since_time.take().filter(|_| ending));
    if matches!(session.state.as_str(), "IDLE" | "BUSY") && status.ready_time.is_none() {
        status.ready_time = Some(seconds(session.last_modified_time.unwrap_or(now)));
    }
    if let Some(details) = &session.details {
        status.engine_version = details.engine_version.as_deref().map(|text| bounded(text, 128)).or(status.engine_version.take());
        if session.ended() {
            status.dpu_execution_in_millis = details.dpu_execution_in_millis.filter(|millis| *millis >= 0);
        }
    }
}

/// Why a session ended. Athena gives the same text for an idle timeout and for a stop by hand: only its times tell them apart.
pub fn end_reason(before: &AthenaSessionStatus, session: &Session, now: Timestamp) -> EndReason {
    /// How much sooner than its timeout a session may be ended by it: Athena's clock for idleness is not the one it reports.
    const EARLY: SignedDuration = SignedDuration::from_secs(5);
    /// How long it may take to end. A session that ends later has worked since, unseen.
    const LATE: SignedDuration = SignedDuration::from_mins(2);
    if let Some(cause) = &before.stop_cause {
        return end_of(cause);
    }
    if session.state == "FAILED" {
        return EndReason::SessionFailed;
    }
    let idle_since = session.idle_since_time.or(before.idle_since_time.as_ref().map(|time| time.0));
    let timeout = session.details.as_ref().and_then(|details| details.idle_timeout);
    let end = session.end_time.unwrap_or(now);
    match (idle_since, timeout) {
        (Some(since), Some(timeout)) if (timeout - EARLY..=timeout + LATE).contains(&end.duration_since(since)) => EndReason::IdleTimeout,
        (None, _) if before.ready_time.is_none() => EndReason::SessionFailed,
        _ => EndReason::StoppedOutside,
    }
}

/// The situation of an object, as the condition matrix has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Situation {
    /// An attempt is recorded, or about to be, and the outcome of StartSession is not known.
    Starting { message: String },
    /// Athena's state of a session that nobody asked to stop.
    Session { state: String },
    /// The operator ends a session, or waits to learn which one to end.
    Stopping { cause: StopCause },
    /// The object is suspended and nothing lives.
    Suspended,
    /// A failure is followed by another attempt.
    Restarting { message: String },
    /// The operator ends a session and TerminateSession is refused for too long.
    TerminateRefused { available: bool, message: String },
    /// The object is being deleted.
    Deleting { message: String },
    /// Nothing of the attempt lives.
    Over { reason: EndReason, message: String },
    /// A call is refused; the start waits for as long as it takes.
    Queued { reason: &'static str, message: String },
    /// A call is refused for what people can mend; `stalled` once it has lasted.
    Refused { reason: &'static str, message: String, stalled: bool },
    /// Looks have failed for too long.
    Stale { message: String },
    /// The operator works in another region or account than the attempt.
    IdentityChanged { message: String },
}

/// Which of kstatus' own conditions is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Reconciling.
    Reconciling,
    /// Stalled.
    Stalled,
}

/// One row of the condition matrix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Status of Ready.
    pub ready: &'static str,
    /// Reason of all conditions.
    pub reason: String,
    /// The flag that is present, if any.
    pub flag: Option<Flag>,
    /// Status of Available.
    pub available: &'static str,
    /// Message of all conditions.
    pub message: String,
}

impl Situation {
    /// The row of the condition matrix.
    pub(crate) fn row(&self) -> Row {
        use Flag::{Reconciling, Stalled};
        let (ready, reason, flag, available, message): (_, &str, _, _, String) = match self {
            Self::Starting { message } => ("Unknown", "Starting", Some(Reconciling), "False", message.clone()),
            Self::Session { state } => match state.as_str() {
                // What StartSession says of a session that it started long ago; a look tells the rest.
                "" | "TERMINATED" | "FAILED" => ("Unknown", "Starting", Some(Reconciling), "False", "the session is being looked at".into()),
                "DEGRADED" => ("Unknown", "ReplacingSession", Some(Reconciling), "False", "the session is degraded".into()),
                "CREATING" => ("Unknown", "SessionCreating", Some(Reconciling), "False", "Athena is creating the session".into()),
                "CREATED" => ("Unknown", "SessionCreated", Some(Reconciling), "False", "the session is created and not idle yet".into()),
                "IDLE" => ("True", "SessionIdle", None, "True", "the session waits for work".into()),
                "BUSY" => ("True", "SessionBusy", None, "True", "the session is at work".into()),
                "TERMINATING" => ("Unknown", "SessionTerminating", Some(Reconciling), "False", "the session is being ended from outside".into()),
                _ => (
                    "Unknown",
                    "UnknownState",
                    Some(Reconciling),
                    "Unknown",
                    format!("the session is in a state that this operator does not know: {state}"),
                ),
            },
            Self::Stopping { cause } => match cause {
                StopCause::Suspended => {
                    ("Unknown", "Suspending", Some(Reconciling), "False", "the session is being ended: the object is suspended".into())
                }
                StopCause::ActiveDeadline => {
                    ("Unknown", "DeadlineExceeded", Some(Reconciling), "False", "the session is being ended: its active deadline is over".into())
                }
                StopCause::StartupDeadline => {
                    ("Unknown", "ReplacingSession", Some(Reconciling), "False", "the session is being ended: it was not ready in time".into())
                }
                StopCause::Degraded | StopCause::Other(_) => {
                    ("Unknown", "ReplacingSession", Some(Reconciling), "False", "the session is being ended: it is degraded".into())
                }
            },
            Self::Suspended => ("True", "Suspended", None, "False", "suspended: nothing lives; set suspend to false to start a session".into()),
            Self::Restarting { message } => ("Unknown", "RestartingAfterFailure", Some(Reconciling), "False", message.clone()),
            Self::TerminateRefused { available, message } => {
                ("False", "TerminateRefused", Some(Stalled), if *available { "True" } else { "False" }, message.clone())
            }
            Self::Deleting { message } => ("False", "Deleting", None, "False", message.clone()),
            Self::Over { reason: EndReason::IdleTimeout, message } => ("True", "IdleTimeout", None, "False", message.clone()),
            Self::Over { reason: EndReason::DeadlineExceeded, message } => ("True", "DeadlineExceeded", None, "False", message.clone()),
            Self::Over { reason, message } => ("False", reason_word(reason), Some(Stalled), "False", message.clone()),
            Self::Queued { reason, message } => ("Unknown", reason, Some(Reconciling), "False", message.clone()),
            Self::Refused { reason, message, stalled: false } => ("Unknown", reason, Some(Reconciling), "False", message.clone()),
            Self::Refused { reason, message, stalled: true } => ("False", reason, Some(Stalled), "False", message.clone()),
            Self::Stale { message } => ("Unknown", "ObservationStale", Some(Reconciling), "Unknown", message.clone()),
            Self::IdentityChanged { message } => ("False", "IdentityChanged", Some(Stalled), "Unknown", message.clone()),
        };
        Row { ready, reason: reason.to_owned(), flag, available, message: bounded(&message, 4096) }
    }
}

/// The situation of an object with its newest status.
pub(crate) fn situation(object: &AthenaSession, known: &Known, at: &Circumstances) -> Situation {
    let status = object.status.clone().unwrap_or_default();
    let attempt = attempt(object, known);
    if object.metadata.deletion_timestamp.is_some() {
        return Situation::Deleting { message: awaited(object, &attempt, known, at) };
    }
    match &attempt {
        Attempt::Unknown(made) | Attempt::Live(made, _) if elsewhere(made, &at.identity) => Situation::IdentityChanged {
            message: format!(
                "the attempt was made in region {}{}, and the operator now works in {}{}: run it there again, or delete this object with deletionPolicy Retain",
                made.region,
                account(made.account),
                at.identity.region,
                account(at.identity.account.as_deref()),
            ),
        },
        Attempt::None | Attempt::Over(..) if object.spec.suspend => Situation::Suspended,
        Attempt::Unknown(_) if object.spec.suspend => Situation::Stopping { cause: StopCause::Suspended },
        Attempt::None | Attempt::Unknown(_) => waiting_for_start(&status, known, at),
        Attempt::Live(_, id) => live(&status, id, known, at),
        Attempt::Over(_, reason) => match sequel(object, at) {
            Sequel::Attempt { restarts, time, resumed: false, .. } if reason.is_failure() => Situation::Restarting {
                // The reason of the row says what follows; this is where a person reads how it ended.
                message: format!(
                    "{}: {}; restart {restarts} of {} follows at {}",
                    reason.as_str(),
                    over(&status, reason),
                    object.spec.max_restarts(),
                    seconds(time).0
                ),
            },
            Sequel::Attempt { .. } => Situation::Starting { message: over(&status, reason) },
            Sequel::Deletion { .. } | Sequel::None => {
                Situation::Over { reason: (*reason).clone(), message: format!("{}{}", over(&status, reason), cure(reason)) }
            }
        },
    }
}

fn live(status: &AthenaSessionStatus, id: &str, known: &Known, at: &Circumstances) -> Situation {
    let state = status.state.clone().unwrap_or_default();
    let available = matches!(state.as_str(), "IDLE" | "BUSY");
    // A new process has no memory of when looks began to fail.
    let was_stale = condition(status, "Ready").is_some_and(|ready| ready.reason == "ObservationStale");
    match (&known.refused, &known.look_refused) {
        (Some(refused), _) if refused.call == Call::Terminate && at.now >= refused.since + at.limits.healing => {
            Situation::TerminateRefused { available, message: format!("session {id} lives on: {}", refused.message()) }
        }
        (_, refused) if known.is_stale(at) || (refused.is_some() && was_stale) => {
            let why = refused.as_ref().map_or_else(|| "Athena does not find it".to_owned(), Refused::message);
            let seen = known.seen_time.map(|time| format!(" since {}", seconds(time).0)).unwrap_or_default();
            Situation::Stale { message: format!("session {id} has not been seen{seen}: {why}") }
        }
        _ if let Some(cause) = &status.stop_cause => Situation::Stopping { cause: cause.clone() },
        _ => Situation::Session { state },
    }
}

fn waiting_for_start(status: &AthenaSessionStatus, known: &Known, at: &Circumstances) -> Situation {
    let Some(refused) = &known.refused else {
        return Situation::Starting { message: "StartSession is being called".into() };
    };
    let Refusal { class, reason, .. } = &refused.refusal;
    let message = refused.message();
    // After a restart of the operator the row goes on where it stood.
    let was_stalled = condition(status, "Stalled").is_some_and(|stalled| stalled.reason == *reason);
    match class {
        Class::Unanswered => Situation::Starting { message },
        Class::Throttled | Class::Capacity => Situation::Queued { reason, message },
        Class::MayHeal | Class::NotFound => {
            Situation::Refused { reason, message, stalled: was_stalled || at.now >= refused.since + at.limits.healing }
        }
        // Its session may be found yet.
        Class::TokenConflict => Situation::Refused { reason, message, stalled: known.absent || was_stalled },
        Class::Rejected => Situation::Refused { reason, message, stalled: true },
    }
}

fn over(status: &AthenaSessionStatus, reason: &EndReason) -> String {
    let athena = status.state_change_reason.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let id = status.session_id.as_deref().unwrap_or("of this attempt");
    match reason {
        EndReason::Suspended => "suspended before; starting again".into(),
        EndReason::DeadlineExceeded => format!("session {id} was ended when the active deadline was over"),
        EndReason::IdleTimeout => format!("session {id} ended when it had been idle for its timeout"),
        EndReason::StoppedOutside => format!("session {id} was ended from outside{athena}"),
        EndReason::SessionFailed => format!("session {id} failed{athena}"),
        EndReason::SessionDegraded => format!("session {id} was degraded and was ended"),
        EndReason::StartupDeadlineExceeded => format!("session {id} was not ready within its startup deadline and was ended"),
        EndReason::SessionVanished => format!("Athena does not know session {id} any more"),
        EndReason::SessionLost => "what became of StartSession is not known and nothing of it lives: starting again".into(),
        EndReason::InvalidRequest | EndReason::TokenMismatch | EndReason::SessionAlreadyExists => format!("StartSession refuses the request{athena}"),
        EndReason::Other(word) => format!("session {id} ended: {word}{athena}"),
    }
}

/// A reason that conditions take; a status written by hand may hold any text.
fn reason_word(reason: &EndReason) -> &str {
    let word = reason.as_str();
    let fits = word.starts_with(|letter: char| letter.is_ascii_alphabetic()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { word } else { "SessionEnded" }
}

/// What a person can do about an attempt that nothing follows.
fn cure(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::IdleTimeout | EndReason::DeadlineExceeded | EndReason::Suspended => "",
        EndReason::InvalidRequest => "; create another AthenaSession",
        _ => "; to run it again, suspend and resume the object, or create another AthenaSession",
    }
}

/// What a deletion waits for, and the way out.
fn awaited(object: &AthenaSession, attempt: &Attempt<'_>, known: &Known, at: &Circumstances) -> String {
    let awaited = match (attempt, &known.refused) {
        (Attempt::Unknown(made) | Attempt::Live(made, _), _) if elsewhere(made, &at.identity) => {
            format!("an operator that works in region {}{}", made.region, account(made.account))
        }
        (Attempt::Live(_, id), Some(refused)) => format!("session {id} to end; {}", refused.message()),
        (Attempt::Live(_, id), None) if let Some(refused) = &known.look_refused => format!("session {id} to end; {}", refused.message()),
        (Attempt::Live(_, id), None) if known.terminated_without_effect() => {
            format!("session {id} to end; TerminateSession has had no effect so far")
        }
        (Attempt::Live(_, id), None) => format!("session {id} to end"),
        (Attempt::Unknown(_), Some(refused)) => {
            format!("proof that StartSession started nothing; {}", refused.message())
        }
        (Attempt::Unknown(_), None) => "the outcome of StartSession".into(),
        (Attempt::None, Some(refused)) => format!("proof that nothing was started before the status was lost; {}", refused.message()),
        (Attempt::None, None) => "proof that nothing was started before the status was lost".into(),
        (Attempt::Over(..), _) => return "nothing of the session lives".into(),
    };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    format!(
        "waiting for {awaited}; to let the object go though its session may run on: \
         kubectl patch athenasession {name} -n {namespace} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'"
    )
}

fn account(id: Option<&str>) -> String {
    id.map(|id| format!(", account {id}")).unwrap_or_default()
}

/// The condition of `type_`, if it is present.
pub fn condition<'a>(status: &'a AthenaSessionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == type_)
}

fn conditions(before: &[Condition], situation: &Situation, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let row = situation.row();
    let flag = |flag, type_| (row.flag == Some(flag)).then_some((type_, "True"));
    [Some(("Ready", row.ready)), Some(("Available", row.available)), flag(Flag::Reconciling, "Reconciling"), flag(Flag::Stalled, "Stalled")]
        .into_iter()
        .flatten()
        .map(|(type_, status)| {
            let unchanged = before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: row.reason.clone(),
                message: row.message.clone(),
                last_transition_time: unchanged.map_or_else(|| seconds(now), |condition| condition.last_transition_time.clone()),
                observed_generation: generation,
            }
        })
        .collect()
}

/// A time as the API server stores it: in whole seconds.
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// `text`, cut to the characters that the schema allows.
fn bounded(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
