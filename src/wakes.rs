//! Wakes single objects: what is learnt elsewhere than from the API server's watch.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::guarded_session::GuardedSession;
use crate::key::Key;

/// An object of the watch, readable or not: one that is not does not hide the others.
pub type Received = GuardedSession;

/// The queues of the watched scopes: of all namespaces, or of single ones.
#[derive(Debug, Default)]
pub struct Wakes(Mutex<HashMap<Option<String>, UnboundedSender<Key>>>);

impl Wakes {
    /// The objects that are woken in `namespace`, or in all of them.
    pub fn of(&self, namespace: Option<String>) -> UnboundedReceiver<Key> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace, sender);
        receiver
    }

    /// Wakes `key`, if its namespace is watched.
    pub fn wake(&self, key: &Key) {
        let scopes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scope) = scopes.get(&None).or_else(|| scopes.get(&Some(key.namespace().to_owned()))) {
            // Nobody reads it any more at the end of the process only.
            let _ = scope.send(key.clone());
        }
    }
}
