//! The CRD itself, as the API server has it.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::table::fields;
use crate::harness::World;

pub(super) async fn the_crd_is_bounded_and_documented_throughout(world: World) -> anyhow::Result<()> {
    let crd = crd(&world).await?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Found::default();
    found.property(".spec".into(), &schema["properties"]["spec"]);
    let in_schema: BTreeSet<_> =
        found.fields.iter().map(|path| path.trim_start_matches(".spec").trim_start_matches('.')).collect();
    let known = fields();
    let in_table: BTreeSet<_> = known.iter().map(|field| field.path).chain([""]).collect();
    let one_sided: Vec<_> = in_table
        .symmetric_difference(&in_schema)
        .map(|path| format!("{path}: only in the table or only in the CRD"))
        .collect();
    found.faults.extend(one_sided);
    for field in known.iter().filter(|field| !field.mutable() && !field.in_list()) {
        let pointer =
            format!("/properties/spec/properties/{}/description", field.path.replace('.', "/properties/"));
        let description = schema.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
        if !description.contains("Immutable") {
            found.faults.push(format!("{}: not described as Immutable: {description}", field.path));
        }
    }

    found.property(".status".into(), &schema["properties"]["status"]);
    let conditions = &schema["properties"]["status"]["properties"]["conditions"];
    if conditions["x-kubernetes-list-type"] != "map"
        || conditions["x-kubernetes-list-map-keys"] != json!(["type"])
    {
        found.faults.push(".status.conditions: not a map by type".into());
    }
    ensure!(found.faults.is_empty(), "{}", found.faults.join("\n"));
    Ok(())
}

pub(super) async fn the_crd_is_small_and_its_objects_are_easy_to_find(world: World) -> anyhow::Result<()> {
    let crd = crd(&world).await?;
    let size = serde_json::to_vec(&crd["spec"])?.len();
    ensure!(size < 64 * 1024, "{size} bytes");
    ensure!(
        crd["spec"]["names"]["shortNames"] == json!(["asess"])
            && crd["spec"]["names"]["categories"] == json!(["athena"]),
        "{}",
        crd["spec"]["names"]
    );
    let versions = crd["spec"]["versions"].as_array().context("no versions")?;
    ensure!(
        versions.len() == 1
            && versions[0]["name"] == "v1alpha1"
            && versions[0]["subresources"] == json!({ "status": {} })
    );
    let selectable = json!([{ "jsonPath": ".spec.workGroup" }, { "jsonPath": ".status.state" }]);
    ensure!(versions[0]["selectableFields"] == selectable, "{}", versions[0]["selectableFields"]);

    world.create("session").await?;
    for (selector, count) in [
        ("spec.workGroup=spark-35", 1),
        ("spec.workGroup=other", 0),
        ("spec.workGroup=spark-35,status.state=IDLE", 0),
    ] {
        let found = world.sessions.list(&ListParams::default().fields(selector)).await?;
        ensure!(found.items.len() == count, "{selector}: {}", found.items.len());
    }
    for name in ["asess", "athena"] {
        ensure!(
            world.kubectl(&["get", name, "-o", "name"])?.trim() == "athenasession.athena-operator.io/session"
        );
    }
    Ok(())
}

pub(super) async fn no_other_resource_has_its_names_and_a_new_object_is_shown(
    world: World,
) -> anyhow::Result<()> {
    let resources = world.stage().kubectl_ok(&["api-resources", "--no-headers"])?;
    let names = |line: &str| -> Vec<String> {
        let words: Vec<_> = line.split_whitespace().collect();
        // Name, short names if there are any, version, whether namespaced, kind.
        let short = if words.len() == 5 { words[1] } else { "" };
        words
            .first()
            .copied()
            .into_iter()
            .chain(short.split(','))
            .chain(words.last().copied())
            .map(str::to_lowercase)
            .collect()
    };
    for name in ["athenasessions", "athenasession", "asess"] {
        let holders: Vec<_> =
            resources.lines().filter(|line| names(line).iter().any(|other| other == name)).collect();
        ensure!(holders.len() == 1, "{name}: {holders:?}");
    }
    world.create("new").await?;
    for flags in [&["get", "asess"][..], &["get", "asess", "-o", "wide"]] {
        let shown = world.kubectl(flags)?;
        ensure!(shown.lines().count() == 2 && shown.contains("new") && !shown.contains("error"), "{shown}");
    }
    Ok(())
}

async fn crd(world: &World) -> anyhow::Result<Value> {
    let requests = Request::new("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    Ok(world
        .client
        .request(requests.get("athenasessions.athena-operator.io", &GetParams::default())?)
        .await?)
}

/// What a schema holds.
#[derive(Default)]
struct Found {
    fields: Vec<String>,
    faults: Vec<String>,
}

impl Found {
    fn walk(&mut self, path: &str, schema: &Value) {
        let has = |key: &str| !schema[key].is_null();
        let mut must = |so: bool, what: &str| {
            if !so {
                self.faults.push(format!("{path}: {what}"));
            }
        };
        must(schema["nullable"] != true, "nullable");
        must(!schema["format"].as_str().is_some_and(|format| format.starts_with("uint")), "unsigned");
        must(!has("x-kubernetes-preserve-unknown-fields"), "open");
        match schema["type"].as_str() {
            Some("boolean") => {}
            Some("string") => {
                must(has("maxLength") || has("enum") || has("format"), "a string without a bound");
            }
            Some("integer") => must(has("minimum") && has("maximum"), "an integer without bounds"),
            Some("array") => {
                must(has("maxItems"), "an array without a bound");
                must(has("x-kubernetes-list-type"), "an array without a list type");
            }
            Some("object") => {
                must(!has("additionalProperties") || has("maxProperties"), "a map without a bound");
            }
            other => must(false, &format!("of type {other:?}")),
        }
        if has("items") {
            self.walk(&format!("{path}.0"), &schema["items"]);
        }
        if has("additionalProperties") {
            self.walk(&format!("{path}.*"), &schema["additionalProperties"]);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.property(format!("{path}.{name}"), property);
        }
    }

    fn property(&mut self, path: String, schema: &Value) {
        if schema["description"].as_str().is_none_or(|description| description.trim().is_empty()) {
            self.faults.push(format!("{path}: no description"));
        }
        self.walk(&path, schema);
        self.fields.push(path);
    }
}
