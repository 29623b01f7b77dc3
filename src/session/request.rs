//! The body of StartSession: a pure function of the spec, of the object's name, namespace and UID, and of the attempt.
//!
//! The operator builds the body itself, since the SDK adds `MaxConcurrentDpus: 20` where it is unset and writes maps in any order. Golden files pin
//! its bytes: if a release changed one of them, Athena would refuse its replays of calls that an older release has sent.

use serde_json::{Value, json};

use crate::api::{AthenaSession, EngineConfiguration, MonitoringConfiguration};
use crate::session::marker;

/// Returns the token and the body of StartSession for attempt `number` of `object`, which has a UID.
///
/// # Panics
/// When the spec is trimmed: another body would be sent under the same token.
pub fn start_session(object: &AthenaSession, number: i32) -> (String, Vec<u8>) {
    let AthenaSession { metadata, spec, .. } = object;
    assert!(!spec.trimmed, "a request was to be made of a trimmed spec");
    let [uid, namespace, name] =
        [&metadata.uid, &metadata.namespace, &metadata.name].map(|text| text.as_deref().unwrap_or_default());
    let token = marker::token(uid, number);
    let tags = spec.tags.as_ref().map(|tags| -> Vec<Value> {
        tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    });
    // In the order of the alphabet: the bytes do not depend on the feature `preserve_order` of serde_json, which any crate may turn on.
    let mut body = json!({
        "ClientRequestToken": token,
        "CopyWorkGroupTags": spec.copy_work_group_tags,
        "Description": marker::description(spec, namespace, name, &token),
        "EngineConfiguration": spec.engine_configuration.as_ref().map_or_else(|| json!({}), engine),
        "ExecutionRole": spec.execution_role,
        "MonitoringConfiguration": spec.monitoring_configuration.as_ref().map(monitoring),
        "NotebookVersion": spec.notebook_version,
        "SessionIdleTimeoutInMinutes": spec.session_idle_timeout_in_minutes,
        "Tags": tags,
        "WorkGroup": spec.work_group,
    });
    remove_nulls(&mut body);
    (token, body.to_string().into_bytes())
}

fn engine(asked: &EngineConfiguration) -> Value {
    let classifications = asked.classifications.as_ref().map(|list| -> Vec<Value> {
        list.iter().map(|asked| json!({ "Name": asked.name, "Properties": asked.properties })).collect()
    });
    json!({
        "AdditionalConfigs": asked.additional_configs,
        "Classifications": classifications,
        "CoordinatorDpuSize": asked.coordinator_dpu_size,
        "DefaultExecutorDpuSize": asked.default_executor_dpu_size,
        "MaxConcurrentDpus": asked.max_concurrent_dpus,
        "SparkProperties": asked.spark_properties,
    })
}

fn monitoring(asked: &MonitoringConfiguration) -> Value {
    json!({
        "CloudWatchLoggingConfiguration": asked.cloud_watch_logging_configuration.as_ref().map(|logging| json!({
            "Enabled": logging.enabled,
            "LogGroup": logging.log_group,
            "LogStreamNamePrefix": logging.log_stream_name_prefix,
            "LogTypes": logging.log_types,
        })),
        "ManagedLoggingConfiguration": asked.managed_logging_configuration.as_ref().map(|logging| json!({
            "Enabled": logging.enabled,
            "KmsKey": logging.kms_key,
        })),
        "S3LoggingConfiguration": asked.s3_logging_configuration.as_ref().map(|logging| json!({
            "Enabled": logging.enabled,
            "KmsKey": logging.kms_key,
            "LogLocation": logging.log_location,
        })),
    })
}

/// Removes the fields that the spec leaves out.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
