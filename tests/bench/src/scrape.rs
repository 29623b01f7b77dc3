//! Counters in the Prometheus text format.

use std::collections::BTreeMap;

/// A sample: its labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The labels.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// The value.
    pub value: f64,
}

/// The samples of the metric `name` in `text`.
pub fn samples<'a>(text: &'a str, name: &str) -> Vec<Sample<'a>> {
    text.lines().filter_map(|line| sample(line.strip_prefix(name)?)).collect()
}

/// The rest of a line behind the name.
fn sample(rest: &str) -> Option<Sample<'_>> {
    // Another metric may begin with the name.
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    // No label that is asked for here has a comma or a quote in its value.
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    Some(Sample { labels: pairs.map(|(key, value)| (key, value.trim_matches('"'))).collect(), value })
}

/// The sum of the samples of `name` whose labels are `wanted`.
pub fn sum(text: &str, name: &str, wanted: impl Fn(&BTreeMap<&str, &str>) -> bool) -> f64 {
    samples(text, name).iter().filter(|sample| wanted(&sample.labels)).map(|sample| sample.value).sum()
}

/// What an API server says that it was asked for, by its `apiserver_request_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    /// Writes to AthenaSessions.
    pub objects: f64,
    /// Writes of events.
    pub events: f64,
    /// Writes to AthenaSessions that were refused with 409.
    pub conflicts: f64,
}

impl Requests {
    /// Those in the server's metrics.
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        for sample in samples(text, "apiserver_request_total") {
            let label = |name: &str| sample.labels.get(name).copied().unwrap_or_default();
            if !matches!(label("verb"), "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION") {
                continue;
            }
            match label("resource") {
                "athenasessions" => {
                    all.objects += sample.value;
                    all.conflicts += if label("code") == "409" { sample.value } else { 0.0 };
                }
                "events" => all.events += sample.value,
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="athena-operator.io",resource="athenasessions",subresource="status",verb="PATCH"} 7
apiserver_request_total{code="409",group="athena-operator.io",resource="athenasessions",subresource="",verb="PATCH"} 2
apiserver_request_total{code="200",group="athena-operator.io",resource="athenasessions",subresource="",verb="WATCH"} 9
apiserver_request_total{code="201",group="",resource="events",subresource="",verb="POST"} 1e+02
apiserver_request_total_other{resource="events",verb="POST"} 5
plain 3
plain_more 4
"#;

    #[test]
    fn writes_are_counted_by_what_they_are_to() {
        assert_eq!(Requests::read(TEXT), Requests { objects: 9.0, events: 100.0, conflicts: 2.0 });
    }

    #[test]
    fn a_metric_is_read_by_its_whole_name() {
        let told = |sum: f64| sum.to_string();
        assert_eq!(told(sum(TEXT, "plain", |_| true)), "3");
        assert_eq!(told(sum(TEXT, "apiserver_request_total", |labels| labels["code"] == "200")), "16");
    }
}
