//! The objects that wait for a list of one work group: the list that serves each object, and the begin of the next one. It has no clock and makes no
//! calls, and any times will do, so that the model check drives it too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::session::backoff::backoff;
use crate::session::marker;
use crate::session::reply::{ErrorClass, Refusal};

/// Time for which the refusals of a work group's lists are remembered while its objects wait to ask again: twice the longest backoff.
const FAILING_TTL: Duration = Duration::from_mins(10);
/// Inverse share of the time in which a work group may be listed: after a list, the next begins no sooner than this many times its duration.
const PAUSE_FACTOR: u32 = 3;

/// The sessions that an object searches for in a list, and the time from which a list is of use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask<T> {
    /// UID in the markers.
    pub uid: String,
    /// Attempt in the markers; none for any attempt.
    pub attempt: Option<i32>,
    /// Session to look for by its id, whatever its marker.
    pub session_id: Option<String>,
    /// Earliest begin of a list that is of use even if it shows no session. A list that shows a session is of use in any case.
    pub from: T,
}

impl<T> Ask<T> {
    fn seeks_the_same(&self, other: &Self) -> bool {
        (&self.uid, self.attempt, &self.session_id) == (&other.uid, other.attempt, &other.session_id)
    }
}

/// A session as ListSessions shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Session id, if the text is a valid one.
    pub id: Option<String>,
    /// Description of the session.
    pub description: Option<String>,
}

/// A session with the marker of an ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Marked {
    /// Attempt in the marker.
    pub attempt: i32,
    /// The session's id, unless ListSessions leaves it out.
    pub id: Option<String>,
}

/// Result of a list for an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer<T> {
    /// The list was read to its end.
    Complete {
        /// Time before its first page was requested.
        begun: T,
        /// Sessions with the marker of the ask.
        marked: Vec<Marked>,
        /// True if the list contains the session with the id of the ask.
        contains_session: bool,
    },
    /// The list could not be read.
    Failed(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asker<T> {
    ask: Ask<T>,
    /// Number of the list that reads for this asker from its first page on.
    list: Option<u64>,
    answer: Option<Answer<T>>,
}

/// Refusals of lists in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Failing {
    class: ErrorClass,
    reason: &'static str,
    count: u32,
    /// UIDs of the objects that got this refusal as an answer.
    told: BTreeSet<String>,
}

/// The objects that ask about one work group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group<K: Ord, T> {
    askers: BTreeMap<K, Asker<T>>,
    /// Number of the newest list.
    list: u64,
    /// Time from which on the next list may begin, if there was one before.
    next: Option<T>,
    failing: Option<Failing>,
}

impl<K: Ord, T> Default for Group<K, T> {
    fn default() -> Self {
        Self { askers: BTreeMap::new(), list: 0, next: None, failing: None }
    }
}

/// A list that is being read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading<K: Ord, T> {
    number: u64,
    /// Time before its first page is requested.
    pub begun: T,
    /// Objects by UID, with the attempt that each asks for.
    pub(super) uids: BTreeMap<String, Vec<(K, Option<i32>)>>,
    session_ids: BTreeMap<String, Vec<K>>,
    pub(super) marked: BTreeMap<K, Vec<Marked>>,
    pub(super) contained: BTreeSet<K>,
}

impl<K: Clone + Ord, T> Reading<K, T> {
    /// Returns the objects that this list serves.
    pub fn askers(&self) -> impl Iterator<Item = &K> {
        self.uids.values().flatten().map(|(key, _)| key)
    }

    /// Takes in a page. Only the markers of the askers are stored.
    pub fn take(&mut self, sessions: Vec<Summary>) {
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
                    if asked.is_none_or(|asked| asked == attempt)
                        && found.is_none_or(|found| !found.contains(&marked))
                    {
                        self.marked.entry(key.clone()).or_default().push(marked);
                    }
                }
            }
        }
    }
}

/// Result of reading a list.
#[derive(Debug)]
pub enum Read {
    /// The list was read to its last page.
    Complete,
    /// The reading was stopped: no object waits for the list.
    Abandoned,
    /// A page was refused.
    Failed(Refusal),
}

/// Next action for a work group.
#[derive(Debug)]
pub enum Next<K: Ord, T> {
    /// Read this list.
    List(Reading<K, T>),
    /// Wait until something changes or, if it is given, until this time.
    Wait(Option<T>),
    /// No action: no object asks.
    Over,
}

impl<K: Clone + Ord, T: Copy + Ord + Add<Duration, Output = T> + Sub<Output = Duration>> Group<K, T> {
    /// Returns the answer to `ask`, or registers `key` for the next list that can give one. The answer stays until [`Group::cancel`].
    pub fn ask(&mut self, key: &K, ask: Ask<T>) -> Option<Answer<T>> {
        match self.askers.get_mut(key) {
            Some(asker) if asker.ask.seeks_the_same(&ask) => {
                // A list that is being read for the asker still serves it.
                if asker.answer.is_none() && asker.ask.from > ask.from {
                    asker.ask = ask;
                }
                asker.answer.clone()
            }
            _ => {
                self.askers.insert(key.clone(), Asker { ask, list: None, answer: None });
                None
            }
        }
    }

    /// Drops `key`, which neither waits for a list nor reads its answer. Returns whether it did.
    pub fn cancel(&mut self, key: &K) -> bool {
        self.askers.remove(key).is_some()
    }

    /// Returns the next action at `now`, while no list is being read.
    pub fn next(&mut self, now: T) -> Next<K, T> {
        let earliest =
            self.askers.values().filter(|asker| asker.answer.is_none()).map(|asker| asker.ask.from).min();
        let begin = match earliest {
            Some(earliest) => self.next.map_or(earliest, |next| next.max(earliest)),
            None if !self.askers.is_empty() => return Next::Wait(None),
            None => {
                // The group is kept for a while, so that the pause holds for the next asker, and the backoff grows.
                let ttl = if self.failing.is_some() { FAILING_TTL } else { Duration::ZERO };
                let end = self.next.map(|next| next + ttl).filter(|end| now < *end);
                return end.map_or(Next::Over, |end| Next::Wait(Some(end)));
            }
        };
        if now < begin {
            return Next::Wait(Some(begin));
        }
        self.list += 1;
        let number = self.list;
        let (mut uids, mut session_ids) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (key, asker) in self.askers.iter_mut().filter(|(_, asker)| asker.answer.is_none()) {
            asker.list = Some(number);
            uids.entry(asker.ask.uid.clone()).or_default().push((key.clone(), asker.ask.attempt));
            if let Some(id) = &asker.ask.session_id {
                session_ids.entry(id.clone()).or_default().push(key.clone());
            }
        }
        Next::List(Reading {
            number,
            begun: now,
            uids,
            session_ids,
            marked: BTreeMap::new(),
            contained: BTreeSet::new(),
        })
    }

    /// Returns whether any object still waits for `reading`.
    pub fn awaits(&self, reading: &Reading<K, T>) -> bool {
        self.askers.values().any(|asker| asker.list == Some(reading.number))
    }

    /// Answers the objects that `reading` serves, and plans the next list no sooner than `pause` after it. Returns the answered objects.
    pub fn finish(
        &mut self,
        mut reading: Reading<K, T>,
        read: &Read,
        now: T,
        pause: Duration,
        jitter: f64,
    ) -> Vec<K> {
        let lasted = (now - reading.begun) * PAUSE_FACTOR;
        self.next = Some(now + pause.max(lasted));
        match read {
            Read::Complete => self.failing = None,
            Read::Abandoned => {}
            Read::Failed(refusal) => {
                let (class, reason) = (refusal.class, refusal.reason);
                let count = match &mut self.failing {
                    Some(failing) if (failing.class, failing.reason) == (class, reason) => {
                        failing.count = failing.count.saturating_add(1);
                        failing.count
                    }
                    failing => {
                        failing.insert(Failing { class, reason, count: 0, told: BTreeSet::new() }).count
                    }
                };
                self.next = Some(now + backoff(class, count, jitter).unsigned_abs().max(lasted));
            }
        }
        let mut answered = Vec::new();
        for (key, asker) in self.askers.iter_mut().filter(|(_, asker)| asker.list == Some(reading.number)) {
            asker.list = None;
            let is_due = asker.ask.from <= reading.begun;
            asker.answer = match &read {
                Read::Complete => {
                    let (marked, contains_session) =
                        (reading.marked.remove(key).unwrap_or_default(), reading.contained.contains(key));
                    let is_found = !marked.is_empty() || contains_session;
                    (is_due || is_found).then_some(Answer::Complete {
                        begun: reading.begun,
                        marked,
                        contains_session,
                    })
                }
                Read::Abandoned => None,
                // An object that has got this refusal before gets no answer and still waits. An object that asks for a session id, because looks do
                // not find its session, gets every refusal of a list that began late enough: a denied list can complete the proof that the session is
                // gone (`is_proved_gone`).
                Read::Failed(refusal) => {
                    let is_news = is_due
                        && self
                            .failing
                            .as_mut()
                            .is_some_and(|failing| failing.told.insert(asker.ask.uid.clone()));
                    (is_news || is_due && asker.ask.session_id.is_some())
                        .then(|| Answer::Failed(refusal.clone()))
                }
            };
            if asker.answer.is_some() {
                answered.push(key.clone());
            }
        }
        answered
    }
}
