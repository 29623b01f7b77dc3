//! Correlates events: decides which of them are one Event object, and when that is written. Pure: times are counted from the start of the process, on
//! a clock that does not jump.
//!
//! Two events are the same if they have the same [`EventKey`]: object, reason, attempt and kind of refusal. The first of them is a new Event object,
//! which is written at once. Each further one raises its count and replaces its note, which can differ by an AWS request id, a time or the suggested
//! fix. The further ones are written together: [`FIRST_WAIT`] after the first write, then after twice as long each time, and every [`LONGEST_WAIT`]
//! in the end. The note that people see is never older than that, and an event that goes on for hours costs twelve writes an hour, however often it
//! happens.
//!
//! The Event objects are those of the API `v1`. In `events.k8s.io/v1` the API server lets nothing but `series` change, so that each newest note would
//! have to be another Event object, and `kubectl describe` would list all of them. The fields are those that client-go's `record.EventRecorder` fills
//! in, and which all readers know: kubectl shows `count` and `lastTimestamp`, Argo CD sorts by `lastTimestamp`, and exporters recognise old events by
//! it.
//!
//! At most [`MAX_EVENTS`] are remembered, each for [`FORGET_AFTER`]. Events that do not have to be written are displaced first.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use crate::runtime::key::Key;
use crate::session::backoff::backoff;
use crate::session::events::Event;
use crate::session::reply::ErrorClass;

/// Wait between the first write of an Event object and the second. Each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Longest wait between two writes of an Event object. The API server deletes an Event an hour after its last write, unless it is configured
/// otherwise.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Time after its last occurrence at which an event is forgotten: a further one is another Event object. A call that is refused is made again after
/// five minutes at the latest, once it is its turn.
const FORGET_AFTER: Duration = Duration::from_mins(7);
/// Number of events that are remembered: of each its key, its times and, while it is to be written, its note of up to 1 KiB.
const MAX_EVENTS: usize = 2048;
/// Number of tries of a write that is not answered, over some minutes.
const MAX_TRIES: u32 = 12;

/// Object that an event is about, in little memory: many events may wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct About {
    /// Namespace and name of the object.
    pub key: Key,
    /// UID of the object.
    pub uid: Option<Arc<str>>,
}

impl From<&ObjectMeta> for About {
    fn from(object: &ObjectMeta) -> Self {
        Self { key: object.into(), uid: object.uid.as_deref().map(Into::into) }
    }
}

/// Identity of an event: two events of one key are the same.
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

/// Write of an Event object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// Object that the event is about.
    pub about: About,
    /// Newest occurrence.
    pub event: Event,
    /// Time of the first occurrence.
    pub first: Timestamp,
    /// Time of the newest occurrence.
    pub last: Timestamp,
    /// Number of occurrences.
    pub count: i32,
    /// True if the API server has the Event object already.
    pub is_created: bool,
    /// True if the event is published once in the life of the object, by whichever process: the name of the Event object ensures it.
    pub is_only: bool,
}

impl Write {
    /// Returns the first write of an event that happened at `time`.
    pub(crate) fn first(about: About, event: Event, time: Timestamp) -> Self {
        Self { about, event, first: time, last: time, count: 1, is_created: false, is_only: false }
    }

    /// Returns the write of an event that happened at `time` and is published once in the life of the object. A process that does not know that it
    /// was published, and would do so again, finds the name taken.
    pub(crate) fn only(about: About, event: Event, time: Timestamp) -> Self {
        Self { is_only: true, ..Self::first(about, event, time) }
    }

    /// Returns the name of the Event object, of at most 253 bytes: that of the object, cut where it has to be, and the time of the first occurrence
    /// or, where there is only one, the object's UID.
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
    /// The API server has the Event object.
    Written,
    /// The API server refuses the Event object.
    Refused,
    /// There is no answer, or none about this write.
    Missing,
}

/// Event of the last minutes.
#[derive(Debug)]
struct Recorded {
    /// Newest occurrence, if it is to be written.
    unwritten: Option<Box<Event>>,
    /// Time of the first occurrence.
    first: Timestamp,
    /// Time of the last occurrence.
    last: Timestamp,
    /// Number of occurrences.
    count: i32,
    /// True if the API server has the Event object.
    is_created: bool,
    /// Number of times that the event was written or given up.
    writes: u32,
    /// Number of writes in a row that were not answered.
    failures: u32,
    /// Earliest time of the next write.
    earliest: Duration,
    /// Time at which the event is forgotten unless it happens again.
    over: Duration,
    /// Place in [`Correlator::unwritten`] or [`Correlator::written`].
    place: Place,
}

impl Recorded {
    /// Returns the pending write of the event, if there is one.
    fn write(&self, about: &About) -> Option<Write> {
        let Self { first, last, count, is_created, .. } = *self;
        let event = self.unwritten.as_deref()?.clone();
        Some(Write { about: about.clone(), event, first, last, count, is_created, is_only: false })
    }
}

/// Time, and a number that no other event has.
type Place = (Duration, u64);

/// Correlator of the events of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Correlator {
    events: HashMap<Arc<EventKey>, Recorded>,
    /// Events with an occurrence that is to be written, by the time of that write.
    unwritten: BTreeMap<Place, Arc<EventKey>>,
    /// Other events, by the time at which they are forgotten.
    written: BTreeMap<Place, Arc<EventKey>>,
    added: u64,
}

impl Correlator {
    /// Adds an event that happened at `time`. Returns the write of a displaced event, which has to be made at once.
    pub(crate) fn add(
        &mut self,
        about: About,
        event: Event,
        time: Timestamp,
        now: Duration,
    ) -> Option<Write> {
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

    /// Forgets the event that happened longest ago of the written ones or, if there are none, the one that is due next, and returns its pending
    /// write.
    fn displace(&mut self) -> Option<Write> {
        let (_, key) = self.written.pop_first().or_else(|| self.unwritten.pop_first())?;
        self.events.remove(&key)?.write(&key.about)
    }

    /// Returns the write that has been due longest, and forgets the events whose time is over.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Write> {
        while let Some(first) = self.written.first_entry().filter(|first| first.key().0 <= now) {
            self.events.remove(&first.remove());
        }
        let (_, key) = self.unwritten.first_key_value().filter(|((time, _), _)| *time <= now)?;
        self.events.get(key)?.write(&key.about)
    }

    /// Returns the next time at which an event is to be written or forgotten.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        [&self.unwritten, &self.written]
            .into_iter()
            .filter_map(|times| times.first_key_value())
            .map(|((time, _), _)| *time)
            .min()
    }

    /// Records the answer to `write`, which was due. Returns whether the write is over and is not tried again. `jitter` is between 0 and 1.
    pub(crate) fn answered(&mut self, write: &Write, answer: Answer, now: Duration, jitter: f64) -> bool {
        let Some(recorded) = self.events.get_mut(&EventKey::of(write.about.clone(), &write.event)) else {
            return true;
        };
        let Some(key) = self.unwritten.remove(&recorded.place) else { return true };
        if answer == Answer::Missing && recorded.failures + 1 < MAX_TRIES {
            recorded.place.0 =
                now + backoff(ErrorClass::Unanswered, recorded.failures, jitter).unsigned_abs();
            recorded.failures += 1;
            self.unwritten.insert(recorded.place, key);
            return false;
        }
        recorded.is_created |= answer == Answer::Written;
        (recorded.unwritten, recorded.failures) = (None, 0);
        // A refused event is not tried more often than a written one.
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
