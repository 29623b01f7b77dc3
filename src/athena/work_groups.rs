//! Cache of GetWorkGroup replies: one request serves all objects that need a work group. No caller waits here: a caller that comes during a request
//! is triggered by its reply.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::runtime::key::Key;
use crate::session::reply::{Refusal, WorkGroup};

/// Reply to GetWorkGroup.
pub(super) type WorkGroupReply = Result<WorkGroup, Refusal>;

/// Cached state of a work group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownWorkGroup {
    /// A recent reply.
    WorkGroupReply(WorkGroupReply),
    /// A request is under way. The caller is triggered by its reply.
    Asked,
    /// No reply that still counts.
    Unknown,
}

/// Time for which the reply for a work group that can take sessions is used.
const FIT_TTL: Duration = Duration::from_mins(1);
/// Time for which any other reply is used: somebody may be fixing the work group.
const BRIEF_TTL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Place {
    told: Option<(Instant, WorkGroupReply)>,
    /// True while a request is under way.
    asked: bool,
    waiting: HashSet<Key>,
}

impl Place {
    fn fresh(&self, now: Instant) -> Option<&WorkGroupReply> {
        let (time, told) = self.told.as_ref()?;
        let fit = |group: &WorkGroup| {
            group.enabled && group.engine_version.as_deref().is_some_and(|engine| engine.contains("Spark"))
        };
        let ttl = if told.as_ref().is_ok_and(fit) { FIT_TTL } else { BRIEF_TTL };
        (now.saturating_duration_since(*time) < ttl).then_some(told)
    }
}

/// Cached work groups.
#[derive(Debug, Default)]
pub(super) struct WorkGroups(Mutex<HashMap<String, Place>>);

impl WorkGroups {
    /// Returns the cached state of the work group `name`. If a request is under way, `key` is triggered by its reply.
    pub(super) fn read(&self, name: &str, key: &Key) -> KnownWorkGroup {
        let mut places = self.0.lock();
        let Some(place) = places.get_mut(name) else { return KnownWorkGroup::Unknown };
        if let Some(told) = place.fresh(Instant::now()) {
            return KnownWorkGroup::WorkGroupReply(told.clone());
        }
        if place.asked {
            place.waiting.insert(key.clone());
            return KnownWorkGroup::Asked;
        }
        KnownWorkGroup::Unknown
    }

    /// Begins a request for the work group `name`. The caller passes the reply to the returned question; `trigger` is then called for each waiting
    /// key. If another request is under way, `key` waits for that one and nothing is returned.
    pub(super) fn ask<F: Fn(&Key)>(&self, name: &str, key: &Key, trigger: F) -> Option<Question<'_, F>> {
        let now = Instant::now();
        let mut places = self.0.lock();
        places.retain(|other, place| other == name || place.asked || place.fresh(now).is_some());
        let place = places.entry(name.to_owned()).or_default();
        if std::mem::replace(&mut place.asked, true) {
            place.waiting.insert(key.clone());
            return None;
        }
        Some(Question { groups: self, name: name.to_owned(), trigger })
    }
}

/// A request that waits for its reply. The waiting keys are triggered at its end, with a reply or without.
#[derive(Debug)]
pub(super) struct Question<'a, F: Fn(&Key)> {
    groups: &'a WorkGroups,
    name: String,
    trigger: F,
}

impl<F: Fn(&Key)> Question<'_, F> {
    /// Caches the reply.
    pub(super) fn answer(self, told: WorkGroupReply) {
        if let Some(place) = self.groups.0.lock().get_mut(&self.name) {
            place.told = Some((Instant::now(), told));
        }
    }
}

impl<F: Fn(&Key)> Drop for Question<'_, F> {
    fn drop(&mut self) {
        let waiting = self.groups.0.lock().get_mut(&self.name).map(|place| {
            place.asked = false;
            std::mem::take(&mut place.waiting)
        });
        waiting.iter().flatten().for_each(&self.trigger);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn spark() -> WorkGroup {
        WorkGroup { enabled: true, engine_version: Some("Apache Spark version 3.5".into()) }
    }

    fn key(name: &str) -> Key {
        Key::new("n", name)
    }

    fn refusal() -> Refusal {
        Refusal::unanswered("")
    }

    #[test]
    fn one_asks_for_all_and_the_others_are_triggered_with_the_answer() {
        for answer in [Ok(spark()), Err(refusal())] {
            let groups = WorkGroups::default();
            let triggered = RefCell::new(Vec::new());
            assert_eq!(groups.read("etl", &key("1")), KnownWorkGroup::Unknown);
            let question = groups
                .ask("etl", &key("1"), |key| triggered.borrow_mut().push(key.clone()))
                .expect("the first");
            assert_eq!(groups.read("etl", &key("2")), KnownWorkGroup::Asked);
            assert!(groups.ask("etl", &key("3"), |_| {}).is_none());
            assert_eq!(groups.read("etl", &key("2")), KnownWorkGroup::Asked);
            assert_eq!(groups.read("other", &key("4")), KnownWorkGroup::Unknown);
            question.answer(answer.clone());
            triggered.borrow_mut().sort();
            assert_eq!(*triggered.borrow(), [key("2"), key("3")]);
            assert_eq!(
                groups.read("etl", &key("2")),
                KnownWorkGroup::WorkGroupReply(answer),
                "all objects that waited get a refusal, too"
            );
        }
    }

    #[test]
    fn a_question_without_an_answer_has_the_others_ask_again() {
        let groups = WorkGroups::default();
        let triggered = RefCell::new(Vec::new());
        let question =
            groups.ask("etl", &key("1"), |key| triggered.borrow_mut().push(key.clone())).expect("the first");
        assert_eq!(groups.read("etl", &key("2")), KnownWorkGroup::Asked);
        drop(question);
        assert_eq!(*triggered.borrow(), [key("2")]);
        assert_eq!(groups.read("etl", &key("2")), KnownWorkGroup::Unknown);
        assert!(groups.ask("etl", &key("2"), |_| {}).is_some());
    }

    #[test]
    fn what_can_be_used_is_kept_for_a_minute_and_what_somebody_may_be_mending_for_less() {
        let now = Instant::now();
        let disabled = WorkGroup { enabled: false, ..spark() };
        for (told, ttl) in [
            (Ok(spark()), FIT_TTL),
            (Ok(disabled), BRIEF_TTL),
            (Ok(WorkGroup::default()), BRIEF_TTL),
            (Err(refusal()), BRIEF_TTL),
        ] {
            let place = Place { told: Some((now, told.clone())), ..Place::default() };
            assert_eq!(place.fresh(now + ttl.saturating_sub(Duration::from_millis(1))), Some(&told));
            assert_eq!(place.fresh(now + ttl), None);
        }
    }

    #[test]
    fn work_groups_that_nobody_asks_for_are_not_kept() {
        let groups = WorkGroups::default();
        for number in 0..100 {
            let name = number.to_string();
            groups.ask(&name, &key("1"), |_| {}).expect("the first").answer(Ok(spark()));
            if let Some((time, _)) = groups.0.lock().get_mut(&name).and_then(|place| place.told.as_mut()) {
                *time = Instant::now().checked_sub(FIT_TTL).expect("a time");
            }
        }
        assert_eq!(groups.0.lock().len(), 1);
    }
}
