//! State of objects that this process keeps between their reconciles, and writes of its own that need no other reconcile.

use std::collections::HashMap;

use crate::runtime::key::Key;
use crate::session::local_state::LocalState;
use parking_lot::Mutex;

/// State of an object that this process keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectState {
    pub(crate) uid: Box<str>,
    pub(crate) local_state: LocalState,
    /// The resourceVersion of this process's last write: an older version in the cache must not be acted on.
    pub(crate) written: Option<u64>,
    /// resourceVersion of this process's last write, if no step is due after it before the key's timer: the watch event with this version, or an older
    /// one, needs no reconcile.
    pub(crate) settled_version: Option<u64>,
    pub(crate) failures: u32,
    /// Number of times in a row that the API server had another version of the object than the watch had brought.
    pub(crate) outdated: u32,
    /// True if the object, as this process last saw it, is to be deleted after its TTL though a tool would create it again.
    pub(crate) ttl_under_gitops: Option<bool>,
    /// True if the event that the session runs on without the object was published.
    pub(crate) retention_published: bool,
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
        if let Self::Kept(object_state) = self { Some(*object_state) } else { None }
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
    pub(crate) fn put(&self, key: &Key, object_state: Option<ObjectState>) -> bool {
        let settled_version = object_state.as_ref().and_then(|object_state| object_state.settled_version);
        let mut places = self.0.lock();
        let before = match object_state {
            Some(object_state) => places.insert(key.clone(), Place::Kept(Box::new(object_state))),
            None => places.remove(key),
        };
        matches!(before, Some(Place::Out(Some(version))) if Some(version) > settled_version)
    }

    /// Removes and returns the state of `key`.
    pub(crate) fn remove(&self, key: &Key) -> Option<ObjectState> {
        self.0.lock().remove(key)?.kept()
    }

    /// Records that the watch has brought `version` of `key`. Returns whether a reconcile must begin for it: not for a version that needs none, nor
    /// while one runs, at the end of which [`StateStore::put`] reports the version.
    pub(crate) fn needs_reconcile(&self, key: &Key, version: Option<u64>) -> bool {
        match (self.0.lock().get_mut(key), version) {
            (Some(Place::Out(arrived)), Some(version)) => {
                *arrived = Some(version).max(*arrived);
                false
            }
            (Some(Place::Kept(object_state)), Some(_)) => version > object_state.settled_version,
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

    fn settled_version(version: u64) -> ObjectState {
        ObjectState { settled_version: Some(version), ..ObjectState::default() }
    }

    #[test]
    fn what_was_written_last_is_no_news_and_what_follows_it_is() {
        let state_store = StateStore::default();
        assert!(state_store.needs_reconcile(&key(), Some(1)), "an object that is new");
        state_store.put(&key(), Some(settled_version(5)));
        assert_eq!(
            [4, 5, 6].map(|version| state_store.needs_reconcile(&key(), Some(version))),
            [false, false, true]
        );
        assert!(state_store.needs_reconcile(&key(), None), "a version that cannot be compared");
        state_store.put(&key(), Some(ObjectState::default()));
        assert!(state_store.needs_reconcile(&key(), Some(5)), "a write after which there is something to do");
    }

    #[test]
    fn what_comes_during_a_reconcile_is_told_at_its_end() {
        for (brought, left, expected) in [
            (vec![], settled_version(5), false),
            (vec![5], settled_version(5), false),
            (vec![4], settled_version(5), false),
            (vec![5, 6], settled_version(5), true),
            (vec![6, 5], settled_version(5), true),
            (vec![5], ObjectState::default(), true),
            (vec![], ObjectState::default(), false),
        ] {
            let state_store = StateStore::default();
            state_store.put(&key(), Some(ObjectState::default()));
            assert!(state_store.take(&key()).is_some());
            for version in &brought {
                assert!(!state_store.needs_reconcile(&key(), Some(*version)), "it runs");
            }
            assert_eq!(state_store.put(&key(), Some(left)), expected, "{brought:?}");
        }
    }

    #[test]
    fn an_object_that_is_made_anew_while_the_last_is_let_go_is_news() {
        let state_store = StateStore::default();
        state_store.take(&key());
        state_store.needs_reconcile(&key(), Some(9));
        assert!(state_store.put(&key(), None));
        assert!(state_store.needs_reconcile(&key(), Some(9)), "nothing is remembered of it");
    }

    #[test]
    fn of_each_object_less_than_half_a_kilobyte_is_kept_beside_what_few_have() {
        assert!(size_of::<ObjectState>() <= 464, "{} bytes", size_of::<ObjectState>());
    }
}
