//! The line before kube's applier, which takes what it holds in no order: of much that changes at once, a deletion or a look that is due could be the
//! last. It is let in as places become free, what is under way before what is new.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, Stream};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::FINALIZER;
use crate::key::Key;
use crate::wakes::Received;

/// The entrance of the line.
pub(crate) struct Entrance {
    under_way: UnboundedSender<Key>,
    new: UnboundedSender<Key>,
}

impl Entrance {
    /// Puts `object`, which the watch has brought, in line.
    pub(crate) fn put(&self, object: &Received, key: Key) {
        let is_new = object.meta().deletion_timestamp.is_none() && !object.finalizers().iter().any(|name| name == FINALIZER);
        // Nobody reads it any more at the end of the process only.
        let _ = if is_new { self.new.send(key) } else { self.under_way.send(key) };
    }

    /// Puts `key`, which is woken, in line.
    pub(crate) fn wake(&self, key: Key) {
        let _ = self.under_way.send(key);
    }
}

/// Who is in line.
pub(crate) struct Waiting {
    under_way: UnboundedReceiver<Key>,
    new: UnboundedReceiver<Key>,
}

impl Waiting {
    async fn next(&mut self) -> Option<Key> {
        tokio::select! {
            biased;
            Some(key) = self.under_way.recv() => Some(key),
            Some(key) = self.new.recv() => Some(key),
            else => None,
        }
    }
}

/// An empty line.
pub(crate) fn line() -> (Entrance, Waiting) {
    let (under_way, under_way_waiting) = unbounded_channel();
    let (new, new_waiting) = unbounded_channel();
    (Entrance { under_way, new }, Waiting { under_way: under_way_waiting, new: new_waiting })
}

/// The places of those that come out of the line. What is due at a time that was set needs none.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<Key, OwnedSemaphorePermit>>,
}

impl Places {
    /// The places for `concurrency` reconciles at a time, of which some stay free for what is due.
    pub(crate) fn new(concurrency: u16) -> Arc<Self> {
        let places = usize::from(concurrency - concurrency / 5);
        Arc::new(Self { free: Arc::new(Semaphore::new(places)), taken: Mutex::default() })
    }

    /// Those that are `waiting`, each when there is a place for it.
    pub(crate) fn admit(self: Arc<Self>, waiting: Waiting) -> impl Stream<Item = Result<ObjectRef<Received>, Infallible>> + Send {
        stream::unfold((self, waiting), async |(places, mut waiting)| {
            let place = places.free.clone().acquire_owned().await.ok()?;
            let key = waiting.next().await?;
            let object = key.reference();
            places.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(key, place);
            Some((Ok(object), (places, waiting)))
        })
    }

    /// The place of `key`, which is free again when it is dropped.
    pub(crate) fn of(&self, key: &Key) -> Option<OwnedSemaphorePermit> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use serde_json::json;

    use super::*;

    fn object(name: &str, metadata: &serde_json::Value) -> (Received, Key) {
        let mut object = json!({
            "apiVersion": "athena-operator.io/v1alpha1",
            "kind": "AthenaSession",
            "metadata": { "namespace": "team", "name": name },
            "spec": {},
        });
        object["metadata"].as_object_mut().expect("an object").extend(metadata.as_object().expect("an object").clone());
        (serde_json::from_value(object).expect("any object can be received"), Key::new("team", name))
    }

    #[test]
    fn what_is_under_way_comes_before_what_is_new_and_each_in_its_order() {
        let (entrance, waiting) = line();
        let finalizers = json!({ "finalizers": [FINALIZER] });
        let deleted = json!({ "finalizers": ["example.org/other"], "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let others = json!({ "finalizers": ["example.org/other"] });
        for (name, metadata) in [("new", json!({})), ("others", others), ("started", finalizers), ("deleted", deleted)] {
            let (object, key) = object(name, &metadata);
            entrance.put(&object, key);
        }
        entrance.wake(Key::new("team", "woken"));
        drop(entrance);
        let admitted = Places::new(16).admit(waiting).map(|admitted| admitted.expect("no error").name);
        let names: Vec<String> = admitted.collect().now_or_never().expect("there are places");
        assert_eq!(names, ["started", "deleted", "woken", "new", "others"]);
    }

    #[test]
    fn no_more_are_let_in_than_there_are_places() {
        let (entrance, waiting) = line();
        let key = |number: u16| Key::new("team", &number.to_string());
        (0..8).for_each(|number| entrance.wake(key(number)));
        let places = Places::new(5);
        let mut admitted = Box::pin(places.clone().admit(waiting));
        for _ in 0..4 {
            assert!(admitted.next().now_or_never().is_some());
        }
        assert!(admitted.next().now_or_never().is_none(), "one of five is kept for what is due");
        drop(places.of(&key(1)));
        assert!(admitted.next().now_or_never().is_some());
        assert!(admitted.next().now_or_never().is_none());
        assert!(places.of(&key(7)).is_none(), "it has not been let in");
    }
}
