//! Triggers single objects, for other reasons than a change from the API server's watch.

use std::collections::HashMap;
use std::time::Instant;

use crate::controller::guarded_session::GuardedSession;
use crate::runtime::key::Key;
use crate::runtime::metrics::workqueue::Backlog;
use crate::runtime::workqueue::{Priority, Workqueue};
use parking_lot::Mutex;

/// Object from the watch, readable or not: one that is not does not hide the others.
pub type Received = GuardedSession;

/// Workqueues of the watched scopes, of all namespaces or of single ones: one scope does not wait for another.
#[derive(Debug, Default)]
pub struct Trigger(Mutex<HashMap<Option<String>, Workqueue>>);

impl Trigger {
    /// Registers `queue` for the objects of `namespace`, or of all namespaces.
    pub fn register(&self, namespace: Option<String>, queue: Workqueue) {
        self.0.lock().insert(namespace, queue);
    }

    /// Adds `key` to its workqueue, if its namespace is watched.
    pub fn trigger(&self, key: &Key, priority: Priority) {
        let scopes = self.0.lock();
        if let Some(queue) = scopes.get(&None).or_else(|| scopes.get(&Some(key.namespace().to_owned()))) {
            queue.add(key.clone(), priority);
        }
    }

    /// Returns whether an object waits for a reconcile.
    pub fn is_busy(&self) -> bool {
        self.0.lock().values().any(Workqueue::is_busy)
    }

    /// Returns the backlog of all workqueues together.
    pub fn backlog(&self, now: Instant) -> Backlog {
        self.0.lock().values().map(|queue| queue.backlog(now)).fold(Backlog::default(), Backlog::and)
    }
}
