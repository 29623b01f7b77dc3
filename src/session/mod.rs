//! Every decision about one AthenaSession. Nothing here has a clock, a client, I/O, logs or metrics: `tests/imports.rs` checks it.
//!
//! - [`reply`]: what Athena's replies say, as plain data.
//! - [`environment`]: the circumstances of a decision: times, limits, and where the operator works.
//! - [`attempt`] and [`ownership`]: which attempt an object is at, and which sessions are its.
//! - [`local_state`]: what this process knows of an object beyond the object itself.
//! - [`pass`]: one reconcile, as a state machine that says what it needs from outside.
//! - [`lifecycle`]: which [`step`] is next.
//! - [`backoff`]: waits between tries.
//! - [`after_end`]: what follows the end of a session.
//! - [`request`] and [`marker`]: the body of StartSession, its token, and the marker by which the session is found again.
//! - [`status`]: the status after a step, with its conditions.
//! - [`events`]: the events that people see.
//! - [`refused_write`], [`retained`], [`invalid_object`]: writes that the API server refuses, sessions that run on without their object, objects that
//!   cannot be read.
//! - [`redaction`]: texts without the values of the object's properties.

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
