//! Exporter of `/metrics`: counters, and gauges of the present state of the process.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use crate::controller::context::Operator;
use crate::controller::metrics::{Scraped, tally};
use crate::runtime::leadership::Leadership;
use crate::runtime::readiness::Readiness;

/// Exporter of the metrics of a process.
pub struct Exporter {
    /// Operator that holds the metrics and the objects.
    pub operator: Arc<Operator>,
    /// Readiness, which has the namespaces that the API server refuses to list.
    pub readiness: Readiness,
    /// Leadership of the process.
    pub leadership: Leadership,
    /// Name of the process's Lease.
    pub lease: String,
}

impl Exporter {
    /// Returns all metrics in the OpenMetrics text format. A process that waits for the lease holds no objects, and shows none. Must run in the Tokio
    /// runtime whose tasks it counts.
    pub fn text(&self) -> String {
        let received = self.operator.objects();
        let objects = tally(
            received.iter().map(|object| object.0.as_ref()),
            self.operator.clock.now(),
            self.operator.api_server_clock.now(),
        );
        let live: HashSet<&str> = objects.sessions.keys().map(|(work_group, _)| *work_group).collect();
        let observations = self.operator.observer.observations(|work_group| live.contains(work_group));
        let scraped = Scraped {
            objects,
            observations,
            backlog: self.operator.trigger.backlog(Instant::now()),
            refused: self.readiness.refused().into_iter().map(|(namespace, _)| namespace).collect(),
            clock_skew: self.operator.clock.node_skew(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            lease: &self.lease,
            leads: self.leadership.is_held(),
        };
        self.operator.metrics.encode(&scraped, Instant::now())
    }
}
