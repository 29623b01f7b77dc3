//! A change of spec, label or annotation takes effect at once: here the next look at a session is minutes away.

use anyhow::ensure;
use environment::Operator;
use serde_json::json;

use super::case::{case, delete, drive, idle, set, starts_nothing_by_itself};
use crate::harness::{World, spark, tests, until};
use crate::outcome::{EXCEEDED, GONE, GONE_ALONE, IDLE, SUSPENDED};

tests![
    a_change_takes_effect_before_the_next_look,
    a_session_that_starts_is_ended_before_the_next_look,
    a_ttl_that_a_tool_would_undo_is_warned_of_once
];

/// An operator that takes no further look at a settled session while a test runs.
fn unhurried(world: &World) -> anyhow::Result<Operator> {
    world.operator_with(&["--observe-interval=10m"], &[])
}

async fn a_change_takes_effect_before_the_next_look(world: World) -> anyhow::Result<()> {
    let _operator = unhurried(&world)?;
    let change = |name, change, wanted| case(name, json!({}), [idle(), set(change)], wanted);
    let retain = set(json!({ "deletionPolicy": "Retain" }));
    drive(
        &world,
        vec![
            change("suspend", json!({ "suspend": true }), SUSPENDED),
            change("active-deadline", json!({ "activeDeadlineSeconds": 1 }), EXCEEDED),
            // Its end is between two looks.
            case("active-deadline-to-come", json!({ "activeDeadlineSeconds": 4 }), [], EXCEEDED),
            case("deleted", json!({}), [idle(), delete()], GONE),
            case("retain", json!({}), [idle(), retain, delete()], GONE_ALONE),
            // What changes nothing now is reported at once all the same: the rows are of the newest generation.
            change("restart-policy", json!({ "restartPolicy": "OnFailure" }), IDLE),
            change("max-restarts", json!({ "maxRestarts": 0 }), IDLE),
            change("startup-deadline", json!({ "startupDeadlineSeconds": 1 }), IDLE),
            change("ttl", json!({ "ttlSecondsAfterFinished": 0 }), IDLE),
        ],
    )
    .await
}

async fn a_session_that_starts_is_ended_before_the_next_look(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator_with(&["--transition-interval=10m"], &[])?;
    for name in ["suspended", "deleted"] {
        world.create(name).await?;
        world.until_status(name, "recorded", |status| status.session_id.is_some()).await?;
    }
    ensure!(world.looks() == 0, "{:?}", world.emulator.calls());
    world.set("suspended", json!({ "suspend": true })).await?;
    world.delete("deleted").await?;
    until("both are ended", || world.live().is_empty()).await
}

/// Counts how often the warning was published for an object.
fn warnings(world: &World, name: &str) -> anyhow::Result<u64> {
    let events = world.events("TTLUnderGitOps")?;
    let its = events.iter().filter(|event| event["involvedObject"]["name"] == name);
    Ok(its.filter_map(|event| event["count"].as_u64()).sum())
}

async fn until_warned(world: &World, name: &str) -> anyhow::Result<()> {
    until("it is warned of", || warnings(world, name).is_ok_and(|count| count == 1)).await
}

async fn a_ttl_that_a_tool_would_undo_is_warned_of_once(world: World) -> anyhow::Result<()> {
    let operator = unhurried(&world)?;
    let ttl = json!({ "spec": { "ttlSecondsAfterFinished": 3600 } });
    let label = json!({ "metadata": { "labels": { "kustomize.toolkit.fluxcd.io/name": "apps" } } });
    let annotation = json!({ "metadata": { "annotations": { "argocd.argoproj.io/tracking-id": "apps:x" } } });
    let changes = [
        ("label-first", &label, &ttl),
        ("label-last", &ttl, &label),
        ("annotation-first", &annotation, &ttl),
        ("annotation-last", &ttl, &annotation),
    ];
    for (name, first, second) in changes {
        world.idle(name).await?;
        world.patch(name, first.clone()).await?;
        world.until_idle(name).await?;
        ensure!(warnings(&world, name)? == 0, "{name}: half of it is no reason to warn");
        world.patch(name, second.clone()).await?;
        until_warned(&world, name).await?;
    }
    drop(operator);

    // Another process, and changes of something else, are no reason to repeat it.
    let lists = world.calls("ListSessions").len();
    let _operator = unhurried(&world)?;
    until("the sessions are listed anew", || world.calls("ListSessions").len() > lists).await?;
    for (name, ..) in changes {
        let generation = world.set(name, json!({ "maxRestarts": 1 })).await?.metadata.generation;
        world.until_status(name, "observed", |status| status.observed_generation == generation).await?;
    }
    // When this one is told, whatever was published before it is there too.
    let metadata = json!({ "name": "both-at-creation", "labels": { "argocd.argoproj.io/instance": "apps" } });
    world.create_as(&metadata, &spark(json!({ "ttlSecondsAfterFinished": 3600 }))).await?;
    until_warned(&world, "both-at-creation").await?;
    for (name, ..) in changes {
        ensure!(warnings(&world, name)? == 1, "{name}: told again");
    }
    Ok(())
}
