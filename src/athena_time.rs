//! What waits for Athena's time, and the one question that is asked for all of it.
//!
//! Any reply of Athena's tells its time. Where none has come, and something depends on a time, Athena is asked by GetWorkGroup: by one task for all objects,
//! which have no timer meanwhile. They are triggered when the time is told, and when why it cannot be told has changed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::Store;
use tokio::sync::Notify;

use crate::athena::rate_limiter::Priority as CallPriority;
use crate::key::Key;
use crate::known::backoff;
use crate::operator::Operator;
use crate::runtime::workqueue::Priority;
use crate::session::Refusal;

/// What waits for Athena's time.
#[derive(Debug, Default)]
pub(crate) struct AthenaTime {
    waiting: Mutex<Waiting>,
    /// Something has begun to wait.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The objects, and the work groups by which Athena is to be asked; none where something else will make it tell its time.
    objects: HashMap<Key, Option<String>>,
    /// Why the newest question has not told the time.
    refusal: Option<Refusal>,
}

impl AthenaTime {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
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
    async fn wanted(&self) -> String {
        loop {
            let begun = self.begun.notified();
            if let Some(work_group) = self.waiting().objects.values().flatten().next() {
                return work_group.clone();
            }
            begun.await;
        }
    }

    /// The newest question was not answered with the time, for this reason. Returns whom that is news to.
    fn refused(&self, refusal: Refusal) -> Vec<Key> {
        let mut waiting = self.waiting();
        let is_same = waiting.refusal.as_ref().is_some_and(|before| (before.class, before.reason) == (refusal.class, refusal.reason));
        waiting.refusal = Some(refusal);
        let asking = waiting.objects.iter().filter(|(_, work_group)| work_group.is_some());
        if is_same { Vec::new() } else { asking.map(|(key, _)| key.clone()).collect() }
    }

    /// Athena has told its time. Returns what has waited for it.
    fn told(&self) -> Vec<Key> {
        std::mem::take(&mut *self.waiting()).objects.into_keys().collect()
    }
}

impl Operator {
    /// Has `key` triggered once Athena has told its time. If a `work_group` is given, Athena is asked by it, and `key` is triggered too when why the time is not
    /// told is known or has changed.
    pub(crate) fn await_time(&self, key: &Key, work_group: Option<&str>) {
        let (is_new, is_refused) = {
            let mut waiting = self.athena_time.waiting();
            let before = waiting.objects.insert(key.clone(), work_group.map(str::to_owned)).flatten();
            (work_group.is_some() && before.is_none(), waiting.refusal.is_some())
        };
        if is_new {
            self.athena_time.begun.notify_one();
        }
        if is_new && is_refused {
            self.trigger.trigger(key, Priority::Normal);
        }
        // It may have been told between the decision and now.
        if self.clock.read().is_certain && self.athena_time.waiting().objects.remove(key).is_some() {
            self.trigger.trigger(key, Priority::Normal);
        }
    }

    /// Asks Athena for its time as long as anything waits for it, with backoff while it is not told. Does so for ever.
    pub(crate) async fn ask_time(&self) {
        let mut failures = 0;
        loop {
            let work_group = self.athena_time.wanted().await;
            let was_in_doubt = self.clock.is_in_doubt();
            let permit = self.limiter().acquire(CallPriority::Look).await;
            // Another reply may have told it meanwhile.
            let reply = if self.clock.read().is_certain { Ok(()) } else { self.athena.ask_time(&work_group, permit).await };
            let is_in_doubt = self.clock.is_in_doubt();
            if self.clock.read().is_certain {
                failures = 0;
                self.time_told();
                continue;
            }
            // The next reply is to confirm it.
            if is_in_doubt && !was_in_doubt {
                continue;
            }
            let refusal = match reply {
                _ if is_in_doubt => {
                    Refusal::unanswered("the Date headers of Athena's replies, by which times are compared, differ by more than 10 s")
                }
                Ok(()) => Refusal::unanswered("the reply has no Date header with a request id of AWS's, by which times are compared"),
                Err(refusal) => refusal,
            };
            let pause = backoff(refusal.class, failures, fastrand::f64()).unsigned_abs();
            for key in self.athena_time.refused(refusal) {
                self.trigger.trigger(&key, Priority::Normal);
            }
            failures = failures.saturating_add(1);
            tokio::time::sleep(pause).await;
        }
    }

    fn time_told(&self) {
        for key in self.athena_time.told() {
            self.trigger.trigger(&key, Priority::Normal);
        }
    }

    /// Triggers the objects that wait for Athena's time when it is told, and all of them when it was off: their timers were set by it. Does so for ever.
    pub(crate) async fn follow_clock(&self) {
        let mut was_certain = false;
        loop {
            self.clock.corrected().await;
            self.time_told();
            if was_certain {
                let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
                let keys: Vec<Key> = stores.iter().flat_map(Store::state).map(|object| Key::of(object.as_ref())).collect();
                drop(stores);
                for key in &keys {
                    self.trigger.trigger(key, Priority::Normal);
                }
            }
            was_certain = true;
        }
    }
}
