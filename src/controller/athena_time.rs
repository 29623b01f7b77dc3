//! Objects that wait for Athena's time, and the one request that is made for all of them.
//!
//! Any reply of Athena has its time. If none has come, and something depends on a time, one task calls GetWorkGroup for all objects, which have no
//! timer meanwhile. The operator triggers them when the time is known, and when the reason for which it is unknown has changed.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::runtime::key::Key;
use crate::session::reply::Refusal;

/// Objects that wait for Athena's time.
#[derive(Debug, Default)]
pub(crate) struct AthenaTime {
    waiting: Mutex<Waiting>,
    /// Signal that an object has begun to wait.
    pub(super) begun: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Objects that wait, and the work groups by which to ask Athena; no work group where another call will bring the time.
    pub(super) objects: HashMap<Key, Option<String>>,
    /// Reason for which the newest request did not bring the time.
    pub(super) refusal: Option<Refusal>,
}

impl AthenaTime {
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    /// Returns the reason for which Athena's time is unknown, if it was requested.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.waiting().refusal.clone()
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.waiting().objects.remove(key);
    }

    /// Waits until an object waits for the time, and returns a work group by which to ask.
    pub(super) async fn wanted(&self) -> String {
        loop {
            let begun = self.begun.notified();
            if let Some(work_group) = self.waiting().objects.values().flatten().next() {
                return work_group.clone();
            }
            begun.await;
        }
    }

    /// Records the reason for which the newest request did not bring the time. Returns the objects to which it is news.
    pub(super) fn refused(&self, refusal: Refusal) -> Vec<Key> {
        let mut waiting = self.waiting();
        let is_same = waiting
            .refusal
            .as_ref()
            .is_some_and(|before| (before.class, before.reason) == (refusal.class, refusal.reason));
        waiting.refusal = Some(refusal);
        let asking = waiting.objects.iter().filter(|(_, work_group)| work_group.is_some());
        if is_same { Vec::new() } else { asking.map(|(key, _)| key.clone()).collect() }
    }

    /// Removes and returns the objects that have waited: Athena's time is known.
    pub(super) fn told(&self) -> Vec<Key> {
        std::mem::take(&mut *self.waiting()).objects.into_keys().collect()
    }
}
