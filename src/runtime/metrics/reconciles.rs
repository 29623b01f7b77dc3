//! Metrics of a controller's reconciles, under the names of controller-runtime.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::definition::{Definition, Row, counter, gauge, histogram};
use super::labelled::{Labelled, clamped, short_times};

static RECONCILES: Definition<2> =
    counter("controller_runtime_reconcile_total", ["controller", "result"], "Reconciles by result");
static RECONCILE_ERRORS: Definition<1> = counter(
    "controller_runtime_reconcile_errors_total",
    ["controller"],
    "Reconciles that failed because the API server refused or did not answer a request",
);
static RECONCILE_TIME: Definition<1> =
    histogram("controller_runtime_reconcile_time_seconds", ["controller"], "Duration of reconciles");
static MAX_CONCURRENT_RECONCILES: Definition<1> = gauge(
    "controller_runtime_max_concurrent_reconciles",
    ["controller"],
    "Maximum number of reconciles at a time, over all watched scopes",
);
static ACTIVE_WORKERS: Definition<1> =
    gauge("controller_runtime_active_workers", ["controller"], "Reconciles under way");

/// The metrics, for the documentation.
pub const ROWS: &[Row] = &[
    RECONCILES.row(),
    RECONCILE_ERRORS.row(),
    RECONCILE_TIME.row(),
    MAX_CONCURRENT_RECONCILES.row(),
    ACTIVE_WORKERS.row(),
];

/// The metrics of the reconciles of one controller.
#[derive(Debug)]
pub struct ReconcileMetrics {
    controller: &'static str,
    results: Labelled<2, Counter>,
    errors: Labelled<1, Counter>,
    time: Labelled<1, Histogram>,
    max_concurrent: Labelled<1, Gauge>,
    active: Labelled<1, Gauge>,
}

impl ReconcileMetrics {
    /// Registers the metrics of `controller`.
    pub fn register(registry: &mut Registry, controller: &'static str) -> Self {
        let metrics = Self {
            controller,
            results: Labelled::register(registry, &RECONCILES, Counter::default),
            errors: Labelled::register(registry, &RECONCILE_ERRORS, Counter::default),
            time: Labelled::register(registry, &RECONCILE_TIME, short_times),
            max_concurrent: Labelled::register(registry, &MAX_CONCURRENT_RECONCILES, Gauge::default),
            active: Labelled::register(registry, &ACTIVE_WORKERS, Gauge::default),
        };
        for result in ["success", "error"] {
            metrics.results.of([controller.into(), result.into()]);
        }
        metrics.errors.of([controller.into()]);
        metrics.time.of([controller.into()]);
        metrics.active.of([controller.into()]);
        metrics
    }

    /// Sets the number of reconciles that may run at a time.
    pub fn set_max_concurrent(&self, reconciles: usize) {
        self.max_concurrent.of([self.controller.into()]).set(clamped(reconciles));
    }

    /// Counts a reconcile that begins.
    pub fn begun(&self) {
        self.active.of([self.controller.into()]).inc();
    }

    /// Counts a reconcile that has ended.
    pub fn ended(&self, succeeded: bool, duration: Duration) {
        self.active.of([self.controller.into()]).dec();
        self.results.of([self.controller.into(), if succeeded { "success" } else { "error" }.into()]).inc();
        if !succeeded {
            self.errors.of([self.controller.into()]).inc();
        }
        self.time.of([self.controller.into()]).observe(duration.as_secs_f64());
    }
}
