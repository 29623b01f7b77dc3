//! Metrics of a workqueue, under the names of client-go.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::registry::{Labelled, Registry, Seconds, clamped, short_times, waits};

/// Backlog of a workqueue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Number of objects that wait.
    pub depth: usize,
    /// Sum of the times since the running reconciles began.
    pub unfinished: Duration,
    /// Longest of these times.
    pub longest: Duration,
}

impl Backlog {
    /// Returns both backlogs together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let longest = self.longest.max(other.longest);
        Self { depth: self.depth + other.depth, unfinished: self.unfinished + other.unfinished, longest }
    }
}

/// The metrics of the workqueues of one controller.
#[derive(Debug)]
pub struct WorkqueueMetrics {
    name: &'static str,
    depth: Labelled<1, Gauge>,
    adds: Labelled<1, Counter>,
    duration: Labelled<1, Histogram>,
    work_duration: Labelled<1, Histogram>,
    unfinished: Labelled<1, Seconds>,
    longest: Labelled<1, Seconds>,
    retries: Labelled<1, Counter>,
}

impl WorkqueueMetrics {
    /// Registers the metrics of the controller `name`.
    pub fn register(registry: &mut Registry, name: &'static str) -> Self {
        let metrics = Self {
            name,
            depth: registry.add("workqueue_depth", &["name"], "Objects in the workqueue"),
            adds: registry.add("workqueue_adds_total", &["name"], "Objects added to the workqueue"),
            duration: registry.add_with(
                waits,
                "workqueue_queue_duration_seconds",
                &["name"],
                "Time that objects waited in the workqueue until their reconcile began",
            ),
            work_duration: registry.add_with(
                short_times,
                "workqueue_work_duration_seconds",
                &["name"],
                "Duration of reconciles",
            ),
            unfinished: registry.add(
                "workqueue_unfinished_work_seconds",
                &["name"],
                "Sum of the times since the reconciles under way began",
            ),
            longest: registry.add(
                "workqueue_longest_running_processor_seconds",
                &["name"],
                "Time since the oldest reconcile under way began",
            ),
            retries: registry.add(
                "workqueue_retries_total",
                &["name"],
                "Objects added to the workqueue again because their reconcile failed",
            ),
        };
        metrics.adds.of([name.into()]);
        metrics.duration.of([name.into()]);
        metrics.work_duration.of([name.into()]);
        metrics.retries.of([name.into()]);
        metrics
    }

    /// Counts an object that is added.
    pub fn added(&self) {
        self.adds.of([self.name.into()]).inc();
    }

    /// Counts the time for which an object was in the queue.
    pub fn dequeued(&self, wait: Duration) {
        self.duration.of([self.name.into()]).observe(wait.as_secs_f64());
    }

    /// Counts a reconcile of an object, which is added again if it failed.
    pub fn worked(&self, succeeded: bool, duration: Duration) {
        if !succeeded {
            self.retries.of([self.name.into()]).inc();
        }
        self.work_duration.of([self.name.into()]).observe(duration.as_secs_f64());
    }

    /// Sets the backlog at a scrape.
    pub fn show(&self, backlog: Backlog) {
        self.depth.of([self.name.into()]).set(clamped(backlog.depth));
        self.unfinished.of([self.name.into()]).set(backlog.unfinished.as_secs_f64());
        self.longest.of([self.name.into()]).set(backlog.longest.as_secs_f64());
    }
}
