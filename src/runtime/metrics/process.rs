//! Metrics of the process.

use prometheus_client::metrics::gauge::Gauge;

use super::registry::{Labelled, Registry, clamped};

/// The metrics of the process.
#[derive(Debug)]
pub struct ProcessMetrics {
    master_status: Labelled<1, Gauge>,
    tasks: Labelled<0, Gauge>,
}

impl ProcessMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            master_status: registry.add(
                "leader_election_master_status",
                &["name"],
                "1 where the process holds the Lease of this name, or runs without leader election",
            ),
            tasks: registry.add("athena_operator_tasks", &[], "Asynchronous tasks of the process"),
        }
    }

    /// Sets, at a scrape, the leadership over the Lease `lease` and the number of tasks.
    pub fn show(&self, lease: &str, leads: bool, tasks: usize) {
        self.master_status.of([lease.to_owned().into()]).set(leads.into());
        self.tasks.of([]).set(clamped(tasks));
    }
}
