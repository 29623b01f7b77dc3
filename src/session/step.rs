//! The steps of a reconcile, and its results so far.

use k8s_openapi::jiff::Timestamp;

use crate::api::{EndReason, StopCause};
use crate::session::reply::{Look, Refusal, Search, Session};

/// Results of this reconcile's reads so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The look at the session.
    pub look: Option<Look>,
    /// Time at which that look was requested.
    pub look_time: Option<Timestamp>,
    /// The search for the object's marker.
    pub search: Option<Search>,
    /// Success if a session can be started in the work group according to GetWorkGroup, or the refusal.
    pub work_group: Option<Result<(), Refusal>>,
}

impl Seen {
    /// Returns the session, if the look has shown it.
    pub fn session(&self) -> Option<&Session> {
        match &self.look {
            Some(Look::Seen(session)) => Some(session),
            _ => None,
        }
    }
}

/// The one action to take next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// No action, for good: the finalizer is removed.
    Done,
    /// No action, until something changes.
    Rest,
    /// No action yet: a known time has not come.
    Wait,
    /// Request Athena's time, by a call that changes nothing, then decide again.
    AskTime,
    /// Look at the session, then decide again.
    Look,
    /// Search the work group's active sessions for the object's marker, in a list that begins no earlier than
    /// [`search_time`](crate::session::lifecycle::search_time), then decide again.
    Search,
    /// Add the finalizer to the object.
    AddFinalizer,
    /// Read the work group, then decide again.
    ReadWorkGroup,
    /// Report the refusal for which no attempt can be recorded yet.
    Hold(Refusal),
    /// Record an attempt with this number that is over at once: the work group will never accept the spec.
    Reject(i32, Refusal),
    /// Record an attempt with this number.
    Record(i32),
    /// Call StartSession for the recorded attempt with this number.
    Start(i32),
    /// Record that this session, found by its marker, is the attempt.
    Adopt(i32, Session),
    /// Record the result of the look.
    Mirror(Session),
    /// Record the cause for which the session is to be stopped, and the result of a look if there was one.
    Stop(StopCause, Option<Session>),
    /// Call TerminateSession.
    Terminate,
    /// Record that no session of the attempt lives.
    Conclude(EndReason),
    /// Record that the object has been suspended since its attempt was over.
    Suspend,
    /// Delete the object.
    Delete,
    /// Remove the finalizer.
    Release,
}
