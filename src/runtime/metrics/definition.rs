//! The definition of a metric: name, kind, labels and meaning. The registry is made of definitions, and so is `docs/metrics.md`.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Value that only grows, except for a restart of the process.
    Counter,
    /// Value at the time of the scrape.
    Gauge,
    /// Counts by size: the name stands for `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// Returns the word of the text format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Metric with `N` labels.
#[derive(Debug)]
pub struct Definition<const N: usize> {
    pub(crate) name: &'static str,
    pub(crate) labels: [&'static str; N],
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// A metric, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name, as it stands in a query.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Meaning of the metric.
    pub help: &'static str,
}

impl<const N: usize> Definition<N> {
    /// Returns the metric as the documentation has it.
    pub const fn row(&'static self) -> Row {
        Row { name: self.name, kind: self.kind, labels: &self.labels, help: self.help }
    }
}

/// Defines a counter.
pub const fn counter<const N: usize>(
    name: &'static str,
    labels: [&'static str; N],
    help: &'static str,
) -> Definition<N> {
    Definition { name, labels, kind: Kind::Counter, help }
}

/// Defines a gauge.
pub const fn gauge<const N: usize>(
    name: &'static str,
    labels: [&'static str; N],
    help: &'static str,
) -> Definition<N> {
    Definition { name, labels, kind: Kind::Gauge, help }
}

/// Defines a histogram.
pub const fn histogram<const N: usize>(
    name: &'static str,
    labels: [&'static str; N],
    help: &'static str,
) -> Definition<N> {
    Definition { name, labels, kind: Kind::Histogram, help }
}
