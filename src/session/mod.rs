//! All decisions about one AthenaSession. No module here has a clock, a client, I/O, logs or metrics: `tests/imports.rs` checks it.
//!
//! - [`reply`]: Athena's replies, as plain data.
//! - [`environment`]: the circumstances of a decision: times, limits, and the operator's region and account.
//! - [`attempt`] and [`ownership`]: the newest attempt of an object, and the sessions that belong to it.
//! - [`local_state`]: facts that this process knows of an object beyond the object itself.
//! - [`pass`]: one reconcile, as a state machine that returns a request for everything that it needs from outside.
//! - [`lifecycle`]: the choice of the next [`step`].
//! - [`backoff`]: waits between tries.
//! - [`after_end`]: what follows the end of a session.
//! - [`request`] and [`marker`]: the body of StartSession, its token, and the marker by which the operator finds the session again.
//! - [`status`]: the status after a step, with its conditions.
//! - [`events`]: the Kubernetes events.
//! - [`refused_write`], [`retained`], [`invalid_object`]: writes that the API server refuses, sessions that run on without their object, objects that
//!   cannot be read.
//! - [`redaction`]: removal of the values of the object's properties from texts.

pub mod after_end;
pub mod attempt;
pub mod backoff;
pub mod environment;
pub mod events;
pub mod invalid_object;
pub mod lifecycle;
pub mod local_state;
pub mod marker;
pub mod ownership;
pub mod pass;
pub mod redaction;
pub mod refused_write;
pub mod reply;
pub mod request;
pub mod retained;
pub mod status;
pub mod step;
