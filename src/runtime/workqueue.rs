//! Workqueue of a controller: keys that wait for a reconcile, in order of priority, and the one time at which each key is due without a change.
//!
//! As in client-go, a key waits once however often it is added, and is reconciled once at a time: a key that is added meanwhile waits until that
//! reconcile has ended. Unlike kube's applier, which drains its pending set in arbitrary order, and does not count due keys against its bound
//! on concurrent reconciles, the queue serves all keys by priority and within the bound. Within a priority it serves namespaces in turns: a namespace whose reconciles take long cannot take every
//! permit that becomes free.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::runtime::key::Key;
use crate::runtime::metrics::workqueue::{Backlog, WorkqueueMetrics};

/// Order in which keys are served. Within each, namespaces take turns, and a namespace's keys are served first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Keys whose reconcile ends something, or may act at once.
    High,
    /// Keys that have changed or are due.
    Normal,
    /// New keys.
    Low,
}

/// Every eighth served key is one of priority Normal or Low, in turns, if one waits: so no key waits for ever.
const LOWER_SHARE: u64 = 8;

/// Workqueue. Clones share it: any of them adds keys, and one takes them out.
#[derive(Clone, Debug)]
pub struct Workqueue {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    metrics: Arc<WorkqueueMetrics>,
}

/// A key that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    priority: Priority,
    since: Instant,
}

/// Waiting keys of one priority.
#[derive(Debug, Default)]
struct Line {
    namespaces: HashMap<Box<str>, VecDeque<Key>>,
    /// Namespaces in the order of their turns.
    turns: VecDeque<Box<str>>,
}

impl Line {
    fn push(&mut self, key: Key) {
        if let Some(keys) = self.namespaces.get_mut(key.namespace()) {
            return keys.push_back(key);
        }
        let namespace: Box<str> = key.namespace().into();
        self.turns.push_back(namespace.clone());
        self.namespaces.insert(namespace, VecDeque::from([key]));
    }

    fn pop(&mut self) -> Option<Key> {
        let namespace = self.turns.pop_front()?;
        let keys = self.namespaces.get_mut(&namespace)?;
        let key = keys.pop_front();
        if keys.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        key
    }
}

/// State of the queue, and its decisions. It has no clock.
#[derive(Debug, Default)]
struct State {
    ready: [Line; 3],
    /// Keys that were added. One whose reconcile runs is not ready before the end of that.
    waiting: HashMap<Key, Waiting>,
    /// Keys whose reconcile runs, with the time at which it began.
    running: HashMap<Key, Instant>,
    /// Keys by the time at which they are due, and by a number that distinguishes equal times.
    timers: BTreeMap<(Instant, u64), Key>,
    due: HashMap<Key, (Instant, u64)>,
    permits: usize,
    number: u64,
    served: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A reconcile of the key begins, which has waited for this time.
    Begin(Key, Duration),
    At(Instant),
    Nothing,
}

impl State {
    fn new(permits: usize) -> Self {
        Self { permits: permits.max(1), ..Self::default() }
    }

    /// Adds `key`. Returns whether it did not wait before.
    fn add(&mut self, key: Key, priority: Priority, now: Instant) -> bool {
        let is_new = !self.waiting.contains_key(&key);
        let waiting = self.waiting.entry(key.clone()).or_insert(Waiting { priority, since: now });
        if is_new || priority < waiting.priority {
            waiting.priority = priority;
            if !self.running.contains_key(&key) {
                // An old place of the key no longer counts.
                self.ready[priority as usize].push(key);
            }
        }
        is_new
    }

    fn set_timer(&mut self, key: &Key, time: Option<Instant>) {
        if let Some(before) = self.due.remove(key) {
            self.timers.remove(&before);
        }
        if let Some(time) = time {
            self.number += 1;
            self.timers.insert((time, self.number), key.clone());
            self.due.insert(key.clone(), (time, self.number));
        }
    }

    /// Adds the keys that are due. Returns the number of keys that did not wait before.
    fn ring(&mut self, now: Instant) -> u64 {
        let mut new = 0;
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((time, _), key) = entry.remove_entry();
            self.due.remove(&key);
            new += u64::from(self.add(key, Priority::Normal, time));
        }
        new
    }

    fn next(&mut self, now: Instant) -> Next {
        if self.running.len() < self.permits {
            self.served += 1;
            let order = match self.served % (2 * LOWER_SHARE) {
                0 => [Priority::Low, Priority::Normal, Priority::High],
                LOWER_SHARE => [Priority::Normal, Priority::Low, Priority::High],
                _ => [Priority::High, Priority::Normal, Priority::Low],
            };
            for priority in order {
                while let Some(key) = self.ready[priority as usize].pop() {
                    let is_ready =
                        |waiting: &Waiting| waiting.priority == priority && !self.running.contains_key(&key);
                    let Some(waiting) = self.waiting.get(&key).copied().filter(is_ready) else { continue };
                    self.waiting.remove(&key);
                    self.set_timer(&key, None);
                    self.running.insert(key.clone(), now);
                    return Next::Begin(key, now.saturating_duration_since(waiting.since));
                }
            }
            // Nothing is ready, and a burst leaves allocated memory behind.
            self.waiting.shrink_to(64);
            for line in &mut self.ready {
                line.namespaces.shrink_to(64);
                line.turns.shrink_to(64);
            }
        }
        self.timers.first_key_value().map_or(Next::Nothing, |((time, _), _)| Next::At(*time))
    }

    /// Ends the reconcile of `key`, which is due at `time` if it is not added before.
    fn end(&mut self, key: &Key, time: Option<Instant>) {
        self.running.remove(key);
        match self.waiting.get(key) {
            // The next reconcile sets the time again.
            Some(waiting) => self.ready[waiting.priority as usize].push(key.clone()),
            None => self.set_timer(key, time),
        }
    }

    fn backlog(&self, now: Instant) -> Backlog {
        let overdue = self.timers.range(..(now, u64::MAX)).count();
        let times = || self.running.values().map(|begun| now.saturating_duration_since(*begun));
        let depth = self.waiting.len() + overdue;
        Backlog { depth, unfinished: times().sum(), longest: times().max().unwrap_or_default() }
    }
}

impl Workqueue {
    /// Creates an empty queue of which at most `permits` keys are reconciled at a time.
    pub fn new(permits: usize, metrics: Arc<WorkqueueMetrics>) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(permits))), changed: Arc::default(), metrics }
    }

    /// Adds `key`, which waits once, with the highest priority it was added with.
    pub fn add(&self, key: Key, priority: Priority) {
        if self.state.lock().add(key, priority, Instant::now()) {
            self.metrics.added();
        }
        self.changed.notify_one();
    }

    /// Waits for the next key and a permit to reconcile it.
    pub async fn next(&self) -> Work {
        loop {
            let now = Instant::now();
            let (rung, next) = {
                let mut state = self.state.lock();
                (state.ring(now), state.next(now))
            };
            (0..rung).for_each(|_| self.metrics.added());
            match next {
                Next::Begin(key, waited) => {
                    self.metrics.dequeued(waited);
                    return Work { queue: self.clone(), key, next: None };
                }
                Next::At(time) => {
                    let _ = tokio::time::timeout_at(time.into(), self.changed.notified()).await;
                }
                Next::Nothing => self.changed.notified().await,
            }
        }
    }

    /// Returns whether a key waits for a reconcile.
    pub fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.waiting.keys().any(|key| !state.running.contains_key(key))
    }

    /// Returns the backlog of the queue at `now`.
    pub fn backlog(&self, now: Instant) -> Backlog {
        self.state.lock().backlog(now)
    }
}

/// The permit to reconcile a key, held while the reconcile runs.
#[derive(Debug)]
pub struct Work {
    queue: Workqueue,
    key: Key,
    next: Option<Instant>,
}

impl Work {
    /// Returns the key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Ends the work: the key is due after `wait`, unless it is added before.
    pub fn end(mut self, wait: Option<Duration>) {
        self.next = wait.and_then(|wait| Instant::now().checked_add(wait));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.queue.state.lock().end(&self.key, self.next);
        self.queue.changed.notify_one();
    }
}

#[cfg(test)]
#[path = "workqueue_tests.rs"]
mod tests;
