//! Which event a change is.

use crate::api::{AthenaSession, AthenaSessionStatus, DeletionPolicy};
use crate::lifecycle::Step;
use crate::session::Refusal;
use crate::status::{Outcome, condition};

/// An event for people, about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should act on it.
    pub warning: bool,
    /// CamelCase reason. The recorder aggregates by it and drops later notes under the same one.
    pub reason: String,
    /// What happened.
    pub note: String,
    /// What the operator was doing.
    pub action: &'static str,
}

/// The event of a step and of the change of status that it led to. Work that comes and goes (IDLE and BUSY) is none.
pub fn event(before: Option<&AthenaSessionStatus>, after: &AthenaSessionStatus, step: &Step, outcome: &Outcome) -> Option<Event> {
    let old = before.and_then(|status| condition(status, "Ready"));
    let new = condition(after, "Ready")?;
    let at_work = |reason: &str| matches!(reason, "SessionIdle" | "SessionBusy");
    if old.is_some_and(|old| old.reason == new.reason && old.status == new.status || at_work(&old.reason) && at_work(&new.reason)) {
        return match outcome {
            Outcome::Refused(refusal) if *step == Step::Terminate => Some(refused("TerminateRefused", refusal, action(step))),
            _ => None,
        };
    }
    match outcome {
        Outcome::Refused(refusal) if *step == Step::Terminate => Some(refused("TerminateRefused", refusal, action(step))),
        Outcome::Refused(refusal) => Some(refused(&new.reason, refusal, action(step))),
        Outcome::Started { id, .. } => {
            Some(Event { warning: false, reason: "SessionStarted".into(), note: format!("session {id} was started"), action: action(step) })
        }
        // Between its start and its being idle a session has nothing to tell that is worth a write.
        Outcome::Nothing if matches!(new.reason.as_str(), "Starting" | "SessionCreating" | "SessionCreated") => None,
        Outcome::Nothing => Some(Event {
            warning: new.status == "False" && new.reason != "Deleting" || new.reason == "ReplacingSession",
            reason: new.reason.clone(),
            note: short(&new.message),
            action: action(step),
        }),
    }
}

/// The event of letting an object go.
pub fn release(object: &AthenaSession) -> Event {
    let status = object.status.as_ref();
    let id = status.and_then(|status| status.session_id.as_deref());
    let ended = status.is_some_and(|status| status.end_time.is_some());
    let (warning, reason, note) = match (object.spec.deletion_policy, id) {
        (DeletionPolicy::Retain, Some(id)) if !ended => {
            (true, "SessionRetained", format!("session {id} may run on and be billed: nothing owns it now"))
        }
        (DeletionPolicy::Retain, None) if status.is_some_and(|status| status.attempt.is_some() && !ended) => (
            true,
            "SessionRetained",
            "a session may have been started and run on: look for the object's UID in the descriptions of the work group's sessions".into(),
        ),
        (_, Some(id)) => (false, "SessionEnded", format!("session {id} has ended and the object is let go")),
        (_, None) => (false, "SessionEnded", "no session lives and the object is let go".into()),
    };
    Event { warning, reason: reason.to_owned(), note, action: "Delete" }
}

fn refused(reason: &str, refusal: &Refusal, action: &'static str) -> Event {
    let request = refusal.request_id.as_deref().map(|id| format!(" (AWS request id {id})")).unwrap_or_default();
    Event { warning: true, reason: reason.to_owned(), note: format!("{}{request}", short(&refusal.message)), action }
}

fn action(step: &Step) -> &'static str {
    match step {
        Step::Record(_) | Step::Start(_) | Step::Adopt(..) => "Start",
        Step::Terminate | Step::Stop(..) => "Terminate",
        Step::Release => "Delete",
        _ => "Observe",
    }
}

/// Events take notes of at most 1024 bytes.
fn short(text: &str) -> String {
    let end = (0..=text.len().min(900)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}
