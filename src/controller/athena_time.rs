//! What waits for Athena's time, and the one question that is asked for all of it.
//!
//! Any reply of Athena's tells its time. Where none has come, and something depends on a time, Athena is asked by GetWorkGroup: by one task for all objects,
//! which have no timer meanwhile. They are triggered when the time is told, and when why it cannot be told has changed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::runtime::key::Key;
use crate::session::reply::Refusal;

/// What waits for Athena's time.
#[derive(Debug, Default)]
pub(crate) struct AthenaTime {
    waiting: Mutex<Waiting>,
    /// Something has begun to wait.
    pub(super) begun: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The objects, and the work groups by which Athena is to be asked; none where something else will make it tell its time.
    pub(super) objects: HashMap<Key, Option<String>>,
    /// Why the newest question has not told the time.
    pub(super) refusal: Option<Refusal>,
}

impl AthenaTime {
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why Athena's time is not known, if it was asked for.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.waiting().refusal.clone()
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.waiting().objects.remove(key);
    }

    /// Waits until something waits, and returns a work group by which to ask.
    pub(super) async fn wanted(&self) -> String {
        loop {
            let begun = self.begun.notified();
            if let Some(work_group) = self.waiting().objects.values().flatten().next() {
                return work_group.clone();
            }
            begun.await;
        }
    }

    /// The newest question was not answered with the time, for this reason. Returns whom that is news to.
    pub(super) fn refused(&self, refusal: Refusal) -> Vec<Key> {
        let mut waiting = self.waiting();
        let is_same = waiting.refusal.as_ref().is_some_and(|before| (before.class, before.reason) == (refusal.class, refusal.reason));
        waiting.refusal = Some(refusal);
        let asking = waiting.objects.iter().filter(|(_, work_group)| work_group.is_some());
        if is_same { Vec::new() } else { asking.map(|(key, _)| key.clone()).collect() }
    }

    /// Athena has told its time. Returns what has waited for it.
    pub(super) fn told(&self) -> Vec<Key> {
        std::mem::take(&mut *self.waiting()).objects.into_keys().collect()
    }
}
