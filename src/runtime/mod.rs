//! Kubernetes plumbing for any kind of object: it names none.
//!
//! - [`workqueue`]: which object is reconciled next, how many at a time, and at which time an object is due without a change.

pub mod workqueue;
