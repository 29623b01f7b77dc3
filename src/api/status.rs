//! The status: what is known of the newest attempt, and the conditions that say what it means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What is known of the session, written by the operator only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AthenaSessionStatus {
    /// The generation of the spec that this status was computed from; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = schema::MAX_SAFE_INTEGER))]
    pub observed_generation: Option<i64>,

    /// `Ready`: the session is as the spec asks. `Available`: it can take work now. `Reconciling` and `Stalled` are present only while they are true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,

    /// Number of the newest attempt; each attempt is one Athena session. The first is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub attempt: Option<i32>,

    /// When the attempt was recorded, which is before StartSession was first called for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub attempt_time: Option<Time>,

    /// AWS region in which the attempt was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub region: Option<String>,

    /// AWS account in which the attempt was made, where the operator could find it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    pub account_id: Option<String>,

    /// Athena's id of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub session_id: Option<String>,

    /// Athena's state of the session, such as CREATING, CREATED, IDLE, BUSY, TERMINATING, TERMINATED, DEGRADED or FAILED. Athena may add others.
    /// Whether it is IDLE or BUSY is up to a minute and a half old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub state: Option<String>,

    /// Athena's own reason for the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub state_change_reason: Option<String>,

    /// Why the operator ends the session though the object stays: `Suspended`, `ActiveDeadline`, `StartupDeadline` or `Degraded`. Recorded before
    /// TerminateSession is called, unless the API server refuses that for five minutes. More values may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::word")]
    pub stop_cause: Option<StopCause>,

    /// Why the attempt is over: `Suspended`, `DeadlineExceeded`, `IdleTimeout`, `StoppedOutside`, `SessionFailed`, `SessionDegraded`,
    /// `StartupDeadlineExceeded`, `SessionVanished`, `SessionLost`, `InvalidRequest`, `TokenMismatch` or `SessionAlreadyExists`; set together with
    /// `endTime`. More values may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::word")]
    pub end_reason: Option<EndReason>,

    /// Engine of the session, such as `Apache Spark version 3.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub engine_version: Option<String>,

    /// When Athena started the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,

    /// When the first session since creation or resume was started: `activeDeadlineSeconds` counts from here. It is the time of the attempt where Athena
    /// tells no start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub first_start_time: Option<Time>,

    /// When the session was first seen to be IDLE or BUSY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub ready_time: Option<Time>,

    /// Newest time at which the session is known to have been at work. It is recorded with the first work of an attempt, and then together with
    /// other changes only, such as that the session is idle again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_busy_time: Option<Time>,

    /// Since when the session has been idle, while it is; of a session that ends, since when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub idle_since_time: Option<Time>,

    /// When the session ended, or when it was found out that nothing of the attempt lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,

    /// DPU time that the session has used, in milliseconds; known once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = schema::MAX_SAFE_INTEGER))]
    pub dpu_execution_in_millis: Option<i64>,

    /// How many failures in a row have been followed by a new attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub restarts: Option<i32>,

    /// The last 5 attempts before this one, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub previous_attempts: Option<Vec<PreviousAttempt>>,
}

/// An attempt that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousAttempt {
    /// Its number.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub attempt: i32,

    /// Athena's id of its session, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub session_id: Option<String>,

    /// When Athena started the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,

    /// When it ended, or was found not to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,

    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::word")]
    pub end_reason: Option<EndReason>,

    /// Athena's own reason for the last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub state_change_reason: Option<String>,

    /// DPU time that the session has used, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = schema::MAX_SAFE_INTEGER))]
    pub dpu_execution_in_millis: Option<i64>,
}

impl EndReason {
    /// Whether it is an end that neither the object nor its idle timeout asked for, after which another attempt may fare better.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::StoppedOutside | Self::SessionFailed | Self::SessionDegraded | Self::StartupDeadlineExceeded | Self::SessionVanished)
    }
}

macro_rules! open_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that this build does not know, kept as it is.
            Other(String),
        }

        impl $name {
            /// Every word that this build knows.
            pub const WORDS: &[&str] = &[$(stringify!($variant)),+];

            /// The word as it stands in the status.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $(stringify!($variant) => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}

open_words! {
    /// Why the operator ends a session whose object stays.
    StopCause {
        /// The object is suspended. On an attempt that is over it says that the object has been suspended since, so that what follows is a resume.
        Suspended,
        /// The active deadline is over.
        ActiveDeadline,
        /// The session was not ready within its startup deadline.
        StartupDeadline,
        /// Athena reported the session as DEGRADED: it has no healthy coordinator and costs money.
        Degraded,
    }
}

open_words! {
    /// Why an attempt is over.
    EndReason {
        /// The operator ended the session since the object was suspended.
        Suspended,
        /// The operator ended the session since the active deadline was over.
        DeadlineExceeded,
        /// The session ended in a way and at a time at which it can have been idle for its timeout.
        IdleTimeout,
        /// The session was ended by somebody else, too early to have been idle for its timeout.
        StoppedOutside,
        /// Athena reported FAILED, or the session ended before it was ever idle.
        SessionFailed,
        /// The session was DEGRADED and the operator ended it.
        SessionDegraded,
        /// The session was not ready within its startup deadline and the operator ended it.
        StartupDeadlineExceeded,
        /// Athena does not know the session any more, too early for it to have been idle for its timeout.
        SessionVanished,
        /// The outcome of StartSession never came to be known, and no session of the attempt lives.
        SessionLost,
        /// StartSession refuses the request for good, or the operator knows that it would.
        InvalidRequest,
        /// Athena has seen the token with another request, and no session of the attempt lives.
        TokenMismatch,
        /// Athena says that the session exists already, and no session of the attempt lives.
        SessionAlreadyExists,
    }
}
