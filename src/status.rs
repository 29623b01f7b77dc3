//! What to report: the status that a step leads to, and the conditions that say what it means to people and to GitOps tools.
//!
//! The conditions come from one table, `Situation::row`. While `observedGeneration` equals the generation, Ready is True exactly where kstatus says
//! Current, Unknown where it says InProgress, and False where it says Failed or the object is being deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSession, AthenaSessionStatus, EndReason, StopCause};
use crate::known::{Call, Known};
use crate::lifecycle::{Attempt, Circumstances, Step, attempt, elsewhere};
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
        (Step::Record(number), _) => *status = recorded(status, *number, at),
        (Step::Start(number), Outcome::Started { id, state }) => {
            *status = AthenaSessionStatus { attempt_time: status.attempt_time.clone(), ..recorded(status, *number, at) };
            status.session_id = Some(id.clone());
            status.state = Some(state.clone());
        }
        (Step::Start(_), Outcome::Refused(refusal)) if refusal.class == Class::Rejected && rejected_for_good(object, known) => {
            conclude(status, EndReason::InvalidRequest, at.now);
        }
        (Step::Adopt(number, session), _) => {
            let known_time = status.attempt_time.clone().filter(|_| status.attempt == Some(*number));
            *status = recorded(status, *number, at);
            status.attempt_time = known_time.or(status.attempt_time.take());
            status.session_id = Some(session.id.clone());
            mirror(status, session, at.now);
        }
        (Step::Mirror(session), _) => mirror(status, session, at.now),
        (Step::Stop(cause, session), _) => {
            mirror(status, session, at.now);
            status.stop_cause = Some(cause.clone());
        }
        (Step::Conclude(reason), _) => conclude(status, reason.clone(), at.now),
        _ => {}
    }
    let generation = object.metadata.generation;
    let situation = situation(&next, known, at);
    let status = next.status.get_or_insert_default();
    status.observed_generation = generation;
    status.conditions = Some(conditions(status.conditions.as_deref().unwrap_or_default(), &situation, generation, at.now));
    next.status.unwrap_or_default()
}

/// A status without a trace of earlier attempts, but for the conditions.
fn recorded(before: &AthenaSessionStatus, number: i32, at: &Circumstances) -> AthenaSessionStatus {
    AthenaSessionStatus {
        conditions: before.conditions.clone(),
        attempt: Some(number),
        attempt_time: Some(seconds(at.now)),
        region: Some(at.identity.region.clone()),
        account_id: at.identity.account.clone(),
        ..AthenaSessionStatus::default()
    }
}

fn rejected_for_good(object: &AthenaSession, known: &Known) -> bool {
    matches!(attempt(object, known), Attempt::Unknown(made) if known.nothing_started(&made))
}

fn conclude(status: &mut AthenaSessionStatus, reason: EndReason, now: Timestamp) {
    status.state = None;
    status.state_change_reason = None;
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
    status.idle_since_time = session.idle_since_time.map(seconds);
    if let Some(details) = &session.details {
        status.engine_version = details.engine_version.as_deref().map(|text| bounded(text, 128)).or(status.engine_version.take());
        if session.ended() {
            status.dpu_execution_in_millis = details.dpu_execution_in_millis;
        }
    }
}

/// Why a session ended. Athena gives the same text for an idle timeout and for a stop by hand: only its times tell them apart.
pub fn end_reason(before: &AthenaSessionStatus, session: &Session, now: Timestamp) -> EndReason {
    /// How much sooner than its timeout a session may be ended by it: Athena's clock for idleness is not the one it reports.
    const SLACK: SignedDuration = SignedDuration::from_secs(5);
    if before.stop_cause == Some(StopCause::Degraded) {
        return EndReason::SessionDegraded;
    }
    if session.state == "FAILED" {
        return EndReason::SessionFailed;
    }
    let idle_since = session.idle_since_time.or(before.idle_since_time.as_ref().map(|time| time.0));
    let was_busy = before.state.as_deref() == Some("BUSY");
    let quiet_since = idle_since.or(session.start_time.filter(|_| !was_busy));
    let timeout = session.details.as_ref().and_then(|details| details.idle_timeout);
    let end = session.end_time.unwrap_or(now);
    match (quiet_since, timeout) {
        (Some(since), Some(timeout)) if end >= since + timeout - SLACK => EndReason::IdleTimeout,
        _ if idle_since.is_some() || was_busy => EndReason::StoppedOutside,
        _ => EndReason::SessionFailed,
    }
}

/// The situation of an object, as the condition matrix has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Situation {
    /// An attempt is recorded, or about to be, and the outcome of StartSession is not known.
    Starting { message: String },
    /// Athena's state of a session that nobody asked to stop.
    Session { state: String },
    /// The operator ends a session to replace it.
    Replacing,
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
            Self::Replacing => ("Unknown", "ReplacingSession", Some(Reconciling), "False", "the session is degraded and is being ended".into()),
            Self::TerminateRefused { available, message } => {
                ("False", "TerminateRefused", Some(Stalled), if *available { "True" } else { "False" }, message.clone())
            }
            Self::Deleting { message } => ("False", "Deleting", None, "False", message.clone()),
            Self::Over { reason: EndReason::IdleTimeout, message } => ("True", "IdleTimeout", None, "False", message.clone()),
            Self::Over { reason: EndReason::SessionLost, message } => ("Unknown", "Starting", Some(Reconciling), "False", message.clone()),
            Self::Over { reason, message } => ("False", reason.as_str(), Some(Stalled), "False", message.clone()),
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
        Attempt::None | Attempt::Unknown(_) => waiting_for_start(&status, known, at),
        Attempt::Live(_, id) => live(&status, id, known, at),
        Attempt::Over(_, reason) => Situation::Over { reason: (*reason).clone(), message: over(&status, reason, known) },
    }
}

fn live(status: &AthenaSessionStatus, id: &str, known: &Known, at: &Circumstances) -> Situation {
    let state = status.state.clone().unwrap_or_default();
    let available = matches!(state.as_str(), "IDLE" | "BUSY");
    // A new process has no memory of when looks began to fail.
    let was_stale = condition(status, "Ready").is_some_and(|ready| ready.reason == "ObservationStale");
    match &known.refused {
        Some(refused) if refused.call == Call::Terminate && at.now >= refused.since + at.limits.healing => {
            Situation::TerminateRefused { available, message: format!("TerminateSession is refused for session {id}: {}", refused.refusal.message) }
        }
        Some(refused) if known.is_stale(at.now, &at.limits) || (refused.call == Call::Look && was_stale) => {
            Situation::Stale { message: format!("the session was last seen at {}, as {state}: {}", seen(known), refused.refusal.message) }
        }
        _ if status.stop_cause.is_some() => Situation::Replacing,
        _ => Situation::Session { state },
    }
}

fn waiting_for_start(status: &AthenaSessionStatus, known: &Known, at: &Circumstances) -> Situation {
    let Some(refused) = &known.refused else {
        return Situation::Starting { message: "StartSession is being called".into() };
    };
    let Refusal { class, reason, message, .. } = &refused.refusal;
    let message = message.clone();
    // After a restart of the operator the row goes on where it stood.
    let was_stalled = condition(status, "Stalled").is_some();
    match class {
        Class::Unanswered => Situation::Starting { message: format!("no answer from Athena, asking again: {message}") },
        Class::Throttled | Class::Capacity => Situation::Queued { reason, message },
        Class::MayHeal | Class::NotFound => {
            Situation::Refused { reason, message, stalled: was_stalled || at.now >= refused.since + at.limits.healing }
        }
        Class::Rejected | Class::TokenConflict => Situation::Refused { reason, message, stalled: true },
    }
}

fn over(status: &AthenaSessionStatus, reason: &EndReason, known: &Known) -> String {
    let athena = status.state_change_reason.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let id = status.session_id.as_deref().unwrap_or("of this attempt");
    let another = "to run it again, create another AthenaSession";
    match reason {
        EndReason::IdleTimeout => format!("session {id} ended when it had been idle for its timeout"),
        EndReason::StoppedOutside => format!("session {id} was ended from outside{athena}; {another}"),
        EndReason::SessionFailed => format!("session {id} failed{athena}; {another}"),
        EndReason::SessionDegraded => format!("session {id} was degraded and was ended; {another}"),
        EndReason::SessionVanished => format!("Athena does not know session {id} any more; {another}"),
        EndReason::SessionLost => "what became of StartSession is not known and nothing of it lives: starting again".into(),
        EndReason::InvalidRequest | EndReason::TokenMismatch | EndReason::SessionAlreadyExists => match &known.refused {
            Some(refused) => format!("StartSession refuses the request: {}; create another AthenaSession", refused.refusal.message),
            None => message_of(status).unwrap_or_else(|| "StartSession refuses the request; create another AthenaSession".into()),
        },
        EndReason::Other(word) => format!("session {id} ended: {word}{athena}"),
    }
}

/// What a deletion waits for, and the way out.
fn awaited(object: &AthenaSession, attempt: &Attempt<'_>, known: &Known, at: &Circumstances) -> String {
    let awaited = match (attempt, &known.refused) {
        (Attempt::Unknown(made) | Attempt::Live(made, _), _) if elsewhere(made, &at.identity) => {
            format!("an operator that works in region {}{}", made.region, account(made.account))
        }
        (Attempt::Live(_, id), Some(refused)) => format!("session {id} to end; the last call was refused: {}", refused.refusal.message),
        (Attempt::Live(_, id), None) => format!("session {id} to end"),
        (Attempt::Unknown(_), Some(refused)) => {
            format!("proof that StartSession started nothing; the last call was refused: {}", refused.refusal.message)
        }
        (Attempt::Unknown(_), None) => "the outcome of StartSession".into(),
        (Attempt::None, _) => "proof that nothing was started before the status was lost".into(),
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

fn seen(known: &Known) -> String {
    known.seen_time.map(|time| seconds(time).0.to_string()).unwrap_or_default()
}

fn message_of(status: &AthenaSessionStatus) -> Option<String> {
    condition(status, "Ready").map(|ready| ready.message.clone())
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
