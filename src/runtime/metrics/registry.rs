//! The registry of metrics with labels. A scrape shows it, and its rows are those of `docs/metrics.md`.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{self, Metric, Unit};

/// A metric, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name, as it stands in a query; that of a histogram stands for `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Meaning of the metric.
    pub help: &'static str,
}

/// Metrics, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Registry {
    metrics: registry::Registry,
    /// The same metrics, for the documentation.
    pub rows: Vec<Row>,
}

impl Registry {
    /// Adds a counter or a gauge with these labels.
    pub(crate) fn add<const N: usize, M: Metric + TypedMetric + Clone + Default>(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Labelled<N, M> {
        self.add_with(M::default, name, labels, help)
    }

    /// Adds a metric with these labels, whose series `new` creates.
    pub(crate) fn add_with<const N: usize, M: Metric + TypedMetric + Clone>(
        &mut self,
        new: fn() -> M,
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Labelled<N, M> {
        let family = Family::new_with_constructor(new);
        // The encoder appends these endings again.
        match name.strip_suffix("_seconds") {
            Some(name) => self.metrics.register_with_unit(name, help, Unit::Seconds, family.clone()),
            None => self.metrics.register(name.trim_end_matches("_total"), help, family.clone()),
        }
        self.rows.push(Row { name, kind: M::TYPE, labels, help });
        Labelled { labels, family }
    }

    /// Returns all metrics in the OpenMetrics text format.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.metrics);
        text
    }
}

/// The value of a label.
pub(crate) type Label = Cow<'static, str>;

/// A metric with `N` labels.
#[derive(Clone, Debug)]
pub(crate) struct Labelled<const N: usize, M> {
    labels: &'static [&'static str; N],
    family: Family<[(&'static str, Label); N], M>,
}

impl<const N: usize, M: Clone> Labelled<N, M> {
    /// Returns the series with these values of its labels.
    pub(crate) fn of(&self, values: [Label; N]) -> M {
        self.family.get_or_create_owned(&self.named(values))
    }

    /// Removes the series with these values.
    pub(crate) fn remove(&self, values: [Label; N]) {
        self.family.remove(&self.named(values));
    }

    /// Removes all series.
    pub(crate) fn clear(&self) {
        self.family.clear();
    }

    fn named(&self, values: [Label; N]) -> [(&'static str, Label); N] {
        let mut names = self.labels.iter();
        values.map(|value| (*names.next().unwrap_or(&""), value))
    }
}

/// A number of seconds.
pub(crate) type Seconds = Gauge<f64, AtomicU64>;

/// Creates a histogram of times of less than half a minute.
pub(crate) fn short_times() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

/// Creates a histogram of waits of up to ten minutes.
pub(crate) fn waits() -> Histogram {
    Histogram::new([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0])
}

/// Returns `count` as the value of a gauge.
pub(crate) fn clamped(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
