//! The body of StartSession: a pure function of the spec, of the object's name, namespace and UID, and of the attempt.
//!
//! The operator builds the body itself, since the SDK adds `MaxConcurrentDpus: 20` where it is unset and writes maps in any order. Golden files pin
//! its bytes: Athena would refuse the replays of a released build that changed one of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::{AthenaSession, AthenaSessionSpec};
use crate::session::marker;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StartSession<'a> {
    client_request_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_work_group_tags: Option<bool>,
    description: String,
    engine_configuration: EngineConfiguration<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_configuration: Option<MonitoringConfiguration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notebook_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_idle_timeout_in_minutes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Tag<'a>>>,
    work_group: &'a str,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct EngineConfiguration<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_configs: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classifications: Option<Vec<Classification<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coordinator_dpu_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_executor_dpu_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent_dpus: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spark_properties: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Classification<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringConfiguration<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_watch_logging_configuration: Option<CloudWatchLogging<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_logging_configuration: Option<Logging<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_logging_configuration: Option<Logging<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CloudWatchLogging<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream_name_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_types: Option<&'a BTreeMap<String, Vec<String>>>,
}

/// Managed and S3 logging; only the latter has a location.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Logging<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_location: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

/// Returns the token and the body of StartSession for attempt `number` of `object`, which has a UID.
///
/// # Panics
/// When the spec is trimmed: another body would be sent under the same token.
pub fn start_session(object: &AthenaSession, number: i32) -> (String, Vec<u8>) {
    assert!(!object.spec.trimmed, "a request was to be made of a trimmed spec");
    let meta = &object.metadata;
    let token = marker::token(meta.uid.as_deref().unwrap_or_default(), number);
    let body = body(
        &object.spec,
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
        &token,
    );
    (token, body)
}

fn body(spec: &AthenaSessionSpec, namespace: &str, name: &str, token: &str) -> Vec<u8> {
    let request = StartSession {
        client_request_token: token,
        copy_work_group_tags: spec.copy_work_group_tags,
        description: marker::description(spec, namespace, name, token),
        engine_configuration: spec
            .engine_configuration
            .as_ref()
            .map(engine_configuration)
            .unwrap_or_default(),
        execution_role: spec.execution_role.as_deref(),
        monitoring_configuration: spec.monitoring_configuration.as_ref().map(|monitoring| {
            MonitoringConfiguration {
                cloud_watch_logging_configuration: monitoring.cloud_watch_logging_configuration.as_ref().map(
                    |logging| CloudWatchLogging {
                        enabled: logging.enabled,
                        log_group: logging.log_group.as_deref(),
                        log_stream_name_prefix: logging.log_stream_name_prefix.as_deref(),
                        log_types: logging.log_types.as_ref(),
                    },
                ),
                managed_logging_configuration: monitoring.managed_logging_configuration.as_ref().map(
                    |logging| Logging {
                        enabled: logging.enabled,
                        kms_key: logging.kms_key.as_deref(),
                        log_location: None,
                    },
                ),
                s3_logging_configuration: monitoring.s3_logging_configuration.as_ref().map(|logging| {
                    Logging {
                        enabled: logging.enabled,
                        kms_key: logging.kms_key.as_deref(),
                        log_location: logging.log_location.as_deref(),
                    }
                }),
            }
        }),
        notebook_version: spec.notebook_version.as_deref(),
        session_idle_timeout_in_minutes: spec.session_idle_timeout_in_minutes,
        tags: spec.tags.as_ref().map(|tags| tags.iter().map(|(key, value)| Tag { key, value }).collect()),
        work_group: &spec.work_group,
    };
    serde_json::to_vec(&request).expect("strings, numbers and maps with string keys are JSON")
}

fn engine_configuration(asked: &crate::api::EngineConfiguration) -> EngineConfiguration<'_> {
    EngineConfiguration {
        additional_configs: asked.additional_configs.as_ref(),
        classifications: asked.classifications.as_ref().map(|list| {
            list.iter()
                .map(|classification| Classification {
                    name: classification.name.as_deref(),
                    properties: classification.properties.as_ref(),
                })
                .collect()
        }),
        coordinator_dpu_size: asked.coordinator_dpu_size,
        default_executor_dpu_size: asked.default_executor_dpu_size,
        max_concurrent_dpus: asked.max_concurrent_dpus,
        spark_properties: asked.spark_properties.as_ref(),
    }
}
