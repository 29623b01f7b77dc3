//! The `AthenaSession` resource: its types, bounds and admission rules. The doc comments of its fields become the texts of `kubectl explain`.
//!
//! - `spec` and `status`: the types.
//! - `reasons`: meaning of each reason of conditions and events, and advice.
//! - `schema`: bounds and rules of fields; `crd`: the CustomResourceDefinition made of them.

mod crd;
mod reasons;
mod schema;
mod spec;
mod status;

pub use crd::{IMMUTABLE, crd};
pub use reasons::{REASONS, Reason, reason};
pub use spec::{
    AthenaSession, AthenaSessionSpec, Classification, CloudWatchLoggingConfiguration, DeletionPolicy,
    EngineConfiguration, FINALIZER, MARKER_PREFIX, ManagedLoggingConfiguration, MonitoringConfiguration,
    RestartPolicy, S3LoggingConfiguration,
};
pub use status::{AthenaSessionStatus, EndReason, PreviousAttempt, SessionState, StopCause};

/// Field manager of every write of the operator. It must never change: server-side apply knows owners by it.
pub const FIELD_MANAGER: &str = "athena-operator";
