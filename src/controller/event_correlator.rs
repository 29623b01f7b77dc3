//! Correlates events: which of them are one Event object, and when that is written. Pure: times are counted from the begin of the process, on a clock that
//! does not jump.
//!
//! Two events are the same if they have the same [`EventKey`]: object, reason, attempt and kind of refusal. The first of them is a new Event object, which is
//! written at once. Each further one raises its count and replaces its note, which can differ by an AWS request id, a time or the way out. They are written
//! together: [`FIRST_WAIT`] after the first write, then after twice as long each time, and every [`LONGEST_WAIT`] in the end. The note that people see is
//! never older than that, and what goes on for hours costs twelve writes an hour, however often it happens.
//!
//! The Event objects are those of the API `v1`. In `events.k8s.io/v1` the API server lets nothing but `series` change, so that each newest note would have to
//! be another Event object, and `kubectl describe` would list all of them. The fields are those that client-go's `record.EventRecorder` fills in, and which
//! all readers know: kubectl shows `count` and `lastTimestamp`, Argo CD sorts by `lastTimestamp`, and exporters tell by it what is old.
//!
//! At most [`MAX_EVENTS`] are remembered, each for [`FORGET_AFTER`]. Those that have nothing to be written give way first.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use crate::runtime::key::Key;
use crate::session::backoff::backoff;
use crate::session::events::Event;
use crate::session::reply::Class;

/// Wait between the first write of an Event object and the second. Each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Longest wait between two writes of an Event object. The API server forgets an Event an hour after its last write, unless it is told otherwise.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// How long after it happened last an event is forgotten: the same is another Event object then. A call that is refused is made again after five minutes at
/// the latest, once it is its turn.
const FORGET_AFTER: Duration = Duration::from_mins(7);
/// How many events are remembered, of each its key and its times and, while it is to be written, its note, of up to 1 KiB.
const MAX_EVENTS: usize = 2048;
/// How often a write is tried that is not answered, over some minutes.
const MAX_TRIES: u32 = 12;

/// The object that an event is about, in little memory: many may wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct About {
    /// Its namespace and name.
    pub key: Key,
    /// Its UID.
    pub uid: Option<Arc<str>>,
}

impl From<&ObjectMeta> for About {
    fn from(object: &ObjectMeta) -> Self {
        Self { key: object.into(), uid: object.uid.as_deref().map(Into::into) }
    }
}

/// What makes two events the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct EventKey {
    about: About,
    reason: Cow<'static, str>,
    attempt: Option<i32>,
    refusal: Option<&'static str>,
}

impl EventKey {
    fn of(about: About, event: &Event) -> Self {
        let Event { reason, attempt, refusal, .. } = event;
        Self { about, reason: reason.clone(), attempt: *attempt, refusal: *refusal }
    }
}

/// An Event object as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// What it is about.
    pub about: About,
    /// The newest occurrence.
    pub event: Event,
    /// When the first occurrence was.
    pub first: Timestamp,
    /// When the newest occurrence was.
    pub last: Timestamp,
    /// How often it happened.
    pub count: i32,
    /// Whether the API server has it already.
    pub is_created: bool,
    /// Whether it is told once in the life of the object, whoever tells it: the Event object is named by that.
    pub is_only: bool,
}

impl Write {
    /// The first write of an event that happened at `time`.
    pub(crate) fn first(about: About, event: Event, time: Timestamp) -> Self {
        Self { about, event, first: time, last: time, count: 1, is_created: false, is_only: false }
    }

    /// The write of an event that happened at `time` and is told once in the life of the object. A process that does not know that it was told, and would tell
    /// it again, finds the name taken.
    pub(crate) fn only(about: About, event: Event, time: Timestamp) -> Self {
        Self { is_only: true, ..Self::first(about, event, time) }
    }

    /// Name of the Event object, of at most 253 bytes: that of the object, cut where it has to be, and the time of the first occurrence or, where there is only
    /// one, the object's UID.
    pub(crate) fn object_name(&self) -> String {
        let name = self.about.key.name();
        let name = name[..name.floor_char_boundary(200)].trim_end_matches(['.', '-']);
        match self.about.uid.as_deref().filter(|_| self.is_only) {
            Some(uid) => format!("{name}.{uid}"),
            None => format!("{name}.{:x}", self.first.as_nanosecond()),
        }
    }
}

/// The API server's answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has the Event object.
    Written,
    /// It refuses the Event object.
    Refused,
    /// There is none, or none that says anything of this write.
    Missing,
}

/// An event of the last minutes.
#[derive(Debug)]
struct Recorded {
    /// The newest occurrence, if it is to be written.
    unwritten: Option<Box<Event>>,
    /// When it first happened.
    first: Timestamp,
    /// When it last happened.
    last: Timestamp,
    /// How often it happened.
    count: i32,
    /// Whether the API server has its Event object.
    is_created: bool,
    /// How often it was written or given up.
    writes: u32,
    /// How often in a row a write was not answered.
    failures: u32,
    /// When it may be written again.
    earliest: Duration,
    /// When it is forgotten unless it happens again.
    over: Duration,
    /// Its place in [`Correlator::unwritten`] or [`Correlator::written`].
    place: Place,
}

impl Recorded {
    /// What is to be written of it, if something is.
    fn write(&self, about: &About) -> Option<Write> {
        let Self { first, last, count, is_created, .. } = *self;
        let event = self.unwritten.as_deref()?.clone();
        Some(Write { about: about.clone(), event, first, last, count, is_created, is_only: false })
    }
}

/// A time, and a number that no other event has.
type Place = (Duration, u64);

/// The events of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Correlator {
    events: HashMap<Arc<EventKey>, Recorded>,
    /// Those with an occurrence that is to be written, and when.
    unwritten: BTreeMap<Place, Arc<EventKey>>,
    /// The others, and when they are forgotten.
    written: BTreeMap<Place, Arc<EventKey>>,
    added: u64,
}

impl Correlator {
    /// Adds an event that happened at `time`. Returns what has to be written at once, since its place is needed.
    pub(crate) fn add(&mut self, about: About, event: Event, time: Timestamp, now: Duration) -> Option<Write> {
        let key = EventKey::of(about, &event);
        if let Some(recorded) = self.events.get_mut(&key) {
            recorded.count = recorded.count.saturating_add(1);
            (recorded.last, recorded.over) = (time, now + FORGET_AFTER);
            if recorded.unwritten.replace(event.into()).is_none() {
                let key = self.written.remove(&recorded.place);
                recorded.place.0 = recorded.earliest.max(now);
                self.unwritten.extend(key.map(|key| (recorded.place, key)));
            }
            return None;
        }
        let displaced = (self.events.len() >= MAX_EVENTS).then(|| self.displace()).flatten();
        self.added += 1;
        let (key, place) = (Arc::new(key), (now, self.added));
        self.unwritten.insert(place, key.clone());
        let recorded = Recorded {
            unwritten: Some(event.into()),
            first: time,
            last: time,
            count: 1,
            is_created: false,
            writes: 0,
            failures: 0,
            earliest: now,
            over: now + FORGET_AFTER,
            place,
        };
        self.events.insert(key, recorded);
        displaced
    }

    /// Forgets the event that happened longest ago of those that are written or, if there are none, the one that is due next, and returns what is to be
    /// written of it.
    fn displace(&mut self) -> Option<Write> {
        let (_, key) = self.written.pop_first().or_else(|| self.unwritten.pop_first())?;
        self.events.remove(&key)?.write(&key.about)
    }

    /// Returns what is to be written now, the longest due first, and forgets what is over.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Write> {
        while let Some(first) = self.written.first_entry().filter(|first| first.key().0 <= now) {
            self.events.remove(&first.remove());
        }
        let (_, key) = self.unwritten.first_key_value().filter(|((time, _), _)| *time <= now)?;
        self.events.get(key)?.write(&key.about)
    }

    /// Returns when something is to be written or forgotten next.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        [&self.unwritten, &self.written].into_iter().filter_map(|times| times.first_key_value()).map(|((time, _), _)| *time).min()
    }

    /// Notes the answer to `write`, which was due. Returns whether that is the end of it, and it is not tried again. `jitter` is between 0 and 1.
    pub(crate) fn answered(&mut self, write: &Write, answer: Answer, now: Duration, jitter: f64) -> bool {
        let Some(recorded) = self.events.get_mut(&EventKey::of(write.about.clone(), &write.event)) else { return true };
        let Some(key) = self.unwritten.remove(&recorded.place) else { return true };
        if answer == Answer::Missing && recorded.failures + 1 < MAX_TRIES {
            recorded.place.0 = now + backoff(Class::Unanswered, recorded.failures, jitter).unsigned_abs();
            recorded.failures += 1;
            self.unwritten.insert(recorded.place, key);
            return false;
        }
        recorded.is_created |= answer == Answer::Written;
        (recorded.unwritten, recorded.failures) = (None, 0);
        // What is refused is not tried more often than what is not.
        recorded.earliest = now + FIRST_WAIT.saturating_mul(1 << recorded.writes.min(16)).min(LONGEST_WAIT);
        recorded.writes = recorded.writes.saturating_add(1);
        recorded.place.0 = now.max(recorded.over);
        self.written.insert(recorded.place, key);
        true
    }
}

#[cfg(test)]
#[path = "event_correlator_tests.rs"]
mod tests;
