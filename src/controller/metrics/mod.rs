//! Metrics of the operator: some are counted when something happens, the others are collected at each scrape.
//!
//! - `names`: names of namespaces and work groups as labels.
//! - `changes`: changes that are counted; `objects`: numbers and ages of the objects at a scrape.

mod changes;
mod names;
mod objects;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::jiff::SignedDuration;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

pub use self::changes::{Changes, DELETED, OTHER, changes, changes_of_release};
pub use self::names::MAX_LABELS;
use self::names::Names;
pub use self::objects::{Object, Objects, UNKNOWN_LABEL, tally};
use crate::api::EndReason;
use crate::athena::metrics::AthenaMetrics;
use crate::athena::observer::Observation;
use crate::athena::rate_limiter::Priority;
use crate::runtime::metrics::process::ProcessMetrics;
use crate::runtime::metrics::reconciles::ReconcileMetrics;
use crate::runtime::metrics::registry::{Label, Labelled, Registry, Row, Seconds};
use crate::runtime::metrics::rest_client::RestClientMetrics;
use crate::runtime::metrics::workqueue::{Backlog, WorkqueueMetrics};

/// The name of the controller in its metrics.
const CONTROLLER: &str = "athenasession";

/// Returns every metric of `athena-operator run`, in the order of the documentation.
pub fn table() -> Vec<Row> {
    Metrics::default().registry.rows
}

/// The operator's metrics. Every label takes its values from a fixed set, or from a bounded number of names.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    named: Mutex<Named>,
    objects: Labelled<3, Gauge>,
    sessions: Labelled<2, Gauge>,
    session_age: Labelled<2, Seconds>,
    deletion_age: Labelled<1, Seconds>,
    start_duration: Labelled<1, Histogram>,
    restarts: Labelled<1, Counter>,
    ends: Labelled<1, Counter>,
    dpu: Labelled<2, Counter>,
    retained: Labelled<2, Counter>,
    observation_age: Labelled<1, Seconds>,
    foreign_sessions: Labelled<1, Gauge>,
    refused_namespaces: Labelled<1, Gauge>,
    clock_skew: Labelled<0, Seconds>,
    writes: Labelled<2, Counter>,
    /// Metrics of the calls to Athena.
    pub athena: Arc<AthenaMetrics>,
    /// Metrics of the reconciles.
    pub reconciles: ReconcileMetrics,
    /// Metrics of the workqueues.
    pub workqueue: Arc<WorkqueueMetrics>,
    /// Metrics of the requests to the API server.
    pub rest_client: Arc<RestClientMetrics>,
    process: ProcessMetrics,
}

/// Names that are labels, and the series that stay under them.
#[derive(Debug, Default)]
struct Named {
    namespaces: Names,
    work_groups: Names,
    /// States and reasons, of which a status may have any.
    words: Names,
    dpu: HashSet<[Label; 2]>,
    retained: HashSet<[Label; 2]>,
    started: HashSet<Label>,
}

/// Values that a scrape collects.
#[derive(Debug)]
pub struct Scraped<'a> {
    /// Numbers and ages of the objects.
    pub objects: Objects<'a>,
    /// Observations of the sweeps.
    pub observations: Vec<Observation>,
    /// Backlog of the workqueues.
    pub backlog: Backlog,
    /// The namespaces whose objects the API server refuses to list; an empty name stands for all of them.
    pub refused: Vec<String>,
    /// Time by which the node's clock is ahead of Athena's, once that is known.
    pub clock_skew: Option<SignedDuration>,
    /// Number of tasks of the process.
    pub tasks: usize,
    /// Name of the Lease.
    pub lease: &'a str,
    /// True if this process acts.
    pub leads: bool,
}

fn long_times() -> Histogram {
    Histogram::new([
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            named: Mutex::default(),
            objects: registry.add(
                "athena_operator_athenasessions",
                &["namespace", "ready", "reason"],
                "AthenaSessions by status and reason of Ready",
            ),
            sessions: registry.add(
                "athena_operator_sessions",
                &["work_group", "state"],
                "Sessions of AthenaSessions that have not ended, by the state that Athena gives",
            ),
            session_age: registry.add(
                "athena_operator_session_age_seconds",
                &["namespace", "work_group"],
                "Age of the oldest session that has not ended",
            ),
            deletion_age: registry.add(
                "athena_operator_deletion_age_seconds",
                &["namespace"],
                "Time since the oldest deletion of an AthenaSession that still has the operator's finalizer",
            ),
            start_duration: registry.add_with(
                long_times,
                "athena_operator_start_duration_seconds",
                &["work_group"],
                "Time from the creation or resume of an AthenaSession until its first session was IDLE or BUSY",
            ),
            restarts: registry.add(
                "athena_operator_restarts_total",
                &["reason"],
                "Restarts and resumes, by the endReason of the attempt before",
            ),
            ends: registry.add(
                "athena_operator_ends_total",
                &["reason"],
                "Ended attempts, by endReason; Deleted if the session ended because its object was deleted",
            ),
            dpu: registry.add(
                "athena_operator_dpu_milliseconds_total",
                &["namespace", "work_group"],
                "DPU time of sessions that have ended, as Athena reports it, in milliseconds",
            ),
            retained: registry.add(
                "athena_operator_retained_sessions_total",
                &["namespace", "work_group"],
                "Sessions that may run on without their AthenaSession, which was deleted with deletionPolicy Retain",
            ),
            observation_age: registry.add(
                "athena_operator_work_group_observation_age_seconds",
                &["work_group"],
                "Time since the last complete list of a work group's sessions; the operator lists only work groups with live sessions",
            ),
            foreign_sessions: registry.add(
                "athena_operator_foreign_sessions",
                &["work_group"],
                "Sessions in the last complete list of a work group that belong to no AthenaSession of this operator",
            ),
            refused_namespaces: registry.add(
                "athena_operator_refused_namespaces",
                &["namespace"],
                "1 for each watched namespace whose AthenaSessions the API server refuses to list; an empty name stands for all namespaces",
            ),
            clock_skew: registry.add(
                "athena_operator_clock_skew_seconds",
                &[],
                "Time by which the node's clock is ahead of Athena's clock, with which times are compared. Absent before Athena's first reply",
            ),
            writes: registry.add(
                "athena_operator_writes_total",
                &["write", "result"],
                "Writes to the API server by kind (finalizer, status, object: its deletion after the TTL, event) and result (ok, conflict, gone, refused, error, dropped)",
            ),
            athena: Arc::new(AthenaMetrics::register(&mut registry, Priority::ALL.map(Priority::name))),
            reconciles: ReconcileMetrics::register(&mut registry, CONTROLLER),
            workqueue: Arc::new(WorkqueueMetrics::register(&mut registry, CONTROLLER)),
            rest_client: Arc::new(RestClientMetrics::register(&mut registry)),
            process: ProcessMetrics::register(&mut registry),
            registry,
        };
        metrics.begin();
        metrics
    }
}

impl Metrics {
    /// Creates the series whose labels are known from the start.
    fn begin(&self) {
        for reason in EndReason::WORDS {
            self.restarts.of([Label::Borrowed(reason)]);
        }
        for reason in EndReason::WORDS.iter().chain([&DELETED]) {
            self.ends.of([Label::Borrowed(reason)]);
        }
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock()
    }

    /// Counts a write to the API server: `write` is finalizer, status, object or event, `result` ok, conflict, gone, error or, of an event, dropped.
    pub fn written(&self, write: &'static str, result: &'static str) {
        self.writes.of([write.into(), result.into()]).inc();
    }

    /// Counts the changes of an object of `namespace` and `work_group`.
    pub fn changed(&self, changes: &Changes, namespace: &str, work_group: &str) {
        if let Some(reason) = changes.restart {
            self.restarts.of([reason.into()]).inc();
        }
        if let Some(reason) = changes.end {
            self.ends.of([reason.into()]).inc();
        }
        if changes.start.is_none() && changes.dpu_millis == 0 {
            return;
        }
        let now = Instant::now();
        let mut named = self.named();
        let work_group = named.work_groups.label(work_group, now);
        if let Some(duration) = changes.start {
            self.start_duration.of([work_group.clone()]).observe(duration.as_secs_f64());
            named.started.insert(work_group.clone());
        }
        if changes.dpu_millis > 0 {
            let labels = [named.namespaces.label(namespace, now), work_group];
            self.dpu.of(labels.clone()).inc_by(changes.dpu_millis);
            named.dpu.insert(labels);
        }
    }

    /// Counts a session of `namespace` and `work_group` that runs on without its object.
    pub fn retained(&self, namespace: &str, work_group: &str) {
        let now = Instant::now();
        let mut named = self.named();
        let labels = [named.namespaces.label(namespace, now), named.work_groups.label(work_group, now)];
        self.retained.of(labels.clone()).inc();
        named.retained.insert(labels);
    }

    /// Returns all metrics in the OpenMetrics text format, with the values that were `scraped` at `now`.
    pub fn encode(&self, scraped: &Scraped<'_>, now: Instant) -> String {
        // Locked to the end: two scrapes at a time would show each other's halves.
        let mut named = self.named();
        self.show(scraped, &mut named, now);
        self.registry.encode()
    }

    fn show(&self, scraped: &Scraped<'_>, named: &mut Named, now: Instant) {
        let objects = &scraped.objects;
        self.objects.clear();
        for (&(namespace, ready, reason), count) in &objects.counts {
            self.objects
                .of([named.namespaces.label(namespace, now), ready.into(), named.words.label(reason, now)])
                .inc_by(*count);
        }
        self.sessions.clear();
        for (&(work_group, state), count) in &objects.sessions {
            self.sessions
                .of([named.work_groups.label(work_group, now), named.words.label(state, now)])
                .inc_by(*count);
        }
        self.session_age.clear();
        for (&(namespace, work_group), age) in &objects.session_ages {
            let labels = [named.namespaces.label(namespace, now), named.work_groups.label(work_group, now)];
            raise(&self.session_age.of(labels.clone()), *age);
            // The series begins at 0 while the session lives, so that a retained session is an increase.
            self.retained.of(labels.clone());
            named.retained.insert(labels);
        }
        self.deletion_age.clear();
        for (&namespace, age) in &objects.deletion_ages {
            raise(&self.deletion_age.of([named.namespaces.label(namespace, now)]), *age);
        }
        for work_group in &objects.work_groups {
            named.work_groups.label(work_group, now);
        }
        self.observation_age.clear();
        self.foreign_sessions.clear();
        for seen in &scraped.observations {
            let label = named.work_groups.label(&seen.work_group, now);
            raise(
                &self.observation_age.of([label.clone()]),
                SignedDuration::try_from(seen.age).unwrap_or(SignedDuration::MAX),
            );
            if let Some(unclaimed) = &seen.unclaimed {
                let foreign =
                    unclaimed.iter().filter(|id| !objects.session_ids.contains(id.as_str())).count();
                self.foreign_sessions.of([label]).inc_by(i64::try_from(foreign).unwrap_or(i64::MAX));
            }
        }
        self.workqueue.show(scraped.backlog);
        self.refused_namespaces.clear();
        for namespace in &scraped.refused {
            self.refused_namespaces.of([named.namespaces.label(namespace, now)]).set(1);
        }
        self.clock_skew.clear();
        if let Some(skew) = scraped.clock_skew {
            self.clock_skew.of([]).set(skew.as_secs_f64());
        }
        self.process.show(scraped.lease, scraped.leads, scraped.tasks);
        self.expire(named, now);
    }

    /// Removes the series of names that are no longer labels.
    fn expire(&self, named: &mut Named, now: Instant) {
        named.namespaces.expire(now);
        named.work_groups.expire(now);
        named.words.expire(now);
        let (namespaces, work_groups) = (&named.namespaces, &named.work_groups);
        let is_over =
            |[namespace, work_group]: &[Label; 2]| !namespaces.has(namespace) || !work_groups.has(work_group);
        named.dpu.extract_if(is_over).for_each(|labels| self.dpu.remove(labels));
        named.retained.extract_if(is_over).for_each(|labels| self.retained.remove(labels));
        for label in named.started.extract_if(|work_group| !work_groups.has(work_group)) {
            self.start_duration.remove([label]);
        }
    }
}

/// Raises `gauge` to `age`, unless it is higher already: the oldest counts.
fn raise(gauge: &Seconds, age: SignedDuration) {
    gauge.set(gauge.get().max(age.as_secs_f64()));
}

#[cfg(test)]
mod tests;
