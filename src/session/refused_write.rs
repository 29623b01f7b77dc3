//! Writes to an object that the API server refuses: what is remembered of them, and what people are told.

use k8s_openapi::jiff::Timestamp;

use crate::session::environment::Environment;
use crate::session::step::Step;

/// Reason of the conditions and the event.
pub const REASON: &str = "WriteRefused";

/// What a write does, for people: it puts the operator's finalizer on an object.
pub const ADD_FINALIZER: &str = "add the finalizer";
/// It takes the finalizer off.
pub const REMOVE_FINALIZER: &str = "remove the finalizer";
/// It writes the status.
pub const STATUS: &str = "write the status";
/// It deletes an object whose time after the end is over.
pub const DELETE: &str = "delete the object";
/// It writes to an object that cannot be read.
pub const UNREADABLE: &str = "write the object";

/// A write that the API server refuses, while it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefusedWrite {
    /// What the operator cannot do, such as [`ADD_FINALIZER`].
    pub(super) what: &'static str,
    /// The server's words, without secrets.
    pub(super) text: Box<str>,
    /// When the first of the row came.
    pub(super) since: Timestamp,
    /// How many came in a row.
    pub(super) count: u32,
    /// When the next try may be made.
    pub(super) next_time: Timestamp,
    /// The version of the object at which a try fails as the last one did: any other one may be mended.
    pub(super) version: Option<u64>,
    /// How often people were told of the row by events.
    pub(super) told: i64,
}

impl RefusedWrite {
    /// The refusal for people.
    pub fn message(&self) -> String {
        format!("the API server refuses to let the operator {}: {}", self.what, self.text)
    }

    /// Whether it has stood so long that it does not pass by itself.
    pub fn is_lasting(&self, at: &Environment) -> bool {
        at.now >= self.since + at.limits.healing
    }

    pub(crate) fn times(&mut self) -> [&mut Timestamp; 2] {
        [&mut self.since, &mut self.next_time]
    }
}

/// What `step` writes, if that is not the status.
pub fn name(step: &Step) -> Option<&'static str> {
    match step {
        Step::AddFinalizer => Some(ADD_FINALIZER),
        Step::Release => Some(REMOVE_FINALIZER),
        Step::Delete => Some(DELETE),
        _ => None,
    }
}
