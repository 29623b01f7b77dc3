//! The spec: StartSession's parameters under the API's names and bounds, and the operator's own fields.

#![allow(clippy::duplicated_attributes, reason = "columns have attributes of the same names")]

use std::collections::BTreeMap;

use k8s_openapi::jiff::SignedDuration;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::schema;
use super::status::AthenaSessionStatus;

/// Finalizer that keeps an object until no session of it can be live.
pub const FINALIZER: &str = "athena-operator.io/session";

/// Start of the marker that ends the description of every session started by the operator; a rule of the schema forbids it in users' text.
pub const MARKER_PREFIX: &str = "[athena-operator/";

/// Parameters of Athena's StartSession, which are immutable, and the operator's own fields, which can change.
#[skip_serializing_none]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "athena-operator.io",
    version = "v1alpha1",
    kind = "AthenaSession",
    plural = "athenasessions",
    shortname = "asess",
    category = "athena",
    namespaced,
    status = "AthenaSessionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "An Amazon Athena for Apache Spark session: the operator starts it when the object is created, starts another one after a failure or a resume where the spec says so, and ends it when the object is deleted.",
    selectable = ".spec.workGroup",
    selectable = ".status.state",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Workgroup", type_ = "string", json_path = ".spec.workGroup"),
    printcolumn(name = "Session-ID", type_ = "string", json_path = ".status.sessionId", priority = 1),
    printcolumn(name = "Restarts", type_ = "integer", json_path = ".status.restarts", priority = 1),
    printcolumn(name = "Idle-Since", type_ = "date", json_path = ".status.idleSinceTime", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AthenaSessionSpec {
    /// Immutable. The Athena work group in which the session runs; its engine must be Apache Spark.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9._-]{1,128}$"))]
    pub work_group: String,

    /// Immutable. A text for people, shown in Athena's console. The operator appends its marker to the text in the request. So the text must not
    /// contain `[athena-operator/`, and must be 64 characters shorter than Athena's API allows.
    #[schemars(length(min = 1, max = 960))]
    pub description: Option<String>,

    /// Immutable. DPUs and Spark properties of the session.
    pub engine_configuration: Option<EngineConfiguration>,

    /// Immutable. ARN of the IAM role with which the session reads and writes data; without it the session uses the role of the work group.
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$")
    )]
    pub execution_role: Option<String>,

    /// Immutable. Destinations of the session's logs. Apache Spark version 3.5 only.
    pub monitoring_configuration: Option<MonitoringConfiguration>,

    /// Immutable. Notebook version, for PySpark engine version 3 only. Needs `engineConfiguration.additionalConfigs.NotebookId`.
    #[schemars(length(min = 1, max = 128))]
    pub notebook_version: Option<String>,

    /// Immutable. Minutes without work after which Athena ends the session, 1 to 480. Without it Athena's own default applies.
    #[schemars(range(min = 1, max = 480))]
    pub session_idle_timeout_in_minutes: Option<i32>,

    /// Immutable. AWS tags of the session, for cost allocation and access control: at most 50, keys of 1 to 128 characters that do not start with
    /// `aws:`, values of at most 256 characters.
    #[serde(default)]
    #[schemars(schema_with = "schema::tags")]
    pub tags: Option<BTreeMap<String, String>>,

    /// Immutable. Copying of the work group's tags to the session. Without it Athena's own default applies.
    pub copy_work_group_tags: Option<bool>,

    /// Suspension of the object: true ends the session and keeps the object; false, set later, starts the next attempt.
    #[serde(default)]
    pub suspend: bool,

    /// Reaction to a failure: `Never` starts no new attempt; `OnFailure` starts one after an unexpected end (the session failed, was degraded, was not
    /// ready in time, was stopped by somebody else or vanished), up to `maxRestarts` times. Later versions may add values.
    #[serde(default)]
    pub restart_policy: RestartPolicy,

    /// Maximum number of failures in a row that are followed by a new attempt, with `restartPolicy: OnFailure`. The count starts again at 0 after an
    /// attempt that ran for 10 minutes or more and did work, and after a resume. Before a new attempt the operator waits 10 seconds, and twice as long
    /// each time, up to 5 minutes.
    #[schemars(range(min = 0, max = 10_000), extend("default" = DEFAULT_MAX_RESTARTS))]
    pub max_restarts: Option<i32>,

    /// Maximum time in seconds from Athena's start of the session to IDLE or BUSY. A session that is not ready by then has failed, and the operator
    /// ends it.
    #[schemars(range(min = 1, max = 86_400), extend("default" = DEFAULT_STARTUP_DEADLINE_SECONDS))]
    pub startup_deadline_seconds: Option<i32>,

    /// Maximum time in seconds from the first start since creation or resume, over all attempts; then the operator ends the session and starts no
    /// other until a resume. It caps the cost, which Athena itself does not.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub active_deadline_seconds: Option<i32>,

    /// Seconds from `endTime` until the operator deletes an object that has finished: no session of it is live and none will start. Not for objects
    /// that Flux or Argo CD apply: they would create the object again, and with it a new session.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// Treatment of the session when the object is deleted: `Terminate` ends the session first; `Retain` deletes the object and leaves the session
    /// running and billed, without an owner. Setting `Retain` on an object that hangs in deletion releases the object; an admission policy may leave
    /// that to an administrator. Later versions may add values.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// True if decoding left out parts of the object, which may hold megabytes that only few calls need. A trimmed spec must not be used to build a
    /// request, to compare a session or to redact a text: these take the whole spec. It is no field of the resource.
    #[serde(skip)]
    pub trimmed: bool,
}

/// Default of `maxRestarts`.
const DEFAULT_MAX_RESTARTS: i32 = 5;
/// Default of `startupDeadlineSeconds`.
const DEFAULT_STARTUP_DEADLINE_SECONDS: i32 = 300;

impl AthenaSession {
    /// Returns whether somebody has deleted the object, which its finalizers keep.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Returns whether the operator's finalizer is on the object.
    pub fn has_finalizer(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
    }
}

impl AthenaSessionSpec {
    /// Returns the maximum number of failures in a row that are followed by a new attempt.
    pub fn max_restarts(&self) -> i32 {
        self.max_restarts.unwrap_or(DEFAULT_MAX_RESTARTS)
    }

    /// Returns the longest time from Athena's start of a session to IDLE or BUSY.
    pub fn startup_deadline(&self) -> SignedDuration {
        seconds(self.startup_deadline_seconds.unwrap_or(DEFAULT_STARTUP_DEADLINE_SECONDS))
    }

    /// Returns the longest time from the first start on, over all attempts.
    pub fn active_deadline(&self) -> Option<SignedDuration> {
        self.active_deadline_seconds.map(seconds)
    }

    /// Returns the time for which the object stays once it has finished.
    pub fn ttl_after_finished(&self) -> Option<SignedDuration> {
        self.ttl_seconds_after_finished.map(seconds)
    }
}

fn seconds(seconds: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

/// Reaction to a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicy {
    /// No new attempt.
    #[default]
    Never,
    /// A new attempt, up to `maxRestarts` times in a row.
    OnFailure,
}

/// Treatment of the session when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The object is removed once its session has ended.
    #[default]
    Terminate,
    /// The object is removed at once and the session runs on.
    Retain,
}

/// DPUs and Spark properties of a session.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct EngineConfiguration {
    /// Immutable. DPUs of the coordinator; the API allows only 1. PySpark engine version 3 only.
    #[schemars(range(min = 1, max = 1))]
    pub coordinator_dpu_size: Option<i32>,

    /// Immutable. Maximum number of DPUs that the session may use at a time, 2 to 5000. Without it the operator sends nothing and Athena's own
    /// default applies.
    #[schemars(range(min = 2, max = 5000))]
    pub max_concurrent_dpus: Option<i32>,

    /// Immutable. DPUs of an executor; the API allows only 1. PySpark engine version 3 only.
    #[schemars(range(min = 1, max = 1))]
    pub default_executor_dpu_size: Option<i32>,

    /// Immutable. Notebook settings, such as `NotebookId`. At most 100, values of at most 51200 characters. PySpark engine version 3 only. No place
    /// for secrets, since everybody who may read the object, or the session in Athena, can read them.
    #[schemars(schema_with = "schema::additional_configs")]
    pub additional_configs: Option<BTreeMap<String, String>>,

    /// Immutable. Spark properties: keys start with `spark.` and not with `spark.athena.`. At most 100, values of at most 51200 characters. PySpark
    /// engine version 3 only; for Apache Spark version 3.5 use `classifications`. No place for secrets, since everybody who may read the object, or
    /// the session in Athena, can read them. Let the session read its secrets with its role, for example from AWS Secrets Manager.
    #[schemars(schema_with = "schema::spark_properties")]
    pub spark_properties: Option<BTreeMap<String, String>>,

    /// Immutable. Configuration classifications, such as `spark-defaults` with Spark properties. At most 10. Apache Spark version 3.5 only. No place
    /// for secrets, since everybody who may read the object, or the session in Athena, can read them. Let the session read its secrets with its role,
    /// for example from AWS Secrets Manager.
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub classifications: Option<Vec<Classification>>,
}

/// A named set of properties.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::classification_rules()))]
pub struct Classification {
    /// Immutable. Name of the classification, such as `spark-defaults`.
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,

    /// Immutable. Properties of the classification; under `spark-defaults` the keys start with `spark.` and not with `spark.athena.`. At most 100,
    /// values of at most 51200 characters. No place for secrets, since everybody who may read the object, or the session in Athena, can read them.
    #[schemars(schema_with = "schema::classification_properties")]
    pub properties: Option<BTreeMap<String, String>>,
}

/// Destinations of a session's logs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MonitoringConfiguration {
    /// Immutable. Delivery of logs to Amazon CloudWatch Logs.
    pub cloud_watch_logging_configuration: Option<CloudWatchLoggingConfiguration>,

    /// Immutable. Logs that Athena itself stores, for at most 30 days.
    pub managed_logging_configuration: Option<ManagedLoggingConfiguration>,

    /// Immutable. Delivery of logs to Amazon S3.
    pub s3_logging_configuration: Option<S3LoggingConfiguration>,
}

/// Delivery of logs to Amazon CloudWatch Logs.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchLoggingConfiguration {
    /// Immutable. Turns the delivery of logs on.
    pub enabled: bool,

    /// Immutable. Name of the log group.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[a-zA-Z0-9._/-]+$"))]
    pub log_group: Option<String>,

    /// Immutable. Prefix of the names of the log streams.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^:*]*$"))]
    pub log_stream_name_prefix: Option<String>,

    /// Immutable. Logs to deliver: the known keys are `SPARK_DRIVER` and `SPARK_EXECUTOR`, each with a list of `STDOUT` and `STDERR`.
    #[serde(default)]
    #[schemars(schema_with = "schema::log_types")]
    pub log_types: Option<BTreeMap<String, Vec<String>>>,
}

/// Logs that Athena itself stores.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedLoggingConfiguration {
    /// Immutable. Turns the storing of logs on.
    pub enabled: bool,

    /// Immutable. KMS key that encrypts the logs: an ARN of a key or an alias, `alias/NAME`, or a key id.
    #[serde(default)]
    #[schemars(schema_with = "schema::kms_key")]
    pub kms_key: Option<String>,
}

/// Delivery of logs to Amazon S3.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3LoggingConfiguration {
    /// Immutable. Turns the delivery of logs on.
    pub enabled: bool,

    /// Immutable. KMS key that encrypts the logs: an ARN of a key or an alias, `alias/NAME`, or a key id.
    #[serde(default)]
    #[schemars(schema_with = "schema::kms_key")]
    pub kms_key: Option<String>,

    /// Immutable. S3 location to which the logs are delivered, such as `s3://bucket/prefix/`.
    #[schemars(length(max = 1024), regex(pattern = r"^s3://[a-z0-9][a-z0-9\-]*[a-z0-9](/.*)?$"))]
    pub log_location: Option<String>,
}
