//! AthenaSessions as lists and watches bring them: decoded so that none hides the others, and without the parts of a kept object that the operator
//! never reads.
//!
//! Data that a user can store in an object must not accumulate in the operator, which keeps every object for as long as it exists. So the decoder
//! leaves out labels, annotations and managed fields, except the marks in [`MARKS`], and of a spec with more than
//! [`WHOLE_SPEC`] bytes of text it keeps only the fields that decisions need: see [`AthenaSessionSpec::trimmed`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::{
    AthenaSession, AthenaSessionSpec, AthenaSessionStatus, EngineConfiguration, FINALIZER,
    MonitoringConfiguration,
};
use crate::session::events::MARKS;

/// Largest spec that is kept whole, in bytes of text; each entry of a map counts as `ENTRY` more.
pub const WHOLE_SPEC: usize = 2048;
/// Bytes that a map needs for an entry beside its text.
const ENTRY: usize = 32;
/// Largest finalizers of an object that are kept whole, in bytes.
const WHOLE_FINALIZERS: usize = 1024;
/// Number of conditions that are kept: one more than the operator writes, so that it sees that somebody wrote others.
const CONDITIONS: usize = 4;
/// Characters of a condition's message that are kept: more than the operator writes, for the same reason.
const MESSAGE: usize = 4096;
/// Characters of a condition's other texts that are kept, for the same reason.
const WORD: usize = 316;

/// An AthenaSession, or the metadata of one that this version cannot read. The error is not kept: its text could contain any part of the object.
#[derive(Clone, Debug)]
pub struct GuardedSession(pub Result<AthenaSession, ObjectMeta>);

impl<'de> Deserialize<'de> for GuardedSession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text of one object, from which a second attempt can begin after an error, without a tree of all its values.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let object = match serde_json::from_str::<Parts>(text.get()) {
            Ok(parts) => Ok(parts.kept()),
            Err(_) => match serde_json::from_str::<PartialParts>(text.get()) {
                Ok(PartialParts { metadata }) => Err(metadata.kept().0),
                Err(_) => return Err(serde::de::Error::custom("an object has no metadata that can be read")),
            },
        };
        Ok(Self(object))
    }
}

impl Resource for GuardedSession {
    type DynamicType = <AthenaSession as Resource>::DynamicType;
    type Scope = <AthenaSession as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        AthenaSession::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        AthenaSession::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        AthenaSession::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        AthenaSession::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|metadata| metadata, |object| &object.metadata)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|metadata| metadata, |object| &mut object.metadata)
    }
}

/// An object with its spec and status as they are stored.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: Metadata,
    spec: AthenaSessionSpec,
    status: Option<AthenaSessionStatus>,
}

impl Parts {
    /// Returns the parts of the object that are kept.
    fn kept(self) -> AthenaSession {
        let (metadata, whole) = self.metadata.kept();
        let is_small = whole && weight(&self.spec) <= WHOLE_SPEC;
        let spec = if is_small { self.spec } else { trimmed(self.spec) };
        AthenaSession { metadata, spec, status: self.status.map(bounded) }
    }
}

#[derive(Deserialize)]
struct PartialParts {
    #[serde(default)]
    metadata: Metadata,
}

/// Metadata that the operator reads.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    #[serde(default, deserialize_with = "marks")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "marks")]
    annotations: Option<BTreeMap<String, String>>,
}

impl Metadata {
    /// Returns the metadata to keep, and whether all finalizers are among them.
    fn kept(self) -> (ObjectMeta, bool) {
        let mut finalizers = self.finalizers;
        let whole =
            finalizers.iter().flatten().map(|name| name.len() + ENTRY).sum::<usize>() <= WHOLE_FINALIZERS;
        if let Some(finalizers) = &mut finalizers {
            finalizers.retain(|name| whole || name == FINALIZER);
            // The decoder allocates room for four elements at least.
            finalizers.shrink_to_fit();
        }
        let metadata = ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            finalizers,
            labels: self.labels,
            annotations: self.annotations,
            ..ObjectMeta::default()
        };
        (metadata, whole)
    }
}

/// Reads labels or annotations without their values, and returns those that show which tool applies the object.
#[allow(clippy::zero_sized_map_values, reason = "no set can be read from a map")]
fn marks<'de, D: Deserializer<'de>>(names: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let names = Option::<BTreeMap<String, IgnoredAny>>::deserialize(names)?.unwrap_or_default();
    let is_mark = |name: &String| MARKS.iter().any(|(mark, _)| mark == name);
    let marks: BTreeMap<_, _> = names.into_keys().filter(is_mark).map(|mark| (mark, String::new())).collect();
    Ok(Some(marks).filter(|marks| !marks.is_empty()))
}

/// Returns the bytes of text in `spec`, and those that its maps need for them.
fn weight(spec: &AthenaSessionSpec) -> usize {
    let AthenaSessionSpec {
        work_group,
        description,
        engine_configuration,
        execution_role,
        monitoring_configuration,
        notebook_version,
        tags,
        session_idle_timeout_in_minutes: _,
        copy_work_group_tags: _,
        suspend: _,
        restart_policy: _,
        max_restarts: _,
        startup_deadline_seconds: _,
        active_deadline_seconds: _,
        ttl_seconds_after_finished: _,
        deletion_policy: _,
        trimmed: _,
    } = spec;
    let map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| key.len() + value.len() + ENTRY).sum::<usize>()
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let engine = engine_configuration.as_ref().map_or(0, |engine| {
        let EngineConfiguration {
            additional_configs,
            spark_properties,
            classifications,
            coordinator_dpu_size: _,
            max_concurrent_dpus: _,
            default_executor_dpu_size: _,
        } = engine;
        let maps = [additional_configs, spark_properties].into_iter().flatten().map(map).sum::<usize>();
        let classified = classifications
            .iter()
            .flatten()
            .map(|one| ENTRY + text(&one.name) + one.properties.as_ref().map_or(0, map));
        maps + classified.sum::<usize>()
    });
    let monitoring = monitoring_configuration.as_ref().map_or(0, |monitoring| {
        let MonitoringConfiguration {
            cloud_watch_logging_configuration,
            managed_logging_configuration,
            s3_logging_configuration,
        } = monitoring;
        let watch = cloud_watch_logging_configuration.as_ref().map_or(0, |logging| {
            let types = logging.log_types.iter().flatten().map(|(key, types)| {
                key.len() + types.iter().map(|one| one.len() + ENTRY).sum::<usize>() + ENTRY
            });
            text(&logging.log_group) + text(&logging.log_stream_name_prefix) + types.sum::<usize>()
        });
        let managed = managed_logging_configuration.as_ref().map_or(0, |logging| text(&logging.kms_key));
        let s3 = s3_logging_configuration
            .as_ref()
            .map_or(0, |logging| text(&logging.kms_key) + text(&logging.log_location));
        watch + managed + s3
    });
    let texts = [description, execution_role, notebook_version].into_iter().map(text).sum::<usize>();
    work_group.len() + texts + engine + monitoring + tags.as_ref().map_or(0, map)
}

/// Returns the parts of `spec` that decisions need: its texts are left out, and a field that was set stays set.
fn trimmed(spec: AthenaSessionSpec) -> AthenaSessionSpec {
    let emptied = |map: Option<BTreeMap<String, String>>| map.map(|_| BTreeMap::new());
    AthenaSessionSpec {
        description: None,
        execution_role: None,
        tags: None,
        notebook_version: spec.notebook_version.map(|_| String::new()),
        monitoring_configuration: spec.monitoring_configuration.map(|_| MonitoringConfiguration::default()),
        engine_configuration: spec.engine_configuration.map(|engine| EngineConfiguration {
            additional_configs: emptied(engine.additional_configs),
            spark_properties: emptied(engine.spark_properties),
            classifications: engine.classifications.map(|_| Vec::new()),
            ..engine
        }),
        trimmed: true,
        ..spec
    }
}

/// Returns `status`, cut if somebody else wrote more into its conditions than the operator does. The rest still differs from what the operator
/// writes.
fn bounded(mut status: AthenaSessionStatus) -> AthenaSessionStatus {
    if let Some(conditions) = &mut status.conditions {
        conditions.truncate(CONDITIONS);
        for condition in conditions.iter_mut() {
            cut(&mut condition.message, MESSAGE);
            for text in [&mut condition.type_, &mut condition.status, &mut condition.reason] {
                cut(text, WORD);
            }
        }
        conditions.shrink_to_fit();
    }
    status
}

fn cut(text: &mut String, characters: usize) {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.shrink_to_fit();
    }
}

#[cfg(test)]
#[path = "guarded_session_tests.rs"]
mod tests;
