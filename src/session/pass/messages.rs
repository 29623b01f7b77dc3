//! Requests of a pass, the answers to them, and the ends of a pass, as plain data.

use k8s_openapi::jiff::Timestamp;

use crate::api::{AthenaSessionStatus, SessionState, StopCause};
use crate::session::events::Event;
use crate::session::refused_write;
use crate::session::reply::{Look, Refusal, Session};
use crate::session::step::Step;

/// Something that a pass needs from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// End a session that no status can name: in the background, until it has ended. Answered with [`Answer::Done`].
    EndLeaked {
        /// Athena's id of the session.
        id: String,
        /// Reason why no status can name it.
        leak: Leak,
    },
    /// Request Athena's time, by a call that changes nothing. [`Answer::Done`] once it is known, [`Answer::Refused`] with the refusal, or
    /// [`Answer::Wait`].
    AskTime,
    /// Call GetSession for this session if `full`, and GetSessionStatus otherwise. [`Answer::Look`] or [`Answer::Wait`].
    Look {
        /// Athena's id of the session.
        id: String,
        /// True for all details of the session.
        full: bool,
    },
    /// List the active sessions of the work group, in a list that begins no earlier than this. [`Answer::Listed`], [`Answer::Refused`] or
    /// [`Answer::Wait`].
    Search(Timestamp),
    /// Check if the work group takes the session. [`Answer::WorkGroup`] or [`Answer::Wait`].
    ReadWorkGroup,
    /// Wait for a permit of the rate limiter to call Athena for this step. [`Answer::Done`] once it is granted, or [`Answer::Wait`].
    Turn(Step),
    /// Trigger the object when Athena's time is known; request the time if `ask`. Answered with [`Answer::Done`].
    AwaitTime {
        /// True if Athena's time is to be requested.
        ask: bool,
    },
    /// Read the object's version from the API server and not from the cache. Answered with [`Answer::Found`].
    ReadAgain,
    /// Call StartSession for the attempt with this number. [`Answer::Started`], [`Answer::Refused`], or [`Answer::Outdated`] where nothing was sent.
    Start(i32),
    /// Call TerminateSession for this session. [`Answer::Done`] or [`Answer::Refused`].
    Terminate {
        /// Athena's id of the session.
        id: String,
        /// Cause of the termination, where the status cannot name it.
        unrecorded_cause: Option<StopCause>,
    },
    /// Write to the API server, at the version of the object that the pass began with. [`Answer::Written`]; [`Pass::after_refused_write`](super::Pass::after_refused_write) handles a
    /// refused write.
    Write(Write),
}

impl Request {
    /// Returns whether the pass decides again after the answer: the step is not final before.
    pub fn is_question(&self) -> bool {
        !matches!(
            self,
            Self::AwaitTime { .. }
                | Self::ReadAgain
                | Self::Start(_)
                | Self::Terminate { .. }
                | Self::Write(_)
        )
    }
}

/// Reason why no status can name a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// The attempt for which it was started is over, or is another.
    AttemptOver,
    /// The object is gone.
    ObjectGone,
    /// The API server refuses the status that would name the session, which is to end.
    StatusRefused,
}

/// A write to the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Add the operator's finalizer.
    AddFinalizer,
    /// Remove the operator's finalizer.
    RemoveFinalizer,
    /// Delete the object.
    Delete,
    /// Replace the status.
    Status {
        /// The status.
        status: Box<AthenaSessionStatus>,
        /// The attempt that the status records.
        records: Option<i32>,
    },
}

impl Write {
    /// Returns the name of the write, for messages: see [`refused_write`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::AddFinalizer => refused_write::ADD_FINALIZER,
            Self::RemoveFinalizer => refused_write::REMOVE_FINALIZER,
            Self::Delete => refused_write::DELETE,
            Self::Status { .. } => refused_write::STATUS,
        }
    }
}

/// The version of an object in the API server, compared with the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The same version.
    Same,
    /// Another version of the same object.
    Changed,
    /// No object, or another object of that name.
    Gone,
}

/// The result of a write that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The write took effect, with this version if the API server returned it.
    Yes(Option<u64>),
    /// The object has changed since it was read.
    Conflict,
    /// The object no longer exists.
    Gone,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The request is done.
    Done,
    /// The request is not done: the object is triggered when it can be.
    Wait,
    /// The request is not done: the object has changed since it was read.
    Outdated,
    /// The call was refused, or got no answer.
    Refused(Refusal),
    /// The result of a look, and the time at which it was requested.
    Look(Look, Timestamp),
    /// The sessions of a complete list that carry the object's marker, and the begin of the list.
    Listed(Vec<Session>, Timestamp),
    /// Success if the work group takes the session, or the refusal.
    WorkGroup(Result<(), Refusal>),
    /// The version of the object in the API server.
    Found(Found),
    /// The id and the state of the session that StartSession returned.
    Started(String, SessionState),
    /// The result of a write.
    Written(Written),
}

/// End of a pass.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The object no longer belongs to the operator.
    Done,
    /// No action is due now. [`Pass::due_time`](super::Pass::due_time) returns the time at which the object is due without a change or a trigger.
    Rest,
    /// The object was written; the watch delivers it.
    Written(Option<u64>),
    /// The object has changed since it was read; the watch delivers it.
    Outdated,
    /// The object no longer exists.
    Gone,
    /// A write was refused before: the status reports the refusal by now, with this version if it was written. The next try follows with backoff.
    Refused(Option<u64>),
}

/// Event and status to publish when a pass has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The event, if there is one to publish.
    pub event: Option<Event>,
    /// The status as it was written, if it was written.
    pub status: Option<Box<AthenaSessionStatus>>,
}
