//! Metrics of the requests to the API server, under the names of client-go.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::definition::{Definition, Row, counter, histogram};
use super::labelled::{Label, Labelled, short_times};

static REST_REQUESTS: Definition<2> = counter(
    "rest_client_requests_total",
    ["code", "method"],
    "Requests to the API server by status and method; the code is <error> without a reply",
);
static REST_REQUEST_DURATION: Definition<1> = histogram(
    "rest_client_request_duration_seconds",
    ["verb"],
    "Time from a request to the API server to the head of its reply",
);

/// The metrics, for the documentation.
pub const ROWS: &[Row] = &[REST_REQUESTS.row(), REST_REQUEST_DURATION.row()];

/// The metrics of the clients of the API server.
#[derive(Debug)]
pub struct RestClientMetrics {
    requests: Labelled<2, Counter>,
    duration: Labelled<1, Histogram>,
}

impl RestClientMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            requests: Labelled::register(registry, &REST_REQUESTS, Counter::default),
            duration: Labelled::register(registry, &REST_REQUEST_DURATION, short_times),
        }
    }

    /// Counts a request. `code` is `None` if no reply came.
    pub fn requested(&self, method: &Method, code: Option<StatusCode>, duration: Duration) {
        let method: Label = method.as_str().to_owned().into();
        let code = code.map_or(Label::Borrowed("<error>"), |code| code.as_str().to_owned().into());
        self.requests.of([code, method.clone()]).inc();
        self.duration.of([method]).observe(duration.as_secs_f64());
    }
}

/// Metrics that no scrape shows.
impl Default for RestClientMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
