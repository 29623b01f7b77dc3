//! State of objects that this process keeps between their reconciles, and writes of its own that need no other reconcile.

use std::collections::HashMap;

use crate::runtime::key::Key;
use crate::session::local_state::LocalState;
use parking_lot::Mutex;

/// State of an object that this process keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectState {
    pub(crate) uid: Box<str>,
    pub(crate) known: LocalState,
    /// The resourceVersion of this process's last write: an older version in the cache must not be acted on.
    pub(crate) written: Option<u64>,
    /// The resourceVersion of a write after which nothing is to be done until the time that is set: when the watch brings it, it needs no reconcile.
    pub(crate) quiet: Option<u64>,
    pub(crate) failures: u32,
    /// Number of times in a row that the API server had another version of the object than the watch had brought.
    pub(crate) outdated: u32,
    /// True if the object, as this process last saw it, is to be deleted after its TTL though a tool would create it again.
    pub(crate) ttl_under_gitops: Option<bool>,
    /// True if the event that the session runs on without the object was published.
    pub(crate) retention_told: bool,
    /// True if the object was released: no state of it is needed.
    pub(crate) released: bool,
}

#[derive(Debug)]
enum Place {
    Kept(Box<ObjectState>),
    /// State in use by a reconcile, since whose beginning the watch has brought this version.
    Out(Option<u64>),
}

impl Place {
    fn kept(self) -> Option<ObjectState> {
        if let Self::Kept(memory) = self { Some(*memory) } else { None }
    }
}

/// State of all objects.
#[derive(Debug, Default)]
pub(crate) struct StateStore(Mutex<HashMap<Key, Place>>);

impl StateStore {
    /// Takes the state of `key`, for a reconcile that begins.
    pub(crate) fn take(&self, key: &Key) -> Option<ObjectState> {
        self.0.lock().insert(key.clone(), Place::Out(None))?.kept()
    }

    /// Puts back the state of `key`, if there is any, after a reconcile. Returns whether the watch has brought a version meanwhile that needs a
    /// reconcile.
    pub(crate) fn put(&self, key: &Key, memory: Option<ObjectState>) -> bool {
        let quiet = memory.as_ref().and_then(|memory| memory.quiet);
        let mut places = self.0.lock();
        let before = match memory {
            Some(memory) => places.insert(key.clone(), Place::Kept(Box::new(memory))),
            None => places.remove(key),
        };
        matches!(before, Some(Place::Out(Some(version))) if Some(version) > quiet)
    }

    /// Removes and returns the state of `key`.
    pub(crate) fn remove(&self, key: &Key) -> Option<ObjectState> {
        self.0.lock().remove(key)?.kept()
    }

    /// Records that the watch has brought `version` of `key`. Returns whether a reconcile must begin for it: not for a version that needs none, nor
    /// while one runs, at the end of which [`StateStore::put`] reports the version.
    pub(crate) fn is_news(&self, key: &Key, version: Option<u64>) -> bool {
        match (self.0.lock().get_mut(key), version) {
            (Some(Place::Out(arrived)), Some(version)) => {
                *arrived = Some(version).max(*arrived);
                false
            }
            (Some(Place::Kept(memory)), Some(_)) => version > memory.quiet,
            (None, _) | (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("team", "one")
    }

    fn quiet(version: u64) -> ObjectState {
        ObjectState { quiet: Some(version), ..ObjectState::default() }
    }

    #[test]
    fn what_was_written_last_is_no_news_and_what_follows_it_is() {
        let memories = StateStore::default();
        assert!(memories.is_news(&key(), Some(1)), "an object that is new");
        memories.put(&key(), Some(quiet(5)));
        assert_eq!([4, 5, 6].map(|version| memories.is_news(&key(), Some(version))), [false, false, true]);
        assert!(memories.is_news(&key(), None), "a version that cannot be compared");
        memories.put(&key(), Some(ObjectState::default()));
        assert!(memories.is_news(&key(), Some(5)), "a write after which there is something to do");
    }

    #[test]
    fn what_comes_during_a_reconcile_is_told_at_its_end() {
        for (brought, left, expected) in [
            (vec![], quiet(5), false),
            (vec![5], quiet(5), false),
            (vec![4], quiet(5), false),
            (vec![5, 6], quiet(5), true),
            (vec![6, 5], quiet(5), true),
            (vec![5], ObjectState::default(), true),
            (vec![], ObjectState::default(), false),
        ] {
            let memories = StateStore::default();
            memories.put(&key(), Some(ObjectState::default()));
            assert!(memories.take(&key()).is_some());
            for version in &brought {
                assert!(!memories.is_news(&key(), Some(*version)), "it runs");
            }
            assert_eq!(memories.put(&key(), Some(left)), expected, "{brought:?}");
        }
    }

    #[test]
    fn an_object_that_is_made_anew_while_the_last_is_let_go_is_news() {
        let memories = StateStore::default();
        memories.take(&key());
        memories.is_news(&key(), Some(9));
        assert!(memories.put(&key(), None));
        assert!(memories.is_news(&key(), Some(9)), "nothing is remembered of it");
    }

    #[test]
    fn of_each_object_less_than_half_a_kilobyte_is_kept_beside_what_few_have() {
        assert!(size_of::<ObjectState>() <= 464, "{} bytes", size_of::<ObjectState>());
    }
}
