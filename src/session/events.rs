//! The Kubernetes event of each change. The table [`REASONS`](crate::api::REASONS) gives the type of each event.

use std::borrow::Cow;

use crate::api::{self, AthenaSession, AthenaSessionStatus, MARKER_PREFIX};
use crate::session::local_state::{Call, LocalState};
use crate::session::refused_write;
use crate::session::reply::{Refusal, Session};
use crate::session::retained::Retained;
use crate::session::status::{Outcome, condition};
use crate::session::step::Step;

/// An event about one object. Many may wait to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// True for type Warning: somebody should act on it.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: Cow<'static, str>,
    /// Description of the event. Of events that are the same, the newest is shown.
    pub note: Box<str>,
    /// Action of the operator during which the event arose.
    pub action: &'static str,
    /// Number of the attempt, if the event is about one.
    pub attempt: Option<i32>,
    /// Reason of the refusal, where it differs from the event's reason.
    pub refusal: Option<&'static str>,
}

/// Maximum length of an event's note, in bytes.
const LONGEST_NOTE: usize = 1024;

fn new(reason: &str, note: &str, action: &'static str) -> Event {
    let (warning, reason) = match api::reason(reason) {
        Some(row) => (row.warning, row.word.into()),
        // A reason from a later release's status.
        None => (true, reason.to_owned().into()),
    };
    Event { warning, reason, note: cut(note, LONGEST_NOTE).into(), action, attempt: None, refusal: None }
}

/// Returns the event of a step and of the change of status that it led to. Changes between IDLE and BUSY have no event. `state` holds the refusal
/// that stands; the note names its AWS request id.
pub fn event(
    before: Option<&AthenaSessionStatus>,
    after: &AthenaSessionStatus,
    step: &Step,
    outcome: &Outcome,
    state: &LocalState,
) -> Option<Event> {
    let old = before.and_then(|status| condition(status, "Ready"));
    let new_ready = condition(after, "Ready")?;
    let at_work = |reason: &str| matches!(reason, "SessionIdle" | "SessionBusy");
    let standing = |reason: &str| {
        let is_its = |call| reason == "TerminateRefused" && call == Call::Terminate;
        state
            .refused
            .as_deref()
            .filter(|refused| refused.refusal.reason == reason || is_its(refused.call))
            .map(|refused| &refused.refusal)
    };
    let same = old.is_some_and(|old| {
        old.reason == new_ready.reason && old.status == new_ready.status
            || at_work(&old.reason) && at_work(&new_ready.reason)
    });
    let event = match (outcome, new_ready.reason.as_str()) {
        (Outcome::Refused(refusal), _) if *step == Step::Terminate => {
            refused("TerminateRefused", refusal, action(step))
        }
        _ if same => return None,
        (Outcome::Refused(refusal), reason) if reason == refusal.reason || reason == "Starting" => {
            refused(refusal.reason, refusal, action(step))
        }
        (Outcome::Started { id, .. }, _) => started(id, action(step)),
        // The status could not be written when the session was started.
        _ if let Step::Adopt(_, Session { id, .. }) = step
            && state.has_started(id) =>
        {
            started(id, action(step))
        }
        // Between its start and its first IDLE a session has no change that is worth a write.
        (_, "Starting" | "SessionCreating" | "SessionCreated") => return None,
        // A refused write has its own event, while an object is being deleted too.
        (_, refused_write::REASON) => return None,
        (_, reason) => match standing(reason) {
            Some(refusal) => of_refusal(reason, &new_ready.message, refusal, action(step)),
            None => new(reason, short(&new_ready.message), action(step)),
        },
    };
    Some(Event { attempt: after.attempt, ..event })
}

fn started(id: &str, action: &'static str) -> Event {
    new("SessionStarted", &format!("session {id} was started"), action)
}

/// Returns the event `TTLUnderGitOps`, if it is due for `object`: the object has a TTL, and Flux or Argo CD applies it and would create it again after
/// its deletion. The event is published once: when this becomes true or, if this process sees the object for the first time (`before` is none), as long
/// as no status reports the object's generation. `before` says whether [`undone_by`] named a tool when this process last saw the object.
pub fn ttl_under_gitops(object: &AthenaSession, before: Option<bool>) -> Option<Event> {
    let observed =
        object.status.as_ref().and_then(|status| status.observed_generation) == object.metadata.generation;
    let told = before.unwrap_or(observed) || object.is_deleting();
    let tool = undone_by(object).filter(|_| !told)?;
    let note = format!(
        "{tool} applies this object: each time ttlSecondsAfterFinished deletes it, {tool} creates it again, and a new session is paid for"
    );
    Some(new("TTLUnderGitOps", &note, "Observe"))
}

/// Labels and annotations by which a tool marks the objects that it applies from a repository, and the tool. All others of an object are dropped.
pub const MARKS: [(&str, &str); 4] = [
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
];

/// Returns the tool that creates `object` again each time it deletes itself: it applies the object from a repository, and is known by the marks that it leaves.
/// `app.kubernetes.io/instance`, which Argo CD may use too, is also Helm's.
pub fn undone_by(object: &AthenaSession) -> Option<&'static str> {
    object.spec.ttl_seconds_after_finished?;
    let carries = |key: &str| {
        [&object.metadata.labels, &object.metadata.annotations]
            .into_iter()
            .flatten()
            .any(|map| map.contains_key(key))
    };
    MARKS.iter().find(|(key, _)| carries(key)).map(|(_, tool)| *tool)
}

/// Returns the event of removing the finalizer from an object without a live session.
pub fn release(object: &AthenaSession) -> Event {
    let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
    let note = match id {
        Some(id) => format!("session {id} has ended; the operator removes its finalizer"),
        None => "no session is live; the operator removes its finalizer".into(),
    };
    new("SessionEnded", &note, "Delete")
}

/// Returns the event of removing the finalizer from an object whose session may run on. It is published before the removal.
pub fn retained(retained: &Retained) -> Event {
    let place = match (retained.work_group.as_deref(), retained.region.as_deref()) {
        (None, None) => String::new(),
        (None, Some(region)) => format!(" in region {region}"),
        (Some(work_group), None) => format!(" in work group {work_group}"),
        (Some(work_group), Some(region)) => format!(" in work group {work_group}, region {region},"),
    };
    let note = match &retained.session_id {
        Some(id) => {
            format!(
                "session {id}{place} may run on and be billed: the object was deleted with deletionPolicy Retain, and nothing else owns it"
            )
        }
        None => format!(
            "a session{place} may have been started, and may run on and be billed: the object was deleted with deletionPolicy Retain, and nothing else owns it; \
             its description contains {MARKER_PREFIX}{}",
            retained.uid
        ),
    };
    new("SessionRetained", &note, "Delete")
}

/// Returns the event of an object that cannot be read.
pub fn unreadable(message: &str) -> Event {
    new(crate::session::invalid_object::REASON, short(message), "Observe")
}

/// Returns the event of a write that the API server refuses: `what` names the write, and `message` the refusal.
pub fn write_refused(what: &'static str, message: &str) -> Event {
    Event { refusal: Some(what), ..new(refused_write::REASON, short(message), "Write") }
}

/// Returns the event of a start, of `attempt` if one is recorded, to which Athena does not answer: the condition still reports that the session is
/// starting.
pub fn unanswered(refusal: &Refusal, attempt: Option<i32>) -> Event {
    Event { attempt, ..refused(refusal.reason, refusal, "Start") }
}

fn refused(reason: &str, refusal: &Refusal, action: &'static str) -> Event {
    of_refusal(reason, &refusal.message, refusal, action)
}

/// Returns the event with `text` and the AWS request id of `refusal`.
fn of_refusal(reason: &str, text: &str, refusal: &Refusal, action: &'static str) -> Event {
    let request = refusal
        .request_id
        .as_deref()
        .map(|id| format!(" (AWS request id {})", cut(id, 64)))
        .unwrap_or_default();
    let refusal = (reason != refusal.reason).then_some(refusal.reason);
    Event { refusal, ..new(reason, &format!("{}{request}", short(text)), action) }
}

fn action(step: &Step) -> &'static str {
    match step {
        Step::ReadWorkGroup
        | Step::Hold(_)
        | Step::Reject(..)
        | Step::Record(_)
        | Step::Start(_)
        | Step::Adopt(..) => "Start",
        Step::Terminate | Step::Stop(..) => "Terminate",
        Step::Release => "Delete",
        _ => "Observe",
    }
}

/// Returns `text`, cut so that a few words fit beside it into a note.
fn short(text: &str) -> &str {
    cut(text, 900)
}

/// Returns `text`, cut to at most `bytes` bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
