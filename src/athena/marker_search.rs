//! Searches for the sessions of objects by their markers. One list of a work group serves all objects that wait for one.
//!
//! An object registers with [`MarkerSearch::ask`] and the time from which a list is of use to it, and then waits without a timer. A list begins when
//! the earliest of these times has come. It has two parts: the active sessions, and the degraded ones, which live on and are not among the active
//! ones. Only the markers of the objects that were registered before its first page are stored. Each page waits for its own permit of the rate
//! limiter.

pub mod group;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tracing::{debug, warn};

use self::group::{Group, Read};
pub use self::group::{Marked, Summary};
use crate::athena::observer::{Page, Pages};
use crate::session::backoff::backoff;
use crate::session::reply::{ErrorClass, Refusal};

/// The sessions that an object searches for in a list, and the time from which a list is of use.
pub type Ask = group::Ask<Instant>;
/// Result of a list for an object.
pub type Answer = group::Answer<Instant>;
/// Next action for a work group.
type Next<K> = group::Next<K, Instant>;
/// A list that is being read.
type Reading<K> = group::Reading<K, Instant>;

/// Maximum number of pages read at a time, over all work groups.
const MAX_PARALLEL_PAGES: usize = 4;
/// Maximum number of calls for one page, if the refusals pass by themselves; after them its list has failed.
const MAX_PAGE_CALLS: u32 = 4;

/// Sessions of one part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// CREATING to BUSY: a list without a state filter.
    Active,
    /// DEGRADED.
    Degraded,
}

/// Reads the lists of work groups.
pub trait Lister: Send + Sync + 'static {
    /// Reads a page of a part, once the rate limiter grants a permit.
    fn page(
        &self,
        work_group: &str,
        part: Part,
        next: Option<String>,
    ) -> impl Future<Output = Result<Page<Summary>, Refusal>> + Send;

    /// Returns whether a new GetWorkGroup call reports that the work group does not exist.
    fn is_missing(&self, work_group: &str) -> impl Future<Output = bool> + Send;
}

/// The objects that wait for a list, by work group.
#[derive(Debug)]
pub struct MarkerSearch<K: Ord> {
    groups: Mutex<HashMap<String, Served<K>>>,
    pages: Semaphore,
    pause: Duration,
}

/// A work group, and the notification for the task that serves it.
#[derive(Debug)]
struct Served<K: Ord> {
    group: Group<K, Instant>,
    changed: Arc<Notify>,
}

impl<K: Clone + Ord + Send + Sync + 'static> MarkerSearch<K> {
    /// Creates a search that leaves at least `pause` between two lists of a work group.
    pub fn new(pause: Duration) -> Self {
        Self { groups: Mutex::default(), pages: Semaphore::new(MAX_PARALLEL_PAGES), pause }
    }

    /// Returns the answer to `ask`, or registers `key` for the next list that can give one. The answer stays until [`MarkerSearch::cancel`]. Calls
    /// `serve` for a work group without other askers; it must spawn [`MarkerSearch::serve`].
    pub fn ask(&self, key: &K, work_group: &str, ask: Ask, serve: impl FnOnce(String)) -> Option<Answer> {
        let mut groups = self.groups.lock();
        let is_new = !groups.contains_key(work_group);
        let served = groups
            .entry(work_group.to_owned())
            .or_insert_with(|| Served { group: Group::default(), changed: Arc::default() });
        let answer = served.group.ask(key, ask);
        if answer.is_none() {
            served.changed.notify_one();
        }
        drop(groups);
        if is_new {
            serve(work_group.to_owned());
        }
        answer
    }

    /// Drops `key`, which neither waits for a list nor reads its answer.
    pub fn cancel(&self, key: &K) {
        for served in self.groups.lock().values_mut() {
            if served.group.cancel(key) {
                served.changed.notify_one();
            }
        }
    }

    /// Reads the lists of `work_group` as long as objects wait for one, and calls `trigger` for each that has an answer.
    pub async fn serve(self: Arc<Self>, work_group: String, lister: impl Lister, trigger: impl Fn(&K)) {
        loop {
            let (next, changed) = self.next(&work_group, Instant::now());
            match next {
                Next::List(mut reading) => {
                    debug!(
                        work_group,
                        askers = reading.askers().count(),
                        "a list for the objects that wait for one begins"
                    );
                    let mut read = self.read(&work_group, &lister, &mut reading).await;
                    // A work group that does not exist has no sessions; but a refused list does not prove that it does not exist.
                    if matches!(&read, Read::Failed(refusal) if refusal.reason == "WorkGroupNotFound")
                        && lister.is_missing(&work_group).await
                    {
                        read = Read::Complete;
                    }
                    self.finish(&work_group, reading, &read, Instant::now(), fastrand::f64())
                        .iter()
                        .for_each(&trigger);
                }
                Next::Wait(Some(time)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(time) => {}
                        () = changed.notified() => {}
                    }
                }
                Next::Wait(None) => changed.notified().await,
                Next::Over => return,
            }
        }
    }

    /// Returns the next action for a work group at `now`, and the notification of a change meanwhile.
    fn next(&self, work_group: &str, now: Instant) -> (Next<K>, Arc<Notify>) {
        let mut groups = self.groups.lock();
        let Some(served) = groups.get_mut(work_group) else { return (Next::Over, Arc::default()) };
        let next = (served.group.next(now), served.changed.clone());
        if matches!(next.0, Next::Over) {
            groups.remove(work_group);
        }
        next
    }

    async fn read(&self, work_group: &str, lister: &impl Lister, reading: &mut Reading<K>) -> Read {
        for part in [Part::Active, Part::Degraded] {
            let (mut pages, mut next) = (Pages::default(), None);
            loop {
                if !self.groups.lock().get(work_group).is_some_and(|served| served.group.awaits(reading)) {
                    return Read::Abandoned;
                }
                let page = self.page(work_group, lister, part, next).await;
                match page.and_then(|page| Ok((page.sessions, pages.next(page.next)?))) {
                    Ok((sessions, following)) => {
                        reading.take(sessions);
                        next = following;
                    }
                    Err(refusal) => return Read::Failed(refusal),
                }
                if next.is_none() {
                    break;
                }
            }
        }
        Read::Complete
    }

    /// Reads a page, again if the refusal passes by itself: otherwise no long list would be read to its end.
    async fn page(
        &self,
        work_group: &str,
        lister: &impl Lister,
        part: Part,
        next: Option<String>,
    ) -> Result<Page<Summary>, Refusal> {
        let mut calls = 0;
        loop {
            let page = {
                let _permit = self.pages.acquire().await;
                lister.page(work_group, part, next.clone()).await
            };
            calls += 1;
            match page {
                Err(refusal)
                    if calls < MAX_PAGE_CALLS
                        && matches!(
                            refusal.class,
                            ErrorClass::Unanswered | ErrorClass::Throttled | ErrorClass::Capacity
                        ) =>
                {
                    tokio::time::sleep(backoff(refusal.class, calls - 1, fastrand::f64()).unsigned_abs())
                        .await;
                }
                page => return page,
            }
        }
    }

    /// Answers the objects that the list serves, and returns them.
    fn finish(
        &self,
        work_group: &str,
        reading: Reading<K>,
        read: &Read,
        now: Instant,
        jitter: f64,
    ) -> Vec<K> {
        if let Read::Failed(refusal) = read {
            warn!(
                work_group,
                reason = refusal.reason,
                "cannot list the sessions to find those of objects: {}",
                refusal.message
            );
        }
        let mut groups = self.groups.lock();
        groups
            .get_mut(work_group)
            .map(|served| served.group.finish(reading, read, now, self.pause, jitter))
            .unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "marker_search_tests.rs"]
mod tests;
