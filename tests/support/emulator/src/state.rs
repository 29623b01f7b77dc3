//! The names of a session's states.

/// Asked for.
pub const CREATING: &str = "CREATING";
/// Provisioned; Spark is not up yet.
pub const CREATED: &str = "CREATED";
/// Ready and unused; the idle clock runs.
pub const IDLE: &str = "IDLE";
/// Working.
pub const BUSY: &str = "BUSY";
/// On the way out; still billed.
pub const TERMINATING: &str = "TERMINATING";
/// Ended.
pub const TERMINATED: &str = "TERMINATED";
/// Without a healthy coordinator; still billed.
pub const DEGRADED: &str = "DEGRADED";
/// Ended by an error.
pub const FAILED: &str = "FAILED";

/// Every state of the service model.
pub(crate) const ALL: [&str; 8] = [CREATING, CREATED, IDLE, BUSY, TERMINATING, TERMINATED, DEGRADED, FAILED];

/// The states `ListSessions` returns.
pub(crate) const LISTED: [&str; 4] = [CREATING, CREATED, IDLE, BUSY];

pub(crate) fn is_final(state: &str) -> bool {
    matches!(state, TERMINATED | FAILED)
}
