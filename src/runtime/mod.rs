//! Kubernetes plumbing for any kind of object: it names none.
//!
//! - [`bounded_replies`]: a client whose replies from the API server take a bounded amount of memory, however large the objects are.
//! - [`workqueue`]: which object is reconciled next, how many at a time, and at which time an object is due without a change.

pub mod bounded_replies;
pub mod workqueue;
