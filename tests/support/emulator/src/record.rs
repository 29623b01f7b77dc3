//! What a test sees of a session, and what it may do to one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A session that is or was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its id.
    pub session_id: String,
    /// The `ClientRequestToken` it was started with; none for a foreign session.
    pub token: Option<String>,
    /// Its work group.
    pub work_group: String,
    /// Its description.
    pub description: Option<String>,
    /// Its state now.
    pub state: String,
    /// The reason of its state.
    pub reason: Option<String>,
    /// Every state it entered, and when.
    pub states: Vec<(String, Timestamp)>,
    /// The wall time from its start to its end (or now), in seconds: what the driver DPU is billed for, without Athena's minimum of one minute.
    pub billed_seconds: f64,
    /// Whether a test made it vanish.
    pub vanished: bool,
    /// Whether it still costs money: neither TERMINATED nor FAILED nor vanished.
    pub live: bool,
    /// The body of the `StartSession` that started it; null for a foreign session.
    pub request: Value,
}

/// What may happen to a session without an API call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It enters a state, any text; from there time goes on as always.
    State {
        /// The state.
        state: String,
        /// Its `StateChangeReason`.
        reason: Option<String>,
    },
    /// Its idle timeout is over now.
    IdleOut,
    /// It is gone as if it never had been: not found, not listed, not billed. Its token is still remembered.
    Vanish,
    /// Somebody else terminates it.
    Terminate,
}

/// No session has this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no session {0}")]
pub struct UnknownSession(
    /// The id asked for.
    pub String,
);
