//! What reconciles work with, and what this process remembers between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::api::FIELD_MANAGER;
use crate::athena::Athena;
use crate::known::Known;
use crate::lifecycle::{Circumstances, Identity, Limits};
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::orphans::end_orphan;
use crate::wakes::{Key, Received, Wakes};

/// What a reconcile works with.
pub struct Operator {
    pub(crate) client: Client,
    pub(crate) athena: Athena,
    pub(crate) limiter: Arc<Limiter<Key>>,
    pub(crate) observer: Arc<Observer<Key>>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) account: OnceLock<String>,
    pub(crate) limits: Limits,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) objects: Mutex<HashMap<Key, Memory>>,
    pub(crate) orphans: TaskTracker,
    /// The objects of each watched scope.
    pub(crate) stores: Mutex<Vec<Store<Received>>>,
}

/// What this process remembers of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) uid: String,
    pub(crate) known: Known,
    /// The resourceVersion of this process's last write: a cache that is older must not be acted on.
    pub(crate) written: Option<u64>,
    pub(crate) failures: u32,
    /// Whether the object, as this process last saw it, is to delete itself though a tool would create it again.
    pub(crate) ttl_under_gitops: Option<bool>,
    /// Whether the object was let go: nothing of it needs to be remembered.
    pub(crate) released: bool,
}

impl Operator {
    /// An operator that acts through these clients. `limiter` is the one that `athena` passes.
    pub fn new(client: Client, athena: Athena, limiter: Arc<Limiter<Key>>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: std::env::var("POD_NAME").ok() };
        let recorder = Recorder::new(client.clone(), reporter);
        let observer = Arc::new(Observer::new(limits.observe_interval.unsigned_abs(), limits.stale.unsigned_abs()));
        let wakes = Arc::new(Wakes::default());
        let (account, objects, orphans, stores) = (OnceLock::new(), Mutex::default(), TaskTracker::new(), Mutex::default());
        Self { client, athena, limiter, observer, wakes, account, limits, recorder, metrics, objects, orphans, stores }
    }

    /// What wakes the operator's objects.
    pub fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    /// Wakes the objects whose turn it is to call Athena, for ever.
    pub async fn give_turns(&self) {
        self.limiter.run(|key| self.wakes.wake(&key)).await;
    }

    /// Tells the operator in which AWS account it works.
    pub fn set_account(&self, account: String) {
        let _ = self.account.set(account);
    }

    pub(crate) fn circumstances(&self) -> Circumstances {
        let identity = Identity { region: self.athena.region().to_owned(), account: self.account.get().cloned() };
        Circumstances { now: Timestamp::now(), identity, limits: self.limits }
    }

    pub(crate) fn remembered(&self, received: &Received) -> Memory {
        let uid = received.uid().unwrap_or_default();
        let before = self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(&reference(received));
        match before {
            Some(memory) if memory.uid == uid => memory,
            other => {
                self.release_memory(other);
                Memory { uid, known: Known::met(Timestamp::now()), ..Memory::default() }
            }
        }
    }

    pub(crate) fn remember(&self, received: &Received, memory: Memory) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(reference(received), memory);
    }

    /// Ends a session that no object owns, on the side.
    pub(crate) fn end_orphan(&self, id: String) {
        self.orphans.spawn(end_orphan(self.athena.clone(), id, self.limits).in_current_span());
    }

    /// Waits until every session without an object has been ended.
    pub async fn orphans_ended(&self) {
        self.orphans.close();
        self.orphans.wait().await;
    }

    /// Forgets an object that is gone. A session of it that was started and never recorded has no owner any more and is ended.
    pub fn forget(&self, object: &Key) {
        self.limiter.leave(object);
        self.observer.forget(object);
        let memory = self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        self.release_memory(memory);
    }

    fn release_memory(&self, memory: Option<Memory>) {
        if let Some((_, session)) = memory.and_then(|memory| memory.known.unrecorded) {
            self.end_orphan(session.id);
        }
    }
}

/// The namespace and name of an object, readable or not.
pub(crate) fn reference(received: &Received) -> Key {
    ObjectRef::new(&received.name_any()).within(&received.namespace().unwrap_or_default())
}
