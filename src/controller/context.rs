//! Context of reconciles.

use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::api::AthenaSession;
use crate::athena::observer::Observer;
use crate::athena::rate_limiter::RateLimiter;
use crate::athena::{Athena, MarkerSearch};
use crate::controller::athena_time::AthenaTime;
use crate::controller::event_recorder::EventRecorder;
use crate::controller::leaked_sessions::end_leaked_session;
use crate::controller::metrics::Metrics;
use crate::controller::state_store::{ObjectState, StateStore};
use crate::controller::trigger::{Received, Trigger};
use crate::runtime::clock::{Clock, Reading};
use crate::runtime::key::Key;
use crate::runtime::workqueue::Priority;
use crate::session::environment::{Environment, Identity, Limits};
use crate::session::local_state::LocalState;
use crate::session::pass::Decisions;

/// Number of large specs that may be read at a time.
const LARGE_READS: usize = 2;

/// Context of reconciles: clients, clocks, limits and shared state.
pub struct Operator {
    /// Decisions of each pass: the operator's own, except in tests that must find broken ones.
    pub(crate) decisions: &'static dyn Decisions,
    pub(crate) client: Client,
    pub(crate) athena: Athena,
    /// Athena's clock.
    pub(crate) clock: Clock,
    /// The API server's clock.
    pub(crate) api_server_clock: Clock,
    pub(crate) athena_time: AthenaTime,
    pub(crate) observer: Arc<Observer<Key>>,
    pub(crate) searches: Arc<MarkerSearch<Key>>,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) account: OnceLock<String>,
    pub(crate) limits: Limits,
    pub(crate) event_recorder: EventRecorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) state_store: StateStore,
    pub(crate) leaked_sessions: TaskTracker,
    /// Permits for reading the whole specs of large objects, to redact a text.
    pub(crate) large_reads: Semaphore,
    /// The objects of each watched scope.
    pub(crate) stores: Mutex<Vec<Store<Received>>>,
}

impl Operator {
    /// Creates an operator that acts through these clients. `api_server_clock` is the clock that `client` corrects.
    pub fn new(
        decisions: &'static dyn Decisions,
        client: Client,
        api_server_clock: Clock,
        athena: Athena,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let clock = athena.clock().clone();
        let trigger = Arc::new(Trigger::default());
        let event_recorder =
            EventRecorder::new(client.clone(), api_server_clock.clone(), metrics.clone(), trigger.clone());
        let observer = Arc::new(Observer::new(
            limits.observe_interval.unsigned_abs(),
            limits.stale.unsigned_abs(),
            clock.clone(),
        ));
        let searches = Arc::new(MarkerSearch::new(limits.observe_interval.unsigned_abs()));
        let athena_time = AthenaTime::new(athena.clone(), trigger.clone());
        Self {
            decisions,
            client,
            athena,
            clock,
            api_server_clock,
            athena_time,
            observer,
            searches,
            trigger,
            account: OnceLock::new(),
            limits,
            event_recorder,
            metrics,
            state_store: StateStore::default(),
            leaked_sessions: TaskTracker::new(),
            large_reads: Semaphore::new(LARGE_READS),
            stores: Mutex::default(),
        }
    }

    /// Triggers the objects whose turn it is to call Athena, for ever, and before the others: there are never more of them than calls.
    pub async fn dispatch_calls(&self) {
        self.limiter().dispatch(|key| self.trigger.trigger(&key, Priority::High)).await;
    }

    pub(crate) fn limiter(&self) -> &RateLimiter {
        self.athena.limiter()
    }

    /// Sets the AWS account in which the operator works, and triggers all objects: attempts that name an account may have waited for it.
    pub fn set_account(&self, account: String) {
        let _ = self.account.set(account);
        self.trigger_all();
    }

    /// Triggers the objects that wait for Athena's time when it is known, and all objects when the clock was off: their timers were set by it. Does
    /// so for ever.
    pub(crate) async fn follow_clock(&self) {
        self.clock.corrected().await;
        self.athena_time.trigger_waiting();
        loop {
            self.clock.corrected().await;
            self.athena_time.trigger_waiting();
            self.trigger_all();
        }
    }

    /// Returns all objects that the watches have brought.
    pub(crate) fn objects(&self) -> Vec<Arc<Received>> {
        self.stores.lock().iter().flat_map(Store::state).collect()
    }

    fn trigger_all(&self) {
        for object in self.objects() {
            self.trigger.trigger(&Key::of(object.as_ref()), Priority::Normal);
        }
    }

    /// Returns Athena's time. If the clock was corrected, moves the times of this process in `state` with it.
    pub(crate) fn time(&self, state: &mut LocalState) -> Timestamp {
        let reading = self.clock.read();
        state.set_clock(reading.origin);
        reading.now
    }

    /// Returns the environment of a decision that is made now.
    pub(crate) fn env(&self) -> Environment {
        let identity =
            Identity { region: self.athena.region().to_owned(), account: self.account.get().cloned() };
        let Reading { now, is_certain: is_time_certain, origin: clock_origin } = self.clock.read();
        let api_server = self.api_server_clock.read();
        let api_server_ahead = api_server.is_certain.then(|| api_server.now.duration_since(now));
        Environment {
            now,
            is_time_certain,
            api_server_ahead,
            identity,
            limits: self.limits,
            clock_origin,
            jitter: fastrand::f64(),
        }
    }

    pub(crate) fn take_state(&self, received: &Received) -> ObjectState {
        let uid: Box<str> = received.uid().unwrap_or_default().into();
        match self.state_store.take(&Key::of(received)) {
            Some(object_state) if object_state.uid == uid => object_state,
            other => {
                self.end_unrecorded_session(other);
                ObjectState { uid, local_state: LocalState::met(self.clock.now()), ..ObjectState::default() }
            }
        }
    }

    /// Stores the state of an object after a reconcile. If the watch brought a change meanwhile, the object is reconciled next.
    pub(crate) fn put_state(&self, received: &Received, object_state: ObjectState) {
        let key = Key::of(received);
        let news = if object_state.released {
            self.limiter().cancel(&key);
            self.observer.untrack(&key);
            self.searches.cancel(&key);
            self.state_store.put(&key, None)
        } else {
            self.state_store.put(&key, Some(object_state))
        };
        if news {
            // The change may be a deletion. There are never more such objects than reconciles at a time.
            self.trigger.trigger(&key, Priority::High);
        }
    }

    /// Returns whether the watch has brought another version of `object` than this one.
    pub(crate) fn has_newer(&self, object: &AthenaSession) -> bool {
        let reference = Key::of(object).reference();
        let is_other = |stored: Arc<Received>| stored.resource_version() != object.resource_version();
        self.stores.lock().iter().filter_map(|store| store.get(&reference)).any(is_other)
    }

    /// Returns whether the version that the watch has brought has to be reconciled.
    pub(crate) fn needs_reconcile(&self, received: &Received) -> bool {
        let version = received.resource_version().and_then(|version| version.parse().ok());
        self.state_store.needs_reconcile(&Key::of(received), version)
    }

    /// Starts a task that ends a session which no object owns.
    pub(crate) fn end_leaked_session(&self, id: String) {
        self.leaked_sessions
            .spawn(end_leaked_session(self.athena.clone(), id, self.limits).in_current_span());
    }

    /// Waits until all sessions that no object owns have been ended.
    pub async fn leaked_sessions_ended(&self) {
        self.leaked_sessions.close();
        self.leaked_sessions.wait().await;
    }

    /// Forgets an object that is gone. If a session of it was started and never recorded, no object owns that, and it is ended.
    pub fn forget(&self, object: &Key) {
        self.athena_time.forget(object);
        self.limiter().cancel(object);
        self.observer.untrack(object);
        self.searches.cancel(object);
        let object_state = self.state_store.remove(object);
        self.end_unrecorded_session(object_state);
    }

    fn end_unrecorded_session(&self, object_state: Option<ObjectState>) {
        if let Some(unrecorded) = object_state.and_then(|object_state| object_state.local_state.unrecorded) {
            self.end_leaked_session(unrecorded.1.id);
        }
    }
}
