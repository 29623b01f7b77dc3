//! Every metric: name, kind, labels and meaning. The registry is made of these, and so is `docs/metrics.md`.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, but for a restart of the process.
    Counter,
    /// It is what it is at the time of the scrape.
    Gauge,
    /// Counts by size: the name stands for `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric with so many labels.
#[derive(Debug)]
pub(super) struct Definition<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
    kind: Kind,
    help: &'static str,
}

/// A row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name, as it stands in a query.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl<const N: usize> Definition<N> {
    pub(super) const fn row(&'static self) -> Row {
        Row { name: self.name, kind: self.kind, labels: &self.labels, help: self.help }
    }
}

const fn counter<const N: usize>(name: &'static str, labels: [&'static str; N], help: &'static str) -> Definition<N> {
    Definition { name, labels, kind: Kind::Counter, help }
}

const fn gauge<const N: usize>(name: &'static str, labels: [&'static str; N], help: &'static str) -> Definition<N> {
    Definition { name, labels, kind: Kind::Gauge, help }
}

const fn histogram<const N: usize>(name: &'static str, labels: [&'static str; N], help: &'static str) -> Definition<N> {
    Definition { name, labels, kind: Kind::Histogram, help }
}

/// Every metric, in the order of the documentation.
pub static TABLE: &[Row] = &[
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
    ATHENA_CALLS.row(),
    ATHENA_CALL_DURATION.row(),
    LIMITER_WAIT.row(),
    REFUSED_NAMESPACES.row(),
    CLOCK_SKEW.row(),
    WRITES.row(),
    RECONCILES.row(),
    RECONCILE_ERRORS.row(),
    RECONCILE_TIME.row(),
    MAX_CONCURRENT_RECONCILES.row(),
    ACTIVE_WORKERS.row(),
    QUEUE_DEPTH.row(),
    QUEUE_ADDS.row(),
    QUEUE_DURATION.row(),
    QUEUE_WORK_DURATION.row(),
    QUEUE_UNFINISHED.row(),
    QUEUE_LONGEST.row(),
    QUEUE_RETRIES.row(),
    REST_REQUESTS.row(),
    REST_REQUEST_DURATION.row(),
    MASTER_STATUS.row(),
    TASKS.row(),
];

pub(super) static OBJECTS: Definition<3> =
    gauge("athena_operator_athenasessions", ["namespace", "ready", "reason"], "AthenaSessions by status and reason of Ready");
pub(super) static SESSIONS: Definition<2> =
    gauge("athena_operator_sessions", ["work_group", "state"], "Sessions of AthenaSessions that have not ended, by the state that Athena gives");
pub(super) static SESSION_AGE: Definition<2> =
    gauge("athena_operator_session_age_seconds", ["namespace", "work_group"], "Age of the oldest session that has not ended");
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
pub(super) static RESTARTS: Definition<1> =
    counter("athena_operator_restarts_total", ["reason"], "Attempts recorded after another, by the endReason of that");
pub(super) static ENDS: Definition<1> =
    counter("athena_operator_ends_total", ["reason"], "Attempts that are over, by their endReason, or Deleted with their object");
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
pub(super) static ATHENA_CALLS: Definition<2> =
    counter("athena_operator_athena_calls_total", ["operation", "code"], "Calls to Athena by operation and code of the reply");
pub(super) static ATHENA_CALL_DURATION: Definition<1> =
    histogram("athena_operator_athena_call_duration_seconds", ["operation"], "Duration of calls to Athena");
pub(super) static LIMITER_WAIT: Definition<1> =
    histogram("athena_operator_athena_limiter_wait_seconds", ["priority"], "How long AthenaSessions waited for their turn to call Athena");
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
pub(super) static RECONCILES: Definition<2> = counter("controller_runtime_reconcile_total", ["controller", "result"], "Reconciles by result");
pub(super) static RECONCILE_ERRORS: Definition<1> =
    counter("controller_runtime_reconcile_errors_total", ["controller"], "Reconciles that failed at the API server");
pub(super) static RECONCILE_TIME: Definition<1> = histogram("controller_runtime_reconcile_time_seconds", ["controller"], "Duration of reconciles");
pub(super) static MAX_CONCURRENT_RECONCILES: Definition<1> =
    gauge("controller_runtime_max_concurrent_reconciles", ["controller"], "How many reconciles may run at a time, over all watched scopes");
pub(super) static ACTIVE_WORKERS: Definition<1> = gauge("controller_runtime_active_workers", ["controller"], "Reconciles that run");
pub(super) static QUEUE_DEPTH: Definition<1> = gauge("workqueue_depth", ["name"], "Objects that wait for a reconcile");
pub(super) static QUEUE_ADDS: Definition<1> = counter("workqueue_adds_total", ["name"], "Objects put in line for a reconcile");
pub(super) static QUEUE_DURATION: Definition<1> =
    histogram("workqueue_queue_duration_seconds", ["name"], "How long objects waited in line until their reconcile began");
pub(super) static QUEUE_WORK_DURATION: Definition<1> = histogram("workqueue_work_duration_seconds", ["name"], "Duration of reconciles");
pub(super) static QUEUE_UNFINISHED: Definition<1> =
    gauge("workqueue_unfinished_work_seconds", ["name"], "Time since the reconciles that run have begun, of all together");
pub(super) static QUEUE_LONGEST: Definition<1> =
    gauge("workqueue_longest_running_processor_seconds", ["name"], "Time since the longest of the reconciles that run has begun");
pub(super) static QUEUE_RETRIES: Definition<1> =
    counter("workqueue_retries_total", ["name"], "Objects put in line again because their reconcile failed at the API server");
pub(super) static REST_REQUESTS: Definition<2> = counter(
    "rest_client_requests_total",
    ["code", "method"],
    "Requests to the API server by status and method; the code is <error> where no reply came",
);
pub(super) static REST_REQUEST_DURATION: Definition<1> =
    histogram("rest_client_request_duration_seconds", ["verb"], "Time from a request to the API server to the head of its reply");
pub(super) static MASTER_STATUS: Definition<1> =
    gauge("leader_election_master_status", ["name"], "1 where the process holds the Lease of this name, or runs without leader election");
pub(super) static TASKS: Definition<0> = gauge("athena_operator_tasks", [], "Asynchronous tasks of the process");
