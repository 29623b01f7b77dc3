//! What `/metrics` shows: what is counted when it happens, and what is taken from elsewhere at each scrape.

mod changes;
mod definitions;
mod family;
mod names;
mod objects;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use self::changes::{Changes, DELETED, OTHER, changes, changes_of_release};
pub use self::definitions::{Kind, Row, TABLE};
use self::family::{Label, Labelled};
pub use self::names::MOST as MOST_NAMES;
use self::names::Names;
pub use self::objects::{Object, Objects, UNTOLD, tally};
use crate::api::EndReason;
use crate::athena::rate_limiter::Priority;
use crate::observer::Observation;
use crate::runtime::workqueue::Backlog;

/// A number of seconds.
type Seconds = Gauge<f64, AtomicU64>;

/// The operator's metrics. Every label takes its values from a fixed set, or is one of so many names.
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
    athena_calls: Labelled<2, Counter>,
    athena_call_duration: Labelled<1, Histogram>,
    limiter_wait: Labelled<1, Histogram>,
    refused_namespaces: Labelled<1, Gauge>,
    clock_skew: Labelled<0, Seconds>,
    writes: Labelled<2, Counter>,
    reconciles: Labelled<2, Counter>,
    reconcile_errors: Labelled<1, Counter>,
    reconcile_time: Labelled<1, Histogram>,
    max_concurrent_reconciles: Labelled<1, Gauge>,
    active_workers: Labelled<1, Gauge>,
    queue_depth: Labelled<1, Gauge>,
    queue_adds: Labelled<1, Counter>,
    queue_duration: Labelled<1, Histogram>,
    queue_work_duration: Labelled<1, Histogram>,
    queue_unfinished: Labelled<1, Seconds>,
    queue_longest: Labelled<1, Seconds>,
    queue_retries: Labelled<1, Counter>,
    rest_requests: Labelled<2, Counter>,
    rest_request_duration: Labelled<1, Histogram>,
    master_status: Labelled<1, Gauge>,
    tasks: Labelled<0, Gauge>,
}

/// The names that are labels, and the series that stay under them.
#[derive(Debug, Default)]
struct Named {
    namespaces: Names,
    work_groups: Names,
    /// States and reasons, of which there may be any in a status.
    words: Names,
    dpu: HashSet<[Label; 2]>,
    retained: HashSet<[Label; 2]>,
    started: HashSet<Label>,
}

/// What is taken from elsewhere at a scrape.
#[derive(Debug)]
pub struct Scraped<'a> {
    /// What the objects come to.
    pub objects: Objects<'a>,
    /// What the sweeps have seen.
    pub observations: Vec<Observation>,
    /// What waits for a reconcile.
    pub backlog: Backlog,
    /// The namespaces whose objects the API server refuses to list; an empty name stands for all of them.
    pub refused: Vec<String>,
    /// By how much the node's clock is ahead of Athena's, once that is known.
    pub clock_skew: Option<SignedDuration>,
    /// The tasks of the process.
    pub tasks: usize,
    /// The name of the lease.
    pub lease: &'a str,
    /// Whether this process acts.
    pub leads: bool,
}

const CONTROLLER: &str = "athenasession";
/// Athena's code for a call too many, and the operations: their series begin at 0, so that the first one is an increase.
const THROTTLED: &str = "ThrottlingException";
const OPERATIONS: [&str; 6] = ["GetSession", "GetSessionStatus", "GetWorkGroup", "ListSessions", "StartSession", "TerminateSession"];

fn short_times() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

fn long_times() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0])
}

fn waits() -> Histogram {
    Histogram::new([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0])
}

impl Default for Metrics {
    fn default() -> Self {
        use definitions as is;
        let mut all = Registry::default();
        let registry = &mut all;
        let mut metrics = Self {
            registry: Registry::default(),
            named: Mutex::default(),
            objects: Labelled::register(registry, &is::OBJECTS, Gauge::default),
            sessions: Labelled::register(registry, &is::SESSIONS, Gauge::default),
            session_age: Labelled::register(registry, &is::SESSION_AGE, Seconds::default),
            deletion_age: Labelled::register(registry, &is::DELETION_AGE, Seconds::default),
            start_duration: Labelled::register(registry, &is::START_DURATION, long_times),
            restarts: Labelled::register(registry, &is::RESTARTS, Counter::default),
            ends: Labelled::register(registry, &is::ENDS, Counter::default),
            dpu: Labelled::register(registry, &is::DPU, Counter::default),
            retained: Labelled::register(registry, &is::RETAINED, Counter::default),
            observation_age: Labelled::register(registry, &is::OBSERVATION_AGE, Seconds::default),
            foreign_sessions: Labelled::register(registry, &is::FOREIGN_SESSIONS, Gauge::default),
            athena_calls: Labelled::register(registry, &is::ATHENA_CALLS, Counter::default),
            athena_call_duration: Labelled::register(registry, &is::ATHENA_CALL_DURATION, short_times),
            limiter_wait: Labelled::register(registry, &is::LIMITER_WAIT, waits),
            refused_namespaces: Labelled::register(registry, &is::REFUSED_NAMESPACES, Gauge::default),
            clock_skew: Labelled::register(registry, &is::CLOCK_SKEW, Seconds::default),
            writes: Labelled::register(registry, &is::WRITES, Counter::default),
            reconciles: Labelled::register(registry, &is::RECONCILES, Counter::default),
            reconcile_errors: Labelled::register(registry, &is::RECONCILE_ERRORS, Counter::default),
            reconcile_time: Labelled::register(registry, &is::RECONCILE_TIME, short_times),
            max_concurrent_reconciles: Labelled::register(registry, &is::MAX_CONCURRENT_RECONCILES, Gauge::default),
            active_workers: Labelled::register(registry, &is::ACTIVE_WORKERS, Gauge::default),
            queue_depth: Labelled::register(registry, &is::QUEUE_DEPTH, Gauge::default),
            queue_adds: Labelled::register(registry, &is::QUEUE_ADDS, Counter::default),
            queue_duration: Labelled::register(registry, &is::QUEUE_DURATION, waits),
            queue_work_duration: Labelled::register(registry, &is::QUEUE_WORK_DURATION, short_times),
            queue_unfinished: Labelled::register(registry, &is::QUEUE_UNFINISHED, Seconds::default),
            queue_longest: Labelled::register(registry, &is::QUEUE_LONGEST, Seconds::default),
            queue_retries: Labelled::register(registry, &is::QUEUE_RETRIES, Counter::default),
            rest_requests: Labelled::register(registry, &is::REST_REQUESTS, Counter::default),
            rest_request_duration: Labelled::register(registry, &is::REST_REQUEST_DURATION, short_times),
            master_status: Labelled::register(registry, &is::MASTER_STATUS, Gauge::default),
            tasks: Labelled::register(registry, &is::TASKS, Gauge::default),
        };
        metrics.registry = all;
        metrics.begin();
        metrics
    }
}

impl Metrics {
    /// Makes the series whose labels are known from the start.
    fn begin(&self) {
        for reason in EndReason::WORDS {
            self.restarts.of([Label::Borrowed(reason)]);
        }
        for reason in EndReason::WORDS.iter().chain([&DELETED]) {
            self.ends.of([Label::Borrowed(reason)]);
        }
        for operation in OPERATIONS {
            self.athena_calls.of([operation.into(), THROTTLED.into()]);
        }
        for result in ["success", "error"] {
            self.reconciles.of([CONTROLLER.into(), result.into()]);
        }
        self.reconcile_errors.of([CONTROLLER.into()]);
        self.reconcile_time.of([CONTROLLER.into()]);
        self.active_workers.of([CONTROLLER.into()]);
        self.queue_adds.of([CONTROLLER.into()]);
        self.queue_duration.of([CONTROLLER.into()]);
        self.queue_work_duration.of([CONTROLLER.into()]);
        self.queue_retries.of([CONTROLLER.into()]);
        for priority in Priority::ALL {
            self.limiter_wait.of([priority.name().into()]);
        }
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call to Athena.
    pub fn athena_call(&self, operation: &'static str, code: &'static str, duration: Duration) {
        self.athena_calls.of([operation.into(), code.into()]).inc();
        self.athena_call_duration.of([operation.into()]).observe(duration.as_secs_f64());
    }

    /// Counts a wait for a turn.
    pub fn waited(&self, priority: Priority, duration: Duration) {
        self.limiter_wait.of([priority.name().into()]).observe(duration.as_secs_f64());
    }

    /// Counts a request to the API server. `code` is nothing where no reply came.
    pub fn api_request(&self, method: &http::Method, code: Option<http::StatusCode>, duration: Duration) {
        let method: Label = method.as_str().to_owned().into();
        let code = code.map_or(Label::Borrowed("<error>"), |code| code.as_str().to_owned().into());
        self.rest_requests.of([code, method.clone()]).inc();
        self.rest_request_duration.of([method]).observe(duration.as_secs_f64());
    }

    /// Tells how many reconciles may run at a time.
    pub fn may_reconcile(&self, at_a_time: usize) {
        self.max_concurrent_reconciles.of([CONTROLLER.into()]).set(i64::try_from(at_a_time).unwrap_or(i64::MAX));
    }

    /// Counts a reconcile that begins.
    pub fn reconciling(&self) {
        self.active_workers.of([CONTROLLER.into()]).inc();
    }

    /// Counts a reconcile that has ended.
    pub fn reconciled(&self, succeeded: bool, duration: Duration) {
        self.active_workers.of([CONTROLLER.into()]).dec();
        self.reconciles.of([CONTROLLER.into(), if succeeded { "success" } else { "error" }.into()]).inc();
        if !succeeded {
            self.reconcile_errors.of([CONTROLLER.into()]).inc();
            self.queue_retries.of([CONTROLLER.into()]).inc();
        }
        self.reconcile_time.of([CONTROLLER.into()]).observe(duration.as_secs_f64());
        self.queue_work_duration.of([CONTROLLER.into()]).observe(duration.as_secs_f64());
    }

    /// Counts an object that is put in line for a reconcile.
    pub fn queued(&self) {
        self.queue_adds.of([CONTROLLER.into()]).inc();
    }

    /// Counts how long an object was in line.
    pub fn dequeued(&self, wait: Duration) {
        self.queue_duration.of([CONTROLLER.into()]).observe(wait.as_secs_f64());
    }

    /// Counts a write to the API server: `write` is finalizer, status, object or event, `result` ok, conflict, gone, error or, of an event, dropped.
    pub fn written(&self, write: &'static str, result: &'static str) {
        self.writes.of([write.into(), result.into()]).inc();
    }

    /// Counts what is new about an object of `namespace` and `work_group`.
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

    /// All metrics in the OpenMetrics text format, with what was `scraped` at `now`.
    pub fn encode(&self, scraped: &Scraped<'_>, now: Instant) -> String {
        // Held to the end: two scrapes at a time would show each other's halves.
        let mut named = self.named();
        self.show(scraped, &mut named, now);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    fn show(&self, scraped: &Scraped<'_>, named: &mut Named, now: Instant) {
        let objects = &scraped.objects;
        self.objects.clear();
        for (&(namespace, ready, reason), count) in &objects.counts {
            self.objects.of([named.namespaces.label(namespace, now), ready.into(), named.words.label(reason, now)]).inc_by(*count);
        }
        self.sessions.clear();
        for (&(work_group, state), count) in &objects.sessions {
            self.sessions.of([named.work_groups.label(work_group, now), named.words.label(state, now)]).inc_by(*count);
        }
        self.session_age.clear();
        for (&(namespace, work_group), age) in &objects.session_ages {
            let labels = [named.namespaces.label(namespace, now), named.work_groups.label(work_group, now)];
            raise(&self.session_age.of(labels.clone()), *age);
            // The series begins at 0 while the session lives, so that its being retained is an increase.
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
            raise(&self.observation_age.of([label.clone()]), SignedDuration::try_from(seen.age).unwrap_or(SignedDuration::MAX));
            if let Some(unclaimed) = &seen.unclaimed {
                let foreign = unclaimed.iter().filter(|id| !objects.session_ids.contains(id.as_str())).count();
                self.foreign_sessions.of([label]).inc_by(i64::try_from(foreign).unwrap_or(i64::MAX));
            }
        }
        let backlog = scraped.backlog;
        self.queue_depth.of([CONTROLLER.into()]).set(i64::try_from(backlog.depth).unwrap_or(i64::MAX));
        self.queue_unfinished.of([CONTROLLER.into()]).set(backlog.unfinished.as_secs_f64());
        self.queue_longest.of([CONTROLLER.into()]).set(backlog.longest.as_secs_f64());
        self.refused_namespaces.clear();
        for namespace in &scraped.refused {
            self.refused_namespaces.of([named.namespaces.label(namespace, now)]).set(1);
        }
        self.clock_skew.clear();
        if let Some(skew) = scraped.clock_skew {
            self.clock_skew.of([]).set(skew.as_secs_f64());
        }
        self.tasks.of([]).set(i64::try_from(scraped.tasks).unwrap_or(i64::MAX));
        self.master_status.of([scraped.lease.to_owned().into()]).set(scraped.leads.into());
        self.expire(named, now);
    }

    /// Shows what was counted under names that are no labels any more no more.
    fn expire(&self, named: &mut Named, now: Instant) {
        named.namespaces.expire(now);
        named.work_groups.expire(now);
        named.words.expire(now);
        let (namespaces, work_groups) = (&named.namespaces, &named.work_groups);
        for labels in named.dpu.extract_if(|[namespace, work_group]| !namespaces.has(namespace) || !work_groups.has(work_group)) {
            self.dpu.remove(labels);
        }
        for labels in named.retained.extract_if(|[namespace, work_group]| !namespaces.has(namespace) || !work_groups.has(work_group)) {
            self.retained.remove(labels);
        }
        for label in named.started.extract_if(|work_group| !work_groups.has(work_group)) {
            self.start_duration.remove([label]);
        }
    }
}

/// Sets `gauge` to `age`, unless it is higher: the oldest counts.
fn raise(gauge: &Seconds, age: SignedDuration) {
    gauge.set(gauge.get().max(age.as_secs_f64()));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
