//! Metrics of the calls to Athena.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::runtime::metrics::registry::{Labelled, Registry, short_times, waits};

/// Athena's code for throttled calls, and the operations: their series begin at 0, so that the first call is an increase.
const THROTTLED: &str = "ThrottlingException";
const OPERATIONS: [&str; 6] =
    ["GetSession", "GetSessionStatus", "GetWorkGroup", "ListSessions", "StartSession", "TerminateSession"];

/// The metrics of the calls to Athena.
#[derive(Debug)]
pub struct AthenaMetrics {
    calls: Labelled<2, Counter>,
    call_duration: Labelled<1, Histogram>,
    limiter_wait: Labelled<1, Histogram>,
}

impl AthenaMetrics {
    /// Registers the metrics. `priorities` are the names of the rate limiter's priorities.
    pub fn register(registry: &mut Registry, priorities: impl IntoIterator<Item = &'static str>) -> Self {
        let metrics = Self {
            calls: registry.add(
                "athena_operator_athena_calls_total",
                &["operation", "code"],
                "Calls to Athena by operation and code of the reply",
            ),
            call_duration: registry.add_with(
                short_times,
                "athena_operator_athena_call_duration_seconds",
                &["operation"],
                "Duration of calls to Athena",
            ),
            limiter_wait: registry.add_with(
                waits,
                "athena_operator_athena_limiter_wait_seconds",
                &["priority"],
                "Time that AthenaSessions waited for a turn to call Athena",
            ),
        };
        for operation in OPERATIONS {
            metrics.calls.of([operation.into(), THROTTLED.into()]);
        }
        for priority in priorities {
            metrics.limiter_wait.of([priority.into()]);
        }
        metrics
    }

    /// Counts a call.
    pub fn called(&self, operation: &'static str, code: &'static str, duration: Duration) {
        self.calls.of([operation.into(), code.into()]).inc();
        self.call_duration.of([operation.into()]).observe(duration.as_secs_f64());
    }

    /// Counts a wait for the rate limiter.
    pub fn waited(&self, priority: &'static str, duration: Duration) {
        self.limiter_wait.of([priority.into()]).observe(duration.as_secs_f64());
    }
}

/// Metrics that no endpoint exports.
impl Default for AthenaMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default(), [])
    }
}
