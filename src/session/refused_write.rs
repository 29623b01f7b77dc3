//! Writes to an object that the API server refuses: their local state, and their texts for conditions and events.

use k8s_openapi::jiff::Timestamp;

use crate::session::environment::Environment;
use crate::session::step::Step;

/// Reason of the conditions and the event.
pub const REASON: &str = "WriteRefused";

/// Name of the write that adds the operator's finalizer to an object, for messages.
pub const ADD_FINALIZER: &str = "add the finalizer";
/// Name of the write that removes the finalizer.
pub const REMOVE_FINALIZER: &str = "remove the finalizer";
/// Name of the write of the status.
pub const STATUS: &str = "write the status";
/// Name of the write that deletes an object whose `ttlSecondsAfterFinished` is over.
pub const DELETE: &str = "delete the object";
/// Name of a write to an object that cannot be read.
pub const UNREADABLE: &str = "write the object";

/// A write that the API server refuses, while it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RefusedWrite {
    /// Name of the refused write, such as [`ADD_FINALIZER`].
    pub(super) what: &'static str,
    /// Text of the API server, without secrets.
    pub(super) text: Box<str>,
    /// Time of the first refusal in the row.
    pub(super) since: Timestamp,
    /// Number of refusals in the row.
    pub(super) count: u32,
    /// Time of the next try.
    pub(super) next_time: Timestamp,
    /// Version of the object at which a try fails like the last one: at another version the write may succeed.
    pub(super) version: Option<u64>,
    /// Number of events published for the row.
    pub(super) told: i64,
}

impl RefusedWrite {
    /// Returns the text of the refusal for conditions and events.
    pub fn message(&self) -> String {
        format!("the API server refuses to let the operator {}: {}", self.what, self.text)
    }

    /// Returns whether the refusal has stood for so long that it does not pass by itself.
    pub fn is_lasting(&self, env: &Environment) -> bool {
        env.now >= self.since + env.limits.healing
    }
}

/// Returns the name of the write that `step` makes, if that is not the status.
pub fn name(step: &Step) -> Option<&'static str> {
    match step {
        Step::AddFinalizer => Some(ADD_FINALIZER),
        Step::Release => Some(REMOVE_FINALIZER),
        Step::Delete => Some(DELETE),
        _ => None,
    }
}
