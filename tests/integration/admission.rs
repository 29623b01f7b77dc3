//! The API server keeps every field of an `AthenaSession` within its bounds, and what a session was started with as it was.

mod crd;
pub(crate) mod table;

use anyhow::{Context, anyhow, ensure};
use athena_operator::api::AthenaSession;
use futures::{StreamExt, stream};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{Request, Status};
use kube::{Error, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::harness::{World, status, tests};
use crd::{
    no_other_resource_has_its_names_and_a_new_object_is_shown, the_crd_is_bounded_and_documented_throughout,
    the_crd_is_small_and_its_objects_are_easy_to_find,
};
use table::{Field, fields, incomplete};

tests![
    values_at_the_bounds_are_kept_as_they_are,
    values_past_the_bounds_and_of_other_types_are_refused,
    what_is_required_cannot_be_left_out,
    unknown_fields_are_refused_at_every_level,
    what_starts_a_session_cannot_be_changed_added_or_removed,
    deletion_policy_labels_and_annotations_can_change_at_any_time,
    a_new_object_has_no_further_defaults_and_is_observed_at_no_generation,
    the_crd_is_bounded_and_documented_throughout,
    the_crd_is_small_and_its_objects_are_easy_to_find,
    no_other_resource_has_its_names_and_a_new_object_is_shown,
];

async fn values_at_the_bounds_are_kept_as_they_are(world: World) -> anyhow::Result<()> {
    let mut cases = vec![Case::new(Verdict::Accepted, &full_spec())];
    for field in fields() {
        cases.extend(field.valid.iter().map(|value| Case::new(Verdict::Accepted, &field.spec(Some(value)))));
    }
    check(&world, cases).await
}

async fn values_past_the_bounds_and_of_other_types_are_refused(world: World) -> anyhow::Result<()> {
    let mut cases = vec![];
    for field in fields() {
        let others = match field.valid[0] {
            Value::String(_) => vec![json!(7), json!(["a"])],
            Value::Number(_) => vec![json!("4"), json!(4.5)],
            Value::Bool(_) => vec![json!("true"), json!(1)],
            Value::Object(_) => vec![json!([]), json!("a")],
            _ => vec![json!({}), json!("a")],
        };
        let values = field.invalid.iter().chain(&others);
        cases.extend(values.map(|value| Case::new(Verdict::Refused(field.name()), &field.spec(Some(value)))));
    }
    check(&world, cases).await
}

async fn what_is_required_cannot_be_left_out(world: World) -> anyhow::Result<()> {
    let required = fields().into_iter().filter(|field| field.required);
    let mut cases: Vec<_> =
        required.map(|field| Case::new(Verdict::Refused(field.name()), &field.spec(None))).collect();
    cases.extend(incomplete().into_iter().map(|(name, spec)| Case::new(Verdict::Refused(name), &spec)));
    cases.push(Case { verdict: Verdict::Refused("spec"), object: object(&Value::Null) });
    check(&world, cases).await
}

async fn unknown_fields_are_refused_at_every_level(world: World) -> anyhow::Result<()> {
    let unknown = |field: Field| {
        let mut spec = field.spec(field.valid.first());
        field.parent_in(&mut spec).insert("unknownField".into(), json!("a"));
        Case::new(Verdict::Refused("unknownField"), &spec)
    };
    let mut cases: Vec<_> = fields().into_iter().map(unknown).collect();
    let mut object = object(&json!({ "workGroup": "etl" }));
    object["specs"] = json!({});
    cases.push(Case { verdict: Verdict::Refused("specs"), object });
    check(&world, cases).await
}

async fn what_starts_a_session_cannot_be_changed_added_or_removed(world: World) -> anyhow::Result<()> {
    let world = &world;
    let cases = async |number: usize, field: Field| {
        let verdict = Verdict::Immutable(field.immutable_name());
        let keep = async |what: &str, spec: Value| {
            let mut object = object(&spec);
            object["metadata"]["name"] = json!(format!("{what}-{number}"));
            send(world, &object, false)
                .await?
                .map_err(|status| anyhow!("{} cannot be kept: {}", field.path, status.message))
        };
        let with = keep("with", field.spec(field.valid.first())).await?;
        let mut cases = vec![];
        if !field.structure {
            cases.extend(
                field.valid[1..].iter().map(|value| Case::update(verdict, &with, field.spec(Some(value)))),
            );
        }
        if !field.required && !field.in_list() {
            cases.push(Case::update(verdict, &with, field.spec(None)));
            let without = keep("without", field.spec(None)).await?;
            cases.extend(
                field.valid.iter().map(|value| Case::update(verdict, &without, field.spec(Some(value)))),
            );
        }
        anyhow::Ok(cases)
    };
    let immutable = fields().into_iter().filter(|field| !field.mutable());
    let mut all = vec![];
    for (number, field) in immutable.enumerate() {
        all.extend(cases(number, field).await?);
    }
    check(world, all).await
}

async fn deletion_policy_labels_and_annotations_can_change_at_any_time(world: World) -> anyhow::Result<()> {
    let before = world.create_with("full", full_spec()).await?;
    let metadata = json!({ "labels": { "team": "etl" }, "annotations": { "note": "kept" } });
    let after =
        world.patch("full", json!({ "metadata": metadata, "spec": { "deletionPolicy": "Retain" } })).await?;
    let mut wanted = serde_json::to_value(&before.spec)?;
    wanted["deletionPolicy"] = json!("Retain");
    ensure!(
        serde_json::to_value(&after.spec)? == wanted && after.metadata.generation == Some(2),
        "{after:?}"
    );
    ensure!(after.labels()["team"] == "etl" && after.annotations()["note"] == "kept");

    // The status has a door of its own.
    let ignored = world.patch("full", json!({ "status": { "state": "BUSY" } })).await?;
    ensure!(
        ignored.metadata.resource_version == after.metadata.resource_version
            && status(&ignored).state.is_none(),
        "{ignored:?}"
    );
    let state =
        Patch::Merge(json!({ "status": { "state": "BUSY" }, "spec": { "deletionPolicy": "Terminate" } }));
    let stated = world.sessions.patch_status("full", &PatchParams::default(), &state).await?;
    ensure!(
        status(&stated).state == Some("BUSY".into()) && serde_json::to_value(&stated.spec)? == wanted,
        "{stated:?}"
    );
    let back = world.set("full", json!({ "deletionPolicy": null })).await?;
    ensure!(serde_json::to_value(&back.spec)? == serde_json::to_value(&before.spec)?, "{back:?}");
    ensure!(status(&back).state == Some("BUSY".into()), "{back:?}");
    Ok(())
}

async fn a_new_object_has_no_further_defaults_and_is_observed_at_no_generation(
    world: World,
) -> anyhow::Result<()> {
    let mut minimal = object(&json!({ "workGroup": "etl" }));
    minimal["status"] = json!({ "state": "BUSY", "observedGeneration": 1 });
    let created = send(&world, &minimal, false).await??;
    ensure!(created["spec"] == with_defaults(json!({ "workGroup": "etl" })), "{created:#}");
    ensure!(created["status"] == json!({ "observedGeneration": -1 }), "{created:#}");
    Ok(())
}

/// A spec as it is stored: with the defaults of the operator's own fields, and of no others.
fn with_defaults(mut spec: Value) -> Value {
    let defaults = [
        ("deletionPolicy", json!("Terminate")),
        ("suspend", json!(false)),
        ("restartPolicy", json!("Never")),
        ("maxRestarts", json!(5)),
        ("startupDeadlineSeconds", json!(300)),
    ];
    for (field, value) in defaults {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    spec
}

/// What the server must say.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// Kept, with nothing dropped and nothing added but the operator's own defaults.
    Accepted,
    /// Refused by a message that names this field.
    Refused(&'static str),
    /// Refused because this field is immutable.
    Immutable(&'static str),
}

#[derive(Clone, Debug)]
struct Case {
    verdict: Verdict,
    object: Value,
}

impl Case {
    fn new(verdict: Verdict, spec: &Value) -> Self {
        Self { verdict, object: object(spec) }
    }

    fn update(verdict: Verdict, before: &Value, spec: Value) -> Self {
        let mut object = before.clone();
        object["spec"] = spec;
        Self { verdict, object }
    }

    /// What the server said instead.
    async fn fault(self, world: &World) -> anyhow::Result<Option<String>> {
        let answer = send(world, &self.object, true).await?;
        let fine = match (self.verdict, &answer) {
            (Verdict::Accepted, Ok(kept)) => kept["spec"] == with_defaults(self.object["spec"].clone()),
            (Verdict::Refused(field), Err(status)) => is_refusal(status) && names(&status.message, field),
            (Verdict::Immutable(field), Err(status)) => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let immutable = |text: &str| text.contains("is immutable") && names(text, field);
                is_refusal(status) && causes.map(|cause| &cause.message).any(|message| immutable(message))
            }
            _ => false,
        };
        let said = || match answer {
            Ok(kept) => format!("kept {}", kept["spec"]),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        Ok((!fine).then(|| {
            format!("{:?}: {:.200}\n  {:.400}", self.verdict, self.object["spec"].to_string(), said())
        }))
    }
}

/// Requests under way at a time.
const CONCURRENCY: usize = 16;

/// Tries all cases and tells all that went wrong.
async fn check(world: &World, cases: Vec<Case>) -> anyhow::Result<()> {
    let count = cases.len();
    let tried: Vec<_> = cases.into_iter().map(|case| case.fault(world)).collect();
    let tried: Vec<_> = stream::iter(tried).buffer_unordered(CONCURRENCY).collect().await;
    let faults: Vec<_> = tried.into_iter().filter_map(Result::transpose).collect::<anyhow::Result<_>>()?;
    ensure!(faults.is_empty(), "{} of {count} cases:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

fn object(spec: &Value) -> Value {
    json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": "case" }, "spec": spec })
}

/// Sends an object as it is, to be created or, where it has a version, replaced. The server refuses fields that it does not know.
async fn send(world: &World, object: &Value, dry_run: bool) -> anyhow::Result<Result<Value, Box<Status>>> {
    let requests = Request::new(AthenaSession::url_path(&(), Some(&world.namespace)));
    let params = PostParams { dry_run, ..PostParams::default() };
    let body = serde_json::to_vec(object)?;
    let mut request = match object["metadata"]["resourceVersion"] {
        Value::Null => requests.create(&params, body)?,
        _ => requests.replace(object["metadata"]["name"].as_str().context("no name")?, &params, body)?,
    };
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
    match world.client.request(request).await {
        Ok(object) => Ok(Ok(object)),
        Err(Error::Api(status)) => Ok(Err(status)),
        Err(error) => Err(error.into()),
    }
}

fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 422)
}

/// Whether a message has a field's name as a whole word.
fn names(message: &str, field: &str) -> bool {
    message.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == field)
}

/// A spec with every field.
fn full_spec() -> Value {
    let mut spec = json!({});
    for field in fields().iter().filter(|field| !field.in_list() && !field.structure) {
        field.parent_in(&mut spec).insert(field.name().into(), field.valid[0].clone());
    }
    spec
}
