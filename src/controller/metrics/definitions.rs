//! The metrics about AthenaSessions: name, kind, labels and meaning.

use crate::runtime::metrics::definition::{Definition, Row, counter, gauge, histogram};

/// The metrics, for the documentation.
pub(super) const ROWS: &[Row] = &[
    OBJECTS.row(),
    SESSIONS.row(),
    SESSION_AGE.row(),
    DELETION_AGE.row(),
    START_DURATION.row(),
    RESTARTS.row(),
    ENDS.row(),
    DPU.row(),
    RETAINED.row(),
    OBSERVATION_AGE.row(),
    FOREIGN_SESSIONS.row(),
    REFUSED_NAMESPACES.row(),
    CLOCK_SKEW.row(),
    WRITES.row(),
];

pub(super) static OBJECTS: Definition<3> = gauge(
    "athena_operator_athenasessions",
    ["namespace", "ready", "reason"],
    "AthenaSessions by status and reason of Ready",
);
pub(super) static SESSIONS: Definition<2> = gauge(
    "athena_operator_sessions",
    ["work_group", "state"],
    "Sessions of AthenaSessions that have not ended, by the state that Athena gives",
);
pub(super) static SESSION_AGE: Definition<2> = gauge(
    "athena_operator_session_age_seconds",
    ["namespace", "work_group"],
    "Age of the oldest session that has not ended",
);
pub(super) static DELETION_AGE: Definition<1> = gauge(
    "athena_operator_deletion_age_seconds",
    ["namespace"],
    "Time since the oldest deletion of an AthenaSession that still has the operator's finalizer",
);
pub(super) static START_DURATION: Definition<1> = histogram(
    "athena_operator_start_duration_seconds",
    ["work_group"],
    "Time from the creation or resume of an AthenaSession until its first session was IDLE or BUSY",
);
pub(super) static RESTARTS: Definition<1> = counter(
    "athena_operator_restarts_total",
    ["reason"],
    "Restarts and resumes, by the endReason of the attempt before",
);
pub(super) static ENDS: Definition<1> = counter(
    "athena_operator_ends_total",
    ["reason"],
    "Ended attempts, by endReason; Deleted if the session ended because its object was deleted",
);
pub(super) static DPU: Definition<2> = counter(
    "athena_operator_dpu_milliseconds_total",
    ["namespace", "work_group"],
    "DPU time of sessions that have ended, as Athena reports it, in milliseconds",
);
pub(super) static RETAINED: Definition<2> = counter(
    "athena_operator_retained_sessions_total",
    ["namespace", "work_group"],
    "Sessions that may run on without their AthenaSession, which was deleted with deletionPolicy Retain",
);
pub(super) static OBSERVATION_AGE: Definition<1> = gauge(
    "athena_operator_work_group_observation_age_seconds",
    ["work_group"],
    "Time since the last complete list of a work group's sessions; the operator lists only work groups with live sessions",
);
pub(super) static FOREIGN_SESSIONS: Definition<1> = gauge(
    "athena_operator_foreign_sessions",
    ["work_group"],
    "Sessions in the last complete list of a work group that belong to no AthenaSession of this operator",
);
pub(super) static REFUSED_NAMESPACES: Definition<1> = gauge(
    "athena_operator_refused_namespaces",
    ["namespace"],
    "1 for each watched namespace whose AthenaSessions the API server refuses to list; an empty name stands for all namespaces",
);
pub(super) static CLOCK_SKEW: Definition<0> = gauge(
    "athena_operator_clock_skew_seconds",
    [],
    "Time by which the node's clock is ahead of Athena's clock, with which times are compared. Absent before Athena's first reply",
);
pub(super) static WRITES: Definition<2> = counter(
    "athena_operator_writes_total",
    ["write", "result"],
    "Writes to the API server by kind (finalizer, status, object: its deletion after the TTL, event) and result (ok, conflict, gone, refused, error, dropped)",
);
