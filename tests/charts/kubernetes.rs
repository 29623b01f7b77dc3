//! JSON schemas of what Kubernetes, the Prometheus operator and Argo CD accept, in which no unknown
//! field is allowed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tools::Published;

use crate::helm::read;

/// The newest patch of each version that the chart is for.
pub(crate) const VERSIONS: [Published; 5] = [
    kubernetes("v1.33.13", "h1:bmH31xUdSzeA5vk0wZAK9MZp11mdLuzUSeKk0qN3hPQ="),
    kubernetes("v1.34.4", "h1:Yy6R4QB8C9kJPp25GFqEvX5XQwY5qzKeqD0Xx6oAcmk="),
    kubernetes("v1.35.4", "h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM="),
    kubernetes("v1.36.3", "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="),
    kubernetes("v1.37.2", "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="),
];

const fn kubernetes(version: &'static str, sum: &'static str) -> Published {
    Published { module: "k8s.io/kubernetes", version, sum }
}

const API: &str = "api/openapi-spec/swagger.json";

const PROMETHEUS_OPERATOR: Published = Published {
    module: "github.com/prometheus-operator/prometheus-operator",
    version: "v0.85.0",
    sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
};

const MONITORING: [&str; 3] = [
    "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
];

// Version 3.6 needs a newer Go than all else here.
const ARGO_CD: Published = Published {
    module: "github.com/argoproj/argo-cd/v3",
    version: "v3.5.7",
    sum: "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
};

const APPLICATION: &str = "manifests/crds/application-crd.yaml";

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/athenasessions.athena-operator.io.yaml");

/// Writes the schemas of this version of Kubernetes, named as kubeconform looks for them.
pub(crate) fn write_schemas(version: &Published, folder: &Path) {
    let published =
        |module: &Published, files: &[&str]| module.files(files).unwrap_or_else(|error| panic!("{error}"));
    let api: Value = serde_json::from_str(&read(published(version, &[API]).join(API))).expect("JSON");
    let mut definitions = api["definitions"].as_object().expect("definitions").clone();
    definitions.values_mut().for_each(close);
    // JSON schemas know neither.
    definitions.insert(
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
        json!({"type": ["string", "integer"]}),
    );
    definitions.insert(
        "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
        json!({"type": ["string", "number"]}),
    );

    for (name, definition) in &definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |key| kind[key].as_str().expect("a group, version and kind");
            write(
                folder,
                text("group"),
                text("version"),
                text("kind"),
                definition.clone(),
                &definitions,
                name,
            );
        }
    }
    let monitoring = published(&PROMETHEUS_OPERATOR, &MONITORING);
    let application = published(&ARGO_CD, &[APPLICATION]).join(APPLICATION);
    for file in
        MONITORING.map(|file| read(monitoring.join(file))).into_iter().chain([read(application), read(OWN)])
    {
        let crd: Value = serde_saphyr::from_str(&file).expect("a CRD");
        let text = |pointer| crd.pointer(pointer).and_then(Value::as_str).expect("a field of a CRD");
        for version in crd["spec"]["versions"].as_array().expect("versions") {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            close(&mut schema);
            schema["properties"]["metadata"] =
                json!({"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"});
            let version = version["name"].as_str().expect("a version");
            write(folder, text("/spec/group"), version, text("/spec/names/kind"), schema, &definitions, "");
        }
    }
}

fn write(
    folder: &Path,
    group: &str,
    version: &str,
    kind: &str,
    mut schema: Value,
    definitions: &Map<String, Value>,
    name: &str,
) {
    let mut needed = BTreeSet::new();
    collect_references(&schema, definitions, &mut needed);
    schema["definitions"] = needed.iter().map(|name| (name.clone(), definitions[name].clone())).collect();
    schema["properties"]["kind"] = json!({"const": kind});
    let group = group
        .split('.')
        .next()
        .filter(|group| !group.is_empty())
        .map(|group| format!("{group}-"))
        .unwrap_or_default();
    let file = folder.join(format!("{}-{group}{version}.json", kind.to_lowercase()));
    fs::write(&file, schema.to_string())
        .unwrap_or_else(|error| panic!("cannot write {} for {name}: {error}", file.display()));
}

/// Forbids what is not named.
fn close(schema: &mut Value) {
    if schema.get("properties").is_some()
        && schema.get("additionalProperties").is_none()
        && schema["x-kubernetes-preserve-unknown-fields"] != true
    {
        schema["additionalProperties"] = json!(false);
    }
    for children in ["properties", "patternProperties"] {
        schema
            .get_mut(children)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(Map::values_mut)
            .for_each(close);
    }
    for child in ["items", "additionalProperties"] {
        schema.get_mut(child).filter(|child| child.is_object()).into_iter().for_each(close);
    }
}

fn collect_references(schema: &Value, definitions: &Map<String, Value>, found: &mut BTreeSet<String>) {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix("#/definitions/"));
    if let Some(name) = name.filter(|name| found.insert((*name).to_owned())) {
        collect_references(&definitions[name], definitions, found);
    }
    match schema {
        Value::Object(fields) => {
            fields.values().for_each(|value| collect_references(value, definitions, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, definitions, found)),
        _ => {}
    }
}
