//! What has become of an object: the row of the condition matrix, its attempt, and the calls that Athena got for it.

use std::borrow::Cow;
use std::fmt;

use anyhow::ensure;
use athena_emulator::{Outcome as Answer, SessionRecord};
use athena_operator::api::{AthenaSession, EndReason};

use crate::harness::{World, look, status};

/// Rows in the columns of docs/lifecycle.md: reason, Ready, Available, and the condition that is also True.
pub mod row {
    macro_rules! rows {
        ($($name:ident = $row:literal),+ $(,)?) => { $(pub const $name: &str = $row;)+ };
    }
    rows! {
        CREATING = "SessionCreating | Unknown | False | Reconciling",
        CREATED = "SessionCreated | Unknown | False | Reconciling",
        IDLE = "SessionIdle | True | True | –",
        BUSY = "SessionBusy | True | True | –",
        TERMINATING = "SessionTerminating | Unknown | False | Reconciling",
        SUSPENDING = "Suspending | Unknown | False | Reconciling",
        SUSPENDED = "Suspended | True | False | –",
        IDLE_TIMEOUT = "IdleTimeout | True | False | –",
        EXCEEDING = "DeadlineExceeded | Unknown | False | Reconciling",
        EXCEEDED = "DeadlineExceeded | True | False | –",
        RESTARTING = "RestartingAfterFailure | Unknown | False | Reconciling",
        FAILED = "SessionFailed | False | False | Stalled",
        LATE = "StartupDeadlineExceeded | False | False | Stalled",
        QUOTA = "QuotaExceeded | Unknown | False | Reconciling",
        INVALID = "InvalidRequest | False | False | Stalled",
        DELETING = "Deleting | False | False | –",
    }
    /// The object does not exist any more.
    pub const GONE: &str = "gone";
}

/// What has become of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The row, of [`row`].
    pub row: Cow<'static, str>,
    /// The attempt: its number, Athena's state, `stopCause`, `endReason`, `restarts`, and how those before it ended. Members that are absent are left out.
    pub attempt: Cow<'static, str>,
    /// Every StartSession and TerminateSession for the object, each with the number of its attempt.
    pub calls: Cow<'static, str>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}] [{}] [{}]", self.row, self.attempt, self.calls)
    }
}

/// Makes an outcome of these parts.
pub const fn outcome(row: &'static str, attempt: &'static str, calls: &'static str) -> Outcome {
    Outcome { row: Cow::Borrowed(row), attempt: Cow::Borrowed(attempt), calls: Cow::Borrowed(calls) }
}

/// The calls for a session that was started and not ended.
pub const STARTED: &str = "start 0";
/// The calls for a session that was started and ended.
pub const ENDED: &str = "start 0, terminate 0";

pub const CREATING: Outcome = outcome(row::CREATING, "attempt 0, CREATING", STARTED);
pub const IDLE: Outcome = outcome(row::IDLE, "attempt 0, IDLE", STARTED);
pub const BUSY: Outcome = outcome(row::BUSY, "attempt 0, BUSY", STARTED);
pub const FAILED: Outcome = outcome(row::FAILED, "attempt 0, FAILED, endReason SessionFailed", STARTED);
pub const INVALID: Outcome = outcome(row::INVALID, "attempt 0, endReason InvalidRequest", "");
pub const LATE: Outcome = outcome(
    row::LATE,
    "attempt 0, TERMINATED, stopCause StartupDeadline, endReason StartupDeadlineExceeded",
    ENDED,
);
pub const EXCEEDED: Outcome = outcome(
    row::EXCEEDED,
    "attempt 0, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded",
    ENDED,
);
pub const SUSPENDED: Outcome =
    outcome(row::SUSPENDED, "attempt 0, TERMINATED, stopCause Suspended, endReason Suspended", ENDED);
/// Suspended before there was an attempt.
pub const NEVER_STARTED: Outcome = outcome(row::SUSPENDED, "none", "");
/// Suspended after its session has failed.
pub const FAILED_AND_SUSPENDED: Outcome =
    outcome(row::SUSPENDED, "attempt 0, FAILED, stopCause Suspended, endReason SessionFailed", STARTED);
/// Resumed after it was suspended.
pub const RESUMED: Outcome =
    outcome(row::IDLE, "attempt 1, IDLE, after Suspended", "start 0, terminate 0, start 1");
/// Resumed after its session has failed.
pub const RESUMED_AFTER_FAILURE: Outcome =
    outcome(row::IDLE, "attempt 1, IDLE, after SessionFailed", "start 0, start 1");
/// Restarted after its session has failed.
pub const RESTARTED: Outcome =
    outcome(row::IDLE, "attempt 1, IDLE, restarts 1, after SessionFailed", "start 0, start 1");
/// Gone, and its session ended.
pub const GONE: Outcome = outcome(row::GONE, "", ENDED);
/// Gone, and its session left as it was.
pub const GONE_ALONE: Outcome = outcome(row::GONE, "", STARTED);
/// Gone without having called anything.
pub const GONE_UNSTARTED: Outcome = outcome(row::GONE, "", "");

impl World {
    /// What has become of the object `name` that was created with `uid`.
    pub async fn outcome(&self, name: &str, uid: &str) -> anyhow::Result<Outcome> {
        let object = self.sessions.get_opt(name).await?;
        let Some(object) = object.filter(|object| object.metadata.uid.as_deref() == Some(uid)) else {
            return Ok(Outcome { calls: self.calls_of(uid).into(), ..GONE });
        };
        self.check_end_time(&object)?;
        self.check_attempt(&object, uid)?;
        let (row, attempt) = (row_of(&object)?.into(), attempt_of(&object).into());
        Ok(Outcome { row, attempt, calls: self.calls_of(uid).into() })
    }

    /// Waits until the outcome is as wanted.
    pub async fn until_outcome(&self, name: &str, uid: &str, wanted: &Outcome) -> anyhow::Result<()> {
        self.until_found(name, uid, &wanted.to_string(), |found| found == wanted).await
    }

    /// Waits until the outcome is as `wanted` says.
    pub async fn until_found(
        &self,
        name: &str,
        uid: &str,
        what: &str,
        wanted: impl Fn(&Outcome) -> bool,
    ) -> anyhow::Result<()> {
        let seen = async || {
            let found = self.outcome(name, uid).await?;
            anyhow::Ok(if wanted(&found) { Ok(()) } else { Err(found) })
        };
        look(&format!("{name} is {what}"), seen).await
    }

    /// The sessions that were started for an object, oldest first.
    pub fn sessions_of(&self, uid: &str) -> Vec<SessionRecord> {
        self.emulator
            .sessions()
            .into_iter()
            .filter(|session| number_in(session.token.as_deref(), uid).is_some())
            .collect()
    }

    fn calls_of(&self, uid: &str) -> String {
        let sessions = self.sessions_of(uid);
        let token = |id: Option<&str>| {
            sessions
                .iter()
                .find(|session| Some(&*session.session_id) == id)
                .and_then(|session| session.token.clone())
        };
        let mut calls: Vec<String> = Vec::new();
        for call in self.emulator.calls() {
            let (verb, token) = match call.operation.as_str() {
                "StartSession" => ("start", call.token),
                "TerminateSession" => ("terminate", token(call.session_id.as_deref())),
                _ => continue,
            };
            let Some(number) = number_in(token.as_deref(), uid) else { continue };
            let text = match &call.outcome {
                Answer::Ok => format!("{verb} {number}"),
                Answer::Error(_) => format!("{verb} {number} refused"),
                other => format!("{verb} {number} {other}"),
            };
            // How often a refused call is repeated is a matter of time.
            if calls.last() != Some(&text) || call.outcome.is_ok() {
                calls.push(text);
            }
        }
        calls.join(", ")
    }

    /// The recorded session is that of the attempt's token, those before it are numbered, and no two live.
    fn check_attempt(&self, object: &AthenaSession, uid: &str) -> anyhow::Result<()> {
        let (status, sessions) = (status(object), self.sessions_of(uid));
        let number = status.attempt.unwrap_or_default();
        let recorded =
            sessions.iter().find(|session| Some(&session.session_id) == status.session_id.as_ref());
        let token = recorded.map(|session| number_in(session.token.as_deref(), uid));
        ensure!(token.is_none_or(|token| token == u32::try_from(number).ok()), "{status:?}: {sessions:?}");
        let before: Vec<_> =
            status.previous_attempts.iter().flatten().map(|attempt| attempt.attempt).collect();
        ensure!(
            (0..number).rev().zip(before.iter().rev()).all(|(number, before)| number == *before),
            "{before:?}"
        );
        ensure!(sessions.iter().filter(|session| session.live).count() <= 1, "{sessions:?}");
        Ok(())
    }

    /// `endTime` is there when the attempt is over, and is Athena's.
    fn check_end_time(&self, object: &AthenaSession) -> anyhow::Result<()> {
        let status = status(object);
        ensure!(
            status.end_reason.is_some() == status.end_time.is_some(),
            "endReason and endTime do not come together: {status:?}"
        );
        let session = self
            .emulator
            .sessions()
            .into_iter()
            .find(|session| Some(&session.session_id) == status.session_id.as_ref());
        if let (Some(end), Some(session)) = (status.end_time, session.filter(|session| !session.vanished)) {
            let last = session.states.last().map(|(state, time)| (state.clone(), time.as_second()));
            ensure!(
                last == Some((session.state, end.0.as_second())),
                "endTime {end:?} is not Athena's: {last:?}"
            );
        }
        Ok(())
    }
}

/// The number of the attempt whose token this is.
fn number_in(token: Option<&str>, uid: &str) -> Option<u32> {
    match token?.strip_prefix(uid)? {
        "" => Some(0),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

/// The row of an object's conditions, which agree with each other; none before its generation is reported.
fn row_of(object: &AthenaSession) -> anyhow::Result<String> {
    let generation = object.metadata.generation;
    let conditions = status(object).conditions.unwrap_or_default();
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Ok("none".into());
    };
    let observed = status(object).observed_generation;
    for condition in &conditions {
        ensure!(
            (&condition.reason, &condition.message) == (&ready.reason, &ready.message),
            "the conditions differ: {conditions:?}"
        );
        ensure!(
            condition.observed_generation == observed,
            "a condition is of another generation: {conditions:?}"
        );
    }
    if observed != generation {
        return Ok(format!("{} of generation {observed:?}, not {generation:?}", ready.reason));
    }
    let of = |type_: &str| {
        conditions
            .iter()
            .find(|condition| condition.type_ == type_)
            .map_or("absent", |condition| condition.status.as_str())
    };
    let others: Vec<_> = conditions
        .iter()
        .filter(|condition| !matches!(condition.type_.as_str(), "Ready" | "Available"))
        .collect();
    ensure!(
        others.iter().all(|condition| condition.status == "True"),
        "a condition is present though it is not True: {others:?}"
    );
    let others: Vec<&str> = others.iter().map(|condition| condition.type_.as_str()).collect();
    let others = if others.is_empty() { "–".to_owned() } else { others.join(" ") };
    Ok(format!("{} | {} | {} | {others}", ready.reason, ready.status, of("Available")))
}

fn attempt_of(object: &AthenaSession) -> String {
    let status = status(object);
    let Some(number) = status.attempt else { return "none".into() };
    let ended =
        |reason: &Option<EndReason>| reason.as_ref().map_or("nothing known", EndReason::as_str).to_owned();
    let before: Vec<String> =
        status.previous_attempts.iter().flatten().map(|attempt| ended(&attempt.end_reason)).collect();
    [
        Some(format!("attempt {number}")),
        status.state.map(String::from),
        status.stop_cause.map(|cause| format!("stopCause {}", cause.as_str())),
        status.end_reason.map(|reason| format!("endReason {}", reason.as_str())),
        status.restarts.map(|restarts| format!("restarts {restarts}")),
        (!before.is_empty()).then(|| format!("after {}", before.join(" and "))),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}
