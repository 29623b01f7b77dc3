//! What an operator measures.

use std::collections::BTreeMap;

use anyhow::ensure;
use environment::Operator;

/// The samples that an operator shows, by name and labels.
pub fn samples(operator: &Operator) -> anyhow::Result<BTreeMap<String, f64>> {
    let (status, text) = operator.get("/metrics")?;
    ensure!(status == 200 && text.ends_with("# EOF\n"), "{text}");
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.trim_end_matches("{}").to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}

/// The value of a sample, whose labels are in the order of the table.
pub fn sample(operator: &Operator, sample: &str) -> anyhow::Result<Option<f64>> {
    Ok(samples(operator)?.get(sample).copied())
}

/// Counts the reconciles of an operator.
pub fn reconciles(operator: &Operator) -> anyhow::Result<u64> {
    sum(operator, "controller_runtime_reconcile_total", "")
}

/// Adds up the counts of a metric whose labels have this text.
pub fn sum(operator: &Operator, metric: &str, label: &str) -> anyhow::Result<u64> {
    let samples = samples(operator)?;
    let counts = samples.iter().filter(|(name, _)| name.starts_with(metric) && name.contains(label));
    Ok(counts.map(|(_, count)| *count).sum::<f64>().to_string().parse()?)
}
