//! Workqueue of a controller: keys that wait for a reconcile, in order of priority, and the one time at which each key is due without a change.
//!
//! As in client-go, a key waits once however often it is added, and is reconciled once at a time: a key that is added meanwhile waits until that
//! reconcile has ended. Unlike kube's applier, which drains its pending set in arbitrary order, and starts due keys beside its bound, the queue
//! serves by priority within a bound. Within a priority it serves groups of keys in turns: a group whose reconciles take long cannot take every
//! permit that becomes free.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::runtime::metrics::workqueue::{Backlog, WorkqueueMetrics};

/// A key of a queue.
pub trait Grouped {
    /// Returns the group of the key, such as its namespace.
    fn group(&self) -> &str;
}

/// Order in which keys are served. Within each, groups of keys take turns, and a group's keys are served first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Keys whose reconcile ends something, or may act at once.
    High,
    /// Keys that have changed or are due.
    Normal,
    /// New keys.
    Low,
}

/// Number of served keys of which one is not of the highest priority, but of the two others in turns, so that no key waits for ever.
const LOWER_SHARE: u64 = 8;

/// Workqueue. Clones share it: any of them adds keys, and one takes them out.
#[derive(Debug)]
pub struct Workqueue<K>(Arc<Shared<K>>);

impl<K> Clone for Workqueue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    metrics: Arc<WorkqueueMetrics>,
}

/// A key that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    priority: Priority,
    since: Instant,
}

/// A key whose reconcile runs.
#[derive(Debug)]
struct Running {
    since: Instant,
    /// Set if the key was added meanwhile.
    again: Option<Waiting>,
}

/// Waiting keys of one priority.
#[derive(Debug)]
struct Line<K> {
    groups: HashMap<Box<str>, VecDeque<K>>,
    /// Groups in the order of their turns.
    turns: VecDeque<Box<str>>,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { groups: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<K: Grouped> Line<K> {
    fn push(&mut self, key: K) {
        if let Some(keys) = self.groups.get_mut(key.group()) {
            return keys.push_back(key);
        }
        let group: Box<str> = key.group().into();
        self.turns.push_back(group.clone());
        self.groups.insert(group, VecDeque::from([key]));
    }

    fn pop(&mut self) -> Option<K> {
        let group = self.turns.pop_front()?;
        let keys = self.groups.get_mut(&group)?;
        let key = keys.pop_front();
        if keys.is_empty() {
            self.groups.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        key
    }
}

/// State of the queue, and its decisions. It has no clock.
#[derive(Debug)]
struct State<K> {
    ready: [Line<K>; 3],
    waiting: HashMap<K, Waiting>,
    running: HashMap<K, Running>,
    /// Keys by the time at which they are due, and by a number that distinguishes equal times.
    timers: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    permits: usize,
    number: u64,
    served: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Next<K> {
    /// A reconcile of the key begins, which has waited for this time.
    Begin(K, Duration),
    At(Instant),
    Nothing,
}

impl<K: Clone + Eq + Hash + Grouped> State<K> {
    fn new(permits: usize) -> Self {
        Self {
            ready: Default::default(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            timers: BTreeMap::new(),
            due: HashMap::new(),
            permits: permits.max(1),
            number: 0,
            served: 0,
        }
    }

    /// Adds `key`. Returns whether it did not wait before.
    fn add(&mut self, key: K, priority: Priority, now: Instant) -> bool {
        if let Some(running) = self.running.get_mut(&key) {
            let is_new = running.again.is_none();
            let again = running.again.get_or_insert(Waiting { priority, since: now });
            again.priority = again.priority.min(priority);
            return is_new;
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            if priority < waiting.priority {
                // The old place of the key no longer counts.
                waiting.priority = priority;
                self.ready[priority as usize].push(key);
            }
            return false;
        }
        self.enter(key, Waiting { priority, since: now });
        true
    }

    fn enter(&mut self, key: K, waiting: Waiting) {
        self.ready[waiting.priority as usize].push(key.clone());
        self.waiting.insert(key, waiting);
    }

    fn set_timer(&mut self, key: &K, time: Option<Instant>) {
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

    fn next(&mut self, now: Instant) -> Next<K> {
        if self.running.len() < self.permits {
            self.served += 1;
            let order = match self.served % (2 * LOWER_SHARE) {
                0 => [Priority::Low, Priority::Normal, Priority::High],
                LOWER_SHARE => [Priority::Normal, Priority::Low, Priority::High],
                _ => [Priority::High, Priority::Normal, Priority::Low],
            };
            for priority in order {
                while let Some(key) = self.ready[priority as usize].pop() {
                    let Some(waiting) =
                        self.waiting.get(&key).copied().filter(|waiting| waiting.priority == priority)
                    else {
                        continue;
                    };
                    self.waiting.remove(&key);
                    self.set_timer(&key, None);
                    self.running.insert(key.clone(), Running { since: now, again: None });
                    return Next::Begin(key, now.saturating_duration_since(waiting.since));
                }
            }
            if self.waiting.is_empty() {
                // A burst leaves allocated memory behind.
                self.waiting.shrink_to(64);
                for line in &mut self.ready {
                    line.groups.shrink_to(64);
                    line.turns.shrink_to(64);
                }
            }
        }
        self.timers.first_key_value().map_or(Next::Nothing, |((time, _), _)| Next::At(*time))
    }

    /// Ends the reconcile of `key`, which is due at `time` if it is not added before.
    fn end(&mut self, key: &K, time: Option<Instant>) {
        let again = self.running.remove(key).and_then(|running| running.again);
        match again {
            // The next reconcile sets the time again.
            Some(waiting) => self.enter(key.clone(), waiting),
            None => self.set_timer(key, time),
        }
    }

    fn backlog(&self, now: Instant) -> Backlog {
        let overdue = self.timers.range(..(now, u64::MAX)).count();
        let again = self.running.values().filter(|running| running.again.is_some()).count();
        let times = || self.running.values().map(|running| now.saturating_duration_since(running.since));
        let depth = self.waiting.len() + again + overdue;
        Backlog { depth, unfinished: times().sum(), longest: times().max().unwrap_or_default() }
    }
}

impl<K: Clone + Eq + Hash + Grouped> Workqueue<K> {
    /// Creates an empty queue of which at most `permits` keys are reconciled at a time.
    pub fn new(permits: usize, metrics: Arc<WorkqueueMetrics>) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::new(permits)), changed: Notify::new(), metrics }))
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock()
    }

    /// Adds `key`, which waits once, with the highest priority it was added with.
    pub fn add(&self, key: K, priority: Priority) {
        if self.state().add(key, priority, Instant::now()) {
            self.0.metrics.added();
        }
        self.0.changed.notify_one();
    }

    /// Waits for the next key and a permit to reconcile it.
    pub async fn next(&self) -> Work<K> {
        loop {
            let now = Instant::now();
            let (rung, next) = {
                let mut state = self.state();
                (state.ring(now), state.next(now))
            };
            (0..rung).for_each(|_| self.0.metrics.added());
            match next {
                Next::Begin(key, waited) => {
                    self.0.metrics.dequeued(waited);
                    return Work { queue: self.clone(), key, next: None };
                }
                Next::At(time) => {
                    let _ = tokio::time::timeout_at(time.into(), self.0.changed.notified()).await;
                }
                Next::Nothing => self.0.changed.notified().await,
            }
        }
    }

    /// Returns whether a key waits for a reconcile.
    pub fn is_busy(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Returns the backlog of the queue at `now`.
    pub fn backlog(&self, now: Instant) -> Backlog {
        self.state().backlog(now)
    }
}

/// The permit to reconcile a key, held while the reconcile runs.
#[derive(Debug)]
pub struct Work<K: Clone + Eq + Hash + Grouped> {
    queue: Workqueue<K>,
    key: K,
    next: Option<Instant>,
}

impl<K: Clone + Eq + Hash + Grouped> Work<K> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Ends the work: the key is due after `wait`, unless it is added before.
    pub fn end(mut self, wait: Option<Duration>) {
        self.next = wait.and_then(|wait| Instant::now().checked_add(wait));
    }
}

impl<K: Clone + Eq + Hash + Grouped> Drop for Work<K> {
    fn drop(&mut self) {
        self.queue.state().end(&self.key, self.next);
        self.queue.0.changed.notify_one();
    }
}

#[cfg(test)]
#[path = "workqueue_tests.rs"]
mod tests;
