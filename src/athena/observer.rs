//! A substitute for a watch, which Athena does not have: each work group with live sessions is listed from time to time, and only the objects whose
//! session has changed, or is not in the list, are triggered.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use tracing::{debug, warn};

use crate::api::SessionState;
use crate::runtime::clock::{BootTime, Clock};
use crate::session::reply::{ErrorClass, Refusal, Session};

/// Result of a sweep for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepEvent {
    /// The session has changed; the time is that of the request for the page that showed it.
    Shown(Box<Session>, Timestamp),
    /// The session is not in a complete list, or there is no list: only a look can show its state. The time is that of the last list with the
    /// session.
    Missed(Option<Timestamp>),
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page<S> {
    /// The sessions in it.
    pub sessions: Vec<S>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

/// Time of the request for a page, after the rate limiter's permit for the call.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    instant: Instant,
    boot: BootTime,
}

impl Asked {
    /// Returns the current time.
    pub fn now() -> Self {
        Self { instant: Instant::now(), boot: BootTime::now() }
    }
}

/// Reply to the request for a page, with its time.
pub type PageReply = (Asked, Result<Page<Session>, Refusal>);

/// Iterator over the page tokens of a list. A list that does not end is abandoned: it would be read for ever.
#[derive(Debug, Default)]
pub struct Pages(HashSet<String>);

impl Pages {
    /// Maximum number of pages: more than a list of sessions has.
    const MAX_PAGES: usize = 1000;

    /// Returns the token of the next page, if the last one names a `token`.
    ///
    /// # Errors
    /// When the token was returned before, or there are too many.
    pub fn next(&mut self, token: Option<String>) -> Result<Option<String>, Refusal> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        if self.0.len() < Self::MAX_PAGES && self.0.insert(token.clone()) {
            return Ok(Some(token));
        }
        Err(Refusal::unanswered("the list that ListSessions gives does not end"))
    }
}

/// Results of a list for objects.
type SweepEvents<K> = Vec<(K, SweepEvent)>;

/// A tracked session.
#[derive(Debug)]
struct Entry<K> {
    object: K,
    /// Time since which it is tracked: a page that was requested before has no news of it.
    since: Instant,
    /// State in which it was last seen.
    state: SessionState,
    modified: Option<Timestamp>,
    /// Number of the last sweep that showed it.
    sweep: u64,
    seen: Option<Timestamp>,
    /// Time since which a look at it waits for its permit, if one does: the next page that shows it serves as one.
    wanted: Option<Instant>,
    /// True if a complete poll did not show it: only a look can show its state.
    unlisted: bool,
}

impl<K> Entry<K> {
    /// Returns whether a look at the session waits for a list that was begun at `begun`.
    fn awaits(&self, begun: Instant) -> bool {
        self.since <= begun && self.wanted.is_some_and(|since| since <= begun)
    }
}

/// Result of the sweeps of a work group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The work group.
    pub work_group: String,
    /// Time since it was last listed to the end or, if it never was, since a list was first wanted.
    pub age: Duration,
    /// The sessions in the last complete list that are not tracked, if there is such a list.
    pub unclaimed: Option<Vec<String>>,
}

/// The tracked sessions of one work group. It has no clock and makes no calls.
#[derive(Debug)]
struct Group<K> {
    sessions: HashMap<String, Entry<K>>,
    sweep: u64,
    /// Ids of the untracked sessions in the list that is being read, and in the last that was read to its end.
    others: Vec<String>,
    unclaimed: Option<Vec<String>>,
    failing: Option<Instant>,
    refused: Option<Instant>,
    /// True while a poll reads its newest pages.
    polled: bool,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            sweep: 0,
            others: Vec::new(),
            unclaimed: None,
            failing: None,
            refused: None,
            polled: false,
        }
    }
}

impl<K: Clone> Group<K> {
    /// Takes in a page of a sweep that was requested at `asked`. Returns the objects whose session has changed, or needs a look.
    fn page(&mut self, sessions: Vec<Session>, asked: Instant, time: Timestamp) -> SweepEvents<K> {
        let others = sessions
            .iter()
            .filter(|session| !self.sessions.contains_key(&session.id))
            .map(|session| session.id.clone());
        self.others.extend(others);
        self.observe(sessions, asked, time)
    }

    /// Takes in a page of any list.
    fn observe(&mut self, sessions: Vec<Session>, asked: Instant, time: Timestamp) -> SweepEvents<K> {
        let mut changed = Vec::new();
        for session in sessions {
            let Some(entry) = self.sessions.get_mut(&session.id) else { continue };
            entry.sweep = self.sweep;
            if asked < entry.since {
                continue;
            }
            entry.seen = Some(time);
            let wanted = entry.wanted.take().is_some();
            entry.unlisted = false;
            // While a session starts or ends, looks show its changes, or a poll where looks have to wait.
            let changed_within = session.settled() && entry.modified != session.last_modified_time;
            if wanted || entry.state != session.state || changed_within {
                entry.state.clone_from(&session.state);
                entry.modified = session.last_modified_time;
                changed.push((entry.object.clone(), SweepEvent::Shown(Box::new(session), time)));
            }
        }
        changed
    }

    /// Ends the waits for a poll that was begun at `begun` and is complete: a session that it ought to have shown needs a look.
    fn polled(&mut self, begun: Instant) {
        for entry in self.sessions.values_mut().filter(|entry| entry.awaits(begun)) {
            (entry.wanted, entry.unlisted) = (None, true);
        }
    }

    /// Returns whether a look waits for a poll that was begun at `begun`: a look that began to wait later waits for the next poll, whose first page
    /// may show its session.
    fn awaits(&self, begun: Instant) -> bool {
        self.sessions.values().any(|entry| entry.awaits(begun))
    }

    /// Takes in the end of a complete list that was begun at `begun`. Returns the objects whose session is not in it, though it was tracked before.
    fn complete(&mut self, begun: Instant) -> SweepEvents<K> {
        (self.failing, self.refused) = (None, None);
        self.unclaimed = Some(std::mem::take(&mut self.others));
        let sweep = self.sweep;
        self.expel(|entry| entry.sweep < sweep && entry.since <= begun)
    }

    /// Takes in the failure of a list. Returns the objects that need a look instead: all of them, if somebody has to fix the cause or if lists have
    /// failed for too long.
    fn failed(&mut self, refusal: &Refusal, now: Instant, patience: Duration) -> SweepEvents<K> {
        let since = *self.failing.get_or_insert(now);
        // The `Date` of the refusal corrects the clock, by which the next call is signed.
        let is_clock = refusal.reason == "ClockSkew";
        let passing = is_clock
            || matches!(
                refusal.class,
                ErrorClass::Unanswered | ErrorClass::NotSent | ErrorClass::Throttled | ErrorClass::Capacity
            );
        if !passing {
            self.refused = Some(now);
        }
        if passing && now.duration_since(since) < patience { Vec::new() } else { self.expel(|_| true) }
    }

    fn expel(&mut self, whom: impl Fn(&Entry<K>) -> bool) -> SweepEvents<K> {
        let missed = self.sessions.extract_if(|_, entry| whom(entry));
        missed.map(|(_, entry)| (entry.object, SweepEvent::Missed(entry.seen))).collect()
    }
}

#[derive(Debug)]
struct Tracked<K> {
    groups: HashMap<String, Group<K>>,
    /// Time since which each work group has not been listed to the end. It outlives a group whose lists fail.
    unlisted: HashMap<String, Instant>,
    places: HashMap<K, (String, String)>,
    events: HashMap<K, (String, SweepEvent)>,
}

/// Tracks sessions by listing their work groups.
#[derive(Debug)]
pub struct Observer<K> {
    tracked: Mutex<Tracked<K>>,
    interval: Duration,
    patience: Duration,
    /// Athena's clock.
    clock: Clock,
}

impl<K: Clone + Eq + Hash + Send + 'static> Observer<K> {
    /// Creates an observer that lists a work group every `interval`, give or take a quarter, and relies on the last list for `patience`. `clock` is
    /// Athena's.
    pub fn new(interval: Duration, patience: Duration, clock: Clock) -> Self {
        let tracked = Tracked {
            groups: HashMap::new(),
            unlisted: HashMap::new(),
            places: HashMap::new(),
            events: HashMap::new(),
        };
        Self { tracked: Mutex::new(tracked), interval, patience, clock }
    }

    /// Time for which a refused list counts as one that cannot be read.
    const REFUSAL_TTL: Duration = Duration::from_mins(5);

    /// Tracks `session` of `object`, which was last seen in the given state. Returns whether it is tracked: it cannot be where lists are refused, or
    /// if another object claims the session. `sweep` begins to list a work group that was not listed before.
    pub fn track(&self, object: &K, work_group: &str, session: &Session, sweep: impl FnOnce(String)) -> bool {
        let now = Instant::now();
        let mut tracked = self.tracked.lock();
        let tracked = &mut *tracked;
        let begin = !tracked.groups.contains_key(work_group);
        if begin {
            tracked.unlisted.entry(work_group.to_owned()).or_insert(now);
        }
        let group = tracked.groups.entry(work_group.to_owned()).or_default();
        if group.refused.is_some_and(|time| now.duration_since(time) < Self::REFUSAL_TTL) {
            return false;
        }
        // A session has one object, even if two statuses name it: the other object needs a look, which shows whose session it is.
        if group.sessions.get(&session.id).is_some_and(|entry| entry.object != *object) {
            return false;
        }
        let place = (work_group.to_owned(), session.id.clone());
        if let Some(entry) =
            group.sessions.get_mut(&session.id).filter(|_| tracked.places.get(object) == Some(&place))
        {
            if entry.state != session.state
                || entry.modified != session.last_modified_time && session.last_modified_time.is_some()
            {
                (entry.state, entry.modified, entry.since) =
                    (session.state.clone(), session.last_modified_time, now);
            }
            return true;
        }
        let entry = Entry {
            object: object.clone(),
            since: now,
            state: session.state.clone(),
            modified: session.last_modified_time,
            sweep: group.sweep,
            seen: None,
            wanted: None,
            unlisted: false,
        };
        group.sessions.insert(session.id.clone(), entry);
        if let Some((group, id)) = tracked.places.insert(object.clone(), place.clone())
            && (&group, &id) != (&place.0, &place.1)
            && let Some(group) = tracked.groups.get_mut(&group)
        {
            group.sessions.remove(&id);
        }
        if begin {
            sweep(work_group.to_owned());
        }
        true
    }

    /// Stops tracking the session of `object`.
    pub fn untrack(&self, object: &K) {
        let mut tracked = self.tracked.lock();
        tracked.events.remove(object);
        if let Some((group, id)) = tracked.places.remove(object)
            && let Some(group) = tracked.groups.get_mut(&group)
        {
            group.sessions.remove(&id);
        }
    }

    /// Takes the next page that shows the session of `object` in place of a look at the session, which waits for the rate limiter. Calls `poll`, which
    /// must spawn [`Observer::poll`], if no poll of the work group runs. Does nothing for a session that is not tracked or that a complete poll did not
    /// show, and where lists are refused: such a session has to wait for its look.
    pub fn poll_instead(&self, object: &K, poll: impl FnOnce(String)) {
        let mut tracked = self.tracked.lock();
        let Tracked { groups, places, .. } = &mut *tracked;
        let Some((name, id)) = places.get(object) else { return };
        let Some(group) = groups.get_mut(name) else { return };
        let is_refused = group.refused.is_some_and(|time| time.elapsed() < Self::REFUSAL_TTL);
        let Some(entry) = group.sessions.get_mut(id).filter(|entry| !entry.unlisted && !is_refused) else {
            return;
        };
        entry.wanted.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut group.polled, true) {
            poll(name.clone());
        }
    }

    /// Reads the newest pages of `work_group`, with a pause between two polls, as long as looks at its sessions wait.
    pub async fn poll<L: Future<Output = PageReply>>(
        self: Arc<Self>,
        work_group: String,
        pause: Duration,
        list: impl Fn(String, Option<String>) -> L,
        trigger: impl Fn(K),
    ) {
        loop {
            let mut begun = None;
            let take = |group: &mut Group<K>, page: Page<Session>, asked: Instant, time| {
                let begun = *begun.get_or_insert(asked);
                let told = group.observe(page.sessions, asked, time);
                let next = page.next.filter(|_| group.awaits(begun));
                if next.is_none() {
                    group.polled(begun);
                }
                (told, next)
            };
            if self.read(&work_group, &list, &trigger, take).await {
                self.in_group(&work_group, |group| {
                    group.polled(Instant::now());
                    Vec::new()
                });
            }
            tokio::time::sleep(pause).await;
            let mut tracked = self.tracked.lock();
            let Some(group) = tracked.groups.get_mut(&work_group) else { return };
            if !group.awaits(Instant::now()) {
                group.polled = false;
                return;
            }
        }
    }

    /// Returns the result of sweeps for the session `id` of `object` since the last time, if there is one.
    pub fn take_event(&self, object: &K, id: &str) -> Option<SweepEvent> {
        self.tracked.lock().events.remove(object).filter(|(seen, _)| seen == id).map(|(_, event)| event)
    }

    /// Returns the results of the sweeps of the work groups that are listed, or were to be and in which sessions `live`.
    pub fn observations(&self, live: impl Fn(&str) -> bool) -> Vec<Observation> {
        let now = Instant::now();
        let mut tracked = self.tracked.lock();
        let Tracked { groups, unlisted, .. } = &mut *tracked;
        unlisted.retain(|work_group, _| groups.contains_key(work_group) || live(work_group));
        let observation = |(work_group, since): (&String, &Instant)| Observation {
            work_group: work_group.clone(),
            age: now.saturating_duration_since(*since),
            unclaimed: groups.get(work_group).and_then(|group| group.unclaimed.clone()),
        };
        unlisted.iter().map(observation).collect()
    }

    /// Lists `work_group` from time to time, as long as any session in it is tracked. `list` reads a page, and `wake` is called for each object whose
    /// session has changed.
    pub async fn sweep<L: Future<Output = PageReply>>(
        self: Arc<Self>,
        work_group: String,
        list: impl Fn(String, Option<String>) -> L,
        wake: impl Fn(K),
    ) {
        loop {
            let failed = self.sweep_once(&work_group, &list, &wake).await;
            // A list that fails is not requested more often than one that does not.
            let pause = self.interval.mul_f64(if failed { 1.0 } else { 0.75 } + 0.5 * fastrand::f64());
            tokio::time::sleep(pause).await;
            let mut tracked = self.tracked.lock();
            let refused =
                |group: &Group<K>| group.refused.is_some_and(|time| time.elapsed() < Self::REFUSAL_TTL);
            match tracked.groups.get(&work_group) {
                Some(group) if !group.sessions.is_empty() => {}
                // The group is kept, so that no object requests the list again.
                Some(group) if refused(group) => {}
                group => {
                    if group.is_none_or(|group| group.failing.is_none()) {
                        tracked.unlisted.remove(&work_group);
                    }
                    tracked.groups.remove(&work_group);
                    return debug!(work_group, "nothing in the work group is looked out for");
                }
            }
        }
    }

    async fn sweep_once<L: Future<Output = PageReply>>(
        &self,
        work_group: &str,
        list: &impl Fn(String, Option<String>) -> L,
        wake: &impl Fn(K),
    ) -> bool {
        let begun = Instant::now();
        {
            let mut tracked = self.tracked.lock();
            let Some(group) = tracked.groups.get_mut(work_group).filter(|group| !group.sessions.is_empty())
            else {
                return false;
            };
            group.sweep += 1;
            group.others.clear();
        }
        let take = |group: &mut Group<K>, page: Page<Session>, asked: Instant, time| {
            let mut told = group.page(page.sessions, asked, time);
            if page.next.is_none() {
                told.extend(group.complete(begun));
            }
            (told, page.next)
        };
        let failed = self.read(work_group, list, wake, take).await;
        if !failed && let Some(since) = self.tracked.lock().unlisted.get_mut(work_group) {
            *since = begun;
        }
        failed
    }

    /// Reads the pages of a list of `work_group`, and calls `trigger` for each object with an event. `take` takes a page in, and returns the
    /// events and the token of the page to read next. Returns whether a page was refused.
    async fn read<L: Future<Output = PageReply>>(
        &self,
        work_group: &str,
        list: &impl Fn(String, Option<String>) -> L,
        trigger: &impl Fn(K),
        mut take: impl FnMut(&mut Group<K>, Page<Session>, Instant, Timestamp) -> (SweepEvents<K>, Option<String>),
    ) -> bool {
        let (mut pages, mut next) = (Pages::default(), None);
        loop {
            let (asked, page) = list(work_group.to_owned(), next.take()).await;
            // The reply may have corrected the clock.
            let time = self.clock.at(asked.boot);
            let page = page.and_then(|page| Ok(Page { next: pages.next(page.next)?, ..page }));
            let failed = page.is_err();
            let told = self.in_group(work_group, |group| match page {
                Ok(page) => {
                    let (told, following) = take(group, page, asked.instant, time);
                    next = following;
                    told
                }
                Err(refusal) => {
                    warn!(
                        work_group,
                        reason = refusal.reason,
                        "cannot list the sessions: {}",
                        refusal.message
                    );
                    group.failed(&refusal, Instant::now(), self.patience)
                }
            });
            told.into_iter().for_each(trigger);
            if failed || next.is_none() {
                return failed;
            }
        }
    }

    /// Applies `act` to a work group and stores the events that it returns. Returns their objects.
    fn in_group(&self, work_group: &str, act: impl FnOnce(&mut Group<K>) -> SweepEvents<K>) -> Vec<K> {
        let mut tracked = self.tracked.lock();
        let tracked = &mut *tracked;
        let Some(group) = tracked.groups.get_mut(work_group) else { return Vec::new() };
        let mut whom = Vec::new();
        for (object, event) in act(group) {
            let place = match &event {
                SweepEvent::Shown(..) => tracked.places.get(&object).cloned(),
                SweepEvent::Missed(_) => tracked.places.remove(&object),
            };
            if let Some((_, id)) = place {
                tracked.events.insert(object.clone(), (id, event));
                whom.push(object);
            }
        }
        whom
    }
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
