//! Whole namespaces, strangers' sessions, and the way out.

use anyhow::{bail, ensure};
use athena_emulator::{Change, Fault, FaultKind};
use environment::Operator;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{World, has, look, names, sample, spark, status, tests, uid, until};
use crate::policy::enforce_with;

tests![
    a_namespace_with_20_sessions_goes_and_each_session_is_ended_once,
    a_namespace_goes_though_starts_are_denied_from_the_moment_of_its_deletion,
    sessions_of_others_are_never_touched,
    a_status_that_names_a_strangers_session_is_ignored,
    retain_lets_the_object_go_and_the_session_run,
    a_retained_session_is_named_by_an_event_before_its_object_goes,
    a_retained_session_is_logged_and_counted_though_its_namespace_goes,
    a_deletion_that_waits_says_for_what_and_retain_releases_it,
    a_session_that_athena_has_forgotten_does_not_hold_its_object,
];

async fn with_20_sessions(world: &World, ready: bool) -> anyhow::Result<()> {
    world.stage().start_controller_manager()?;
    for name in names("session", 20) {
        world.create(&name).await?;
    }
    if ready { world.until_all(&names("session", 20), "SessionIdle").await } else { Ok(()) }
}

pub(crate) async fn until_namespace_gone(world: &World) -> anyhow::Result<()> {
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await?;
    let left = async || {
        let Some(namespace) = namespaces.get_opt(&world.namespace).await? else { return anyhow::Ok(Ok(())) };
        let objects = world.sessions.list(&kube::api::ListParams::default()).await?.items;
        Ok(Err((namespace, objects)))
    };
    look("the namespace is gone", left).await
}

async fn a_namespace_with_20_sessions_goes_and_each_session_is_ended_once(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.lasting_operator()?;
    with_20_sessions(&world, true).await?;
    until_namespace_gone(&world).await?;
    ended_once(&world, 20)
}

/// Every session has ended, and one TerminateSession of each had an effect: the ones after it find a session that is ending.
fn ended_once(world: &World, started: usize) -> anyhow::Result<()> {
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == started && world.live().is_empty(), "{sessions:?}");
    for session in &sessions {
        let ends = session.states.iter().filter(|entry| entry.0 == "TERMINATING").count();
        ensure!(ends == 1, "{session:?}");
    }
    Ok(())
}

async fn a_namespace_goes_though_starts_are_denied_from_the_moment_of_its_deletion(
    world: World,
) -> anyhow::Result<()> {
    // Some sessions run, some are refused for their quota, some are on their way.
    world.emulator.configure(|config| config.max_sessions = Some(12));
    let _operator = world.lasting_operator()?;
    with_20_sessions(&world, false).await?;
    until("the quota is used up", || world.live().len() == 12).await?;
    world.deny(&["StartSession"]);
    until_namespace_gone(&world).await?;
    ended_once(&world, 12)
}

async fn sessions_of_others_are_never_touched(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let own = world.idle("mine").await?;
    let object = world.sessions.get("mine").await?;
    let another_uid = "00000000-0000-4000-8000-000000000000";
    for description in [
        None,
        Some("somebody's work".to_owned()),
        Some(format!("a namesake [athena-operator/{another_uid}]")),
        Some(format!("not at the end [athena-operator/{}] of it", uid(&object))),
    ] {
        world.emulator.create_foreign("spark-35", description.as_deref());
    }
    world.remove("mine").await?;
    ensure!(world.live().len() == 4, "{:?}", world.emulator.sessions());
    ensure!(world.calls("TerminateSession").iter().all(|call| call.session_id.as_deref() == Some(&own)));
    Ok(())
}

async fn a_status_that_names_a_strangers_session_is_ignored(world: World) -> anyhow::Result<()> {
    let stranger = world
        .emulator
        .create_foreign("spark-35", Some("not ours [athena-operator/00000000-0000-4000-8000-000000000000]"));
    let operator = world.operator()?;
    let own = world.idle("forged").await?;
    drop(operator);
    world.set_status("forged", json!({ "sessionId": stranger })).await?;

    let _operator = world.operator()?;
    let named_own = |object: &_| status(object).session_id.as_deref() == Some(&*own);
    world.until("forged", "naming its own session again", named_own).await?;
    world.remove("forged").await?;
    let live = world.live();
    ensure!(live.len() == 1 && live[0].session_id == stranger, "{live:?}");
    ensure!(world.calls("TerminateSession").iter().all(|call| call.session_id.as_deref() == Some(&own)));
    Ok(())
}

async fn retain_lets_the_object_go_and_the_session_run(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let id = world.idle_with("kept", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    world.remove("kept").await?;
    ensure!(world.live().len() == 1 && world.calls("TerminateSession").is_empty());
    world.until_event("SessionRetained", &id).await
}

/// The warnings about retained sessions in the log of an operator.
fn retentions(operator: &Operator) -> Vec<Value> {
    let is_one = |line: &Value| line["level"] == "WARN" && line["reason"] == "SessionRetained";
    operator.log().into_iter().filter(is_one).collect()
}

async fn a_retained_session_is_named_by_an_event_before_its_object_goes(world: World) -> anyhow::Result<()> {
    let operator = world.operator()?;
    let id = world.idle_with("kept", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    // The policy of another release's operator does not let this one remove its finalizer.
    let rule = json!([{ "namespaces": [world.namespace], "workGroups": ["spark-35"], "allowRetain": true }]);
    enforce_with(&world, json!({ "serviceAccount": { "name": "another" }, "policy": { "rules": rule } }))
        .await?;
    world.delete("kept").await?;
    world.until_event("SessionRetained", &id).await?;
    ensure!(world.sessions.get("kept").await?.metadata.finalizers.is_some());
    ensure!(retentions(&operator).is_empty());
    // Another process does not know what this one told.
    drop(operator);
    let operator = world.operator()?;
    let refused = "athena_operator_writes_total{write=\"finalizer\",result=\"refused\"}";
    let is_refused = || sample(&operator, refused).is_ok_and(|count| count.is_some_and(|count| count > 0.0));
    until("its release is refused too", is_refused).await?;
    enforce_with(&world, json!({ "policy": { "rules": rule } })).await?;
    world.until_gone("kept").await?;
    let told = world.events("SessionRetained")?;
    ensure!(told.len() == 1, "{told:?}");
    world.until_event("SessionRetained", "work group spark-35, region eu-west-1").await?;
    until("the log names the session", || !retentions(&operator).is_empty()).await
}

async fn a_retained_session_is_logged_and_counted_though_its_namespace_goes(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.lasting_operator()?;
    world.stage().start_controller_manager()?;
    world.create_with("never-started", spark(json!({ "deletionPolicy": "Retain", "suspend": true }))).await?;
    let id = world.idle_with("kept", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    let labels = format!("namespace=\"{}\",work_group=\"spark-35\"", world.namespace);
    let counted = || sample(&operator, &format!("athena_operator_retained_sessions_total{{{labels}}}"));
    // The series begins with the session, so that its being retained is an increase.
    ensure!(counted()? == Some(0.0), "{:?}", counted()?);
    // No event can be made in a namespace that is being deleted.
    until_namespace_gone(&world).await?;
    ensure!(world.live().len() == 1 && world.calls("TerminateSession").is_empty(), "{:?}", world.live());
    until("it is logged", || !retentions(&operator).is_empty()).await?;
    let told = retentions(&operator);
    let [line] = &told[..] else { bail!("{told:?}") };
    for (field, value) in [("session_id", &*id), ("work_group", "spark-35"), ("region", "eu-west-1")] {
        ensure!(line[field] == value, "{line}");
    }
    until("it is counted", || counted().is_ok_and(|counted| counted == Some(1.0))).await
}

async fn a_deletion_that_waits_says_for_what_and_retain_releases_it(world: World) -> anyhow::Result<()> {
    world.deny(&["TerminateSession"]);
    let _operator = world.operator()?;
    world.idle("stuck").await?;
    world.delete("stuck").await?;
    let denied = "athena:TerminateSession";
    let told = world.until_ready("stuck", denied, |ready| ready.message.contains(denied)).await?;
    ensure!(told.reason == "Deleting", "{told:?}");
    has(&told.message, &["\"deletionPolicy\":\"Retain\"", "may need an administrator"])?;
    world.set("stuck", json!({ "deletionPolicy": "Retain" })).await?;
    world.until_gone("stuck").await
}

async fn a_session_that_athena_has_forgotten_does_not_hold_its_object(world: World) -> anyhow::Result<()> {
    // Not finding a session proves something only after the time of uncertainty.
    let _operator = world.operator_with(&["--uncertainty=3s"], &[])?;
    let id = world.idle("forgotten").await?;
    world.change(&id, Change::Vanish)?;
    world.until_reason("forgotten", "SessionVanished").await?;
    world.remove("forgotten").await?;

    let id = world.idle("forgotten-while-deleted").await?;
    world.emulator.set_faults(vec![Fault::new("TerminateSession", FaultKind::Throttle).times(1)]);
    world.delete("forgotten-while-deleted").await?;
    world.change(&id, Change::Vanish)?;
    world.until_gone("forgotten-while-deleted").await
}
