//! The steps of a reconcile, and what it has looked at so far.

use k8s_openapi::jiff::Timestamp;

use crate::api::{EndReason, StopCause};
use crate::session::reply::{Look, Refusal, Search, Session};

/// What was looked at in this reconcile so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The look at the session.
    pub look: Option<Look>,
    /// When that look was asked for.
    pub look_time: Option<Timestamp>,
    /// The search for the object's marker.
    pub search: Option<Search>,
    /// Whether a session can be started in the work group, as far as GetWorkGroup tells, and why not.
    pub work_group: Option<Result<(), Refusal>>,
}

/// The one thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, for good: the object is let go.
    Done,
    /// Nothing, until something changes.
    Rest,
    /// Nothing yet: a time that is known has not come.
    Wait,
    /// Ask Athena for its time, by a call that changes nothing, then decide again.
    AskTime,
    /// Look at the session, then decide again.
    Look,
    /// Search the work group's active sessions for the object's marker, in a list that begins no earlier than [`search_time`](crate::session::lifecycle::search_time), then decide again.
    Search,
    /// Put the finalizer on the object.
    AddFinalizer,
    /// Read the work group, then decide again.
    ReadWorkGroup,
    /// Report why no attempt can be recorded yet.
    Hold(Refusal),
    /// Record an attempt with this number that is over at once: the work group will never take what the object asks for.
    Reject(i32, Refusal),
    /// Record an attempt with this number.
    Record(i32),
    /// Call StartSession for the recorded attempt with this number.
    Start(i32),
    /// Record that this session, found by its marker, is the attempt.
    Adopt(i32, Session),
    /// Record what the look showed.
    Mirror(Session),
    /// Record why the session is to be stopped, and what a look showed if there was one.
    Stop(StopCause, Option<Session>),
    /// Call TerminateSession.
    Terminate,
    /// Record that nothing of the attempt lives.
    Conclude(EndReason),
    /// Record that the object has been suspended since its attempt was over.
    Suspend,
    /// Delete the object.
    Delete,
    /// Remove the finalizer.
    Release,
}
