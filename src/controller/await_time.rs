//! Asks Athena for its time, and triggers the objects that wait for it.

use kube::runtime::reflector::Store;

use crate::athena::rate_limiter::Priority as CallPriority;
use crate::controller::context::Operator;
use crate::runtime::key::Key;
use crate::runtime::workqueue::Priority;
use crate::session::backoff::backoff;
use crate::session::reply::Refusal;

impl Operator {
    /// Triggers `key` once Athena's time is known. If a `work_group` is given, the time is requested by it, and `key` is also triggered when there is
    /// a reason for which the time is unknown, or another one.
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
        // The time may have become known between the decision and now.
        if self.clock.read().is_certain && self.athena_time.waiting().objects.remove(key).is_some() {
            self.trigger.trigger(key, Priority::Normal);
        }
    }

    /// Asks Athena for its time while any object waits for it, with backoff while it stays unknown. Does so for ever.
    pub(crate) async fn ask_time(&self) {
        let mut failures = 0;
        loop {
            let work_group = self.athena_time.wanted().await;
            let was_in_doubt = self.clock.is_in_doubt();
            let permit = self.limiter().acquire(CallPriority::Look).await;
            // Another reply may have brought the time meanwhile.
            let reply = if self.clock.read().is_certain {
                Ok(())
            } else {
                self.athena.ask_time(&work_group, permit).await
            };
            let is_in_doubt = self.clock.is_in_doubt();
            if self.clock.read().is_certain {
                failures = 0;
                self.time_told();
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

    /// Triggers the objects that wait for Athena's time when it is known, and all objects when the clock was off: their timers were set by it. Does
    /// so for ever.
    pub(crate) async fn follow_clock(&self) {
        let mut was_certain = false;
        loop {
            self.clock.corrected().await;
            self.time_told();
            if was_certain {
                let stores = self.stores.lock();
                let keys: Vec<Key> =
                    stores.iter().flat_map(Store::state).map(|object| Key::of(object.as_ref())).collect();
                drop(stores);
                for key in &keys {
                    self.trigger.trigger(key, Priority::Normal);
                }
            }
            was_certain = true;
        }
    }
}
