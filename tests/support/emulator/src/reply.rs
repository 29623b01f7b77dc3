//! The replies as Athena writes them: members in a fixed order, absent ones left out, times in epoch seconds.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Times, WorkGroup, WorkGroupState};
use crate::session::Session;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Started<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) state: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Terminated<'a> {
    pub(crate) state: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SessionStatus<'a> {
    session_id: &'a str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FullSession<'a> {
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    work_group: &'a str,
    engine_version: &'a str,
    engine_configuration: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    notebook_version: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_configuration: Option<&'a Value>,
    session_configuration: SessionConfiguration<'a>,
    status: Status<'a>,
    statistics: Statistics,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SessionConfiguration<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role: Option<&'a str>,
    idle_timeout_seconds: u64,
    session_idle_timeout_in_minutes: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    dpu_execution_in_millis: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_since_date_time: Option<f64>,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_change_reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
    pub(crate) sessions: Vec<Summary<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary<'a> {
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    engine_version: EngineVersion<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notebook_version: Option<&'a Value>,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EngineVersion<'a> {
    selected_engine_version: &'a str,
    effective_engine_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FoundWorkGroup<'a> {
    work_group: FullWorkGroup<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FullWorkGroup<'a> {
    name: &'a str,
    state: WorkGroupState,
    configuration: WorkGroupConfiguration<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WorkGroupConfiguration<'a> {
    engine_version: EngineVersion<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role: Option<&'a str>,
}

impl<'a> SessionStatus<'a> {
    pub(crate) fn of(session: &'a Session, times: &Times) -> Self {
        Self { session_id: session.id(), status: Status::of(session, times) }
    }
}

impl<'a> FullSession<'a> {
    pub(crate) fn of(session: &'a Session, times: &Times, idle_minute: Duration, now: Timestamp) -> Self {
        let start = &session.start;
        Self {
            session_id: session.id(),
            description: start.description.as_deref(),
            work_group: &start.work_group,
            engine_version: &start.engine_version,
            engine_configuration: &start.engine_configuration,
            notebook_version: start.request.get("NotebookVersion"),
            monitoring_configuration: start.request.get("MonitoringConfiguration"),
            session_configuration: SessionConfiguration {
                execution_role: start.execution_role.as_deref(),
                // The timeout in effect: whoever tells an idle timeout by its times must find it as short as it is.
                idle_timeout_seconds: idle_minute.saturating_mul(start.idle_minutes).as_secs(),
                session_idle_timeout_in_minutes: start.idle_minutes,
            },
            status: Status::of(session, times),
            statistics: Statistics {
                dpu_execution_in_millis: i64::try_from(session.billed(now).as_millis()).unwrap_or(i64::MAX),
            },
        }
    }
}

impl<'a> Summary<'a> {
    pub(crate) fn of(session: &'a Session, times: &Times) -> Self {
        let start = &session.start;
        Self {
            session_id: session.id(),
            description: start.description.as_deref(),
            engine_version: EngineVersion::of(&start.engine_version),
            notebook_version: start.request.get("NotebookVersion"),
            status: Status::of(session, times),
        }
    }
}

impl<'a> FoundWorkGroup<'a> {
    pub(crate) fn of(work_group: &'a WorkGroup) -> Self {
        Self {
            work_group: FullWorkGroup {
                name: &work_group.name,
                state: work_group.state,
                configuration: WorkGroupConfiguration {
                    engine_version: EngineVersion::of(&work_group.engine),
                    execution_role: work_group.execution_role.as_deref(),
                },
            },
        }
    }
}

impl<'a> EngineVersion<'a> {
    fn of(engine: &'a str) -> Self {
        Self { selected_engine_version: engine, effective_engine_version: engine }
    }
}

impl<'a> Status<'a> {
    fn of(session: &'a Session, times: &Times) -> Self {
        let told = |member: &str, time: Option<Timestamp>| times.told(member, time?).map(epoch_seconds);
        Self {
            start_date_time: told("StartDateTime", Some(session.started())),
            last_modified_date_time: told("LastModifiedDateTime", Some(session.modified())),
            end_date_time: told("EndDateTime", session.ended()),
            idle_since_date_time: told("IdleSinceDateTime", session.idle_since()),
            state: session.state(),
            state_change_reason: session.reason(),
        }
    }
}

/// Epoch seconds with a fraction of milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit in 53 bits until the year 287396")]
fn epoch_seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
