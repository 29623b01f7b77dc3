//! Athena's replies about sessions, as plain data: the boundary between `athena`, which knows the SDK, and the pure modules, which do not.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSessionSpec, EngineConfiguration, SessionState};

/// A session as one reply showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// Athena's id.
    pub id: String,
    /// Athena's state.
    pub state: SessionState,
    /// Athena's reason for the state.
    pub state_change_reason: Option<String>,
    /// Time at which the session was started.
    pub start_time: Option<Timestamp>,
    /// Time at which Athena last changed the session.
    pub last_modified_time: Option<Timestamp>,
    /// Time at which the session ended; a session with an end time has ended, whatever its state is called.
    pub end_time: Option<Timestamp>,
    /// Time since which the session is idle.
    pub idle_since_time: Option<Timestamp>,
    /// Details that only GetSession returns.
    pub details: Option<Box<Details>>,
}

impl Session {
    /// Returns whether the session takes work, and changes only between IDLE and BUSY.
    pub fn settled(&self) -> bool {
        self.state.takes_work() && !self.ended()
    }

    /// Returns the session without the engine configuration, which may be large.
    #[must_use]
    pub fn without_configuration(mut self) -> Self {
        if let Some(details) = &mut self.details {
            details.engine_configuration = EngineConfiguration::default();
        }
        self
    }

    /// Compares the session with `spec`, the whole one, and returns it without the engine configuration, which only the comparison needs.
    #[must_use]
    pub fn compared(mut self, spec: &AthenaSessionSpec) -> Self {
        if let Some(details) = &mut self.details {
            details.satisfies = Some(details.satisfies(spec));
        }
        self.without_configuration()
    }

    /// Returns whether the session has ended.
    pub fn ended(&self) -> bool {
        self.end_time.is_some() || self.state.is_final()
    }
}

/// Details of a session that only GetSession returns.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Details {
    /// Description, with the marker of the operator that started the session.
    pub description: Option<String>,
    /// The work group.
    pub work_group: Option<String>,
    /// The engine, such as `Apache Spark version 3.5`.
    pub engine_version: Option<String>,
    /// The execution role.
    pub execution_role: Option<String>,
    /// DPUs and properties; `max_concurrent_dpus` is 20 where Athena returns none, since the SDK fills it in.
    pub engine_configuration: EngineConfiguration,
    /// The idle timeout in effect.
    pub idle_timeout: Option<SignedDuration>,
    /// DPU time used so far, in milliseconds.
    pub dpu_execution_in_millis: Option<i64>,
    /// Result of the comparison with the object's spec, once it was made: the engine configuration is dropped after it.
    pub satisfies: Option<bool>,
}

/// Without the engine configuration, whose properties may hold secrets.
impl fmt::Debug for Details {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Details")
            .field("description", &self.description)
            .field("work_group", &self.work_group)
            .field("engine_version", &self.engine_version)
            .field("idle_timeout", &self.idle_timeout)
            .field("dpu_execution_in_millis", &self.dpu_execution_in_millis)
            .finish_non_exhaustive()
    }
}

impl Details {
    /// Returns whether the session was started with the role and the engine configuration that `spec` asks for. Athena chooses the fields that the
    /// spec leaves out, and the work group may add to it: each classification in the spec has to be there, by its name, with each of its properties.
    /// With a trimmed spec the answer is false for every session, since its properties are missing.
    pub fn satisfies(&self, spec: &AthenaSessionSpec) -> bool {
        fn same<T: PartialEq>(asked: Option<&T>, given: Option<&T>) -> bool {
            asked.is_none() || asked == given
        }
        fn holds(asked: Option<&BTreeMap<String, String>>, given: Option<&BTreeMap<String, String>>) -> bool {
            asked
                .into_iter()
                .flatten()
                .all(|(key, value)| given.and_then(|given| given.get(key)) == Some(value))
        }
        if let Some(satisfies) = self.satisfies {
            return satisfies;
        }
        let given = &self.engine_configuration;
        !spec.trimmed
            && self.work_group.as_ref().is_none_or(|name| *name == spec.work_group)
            && same(spec.execution_role.as_ref(), self.execution_role.as_ref())
            && spec.engine_configuration.as_ref().is_none_or(|asked| {
                same(asked.coordinator_dpu_size.as_ref(), given.coordinator_dpu_size.as_ref())
                    // 20 may come from the SDK, which fills it in for a reply without the field.
                    && (given.max_concurrent_dpus == Some(20) || same(asked.max_concurrent_dpus.as_ref(), given.max_concurrent_dpus.as_ref()))
                    && same(asked.default_executor_dpu_size.as_ref(), given.default_executor_dpu_size.as_ref())
                    && holds(asked.additional_configs.as_ref(), given.additional_configs.as_ref())
                    && holds(asked.spark_properties.as_ref(), given.spark_properties.as_ref())
                    && asked.classifications.iter().flatten().all(|asked| {
                        let mut given = given.classifications.iter().flatten().filter(|given| given.name == asked.name);
                        given.any(|given| holds(asked.properties.as_ref(), given.properties.as_ref()))
                    })
            })
    }
}

/// A work group, with the fields that matter to a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkGroup {
    /// True if sessions may be started in it.
    pub enabled: bool,
    /// Its engine, such as `Apache Spark version 3.5`.
    pub engine_version: Option<String>,
}

impl WorkGroup {
    /// Returns the refusal of a session of `spec` by this work group, as far as it is known without a call of StartSession.
    pub fn refuses(&self, spec: &AthenaSessionSpec) -> Option<Refusal> {
        let group = &spec.work_group;
        let refusal = |class, reason, message| Some(Refusal { class, reason, message, request_id: None });
        if !self.enabled {
            return refusal(
                ErrorClass::MayHeal,
                "WorkGroupDisabled",
                format!("workGroup: work group {group} is disabled; enable it"),
            );
        }
        let engine = self.engine_version.as_deref()?;
        let asked = spec.engine_configuration.clone().unwrap_or_default();
        let fields: &[(&str, bool)] = if engine.starts_with("PySpark engine version") {
            &[("monitoringConfiguration", spec.monitoring_configuration.is_some())]
        } else if engine.starts_with("Apache Spark version") {
            &[
                ("engineConfiguration.coordinatorDpuSize", asked.coordinator_dpu_size.is_some()),
                ("engineConfiguration.defaultExecutorDpuSize", asked.default_executor_dpu_size.is_some()),
                ("engineConfiguration.sparkProperties", asked.spark_properties.is_some()),
                ("notebookVersion", spec.notebook_version.is_some()),
            ]
        } else {
            return refusal(
                ErrorClass::MayHeal,
                "WorkGroupNotSpark",
                format!(
                    "workGroup: work group {group} runs {engine}; change the engine, or create another AthenaSession"
                ),
            );
        };
        let (field, _) = fields.iter().find(|(_, set)| *set)?;
        refusal(
            ErrorClass::Rejected,
            "InvalidRequest",
            format!(
                "spec.{field}: {engine}, the engine of work group {group}, does not take it; create another AthenaSession without it"
            ),
        )
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Class of the failure.
    pub class: ErrorClass,
    /// CamelCase reason for conditions and events.
    pub reason: &'static str,
    /// Athena's text, or the error on the way to Athena.
    pub message: String,
    /// AWS request id, where there was a reply.
    pub request_id: Option<String>,
}

impl Refusal {
    /// Returns the refusal for a missing answer, or for one without information: `message` gives the reason.
    pub fn unanswered(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unanswered, "AthenaUnavailable", message)
    }

    /// Returns a refusal without a request id.
    pub fn new(class: ErrorClass, reason: &'static str, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into(), request_id: None }
    }
}

/// Class of a failed call: it decides when and whether the operator calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// No answer, or one that does not exclude an effect: transport, timeout, 5xx.
    Unanswered,
    /// No answer, since the call certainly failed before its first byte left: there was no connection.
    NotSent,
    /// Refused because of the request rate.
    Throttled,
    /// Refused for a quota or for lack of capacity.
    Capacity,
    /// Refused for something outside the request that people can fix.
    MayHeal,
    /// Refused for the content of the request: it will never be accepted.
    Rejected,
    /// Athena knows the token with another request, or the session exists already.
    TokenConflict,
    /// The resource that the call names does not exist.
    NotFound,
}

/// Returns whether a refusal of this class passes by itself, so that nobody has to fix anything.
pub fn passes(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Unanswered | ErrorClass::NotSent | ErrorClass::Throttled)
}

/// Result of a look at one session.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// The session.
    Seen(Session),
    /// Athena does not know the session, which alone proves nothing: reads lag behind starts.
    NotFound {
        /// True if Athena returned ResourceNotFoundException with the session's id in it.
        named: bool,
    },
    /// No result.
    Failed(Refusal),
}

impl Look {
    /// Returns the look without the engine configuration of the session, which may be large and matters only to an adoption.
    #[must_use]
    pub fn without_configuration(self) -> Self {
        match self {
            Self::Seen(session) => Self::Seen(session.without_configuration()),
            other => other,
        }
    }
}

/// Result of a search for an object's sessions among the active ones of its work group.
#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    /// A session that carries the object's marker, and the attempt that the marker names.
    Found {
        /// The attempt.
        attempt: i32,
        /// The session.
        session: Session,
    },
    /// The complete list, begun at this time, has no such session.
    Absent {
        /// Time at which the first page was requested.
        begun: Timestamp,
    },
    /// No result.
    Failed(Refusal),
}
