//! The API server refuses what the operator writes: people are told, nothing is lost, and it goes on once the cause is gone.

use anyhow::ensure;
use environment::Operator;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::policies::{
    ForNamespace, in_force, matched, mutating_policy, policy, refuse_statuses, updates_refused,
};
use crate::harness::{World, condition, fails, is, look, message, sample, spark, tests, until, until_logged};

tests![
    a_finalizer_that_a_policy_refuses_is_told_and_the_session_starts_once_the_object_is_mended,
    a_finalizer_that_cannot_be_removed_is_told_while_the_object_is_being_deleted,
    a_finalizer_that_a_policy_takes_off_again_is_told_and_tried_again,
    a_deletion_after_the_end_that_a_policy_forbids_is_told,
    a_deletion_that_is_not_wanted_any_more_is_not_told,
    a_status_without_its_session_after_a_policy_starts_nothing_twice,
    a_stop_cause_that_a_policy_removes_is_told_and_tried_again,
    a_status_that_a_policy_refuses_is_told_by_an_event_the_log_and_a_metric,
    a_webhook_that_is_not_there_is_told,
    a_full_storage_is_logged_and_counted_and_all_goes_on_when_there_is_space,
    the_servers_words_are_told_without_secrets,
];

const REASON: &str = "WriteRefused";

/// The object, once Ready is Unknown for a refused write and says `text`, which kstatus takes for under way.
async fn until_told(world: &World, name: &str, text: &str) -> anyhow::Result<()> {
    let object = world.until_reason(name, REASON).await?;
    ensure!(is(&object, "Ready", "Unknown") && message(&object).contains(text), "{:?}", object.status);
    ensure!(
        is(&object, "Reconciling", "True") && condition(&object, "Stalled").is_none(),
        "{:?}",
        object.status
    );
    Ok(())
}

/// How many writes were refused, as the metrics have it.
fn counted(operator: &Operator, write: &str) -> anyhow::Result<f64> {
    let series = format!("athena_operator_writes_total{{write=\"{write}\",result=\"refused\"}}");
    Ok(sample(operator, &series)?.unwrap_or_default())
}

async fn a_finalizer_that_a_policy_refuses_is_told_and_the_session_starts_once_the_object_is_mended(
    world: World,
) -> anyhow::Result<()> {
    let labelled = policy(
        &world,
        &matched(&world, "UPDATE", "athenasessions"),
        "has(object.metadata.labels) && 'team' in object.metadata.labels",
        "'the label ' + 'team is missing'",
    );
    world.create_with("tried", spark(json!({ "suspend": true }))).await?;
    let _policy = ForNamespace::apply(&world, &labelled)?;
    updates_refused(&world, "tried", false, "team is missing").await?;
    let operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "refuses to let the operator add the finalizer: ").await?;
    until_told(&world, "etl", "the label team is missing").await?;
    world.until_event(REASON, "the label team is missing").await?;
    ensure!(counted(&operator, "finalizer")? >= 1.0, "the metric counts none");
    ensure!(world.calls("StartSession").is_empty(), "{:?}", world.calls("StartSession"));
    // A wait for the next try ends when somebody changes the object.
    world.patch("etl", json!({ "metadata": { "labels": { "team": "a" } } })).await?;
    world.until_idle("etl").await?;
    ensure!(world.emulator.sessions().len() == 1, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn a_finalizer_that_cannot_be_removed_is_told_while_the_object_is_being_deleted(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("etl").await?;
    // What it sets cannot be changed, so that every update fails, and for a reason that nobody who deletes an object thinks of.
    let mutation = json!({ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": "Object{spec: Object.spec{workGroup: 'mutated'}}" } });
    let mutating = mutating_policy(&world, "athenasessions", "true", &mutation);
    let policy = ForNamespace::apply(&world, &mutating)?;
    updates_refused(&world, "etl", false, "workGroup").await?;
    world.delete("etl").await?;
    let text = "refuses to let the operator remove the finalizer: ";
    let told = world.until_ready("etl", text, |ready| ready.message.contains(text)).await?;
    ensure!(told.reason == "Deleting" && told.message.contains("workGroup"), "{told:?}");
    world.until_event(REASON, "remove the finalizer").await?;
    ensure!(world.live().is_empty() && counted(&operator, "finalizer")? >= 1.0, "{:?}", world.live());
    drop(policy);
    world.until_gone("etl").await?;
    ensure!(world.calls("TerminateSession").len() == 1, "{:?}", world.calls("TerminateSession"));
    Ok(())
}

async fn a_finalizer_that_a_policy_takes_off_again_is_told_and_tried_again(
    world: World,
) -> anyhow::Result<()> {
    let mutation = json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": "[JSONPatch{op: 'remove', path: '/metadata/finalizers'}]" } });
    let undoing = mutating_policy(&world, "athenasessions", "has(object.metadata.finalizers)", &mutation);
    world.create_with("tried", spark(json!({ "suspend": true }))).await?;
    let policy = ForNamespace::apply(&world, &undoing)?;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let held = Patch::Merge(json!({ "metadata": { "finalizers": ["example.com/tried"] } }));
    let left = async || {
        let object = world.sessions.patch("tried", &dry_run, &held).await?;
        anyhow::Ok(object.metadata.finalizers.map_or(Ok(()), Err))
    };
    look("the policy holds", left).await?;
    let _operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "refuses to let the operator add the finalizer: ").await?;
    until_told(&world, "etl", "does not store it as it was sent").await?;
    world.until_event(REASON, "does not store it as it was sent").await?;
    ensure!(world.calls("StartSession").is_empty(), "{:?}", world.calls("StartSession"));
    // Nothing tells that the policy is gone.
    drop(policy);
    world.until_idle("etl").await?;
    Ok(())
}

/// A policy that takes `field` out of every status that is written, once it does.
async fn without<'a>(world: &'a World, field: &str) -> anyhow::Result<ForNamespace<'a>> {
    let path = format!("[JSONPatch{{op: 'remove', path: '/status/{field}'}}]");
    let mutation = json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": path } });
    let condition = format!("has(object.status) && has(object.status.{field})");
    let policy = mutating_policy(world, "athenasessions/status", &condition, &mutation);
    world.create_with("tried", spark(json!({ "suspend": true }))).await?;
    let policy = ForNamespace::apply(world, &policy)?;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let given = Patch::Merge(json!({ "status": { field: "tried" } }));
    let left = async || {
        let object = world.sessions.patch_status("tried", &dry_run, &given).await?;
        let status = serde_json::to_value(object.status)?;
        anyhow::Ok(if status[field].is_string() { Err(status) } else { Ok(()) })
    };
    look("the policy holds", left).await?;
    Ok(policy)
}

const CHANGED: &str =
    "write the status: the API server accepts the write and does not store it as it was sent";

async fn a_status_without_its_session_after_a_policy_starts_nothing_twice(
    world: World,
) -> anyhow::Result<()> {
    let policy = without(&world, "sessionId").await?;
    let operator = world.operator()?;
    world.create("etl").await?;
    world.until_event(REASON, CHANGED).await?;
    until("it is tried again", || counted(&operator, "status").is_ok_and(|count| count >= 3.0)).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    // Nothing tells that the policy is gone.
    drop(policy);
    world.until_status("etl", "its session is recorded", |status| status.session_id.is_some()).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}

async fn a_stop_cause_that_a_policy_removes_is_told_and_tried_again(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.idle("etl").await?;
    let policy = without(&world, "stopCause").await?;
    world.set("etl", json!({ "suspend": true })).await?;
    world.until_event(REASON, CHANGED).await?;
    until("it is tried again", || counted(&operator, "status").is_ok_and(|count| count >= 3.0)).await?;
    ensure!(world.calls("TerminateSession").is_empty(), "the cause is not recorded");
    drop(policy);
    world.until_reason("etl", "Suspended").await?;
    Ok(())
}

/// An object whose session has ended and whose time after that is over, in a namespace where nothing can be deleted.
async fn kept_by_a_policy(world: &World) -> anyhow::Result<ForNamespace<'_>> {
    let kept =
        policy(world, &matched(world, "DELETE", "athenasessions"), "false", "'nothing is deleted ' + 'here'");
    let spec = spark(json!({ "ttlSecondsAfterFinished": 0 }));
    let id = world.idle_with("etl", spec).await?;
    let policy = ForNamespace::apply(world, &kept)?;
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    in_force("nothing is deleted here", || world.sessions.delete("etl", &dry_run)).await?;
    world.enter(&id, "FAILED")?;
    until_told(world, "etl", "refuses to let the operator delete the object: ").await?;
    until_told(world, "etl", "nothing is deleted here").await?;
    Ok(policy)
}

async fn a_deletion_after_the_end_that_a_policy_forbids_is_told(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let policy = kept_by_a_policy(&world).await?;
    world.until_event(REASON, "nothing is deleted here").await?;
    drop(policy);
    world.until_gone("etl").await
}

async fn a_deletion_that_is_not_wanted_any_more_is_not_told(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let _policy = kept_by_a_policy(&world).await?;
    world.set("etl", json!({ "ttlSecondsAfterFinished": null })).await?;
    world.until_reason("etl", "SessionFailed").await?;
    Ok(())
}

async fn a_status_that_a_policy_refuses_is_told_by_an_event_the_log_and_a_metric(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle("etl").await?;
    let policy = refuse_statuses(&world, "'nothing ' + 'today'", "etl").await?;
    world.enter(&id, "FAILED")?;
    world.until_event(REASON, "refuses to let the operator write the status: ").await?;
    world.until_event(REASON, "no status with nothing today").await?;
    ensure!(
        operator.raw_log().contains("no status with nothing today") && counted(&operator, "status")? >= 1.0,
        "neither log nor metric say so"
    );
    // Nothing is started that could not be recorded.
    world.create("other").await?;
    until("both are tried", || counted(&operator, "status").is_ok_and(|count| count >= 3.0)).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    drop(policy);
    world.until_reason("etl", "SessionFailed").await?;
    world.until_idle("other").await?;
    Ok(())
}

async fn a_webhook_that_is_not_there_is_told(world: World) -> anyhow::Result<()> {
    let certificate = kube::config::Kubeconfig::read_from(world.stage().kubeconfig())?;
    let authority = certificate
        .clusters
        .first()
        .and_then(|named| named.cluster.as_ref()?.certificate_authority_data.clone());
    let mut rules = matched(&world, "UPDATE", "athenasessions");
    let rules = rules["resourceRules"].take();
    // Nothing listens there.
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": { "name": world.namespace },
        "webhooks": [{
            "name": "absent.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 1,
            "clientConfig": { "url": "https://127.0.0.1:1/", "caBundle": authority },
            "rules": rules, "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": world.namespace } },
        }],
    });
    world.create_with("tried", spark(json!({ "suspend": true }))).await?;
    let webhook = ForNamespace::apply(&world, &[webhook])?;
    updates_refused(&world, "tried", false, "absent.example.org").await?;
    let _operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "failed calling webhook \"absent.example.org\"").await?;
    world.until_event(REASON, "absent.example.org").await?;
    drop(webhook);
    world.until_idle("etl").await?;
    ensure!(world.emulator.sessions().len() == 1, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn a_full_storage_is_logged_and_counted_and_all_goes_on_when_there_is_space(
    world: World,
) -> anyhow::Result<()> {
    let (proxy, operator, _folder) = world.behind_a_proxy().await?;
    let id = world.idle("living").await?;
    // As the API server answers writes while etcd has no space: reads go on.
    let writes = [
        ("patch", "athenasessions"),
        ("update", "athenasessions/status"),
        ("delete", "athenasessions"),
        ("create", "events"),
        ("patch", "events"),
    ];
    proxy.set_faults(writes.map(|(verb, resource)| fails(verb, resource, 500)).into());
    world.enter(&id, "FAILED")?;
    world.create("new").await?;
    for write in ["finalizer", "status"] {
        until("writes are counted", || counted(&operator, write).is_ok_and(|count| count >= 2.0)).await?;
    }
    for text in ["cannot add the finalizer", "cannot write the status"] {
        until_logged(&operator, text).await?;
    }
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    proxy.set_faults(vec![]);
    world.until_reason("living", "SessionFailed").await?;
    world.until_idle("new").await?;
    ensure!(world.emulator.sessions().len() == 2, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn the_servers_words_are_told_without_secrets(world: World) -> anyhow::Result<()> {
    const SECRET: &str = "hunter2-and-more";
    let value = "object.spec.engineConfiguration.sparkProperties['spark.secret']";
    let repeating = policy(
        &world,
        &matched(&world, "UPDATE", "athenasessions"),
        "!has(object.spec.engineConfiguration)",
        &format!("'no ' + {value}"),
    );
    let spec = spark(
        json!({ "suspend": true, "engineConfiguration": { "sparkProperties": { "spark.secret": SECRET } } }),
    );
    world.create_with("tried", spec.clone()).await?;
    let _policy = ForNamespace::apply(&world, &repeating)?;
    updates_refused(&world, "tried", false, SECRET).await?;
    let operator = world.operator()?;
    let mut wanted = spec;
    wanted["suspend"] = json!(false);
    world.create_with("etl", wanted).await?;
    until_told(&world, "etl", "no ***").await?;
    world.until_event(REASON, "no ***").await?;
    let object = serde_json::to_string(&world.status("etl").await?)?;
    ensure!(!object.contains(SECRET), "{object}");
    world.is_shown_nowhere(&operator, SECRET)
}
