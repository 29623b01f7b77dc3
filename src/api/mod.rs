//! The `AthenaSession` resource: its types, bounds and admission rules. The doc comments of its fields become `kubectl explain`.

mod crd;
mod schema;
mod spec;
mod status;

pub use crd::{IMMUTABLE, crd};
pub use spec::{
    AthenaSession, AthenaSessionSpec, Classification, CloudWatchLoggingConfiguration, DeletionPolicy, EngineConfiguration,
    ManagedLoggingConfiguration, MonitoringConfiguration, RestartPolicy, S3LoggingConfiguration,
};
pub use status::{AthenaSessionStatus, EndReason, PreviousAttempt, StopCause};

/// The finalizer that keeps an object until nothing of its session can be live.
pub const FINALIZER: &str = "athena-operator.io/session";

/// Field manager of every write of the operator. It must never change: server-side apply knows owners by it.
pub const FIELD_MANAGER: &str = "athena-operator";

/// Start of the marker that ends the description of every session started by the operator; kept out of users' text by a rule of the schema.
pub const MARKER_PREFIX: &str = "[athena-operator/";
