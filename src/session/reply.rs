//! What Athena says of sessions, as plain data: the boundary between `athena`, which knows the SDK, and the pure modules, which do not.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{AthenaSessionSpec, EngineConfiguration};

/// A session as one reply showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// Athena's id.
    pub id: String,
    /// Athena's state, an open set.
    pub state: String,
    /// Athena's reason for the state.
    pub state_change_reason: Option<String>,
    /// When the session was started.
    pub start_time: Option<Timestamp>,
    /// When Athena last changed the session.
    pub last_modified_time: Option<Timestamp>,
    /// When it ended; a session with an end time has ended, whatever its state is called.
    pub end_time: Option<Timestamp>,
    /// Since when it is idle.
    pub idle_since_time: Option<Timestamp>,
    /// What only GetSession tells.
    pub details: Option<Box<Details>>,
}

impl Session {
    /// Whether the session takes work, and changes by that only.
    pub fn settled(&self) -> bool {
        matches!(self.state.as_str(), "IDLE" | "BUSY") && !self.ended()
    }

    /// The same without the engine configuration, which may be large.
    #[must_use]
    pub fn without_configuration(mut self) -> Self {
        if let Some(details) = &mut self.details {
            details.engine_configuration = EngineConfiguration::default();
        }
        self
    }

    /// The same after its comparison with `spec`, the whole one: without the engine configuration, of which only the comparison has need.
    #[must_use]
    pub fn compared(mut self, spec: &AthenaSessionSpec) -> Self {
        if let Some(details) = &mut self.details {
            details.satisfies = Some(details.satisfies(spec));
        }
        self.without_configuration()
    }

    /// Whether nothing of the session lives any more.
    pub fn ended(&self) -> bool {
        self.end_time.is_some() || ended(&self.state)
    }
}

/// Whether a state is final.
pub fn ended(state: &str) -> bool {
    matches!(state, "TERMINATED" | "FAILED")
}

/// What only GetSession tells.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Details {
    /// The description, with the marker of whoever started it.
    pub description: Option<String>,
    /// The work group.
    pub work_group: Option<String>,
    /// The engine, such as `Apache Spark version 3.5`.
    pub engine_version: Option<String>,
    /// The execution role.
    pub execution_role: Option<String>,
    /// DPUs and properties; `max_concurrent_dpus` says 20 where Athena says nothing, as the SDK fills it in.
    pub engine_configuration: EngineConfiguration,
    /// The idle timeout in effect.
    pub idle_timeout: Option<SignedDuration>,
    /// DPU time used so far, in milliseconds.
    pub dpu_execution_in_millis: Option<i64>,
    /// Whether the session satisfies what its object asks for, once that has been found out: the engine configuration is not kept after it.
    pub satisfies: Option<bool>,
}

/// Without the engine configuration, whose properties may hold secrets.
impl fmt::Debug for Details {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Details");
        shown.field("description", &self.description).field("work_group", &self.work_group).field("engine_version", &self.engine_version);
        shown.field("idle_timeout", &self.idle_timeout).field("dpu_execution_in_millis", &self.dpu_execution_in_millis).finish_non_exhaustive()
    }
}

impl Details {
    /// Whether the session was started with the role and the engine configuration that `spec` asks for. What the spec leaves out is Athena's to choose, and
    /// the work group may add to it: each classification that is asked for has to be there, by its name, with each of its properties. Of a trimmed spec that
    /// cannot be told, and no session satisfies it.
    pub fn satisfies(&self, spec: &AthenaSessionSpec) -> bool {
        fn same<T: PartialEq>(asked: Option<&T>, given: Option<&T>) -> bool {
            asked.is_none() || asked == given
        }
        fn holds(asked: Option<&BTreeMap<String, String>>, given: Option<&BTreeMap<String, String>>) -> bool {
            asked.into_iter().flatten().all(|(key, value)| given.and_then(|given| given.get(key)) == Some(value))
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
                    // 20 may be the SDK's filling for a reply that says nothing.
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

/// A work group, as far as it matters to a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkGroup {
    /// Whether sessions may be started in it.
    pub enabled: bool,
    /// Its engine, such as `Apache Spark version 3.5`.
    pub engine_version: Option<String>,
}

impl WorkGroup {
    /// Why a session of `spec` cannot be started in this work group, as far as that can be told without asking.
    pub fn refuses(&self, spec: &AthenaSessionSpec) -> Option<Refusal> {
        let group = &spec.work_group;
        let refusal = |class, reason, message| Some(Refusal { class, reason, message, request_id: None });
        if !self.enabled {
            return refusal(Class::MayHeal, "WorkGroupDisabled", format!("workGroup: work group {group} is disabled; enable it"));
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
                Class::MayHeal,
                "WorkGroupNotSpark",
                format!("workGroup: work group {group} runs {engine}; name one whose engine is Apache Spark"),
            );
        };
        let (field, _) = fields.iter().find(|(_, set)| *set)?;
        refusal(
            Class::Rejected,
            "InvalidRequest",
            format!("spec.{field}: {engine}, the engine of work group {group}, does not take it; leave it out"),
        )
    }
}

/// A call that did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What to make of it.
    pub class: Class,
    /// CamelCase reason for conditions and events.
    pub reason: &'static str,
    /// Athena's text, or what went wrong on the way.
    pub message: String,
    /// AWS request id, where there was a reply.
    pub request_id: Option<String>,
}

impl Refusal {
    /// No answer, or one that says nothing: `message` says why.
    pub fn unanswered(message: impl Into<String>) -> Self {
        Self { class: Class::Unanswered, reason: "AthenaUnavailable", message: message.into(), request_id: None }
    }
}

/// What a failed call means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// No answer, or one that does not exclude an effect: transport, timeout, 5xx.
    Unanswered,
    /// No answer, since the call certainly failed before its first byte left: there was no connection.
    NotSent,
    /// Refused for its rate.
    Throttled,
    /// Refused for a quota or for lack of capacity.
    Capacity,
    /// Refused for something outside the request that people can mend.
    MayHeal,
    /// Refused for what the request says: it will never be accepted.
    Rejected,
    /// The token is known to Athena with another request, or the session exists already.
    TokenConflict,
    /// What the call names does not exist.
    NotFound,
}

/// Returns whether what hinders a call of this class passes by itself, and is nobody's to mend.
pub fn passes(class: Class) -> bool {
    matches!(class, Class::Unanswered | Class::NotSent | Class::Throttled)
}

/// What a look at one session showed.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Its state.
    Seen(Session),
    /// Athena does not know it, which alone proves nothing: reads lag behind starts.
    NotFound {
        /// Whether Athena says so by ResourceNotFoundException with the session's id in it.
        named: bool,
    },
    /// Nothing.
    Failed(Refusal),
}

impl Look {
    /// The same without the engine configuration of the session, which may be large and matters only to an adoption.
    #[must_use]
    pub fn without_configuration(self) -> Self {
        match self {
            Self::Seen(session) => Self::Seen(session.without_configuration()),
            other => other,
        }
    }
}

/// What a search for an object's sessions among the active ones of its work group showed.
#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    /// A session that carries the object's marker, and the attempt that the marker names.
    Found {
        /// The attempt.
        attempt: i32,
        /// The session.
        session: Session,
    },
    /// The complete list, begun at this time, has none.
    Absent {
        /// When the first page was asked for.
        begun: Timestamp,
    },
    /// Nothing.
    Failed(Refusal),
}
