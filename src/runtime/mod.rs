//! Kubernetes plumbing for any kind.
//!
//! - [`bounded_replies`]: a client whose replies from the API server take a bounded amount of memory, however large the objects are.

pub mod bounded_replies;
