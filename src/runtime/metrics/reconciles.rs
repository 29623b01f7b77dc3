//! Metrics of a controller's reconciles, under the names of controller-runtime.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::registry::{Labelled, Registry, clamped, short_times};

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
            results: registry.add(
                "controller_runtime_reconcile_total",
                &["controller", "result"],
                "Reconciles by result",
            ),
            errors: registry.add(
                "controller_runtime_reconcile_errors_total",
                &["controller"],
                "Reconciles that failed because the API server refused or did not answer a request",
            ),
            time: registry.add_with(
                short_times,
                "controller_runtime_reconcile_time_seconds",
                &["controller"],
                "Duration of reconciles",
            ),
            max_concurrent: registry.add(
                "controller_runtime_max_concurrent_reconciles",
                &["controller"],
                "Maximum number of reconciles at a time, over all watched scopes",
            ),
            active: registry.add(
                "controller_runtime_active_workers",
                &["controller"],
                "Reconciles under way",
            ),
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
