//! The chart's ValidatingAdmissionPolicy on the API server: what no rule allows is refused when it is applied, and Athena is never asked.

use anyhow::{Context, ensure};
use athena_operator::api::{AthenaSession, DeletionPolicy, FINALIZER};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::{Value, json};

use ::harness::{merge, session_object};

use crate::harness::{PATIENCE, PAUSE, World, spark, tests, until};
use crate::helm::apply_template;

tests![
    what_no_rule_allows_is_refused_and_no_call_is_made,
    a_namespace_without_a_rule_has_no_session,
    an_object_that_is_older_than_the_rules_can_be_suspended_and_deleted_but_not_resumed,
    dpus_are_bounded,
    retain_is_refused_wherever_it_is_turned_on,
    an_object_that_is_older_than_the_rules_and_retained_can_be_edited_and_deleted,
    the_operators_finalizer_stays_until_the_operator_removes_it,
    those_whom_a_rule_exempts_may_retain_a_session,
    without_a_rule_everybody_or_nobody_may_retain_a_session,
    a_namespace_with_a_policy_goes,
];

const ROLE: &str = "arn:aws:iam::000000000000:role/team";

/// Has the policy hold in the test's namespace only, since others run on the same API server, and waits until it does: the API server takes
/// up a policy some moments after it was made.
async fn enforce(world: &World, rules: &Value) -> anyhow::Result<()> {
    enforce_with(world, json!({ "policy": { "rules": rules } })).await
}

/// The same with further values. The operator's service account is the test's own, unless they name another one.
pub(crate) async fn enforce_with(world: &World, values: Value) -> anyhow::Result<()> {
    let mut all = json!({
        "aws": { "region": "eu-west-1" }, "watch": { "namespaces": [world.namespace] },
        "serviceAccount": { "name": "athena-operator" }, "policy": { "enabled": true },
    });
    merge(&mut all, &values);
    apply_template(world, "templates/policy.yaml", &all)?;
    let tried = serde_json::from_value(session_object(
        "tried",
        &json!({ "workGroup": "of-no-rule", "deletionPolicy": "Retain" }),
    ))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy holds", || async { world.sessions.create(&dry_run, &tried).await.is_err() }).await
}

/// Waits until something is so: the API server takes up a changed policy some moments later.
async fn eventually<F: Future<Output = bool> + Send>(
    what: &str,
    so: impl Fn() -> F + Send,
) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    while !so().await {
        ensure!(begun.elapsed() < PATIENCE, "it did not come to be that {what}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// What the API server says where it must not do as it is asked.
fn refusal(asked: anyhow::Result<AthenaSession>) -> anyhow::Result<Status> {
    match asked.err().context("it is not refused")?.downcast()? {
        kube::Error::Api(refusal) if refusal.code == 403 => Ok(*refusal),
        other => Err(other.into()),
    }
}

async fn what_no_rule_allows_is_refused_and_no_call_is_made(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let rule = json!({
        "namespaces": [world.namespace], "workGroups": ["spark-35", "team-*"], "executionRoles": [ROLE],
        "logLocations": { "s3": ["s3://team-logs/athena/"], "cloudWatch": ["/aws/athena/team"] },
        "maxActiveDeadlineSeconds": 3600, "maxIdleTimeoutInMinutes": 60,
    });
    enforce(&world, &json!([rule])).await?;
    let allowed = json!({
        "workGroup": "spark-35", "executionRole": ROLE, "activeDeadlineSeconds": 3600, "sessionIdleTimeoutInMinutes": 60,
        "monitoringConfiguration": {
            "s3LoggingConfiguration": { "enabled": true, "logLocation": "s3://team-logs/athena/nightly/" },
            "cloudWatchLoggingConfiguration": { "enabled": true, "logGroup": "/aws/athena/team" },
        },
    });
    for (at, value, field) in [
        ("/workGroup", json!("pyspark-3"), "spec.workGroup"),
        ("/workGroup", json!("team"), "spec.workGroup"),
        ("/executionRole", json!("arn:aws:iam::000000000000:role/team-admin"), "spec.executionRole"),
        ("/activeDeadlineSeconds", json!(3601), "spec.activeDeadlineSeconds"),
        ("/activeDeadlineSeconds", Value::Null, "spec.activeDeadlineSeconds"),
        ("/sessionIdleTimeoutInMinutes", json!(61), "spec.sessionIdleTimeoutInMinutes"),
        ("/sessionIdleTimeoutInMinutes", Value::Null, "spec.sessionIdleTimeoutInMinutes"),
        (
            "/monitoringConfiguration/s3LoggingConfiguration/logLocation",
            json!("s3://team-logs/other/"),
            "spec.monitoringConfiguration.s3LoggingConfiguration.logLocation",
        ),
        (
            "/monitoringConfiguration/cloudWatchLoggingConfiguration/logGroup",
            json!("/aws/athena/other"),
            "spec.monitoringConfiguration.cloudWatchLoggingConfiguration.logGroup",
        ),
    ] {
        let mut spec = allowed.clone();
        *spec.pointer_mut(at).expect("part of the spec that is allowed") = value;
        let refusal =
            refusal(world.create_with("refused", spec.clone()).await).with_context(|| spec.to_string())?;
        ensure!(refusal.message.contains(&format!("`{field}` must ")), "{spec}: {refusal:?}");
    }
    let least = session_object(
        "tried",
        &json!({ "workGroup": "team-a", "activeDeadlineSeconds": 60, "sessionIdleTimeoutInMinutes": 1 }),
    );
    world
        .sessions
        .create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(least)?)
        .await?;

    world.idle_with("allowed", allowed).await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}

async fn a_namespace_without_a_rule_has_no_session(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    enforce(&world, &json!([{ "namespaces": ["somewhere-else"], "workGroups": ["*"] }])).await?;
    let refusal = refusal(world.create("refused").await)?;
    ensure!(refusal.message.contains(&format!("in namespace {}", world.namespace)), "{refusal:?}");
    let calls = world.emulator.calls();
    ensure!(calls.iter().all(|call| call.operation == "GetCallerIdentity"), "{calls:?}");
    Ok(())
}

async fn an_object_that_is_older_than_the_rules_can_be_suspended_and_deleted_but_not_resumed(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.idle("older").await?;
    enforce(&world, &json!([{ "namespaces": [world.namespace], "workGroups": ["pyspark-3"] }])).await?;
    world.set("older", json!({ "suspend": true })).await?;
    until("its session has ended", || world.live().is_empty()).await?;
    world.until_status("older", "suspended", |status| status.end_time.is_some()).await?;
    let refusal = refusal(world.set("older", json!({ "suspend": false })).await)?;
    ensure!(refusal.message.contains("`spec.workGroup` must "), "{refusal:?}");
    world.remove("older").await?;
    ensure!(world.calls("StartSession").len() == 1, "{:?}", world.calls("StartSession"));
    Ok(())
}

/// A merge patch that turns `Retain` on.
fn retain() -> Value {
    json!({ "spec": { "deletionPolicy": "Retain" } })
}

/// Merges a patch into an object for a user.
async fn patch_as(users: &Api<AthenaSession>, name: &str, patch: &Value) -> anyhow::Result<AthenaSession> {
    Ok(users.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
}

/// A rule of the test's namespace that allows the work group, and what `more` says.
#[allow(clippy::needless_pass_by_value, reason = "rows read better")]
fn rule(world: &World, more: Value) -> Value {
    let mut rule = json!({ "namespaces": [world.namespace], "workGroups": ["spark-35"] });
    merge(&mut rule, &more);
    rule
}

/// Fails unless the policy refuses with this field, and says that an administrator may have to do it.
fn ensure_refused(asked: anyhow::Result<AthenaSession>, must: &str) -> anyhow::Result<()> {
    let refusal = refusal(asked)?;
    ensure!(
        refusal.message.contains(must) && refusal.message.contains("an administrator may have to do it"),
        "{refusal:?}"
    );
    Ok(())
}

const NO_RETAIN: &str = "`spec.deletionPolicy` must not be Retain";
const KEEP_FINALIZER: &str = "`metadata.finalizers` must keep athena-operator.io/session";

fn is_held(object: &AthenaSession) -> bool {
    object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

async fn dpus_are_bounded(world: World) -> anyhow::Result<()> {
    let create = async |spec: Value| {
        let object = serde_json::from_value(session_object("tried", &spec))?;
        Ok(world.sessions.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await?)
    };
    let asking = |dpus: Option<i32>| spark(json!({ "engineConfiguration": { "maxConcurrentDpus": dpus } }));
    enforce(&world, &json!([rule(&world, json!({ "maxConcurrentDpus": 20 }))])).await?;
    create(asking(Some(20))).await?;
    for spec in [asking(Some(21)), asking(None), json!({ "workGroup": "spark-35" })] {
        let refusal = refusal(create(spec.clone()).await).with_context(|| spec.to_string())?;
        ensure!(
            refusal
                .message
                .contains("`spec.engineConfiguration.maxConcurrentDpus` must be set to at most 20"),
            "{spec}: {refusal:?}"
        );
    }
    enforce(&world, &json!([rule(&world, json!({ "requireMaxConcurrentDpus": true }))])).await?;
    eventually("there is no largest number", || async { create(asking(Some(5000))).await.is_ok() }).await?;
    let refusal = refusal(create(json!({ "workGroup": "spark-35" })).await)?;
    ensure!(
        refusal.message.contains("`spec.engineConfiguration.maxConcurrentDpus` must be set in"),
        "{refusal:?}"
    );
    Ok(())
}

async fn retain_is_refused_wherever_it_is_turned_on(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    enforce(&world, &json!([rule(&world, json!({ "retainExemptions": { "users": ["carol"] } }))])).await?;
    let [users, administrator] =
        [world.sessions_of_user("dave", &[]).await?, world.sessions_of_user("carol", &[]).await?];
    for suspend in [false, true] {
        let spec = spark(json!({ "deletionPolicy": "Retain", "suspend": suspend }));
        let created = users
            .create(&PostParams::default(), &serde_json::from_value(session_object("kept", &spec))?)
            .await;
        ensure_refused(created.map_err(Into::into), NO_RETAIN)?;
    }
    for name in ["live", "suspended", "deleting"] {
        world.idle(name).await?;
    }
    patch_as(&users, "suspended", &json!({ "spec": { "suspend": true } })).await?;
    world.until_reason("suspended", "Suspended").await?;
    world.deny(&["TerminateSession"]);
    world.delete("deleting").await?;
    world.until_reason("deleting", "Deleting").await?;

    for name in ["live", "suspended", "deleting"] {
        ensure_refused(patch_as(&users, name, &retain()).await, NO_RETAIN).context(name)?;
        let both = json!({ "spec": { "deletionPolicy": "Retain", "suspend": true } });
        ensure_refused(patch_as(&users, name, &both).await, NO_RETAIN).context(name)?;
        let mut whole = users.get(name).await?;
        whole.spec.deletion_policy = DeletionPolicy::Retain;
        whole.metadata.managed_fields = None;
        ensure_refused(
            users.replace(name, &PostParams::default(), &whole).await.map_err(Into::into),
            NO_RETAIN,
        )
        .context(name)?;
        let applied = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "spec": { "deletionPolicy": "Retain" } });
        let forced = PatchParams::apply("somebody").force();
        ensure_refused(
            users.patch(name, &forced, &Patch::Apply(applied)).await.map_err(Into::into),
            NO_RETAIN,
        )
        .context(name)?;
    }
    ensure!(world.emulator.sessions().len() == 3 && world.live().len() == 2, "{:?}", world.live());
    patch_as(&administrator, "deleting", &retain()).await?;
    world.until_gone("deleting").await
}

async fn an_object_that_is_older_than_the_rules_and_retained_can_be_edited_and_deleted(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.idle_with("older", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    enforce(&world, &json!([rule(&world, json!({}))])).await?;
    let users = world.sessions_of_user("dave", &[]).await?;
    patch_as(
        &users,
        "older",
        &json!({ "metadata": { "labels": { "team": "a" } }, "spec": { "ttlSecondsAfterFinished": 3600 } }),
    )
    .await?;
    // A deadline is looked at by the rule, and Retain is not: the edit leaves it as it was.
    patch_as(&users, "older", &json!({ "spec": { "activeDeadlineSeconds": 3600 } })).await?;
    patch_as(&users, "older", &json!({ "metadata": { "finalizers": [FINALIZER, "example.org/held"] } }))
        .await?;
    users.delete("older", &kube::api::DeleteParams::default()).await?;
    world.until("older", "released by the operator", |object| !is_held(object)).await?;
    patch_as(&users, "older", &json!({ "metadata": { "finalizers": null } })).await?;
    world.until_gone("older").await?;
    ensure!(world.live().len() == 1 && world.calls("TerminateSession").is_empty(), "{:?}", world.live());

    // Once it is turned off, it is off.
    let kept = spark(json!({ "deletionPolicy": "Retain", "suspend": true }));
    enforce(&world, &json!([rule(&world, json!({ "allowRetain": true }))])).await?;
    eventually("Retain is allowed", || async { world.create_with("again", kept.clone()).await.is_ok() })
        .await?;
    enforce(&world, &json!([rule(&world, json!({}))])).await?;
    let tried: AthenaSession = serde_json::from_value(session_object("tried", &kept))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("Retain is refused", || async { users.create(&dry_run, &tried).await.is_err() }).await?;
    patch_as(&users, "again", &json!({ "spec": { "deletionPolicy": "Terminate" } })).await?;
    ensure_refused(patch_as(&users, "again", &retain()).await, NO_RETAIN)
}

async fn the_operators_finalizer_stays_until_the_operator_removes_it(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    // Not even where everybody may retain: the operator would not know of it.
    enforce(
        &world,
        &json!([rule(&world, json!({ "allowRetain": true, "retainExemptions": { "users": ["carol"] } }))]),
    )
    .await?;
    let [users, administrator] =
        [world.sessions_of_user("dave", &[]).await?, world.sessions_of_user("carol", &[]).await?];
    for name in ["live", "deleting", "freed"] {
        world.idle(name).await?;
    }
    let other = json!({ "metadata": { "finalizers": [FINALIZER, "example.org/held"] } });
    patch_as(&users, "live", &other).await?;
    world.deny(&["TerminateSession"]);
    for name in ["deleting", "freed"] {
        world.delete(name).await?;
        world.until_reason(name, "Deleting").await?;
    }
    for name in ["live", "deleting"] {
        for finalizers in [Value::Null, json!([]), json!(["example.org/held"])] {
            // An object that is being deleted takes no new finalizer, whoever asks.
            if name == "deleting" && finalizers == json!(["example.org/held"]) {
                continue;
            }
            let patch = json!({ "metadata": { "finalizers": finalizers } });
            ensure_refused(patch_as(&users, name, &patch).await, KEEP_FINALIZER)
                .with_context(|| format!("{name}: {patch}"))?;
        }
        for path in ["/metadata/finalizers", "/metadata/finalizers/0"] {
            let patch = json!([{ "op": "remove", "path": path }]).to_string();
            let user = ["--as=dave", "--as-group=system:masters"];
            let refused = world.kubectl(
                &[&["patch", "athenasession", name, "--type=json", "-p", &patch], &user[..]].concat(),
            );
            let text = format!("{:#}", refused.err().context("it is not refused")?);
            ensure!(text.contains(KEEP_FINALIZER), "{name}: {path}: {text}");
        }
        // As a client does that replaces the object with what it has: without finalizers, or with null in their place.
        let mut whole = serde_json::to_value(users.get(name).await?)?;
        for finalizers in [None, Some(Value::Null)] {
            let metadata = whole["metadata"].as_object_mut().context("metadata")?;
            metadata.remove("finalizers");
            metadata.extend(finalizers.map(|finalizers| ("finalizers".to_owned(), finalizers)));
            let url = format!(
                "/apis/athena-operator.io/v1alpha1/namespaces/{}/athenasessions/{name}",
                world.namespace
            );
            let request = http::Request::put(url)
                .header("content-type", "application/json")
                .body(serde_json::to_vec(&whole)?)?;
            let asked = users.clone().into_client().request::<AthenaSession>(request).await;
            ensure_refused(asked.map_err(Into::into), KEEP_FINALIZER)
                .with_context(|| format!("{name}: replaced"))?;
        }
        // The status is no way around.
        let patch = json!({ "metadata": { "finalizers": null }, "status": { "restarts": 1 } });
        let left = users.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        ensure!(is_held(&left), "{left:?}");
    }
    patch_as(&users, "live", &json!({ "metadata": { "finalizers": [FINALIZER] } }))
        .await
        .context("a finalizer of another")?;
    patch_as(&administrator, "freed", &json!({ "metadata": { "finalizers": null } })).await?;
    world.until_gone("freed").await?;
    world.deny(&[]);
    world.until_gone("deleting").await?;
    world.remove("live").await
}

async fn those_whom_a_rule_exempts_may_retain_a_session(world: World) -> anyhow::Result<()> {
    let exemptions = json!({ "users": ["carol@example.org"], "groups": ["oidc:admins"], "serviceAccounts": ["ops/janitor"] });
    enforce(&world, &json!([rule(&world, json!({ "retainExemptions": exemptions }))])).await?;
    for (user, groups, is_exempt) in [
        ("carol@example.org", vec![], true),
        ("dave", vec!["oidc:admins"], true),
        ("system:serviceaccount:ops:janitor", vec![], true),
        ("dave", vec!["admins"], false),
        ("oidc:admins", vec![], false),
        ("system:serviceaccount:ops:other", vec![], false),
        ("ops/janitor", vec![], false),
        // The operator may remove its finalizer, and nothing else.
        (&format!("system:serviceaccount:{}:athena-operator", world.namespace), vec![], false),
    ] {
        let api = world.sessions_of_user(user, &groups).await?;
        let mut kept: AthenaSession =
            serde_json::from_value(session_object("kept", &spark(json!({ "deletionPolicy": "Retain" }))))?;
        kept.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        kept.spec.suspend = true;
        let created = api.create(&PostParams::default(), &kept).await;
        if !is_exempt {
            ensure_refused(created.map_err(Into::into), NO_RETAIN).context(user.to_owned())?;
            continue;
        }
        created.context(user.to_owned())?;
        patch_as(&api, "kept", &json!({ "metadata": { "finalizers": null } }))
            .await
            .context(user.to_owned())?;
        world.remove("kept").await?;
    }
    Ok(())
}

async fn without_a_rule_everybody_or_nobody_may_retain_a_session(world: World) -> anyhow::Result<()> {
    world.create_with("older", spark(json!({ "suspend": true }))).await?;
    patch_as(&world.sessions, "older", &json!({ "metadata": { "finalizers": [FINALIZER] } })).await?;
    let rules = json!([{ "namespaces": ["somewhere-else"], "workGroups": ["*"], "allowRetain": true }]);
    enforce(&world, &rules).await?;
    ensure_refused(patch_as(&world.sessions, "older", &retain()).await, NO_RETAIN)?;
    ensure_refused(
        patch_as(&world.sessions, "older", &json!({ "metadata": { "finalizers": null } })).await,
        KEEP_FINALIZER,
    )?;

    let values = json!({ "aws": { "region": "eu-west-1" }, "watch": { "namespaces": [world.namespace] },
        "policy": { "enabled": true, "defaultAction": "Allow", "rules": rules } });
    apply_template(&world, "templates/policy.yaml", &values)?;
    eventually("Retain is allowed", || async { patch_as(&world.sessions, "older", &retain()).await.is_ok() })
        .await?;
    patch_as(&world.sessions, "older", &json!({ "metadata": { "finalizers": null } })).await?;
    Ok(())
}

async fn a_namespace_with_a_policy_goes(world: World) -> anyhow::Result<()> {
    let _operator = world.lasting_operator()?;
    world.stage().start_controller_manager()?;
    // The account of an operator for all namespaces, in a namespace of its own.
    enforce_with(
        &world,
        json!({ "namespaceOverride": "athena-operator", "policy": { "rules": [rule(&world, json!({}))] } }),
    )
    .await?;
    world.idle("ended").await?;
    // The garbage collector adds a finalizer of its own and removes it, beside the operator's.
    world.create_with("foreground", spark(json!({ "suspend": true }))).await?;
    world.sessions.delete("foreground", &kube::api::DeleteParams::foreground()).await?;
    world.until_gone("foreground").await?;
    crate::deletion::until_namespace_gone(&world).await?;
    ensure!(world.live().is_empty(), "{:?}", world.live());
    Ok(())
}
