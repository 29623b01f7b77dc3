//! What the two Spark engines take and refuse.

use serde_json::{Map, Value, json};

use crate::config::WorkGroup;
use crate::refusal::Refusal;

/// A Spark engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `PySpark engine version 3`: notebooks.
    PySpark3,
    /// `Apache Spark version 3.5`: Spark Connect.
    Spark35,
}

/// What an engine makes of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) engine_configuration: Value,
    pub(crate) dpus: u32,
    pub(crate) doom: Option<String>,
}

const NOTEBOOK_VERSION: &str = "Athena notebook version 1";
const MAX_SESSION_DPUS: u32 = 60;

impl Engine {
    /// The engine of a work group; none when it is not Spark.
    pub(crate) fn of(work_group: &WorkGroup) -> Option<Self> {
        match work_group.engine.as_str() {
            WorkGroup::PYSPARK_3 => Some(Self::PySpark3),
            engine if engine.starts_with("Apache Spark version ") => Some(Self::Spark35),
            _ => None,
        }
    }

    /// Applies the engine's rules to a request that is valid by the service model.
    pub(crate) fn plan(self, request: &Map<String, Value>) -> Result<Plan, Refusal> {
        let nothing = Map::new();
        let configuration = request.get("EngineConfiguration").and_then(Value::as_object).unwrap_or(&nothing);
        self.refuse_foreign_members(request, configuration)?;
        refuse_sql_classifications(configuration)?;
        let asked = configuration
            .get("MaxConcurrentDpus")
            .and_then(Value::as_u64)
            .and_then(|dpus| u32::try_from(dpus).ok());
        match self {
            // Without a number, Spark 3.5 begins with the driver and one executor.
            Self::Spark35 => Ok(Plan {
                engine_configuration: Value::Object(configuration.clone()),
                dpus: asked.unwrap_or(2),
                doom: None,
            }),
            Self::PySpark3 => {
                check_notebook(request, configuration)?;
                let dpus = asked.unwrap_or(20);
                if dpus > MAX_SESSION_DPUS {
                    return Err(Refusal::invalid_input(format!(
                        "MaxConcurrentDpus must be less than or equal to {MAX_SESSION_DPUS}."
                    )));
                }
                Ok(Plan {
                    engine_configuration: with_defaults(configuration),
                    dpus,
                    doom: reserved_property(configuration),
                })
            }
        }
    }

    fn refuse_foreign_members(
        self,
        request: &Map<String, Value>,
        configuration: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let (version, of_request, of_configuration): (_, &[&str], &[&str]) = match self {
            Self::PySpark3 => (WorkGroup::PYSPARK_3, &["MonitoringConfiguration"], &[]),
            Self::Spark35 => (
                WorkGroup::SPARK_3_5,
                &["NotebookVersion"],
                &["CoordinatorDpuSize", "DefaultExecutorDpuSize", "SparkProperties"],
            ),
        };
        let given =
            |map: &Map<String, Value>, name: &str| map.get(name).is_some_and(|value| !value.is_null());
        let foreign = of_request.iter().find(|name| given(request, name));
        match foreign.or_else(|| of_configuration.iter().find(|name| given(configuration, name))) {
            Some(name) => Err(Refusal::invalid_input(format!("{name} is not supported for {version}."))),
            None => Ok(()),
        }
    }
}

/// The engine configuration of a session in `group`, as GetSession tells it: with the classifications that the work group adds, and in another order if
/// that is asked for.
pub(crate) fn in_work_group(mut configuration: Value, group: &WorkGroup, reorder: bool) -> Value {
    let asked = configuration.get("Classifications").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all: Vec<Value> = asked;
    for added in &group.classifications {
        let found = all.iter_mut().find(|classification| classification["Name"] == added.name.as_str());
        let properties = json!(added.properties);
        match found {
            Some(classification) => {
                let own = classification["Properties"].as_object().cloned().unwrap_or_default();
                let mut merged = properties.as_object().cloned().unwrap_or_default();
                merged.extend(own);
                classification["Properties"] = Value::Object(merged);
            }
            None => all.push(json!({ "Name": added.name, "Properties": properties })),
        }
    }
    if reorder {
        all.reverse();
    }
    if let Some(configuration) = configuration.as_object_mut().filter(|_| !all.is_empty()) {
        configuration.insert("Classifications".to_owned(), Value::Array(all));
    }
    configuration
}

/// SQL work groups have their settings under this name; no Spark engine takes it.
fn refuse_sql_classifications(configuration: &Map<String, Value>) -> Result<(), Refusal> {
    const SQL: &str = "athena-query-engine-properties";
    let classifications = configuration.get("Classifications").and_then(Value::as_array);
    if classifications.into_iter().flatten().any(|classification| classification["Name"] == SQL) {
        return Err(Refusal::invalid_input(format!("Classification {SQL} is not supported for Spark.")));
    }
    Ok(())
}

fn check_notebook(request: &Map<String, Value>, configuration: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(version) = request.get("NotebookVersion").and_then(Value::as_str) else {
        return Ok(());
    };
    if version != NOTEBOOK_VERSION {
        return Err(Refusal::invalid_input(format!("NotebookVersion {version} is not supported.")));
    }
    let notebook = configuration.get("AdditionalConfigs").and_then(|configs| configs.get("NotebookId"));
    if notebook.is_none() {
        return Err(Refusal::invalid_input("NotebookVersion requires NotebookId in AdditionalConfigs."));
    }
    Ok(())
}

fn with_defaults(configuration: &Map<String, Value>) -> Value {
    let mut configuration = configuration.clone();
    for (name, value) in [("CoordinatorDpuSize", 1), ("DefaultExecutorDpuSize", 1), ("MaxConcurrentDpus", 20)]
    {
        configuration.entry(name).or_insert(json!(value));
    }
    Value::Object(configuration)
}

/// A reserved property makes the session fail, not the call.
fn reserved_property(configuration: &Map<String, Value>) -> Option<String> {
    let properties = configuration.get("SparkProperties")?.as_object()?;
    let reserved = properties.keys().find(|name| name.starts_with("spark.athena."))?;
    Some(format!("Session failed to start: Spark property {reserved} is restricted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(engine: Engine, request: &Value) -> Result<Plan, String> {
        let request = request.as_object().expect("an object");
        engine.plan(request).map_err(|refusal| refusal.message)
    }

    #[test]
    fn spark_3_5_refuses_what_only_notebooks_have() {
        for (name, value) in [
            ("CoordinatorDpuSize", json!(1)),
            ("DefaultExecutorDpuSize", json!(1)),
            ("SparkProperties", json!({})),
        ] {
            let error = plan(Engine::Spark35, &json!({"EngineConfiguration": {name: value}}));
            assert_eq!(error, Err(format!("{name} is not supported for Apache Spark version 3.5.")));
        }
        let error =
            plan(Engine::Spark35, &json!({"EngineConfiguration": {}, "NotebookVersion": NOTEBOOK_VERSION}));
        assert!(error.is_err_and(|message| message.starts_with("NotebookVersion is not supported")));
        let plan = plan(Engine::Spark35, &json!({"EngineConfiguration": {"MaxConcurrentDpus": 4000}}));
        assert_eq!(plan.map(|plan| plan.dpus), Ok(4000));
    }

    #[test]
    fn engine_3_refuses_monitoring_and_more_than_60_dpus() {
        let error =
            plan(Engine::PySpark3, &json!({"EngineConfiguration": {}, "MonitoringConfiguration": {}}));
        assert!(error.is_err_and(|message| message.starts_with("MonitoringConfiguration is not supported")));
        let dpus = |dpus| {
            plan(Engine::PySpark3, &json!({"EngineConfiguration": {"MaxConcurrentDpus": dpus}})).is_ok()
        };
        assert!(dpus(60));
        assert!(!dpus(61));
    }

    #[test]
    fn engine_3_takes_a_notebook_only_by_its_version_and_id() {
        let request = |version: &str, configs: Value| json!({"NotebookVersion": version, "EngineConfiguration": {"AdditionalConfigs": configs}});
        assert!(plan(Engine::PySpark3, &request(NOTEBOOK_VERSION, json!({"NotebookId": "n"}))).is_ok());
        assert!(plan(Engine::PySpark3, &request(NOTEBOOK_VERSION, json!({}))).is_err());
        assert!(plan(Engine::PySpark3, &request("2", json!({"NotebookId": "n"}))).is_err());
    }

    #[test]
    fn engine_3_starts_a_session_that_a_reserved_property_makes_fail() {
        let request = |name: &str| json!({"EngineConfiguration": {"SparkProperties": {name: "x"}}});
        let doom = |name| plan(Engine::PySpark3, &request(name)).expect("accepted").doom;
        assert_eq!(doom("spark.sql.ansi.enabled"), None);
        assert_eq!(doom("hadoop.x"), None);
        assert!(doom("spark.athena.x").is_some_and(|reason| reason.contains("spark.athena.x")));
    }

    #[test]
    fn no_spark_engine_takes_the_settings_of_sql() {
        let request =
            json!({"EngineConfiguration": {"Classifications": [{"Name": "athena-query-engine-properties"}]}});
        assert!(plan(Engine::Spark35, &request).is_err());
        assert!(plan(Engine::PySpark3, &request).is_err());
    }
}
