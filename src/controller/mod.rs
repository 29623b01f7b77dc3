//! The controller of AthenaSessions: it watches them, and carries out what [`session`](crate::session) decides.
//!
//! - [`run`]: what triggers a reconcile, how many run at a time, and how they end.
//! - [`context`]: what reconciles work with; [`state_store`]: what they remember of objects.
//! - [`reconcile`]: one reconcile; [`observation`]: its looks at Athena; [`failed_reconcile`]: what follows where the API server does not let it write.
//! - [`guarded_session`]: objects as the API server brings them, and what is kept of them; [`whole_spec`]: reads what was not kept.
//! - [`writes`]: the writes to the API server.
//! - [`trigger`]: triggers a reconcile from elsewhere than the watch.
//! - [`athena_time`] and [`await_time`]: what waits for Athena's time.
//! - [`event_recorder`] and [`event_correlator`]: Event objects.
//! - [`leaked_sessions`]: ends sessions that no object owns.
//! - [`options`]: the options of the controller.
//! - [`exporter`] and [`metrics`]: what `/metrics` shows.

pub mod athena_time;
mod await_time;
pub mod context;
pub mod event_correlator;
pub mod event_recorder;
pub mod exporter;
mod failed_reconcile;
pub mod guarded_session;
pub mod leaked_sessions;
pub mod metrics;
mod observation;
pub mod options;
pub mod reconcile;
pub mod run;
pub mod state_store;
pub mod trigger;
mod whole_spec;
pub mod writes;
