//! Searches for the sessions of objects by their markers. One list of a work group serves all objects that wait for one.
//!
//! An object registers with [`MarkerSearch::ask`] and the time from which a list is of use to it, and then waits without a timer. A list begins when the
//! earliest of these times has come. It has two parts: the active sessions, and the degraded ones, which live on and are not among those. Only the
//! markers of the objects that were registered before its first page are kept. Each page takes its own turn in the rate limiter.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::known::backoff;
use crate::marker;
use crate::observer::Pages;
use crate::session::{Class, Refusal};

/// Pages that may be read at a time, over all work groups.
const MAX_PARALLEL_PAGES: usize = 4;
/// Calls for one page before its list has failed, if the refusals pass by themselves.
const MAX_PAGE_CALLS: u32 = 4;
/// Time for which the refusals of a work group's lists are remembered while its objects wait to ask again: twice the longest backoff.
const FAILING_TTL: Duration = Duration::from_mins(10);
/// Part of the time in which a work group may be listed: after a list, the next begins no sooner than so many times its duration.
const PAUSE_FACTOR: u32 = 3;

/// Sessions of one part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// CREATING to BUSY: a list without a state filter.
    Active,
    /// DEGRADED.
    Degraded,
}

/// A session as ListSessions shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The id, if it is one.
    pub id: Option<String>,
    /// The description.
    pub description: Option<String>,
}

/// A page of [`Summary`]s.
#[derive(Clone, Debug, Default)]
pub struct SummaryPage {
    /// The sessions in it.
    pub sessions: Vec<Summary>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

/// Reads the lists of work groups.
pub trait Lister: Send + Sync + 'static {
    /// Reads a page of a part, once the rate limiter gives it a turn.
    fn page(&self, work_group: &str, part: Part, next: Option<String>) -> impl Future<Output = Result<SummaryPage, Refusal>> + Send;

    /// Returns whether GetWorkGroup, asked now, says that the work group does not exist.
    fn is_missing(&self, work_group: &str) -> impl Future<Output = bool> + Send;
}

/// What an object wants to learn from a list, and from when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// UID in the markers.
    pub uid: String,
    /// Attempt in the markers; any if there is none.
    pub attempt: Option<i32>,
    /// Session to look for by its id, whatever its marker.
    pub session_id: Option<String>,
    /// Earliest begin of a list whose silence is of use. A list that shows a session is of use in any case.
    pub from: Instant,
}

impl Ask {
    fn seeks_the_same(&self, other: &Self) -> bool {
        (&self.uid, self.attempt, &self.session_id) == (&other.uid, other.attempt, &other.session_id)
    }
}

/// A session with the marker that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Attempt in the marker.
    pub attempt: i32,
    /// The session's id, unless ListSessions leaves it out.
    pub id: Option<String>,
}

/// What a list has told an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The list was read to its end.
    Complete {
        /// Time before its first page was asked for.
        begun: Instant,
        /// Sessions with the marker that was asked for.
        marked: Vec<Marked>,
        /// Whether the session that was asked for by its id is in it.
        contains_session: bool,
    },
    /// The list could not be read.
    Failed(Refusal),
}

#[derive(Debug)]
struct Asker {
    ask: Ask,
    /// Number of the list that reads for it from its first page on.
    list: Option<u64>,
    answer: Option<Answer>,
}

/// Refusals of lists in a row.
#[derive(Debug)]
struct Failing {
    class: Class,
    reason: &'static str,
    count: u32,
    /// UIDs of the objects that know of it.
    told: HashSet<String>,
}

#[derive(Debug)]
struct Group<K> {
    askers: HashMap<K, Asker>,
    /// Number of the newest list.
    list: u64,
    /// When the next list may begin, if there was one before.
    next: Option<Instant>,
    failing: Option<Failing>,
    changed: Arc<Notify>,
}

impl<K> Group<K> {
    fn new() -> Self {
        Self { askers: HashMap::new(), list: 0, next: None, failing: None, changed: Arc::default() }
    }

    /// Returns until when the group is kept though nobody asks.
    fn kept_until(&self) -> Option<Instant> {
        self.next.map(|next| if self.failing.is_some() { next + FAILING_TTL } else { next })
    }
}

/// A list that is being read.
#[derive(Debug)]
struct Reading<K> {
    number: u64,
    begun: Instant,
    /// Objects by UID, with the attempt that each asks for.
    uids: HashMap<String, Vec<(K, Option<i32>)>>,
    session_ids: HashMap<String, Vec<K>>,
    marked: HashMap<K, Vec<Marked>>,
    contained: HashSet<K>,
}

impl<K: Clone + Eq + Hash> Reading<K> {
    fn take(&mut self, sessions: Vec<Summary>) {
        for Summary { id, description } in sessions {
            if let Some(keys) = id.as_ref().and_then(|id| self.session_ids.get(id)) {
                self.contained.extend(keys.iter().cloned());
            }
            let Some(description) = description else { continue };
            for uid in marker::possible_uids(&description) {
                let Some(attempt) = marker::attempt_of(&description, uid) else { continue };
                for (key, asked) in self.uids.get(uid).into_iter().flatten() {
                    let marked = Marked { attempt, id: id.clone() };
                    let found = self.marked.get(key);
                    if asked.is_none_or(|asked| asked == attempt) && found.is_none_or(|found| !found.contains(&marked)) {
                        self.marked.entry(key.clone()).or_default().push(marked);
                    }
                }
            }
        }
    }
}

/// How the reading of a list has come to its end.
#[derive(Debug)]
enum Read {
    Complete,
    /// Nobody waits for it any more.
    Abandoned,
    Failed(Refusal),
}

#[derive(Debug)]
enum Next<K> {
    List(Reading<K>),
    Wait(Option<Instant>, Arc<Notify>),
    Over,
}

/// The objects that wait for a list, by work group.
#[derive(Debug)]
pub struct MarkerSearch<K> {
    groups: Mutex<HashMap<String, Group<K>>>,
    pages: Semaphore,
    pause: Duration,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> MarkerSearch<K> {
    /// Creates a search that leaves at least `pause` between two lists of a work group.
    pub fn new(pause: Duration) -> Self {
        Self { groups: Mutex::default(), pages: Semaphore::new(MAX_PARALLEL_PAGES), pause }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, Group<K>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the answer to `ask`, or registers `key` for the next list that can give one. The answer stays until [`MarkerSearch::cancel`].
    /// `serve` is called for a work group that nobody has asked about, and is to spawn [`MarkerSearch::serve`].
    pub fn ask(&self, key: &K, work_group: &str, ask: Ask, serve: impl FnOnce(String)) -> Option<Answer> {
        let mut groups = self.groups();
        let is_new = !groups.contains_key(work_group);
        let group = groups.entry(work_group.to_owned()).or_insert_with(Group::new);
        match group.askers.get_mut(key) {
            Some(asker) if asker.ask.seeks_the_same(&ask) => {
                if asker.answer.is_some() {
                    return asker.answer.clone();
                }
                // A list that is being read for it still serves it.
                if asker.ask.from <= ask.from {
                    return None;
                }
                asker.ask = ask;
            }
            _ => {
                group.askers.insert(key.clone(), Asker { ask, list: None, answer: None });
            }
        }
        group.changed.notify_one();
        drop(groups);
        if is_new {
            serve(work_group.to_owned());
        }
        None
    }

    /// Drops `key`, which neither waits for a list nor reads its answer.
    pub fn cancel(&self, key: &K) {
        for group in self.groups().values_mut() {
            if group.askers.remove(key).is_some() {
                group.changed.notify_one();
            }
        }
    }

    /// Reads the lists of `work_group` as long as objects wait for one, and calls `trigger` for each that has an answer.
    pub async fn serve(self: Arc<Self>, work_group: String, lister: impl Lister, trigger: impl Fn(&K)) {
        loop {
            match self.next(&work_group, Instant::now()) {
                Next::List(mut reading) => {
                    debug!(work_group, askers = reading.uids.len(), "a list for the objects that wait for one begins");
                    let read = match self.read(&work_group, &lister, &mut reading).await {
                        // Nothing is in a work group that does not exist; but a list that is refused does not prove that.
                        Read::Failed(refusal) if refusal.reason == "WorkGroupNotFound" => {
                            if lister.is_missing(&work_group).await {
                                Read::Complete
                            } else {
                                Read::Failed(refusal)
                            }
                        }
                        read => read,
                    };
                    self.finish(&work_group, reading, &read, Instant::now(), fastrand::f64()).iter().for_each(&trigger);
                }
                Next::Wait(Some(time), changed) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(time) => {}
                        () = changed.notified() => {}
                    }
                }
                Next::Wait(None, changed) => changed.notified().await,
                Next::Over => return,
            }
        }
    }

    /// Decides what is to be done for a work group at `now`.
    fn next(&self, work_group: &str, now: Instant) -> Next<K> {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(work_group) else { return Next::Over };
        let changed = group.changed.clone();
        let earliest = group.askers.values().filter(|asker| asker.answer.is_none()).map(|asker| asker.ask.from).min();
        let begin = match earliest {
            Some(earliest) => group.next.map_or(earliest, |next| next.max(earliest)),
            None if !group.askers.is_empty() => return Next::Wait(None, changed),
            // Kept for a while, so that the pause holds for whoever comes next, and the backoff grows.
            None if group.kept_until().is_some_and(|time| now < time) => return Next::Wait(group.kept_until(), changed),
            None => {
                groups.remove(work_group);
                return Next::Over;
            }
        };
        if now < begin {
            return Next::Wait(Some(begin), changed);
        }
        group.list += 1;
        let number = group.list;
        let (mut uids, mut session_ids) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (key, asker) in group.askers.iter_mut().filter(|(_, asker)| asker.answer.is_none()) {
            asker.list = Some(number);
            uids.entry(asker.ask.uid.clone()).or_default().push((key.clone(), asker.ask.attempt));
            if let Some(id) = &asker.ask.session_id {
                session_ids.entry(id.clone()).or_default().push(key.clone());
            }
        }
        Next::List(Reading { number, begun: now, uids, session_ids, marked: HashMap::new(), contained: HashSet::new() })
    }

    async fn read(&self, work_group: &str, lister: &impl Lister, reading: &mut Reading<K>) -> Read {
        for part in [Part::Active, Part::Degraded] {
            let (mut pages, mut next) = (Pages::default(), None);
            loop {
                if !self.is_awaited(work_group, reading.number) {
                    return Read::Abandoned;
                }
                let page = match self.page(work_group, lister, part, next).await {
                    Ok(page) => page,
                    Err(refusal) => return Read::Failed(refusal),
                };
                reading.take(page.sessions);
                next = match pages.next(page.next) {
                    Ok(next) => next,
                    Err(refusal) => return Read::Failed(refusal),
                };
                if next.is_none() {
                    break;
                }
            }
        }
        Read::Complete
    }

    /// Reads a page, again if the refusal passes by itself: else no long list would come to its end.
    async fn page(&self, work_group: &str, lister: &impl Lister, part: Part, next: Option<String>) -> Result<SummaryPage, Refusal> {
        let mut calls = 0;
        loop {
            let page = {
                let _permit = self.pages.acquire().await;
                lister.page(work_group, part, next.clone()).await
            };
            calls += 1;
            match page {
                Err(refusal) if calls < MAX_PAGE_CALLS && matches!(refusal.class, Class::Unanswered | Class::Throttled | Class::Capacity) => {
                    tokio::time::sleep(backoff(refusal.class, calls - 1, fastrand::f64()).unsigned_abs()).await;
                }
                page => return page,
            }
        }
    }

    /// Returns whether anybody still waits for the list `number`.
    fn is_awaited(&self, work_group: &str, number: u64) -> bool {
        let groups = self.groups();
        groups.get(work_group).is_some_and(|group| group.askers.values().any(|asker| asker.list == Some(number)))
    }

    /// Answers the objects that the list serves. Returns them.
    fn finish(&self, work_group: &str, mut reading: Reading<K>, read: &Read, now: Instant, jitter: f64) -> Vec<K> {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(work_group) else { return Vec::new() };
        let lasted = now.duration_since(reading.begun) * PAUSE_FACTOR;
        group.next = Some(now + self.pause.max(lasted));
        match read {
            Read::Complete => group.failing = None,
            Read::Abandoned => {}
            Read::Failed(refusal) => {
                warn!(work_group, reason = refusal.reason, "cannot list the sessions to find those of objects: {}", refusal.message);
                let failing = group.failing.take().filter(|failing| (failing.class, failing.reason) == (refusal.class, refusal.reason));
                let failing = failing.map(|failing| Failing { count: failing.count.saturating_add(1), ..failing });
                let first = || Failing { class: refusal.class, reason: refusal.reason, count: 0, told: HashSet::new() };
                let failing = group.failing.insert(failing.unwrap_or_else(first));
                group.next = Some(now + backoff(refusal.class, failing.count, jitter).unsigned_abs().max(lasted));
            }
        }
        let mut answered = Vec::new();
        for (key, asker) in group.askers.iter_mut().filter(|(_, asker)| asker.list == Some(reading.number)) {
            asker.list = None;
            let is_due = asker.ask.from <= reading.begun;
            asker.answer = match &read {
                Read::Complete => {
                    let (marked, contains_session) = (reading.marked.remove(key).unwrap_or_default(), reading.contained.contains(key));
                    let is_found = !marked.is_empty() || contains_session;
                    (is_due || is_found).then_some(Answer::Complete { begun: reading.begun, marked, contains_session })
                }
                Read::Abandoned => None,
                // What an object knows already is no answer: it waits on. For one that misses its session it may be a part of the proof.
                Read::Failed(refusal) => {
                    let is_news = is_due && group.failing.as_mut().is_some_and(|failing| failing.told.insert(asker.ask.uid.clone()));
                    (is_news || is_due && asker.ask.session_id.is_some()).then(|| Answer::Failed(refusal.clone()))
                }
            };
            if asker.answer.is_some() {
                answered.push(key.clone());
            }
        }
        answered
    }
}

#[cfg(test)]
#[path = "marker_search_tests.rs"]
mod tests;
