//! The controller of AthenaSessions: it watches them, and carries out what [`session`](crate::session) decides.
//!
//! - [`run`]: watches, workqueues and concurrent reconciles, until the shutdown.
//! - [`context`]: context of reconciles; `state_store`: state of objects between their reconciles.
//! - [`reconcile`]: one reconcile; `observation`: its looks at Athena; `failed_reconcile`: report of one that the API server refuses or does not
//!   answer.
//! - [`guarded_session`]: objects as the API server sends them, and the parts that are kept; `whole_spec`: reads the parts that are not kept.
//! - [`writes`]: the writes to the API server.
//! - [`trigger`]: triggers a reconcile for other reasons than a change from the watch.
//! - `athena_time`: objects that wait for Athena's time.
//! - `event_recorder` and `event_correlator`: Event objects.
//! - `leaked_sessions`: ends sessions that no object owns.
//! - [`options`]: the options of the controller.
//! - [`exporter`] and [`metrics`]: metrics that `/metrics` shows.

mod athena_time;
pub mod context;
mod event_correlator;
mod event_recorder;
pub mod exporter;
mod failed_reconcile;
pub mod guarded_session;
mod leaked_sessions;
pub mod metrics;
mod observation;
pub mod options;
pub mod reconcile;
pub mod run;
mod state_store;
pub mod trigger;
mod whole_spec;
pub mod writes;
