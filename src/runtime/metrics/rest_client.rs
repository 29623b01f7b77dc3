//! Metrics of the requests to the API server, under the names of client-go.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::registry::{Label, Labelled, Registry, short_times};

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
            requests: registry.add(
                "rest_client_requests_total",
                &["code", "method"],
                "Requests to the API server by status and method; the code is <error> without a reply",
            ),
            duration: registry.add_with(
                short_times,
                "rest_client_request_duration_seconds",
                &["verb"],
                "Time from a request to the API server to the head of its reply",
            ),
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
