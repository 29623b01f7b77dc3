//! The status: the facts known of the newest attempt, and the conditions that give their meaning.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::schema;

/// Facts known of the session, written by the operator only.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AthenaSessionStatus {
    /// Generation of the spec from which this status was computed; -1 before the operator has seen the object.
    #[schemars(range(min = -1, max = schema::MAX_SAFE_INTEGER))]
    pub observed_generation: Option<i64>,

    /// `Ready`: the session is as the spec asks. `Available`: it can take work now. `Reconciling` and `Stalled` are present only while they are true.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,

    /// Number of the newest attempt; each attempt is one Athena session. The first is 0.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub attempt: Option<i32>,

    /// Time at which the operator recorded the attempt, before its first call of StartSession.
    #[schemars(schema_with = "schema::time")]
    pub attempt_time: Option<Time>,

    /// AWS region in which the attempt was made.
    #[schemars(length(max = 64))]
    pub region: Option<String>,

    /// AWS account in which the attempt was made. Absent if the operator did not know its account.
    #[schemars(length(max = 12))]
    pub account_id: Option<String>,

    /// Athena's id of the session.
    #[schemars(length(max = 256))]
    pub session_id: Option<String>,

    /// Athena's state of the session, such as CREATING, CREATED, IDLE, BUSY, TERMINATING, TERMINATED, DEGRADED or FAILED. Athena may add others. A
    /// change between IDLE and BUSY may show up to a minute and a half late.
    #[schemars(schema_with = "schema::word")]
    pub state: Option<SessionState>,

    /// Athena's own reason for the state.
    #[schemars(length(max = 1024))]
    pub state_change_reason: Option<String>,

    /// Cause for which the operator ends the session though the object stays: `Suspended`, `ActiveDeadline`, `StartupDeadline` or `Degraded`. The
    /// operator records it before it calls TerminateSession, unless the API server refuses that write for five minutes. Later versions may add values.
    #[schemars(schema_with = "schema::word")]
    pub stop_cause: Option<StopCause>,

    /// Reason for the end of the attempt: `Suspended`, `DeadlineExceeded`, `IdleTimeout`, `StoppedOutside`, `SessionFailed`, `SessionDegraded`,
    /// `StartupDeadlineExceeded`, `SessionVanished`, `SessionLost`, `InvalidRequest`, `TokenMismatch` or `SessionAlreadyExists`; set together with
    /// `endTime`. Later versions may add values.
    #[schemars(schema_with = "schema::word")]
    pub end_reason: Option<EndReason>,

    /// Engine of the session, such as `Apache Spark version 3.5`.
    #[schemars(length(max = 128))]
    pub engine_version: Option<String>,

    /// Time at which Athena started the session.
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,

    /// Start of the first session since creation or resume, from which `activeDeadlineSeconds` counts. Where Athena reports no start time, this is the
    /// `attemptTime`.
    #[schemars(schema_with = "schema::time")]
    pub first_start_time: Option<Time>,

    /// Time of the first IDLE or BUSY state of the session that the operator saw.
    #[schemars(schema_with = "schema::time")]
    pub ready_time: Option<Time>,

    /// Latest time at which the session is known to have been at work. The operator writes it at the first work of an attempt, and after that only
    /// together with other changes, such as the session becoming idle.
    #[schemars(schema_with = "schema::time")]
    pub last_busy_time: Option<Time>,

    /// Time at which the session last became idle, as Athena reports it. Absent while the session is at work; kept after its end.
    #[schemars(schema_with = "schema::time")]
    pub idle_since_time: Option<Time>,

    /// Time at which the session ended, or at which the operator found that no session of the attempt is live.
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,

    /// DPU time that the session has used, in milliseconds; known once it has ended.
    #[schemars(range(min = 0, max = schema::MAX_SAFE_INTEGER))]
    pub dpu_execution_in_millis: Option<i64>,

    /// Number of failures in a row that were followed by a new attempt.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub restarts: Option<i32>,

    /// The last 5 attempts before this one, oldest first.
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub previous_attempts: Option<Vec<PreviousAttempt>>,
}

/// An attempt that is over.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousAttempt {
    /// Number of the attempt.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub attempt: i32,

    /// Athena's id of the attempt's session, if there was one.
    #[schemars(length(max = 256))]
    pub session_id: Option<String>,

    /// Time at which Athena started the session.
    #[serde(default)]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,

    /// Time at which the session ended, or at which the operator found that no session of the attempt is live.
    #[serde(default)]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,

    /// Reason for the end of the attempt.
    #[serde(default)]
    #[schemars(schema_with = "schema::word")]
    pub end_reason: Option<EndReason>,

    /// Athena's own reason for the last state.
    #[schemars(length(max = 1024))]
    pub state_change_reason: Option<String>,

    /// DPU time that the session has used, in milliseconds.
    #[schemars(range(min = 0, max = schema::MAX_SAFE_INTEGER))]
    pub dpu_execution_in_millis: Option<i64>,
}

impl EndReason {
    /// Returns whether the end is one that neither the object nor its idle timeout asked for, after which another attempt may succeed.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::StoppedOutside
                | Self::SessionFailed
                | Self::SessionDegraded
                | Self::StartupDeadlineExceeded
                | Self::SessionVanished
        )
    }
}

impl SessionState {
    /// Returns whether a session in this state takes work.
    pub fn takes_work(&self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }

    /// Returns whether a session in this state has ended.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Terminated | Self::Failed)
    }
}

/// The absence of a state in a reply.
impl Default for SessionState {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

macro_rules! open_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that this build does not know, kept unchanged.
            Other(String),
        }

        impl $name {
            /// All words that this build knows.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Returns the word as the status spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                word.as_str().into()
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
    /// Athena's state of a session.
    SessionState {
        /// Athena creates the session.
        Creating = "CREATING",
        /// The session is created, and takes no work yet.
        Created = "CREATED",
        /// The session waits for work.
        Idle = "IDLE",
        /// The session is at work.
        Busy = "BUSY",
        /// The session is being ended.
        Terminating = "TERMINATING",
        /// The session has ended.
        Terminated = "TERMINATED",
        /// The session has no healthy coordinator, and costs money.
        Degraded = "DEGRADED",
        /// The session has failed.
        Failed = "FAILED",
    }
}

open_words! {
    /// Cause for which the operator ends a session whose object stays.
    StopCause {
        /// The object is suspended. On an attempt that is over it means that the object has been suspended since, so that the next attempt is a
        /// resume.
        Suspended = "Suspended",
        /// The active deadline is over.
        ActiveDeadline = "ActiveDeadline",
        /// The session was not ready within its startup deadline.
        StartupDeadline = "StartupDeadline",
        /// Athena reported the session as DEGRADED: it has no healthy coordinator and costs money.
        Degraded = "Degraded",
    }
}

open_words! {
    /// Reason for the end of an attempt.
    EndReason {
        /// The operator ended the session because the object was suspended.
        Suspended = "Suspended",
        /// The operator ended the session because the active deadline was over.
        DeadlineExceeded = "DeadlineExceeded",
        /// The session ended in a way and at a time at which it can have been idle for its timeout.
        IdleTimeout = "IdleTimeout",
        /// Somebody else ended the session, too early for it to have been idle for its timeout.
        StoppedOutside = "StoppedOutside",
        /// Athena reported FAILED, or the session ended before it was ever idle.
        SessionFailed = "SessionFailed",
        /// The session was DEGRADED and the operator ended it.
        SessionDegraded = "SessionDegraded",
        /// The session was not ready within its startup deadline and the operator ended it.
        StartupDeadlineExceeded = "StartupDeadlineExceeded",
        /// Athena does not know the session, too early for it to have been idle for its timeout.
        SessionVanished = "SessionVanished",
        /// The outcome of StartSession never became known, and no session of the attempt lives.
        SessionLost = "SessionLost",
        /// StartSession refuses the request for good, or the operator knows that it would.
        InvalidRequest = "InvalidRequest",
        /// Athena has seen the token with another request, and no session of the attempt lives.
        TokenMismatch = "TokenMismatch",
        /// Athena reports that the session exists already, and no session of the attempt lives.
        SessionAlreadyExists = "SessionAlreadyExists",
    }
}
