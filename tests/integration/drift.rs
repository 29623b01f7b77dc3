//! What is applied is what is kept: no tool of GitOps sees a difference between its files and the cluster, nor changes an object by applying it again.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};
use athena_operator::api::AthenaSession;
use fastrand::Rng;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::admission::table::fields;
use crate::harness::{World, ready_condition, status, tests};

tests![
    what_kubectl_applies_does_not_drift,
    what_is_applied_by_the_server_does_not_drift,
    what_people_do_to_an_object_that_its_file_does_not_name_is_no_drift,
];

/// How many specs are made by chance, beside the examples.
const GENERATED: u64 = 60;
/// What kubectl can keep of an object in an annotation, less some room.
const LARGEST: usize = 200_000;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

async fn what_kubectl_applies_does_not_drift(world: World) -> anyhow::Result<()> {
    let desired = desired(&world)?;
    let _operator = world.operator()?;
    let apply = || apply(&world, &desired, &[]);
    apply()?;
    let live = until_reported(&world, desired.len()).await?;
    for object in &desired {
        let live = &live[name(object)];
        no_drift(&world, object, live, &last_applied(live)?).await?;
    }
    let again = apply()?;
    let changed: Vec<_> = again.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    ensure!(changed.is_empty() && again.lines().count() == desired.len(), "applied again: {changed:?}");
    generations_stay(&world, &live).await
}

async fn what_is_applied_by_the_server_does_not_drift(world: World) -> anyhow::Result<()> {
    let desired = desired(&world)?;
    let _operator = world.operator()?;
    let apply = || apply(&world, &desired, &["--server-side", "--field-manager=kustomize-controller"]);
    apply()?;
    let live = until_reported(&world, desired.len()).await?;
    for object in &desired {
        no_drift(&world, object, &live[name(object)], &json!({})).await?;
    }
    apply()?;
    generations_stay(&world, &live).await
}

async fn what_people_do_to_an_object_that_its_file_does_not_name_is_no_drift(
    world: World,
) -> anyhow::Result<()> {
    let file = object("etl", &json!({ "workGroup": "spark-35" }));
    let _operator = world.operator()?;
    apply(&world, std::slice::from_ref(&file), &[])?;
    world.until_idle("etl").await?;
    // As the action of Argo CD does.
    world
        .patch("etl", json!({ "spec": { "suspend": true }, "metadata": { "labels": { "owner": "me" } } }))
        .await?;
    let live = json!(world.until_reason("etl", "Suspended").await?);
    let last_applied = last_applied(&live)?;
    no_drift(&world, &file, &live, &last_applied).await?;

    let named = object("etl", &json!({ "workGroup": "spark-35", "suspend": false }));
    ensure!(three_way_patch(&last_applied, &named, &live) == json!({ "spec": { "suspend": false } }));
    Ok(())
}

/// Every example, and specs made by chance from the values that the bounds allow.
fn desired(world: &World) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(world.stage().file("examples"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path)?)?;
            all.extend(documents.into_iter().filter(|document| document["kind"] == "AthenaSession"));
        }
    }
    ensure!(all.len() >= 7, "only {} examples", all.len());
    all.extend((0..GENERATED).map(|seed| object(&format!("generated-{seed}"), &generated(seed))));
    Ok(all)
}

fn generated(seed: u64) -> Value {
    let mut rng = Rng::with_seed(seed);
    let fields: Vec<_> = fields()
        .into_iter()
        .filter(|field| !field.structure && !field.in_list() && field.path != "workGroup")
        .collect();
    let often = rng.u8(2..6);
    loop {
        let mut spec = json!({ "workGroup": rng.choice(["spark-35", "pyspark-3"]) });
        for field in &fields {
            if rng.u8(..often) == 0 {
                let value = if field.path == "description" {
                    text(&mut rng)
                } else {
                    rng.choice(&field.valid).expect("a value").clone()
                };
                field.parent_in(&mut spec).insert(field.name().into(), value);
            }
        }
        // An object that deletes itself has nothing to be compared with.
        if spec["ttlSecondsAfterFinished"] == 0 {
            spec["ttlSecondsAfterFinished"] = json!(31_536_000);
        }
        if spec.to_string().len() < LARGEST {
            return spec;
        }
    }
}

/// A text that YAML, JSON or a merge could take for something else.
fn text(rng: &mut Rng) -> Value {
    let parts = [
        "yes", "null", " ", "\n", "\t", "#", ": ", "'", "\"", "0x10", "1e3", "{{ a }}", "é", "😀", "~", "- ",
        "\\", "%",
    ];
    let length = rng.usize(1..12);
    Value::String((0..length).map(|_| rng.choice(parts).expect("a part")).collect())
}

fn object(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": name }, "spec": spec })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("an object has a name")
}

/// What kubectl says when it applies `objects`.
fn apply(world: &World, objects: &[Value], flags: &[&str]) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string())?;
    let path = file.path().display().to_string();
    world.kubectl(&[&["apply", "--validate=strict", "-f", &path], flags].concat())
}

/// All objects, once the operator has reported on each: a session is idle, or its start is refused, or whatever else the spec leads to.
async fn until_reported(world: &World, count: usize) -> anyhow::Result<BTreeMap<String, Value>> {
    let reported = |object: &AthenaSession| {
        let ready = ready_condition(object).filter(|ready| {
            !matches!(ready.reason.as_str(), "Starting" | "SessionCreating" | "SessionCreated")
        });
        ready.is_some() && status(object).observed_generation == object.metadata.generation
    };
    let all = world.sessions.list(&ListParams::default()).await?.items;
    ensure!(all.len() == count, "{} of {count} objects", all.len());
    for object in all {
        world.until(&object.name_any(), "reported", reported).await?;
    }
    // As it is stored: what kube's types would leave out must not be overlooked.
    let mut list: Value = serde_json::from_str(&world.kubectl(&["get", "athenasessions", "-o", "json"])?)?;
    let items = list["items"].as_array_mut().context("no items")?;
    Ok(items.drain(..).map(|object| (name(&object).to_owned(), object)).collect())
}

/// What kubectl applied, less what it adds itself and Argo CD leaves out of a comparison.
fn last_applied(live: &Value) -> anyhow::Result<Value> {
    let text =
        live["metadata"]["annotations"][LAST_APPLIED].as_str().context("kubectl notes what it applies")?;
    let mut applied: Value = serde_json::from_str(text)?;
    let metadata = applied["metadata"].as_object_mut().context("no metadata")?;
    metadata.remove("namespace");
    metadata.retain(|name, value| name != "annotations" || *value != json!({}));
    Ok(applied)
}

/// Neither Argo CD nor Flux sees a difference.
async fn no_drift(world: &World, desired: &Value, live: &Value, last_applied: &Value) -> anyhow::Result<()> {
    let name = name(desired);
    let patch = three_way_patch(last_applied, desired, live);
    ensure!(patch == json!({}), "Argo CD would patch {name}: {patch}");
    let dry_run = PatchParams::apply("somebody").force().dry_run();
    let predicted = json!(world.sessions.patch(name, &dry_run, &Patch::Apply(desired)).await?);
    let live = json!(serde_json::from_value::<AthenaSession>(live.clone())?);
    ensure!(
        compared(&predicted) == compared(&live),
        "Flux would change {name} from {:.2000} to {predicted:.2000}",
        live.to_string()
    );
    Ok(())
}

/// What Flux and Argo CD compare.
fn compared(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({ "spec": object["spec"], "labels": metadata["labels"], "annotations": metadata["annotations"], "generation": metadata["generation"] })
}

async fn generations_stay(world: &World, before: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    for object in world.sessions.list(&ListParams::default()).await? {
        let before = &before[&object.name_any()]["metadata"]["generation"];
        ensure!(
            json!(object.metadata.generation) == *before,
            "{}: applying it again changed generation {before}",
            object.name_any()
        );
    }
    Ok(())
}

/// The patch by which a resource without a strategy of its own is brought from `live` to `desired`, as kubectl and Argo CD make it: what `desired` has
/// and `live` has otherwise, and a null for what was applied and is not desired any more.
fn three_way_patch(last_applied: &Value, desired: &Value, live: &Value) -> Value {
    let mut patch = additions(desired, live);
    removals(last_applied, desired, live, &mut patch);
    patch
}

fn additions(desired: &Value, live: &Value) -> Value {
    let mut patch = json!({});
    for (name, value) in desired.as_object().into_iter().flatten() {
        match live.get(name) {
            Some(lives) if lives == value => {}
            Some(lives @ Value::Object(_)) if value.is_object() => {
                let inner = additions(value, lives);
                if inner != json!({}) {
                    patch[name] = inner;
                }
            }
            _ => patch[name] = value.clone(),
        }
    }
    patch
}

fn removals(last_applied: &Value, desired: &Value, live: &Value, patch: &mut Value) {
    for (name, value) in last_applied.as_object().into_iter().flatten() {
        match (desired.get(name), live.get(name)) {
            (_, None) => {}
            (None, Some(_)) => patch[name] = Value::Null,
            (Some(wanted), Some(lives)) if value.is_object() && wanted.is_object() => {
                let mut inner = patch.get(name).cloned().unwrap_or_else(|| json!({}));
                removals(value, wanted, lives, &mut inner);
                if inner != json!({}) {
                    patch[name] = inner;
                }
            }
            _ => {}
        }
    }
}
