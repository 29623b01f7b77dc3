//! Metrics with labels, made from their definitions.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::definition::{Definition, Kind};

/// The value of a label.
pub(crate) type Label = Cow<'static, str>;

/// A metric with `N` labels.
#[derive(Clone, Debug)]
pub(crate) struct Labelled<const N: usize, M> {
    labels: [&'static str; N],
    family: Family<[(&'static str, Label); N], M>,
}

impl<const N: usize, M: Clone + EncodeMetric + TypedMetric + Send + Sync + std::fmt::Debug + 'static>
    Labelled<N, M>
{
    /// Registers the metric of `definition` in `registry`.
    pub(crate) fn register(
        registry: &mut Registry,
        definition: &'static Definition<N>,
        new: fn() -> M,
    ) -> Self {
        let family = Family::new_with_constructor(new);
        let row = definition.row();
        // The encoder appends these endings again.
        match (row.kind, row.name.strip_suffix("_seconds")) {
            (Kind::Counter, _) => {
                registry.register(row.name.trim_end_matches("_total"), row.help, family.clone());
            }
            (_, Some(name)) => registry.register_with_unit(name, row.help, Unit::Seconds, family.clone()),
            (_, None) => registry.register(row.name, row.help, family.clone()),
        }
        Self { labels: definition.labels, family }
    }

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
        let mut names = self.labels.into_iter();
        values.map(|value| (names.next().unwrap_or_default(), value))
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
