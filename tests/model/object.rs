//! The object in the API server.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use athena_operator::api::{AthenaSession, FINALIZER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// UIDs of the objects.
pub const UIDS: [&str; 2] = ["8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11", "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f12"];

/// Minutes of a tick: half the time of uncertainty.
pub const TICK: i64 = 5;

/// When a tick is.
pub fn time(tick: u8) -> Timestamp {
    let begun: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    begun + SignedDuration::from_mins(TICK * i64::from(tick))
}

/// A version of the object. Two of the same content are the same version: what is decided on one is right on the other.
#[derive(Clone, Debug)]
pub struct Object(Arc<(AthenaSession, u64)>);

impl Object {
    pub fn new(mut object: AthenaSession) -> Self {
        // Decisions do not depend on these, and every path would have others.
        for condition in object.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
            condition.message.clear();
            condition.last_transition_time = Time(time(0));
        }
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&object).expect("an object is JSON").hash(&mut hasher);
        Self(Arc::new((object, hasher.finish())))
    }

    /// A new object with these fields in its spec.
    pub fn created(uid: &str, spec: &serde_json::Value) -> Self {
        let mut object = json!({
            "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
            "metadata": { "name": "etl", "namespace": "team", "uid": uid, "generation": 1 },
            "spec": { "workGroup": "etl" }, "status": { "observedGeneration": -1 },
        });
        object["spec"]
            .as_object_mut()
            .expect("an object")
            .extend(spec.as_object().expect("an object").clone());
        Self::new(serde_json::from_value(object).expect("an AthenaSession"))
    }

    pub fn get(&self) -> &AthenaSession {
        &self.0.0
    }

    pub fn edited(&self, edit: impl FnOnce(&mut AthenaSession)) -> Self {
        let mut object = self.get().clone();
        edit(&mut object);
        Self::new(object)
    }

    pub fn is_deleting(&self) -> bool {
        self.get().metadata.deletion_timestamp.is_some()
    }

    pub fn has_finalizer(&self) -> bool {
        self.get().metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
    }

    /// The same with our finalizer or without it; others stay.
    pub fn with_finalizer(&self, present: bool) -> Self {
        self.edited(|object| {
            let others =
                object.metadata.finalizers.take().into_iter().flatten().filter(|name| name != FINALIZER);
            let all: Vec<String> = others.chain(present.then(|| FINALIZER.to_owned())).collect();
            object.metadata.finalizers = (!all.is_empty()).then_some(all);
        })
    }

    /// Whether the API server lets it go.
    pub fn is_gone(&self) -> bool {
        self.is_deleting() && self.get().metadata.finalizers.is_none()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.0.1 == other.0.1
    }
}

impl Eq for Object {}

impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.1.hash(state);
    }
}
