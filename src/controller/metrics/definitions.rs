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
    "Time since the oldest deletion of an AthenaSession that the operator has not let go",
);
pub(super) static START_DURATION: Definition<1> = histogram(
    "athena_operator_start_duration_seconds",
    ["work_group"],
    "Time from the creation or resume of an AthenaSession until its first session was IDLE or BUSY",
);
pub(super) static RESTARTS: Definition<1> = counter(
    "athena_operator_restarts_total",
    ["reason"],
    "Attempts recorded after another, by the endReason of that",
);
pub(super) static ENDS: Definition<1> = counter(
    "athena_operator_ends_total",
    ["reason"],
    "Attempts that are over, by their endReason, or Deleted with their object",
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
    "Time since the sessions of a work group were last listed to the end; work groups without a live session are not listed",
);
pub(super) static FOREIGN_SESSIONS: Definition<1> = gauge(
    "athena_operator_foreign_sessions",
    ["work_group"],
    "Sessions in the last complete list of a work group that belong to no AthenaSession here",
);
pub(super) static REFUSED_NAMESPACES: Definition<1> = gauge(
    "athena_operator_refused_namespaces",
    ["namespace"],
    "1 for each watched namespace whose AthenaSessions the API server refuses to list; without a name, for all of them",
);
pub(super) static CLOCK_SKEW: Definition<0> = gauge(
    "athena_operator_clock_skew_seconds",
    [],
    "By how much the node's clock is ahead of Athena's; times are compared with Athena's clock. None before Athena's first reply",
);
pub(super) static WRITES: Definition<2> = counter(
    "athena_operator_writes_total",
    ["write", "result"],
    "Writes to the API server by kind (finalizer, status, object: its deletion after the TTL, event) and result (ok, conflict, gone, refused, error, dropped)",
);
