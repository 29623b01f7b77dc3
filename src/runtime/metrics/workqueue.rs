//! Metrics of a workqueue, under the names of client-go.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::definition::{Definition, Row, counter, gauge, histogram};
use super::labelled::{Labelled, Seconds, clamped, short_times, waits};

static QUEUE_DEPTH: Definition<1> = gauge("workqueue_depth", ["name"], "Objects in the workqueue");
static QUEUE_ADDS: Definition<1> =
    counter("workqueue_adds_total", ["name"], "Objects added to the workqueue");
static QUEUE_DURATION: Definition<1> = histogram(
    "workqueue_queue_duration_seconds",
    ["name"],
    "Time that objects waited in the workqueue until their reconcile began",
);
static QUEUE_WORK_DURATION: Definition<1> =
    histogram("workqueue_work_duration_seconds", ["name"], "Duration of reconciles");
static QUEUE_UNFINISHED: Definition<1> = gauge(
    "workqueue_unfinished_work_seconds",
    ["name"],
    "Sum of the times since the reconciles under way began",
);
static QUEUE_LONGEST: Definition<1> = gauge(
    "workqueue_longest_running_processor_seconds",
    ["name"],
    "Time since the oldest reconcile under way began",
);
static QUEUE_RETRIES: Definition<1> = counter(
    "workqueue_retries_total",
    ["name"],
    "Objects added to the workqueue again because their reconcile failed",
);

/// The metrics, for the documentation.
pub const ROWS: &[Row] = &[
    QUEUE_DEPTH.row(),
    QUEUE_ADDS.row(),
    QUEUE_DURATION.row(),
    QUEUE_WORK_DURATION.row(),
    QUEUE_UNFINISHED.row(),
    QUEUE_LONGEST.row(),
    QUEUE_RETRIES.row(),
];

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
            depth: Labelled::register(registry, &QUEUE_DEPTH, Gauge::default),
            adds: Labelled::register(registry, &QUEUE_ADDS, Counter::default),
            duration: Labelled::register(registry, &QUEUE_DURATION, waits),
            work_duration: Labelled::register(registry, &QUEUE_WORK_DURATION, short_times),
            unfinished: Labelled::register(registry, &QUEUE_UNFINISHED, Seconds::default),
            longest: Labelled::register(registry, &QUEUE_LONGEST, Seconds::default),
            retries: Labelled::register(registry, &QUEUE_RETRIES, Counter::default),
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

/// Metrics that no scrape shows.
impl Default for WorkqueueMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default(), "")
    }
}
