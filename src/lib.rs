//! Kubernetes operator for Amazon Athena for Apache Spark: an `AthenaSession` becomes one Athena session, is mirrored, and ends it when it goes.
//!
//! ```text
//! api         the resource: fields, bounds, admission rules
//! lifecycle   what to do next       ┐
//! known       what a process knows  │ pure: no clock, no client, no I/O
//! status      what to report        │
//! events      what to tell people   │
//! marker      tokens and markers    │
//! unreadable  what cannot be read   │
//! redaction   what is left out      │
//! retained    what runs on          │
//! session     what Athena said      ┘
//! athena      the calls to Athena, and their rate limiter; the only place that knows its SDK
//! runtime     Kubernetes plumbing for any kind: the workqueue, bounded replies
//! observer    sweeps of the work groups, which show what has changed
//! writes      the writes to the API server
//! clock       Athena's time and the API server's, and
//! athena_time what waits for Athena's
//! operator    what reconciles work with
//! memory      what they remember of objects
//! observation what is seen of a session, and when
//! reconcile   observe, decide, act, report; and
//! failed_reconcile  what follows where the API server does not let it
//! readiness   which namespaces are served
//! controller  what triggers a reconcile, and
//! wakes       what else triggers one
//! guarded_session  objects as the API server brings them, and what is kept of them
//! whole_spec  reads what was not kept
//! kubernetes  the clients of the API server
//! runtime     Kubernetes plumbing for any kind
//! leadership  whether this process may act, and
//! lease       how that is won and lost
//! metrics     what is counted, and scrape, which shows it
//! check       whether AWS lets the operator do what it does
//! environment   what may stand in environment variables
//! confidential  what is printed nowhere
//! server, telemetry, args
//! ```

pub mod api;
pub mod args;
pub mod athena;
mod athena_time;
pub mod check;
pub mod clock;
pub mod confidential;
pub mod controller;
pub mod environment;
pub mod events;
mod failed_reconcile;
pub mod guarded_session;
pub mod key;
pub mod known;
pub mod kubernetes;
pub mod leadership;
pub mod lease;
pub mod lifecycle;
pub mod marker;
mod memory;
pub mod metrics;
mod observation;
pub mod observer;
pub mod operator;
pub(crate) mod orphans;
pub(crate) mod publish;
pub mod readiness;
pub mod reconcile;
pub mod redaction;
pub mod refused_write;
pub mod retained;
pub mod runtime;
pub mod scrape;
pub mod server;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod unreadable;
pub mod wakes;
mod whole_spec;
pub mod writes;
