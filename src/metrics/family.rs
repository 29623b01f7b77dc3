//! Metrics with labels, made from their definitions.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::definitions::{Definition, Kind};

/// The value of a label.
pub(super) type Label = Cow<'static, str>;

/// A metric with `N` labels.
#[derive(Clone, Debug)]
pub(super) struct Labelled<const N: usize, M> {
    labels: [&'static str; N],
    family: Family<[(&'static str, Label); N], M>,
}

impl<const N: usize, M: Clone + EncodeMetric + TypedMetric + Send + Sync + std::fmt::Debug + 'static> Labelled<N, M> {
    /// Puts the metric of `definition` into `registry`.
    pub(super) fn register(registry: &mut Registry, definition: &'static Definition<N>, new: fn() -> M) -> Self {
        let family = Family::new_with_constructor(new);
        let row = definition.row();
        // The encoder puts these endings on again.
        match (row.kind, row.name.strip_suffix("_seconds")) {
            (Kind::Counter, _) => registry.register(row.name.trim_end_matches("_total"), row.help, family.clone()),
            (_, Some(name)) => registry.register_with_unit(name, row.help, Unit::Seconds, family.clone()),
            (_, None) => registry.register(row.name, row.help, family.clone()),
        }
        Self { labels: definition.labels, family }
    }

    /// The series with these values of its labels.
    pub(super) fn of(&self, values: [Label; N]) -> M {
        self.family.get_or_create_owned(&self.named(values))
    }

    /// Shows the series with these values no more.
    pub(super) fn remove(&self, values: [Label; N]) {
        self.family.remove(&self.named(values));
    }

    /// Shows none of the series no more.
    pub(super) fn clear(&self) {
        self.family.clear();
    }

    fn named(&self, values: [Label; N]) -> [(&'static str, Label); N] {
        let mut names = self.labels.into_iter();
        values.map(|value| (names.next().unwrap_or_default(), value))
    }
}
