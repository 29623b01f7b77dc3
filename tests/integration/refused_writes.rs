//! The API server refuses what the operator writes: people are told, nothing is lost, and it goes on once the cause is gone.

use anyhow::{Context, ensure};
use environment::Operator;
use fault_proxy::{Fault, FaultKind};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, PAUSE, World, condition, ready_condition, status, tests, until};

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

/// Resources of the whole cluster that the test made for its namespace; they go with it.
struct ForNamespace<'a> {
    world: &'a World,
    file: tempfile::NamedTempFile,
}

impl<'a> ForNamespace<'a> {
    fn apply(world: &'a World, items: &[Value]) -> anyhow::Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(
            file.path(),
            json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string(),
        )?;
        let made = Self { world, file };
        world.stage().kubectl_ok(&["apply", "-f", &made.path()])?;
        Ok(made)
    }

    fn path(&self) -> String {
        self.file.path().display().to_string()
    }
}

impl Drop for ForNamespace<'_> {
    fn drop(&mut self) {
        let _ = self.world.stage().kubectl_ok(&["delete", "--ignore-not-found", "-f", &self.path()]);
    }
}

/// What is matched: an operation on a resource in the test's namespace.
fn matched(world: &World, operation: &str, resource: &str) -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": world.namespace } },
        "resourceRules": [{ "apiGroups": ["athena-operator.io"], "apiVersions": ["*"], "operations": [operation], "resources": [resource] }],
    })
}

/// A policy that lets through what `expression` says, and else says `message`, an expression too.
fn policy(world: &World, matched: &Value, expression: &str, message: &str) -> Vec<Value> {
    let metadata = json!({ "name": world.namespace });
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": matched,
                "validations": [{ "expression": expression, "messageExpression": message }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": { "policyName": world.namespace, "validationActions": ["Deny"] },
        }),
    ]
}

/// A policy that changes objects of the test's namespace when they are updated, if `condition` holds.
fn mutating_policy(world: &World, resource: &str, condition: &str, mutation: &Value) -> [Value; 2] {
    let metadata = json!({ "name": world.namespace });
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": matched(world, "UPDATE", resource),
                "matchConditions": [{ "name": "condition", "expression": condition }], "mutations": [mutation],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": { "policyName": world.namespace },
        }),
    ]
}

/// Waits until `asked`, a dry run, fails with `text`: the API server takes up a policy some moments after it was made.
async fn in_force<T, F: Future<Output = kube::Result<T>> + Send>(
    text: &str,
    asked: impl Fn() -> F + Send,
) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    while asked().await.err().is_none_or(|error| !error.to_string().contains(text)) {
        ensure!(begun.elapsed() < PATIENCE, "the policy does not hold");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits until an update of the object `name`, or of its status, is refused with `text`.
async fn updates_refused(world: &World, name: &str, is_status: bool, text: &str) -> anyhow::Result<()> {
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let (update, of_status) = (
        json!({ "metadata": { "annotations": { "tried": "yes" } } }),
        json!({ "status": { "restarts": 1 } }),
    );
    in_force(text, || async {
        if is_status {
            world.sessions.patch_status(name, &dry_run, &Patch::Merge(&of_status)).await
        } else {
            world.sessions.patch(name, &dry_run, &Patch::Merge(&update)).await
        }
    })
    .await
}

/// The object, once Ready is Unknown for a refused write and says `text`, which kstatus takes for under way.
async fn until_told(world: &World, name: &str, text: &str) -> anyhow::Result<()> {
    let object = world.until_reason(name, REASON).await?;
    let ready = ready_condition(&object).context("Ready")?;
    ensure!(ready.status == "Unknown" && ready.message.contains(text), "{ready:?}");
    ensure!(
        condition(&object, "Reconciling").is_some() && condition(&object, "Stalled").is_none(),
        "{:?}",
        status(&object).conditions
    );
    Ok(())
}

async fn until_an_event_says(world: &World, text: &str) -> anyhow::Result<()> {
    until("an event says so", || {
        world
            .kubectl(&["get", "events", "--field-selector", &format!("reason={REASON}"), "-o", "json"])
            .is_ok_and(|events| events.contains(text))
    })
    .await
}

/// How many writes were refused, as the metrics have it.
fn counted(operator: &Operator, write: &str) -> anyhow::Result<f64> {
    let (_, metrics) = operator.get("/metrics")?;
    let series = format!("athena_operator_writes_total{{write=\"{write}\",result=\"refused\"}} ");
    Ok(metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_default())
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
    world.create_with("tried", json!({ "workGroup": "spark-35", "suspend": true })).await?;
    let _policy = ForNamespace::apply(&world, &labelled)?;
    updates_refused(&world, "tried", false, "team is missing").await?;
    let operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "refuses to let the operator add the finalizer: ").await?;
    until_told(&world, "etl", "the label team is missing").await?;
    until_an_event_says(&world, "the label team is missing").await?;
    ensure!(counted(&operator, "finalizer")? >= 1.0, "the metric counts none");
    ensure!(world.calls("StartSession").is_empty(), "{:?}", world.calls("StartSession"));
    // A wait for the next try ends when somebody changes the object.
    world.patch("etl", json!({ "metadata": { "labels": { "team": "a" } } })).await?;
    world.until_reason("etl", "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == 1, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn a_finalizer_that_cannot_be_removed_is_told_while_the_object_is_being_deleted(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create("etl").await?;
    world.until_reason("etl", "SessionIdle").await?;
    // What it sets cannot be changed, so that every update fails, and for a reason that nobody who deletes an object thinks of.
    let mutation = json!({ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": "Object{spec: Object.spec{workGroup: 'mutated'}}" } });
    let mutating = mutating_policy(&world, "athenasessions", "true", &mutation);
    let policy = ForNamespace::apply(&world, &mutating)?;
    updates_refused(&world, "etl", false, "workGroup").await?;
    world.delete("etl").await?;
    let told = |object: &athena_operator::api::AthenaSession| {
        ready_condition(object).is_some_and(|ready| {
            ready.reason == "Deleting"
                && ready.message.contains("refuses to let the operator remove the finalizer: ")
                && ready.message.contains("workGroup")
        })
    };
    world.until("etl", "told", told).await?;
    until_an_event_says(&world, "remove the finalizer").await?;
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
    world.create_with("tried", json!({ "workGroup": "spark-35", "suspend": true })).await?;
    let policy = ForNamespace::apply(&world, &undoing)?;
    let (dry_run, held) = (
        PatchParams { dry_run: true, ..PatchParams::default() },
        json!({ "metadata": { "finalizers": ["example.com/tried"] } }),
    );
    let begun = std::time::Instant::now();
    while world.sessions.patch("tried", &dry_run, &Patch::Merge(&held)).await?.metadata.finalizers.is_some() {
        ensure!(begun.elapsed() < PATIENCE, "the policy does not hold");
        tokio::time::sleep(PAUSE).await;
    }
    let _operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "refuses to let the operator add the finalizer: ").await?;
    until_told(&world, "etl", "does not store it as it was sent").await?;
    until_an_event_says(&world, "does not store it as it was sent").await?;
    ensure!(world.calls("StartSession").is_empty(), "{:?}", world.calls("StartSession"));
    // Nothing tells that the policy is gone.
    drop(policy);
    world.until_reason("etl", "SessionIdle").await?;
    Ok(())
}

/// A policy that takes `field` out of every status that is written, once it does.
async fn without<'a>(world: &'a World, field: &str) -> anyhow::Result<ForNamespace<'a>> {
    let path = format!("[JSONPatch{{op: 'remove', path: '/status/{field}'}}]");
    let mutation = json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": path } });
    let condition = format!("has(object.status) && has(object.status.{field})");
    let policy =
        ForNamespace::apply(world, &mutating_policy(world, "athenasessions/status", &condition, &mutation))?;
    world.create_with("tried", json!({ "workGroup": "spark-35", "suspend": true })).await?;
    let (dry_run, given) = (
        PatchParams { dry_run: true, ..PatchParams::default() },
        Patch::Merge(json!({ "status": { field: "tried" } })),
    );
    let begun = std::time::Instant::now();
    while serde_json::to_value(world.sessions.patch_status("tried", &dry_run, &given).await?)?["status"]
        [field]
        .is_string()
    {
        ensure!(begun.elapsed() < PATIENCE, "the policy does not hold");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(policy)
}

async fn a_status_without_its_session_after_a_policy_starts_nothing_twice(
    world: World,
) -> anyhow::Result<()> {
    let policy = without(&world, "sessionId").await?;
    let operator = world.operator()?;
    world.create("etl").await?;
    until_an_event_says(&world, "write the status: the API server accepts the write").await?;
    until("it is tried again", || counted(&operator, "status").is_ok_and(|count| count >= 3.0)).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    // Nothing tells that the policy is gone.
    drop(policy);
    world.until("etl", "its session is recorded", |object| status(object).session_id.is_some()).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}

async fn a_stop_cause_that_a_policy_removes_is_told_and_tried_again(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create("etl").await?;
    world.until_reason("etl", "SessionIdle").await?;
    let policy = without(&world, "stopCause").await?;
    world.patch("etl", json!({ "spec": { "suspend": true } })).await?;
    until_an_event_says(&world, "write the status: the API server accepts the write").await?;
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
    let id = status(&world.until_reason("etl", "SessionIdle").await?).session_id.context("an id")?;
    let policy = ForNamespace::apply(world, &kept)?;
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    in_force("nothing is deleted here", || world.sessions.delete("etl", &dry_run)).await?;
    world.emulator.set_state(&id, athena_emulator::Change::State { state: "FAILED".into(), reason: None })?;
    until_told(world, "etl", "refuses to let the operator delete the object: ").await?;
    until_told(world, "etl", "nothing is deleted here").await?;
    Ok(policy)
}

async fn a_deletion_after_the_end_that_a_policy_forbids_is_told(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("etl", json!({ "workGroup": "spark-35", "ttlSecondsAfterFinished": 0 })).await?;
    let policy = kept_by_a_policy(&world).await?;
    until_an_event_says(&world, "nothing is deleted here").await?;
    drop(policy);
    world.until_gone("etl").await
}

async fn a_deletion_that_is_not_wanted_any_more_is_not_told(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.create_with("etl", json!({ "workGroup": "spark-35", "ttlSecondsAfterFinished": 0 })).await?;
    let _policy = kept_by_a_policy(&world).await?;
    world.patch("etl", json!({ "spec": { "ttlSecondsAfterFinished": null } })).await?;
    world.until_reason("etl", "SessionFailed").await?;
    Ok(())
}

async fn a_status_that_a_policy_refuses_is_told_by_an_event_the_log_and_a_metric(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator()?;
    world.create("etl").await?;
    let id = status(&world.until_reason("etl", "SessionIdle").await?).session_id.context("an id")?;
    let refusing = policy(
        &world,
        &matched(&world, "UPDATE", "athenasessions/status"),
        "false",
        "'no status ' + 'today'",
    );
    let policy = ForNamespace::apply(&world, &refusing)?;
    updates_refused(&world, "etl", true, "no status today").await?;
    world.emulator.set_state(&id, athena_emulator::Change::State { state: "FAILED".into(), reason: None })?;
    until_an_event_says(&world, "refuses to let the operator write the status: ").await?;
    until_an_event_says(&world, "no status today").await?;
    ensure!(
        operator.raw_log().contains("no status today") && counted(&operator, "status")? >= 1.0,
        "neither log nor metric say so"
    );
    // Nothing is started that could not be recorded.
    world.create("other").await?;
    until("both are tried", || counted(&operator, "status").is_ok_and(|count| count >= 3.0)).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    drop(policy);
    world.until_reason("etl", "SessionFailed").await?;
    world.until_reason("other", "SessionIdle").await?;
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
    world.create_with("tried", json!({ "workGroup": "spark-35", "suspend": true })).await?;
    let webhook = ForNamespace::apply(&world, &[webhook])?;
    updates_refused(&world, "tried", false, "absent.example.org").await?;
    let _operator = world.operator()?;
    world.create("etl").await?;
    until_told(&world, "etl", "failed calling webhook \"absent.example.org\"").await?;
    until_an_event_says(&world, "absent.example.org").await?;
    drop(webhook);
    world.until_reason("etl", "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == 1, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn a_full_storage_is_logged_and_counted_and_all_goes_on_when_there_is_space(
    world: World,
) -> anyhow::Result<()> {
    let (proxy, operator, _folder) = world.proxied(vec![], &[]).await?;
    operator.wait_until_ready()?;
    world.create("living").await?;
    let id = status(&world.until_reason("living", "SessionIdle").await?).session_id.context("an id")?;
    // As the API server answers writes while etcd has no space: reads go on.
    let full =
        |(verb, resource)| Fault::new(verb, resource, FaultKind::Fail { code: 500, retry_after: None });
    let writes = [
        ("patch", "athenasessions"),
        ("update", "athenasessions/status"),
        ("delete", "athenasessions"),
        ("create", "events"),
        ("patch", "events"),
    ];
    proxy.set_faults(writes.into_iter().map(full).collect());
    world.emulator.set_state(&id, athena_emulator::Change::State { state: "FAILED".into(), reason: None })?;
    world.create("new").await?;
    until("writes are counted", || {
        counted(&operator, "finalizer").is_ok_and(|count| count >= 2.0)
            && counted(&operator, "status").is_ok_and(|count| count >= 2.0)
    })
    .await?;
    until("it is logged", || {
        operator.raw_log().contains("cannot add the finalizer")
            && operator.raw_log().contains("cannot write the status")
    })
    .await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    proxy.set_faults(vec![]);
    world.until_reason("living", "SessionFailed").await?;
    world.until_reason("new", "SessionIdle").await?;
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
    let spec = json!({ "workGroup": "spark-35", "suspend": true, "engineConfiguration": { "sparkProperties": { "spark.secret": SECRET } } });
    world.create_with("tried", spec.clone()).await?;
    let _policy = ForNamespace::apply(&world, &repeating)?;
    updates_refused(&world, "tried", false, SECRET).await?;
    let operator = world.operator()?;
    let mut wanted = spec;
    wanted["suspend"] = json!(false);
    world.create_with("etl", wanted).await?;
    until_told(&world, "etl", "no ***").await?;
    until_an_event_says(&world, "no ***").await?;
    let (events, object) = (
        world.kubectl(&["get", "events", "-o", "json"])?,
        serde_json::to_string(&status(&world.sessions.get("etl").await?))?,
    );
    let (_, metrics) = operator.get("/metrics")?;
    for (place, text) in
        [("the log", operator.raw_log()), ("an event", events), ("the status", object), ("a metric", metrics)]
    {
        ensure!(!text.contains(SECRET), "{place} holds the value");
    }
    Ok(())
}
