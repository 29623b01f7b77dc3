//! What `/metrics` shows.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The operator's metrics. Every label takes its values from a fixed set.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    athena_calls: Family<CallLabels, Counter>,
    athena_seconds: Family<OperationLabels, Histogram>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Histogram,
    writes: Family<WriteLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    write: &'static str,
    result: &'static str,
}

const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let athena_calls = Family::default();
        let athena_seconds = Family::<OperationLabels, Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        let reconciles = Family::default();
        let reconcile_seconds = Histogram::new(SECONDS);
        let writes = Family::default();
        registry.register("athena_operator_athena_calls", "Calls to Athena by operation and code", athena_calls.clone());
        registry.register_with_unit(
            "athena_operator_athena_call_duration",
            "Duration of calls to Athena by operation",
            Unit::Seconds,
            athena_seconds.clone(),
        );
        registry.register("controller_runtime_reconcile", "Reconciles by result", reconciles.clone());
        registry.register_with_unit("controller_runtime_reconcile_time", "Duration of reconciles", Unit::Seconds, reconcile_seconds.clone());
        registry.register("athena_operator_writes", "Writes to the API server by kind and result", writes.clone());
        Self { registry, athena_calls, athena_seconds, reconciles, reconcile_seconds, writes }
    }
}

impl Metrics {
    /// Counts a call to Athena.
    pub fn athena_call(&self, operation: &'static str, code: String, duration: Duration) {
        self.athena_calls.get_or_create(&CallLabels { operation, code }).inc();
        self.athena_seconds.get_or_create(&OperationLabels { operation }).observe(duration.as_secs_f64());
    }

    /// Counts a reconcile.
    pub fn reconciled(&self, result: &'static str, duration: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { controller: "athenasession", result }).inc();
        self.reconcile_seconds.observe(duration.as_secs_f64());
    }

    /// Counts a write to the API server: `write` is finalizer or status, `result` ok, conflict, gone or error.
    pub fn written(&self, write: &'static str, result: &'static str) {
        self.writes.get_or_create(&WriteLabels { write, result }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
