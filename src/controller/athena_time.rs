//! Objects that wait for Athena's time, and the one request that is made for all of them.
//!
//! Any reply of Athena has its time. If none has come, and something depends on a time, one task calls GetWorkGroup for all objects, which have no
//! timer meanwhile. They are triggered when the time is known, and when the reason for which it is unknown has changed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::athena::Athena;
use crate::athena::rate_limiter::Priority as CallPriority;
use crate::controller::trigger::Trigger;
use crate::runtime::key::Key;
use crate::runtime::workqueue::Priority;
use crate::session::backoff::backoff;
use crate::session::reply::Refusal;

/// Objects that wait for Athena's time.
pub(crate) struct AthenaTime {
    athena: Athena,
    trigger: Arc<Trigger>,
    waiting: Mutex<Waiting>,
    /// Signal that an object has begun to wait.
    begun: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Objects that wait, and the work groups by which to ask Athena; no work group where another call will bring the time.
    objects: HashMap<Key, Option<String>>,
    /// Reason for which the newest request did not bring the time.
    refusal: Option<Refusal>,
}

impl AthenaTime {
    pub(crate) fn new(athena: Athena, trigger: Arc<Trigger>) -> Self {
        Self { athena, trigger, waiting: Mutex::default(), begun: Notify::new() }
    }

    /// Returns the reason for which Athena's time is unknown, if it was requested.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.waiting.lock().refusal.clone()
    }

    /// Triggers `key` once Athena's time is known. With a `work_group`, also requests the time, by GetWorkGroup of this work group, and triggers `key`
    /// when the request fails, and again when its failure changes class or reason.
    pub(crate) fn wait(&self, key: &Key, work_group: Option<&str>) {
        let (is_new, is_refused) = {
            let mut waiting = self.waiting.lock();
            let before = waiting.objects.insert(key.clone(), work_group.map(str::to_owned)).flatten();
            (work_group.is_some() && before.is_none(), waiting.refusal.is_some())
        };
        if is_new {
            self.begun.notify_one();
        }
        if is_new && is_refused {
            self.trigger.trigger(key, Priority::Normal);
        }
        // The time may have become known between the decision and now.
        if self.athena.clock().read().is_certain && self.waiting.lock().objects.remove(key).is_some() {
            self.trigger.trigger(key, Priority::Normal);
        }
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.waiting.lock().objects.remove(key);
    }

    /// Asks Athena for its time while any object waits for it, with backoff while it stays unknown. Does so for ever.
    pub(crate) async fn ask(&self) {
        let clock = self.athena.clock();
        let mut failures = 0;
        loop {
            let work_group = self.wanted().await;
            let was_in_doubt = clock.is_in_doubt();
            let permit = self.athena.limiter().acquire(CallPriority::Look).await;
            // Another reply may have brought the time meanwhile.
            let reply = if clock.read().is_certain {
                Ok(())
            } else {
                self.athena.ask_time(&work_group, permit).await
            };
            let is_in_doubt = clock.is_in_doubt();
            if clock.read().is_certain {
                failures = 0;
                self.trigger_waiting();
                continue;
            }
            // The next reply has to confirm the time.
            if is_in_doubt && !was_in_doubt {
                continue;
            }
            let refusal = match reply {
                _ if is_in_doubt => Refusal::unanswered(
                    "the Date headers of Athena's replies, by which times are compared, differ by more than 10 s",
                ),
                Ok(()) => Refusal::unanswered(
                    "the reply has no Date header with a request id of AWS's, by which times are compared",
                ),
                Err(refusal) => refusal,
            };
            let pause = backoff(refusal.class, failures, fastrand::f64()).unsigned_abs();
            self.refused(refusal);
            failures = failures.saturating_add(1);
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until an object waits for the time, and returns a work group by which to ask.
    async fn wanted(&self) -> String {
        loop {
            let begun = self.begun.notified();
            if let Some(work_group) = self.waiting.lock().objects.values().flatten().next() {
                return work_group.clone();
            }
            begun.await;
        }
    }

    /// Records the reason for which the newest request did not bring the time, and triggers the objects to which it is news.
    fn refused(&self, refusal: Refusal) {
        let mut waiting = self.waiting.lock();
        let kind = (refusal.class, refusal.reason);
        let before = waiting.refusal.replace(refusal);
        if before.is_some_and(|before| (before.class, before.reason) == kind) {
            return;
        }
        for (key, _) in waiting.objects.iter().filter(|(_, work_group)| work_group.is_some()) {
            self.trigger.trigger(key, Priority::Normal);
        }
    }

    /// Triggers the objects that have waited: Athena's time is known.
    pub(crate) fn trigger_waiting(&self) {
        let waited = std::mem::take(&mut *self.waiting.lock());
        for key in waited.objects.keys() {
            self.trigger.trigger(key, Priority::Normal);
        }
    }
}
