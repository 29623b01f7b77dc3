//! Which objects wait for a reconcile, and since when. kube's own queue does not tell.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::key::Key;
use crate::metrics::Metrics;

/// The objects that wait for a reconcile or are in one.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What a change has put in line.
    waiting: HashMap<Key, Instant>,
    /// What is in line from a time on.
    due: HashMap<Key, Instant>,
    running: HashMap<Key, Instant>,
}

/// What the queue has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Objects that wait.
    pub depth: usize,
    /// Time since the reconciles that run have begun, of all together.
    pub unfinished: Duration,
    /// The longest of these.
    pub longest: Duration,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change puts `key` in line, if it is not.
    pub(crate) fn join(&self, key: &Key, now: Instant, metrics: &Metrics) {
        let mut state = self.state();
        if !state.waiting.contains_key(key) {
            state.waiting.insert(key.clone(), now);
            metrics.queued();
        }
    }

    /// A reconcile of `key` begins.
    pub(crate) fn begin(&self, key: &Key, now: Instant, metrics: &Metrics) {
        let mut state = self.state();
        let due = state.due.remove(key).filter(|due| *due <= now);
        let joined = state.waiting.remove(key);
        if joined.is_none() && due.is_some() {
            metrics.queued();
        }
        if let Some(since) = [joined, due].into_iter().flatten().min() {
            metrics.dequeued(now.saturating_duration_since(since));
        }
        state.running.insert(key.clone(), now);
    }

    /// A reconcile of `key` has ended, and the next is due after a time, if at all.
    pub(crate) fn end(&self, key: &Key, next: Option<Duration>, now: Instant) {
        let mut state = self.state();
        state.running.remove(key);
        if let Some(due) = next.and_then(|wait| now.checked_add(wait)) {
            state.due.insert(key.clone(), due);
        }
    }

    /// `key` is gone.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.waiting.remove(key);
        state.due.remove(key);
    }

    /// Whether anything that has changed waits.
    pub(crate) fn is_busy(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// What it has come to at `now`.
    pub(crate) fn backlog(&self, now: Instant) -> Backlog {
        let state = self.state();
        let overdue = state.due.iter().filter(|(key, due)| **due <= now && !state.waiting.contains_key(*key)).count();
        let times = || state.running.values().map(|begun| now.saturating_duration_since(*begun));
        Backlog { depth: state.waiting.len() + overdue, unfinished: times().sum(), longest: times().max().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_waits_from_its_first_change_or_the_time_it_is_due_until_its_reconcile_begins() {
        let (queue, metrics, start) = (Queue::default(), Metrics::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let (a, b) = (Key::new("n", "a"), Key::new("n", "b"));
        queue.join(&a, start, &metrics);
        queue.join(&a, after(1), &metrics);
        queue.join(&b, after(1), &metrics);
        assert_eq!(queue.backlog(after(1)).depth, 2, "twice in line is once");

        queue.begin(&a, after(2), &metrics);
        queue.begin(&b, after(3), &metrics);
        let backlog = Backlog { depth: 0, unfinished: Duration::from_secs(3), longest: Duration::from_secs(2) };
        assert_eq!(queue.backlog(after(4)), backlog);

        queue.end(&a, Some(Duration::from_secs(5)), after(4));
        queue.end(&b, None, after(4));
        assert_eq!([after(8), after(9)].map(|now| queue.backlog(now).depth), [0, 1], "only what is due is in line");
        queue.join(&a, after(9), &metrics);
        assert_eq!(queue.backlog(after(9)).depth, 1);
        queue.begin(&a, after(10), &metrics);
        assert_eq!(queue.backlog(after(10)).depth, 0);
        queue.end(&a, Some(Duration::ZERO), after(10));
        queue.forget(&a);
        assert_eq!(queue.backlog(after(20)), Backlog::default());
    }
}
