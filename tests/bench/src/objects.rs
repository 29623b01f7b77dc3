//! The AthenaSessions of a round: their names, where they are, and what is in them.

use harness::session_object;
use serde_json::{Value, json};

/// Over so many namespaces they are spread.
pub const NAMESPACES: usize = 10;
/// Over so many work groups.
pub const WORK_GROUPS: usize = 4;

/// The name of a namespace.
pub fn namespace(number: usize) -> String {
    format!("bench-{number}")
}

/// The name of a work group.
pub fn work_group(number: usize) -> String {
    format!("bench-{number}")
}

/// An object: the number in the round of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The work group of its session.
    pub work_group: String,
}

impl Object {
    /// The object of a `number` in a `round`.
    pub fn new(round: &str, number: usize) -> Self {
        Self {
            namespace: namespace(number % NAMESPACES),
            name: format!("{round}-{number}"),
            work_group: work_group(number % WORK_GROUPS),
        }
    }

    /// The key under which the watch has it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Where objects are created.
    pub fn collection(&self) -> String {
        format!("/apis/athena-operator.io/v1alpha1/namespaces/{}/athenasessions", self.namespace)
    }

    /// Where it is.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// What is created.
    pub fn manifest(&self) -> Value {
        let mut object = session_object(&self.name, &json!({ "workGroup": self.work_group }));
        object["metadata"]["namespace"] = self.namespace.as_str().into();
        object
    }
}
